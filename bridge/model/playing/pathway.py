"""The way from one window to another: which of many decoded windows to pass, so that a knob is neither dead nor wild.

Two loops that have nothing in common differ in fifteen or so of the 32 tokens of a line: straight from one to the other
two of three small moves would change nothing. So the way leads through windows that the model decodes in between, of
which those are chosen (by the shortest way through all of them) that lie at an even distance from one another, further
and further from where the way begins and nearer and nearer to where it ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge.music.grids import Floats, Ints

#: How many units are to change on the whole way: fifty moves of 2 %, one or two changes each, with some to spare for
#: those that do not strike.
_LEAST_CHANGES, _MOST_CHANGES = 68.0, 88.0
_MIDDLE = 0.5
# What a window costs: too few or too many changes from the one before, going back towards the beginning or away from
# the end, lying where the knob is not, having more or fewer notes than the ends, and, in the middle, being unlikely.
_UNEVEN, _BACKWARDS, _ASTRAY, _THIN, _UNLIKELY = 3.0, 2.0, 12.0, 40.0, 3.0
_ASTRAY_FREE, _THIN_FREE, _MIDDLE_COUNTS = 0.15, 0.05, 4.0


def distances(units: Ints) -> Floats:
    """In how many units windows (n, U) differ from each other (n, n)."""
    found: Floats = (units[:, None] != units[None]).sum(2).astype(np.float64)
    return found


def chosen_way(units: Ints, places: Floats, fullness: Floats, surprise_nats: Floats) -> list[int]:
    """The best way through windows `units` (n, U) from the first to the last, as rising indices, both ends included.

    `places` (n,), rising from 0 to 1, is where each window was decoded; `fullness` (n,) how many notes it has,
    `surprise_nats` (n,) how unlikely the model finds it. Where windows were decoded at 0.5, the way passes one of them.
    """
    gaps = distances(units)
    from_start, to_end = gaps[0], gaps[-1]
    own = _own_costs(gaps, places, fullness, surprise_nats)
    best, came = np.full(len(units), np.inf), np.zeros(len(units), dtype=np.int64)
    best[0] = 0.0
    for here in range(1, len(units)):
        before = np.flatnonzero(places[:here] < places[here])
        if places[here] > _MIDDLE and (places == _MIDDLE).any():
            before = before[places[before] >= _MIDDLE]
        gap, change = places[here] - places[before], gaps[before, here]
        uneven = (_LEAST_CHANGES * gap - change).clip(0.0) + (change - _MOST_CHANGES * gap).clip(0.0)
        back = (from_start[before] - from_start[here]).clip(0.0) + (to_end[here] - to_end[before]).clip(0.0)
        cost = best[before] + _UNEVEN * np.square(uneven) / (_LEAST_CHANGES * gap) + _BACKWARDS * back
        pick = int(np.argmin(cost))
        best[here], came[here] = cost[pick] + own[here], before[pick]
    way = [len(units) - 1]
    while way[-1] != 0:
        way.append(int(came[way[-1]]))
    return way[::-1]


def _own_costs(gaps: Floats, places: Floats, fullness: Floats, surprise_nats: Floats) -> Floats:
    """What it costs (n,) to pass each window, wherever one comes from."""
    whole = max(1.0, float(gaps[0, -1]))
    expected = np.maximum(1.0, (1.0 - places) * fullness[0] + places * fullness[-1])
    away = (np.abs(gaps[0] / whole - places), np.abs(gaps[-1] / whole - (1.0 - places)))
    astray = sum((each - _ASTRAY_FREE).clip(0.0) for each in away)
    thin = np.square((np.abs(fullness - expected) / expected - _THIN_FREE).clip(0.0))
    middle = places == _MIDDLE
    own: Floats = _ASTRAY * astray + _THIN * thin * np.where(middle, _MIDDLE_COUNTS, 1.0)
    own = own + np.where(middle, _UNLIKELY * surprise_nats, 0.0)
    own[[0, -1]] = 0.0
    return own


def even_places(units: Ints, way: Sequence[int], places: Floats) -> Floats:
    """Where the windows of a way (k,) stand, so that on either side of the middle the pace of change is even."""
    index = np.asarray(way)
    steps = distances(units)[index[:-1], index[1:]] + 1e-3
    at_middle = np.flatnonzero(places[index] == _MIDDLE)
    if not len(at_middle):
        return np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])
    left, right = steps[: at_middle[0]], steps[at_middle[0] :]
    first, second = np.cumsum(left) / left.sum(), np.cumsum(right) / right.sum()
    return np.concatenate([[0.0], _MIDDLE * first, _MIDDLE + (1.0 - _MIDDLE) * second])
