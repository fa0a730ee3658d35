"""Loops in other metres than their own: bars land on bars, nothing rings over, the way back is the loop itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.music.metre import fitted
from bridge.music.notes import Bars, Note, bars_fault, in_order

METRES = (2.0, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0)


def loop(*notes: tuple[int, float, float], bars: int = 2) -> Bars:
    return Bars(in_order(Note(pitch, start, length, 90) for pitch, start, length in notes), bars * 4.0)


def rows(bars: Bars) -> list[tuple[int, float, float]]:
    return [(n.pitch, n.start, n.duration) for n in bars.notes]


SCALE = loop(*[(60 + beat, float(beat), 1.0) for beat in range(8)])


def test_in_three_four_every_bar_loses_its_last_beat() -> None:
    made = fitted(SCALE, 4.0, 3.0)
    assert made.length == 6.0
    assert [pitch for pitch, _, _ in rows(made)] == [60, 61, 62, 64, 65, 66]
    assert [start for _, start, _ in rows(made)] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_in_five_four_every_bar_goes_on_with_its_beginning() -> None:
    made = fitted(SCALE, 4.0, 5.0)
    assert made.length == 10.0
    assert [pitch for pitch, _, _ in rows(made)] == [60, 61, 62, 63, 60, 64, 65, 66, 67, 64]


def test_in_seven_eight_the_last_beat_is_halved() -> None:
    made = fitted(SCALE, 4.0, 3.5)
    assert made.length == 7.0
    assert rows(made)[3:5] == [(63, 3.0, 0.5), (64, 3.5, 1.0)]


def test_a_note_held_over_the_bar_line_stays_one_note_when_bars_get_shorter() -> None:
    assert rows(fitted(loop((60, 2.0, 4.0)), 4.0, 3.0)) == [(60, 2.0, 3.0)]
    assert rows(fitted(loop((60, 3.5, 2.0)), 4.0, 3.0)) == [(60, 3.0, 1.5)]


@given(
    st.lists(st.tuples(st.integers(48, 72), st.integers(0, 31), st.integers(1, 12)), max_size=24),
    st.sampled_from(METRES),
)
def test_whatever_the_metre_bars_land_on_bars_and_every_note_is_sound(
    notes: list[tuple[int, int, int]], to_bar_beats: float
) -> None:
    sound = {(pitch, start): (pitch, start / 4, min(length, 32 - start) / 4) for pitch, start, length in notes}
    bars = loop(*sound.values())
    made = fitted(bars, 4.0, to_bar_beats)
    assert made.length == 2 * to_bar_beats
    assert bars_fault(made) is None
    assert all(note.end <= made.length + 1e-9 for note in made.notes)
    first = [row for row in rows(bars) if row[1] < min(4.0, to_bar_beats)]
    begun = {(pitch, start) for pitch, start, _ in rows(made)}
    assert {(pitch, start) for pitch, start, _ in first} <= begun, "the first bar begins as it did"


@pytest.mark.parametrize(("bars", "bar_beats"), [(SCALE, 4.0), (Bars(SCALE.notes, 7.75), 4.0)])
def test_their_own_metre_and_no_whole_number_of_bars_change_nothing(bars: Bars, bar_beats: float) -> None:
    assert fitted(bars, bar_beats, 4.0 if bars is SCALE else 3.0) is bars


@pytest.mark.parametrize(
    ("to_bar_beats", "expected"),
    [
        (3.0, [0.01, 2.77, 2.98, 3.5, 5.98]),
        (5.0, [0.01, 2.77, 2.98, 3.98, 4.01, 4.98, 5.5, 7.98, 8.98, 9.5, 9.98]),
        (8.0, [0.01, 2.77, 2.98, 3.98, 4.01, 6.77, 6.98, 7.98, 8.5, 10.98, 11.98, 12.5, 14.98, 15.98]),
    ],
)
def test_a_drum_that_is_early_goes_where_the_step_goes_that_it_belongs_to(
    to_bar_beats: float, expected: list[float]
) -> None:
    """The last beat of both bars is struck early, and so are the second bar's first and the loop's own, at its end. A
    step that is kept is heard where it was, late as it is.
    """
    places = {35: 0.01, 36: 2.77, 37: 2.98, 38: 3.98, 39: 4.5, 40: 6.98, 41: 7.98}
    made = fitted(loop(*[(pitch, start, 0.125) for pitch, start in places.items()]), 4.0, to_bar_beats)
    if to_bar_beats == 3.0:
        assert [pitch for pitch, _, _ in rows(made)] == [35, 36, 38, 39, 41]
    assert [round(start, 6) for _, start, _ in rows(made)] == expected
    assert bars_fault(made) is None
    assert all(note.end <= made.length for note in made.notes)


def test_what_ends_at_a_bar_line_gives_way_to_what_is_early_for_it() -> None:
    made = fitted(loop((60, 2.0, 1.5), (62, 3.98, 0.5), (64, 5.0, 1.0)), 4.0, 3.0)
    assert [(pitch, round(start, 6), round(length, 6)) for pitch, start, length in rows(made)] == [
        (60, 2.0, 0.98), (62, 2.98, 0.5), (64, 4.0, 1.0)
    ]  # fmt: skip


def test_where_notes_belong_can_be_told() -> None:
    """The nearest sixteenth is the wrong one for the last note of a triplet of sixteenths."""
    triplet = loop((60, 2.75 + 1 / 6, 1 / 12))
    assert rows(fitted(triplet, 4.0, 3.0)) == []
    assert len(rows(fitted(triplet, 4.0, 3.0, [2.75 + 1 / 6]))) == 1
