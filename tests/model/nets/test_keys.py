"""One key to work in: what is read is moved into it, what is made is moved back, and the range stays the model's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_songs import tune

from bridge.model.nets.config import CONFIGS
from bridge.model.nets.keys import SHIFTS, held_steps, shifts_to_c
from bridge.model.playing import generation
from bridge.model.playing.framing import common_frames, frame_of, to_bars, to_windows, transposed
from bridge.model.playing.steering import Steering
from bridge.music.grids import LOWEST_PITCH, NO_EVENT, PITCHES
from bridge.music.harmony import class_weights, scale_of
from bridge.music.notes import Bars, Note

MELODY, BASS, TRIO = (CONFIGS[name] for name in ("melody-2bar", "bass-2bar", "trio-16bar"))
NOTE_OFF = PITCHES


def line(*pitches, length=8.0, part=0):
    each = length / len(pitches)
    return Bars(tuple(Note(p, i * each, each, 90, part) for i, p in enumerate(pitches)), length)


def test_steps_are_counted_for_as_long_as_a_note_is_held():
    tokens = np.full((2, 16), NO_EVENT)
    tokens[0, [2, 6, 8]] = 60 - LOWEST_PITCH, NOTE_OFF, 67 - LOWEST_PITCH
    held = held_steps(tokens)
    assert held[0].tolist() == [4, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]
    assert not held[1].any()


@given(st.integers(-6, 5), st.lists(st.integers(1, 30), min_size=7, max_size=7))
def test_what_is_moved_into_the_key_is_there(shift, steps):
    """However long each note of a scale is held: once moved, none is outside C, and there is nothing more to move."""
    weights = np.zeros((1, 12))
    for degree, held in zip(sorted(scale_of(0, "major")), steps, strict=True):
        weights[0, (degree - shift) % 12] += 10.0 + held
    found = int(shifts_to_c(weights)[0])
    moved = np.roll(weights, found, axis=1)
    assert found in SHIFTS
    assert moved[0, [1, 3, 6, 8, 10]].sum() == 0.0
    assert shifts_to_c(moved).tolist() == [0]


@pytest.mark.parametrize(
    ("pitches", "key"), [((62, 64, 66, 67, 69, 71, 73, 74), -2), ((63, 65, 67, 68, 70, 72, 74, 75), -3)]
)
def test_a_frame_takes_bars_into_the_key_and_back(pitches, key):
    bars = line(*pitches)
    frame = frame_of(bars, MELODY)
    assert frame.key == key
    assert (frame.shift - key) % 12 == 0
    windows = to_windows(bars, frame, MELODY)
    struck = windows[0].tokens[windows[0].tokens < PITCHES] + LOWEST_PITCH
    assert {int(p) % 12 for p in struck} <= scale_of(0, "major")
    assert to_bars(windows, frame, MELODY, 8.0) == bars


def test_a_line_that_fits_into_the_range_only_as_it_is_keeps_its_key():
    bars = line(28, 30, 42, 54)  # the whole of a bass's range, in D
    frame = frame_of(bars, BASS)
    assert frame.key == frame.shift == 0
    assert to_bars(to_windows(bars, frame, BASS), frame, BASS, 8.0) == bars


def test_the_lines_of_a_trio_are_moved_together():
    melody, bass = line(74, 76, 78, 79, length=64.0), line(38, 43, 45, 37, length=64.0, part=1)
    drums = line(36, 38, length=64.0, part=2)
    frame = frame_of(Bars(melody.notes + bass.notes + drums.notes, 64.0), TRIO)
    assert [part.key for part in frame.parts] == [-2, -2, 0]
    assert frame.parts[2].shift == 0


def test_loops_that_are_mixed_stay_in_their_keys():
    assert [frame.key for frame in common_frames([line(62, 66, 69), line(63, 67, 70)], MELODY)] == [0, 0]


def test_new_bars_come_in_the_key_that_binds_and_in_range(melody):
    """In every key, sixteen loops of each: with one key bars of eight seeds lie anywhere from .85 to 1 inside."""
    weights = np.zeros(12)
    for seed in range(12 * 16):
        tonic = seed % 12
        made = generation.sample_bars(melody, 2, seed, 0.6, Steering(scale_of(tonic, "major")))
        weights += np.roll(class_weights(made.notes), -tonic)
        assert all(MELODY.lowest <= note.pitch <= MELODY.highest for note in made.notes)
    assert sum(weights[c] for c in scale_of(0, "major")) / weights.sum() > 0.95


def test_new_bars_without_a_key_come_in_many(melody):
    frames = {generation._first_frame(melody, Steering(), seed).key for seed in range(200)}
    assert len(frames) > 8
    assert frames <= set(SHIFTS)


@pytest.mark.parametrize("semitones", [-1, 2, 5])
def test_what_goes_on_in_another_key_is_the_same_in_it(melody, semitones):
    """All that a model plays after a tune it plays after the tune in another key, transposed."""
    source = transposed(tune(4, 2), -19)  # in the middle of the range
    here = generation.continue_bars(melody, source, 2, 5, 0.6)
    there = generation.continue_bars(melody, transposed(source, semitones), 2, 5, 0.6)
    assert there == transposed(here, semitones)
