"""A pad of short loops: a lattice of cells over it, one window a cell, and a step or two from each to the next.

Two bars have 32 steps, of which fifty small moves are to change one or two each, from wherever and whichever way the
point is moved. Where units change over by places of their own (`patterns`), what one move changes is a matter of
chance: on one in four none does, on some five. So the changes are spread out before anything is played: the pad is cut
into cells a little wider than a move of 2 %, which begin with what the field of anchors has there, and then, again and
again, one step of a cell from which a neighbour is no other, or too far, takes what that step is in a cell beside it
or in an anchor around, whichever leaves the distances around most even. Anchors stay as the model decoded them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bridge.model.nets import noise
from bridge.model.nets.config import ModelConfig
from bridge.model.playing.decoding import look_about
from bridge.model.playing.framing import WindowTokens
from bridge.model.playing.patterns import AnyField, Field, tokens_of, units_of
from bridge.music.grids import Floats, Ints

#: Cells on a side: a move of 2 % along it passes a border on nineteen of twenty, and never two.
_CELLS = 47.5
#: Where the first borders lie, in cells: so far apart that neither of the two big diagonals passes a corner of cells,
#: which is two borders at once (of the second because there is a half cell more than a whole number on a side).
_FIRST_X, _FIRST_Y = 0.25, 0.75
_COLUMNS, _ROWS = math.floor(_CELLS + _FIRST_X) + 1, math.floor(_CELLS + _FIRST_Y) + 1
_COUNT = _COLUMNS * _ROWS
#: Neighbours of a cell, as (rows, columns) from it: those across a border, then those across a corner.
_SIDES = ((0, -1), (0, 1), (-1, 0), (1, 0))
_AROUND = (*_SIDES, (-1, -1), (-1, 1), (1, -1), (1, 1))
#: What it costs that a neighbour across a border, or a corner, differs in 0, 1, 2, 3 or 4 steps, and in each more.
_COSTS = ((6.0, 0.0, 0.6, 4.0, 9.0), (4.0, 0.2, 0.0, 1.0, 6.0))
_EACH_MORE = 10.0
#: More steps than these, or none, and something is to be done about it.
_MOST = np.repeat([2, 3], 4)
_SWEEPS = 6
#: How much worse a change may leave a cell in the first sweep, in the last nothing; and by how much chance speaks.
_WARMTH = 0.3
_NEVER, _NOWHERE = 99.0, -9

_Shorts = NDArray[np.int16]
_Reals = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PadField:
    """The cells of a pad over one window of a loop: what is at (x, y) is a function of nothing else.

    `labels` (cells, T) says of each step of a cell which anchor of `field` it is of, counted row by row.
    """

    field: Field
    labels: _Shorts

    def at(self, x: float, y: float = 0.0) -> WindowTokens:
        """The window at (x, y), each 0 to 1."""
        units = self.field.units.shape[2]
        labels = np.repeat(self.labels[cell_at(x, y)].astype(np.int64), units // self.labels.shape[1])
        rows, columns = np.divmod(labels, len(self.field.columns))
        return self.field.window_of(rows, columns, x, y)


def cell_at(x: float, y: float) -> int:
    """The cell in which (x, y) lies, each 0 to 1."""
    return math.floor(y * _CELLS + _FIRST_Y) * _COLUMNS + math.floor(x * _CELLS + _FIRST_X)


def evened(field: AnyField) -> PadField:
    """The pad of a square of anchors of one part, as evenly spread as they allow."""
    assert isinstance(field, Field)
    config, cells = field.config, _cells()
    side, units = len(field.columns), field.units
    values = tokens_of(units, config).reshape(side * side, -1)
    each = units.shape[2] // values.shape[1]
    rows, columns = (
        _turned(turns[:, ::each], np.interp(at, where, np.arange(side)))
        for turns, at, where in (
            (field.along, cells.row, np.floor(field.rows * _CELLS + _FIRST_Y)),
            (field.across, cells.column, np.floor(field.columns * _CELLS + _FIRST_X)),
        )
    )
    labels = (rows * side + columns).astype(np.int16)
    whole = np.array([cell_at(float(x), float(y)) for y in field.rows for x in field.columns])
    labels[whole] = np.arange(side * side)[:, None]
    free = np.ones(_COUNT, dtype=bool)
    free[whole] = False
    near = np.minimum(np.stack([cells.row, cells.column]) * (side - 1) // _CELLS, side - 2).astype(np.int64)
    around = (near[0] * side + near[1])[:, None] + np.array([0, 1, side, side + 1])
    evening = _Evening.begun(config, values.astype(np.int16), labels, around)
    for sweep in range(_SWEEPS):
        for apart in cells.apart:
            evening.take_turns(apart[free[apart]], sweep)
            look_about()
    return PadField(field, evening.labels[:-1])


def _turned(turns: Floats, places: Floats) -> Ints:
    """Which anchor of those in a row, at 0, 1, 2 ..., each step is of at each of the places (P, T)."""
    index = np.minimum(places.astype(np.int64), len(turns) - 1)
    found: Ints = index[:, None] + (turns[index] < (places - index)[:, None])
    return found


@dataclass(frozen=True, slots=True)
class _Cells:
    """In which row and column cells are (cells,), which their neighbours are (cells, 8; one past the last: none), and
    all cells in four groups of which none has neighbours in it.
    """

    row: Ints
    column: Ints
    neighbours: Ints
    apart: tuple[Ints, ...]


@cache
def _cells() -> _Cells:
    rows, columns = np.divmod(np.arange(_COUNT), _COLUMNS)
    beside = []
    for down, right in _AROUND:
        r, c = rows + down, columns + right
        inside = (r >= 0) & (r < _ROWS) & (c >= 0) & (c < _COLUMNS)
        beside.append(np.where(inside, r * _COLUMNS + c, _COUNT))
    colour = rows % 2 * 2 + columns % 2
    apart = tuple(np.flatnonzero(colour == each) for each in range(4))
    return _Cells(rows, columns, np.stack(beside, 1), apart)


@cache
def _chance(steps: int) -> _Reals:
    """What decides between changes that are as good (cells, steps), 0 to 1."""
    ranks = noise.normal(0, noise.TURNS, _COUNT * steps).argsort(kind="stable").argsort(kind="stable")
    return (ranks / len(ranks)).astype(np.float32).reshape(_COUNT, steps)


@cache
def _costs(steps: int) -> _Reals:
    """What a distance of so many steps costs (8, steps + 2), by neighbour."""
    more = np.arange(steps + 2)
    whole = [np.array(costs)[more.clip(0, 4)] + _EACH_MORE * (more - 4).clip(0) for costs in _COSTS]
    return np.repeat(np.array(whole, dtype=np.float32), len(_SIDES), axis=0)


@dataclass(frozen=True, slots=True)
class _Evening:
    """Cells on their way: of which anchor each step is (cells + 1, T), what is played then (cells + 1, T), the last
    beyond the border; the anchors' tokens (anchors, T), and the four anchors around each cell (cells, 4).
    """

    config: ModelConfig
    values: _Shorts
    labels: _Shorts
    played: _Shorts
    around: Ints

    @staticmethod
    def begun(config: ModelConfig, values: _Shorts, labels: _Shorts, around: Ints) -> _Evening:
        played = _as_played(np.take_along_axis(values, labels.astype(np.int64), 0), config)
        beyond = np.zeros_like(labels[:1])
        return _Evening(
            config, values, np.concatenate([labels, beyond]), np.concatenate([played, beyond + _NOWHERE]), around
        )

    def take_turns(self, cells: Ints, sweep: int) -> None:
        """One step of each of those of `cells`, no two of them neighbours, that are wanting: changed if that is good
        for it.
        """
        beside = _cells().neighbours[cells]
        gaps = (self.played[cells][:, None] != self.played[beside]).sum(2)
        wanting = (((gaps == 0) | (gaps > _MOST)) & (beside < _COUNT)).any(1)
        if not wanting.any():
            return
        cells, beside, gaps = cells[wanting], beside[wanting], gaps[wanting]
        warmth = _WARMTH * (1.0 - sweep / (_SWEEPS - 1))
        to, step, worth = self._best(cells, beside, gaps, sweep, warmth)
        good = worth < warmth
        cells, beside, gaps, to, step = cells[good], beside[good], gaps[good], to[good], step[good]
        labels = self.labels[cells]
        labels[np.arange(len(cells)), step] = to
        played = _as_played(np.take_along_axis(self.values, labels.astype(np.int64), 0), self.config)
        costs, each = _costs(self.values.shape[1]), np.arange(len(_AROUND))
        after = (played[:, None] != self.played[beside]).sum(2)
        worse = np.where(beside < _COUNT, costs[each, after] - costs[each, gaps], 0.0).sum(1)
        better = worse < warmth - 1e-6  # as played: without a note its note-off goes too
        self.labels[cells[better]], self.played[cells[better]] = labels[better], played[better]

    def _best(self, cells: Ints, beside: Ints, gaps: Ints, sweep: int, warmth: float) -> tuple[_Shorts, Ints, _Reals]:
        """Of every cell (n,) the label that a step had best take, which step, and by how much more it then costs."""
        steps, sides = self.values.shape[1], len(_SIDES)
        costs, each = _costs(steps), np.arange(len(_AROUND))
        there, now = beside < _COUNT, costs[each, gaps]
        further = np.where(there, costs[each, gaps + 1] - now, 0.0)
        nearer = np.where(there, costs[each, np.maximum(gaps - 1, 0)] - now, 0.0)
        own, others = self.played[cells], self.played[beside]
        leaving = np.einsum("nbt,nb->nt", (own[:, None] == others).astype(np.float32), further)
        anchor = self.around[cells, (cells + sweep) % 4].astype(np.int16)
        labels = np.concatenate(
            [self.labels[beside[:, :sides]], np.broadcast_to(anchor[:, None, None], (len(cells), 1, steps))], axis=1
        )
        tokens = self.values[labels, np.arange(steps)]
        new = (tokens != self.values[self.labels[cells], np.arange(steps)][:, None]) & (tokens != own[:, None])
        new[:, :sides] &= there[:, :sides, None]
        n, k, t = np.nonzero(new)
        arriving = (nearer[n] * (others[n, :, t] == tokens[n, k, t][:, None])).sum(1)
        worth = np.full(new.shape, _NEVER, dtype=np.float32)
        worth[n, k, t] = leaving[n, t] + arriving + warmth * _chance(steps)[(cells[n] + 7 * sweep + k) % _COUNT, t]
        flat = worth.reshape(len(cells), -1)
        best = flat.argmin(1)
        source, step = np.divmod(best, steps)
        here = np.arange(len(cells))
        return labels[here, source, step], step, flat[here, best]


def _as_played(tokens: _Shorts, config: ModelConfig) -> _Shorts:
    """Tokens (..., T) as they are heard, of a line without the note-offs that end nothing."""
    return tokens if config.part == "drums" else units_of(tokens.astype(np.int64), config).astype(np.int16)
