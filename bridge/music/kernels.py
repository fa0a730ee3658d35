"""The groove, compiled: Numba kernels over plain arrays, with explicit signatures and a cache on disk.

Importing this module imports numba and compiles the kernels (or loads them from the cache), so only `groove.warm_up`
imports it. `kernels_plain` holds the same functions in plain Python; both give the same numbers to the last bit, for
which reason there is no fastmath here and no function of a mathematics library.

All arrays are one-dimensional and contiguous: times are float64 in beats, everything else is int64. Where it says
"sorted", `start_beats` does not decrease. Nothing is changed in place.
"""

# ruff: noqa: E402 - numba reads NUMBA_CACHE_DIR when it is imported, so the cache is settled first
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

from bridge.music.kernel_cache import settle_cache

settle_cache()

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def _compiled(signature: str) -> Callable[[_Kernel], _Kernel]:
    """`numba.njit` with a signature and a cache, typed so that the kernel keeps its own signature for the checker."""
    return cast("Callable[[_Kernel], _Kernel]", numba.njit(signature, cache=True))


@_compiled("float64(float64, int64)")
def _nearest(beats: float, steps_per_beat: int) -> float:
    # Dividing (and not multiplying by 1/3) gives the float nearest to the true place, so on-grid notes stay put.
    return math.floor(beats * steps_per_beat + 0.5) / steps_per_beat


@_compiled("float64(float64, int64, float64)")
def _swung(beats: float, steps_per_beat: int, share: float) -> float:
    pair = 2.0 / steps_per_beat
    base = math.floor(beats / pair) * pair
    inside = beats - base
    if inside < pair * 0.5:
        return base + inside * (2.0 * share)
    return base + pair * share + (inside - pair * 0.5) * (2.0 * (1.0 - share))


@_compiled("float64(float64, int64, float64)")
def _unswung(beats: float, steps_per_beat: int, share: float) -> float:
    pair = 2.0 / steps_per_beat
    base = math.floor(beats / pair) * pair
    inside = beats - base
    if inside < pair * share:
        return base + inside / (2.0 * share)
    return base + pair * 0.5 + (inside - pair * share) / (2.0 * (1.0 - share))


@_compiled("float64[::1](float64[::1], int64, float64)")
def quantize(start_beats: Floats, steps_per_beat: int, strength: float) -> Floats:
    """Onsets pulled to the nearest grid point (half way: the later) by `strength` 0-1; never reorders them."""
    out = start_beats.copy()
    if strength > 0.0:
        for i in range(len(out)):
            target = _nearest(out[i], steps_per_beat)
            out[i] = target if strength >= 1.0 else out[i] + strength * (target - out[i])
    return out


@_compiled("float64[::1](float64[::1], int64, float64, float64)")
def swing(beats: Floats, steps_per_beat: int, share: float, length_beats: float) -> Floats:
    """Times bent so that every second step begins at `share` (0.5-0.75) of its pair of steps.

    Straight between grid points, so order and micro-timing are kept. Triplet grids, and a last pair that does not
    fit into the loop, stay as they are.
    """
    out = beats.copy()
    if share == 0.5 or steps_per_beat % 3 == 0:
        return out
    pair = 2.0 / steps_per_beat
    limit = math.floor(length_beats / pair) * pair
    for i in range(len(out)):
        if out[i] < limit:
            out[i] = _swung(out[i], steps_per_beat, share)
    return out


@_compiled("int64(int64, int64)")
def _mixed(value: int, salt: int) -> int:
    # The 32-bit finaliser "lowbias32" (Chris Wellons, public domain) over a salted value. In 64 bits the products
    # wrap, but their low 32 bits, all that is kept, are the same as those of unbounded integers.
    word = (value ^ salt) & 0xFFFFFFFF
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    word = ((word ^ (word >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return word ^ (word >> 16)


@_compiled("float64(int64, int64, int64)")
def _noise(key: int, seed: int, stream: int) -> float:
    # -1 to 1, triangular: the sum of two uniform numbers drawn by counter, so no draw depends on another.
    salt = _mixed(seed, stream * 0x9E3779B1)
    first = _mixed(key, salt)
    second = _mixed(key, first ^ 0x5BD1E995)
    return (first + second) / 4294967296.0 - 1.0


@_compiled(
    "Tuple((float64[::1], int64[::1]))"
    "(float64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64, float64, float64, float64, float64)"
)
def humanize(
    start_beats: Floats,
    velocities: Ints,
    lines: Ints,
    onset_keys: Ints,
    note_keys: Ints,
    seed: int,
    timing_beats: float,
    clip_beats: float,
    velocity_range: float,
    length_beats: float,
) -> tuple[Floats, Ints]:
    """Sorted onsets and their velocities with small deviations that depend on nothing but `seed` and the keys.

    Half of a deviation comes from the onset's key, half from the note's: what is struck together stays nearly
    together, and what meets on one line stays together. Timing stays within `timing_beats` and `clip_beats`, and short
    of half way to a neighbour's onset, so order is kept; velocities move by at most `velocity_range`, unclipped.
    """
    out = start_beats.copy()
    loud = velocities.copy()
    n = len(out)
    if n == 0:
        return out, loud
    met_at = np.full(lines.max() + 1, -1, dtype=np.int64)
    before = 0.0
    for i in range(n):
        here = start_beats[i]
        if i > 0 and start_beats[i - 1] < here:
            before = start_beats[i - 1]
        j = i + 1
        while j < n and start_beats[j] <= here:
            j += 1
        after = start_beats[j] if j < n else length_beats
        together = _noise(int(onset_keys[i]), seed, 1)
        alone = _noise(int(note_keys[i]), seed, 2)
        deviation = 0.5 * (together + alone) * timing_beats
        deviation = min(max(deviation, -clip_beats), clip_beats)
        first = met_at[lines[i]]
        if first >= 0 and start_beats[first] == here:
            out[i] = out[first]
        else:
            out[i] = here + min(max(deviation, -0.45 * (here - before)), 0.45 * (after - here))
            met_at[lines[i]] = i
        accent = 0.5 * (_noise(int(onset_keys[i]), seed, 3) + _noise(int(note_keys[i]), seed, 4))
        loud[i] = velocities[i] + math.floor(accent * velocity_range + 0.5)
    return out, loud


@_compiled("Tuple((float64[::1], float64[::1]))(float64[::1], float64[::1], int64[::1], int64[::1], float64, float64)")
def repair(
    start_beats: Floats,
    duration_beats: Floats,
    lines: Ints,
    tied: Ints,
    length_beats: float,
    least_beats: float,
) -> tuple[Floats, Floats]:
    """Sorted notes made playable round a loop of `length_beats`: (starts, durations), as many as came in.

    Notes of one line (an id from 0 up) never overlap: onsets that meet are set `least_beats` apart, in their order,
    and a note ends where the next of its line begins, or at the loop's end. A `tied` one lasts until there. No note is
    shorter than `least_beats`, unless so many share the loop that they would not fit.
    """
    n = len(start_beats)
    start = start_beats.copy()
    duration = duration_beats.copy()
    if n == 0:
        return start, duration
    apart = min(least_beats, length_beats / (n + 1))
    n_lines = lines.max() + 1
    earliest = np.zeros(n_lines)
    for i in range(n):
        start[i] = max(start[i], earliest[lines[i]])
        earliest[lines[i]] = start[i] + apart
    limit = np.full(n_lines, length_beats)
    for i in range(n - 1, -1, -1):
        line = lines[i]
        start[i] = min(start[i], limit[line] - apart)
        room = limit[line] - start[i]
        if tied[i] != 0 or start[i] + duration[i] > limit[line]:
            duration[i] = room
        duration[i] = max(duration[i], min(apart, room))
        while start[i] + duration[i] > limit[line]:  # the sum may round to just above
            duration[i] = np.nextafter(duration[i], 0.0)
        limit[line] = start[i]
    return start, duration


@_compiled("float64(float64, int64, float64, float64, float64, float64)")
def played_onset(
    onset_beats: float, steps_per_beat: int, strength: float, share: float, latency_beats: float, earliest_beats: float
) -> float:
    """Where a note that was just played belongs, in beats.

    `latency_beats` is how long it took to arrive; the rest of the way leads by `strength` to the nearest grid point,
    swung by `share`. Where that lies before `earliest_beats` (-inf: anything goes), the note is to be heard
    at the first swung grid point from there on, at strength 0 at once, between them in proportion.
    """
    swung = share != 0.5 and steps_per_beat % 3 != 0
    true_beats = onset_beats - latency_beats
    straight = true_beats
    if swung:
        straight = _unswung(true_beats, steps_per_beat, share)
    target = _nearest(straight, steps_per_beat)
    if swung:
        target = _swung(target, steps_per_beat, share)
    placed = target if strength >= 1.0 else true_beats + strength * (target - true_beats)
    if placed >= earliest_beats:
        return placed
    step = math.floor((_unswung(earliest_beats, steps_per_beat, share) if swung else earliest_beats) * steps_per_beat)
    ahead = step / steps_per_beat
    while (_swung(ahead, steps_per_beat, share) if swung else ahead) < earliest_beats:
        step += 1
        ahead = step / steps_per_beat
    if swung:
        ahead = _swung(ahead, steps_per_beat, share)
    return ahead if strength >= 1.0 else earliest_beats + strength * (ahead - earliest_beats)
