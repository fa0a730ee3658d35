"""Loops: order, wrapping, seeking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.player.loops import loop_from_rows

rows = st.lists(
    st.tuples(st.integers(0, 127), st.floats(-2, 20), st.floats(0, 30), st.integers(1, 127), st.integers(0, 2)),
    max_size=30,
)


@given(rows, st.floats(0.25, 16))
def test_a_loop_is_in_order_within_its_length_and_without_twins(given_rows, length):
    loop = loop_from_rows(1, length, given_rows)
    assert list(loop.starts) == sorted(loop.starts)
    assert all(0 <= start < loop.length_beats for start in loop.starts)
    assert len({(n.pitch, n.part, n.start) for n in loop.notes}) == len(loop.notes)
    assert all(loop.instance_end(0.0, 0, i) > loop.onset(0.0, 0, i) for i in range(len(loop.notes)))


@given(rows.filter(len), st.floats(0.25, 16), st.floats(-50, 50), st.floats(-100, 100))
def test_seek_finds_the_first_onset_not_before(given_rows, length, start, at):
    loop = loop_from_rows(1, length, given_rows)
    number, index = loop.seek(start, at)
    if index == len(loop.notes):
        number, index = number + 1, 0
    assert loop.onset(start, number, index) >= at - 3e-6
    previous = (number, index - 1) if index else (number - 1, len(loop.notes) - 1)
    assert loop.onset(start, *previous) < at


@pytest.mark.parametrize(
    "row", [(128, 0, 1, 100, 0), (60, 0, 1, 0, 0), (60, float("nan"), 1, 100, 0), (60, 0, float("inf"), 100, 0)]
)
def test_notes_that_are_none_are_refused(row):
    with pytest.raises(ValueError, match="note"):
        loop_from_rows(1, 4.0, [row])
