"""The groove kernels in plain Python: what `kernels` is tested against, and what plays until those are compiled.

Same names, arguments and results as in `kernels`, where each is described; the arithmetic is the same operation by
operation, so that results agree to the last bit, but the way through the notes is each module's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import count

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_WORD = 0xFFFFFFFF


def _floats(values: Iterable[float]) -> Floats:
    return np.array(list(values), dtype=np.float64)


def _nearest(beats: float, steps_per_beat: int) -> float:
    return math.floor(beats * steps_per_beat + 0.5) / steps_per_beat


def _swung(beats: float, steps_per_beat: int, share: float) -> float:
    pair = 2.0 / steps_per_beat
    base = math.floor(beats / pair) * pair
    inside = beats - base
    if inside < pair * 0.5:
        return base + inside * (2.0 * share)
    return base + pair * share + (inside - pair * 0.5) * (2.0 * (1.0 - share))


def _unswung(beats: float, steps_per_beat: int, share: float) -> float:
    pair = 2.0 / steps_per_beat
    base = math.floor(beats / pair) * pair
    inside = beats - base
    if inside < pair * share:
        return base + inside / (2.0 * share)
    return base + pair * 0.5 + (inside - pair * share) / (2.0 * (1.0 - share))


def quantize(start_beats: Floats, steps_per_beat: int, strength: float) -> Floats:
    """Onsets pulled towards the grid; see `kernels.quantize`."""
    if strength <= 0.0:
        return start_beats.copy()
    targets = [(beats, _nearest(beats, steps_per_beat)) for beats in start_beats.tolist()]
    if strength >= 1.0:
        return _floats(target for _, target in targets)
    return _floats(beats + strength * (target - beats) for beats, target in targets)


def swing(beats: Floats, steps_per_beat: int, share: float, length_beats: float) -> Floats:
    """Times bent by the swing; see `kernels.swing`."""
    if share == 0.5 or steps_per_beat in (3, 6):
        return beats.copy()
    pair = 2.0 / steps_per_beat
    limit = math.floor(length_beats / pair) * pair
    return _floats(_swung(time, steps_per_beat, share) if time < limit else time for time in beats.tolist())


def _mixed(value: int, salt: int) -> int:
    word = (value ^ salt) & _WORD
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & _WORD
    word = ((word ^ (word >> 15)) * 0x846CA68B) & _WORD
    return word ^ (word >> 16)


def _noise(key: int, seed: int, stream: int) -> float:
    first = _mixed(key, _mixed(seed, stream * 0x9E3779B1))
    return (first + _mixed(key, first ^ 0x5BD1E995)) / 2.0**32 - 1.0


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
    """Onsets and velocities with small deviations; see `kernels.humanize`."""
    starts: list[float] = start_beats.tolist()
    onsets = sorted(set(starts))
    room_before = {onset: onset - before for before, onset in zip([0.0, *onsets], onsets, strict=False)}
    room_after = {onset: after - onset for onset, after in zip(onsets, [*onsets[1:], length_beats], strict=False)}
    moved, loud = [], []
    met: dict[tuple[int, float], float] = {}
    columns = (starts, velocities.tolist(), lines.tolist(), onset_keys.tolist(), note_keys.tolist())
    for start, velocity, line, onset_key, note_key in zip(*columns, strict=True):
        deviation = 0.5 * (_noise(onset_key, seed, 1) + _noise(note_key, seed, 2)) * timing_beats
        deviation = min(max(deviation, -clip_beats), clip_beats)
        place = start + min(max(deviation, -0.45 * room_before[start]), 0.45 * room_after[start])
        moved.append(met.setdefault((line, start), place))
        accent = 0.5 * (_noise(onset_key, seed, 3) + _noise(note_key, seed, 4))
        loud.append(velocity + math.floor(accent * velocity_range + 0.5))
    return _floats(moved), np.array(loud, dtype=np.int64)


def repair(
    start_beats: Floats,
    duration_beats: Floats,
    lines: Ints,
    tied: Ints,
    length_beats: float,
    least_beats: float,
) -> tuple[Floats, Floats]:
    """Notes made playable round the loop; see `kernels.repair`."""
    starts: list[float] = start_beats.tolist()
    durations: list[float] = duration_beats.tolist()
    line_of: list[int] = lines.tolist()
    apart = min(least_beats, length_beats / (len(starts) + 1))
    members: dict[int, list[int]] = {}
    for index, line in enumerate(line_of):
        members.setdefault(line, []).append(index)
    for chain in members.values():
        earliest = 0.0
        for index in chain:
            starts[index] = max(starts[index], earliest)
            earliest = starts[index] + apart
        limit = length_beats
        for index in reversed(chain):
            starts[index] = min(starts[index], limit - apart)
            durations[index] = _fitted(starts[index], durations[index], limit, apart, bool(tied[index]))
            limit = starts[index]
    return _floats(starts), _floats(durations)


def _fitted(start: float, duration: float, limit: float, least: float, tied: bool) -> float:
    """The duration that ends no later than `limit` (exactly, as start + duration is computed)."""
    room = limit - start
    fitted = max(room if tied or start + duration > limit else duration, min(least, room))
    while start + fitted > limit:
        fitted = math.nextafter(fitted, 0.0)
    return fitted


def played_onset(
    onset_beats: float, steps_per_beat: int, strength: float, share: float, latency_beats: float, earliest_beats: float
) -> float:
    """Where a note just played belongs; see `kernels.played_onset`."""
    if steps_per_beat in (3, 6):
        share = 0.5
    true_beats = onset_beats - latency_beats

    def grid_point(step: int) -> float:
        straight = step / steps_per_beat
        return straight if share == 0.5 else _swung(straight, steps_per_beat, share)

    def position(beats: float) -> float:
        return beats if share == 0.5 else _unswung(beats, steps_per_beat, share)

    target = grid_point(math.floor(position(true_beats) * steps_per_beat + 0.5))
    placed = target if strength >= 1.0 else true_beats + strength * (target - true_beats)
    if placed >= earliest_beats:
        return placed
    first = math.floor(position(earliest_beats) * steps_per_beat)
    ahead = next(point for point in map(grid_point, count(first)) if point >= earliest_beats)
    return ahead if strength >= 1.0 else earliest_beats + strength * (ahead - earliest_beats)
