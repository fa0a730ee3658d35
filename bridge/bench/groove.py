"""How fast the groove is: compiled kernels against their plain twins and against NumPy, and whole bars."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.bench.rows import Row, row
from bridge.limits import MIN_NOTE_BEATS
from bridge.music import groove, kernels, kernels_plain
from bridge.music.groove_settings import GrooveSettings
from bridge.music.notes import Bars, Note, in_order

Floats = NDArray[np.float64]

_NOTES: Final = 64
_LENGTH_BEATS: Final = 8.0
_STEPS: Final = 4
_SHARE: Final = 0.62
_STRENGTH: Final = 0.8
_ROUNDS: Final = 2000
_BATCH: Final = 10  # calls to a reading, so that the clock's own cost does not show


def groove_results() -> list[Row]:
    """Rows of `bench`, in microseconds a call; `baseline` is the median of the other way, `ratio` is p50 over it."""
    groove.warm_up()
    starts = _played_onsets()
    ours = _times_us(lambda: _quantised_and_swung(kernels, starts))
    plain = _times_us(lambda: _quantised_and_swung(kernels_plain, starts))
    in_numpy = _times_us(lambda: numpy_quantised_and_swung(starts))
    bars = _bars(starts)
    knobs = GrooveSettings(quantize=_STRENGTH, swing=100 * _SHARE, humanize=0.5, transpose=2, velocity=0.9)
    whole = _times_us(lambda: groove.apply_groove(bars, knobs, 1, drums=False))
    played = _times_us(lambda: kernels.played_onset(3.21, _STEPS, 1.0, _SHARE, 0.01, 3.2))
    played_plain = _times_us(lambda: kernels_plain.played_onset(3.21, _STEPS, 1.0, _SHARE, 0.01, 3.2))
    repaired = _times_us(lambda: _repaired(kernels, starts))
    repaired_plain = _times_us(lambda: _repaired(kernels_plain, starts))
    return [
        _against(f"groove: quantise and swing {_NOTES} notes, against plain Python", ours, plain),
        _against(f"groove: quantise and swing {_NOTES} notes, against NumPy", ours, in_numpy),
        _against(f"groove: repair {_NOTES} notes, against plain Python", repaired, repaired_plain),
        _against("groove: place a played note, against plain Python", played, played_plain),
        _against(f"groove: bars of {_NOTES} notes, every knob on", whole, None),
    ]


def numpy_quantised_and_swung(starts: Floats) -> Floats:
    """What the two kernels do, as whole-array NumPy: the reference that the benchmark holds them against."""
    targets = np.floor(starts * _STEPS + 0.5) / _STEPS
    placed = starts + _STRENGTH * (targets - starts)
    pair = 2.0 / _STEPS
    base = np.floor(placed / pair) * pair
    inside = placed - base
    late = base + pair * _SHARE + (inside - pair * 0.5) * (2.0 * (1.0 - _SHARE))
    swung = np.where(inside < pair * 0.5, base + inside * (2.0 * _SHARE), late)
    return np.where(placed < np.floor(_LENGTH_BEATS / pair) * pair, swung, placed)


def _quantised_and_swung(which: Any, starts: Floats) -> Floats:
    swung: Floats = which.swing(which.quantize(starts, _STEPS, _STRENGTH), _STEPS, _SHARE, _LENGTH_BEATS)
    return swung


def _repaired(which: Any, starts: Floats) -> Any:
    lines = np.arange(len(starts), dtype=np.int64) % 5
    return which.repair(starts, np.full(len(starts), 0.5), lines, np.zeros_like(lines), _LENGTH_BEATS, MIN_NOTE_BEATS)


def _played_onsets() -> Floats:
    chance = random.Random(1)
    return np.array(sorted(chance.uniform(0.0, _LENGTH_BEATS - 0.2) for _ in range(_NOTES)), dtype=np.float64)


def _bars(starts: Floats) -> Bars:
    notes = (Note(48 + index % 24, start, 0.25, 90) for index, start in enumerate(starts.tolist()))
    return Bars(in_order(notes), _LENGTH_BEATS)


def _times_us(call: Callable[[], object]) -> Floats:
    for _ in range(_BATCH):
        call()
    readings = np.empty(_ROUNDS // _BATCH)
    for index in range(len(readings)):
        began_ns = time.perf_counter_ns()
        for _ in range(_BATCH):
            call()
        readings[index] = (time.perf_counter_ns() - began_ns) / (1000.0 * _BATCH)
    return readings


def _against(name: str, ours: Floats, other: Floats | None) -> Row:
    return row(name, "us", ours.tolist(), None if other is None else float(np.median(other)))
