"""Bars moved along attributes and latent directions: a pure function of (bars, knobs, temperature), whatever made them.

Each knob is a stage of its own, from the bars as the stage before left them: latent directions first, then attributes
in their order. What a stage may do is worked out for the whole side of the knob at once and kept: candidates decoded
in one batch, away from the bars by the direction's offset in the latent space and by what pulls on the logits, and for
each level of the knob the one nearest to what is asked (`levels`); of a trio part by part, and by what pulls alone. So
a turn costs nothing but the first time, turning back brings back, and at 0 the bars are what they were, note for note.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets import noise
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import MORPH_TEMPERATURE, ModelConfig
from bridge.model.playing.decoding import WindowDecode, filled_row, look_about
from bridge.model.playing.encoding import Encoded, encode_bars
from bridge.model.playing.forms import own_forms
from bridge.model.playing.framing import (
    WindowTokens,
    as_tensors,
    in_stream,
    is_heard,
    part_of,
    rested,
    streamed,
    to_bars,
    unstreamed,
)
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
            moved = _with_own_notes(made, bars, config, room.stays(windows))
    return _in_register(moved, wanted.get("register", 0.0), config)


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

    def stays(self, windows: Sequence[WindowTokens]) -> list[bool]:
        """For each part whether windows have it as these bars have."""
        config = self._model.config
        pairs = [
            zip(unstreamed(a, config), unstreamed(b, config), strict=True)
            for a, b in zip(windows, self.own.windows, strict=True)
        ]
        return [all(_digest([a]) == _digest([b]) for a, b in of_part) for of_part in zip(*pairs, strict=True)]

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
        struck: it leaves no loop silent, and no part of one. A window in which a part rests goes on resting in it.
        """
        own, config = self.own, self._model.config
        was = [unstreamed(window, config) for window in windows]
        found: dict[int, list[WindowTokens]] = {}
        for way in ways:
            made = [
                parts if window is before else unstreamed(window, config)
                for window, before, parts in zip(way, windows, was, strict=True)
            ]
            for part in set(range(len(config.parts))) - found.keys():
                mine = config.of_part(part)
                kept = [
                    new[part] if is_heard(old[part], mine, config.steps) else old[part]
                    for new, old in zip(made, was, strict=True)
                ]
                if to_bars(kept, own.frame.of_part(part, config), mine, own.bars.length).notes:
                    found[part] = kept
            if len(found) == len(config.parts):
                break
        return [
            _whole(window, parts, [found[part][w] if part in found else old for part, old in enumerate(parts)])
            for w, (window, parts) in enumerate(zip(windows, was, strict=True))
        ]

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
        step = torch.zeros(config.latent_size)
        if name in config.mapped:
            step = self._model.maps.attributes[config.mapped.index(name)]
        offsets = torch.stack([_FURTHEST * strength * step for strength in strengths])
        by_strength = []
        for strength in strengths:
            by_strength.append(self._pulled(windows, name, strength))
            look_about()
        biases = [torch.stack(rows) for rows in zip(*by_strength, strict=True)]
        seeds = [number % _NOISES for number in range(count)]
        forms = None if name == "fill" else own_forms(windows, config)  # a fill is what does not come back
        made = self._decoded(windows, offsets, biases, seeds, forms)
        found = []
        for w, window in enumerate(windows):
            was, rows = unstreamed(window, config), [unstreamed(row, config) for row in made[w]]
            by_part = []
            for part, base in enumerate(was):
                mine = config.of_part(part)
                levels = [base] * (LEVELS + 1)
                if name in mine.attributes:
                    own = [row[part] for row in rows]
                    levels = chosen_levels(base, own, name, sign, mine, noise.derived(column, w))
                    look_about()
                by_part.append(levels)
            found.append([_whole(window, was, level) for level in zip(*by_part, strict=True)])
        return found

    def _pulled(self, windows: list[WindowTokens], name: str, strength: float) -> list[Tensor]:
        """The whole bias of each window: the parts that have the attribute are pulled, all like to stay."""
        config = self._model.config
        apart = [unstreamed(window, config) for window in windows]
        parts = [config.of_part(part) for part in range(len(config.parts))]
        keys = [
            None if mine.part == "drums" else diatonic_set([own[part] for own in apart])
            for part, mine in enumerate(parts)
        ]
        found = []
        for w, window in enumerate(windows):
            pulls = [
                pull(name, strength, base, key, mine, alone=name not in config.mapped)
                if name in mine.attributes
                else torch.zeros(mine.steps, mine.classes)
                for base, key, mine in zip(apart[w], keys, parts, strict=True)
            ]
            stay = token_bonus(window.tokens, _STAY_NATS * (1.0 - abs(strength)), config)
            found.append(self._plain[w] + in_stream(pulls, config) + stay)
        return found

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
        config, own = self._model.config, self.own.windows
        made = [rested(filled_row(row, config).window, config, own) for row in rows]
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


def _whole(window: WindowTokens, parts: Sequence[WindowTokens], others: Sequence[WindowTokens]) -> WindowTokens:
    """A window of `parts` with `others` in their places; itself where those are its own."""
    if _same(parts, others):
        return window
    return streamed(others) if len(others) > 1 else others[0]


def _with_own_notes(made: Bars, own: Bars, config: ModelConfig, stays: Sequence[bool]) -> Bars:
    """Notes of `own` that are still there sound as they did: at their moment, as loud and, where they may, as long; of
    a part that `stays` all of them. A line has one note at a time: with one that stays stays the chord that `own` has
    there. None rings into the next of its pitch: what stays may lie nearer to what is new than the grid would have it.
    """
    if len(config.parts) == 1:
        return Bars(in_order(_taken_over(made, own, lines=config.part != "drums")), made.length)
    notes: list[Note] = []
    for part, name in enumerate(config.parts):
        mine = part_of(own, part)
        kept = mine.notes if stays[part] else _taken_over(part_of(made, part), mine, lines=name != "drums")
        notes += [note.in_part(part) for note in kept]
    return Bars(in_order(notes), made.length)


def _taken_over(made: Bars, own: Bars, *, lines: bool) -> list[Note]:
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
    return struck_apart(notes)


def _in_register(bars: Bars, amount: float, config: ModelConfig) -> Bars:
    """`bars` with the lines of a trio each moved by itself (see `in_register`), and its drums as they are."""
    if len(config.parts) == 1 or not amount:
        return in_register(bars, amount)
    notes: list[Note] = []
    for part, name in enumerate(config.parts):
        mine = part_of(bars, part)
        moved = mine if name == "drums" else in_register(mine, amount)
        notes += [note.in_part(part) for note in moved.notes]
    return Bars(in_order(notes), bars.length)


def in_register(bars: Bars, amount: float) -> Bars:
    """`bars` with a share |amount| of the notes an octave higher (or, below 0, lower): from the end of the loop on, or
    up to a place in it, whichever makes the smaller leaps. Notes that would leave the piano stay.
    """
    count = len(bars.notes)
    moving = round(abs(amount) * count)
    if not moving:
        return bars
    shift = _OCTAVE if amount > 0 else -_OCTAVE
    pitches = np.array([note.pitch for note in bars.notes])
    inside = (pitches + shift >= LOWEST_PITCH) & (pitches + shift <= TOP_PITCH)
    moved = np.where(inside, pitches + shift, pitches)
    first, last = (0, moving) if _leaps(moved, pitches) < _leaps(pitches, moved) else (count - moving, count)
    chosen = [
        replace(note, pitch=int(moved[number])) if first <= number < last else note
        for number, note in enumerate(bars.notes)
    ]
    return Bars(in_order(chosen), bars.length)


def _leaps(before: Ints, after: Ints) -> int:
    """The leaps, in semitones, of all lines that change over from pitches `before` (n,) to those `after` at one of the
    notes but the first.
    """
    so_far = np.abs(np.diff(before)).cumsum()
    to_come = np.abs(np.diff(after))[::-1].cumsum()[::-1]
    joints = np.abs(after[1:] - before[:-1])
    return int(joints.sum() + so_far[:-1].sum() + to_come[1:].sum())
