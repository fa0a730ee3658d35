"""From what was played to a phrase, and from a model's bars to an answer that fits it."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.music.answering import KeySense, Played, drum_phrase_of, misfit, phrase_of, put_right, softer
from bridge.music.feel import STRAIGHT
from bridge.music.groove_settings import GrooveSettings
from bridge.music.notes import Bars, Note, bars_fault, in_order

GRID = GrooveSettings()
MAJOR = (0, 2, 4, 5, 7, 9, 11)


def played(pitch: int, start: float, end: float = math.inf, velocity: int = 90, channel: int = 0) -> Played:
    return Played(pitch, velocity, channel, start, end)


def line(*pitches: int, velocity: int = 90, each: float = 0.5) -> Bars:
    notes = [Note(pitch, each * n, each, velocity) for n, pitch in enumerate(pitches)]
    return Bars(in_order(notes), math.ceil(each * len(pitches) / 4) * 4.0)


def test_notes_come_to_their_steps_and_end_with_the_phrase():
    phrase = phrase_of([played(60, 8.02, 8.5), played(62, 8.98, 9.4), played(64, 11.7)], 8.0, 4.0, GRID, STRAIGHT)
    assert [(note.pitch, note.start) for note in phrase.notes] == [(60, 0.0), (62, 1.0), (64, 3.75)]
    assert phrase.notes[-1].end == 4.0


def test_a_pick_up_belongs_to_the_beginning():
    phrase = phrase_of([played(60, 7.8, 8.2), played(62, 9.0, 9.5)], 8.0, 4.0, GRID, STRAIGHT)
    assert [note.start for note in phrase.notes] == [0.0, 1.0]


@given(st.lists(st.tuples(st.integers(0, 127), st.floats(7.75, 12.2), st.floats(0.0, 6.0), st.integers(1, 127))))
def test_whatever_is_played_makes_a_sound_phrase(notes):
    heard = [played(pitch, start, start + long, velocity) for pitch, start, long, velocity in notes]
    assert bars_fault(phrase_of(heard, 8.0, 4.0, GRID, STRAIGHT)) is None
    assert bars_fault(drum_phrase_of(heard, 8.0, 4.0)) is None


def test_drums_are_heard_as_drums_and_a_melody_by_its_register():
    kit = [played(36, 0.0, channel=9), played(38, 1.02, channel=9), played(99, 2.0, channel=9)]
    assert [(note.pitch, note.start) for note in drum_phrase_of(kit, 0.0, 4.0).notes] == [(36, 0.0), (38, 1.02)]
    pads = [played(36, 0.0), played(38, 1.0), played(42, 2.0)]
    assert [note.pitch for note in drum_phrase_of(pads, 0.0, 4.0).notes] == [36, 38, 42]
    melody = [played(60, 0.0), played(66, 1.0), played(76, 2.0)]
    assert [note.pitch for note in drum_phrase_of(melody, 0.0, 4.0).notes] == [36, 38, 42]


@pytest.mark.parametrize("tonic", range(12))
def test_the_key_of_a_tune_is_heard(tonic):
    sense = KeySense()
    dice, ever = random.Random(tonic), set()
    for number in range(4):
        degrees = [0, 4, 7, *(dice.choice(MAJOR) for _ in range(5))] if number < 3 else list(MAJOR)
        phrase = line(*(60 + tonic + degree for degree in degrees))
        classes = sense.classes_with(phrase)
        sense.hear(phrase)
        ever |= {(tonic + degree) % 12 for degree in degrees}
        assert ever <= classes <= {(tonic + degree) % 12 for degree in MAJOR}
    assert len(ever) == 7


def test_another_key_is_heard_at_once():
    sense = KeySense()
    for _ in range(4):
        sense.hear(line(*(60 + degree for degree in (0, 4, 7, 9, 7, 5, 4, 0))))
    away = line(*(66 + degree for degree in (0, 4, 7, 9, 7, 5, 4, 0)))
    heard = {(66 + degree) % 12 for degree in (0, 4, 5, 7, 9)}
    assert heard <= sense.classes_with(away) <= {(66 + degree) % 12 for degree in MAJOR}
    sense.hear(line(*(60 + degree for degree in (0, 4, 7, 9, 7, 6, 4, 0))))  # a passing note is no other key
    assert {0, 4, 5, 7, 9} <= sense.classes_with(line(60, 65, 67, 60)) <= {*MAJOR, 6}


def test_a_note_that_another_likely_key_denies_is_left_out():
    """C, D, E, G and A: in G there is an F sharp, in F a B flat, in C neither."""
    assert KeySense().classes_with(line(60, 62, 64, 67, 69, 67, 64, 60)) <= {0, 2, 4, 5, 7, 9, 11} - {5}


def test_an_answer_is_put_into_key_register_density_and_loudness():
    phrase = line(60, 62, 64, 65, velocity=70, each=1.0)
    classes = frozenset(MAJOR)
    answer = Bars(in_order(Note(85 + n, 0.25 * n, 0.25, 100 + n % 20) for n in range(16)), 4.0)
    made = put_right(answer, phrase, classes, drums=False)
    assert {note.pitch % 12 for note in made.notes} <= classes
    assert all(60 - 5 <= note.pitch <= 65 + 5 for note in made.notes)
    assert len(made.notes) == 6
    assert sum(note.velocity for note in made.notes) / 6 == pytest.approx(70, abs=1.5)
    assert made.notes[0].start == 0.0


@pytest.mark.parametrize("velocity", [1, 9, 30, 100, 124, 127])
def test_an_answer_of_accents_and_ghost_notes_is_no_louder_than_a_soft_phrase_and_no_softer_than_a_loud_one(velocity):
    phrase = Bars(tuple(Note(38, float(n), 0.1, velocity) for n in range(4)), 4.0)
    struck = (112, 18, 64, 20, 127, 24)
    answer = Bars(tuple(Note(38, 0.5 * n, 0.1, each) for n, each in enumerate(struck)), 4.0)
    made = [note.velocity for note in put_right(answer, phrase, frozenset(range(12)), drums=True).notes]
    assert sum(made) / len(made) == pytest.approx(velocity, abs=0.5)
    assert all(a <= b for (_, a), (_, b) in itertools.pairwise(sorted(zip(struck, made, strict=True))))


def test_an_answer_begins_on_its_line():
    phrase = line(60, 62, each=2.0)
    answer = Bars((Note(60, 1.5, 0.5, 90), Note(62, 2.5, 0.5, 90)), 4.0)
    made = put_right(answer, phrase, frozenset(MAJOR), drums=False)
    assert [note.start for note in made.notes] == [0.0, 2.5]
    assert made.notes[0].end <= 2.5


def test_an_answer_that_says_too_little_quotes_the_phrase():
    phrase = line(60, 62, 64, 65, 67, 69, 71, 72)
    made = put_right(Bars((Note(67, 0.0, 4.0, 90),), 4.0), phrase, frozenset(MAJOR), drums=False)
    assert [(note.start, note.pitch) for note in made.notes] == [(0.0, 67), (1.0, 64), (2.0, 67), (3.0, 71)]
    assert [note.end for note in made.notes] == [1.0, 1.5, 2.5, 3.5]


def test_drums_keep_their_instruments():
    phrase = Bars((Note(36, 0.0, 0.1, 100), Note(38, 1.0, 0.1, 100)), 4.0)
    answer = Bars((Note(36, 0.0, 0.1, 60), Note(49, 2.0, 0.1, 60)), 4.0)
    made = put_right(answer, phrase, frozenset(range(12)), drums=True)
    assert [note.pitch for note in made.notes] == [36, 49]
    assert {note.velocity for note in made.notes} == {100}


@given(
    st.lists(st.tuples(st.integers(0, 127), st.floats(0.0, 3.75), st.floats(0.05, 2.0)), max_size=30),
    st.lists(st.integers(0, 127), min_size=1, max_size=8),
)
def test_any_answer_can_be_fitted_to_any_phrase(notes, pitches):
    answer = Bars(in_order(Note(p, s, min(d, 4.0 - s), 90) for p, s, d in notes), 4.0)
    phrase = line(*pitches)
    classes = KeySense().classes_with(phrase)
    made = put_right(answer, phrase, classes, drums=False)
    assert bars_fault(made) is None
    assert bool(made.notes) == bool(answer.notes)
    assert bars_fault(softer(made, 0.1)) is None


def test_what_suits_less_is_told_from_what_suits_more():
    phrase = line(60, 64, 67, 72)
    classes = frozenset(MAJOR)
    good = line(62, 65, 69, 71)
    assert misfit(good, phrase, classes) < 0.5
    for bad in (line(61, 66, 70, 73), line(86, 88, 91, 93), line(60), Bars((Note(60, 3.0, 0.5, 90),), 4.0)):
        assert misfit(bad, phrase, classes) > misfit(good, phrase, classes) + 0.5
