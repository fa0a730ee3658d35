"""Windows as units that can change one at a time: the tokens of a line, the single hits of a drum pattern.

A field of anchors holds one window at every place of a grid over the pad (a knob is a grid of one row). Between two
neighbouring anchors each unit has a place of its own at which it changes over, and only the units in which they differ
count: as the knob moves on, they change one after the other, at an even pace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bridge.model.nets import noise
from bridge.model.nets.config import ModelConfig
from bridge.model.playing.framing import WindowTokens, streamed, unstreamed
from bridge.music.grids import DRUM_CLASSES, Floats, Ints, drums_in, line_tokens, tokens_line
from bridge.music.notes import STEPS_PER_BEAT

#: How many hits may change on a whole turn of the knob before those of a step change together.
_FASTEST = 110.0


def units_of(tokens: Ints, config: ModelConfig) -> Ints:
    """The units (..., U) of windows (..., T): a line's tokens in their one canonical form, or 0 and 1 for each of the
    nine drums at each step.
    """
    if config.part == "drums":
        bits = drums_in(tokens)
        return bits.reshape(*tokens.shape[:-1], -1).astype(np.int64)
    return line_tokens(*tokens_line(tokens.astype(np.int64)))


def tokens_of(units: Ints, config: ModelConfig) -> Ints:
    """The tokens (..., T) of units (..., U)."""
    if config.part != "drums":
        return units
    bits = units.reshape(*units.shape[:-1], -1, DRUM_CLASSES)
    tokens: Ints = (bits << np.arange(DRUM_CLASSES)).sum(-1)
    return tokens


def beats_in_turn(config: ModelConfig, seed: int) -> Ints:
    """The order (U,) in which units change over: beat by beat, in an order of the seed's; within a beat as played."""
    each = STEPS_PER_BEAT * (DRUM_CLASSES if config.part == "drums" else 1)
    beats = np.argsort(noise.normal(seed, noise.TURNS, config.steps // STEPS_PER_BEAT), kind="stable")
    order: Ints = (beats[:, None] * each + np.arange(each)).reshape(-1)
    return order


@dataclass(frozen=True, slots=True)
class Field:
    """The anchors of one window of the loop: what is at (x, y) is a function of nothing else.

    `units` (R, C, U) at the places `rows` (R,) and `columns` (C,), each rising from 0 to 1; drums have velocities and
    offset bins (R, C, U) beside them. `across` (C-1, U) and `along` (R-1, U) say where between two columns or rows, 0
    to 1, a unit changes over.
    """

    config: ModelConfig
    units: Ints
    velocities: Floats | None
    offsets: Floats | None
    columns: Floats
    rows: Floats
    across: Floats
    along: Floats

    def at(self, x: float, y: float = 0.0) -> WindowTokens:
        """The window at (x, y), each 0 to 1."""
        column, right = _between(self.columns, x)
        row, up = _between(self.rows, y)
        columns = column + (self.across[column] < right) if len(self.across) else np.zeros(self.units.shape[2], int)
        rows = row + (self.along[row] < up) if len(self.along) else np.zeros(self.units.shape[2], int)
        return self.window_of(rows, columns, x, y)

    def window_of(self, rows: Ints, columns: Ints, x: float, y: float) -> WindowTokens:
        """The window at (x, y) of which each unit is that of the anchor in its row and column (U,)."""
        row, up = _between(self.rows, y)
        column, right = _between(self.columns, x)
        each = np.arange(self.units.shape[2])
        units = self.units[rows, columns, each]
        tokens = tokens_of(units, self.config)
        if self.velocities is None or self.offsets is None:
            return WindowTokens(tokens)
        shares = np.zeros(self.units.shape[:2])
        for r, s in ((row, 1.0 - up), (row + 1, up)):
            for c, t in ((column, 1.0 - right), (column + 1, right)):
                if s * t > 0.0:
                    shares[r, c] = s * t
        weights = shares[:, :, None] * (self.units == 1)
        own = (rows, columns, each)
        velocities, offsets = (_mixed(of_hits, weights, own, units) for of_hits in (self.velocities, self.offsets))
        return WindowTokens(tokens, velocities, offsets)


@dataclass(frozen=True, slots=True)
class TrioField:
    """The anchors of one window of a trio: a field for each of its parts."""

    parts: tuple[Field, ...]

    def at(self, x: float, y: float = 0.0) -> WindowTokens:
        """The window at (x, y), each 0 to 1, as a stream."""
        return streamed([part.at(x, y) for part in self.parts])


AnyField = Field | TrioField


def _between(places: Floats, place: float) -> tuple[int, float]:
    """Which gap a place lies in, and how far through it."""
    if len(places) == 1:
        return 0, 0.0
    index = int(np.clip(np.searchsorted(places, place, side="right") - 1, 0, len(places) - 2))
    gap = float(places[index + 1] - places[index])
    return index, float((place - places[index]) / gap) if gap > 0.0 else 0.0


def _mixed(values: Floats, weights: Floats, own: tuple[Ints, Ints, Ints], units: Ints) -> Ints:
    """Of every hit, the mean over the anchors around that have it too, by nearness; its own where none has."""
    total = weights.sum((0, 1))
    mean = (values * weights).sum((0, 1)) / np.maximum(total, 1e-9)
    mixed: Ints = np.where((units == 1) & (total > 0.0), mean, values[own]).round().astype(np.int64)
    return mixed.reshape(-1, DRUM_CLASSES)


def field_of(
    windows: Sequence[Sequence[WindowTokens]], columns: Floats, rows: Floats, config: ModelConfig, seed: int
) -> AnyField:
    """The field of anchors `windows` (R rows of C)."""
    if config.part == "trio":
        apart = [[unstreamed(window, config) for window in row] for row in windows]
        return TrioField(tuple(
            _field([[parts[part] for parts in row] for row in apart], columns, rows, config.of_part(part), seed)
            for part in range(len(config.parts))
        ))  # fmt: skip
    return _field(windows, columns, rows, config, seed)


def _field(
    windows: Sequence[Sequence[WindowTokens]], columns: Floats, rows: Floats, config: ModelConfig, seed: int
) -> Field:
    units = units_of(np.stack([np.stack([w.tokens for w in row]) for row in windows]), config)
    order = beats_in_turn(config, seed)
    across = _all_turns(units, columns, order, config)
    along = _all_turns(units.swapaxes(0, 1), rows, order, config)
    velocities = offsets = None
    if config.part == "drums":
        velocities, offsets = (
            np.stack([np.stack([getattr(w, name) for w in row]) for row in windows]).reshape(units.shape).astype(float)
            for name in ("velocities", "offsets")
        )
    return Field(config, units, velocities, offsets, columns, rows, across, along)


def _all_turns(units: Ints, places: Floats, order: Ints, config: ModelConfig) -> Floats:
    """Where between neighbouring places (P,) each unit changes over (P-1, U), for units (N, P, U)."""
    found = np.zeros((len(places) - 1, units.shape[2]))
    for index in range(len(found)):
        differ = np.mean([_heard(a, b, order, config) for a, b in units[:, index : index + 2]], axis=0)
        pace = differ.sum() / max(1e-9, float(places[index + 1] - places[index]))
        if config.part == "drums" and pace > _FASTEST:  # all hits of a step at once, or too many steps would change
            by_step = differ.reshape(-1, DRUM_CLASSES)
            first = np.zeros_like(by_step)
            first[:, 0] = by_step.max(1)
            turn = turns(first.reshape(-1), order).reshape(-1, DRUM_CLASSES)
            found[index] = np.repeat(turn[:, :1], DRUM_CLASSES, axis=1).reshape(-1)
        else:
            found[index] = turns(differ, order)
    return found


def _heard(before: Ints, after: Ints, order: Ints, config: ModelConfig) -> Floats:
    """How much it changes (U,) that each unit changes over in its turn: 1 for every hit; of a line as many tokens as
    are then others, for with a note its note-off goes as well, and one that follows no note says nothing.
    """
    differ = before != after
    if config.part == "drums" or not differ.any():
        plain: Floats = differ.astype(np.float64)
        return plain
    changing = order[differ[order]]
    done = np.zeros((len(changing) + 1, len(before)), dtype=bool)
    for number, unit in enumerate(changing.tolist()):
        done[number + 1 :, unit] = True
    stages = units_of(np.where(done, after, before), config)
    weights = np.zeros(len(before))
    weights[changing] = (stages[1:] != stages[:-1]).sum(1)
    return weights


def turns(weights: Floats, order: Ints) -> Floats:
    """Where between 0 and 1 each unit (U,) changes over, so that they follow in `order` (U,) at an even pace, each
    taking as long as its weight.
    """
    ordered = weights[order]
    whole = ordered.sum()
    turn = np.full(len(weights), 0.5)
    if whole > 0.0:
        turn[order] = (np.cumsum(ordered) - 0.5 * ordered) / whole
    return turn
