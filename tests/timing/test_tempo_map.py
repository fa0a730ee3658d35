"""Beats and nanoseconds, and the bar lines between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.timing.tempo_map import LAUNCH_KINDS, TempoMap

RUNNING = TempoMap(1_000_000_000, 4.0, 120.0, True)
beats = st.floats(-1000, 100_000, allow_nan=False)
tempos = st.floats(20, 999, allow_nan=False)


@given(beats, tempos, st.floats(0, 100_000))
def test_beat_and_ns_are_inverse_to_a_nanosecond(anchor, tempo, target):
    tempo_map = TempoMap(5_000_000_000, anchor, tempo, True)
    error_beats = tempo_map.beat_at_ns(tempo_map.ns_at_beat(target)) - target
    assert abs(error_beats) <= tempo / 60e9 + 1e-9


def test_standing_is_where_it_stands():
    standing = TempoMap(0, 7.5, 120.0, False)
    assert standing.beat_at_ns(10**15) == 7.5


@pytest.mark.parametrize(
    ("numerator", "denominator", "at", "expected"),
    [
        (4, 4, 4.1, 8.0),
        (4, 4, 8.0, 8.0),
        (3, 4, 4.1, 6.0),
        (7, 8, 0.1, 3.5),
        (7, 8, 3.6, 7.0),
        (5, 4, 9.9, 10.0),
        (6, 8, 3.0, 3.0),
    ],
)
def test_bar_lines(numerator, denominator, at, expected):
    assert TempoMap(0, 0.0, 120.0, True, numerator, denominator).first_boundary("bar", at, None) == expected


def test_each_kind_of_boundary():
    tempo_map = TempoMap(0, 0.0, 120.0, True, 4, 4, 1.0)
    found = {kind: tempo_map.first_boundary(kind, 6.6, (2.5, 3.0)) for kind in LAUNCH_KINDS}
    assert found == {"now": 6.6, "step": 6.75, "beat": 7.0, "bar": 9.0, "loop": 8.5}
    assert tempo_map.first_boundary("loop", 6.6, None) == 9.0


@given(st.sampled_from(["step", "beat", "bar", "loop"]), st.floats(0, 10_000), st.floats(0, 100), st.floats(0.25, 256))
def test_a_boundary_is_not_before_and_less_than_a_step_after(kind, at, start, length):
    tempo_map = TempoMap(0, 0.0, 120.0, True, 7, 8)
    step = {"step": 0.25, "beat": 1.0, "bar": 3.5, "loop": length}[kind]
    found = tempo_map.first_boundary(kind, at, (start, length))
    assert at - 1e-3 <= found < at + step + 1e-6


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="launch 'soon': one of now, step, beat, bar, loop"):
        RUNNING.first_boundary("soon", 0.0, None)


def test_rebasing_keeps_the_line():
    rebased = RUNNING.rebased(3_000_000_000)
    assert rebased.anchor_beats == 8.0
    assert rebased.beat_at_ns(9_000_000_000) == RUNNING.beat_at_ns(9_000_000_000)
    assert RUNNING.later(5_000_000).ns_at_beat(4.0) == 1_005_000_000
