"""What is heard of a loop from some beat on: notes lie where they belong, not where they are struck."""

import pytest

from bridge.music.notes import Bars, Note
from bridge.music.splice import sounding_from

EARLY = 0.02


def heard(notes, from_beats, length_beats, kind, *, loop_beats=16.0):
    made = sounding_from(Bars(tuple(notes), loop_beats), from_beats, length_beats, kind)
    assert made.length == length_beats
    return [(note.pitch, note.start, note.duration) for note in made.notes]


@pytest.mark.parametrize(("from_beats", "before"), [(4.0, 4.0), (0.0, 16.0), (20.0, 4.0), (-12.0, 4.0)])
@pytest.mark.parametrize("rings", [0.01, 0.1])
def test_what_is_early_for_the_first_step_is_its_own(from_beats, before, rings):
    note = Note(36, before - EARLY, rings, 90)
    assert heard([note], from_beats, 8.0, "drums") == [(36, pytest.approx(8.0 - EARLY), pytest.approx(EARLY))]
    (line,) = heard([note], from_beats, 8.0, "melody")
    assert line == (36, 0.0, pytest.approx(rings if rings < EARLY else rings - EARLY))


@pytest.mark.parametrize("kind", ["drums", "melody"])
@pytest.mark.parametrize(("from_beats", "after"), [(4.0, 12.0), (8.0, 16.0), (-4.0, 4.0)])
def test_what_is_early_for_a_step_after_the_end_is_left_out(kind, from_beats, after):
    assert heard([Note(36, after - EARLY, 0.1, 90)], from_beats, 8.0, kind) == []


def test_what_rings_into_it_is_struck_again_but_no_drum_is():
    notes = [Note(60, 3.0, 2.0, 90), Note(60, 3.5, 2.0, 90, 2)]
    assert heard(notes, 4.0, 8.0, "trio") == heard(notes, 4.0, 8.0, "melody")[:1] == [(60, 0.0, 1.0)]
    assert heard(notes, 4.0, 8.0, "drums") == []
    late = Note(60, 3.0, 1.1, 90)
    assert heard([late], 4.0, 8.0, "melody") == [], "a note that ends a little late is of the bar before alone"


def test_a_loop_goes_round_and_what_reaches_over_the_end_is_closed():
    notes = [Note(60, 0.0, 1.0, 90), Note(62, 3.0, 1.0, 90)]
    assert heard(notes, 3.0, 6.0, "bass", loop_beats=4.0) == [
        (62, 0.0, 1.0), (60, 1.0, 1.0), (62, 4.0, 1.0), (60, 5.0, 1.0)
    ]  # fmt: skip
    assert heard(notes, 0.0, 3.5, "bass", loop_beats=4.0) == [(60, 0.0, 1.0), (62, 3.0, 0.5)]
