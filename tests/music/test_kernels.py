"""The compiled kernels against their plain twins, and what both promise."""

from __future__ import annotations

import math
import platform

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bridge.limits import MIN_NOTE_BEATS
from bridge.music import kernels, kernels_plain
from bridge.music.groove_settings import GRIDS

STEPS = st.sampled_from(sorted(GRIDS.values()))
STRENGTH = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
SHARE = st.one_of(st.sampled_from([0.5, 0.75, 2 / 3]), st.floats(0.5, 0.75))
LENGTH = st.one_of(st.sampled_from([0.25, 3.0, 8.0, 64.0]), st.floats(0.25, 64.0))
#: Played positions, positions on every grid, and neighbours so close that they meet.
BEATS = st.one_of(
    st.floats(0, 64),
    st.builds(lambda k, n: k / n, st.integers(0, 256), STEPS),
    st.builds(lambda k, n: k / 8 + n * 1e-4, st.integers(0, 64), st.integers(-3, 3)).map(abs),
)
NOTES = st.lists(st.tuples(BEATS, st.floats(1e-6, 8.0), st.integers(0, 5), st.booleans()), max_size=40)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def same(got: object, wanted: object) -> bool:
    """Equal to the last bit where we have seen it to be so; elsewhere a fused multiply-add may move the last one."""
    if platform.machine() in ("x86_64", "AMD64"):
        return np.array_equal(np.asarray(got), np.asarray(wanted))
    return np.allclose(np.asarray(got, float), np.asarray(wanted, float), rtol=0, atol=1e-9)


def floats(values: list[float]) -> Floats:
    return np.array(values, dtype=np.float64)


def columns(notes: list[tuple[float, float, int, bool]], length: float) -> tuple[Floats, Floats, Ints, Ints]:
    inside = sorted((start % length, duration, line, tied) for start, duration, line, tied in notes)
    starts, durations = floats([note[0] for note in inside]), floats([note[1] for note in inside])
    lines = np.array([note[2] for note in inside], dtype=np.int64)
    return starts, durations, lines, np.array([note[3] for note in inside], dtype=np.int64)


@given(st.lists(BEATS), STEPS, STRENGTH)
def test_quantize_is_its_twin_and_keeps_order(beats: list[float], steps: int, strength: float) -> None:
    starts = floats(sorted(beats))
    got = kernels.quantize(starts, steps, strength)
    assert same(got, kernels_plain.quantize(starts, steps, strength))
    assert np.all(np.diff(got) >= -1e-12)
    assert np.all(np.abs(got - starts) <= strength * 0.5 / steps + 1e-9)
    if strength == 1.0:
        assert np.array_equal(got, np.round(got * steps) / steps)
    if strength == 0.0:
        assert np.array_equal(got, starts)


@given(st.lists(BEATS), STEPS, SHARE, LENGTH)
def test_swing_is_its_twin_and_keeps_order_and_the_loop(
    beats: list[float], steps: int, share: float, length: float
) -> None:
    times = floats(sorted(beats))
    got = kernels.swing(times, steps, share, length)
    assert same(got, kernels_plain.swing(times, steps, share, length))
    assert np.all(np.diff(got) >= -1e-12)
    assert np.all(got[times < length] <= length)  # what is one bit short of the end may round onto it
    assert np.array_equal(got[times >= length], times[times >= length])
    assert np.all(got - times >= -1e-12)
    assert np.all(got - times <= (2 * share - 1) / steps + 1e-12)


@pytest.mark.parametrize("share", [0.5, 0.58, 2 / 3, 0.75])
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_swing_puts_every_second_step_at_its_share_of_the_pair(steps: int, share: float) -> None:
    grid = np.arange(4 * steps) / steps
    pair = 2 / steps
    wanted = floats([(k // 2) * pair + (k % 2) * share * pair for k in range(4 * steps)])
    assert np.allclose(kernels.swing(grid, steps, share, 4.0), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [3, 6])
def test_swing_leaves_triplet_grids(steps: int) -> None:
    times = floats([0.0, 1 / 3, 0.4, 1 / 6, 3.99])
    assert np.array_equal(kernels.swing(times, steps, 0.75, 4.0), times)


@given(
    st.lists(st.tuples(BEATS, st.integers(0, 127), st.integers(1, 127), st.integers(0, 9)), max_size=40),
    st.integers(0, 2**32 - 1),
    st.floats(0, 0.07),
    st.floats(0, 12),
    STEPS,
)
def test_humanize_is_its_twin_bounded_and_keeps_order(
    notes: list[tuple[float, int, int, int]], seed: int, timing: float, loudness: float, steps: int
) -> None:
    length, clip = 257.0, 0.25 / steps
    notes.sort()
    starts = floats([note[0] for note in notes])
    ticks = np.array([round(note[0] * 480) for note in notes], dtype=np.int64)
    keys = ticks * 512 + np.array([note[1] for note in notes], dtype=np.int64)
    velocities = np.array([note[2] for note in notes], dtype=np.int64)
    lines = np.array([note[3] for note in notes], dtype=np.int64)
    arguments = (starts, velocities, lines, ticks, keys, seed, timing, clip, loudness, length)
    moved, loud = kernels.humanize(*arguments)
    twin_moved, twin_loud = kernels_plain.humanize(*arguments)
    assert same(moved, twin_moved)
    assert same(loud, twin_loud)
    assert np.all(np.abs(moved - starts) <= min(timing, clip) + 1e-12)
    assert np.all(np.abs(loud - velocities) <= loudness + 0.5)
    assert np.all((moved >= 0) & (moved < length))
    for line, onset in {(note[3], note[0]) for note in notes}:
        assert len(set(moved[(lines == line) & (starts == onset)].tolist())) == 1
    for onset, later in zip(np.unique(starts), np.unique(starts)[1:], strict=False):
        assert moved[starts == onset].max() <= moved[starts == later].min()


def test_humanize_has_the_spread_it_states() -> None:
    n = 20_000
    starts = np.arange(n, dtype=np.float64)
    keys = np.arange(n, dtype=np.int64) * 480
    velocities = np.full(n, 64, dtype=np.int64)
    moved, loud = kernels.humanize(starts, velocities, 0 * keys, keys, keys * 512 + 60, 7, 0.06, 1.0, 12.0, float(n))
    deviation = (moved - starts)[1:]
    assert abs(deviation.mean()) < 3e-4
    assert deviation.std() == pytest.approx(0.06 / math.sqrt(12), rel=0.03)
    assert loud.std() == pytest.approx(12 / math.sqrt(12), rel=0.03)
    assert np.corrcoef(deviation, loud[1:])[0, 1] == pytest.approx(0, abs=0.03)
    assert np.corrcoef(deviation[:-1], deviation[1:])[0, 1] == pytest.approx(0, abs=0.03)


def test_humanize_moves_what_is_struck_together_together() -> None:
    n = 20_000
    starts = np.repeat(np.arange(n, dtype=np.float64) + 1, 2)
    onsets = np.repeat(np.arange(n, dtype=np.int64), 2)
    keys = onsets * 512 + np.tile(np.array([36, 42]), n)
    velocities = np.full(2 * n, 64, dtype=np.int64)
    moved, _ = kernels.humanize(starts, velocities, keys % 512, onsets, keys, 7, 0.06, 1.0, 12.0, n + 2.0)
    deviation = moved - starts
    assert np.corrcoef(deviation[::2], deviation[1::2])[0, 1] == pytest.approx(0.5, abs=0.03)


@given(NOTES, LENGTH)
def test_repair_is_its_twin_and_makes_notes_playable(
    notes: list[tuple[float, float, int, bool]], length: float
) -> None:
    starts, durations, lines, tied = columns(notes, length)
    fixed, lasting = kernels.repair(starts, durations, lines, tied, length, MIN_NOTE_BEATS)
    twin_fixed, twin_lasting = kernels_plain.repair(starts, durations, lines, tied, length, MIN_NOTE_BEATS)
    assert same(fixed, twin_fixed)
    assert same(lasting, twin_lasting)
    assert len(fixed) == len(lasting) == len(starts)
    least = min(MIN_NOTE_BEATS, length / (len(starts) + 1))
    assert np.all(lasting >= least - 1e-9)
    assert np.all((fixed >= 0) & (fixed < length))
    assert np.all(fixed + lasting <= length)
    for line in np.unique(lines):
        first, long = fixed[lines == line], lasting[lines == line]
        assert np.all(np.diff(first) >= least - 1e-9)
        assert np.all(first[:-1] + long[:-1] <= first[1:])


@given(NOTES, LENGTH)
def test_repair_done_twice_changes_nothing_more(notes: list[tuple[float, float, int, bool]], length: float) -> None:
    starts, durations, lines, tied = columns(notes, length)
    once = kernels.repair(starts, durations, lines, tied, length, MIN_NOTE_BEATS)
    if np.any(np.diff(once[0]) < 0):
        return  # separating one line moved it past another: no longer sorted, so not a valid input
    twice = kernels.repair(once[0], once[1], lines, tied, length, MIN_NOTE_BEATS)
    assert np.allclose(once[0], twice[0], rtol=0, atol=1e-12)
    assert np.allclose(once[1], twice[1], rtol=0, atol=1e-12)


def test_repair_fits_more_notes_than_the_loop_has_ticks() -> None:
    n, length = 2048, 0.25
    zeros = np.zeros(n, dtype=np.int64)
    fixed, lasting = kernels.repair(np.full(n, 0.2), np.full(n, 1.0), zeros, zeros, length, MIN_NOTE_BEATS)
    assert np.all(lasting > 0)
    assert np.all(np.diff(fixed) > 0)
    assert fixed[0] >= 0
    assert fixed[-1] + lasting[-1] <= length


@given(st.floats(0, 1000), STEPS, STRENGTH, SHARE, st.floats(0, 0.3), st.one_of(st.just(-math.inf), st.floats(0, 1000)))
@settings(max_examples=300)
def test_played_onset_is_its_twin_and_never_too_early(
    onset: float, steps: int, strength: float, share: float, latency: float, earliest: float
) -> None:
    arguments = (onset, steps, strength, share, latency, earliest)
    got = kernels.played_onset(*arguments)
    assert same(got, kernels_plain.played_onset(*arguments))
    assert got >= earliest
    wait = got - max(onset - latency, earliest)
    assert wait <= 2 / steps + 1e-9
    if strength == 0.0:
        assert got == max(onset - latency, earliest)


@given(st.integers(0, 4000), st.floats(-0.49, 0.49), STEPS, SHARE)
def test_played_onset_finds_the_swung_step_that_was_meant(step: int, off: float, steps: int, share: float) -> None:
    straight = step / steps
    swung = kernels.swing(floats([straight]), steps, share, 1e6)[0]
    played = kernels.swing(floats([max(0.0, straight + off / steps)]), steps, share, 1e6)[0]
    got = kernels.played_onset(float(played), steps, 1.0, share, 0.0, -math.inf)
    assert got == pytest.approx(swung, abs=1e-12)


def test_played_onset_takes_latency_off_before_it_looks_for_the_step() -> None:
    late_by = 0.15  # beats; without compensation 1.15 is nearer to 1.25 than to 1.0
    assert kernels.played_onset(1.0 + late_by, 4, 1.0, 0.5, 0.0, -math.inf) == 1.25
    assert kernels.played_onset(1.0 + late_by, 4, 1.0, 0.5, late_by, -math.inf) == 1.0
