"""A loop of a voice: its plain bars, what they were made of, and their rows for the other processes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.music.feel import STRAIGHT, Feel
from bridge.music.groove_settings import GrooveSettings, quantising_from_json, quantising_to_json
from bridge.music.locking import Lock
from bridge.music.metre import is_whole
from bridge.music.notes import BEATS_PER_BAR, Bars, bars_from_json, bars_to_json


@dataclass(frozen=True, slots=True)
class Material:
    """Bars that others are made of, and how many beats each of them has: they may be of another metre than the song's.
    What is no whole number of bars has bars of four beats.
    """

    bars: Bars
    bar_beats: float = BEATS_PER_BAR

    @classmethod
    def of(cls, bars: Bars, bar_beats: float) -> Material:
        """Bars that came while the song's had `bar_beats`."""
        return cls(bars, bar_beats if is_whole(bars.length, bar_beats) else BEATS_PER_BAR)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What bars were made of, so that a sticky knob can make them again with the same noise.

    `op` is one of ``next sample vary morph xy towards keep fill``; `material` the loops it worked from; `seed` the
    noise; `bend` what bent them besides the knobs (see `bridge.session.bending`), in plain JSON values.
    """

    op: str
    model: str
    material: tuple[Material, ...]
    bars: int
    beats_per_bar: float
    amount: float
    seed: int
    bend: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loop:
    """A set of bars with its id. `bars` are plain: the groove is applied when they are handed to the player."""

    id: int
    bars: Bars
    groove_seed: int
    recipe: Recipe | None = None
    feel: Feel = STRAIGHT
    """Of whoever played the bars that these answer; it is put on them besides the groove."""
    bar_beats: float = BEATS_PER_BAR
    """Of the metre they were made in; in another one they are fitted to it when they are handed to the player."""

    bound_to: tuple[int, ...] = ()
    """The pitch classes that they were bound to hard as they were made. Where the session's key binds hard and is
    another, they are bound as they are played."""
    verbatim: bool = False
    """They are a stored corner, which sounds as it was stored, in any key."""
    unmoved: Bars | None = None
    """Where attributes and latent directions have moved them: what they were before."""
    drums: bool | None = None
    """Whether they are of drums, where no recipe says what made them (a jam's answers); None: nobody knows."""
    kept: tuple[int, ...] = ()
    """The bars (from 0) that were locked as they were made, or since: while they are, no key binds them."""
    kept_as: tuple[GrooveSettings, ...] = ()
    """How each of those was quantised when it was locked, which says what is of it."""
    made_in: tuple[int, ...] | None = None
    """The pitch classes of the key that they were made in, none of them where that was no key; None: nobody knows."""

    @property
    def source(self) -> Material:
        """What new bars go on from: attributes and latent directions move those anew."""
        return Material(self.bars if self.unmoved is None else self.unmoved, self.bar_beats)

    def spans_of(self, bars: Iterable[int]) -> tuple[tuple[float, float], ...]:
        """From where to where, in beats, some of its bars last."""
        return tuple((bar * self.bar_beats, (bar + 1) * self.bar_beats) for bar in bars)

    @property
    def keeps(self) -> list[tuple[int, GrooveSettings]]:
        """The bars that are kept, each with how it was quantised, in the order in which they were locked."""
        return list(zip(self.kept, self.kept_as, strict=True))

    def keeping(self, bars: Iterable[tuple[int, GrooveSettings]]) -> Loop:
        """The same with other bars kept."""
        kept = list(bars)
        return replace(self, kept=tuple(bar for bar, _ in kept), kept_as=tuple(played.quantising for _, played in kept))

    def locked(self, bars: Collection[int], now: GrooveSettings) -> Lock:
        """Some of its bars, locked as they were, or as they are quantised `now`; what was locked earlier has what is
        heard in two of them.
        """
        own = [(bar, played) for bar, played in self.keeps if bar in bars]
        own += [(bar, now) for bar in sorted(bars) if bar not in self.kept]
        return Lock(self.bars, self.spans_of(bar for bar, _ in own), tuple(played for _, played in own))

    def renamed(self, loop_id: int) -> Loop:
        """The same bars under another id."""
        return replace(self, id=loop_id)


def material_to_json(material: Material) -> list[Any]:
    """``[length, rows]``, and how long a bar is where that is not four beats."""
    bars = bars_to_json(material.bars)
    return bars if material.bar_beats == BEATS_PER_BAR else [*bars, material.bar_beats]


def material_from_json(value: Sequence[Any]) -> Material:
    """The inverse of `material_to_json`."""
    return Material(bars_from_json(value), float(value[2]) if len(value) > 2 else BEATS_PER_BAR)


def feel_to_json(feel: Feel) -> list[Any]:
    """A feel as plain JSON."""
    return [feel.swing, feel.offset_beats, feel.eighths]


def feel_from_json(value: Sequence[Any] | None) -> Feel:
    """The inverse of `feel_to_json`; what is of earlier versions has none."""
    return STRAIGHT if value is None else Feel(*value)


def recipe_to_json(recipe: Recipe | None) -> dict[str, Any] | None:
    """A recipe as plain JSON."""
    if recipe is None:
        return None
    return {
        "op": recipe.op,
        "model": recipe.model,
        "material": [material_to_json(material) for material in recipe.material],
        "bars": recipe.bars,
        "beats_per_bar": recipe.beats_per_bar,
        "amount": recipe.amount,
        "seed": recipe.seed,
        "bend": recipe.bend,
    }


def recipe_from_json(value: dict[str, Any] | None) -> Recipe | None:
    """The inverse of `recipe_to_json`."""
    if value is None:
        return None
    return Recipe(**{**value, "material": tuple(map(material_from_json, value["material"]))})


def loop_to_json(loop: Loop | None) -> dict[str, Any] | None:
    """A loop as plain JSON."""
    if loop is None:
        return None
    return {
        "id": loop.id,
        "bars": bars_to_json(loop.bars),
        "groove_seed": loop.groove_seed,
        "recipe": recipe_to_json(loop.recipe),
        "feel": feel_to_json(loop.feel),
        "bar_beats": loop.bar_beats,
        "bound_to": list(loop.bound_to),
        "verbatim": loop.verbatim,
        "unmoved": None if loop.unmoved is None else bars_to_json(loop.unmoved),
        "drums": loop.drums,
        "kept": list(loop.kept),
        "kept_as": [quantising_to_json(played) for played in loop.kept_as],
        "made_in": None if loop.made_in is None else list(loop.made_in),
    }


def loop_from_json(value: dict[str, Any] | None) -> Loop | None:
    """The inverse of `loop_to_json`."""
    if value is None:
        return None
    feel = feel_from_json(value.get("feel"))
    recipe = recipe_from_json(value["recipe"])
    bar_beats = value.get("bar_beats", BEATS_PER_BAR)
    unmoved = value.get("unmoved")
    before = None if unmoved is None else bars_from_json(unmoved)
    bound_to, verbatim = tuple(value.get("bound_to", ())), value.get("verbatim", False)
    bars, drums, kept = bars_from_json(value["bars"]), value.get("drums"), tuple(value.get("kept", ()))
    kept_as = tuple(map(quantising_from_json, value.get("kept_as", [{}] * len(kept))))
    made_in = None if value.get("made_in") is None else tuple(value["made_in"])
    return Loop(
        value["id"],
        bars,
        value["groove_seed"],
        recipe,
        feel,
        bar_beats,
        bound_to,
        verbatim,
        before,
        drums,
        kept,
        kept_as,
        made_in,
    )
