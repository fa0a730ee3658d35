"""The levels of an attribute knob for one window: of many windows, for each level the one nearest to what is asked.

The windows to choose from are those that the model decoded, and what lies between each of the best of them and the
window that the knob began with: the same with the differing notes changed over one after the other, in two orders. From
level to level the attribute never goes back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bridge.model.nets.config import ModelConfig
from bridge.model.playing.attributes import SPREADS, measure
from bridge.model.playing.framing import WindowTokens
from bridge.model.playing.patterns import beats_in_turn, tokens_of, units_of
from bridge.music.grids import DRUM_CLASSES, ON_THE_GRID, PITCHES, Floats, Ints

#: How many levels a knob has on either side of 0.
LEVELS = 16
#: How many standard deviations more (or less) of an attribute the end of the knob asks for.
_REACH = {"density": 1.5, "syncopation": 4.0, "interval": 1.25, "diatonic": 4.0, "fill": 2.5}
_BEST, _ORDERS, _MOST_STAGES = 6, 2, 16
_SIDE_COST, _LOSS_COST, _STEP_COST, _STILL_COST = 0.4, 8.0, 1.0, 0.5
_LOSS_AT_REST, _LOSS_A_TURN = 0.1, 0.75
#: Amounts nearer than this, in standard deviations, are one; so few are taken one by one.
_SAME, _FEW_RUNGS = 1e-6, 8
#: What the end of a knob may cost beyond the cheapest window for it, to lead further.
_SLACK = 0.5


@dataclass(frozen=True, slots=True)
class _Pool:
    """Windows as units (n, U), with the velocities and offset bins of drums (n, U)."""

    units: Ints
    velocities: Ints | None
    offsets: Ints | None


def chosen_levels(
    base: WindowTokens, made: list[WindowTokens], attribute: str, sign: int, config: ModelConfig, seed: int
) -> list[WindowTokens]:
    """The window at each level of the knob on the side of `sign` (1 or -1), from 0 (`base` itself) to `LEVELS`."""
    column = config.attributes.index(attribute)
    spreads = np.array(SPREADS[config.part])
    start = measure(base.tokens[None], config)[0]
    pool = _pool([base, *made], config)
    away = (measure(tokens_of(pool.units, config), config) - start) / spreads
    cost = _costs(away, _lost(pool.units, config), sign * _REACH[attribute], column, 1.0)
    best = np.argsort(cost[1:], kind="stable")[:_BEST] + 1
    pool = _with_stages(pool, best, config, seed)
    tokens = tokens_of(pool.units, config)
    away = (measure(tokens, config) - start) / spreads
    lost = _lost(pool.units, config)
    more = sign * away[:, column]
    whole = _costs(away, lost, sign * _REACH[attribute], column, 1.0)
    rungs = _rungs(more, min(_REACH[attribute], float(more[whole <= whole.min() + _SLACK].max())))
    levels, reached, pick = [base], 0.0, 0
    for level in range(1, LEVELS + 1):
        turn = level / LEVELS
        asked = _asked(rungs, turn)
        cost = _costs(away, lost, sign * asked, column, turn)
        cost = cost + _STEP_COST * (tokens != tokens[pick]).mean(1)  # what is near the level before
        allowed = more >= reached - _SAME
        if len(rungs) <= _FEW_RUNGS:
            allowed &= np.abs(more - asked) <= _SAME
        pick = int(np.argmin(np.where(allowed, cost, np.inf)))
        reached = max(0.0, float(more[pick]))
        levels.append(_window(pool, pick, config))
    return levels


def _rungs(more: Floats, reach: float) -> Floats:
    """The different amounts (m,), more of the attribute than there is, that windows can be had with, up to `reach`; the
    least of all where none is so small.
    """
    amounts = np.sort(more[more > _SAME])
    amounts = amounts[np.diff(amounts, prepend=0.0) > _SAME]
    return amounts[: max(1, int((amounts <= reach + _SAME).sum()))]


def _asked(rungs: Floats, turn: float) -> float:
    """How much more is asked for. A loop with few notes has few amounts: each of them gets its share of the turn, or
    the smaller ones would be skipped; where there are many it grows evenly.
    """
    if not len(rungs):
        return 0.0
    if len(rungs) <= _FEW_RUNGS:
        return float(rungs[math.ceil(turn * len(rungs) - _SAME) - 1])
    return float(rungs[-1]) * turn


def _costs(away: Floats, lost: Floats, asked: float, column: int, turn: float) -> Floats:
    """What each window (n,) costs when so much is asked: missing it, moving other attributes, losing many notes,
    and not moving at all.
    """
    still = away[:, column] * np.sign(asked) <= 1e-9
    others = np.abs(np.delete(away, column, axis=1))
    excess = (lost - _LOSS_AT_REST - _LOSS_A_TURN * turn).clip(0.0)
    cost: Floats = (
        np.abs(away[:, column] - asked)
        + _SIDE_COST * np.minimum(others, np.square(others)).sum(1)
        + _LOSS_COST * np.square(excess)
        + _STILL_COST * turn * still
    )
    return cost


def _lost(units: Ints, config: ModelConfig) -> Floats:
    """The share (n,) of the first window's notes that the others have not."""
    notes = units[0] == 1 if config.part == "drums" else units[0] < PITCHES
    lost: Floats = ((units != units[0]) & notes).sum(1) / max(1, int(notes.sum()))
    return lost


def _pool(windows: list[WindowTokens], config: ModelConfig) -> _Pool:
    units = units_of(np.stack([w.tokens for w in windows]), config)
    if config.part != "drums":
        return _Pool(units, None, None)
    velocities, offsets = (
        np.stack([getattr(w, name) for w in windows]).reshape(len(windows), -1) for name in ("velocities", "offsets")
    )
    return _Pool(units, velocities, offsets)


def _with_stages(pool: _Pool, best: Ints, config: ModelConfig, seed: int) -> _Pool:
    """The pool with the stages between its first window and each of the best ones."""
    masks, sources = [], []
    for number in range(_ORDERS):
        order = beats_in_turn(config, seed + number)
        for index in best.tolist():
            differ = order[(pool.units[0] != pool.units[index])[order]]
            counts = np.unique(np.linspace(0, len(differ), _MOST_STAGES + 1).round().astype(int)[1:-1])
            for count in counts.tolist():
                mask = np.zeros(pool.units.shape[1], dtype=bool)
                mask[differ[:count]] = True
                masks.append(mask)
                sources.append(index)
    if not masks:
        return pool
    changed = np.stack(masks)

    def staged(values: Ints | None) -> Ints | None:
        if values is None:
            return None
        return np.concatenate([values, np.where(changed, values[sources], values[:1])])

    units = staged(pool.units)
    assert units is not None
    if config.part != "drums":  # a note-off after a note that has gone says nothing
        units = units_of(units, config)
    return _Pool(units, staged(pool.velocities), staged(pool.offsets))


def _window(pool: _Pool, index: int, config: ModelConfig) -> WindowTokens:
    tokens = tokens_of(pool.units[index], config)
    if pool.velocities is None or pool.offsets is None:
        return WindowTokens(tokens)
    struck = pool.units[index] == 1
    velocities = np.where(struck, pool.velocities[index], 0).reshape(-1, DRUM_CLASSES)
    offsets = np.where(struck, pool.offsets[index], ON_THE_GRID).reshape(-1, DRUM_CLASSES)
    return WindowTokens(tokens, velocities, offsets)
