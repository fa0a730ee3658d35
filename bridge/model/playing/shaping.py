"""Bars moved along attributes and latent directions: a pure function of (bars, knobs, temperature), whatever made them.

Each knob is a stage of its own, from the bars as the stage before left them: latent directions first, then attributes
in their order. What a stage may do is worked out for the whole side of the knob at once and kept: candidates decoded
in one batch, away from the bars by the direction's offset in the latent space and by what pulls on the logits, and for
each level of the knob the one nearest to what is asked (`levels`). So a turn costs nothing but the first
time, turning back brings back, and at 0 the bars are what they were, note for note.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets import noise
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import MORPH_TEMPERATURE
from bridge.model.playing.decoding import WindowDecode, filled_row
from bridge.model.playing.encoding import Encoded, encode_bars
from bridge.model.playing.forms import own_forms
from bridge.model.playing.framing import WindowTokens, as_tensors, is_silent, to_bars
from bridge.model.playing.levels import LEVELS, chosen_levels
from bridge.model.playing.patterns import AnyField, field_of
from bridge.model.playing.pulling import pull
from bridge.model.playing.steering import PLAIN, Steering, diatonic_set, steered_bias, token_bonus
from bridge.music.grids import LOWEST_PITCH, TOP_PITCH, Ints, struck_apart
from bridge.music.notes import STEP_BEATS, STEPS_PER_BAR, Bars, Note, in_order, step_of

#: The range of a latent knob, in standard deviations either way.
LATENT_REACH = 3.0
_LATENT_PLACES = (0.25, 0.5, 0.75, 1.0)
#: Candidates for the levels of an attribute, shared by the loop's windows; the furthest is this many of the direction's
#: own steps away.
_CANDIDATES, _FEWEST, _FURTHEST = 18, 6, 2.5
_NOISES = 3
_TWO_BARS = 2 * STEPS_PER_BAR
_STAY_NATS = 3.5
_BACK = 24  # places of a latent knob that are looked at on its way back to where anything is struck
_OCTAVE = 12
_KEPT = 128
_Stage = TypeVar("_Stage", "list[list[WindowTokens]]", "list[AnyField]")


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the knobs stand: attributes by name, -1 to 1; latent directions by index, -3 to 3 standard deviations."""

    attributes: tuple[tuple[str, float], ...] = ()
    latents: tuple[tuple[int, float], ...] = ()

    def scaled(self, share: float) -> Shape:
        """All knobs nearer to 0."""
        return shape_of(
            {name: amount * share for name, amount in self.attributes},
            {index: value * share for index, value in self.latents},
        )


UNSHAPED = Shape()


def shape_of(attributes: Mapping[str, float], latents: Mapping[int, float]) -> Shape:
    """The shape of knobs by name and by index; those at 0 are left out."""
    return Shape(
        tuple((name, amount) for name, amount in attributes.items() if amount),
        tuple(sorted((index, value) for index, value in latents.items() if value)),
    )


def shaped(
    model: CompiledModel,
    bars: Bars,
    shape: Shape,
    temperature: float,
    steering: Steering = PLAIN,
) -> Bars:
    """`bars` with the knobs of `shape` turned; the same bars when all are at 0. `temperature` is the voice's: what is
    decoded takes the contract's share of it, as a morph does.

    Raises:
        ValueError: an attribute or a latent direction that the model does not have.
    """
    config = model.config
    unknown = [name for name, _ in shape.attributes if name not in config.attributes]
    if unknown or any(not 0 <= index < config.latent_ways for index, _ in shape.latents):
        raise ValueError(f"{unknown or shape.latents}: expected {', '.join(config.attributes)}, or 0 to "
                         f"{config.latent_ways - 1}")  # fmt: skip
    if not bars.notes or shape == UNSHAPED:
        return bars
    wanted = dict(shape.attributes)
    moved = bars
    if shape.latents or wanted.keys() - {"register"}:
        room = _Room(model, encode_bars(model, bars), steering, temperature * MORPH_TEMPERATURE)
        windows = room.moved(shape)
        if not _same(windows, room.own.windows):
            made = to_bars(windows, room.own.frame, config, bars.length)
            moved = _with_own_notes(made, bars, lines="drums" not in config.parts)
    return in_register(moved, wanted.get("register", 0.0))


class _Room:
    """What all stages of one request share."""

    def __init__(self, model: CompiledModel, own: Encoded, steering: Steering, temperature: float) -> None:
        config = model.config
        count = len(own.windows)
        self.own = own
        self._model, self._temperature = model, temperature
        self._heard = round(own.bars.length / STEP_BEATS) if count == 1 else None
        self._plain = [steered_bias(steering, (), config, own.frame, i * config.steps) for i in range(count)]
        digest = hashlib.blake2b(digest_size=16)
        for bias in self._plain:
            digest.update(bias.numpy().tobytes())
        self._bias_key = digest.digest()

    def moved(self, shape: Shape) -> list[WindowTokens]:
        """The windows with every knob turned but the register's."""
        windows, wanted = list(self.own.windows), dict(shape.attributes)
        for index, value in shape.latents:
            windows = self._along_latent(windows, index, value)
        for name in self._model.config.attributes:
            amount = wanted.get(name, 0.0)
            if amount and name != "register":
                windows = self._along_attribute(windows, name, amount)
        return windows

    def _along_latent(self, windows: list[WindowTokens], index: int, value: float) -> list[WindowTokens]:
        """The windows so many standard deviations along a latent direction."""
        sign = 1 if value > 0 else -1
        fields = self._kept(windows, ("latent", index, sign), lambda: self._fields(windows, index, sign))
        far = min(1.0, abs(value) / LATENT_REACH)
        places = (far * (1.0 - step / _BACK) for step in range(_BACK))
        return self._first_struck(([field.at(place) for field in fields] for place in places), windows)

    def _along_attribute(self, windows: list[WindowTokens], name: str, amount: float) -> list[WindowTokens]:
        """The windows with more or less of an attribute."""
        sign = 1 if amount > 0 else -1
        levels = self._kept(windows, (name, sign), lambda: self._levels(windows, name, sign))
        furthest = round(min(1.0, abs(amount)) * LEVELS)
        return self._first_struck(([of[level] for of in levels] for level in range(furthest, 0, -1)), windows)

    def _first_struck(self, ways: Iterable[list[WindowTokens]], windows: list[WindowTokens]) -> list[WindowTokens]:
        """The first of what a knob makes of windows, from where it stands back to its rest, in which anything is
        struck: it leaves no loop silent. A window that rests goes on resting.
        """
        own, config = self.own, self._model.config
        rests = [is_silent(window, config) for window in windows]
        for way in ways:
            kept = [was if rest else made for made, was, rest in zip(way, windows, rests, strict=True)]
            if to_bars(kept, own.frame, config, own.bars.length).notes:
                return kept
        return windows

    def _kept(self, windows: list[WindowTokens], what: tuple[object, ...], make: Callable[[], _Stage]) -> _Stage:
        """What was worked out lately for these windows and this side of a knob, else what `make` works out now."""
        lately = _stages_lately.setdefault(self._model, {})
        key = (_digest(windows), what, self._temperature, self._bias_key)
        found: _Stage | None = lately.pop(key, None)
        if found is None:
            found = make()
        lately[key] = found
        while len(lately) > _KEPT:
            del lately[next(iter(lately))]
        return found

    def _fields(self, windows: list[WindowTokens], index: int, sign: int) -> list[AnyField]:
        config = self._model.config
        way = sign * LATENT_REACH * self._model.maps.ways[index]
        offsets = torch.stack([place * way for place in _LATENT_PLACES])
        stays = [_STAY_NATS * (1.0 - place) for place in _LATENT_PLACES]
        biases = [
            torch.stack([self._plain[w] + token_bonus(window.tokens, stay, config) for stay in stays])
            for w, window in enumerate(windows)
        ]
        made = self._decoded(windows, offsets, biases, [0] * len(stays), own_forms(windows, config))
        columns, row = np.array([0.0, *_LATENT_PLACES]), np.zeros(1)
        return [field_of([[window, *made[w]]], columns, row, config, w) for w, window in enumerate(windows)]

    def _levels(self, windows: list[WindowTokens], name: str, sign: int) -> list[list[WindowTokens]]:
        config = self._model.config
        column = config.attributes.index(name)
        count = max(_FEWEST, _CANDIDATES // (len(windows) * config.stream_steps // _TWO_BARS))
        strengths = [sign * (number + 1) / count for number in range(count)]
        direction = self._model.maps.attributes[column]
        offsets = torch.stack([_FURTHEST * strength * direction for strength in strengths])
        biases, key = [], None if config.part == "drums" else diatonic_set(windows)
        for w, window in enumerate(windows):
            rows = []
            for strength in strengths:
                stay = token_bonus(window.tokens, _STAY_NATS * (1.0 - abs(strength)), config)
                rows.append(self._plain[w] + pull(name, strength, window, key, config) + stay)
            biases.append(torch.stack(rows))
        seeds = [number % _NOISES for number in range(count)]
        forms = None if name == "fill" else own_forms(windows, config)  # a fill is what does not come back
        made = self._decoded(windows, offsets, biases, seeds, forms)
        return [
            chosen_levels(window, made[w], name, sign, config, noise.derived(column, w))
            for w, window in enumerate(windows)
        ]

    def _decoded(
        self,
        windows: list[WindowTokens],
        offsets: Tensor,
        biases: list[Tensor],
        seeds: Sequence[int],
        forms: Ints | None,
    ) -> list[list[WindowTokens]]:
        """For each window what is decoded at each of the offsets (R, Z) from it, in a form (W, U, P) that stays, all in
        one batch.
        """
        means = self._means(windows)
        z = (means[:, None] + offsets[None]).flatten(0, 1)
        all_seeds = [noise.derived(w, seed) for w in range(len(windows)) for seed in seeds]
        each = len(offsets)
        of_rows = None if forms is None else forms.repeat(each, 0)
        bias, heat = torch.cat(biases), self._temperature
        rows = WindowDecode(self._model, z, all_seeds, heat, bias, forms=of_rows).run(self._heard)
        made = [filled_row(row, self._model.config).window for row in rows]
        return [made[w * each : (w + 1) * each] for w in range(len(windows))]

    def _means(self, windows: list[WindowTokens]) -> Tensor:
        """Where windows lie (W, Z)."""
        if _same(windows, self.own.windows):
            return self.own.means
        return self._model.encode(*as_tensors(windows))[0].cpu()


_stages_lately: weakref.WeakKeyDictionary[CompiledModel, dict[object, Any]] = weakref.WeakKeyDictionary()


def _same(windows: Sequence[WindowTokens], others: Sequence[WindowTokens]) -> bool:
    return all(one is other for one, other in zip(windows, others, strict=True))


def _digest(windows: list[WindowTokens]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for window in windows:
        for values in (window.tokens, window.velocities, window.offsets):
            if values is not None:
                digest.update(np.ascontiguousarray(values, dtype=np.int64).tobytes())
    return digest.digest()


def _with_own_notes(made: Bars, own: Bars, *, lines: bool) -> Bars:
    """Notes of `own` that are still there sound as they did: at their moment, as loud and, where they may, as long. A
    line has one note at a time: with one that stays stays the chord that `own` has there. None rings into the next
    of its pitch: what stays may lie nearer to what is new than the grid would have it.
    """
    there = {(step_of(note.start), note.pitch, note.part): note for note in own.notes}
    notes: list[Note] = []
    for note in made.notes:
        was = there.pop((step_of(note.start), note.pitch, note.part), None)
        if was is None:
            notes.append(note)
            continue
        as_long = abs(was.duration - note.duration) <= STEP_BEATS / 2
        duration = was.duration if as_long else max(STEP_BEATS / 4, note.end - was.start)
        notes.append(replace(was, duration=duration))
        if lines:
            step = step_of(was.start)
            notes += [other for other in own.notes if other is not was and step_of(other.start) == step]
    return Bars(in_order(struck_apart(notes)), made.length)


def in_register(bars: Bars, amount: float) -> Bars:
    """`bars` with a share |amount| of the notes an octave higher (or, below 0, lower): from the end of the loop on, or
    up to a place in it, whichever makes the smaller leaps. Notes that would leave the piano stay.
    """
    moving = round(abs(amount) * len(bars.notes))
    if not moving:
        return bars
    shift = _OCTAVE if amount > 0 else -_OCTAVE

    def higher(first: int, last: int) -> list[Note]:
        return [
            replace(note, pitch=note.pitch + shift)
            if first <= number < last and LOWEST_PITCH <= note.pitch + shift <= TOP_PITCH
            else note
            for number, note in enumerate(bars.notes)
        ]

    count = len(bars.notes)
    leaps_up_to, leaps_from = (
        sum(_leap(notes) for notes in side)
        for side in (
            [higher(0, number) for number in range(1, count)],
            [higher(number, count) for number in range(1, count)],
        )
    )
    chosen = higher(0, moving) if leaps_up_to < leaps_from else higher(count - moving, count)
    return Bars(in_order(chosen), bars.length)


def _leap(notes: Sequence[Note]) -> int:
    return sum(abs(b.pitch - a.pitch) for a, b in pairwise(notes))
