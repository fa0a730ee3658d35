"""Keys and chords: names and notes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.music.harmony import (
    CHORDS,
    MODES,
    Chord,
    ChordLoop,
    bound,
    class_weights,
    fitting_classes,
    harmony_of,
    nearest_shift,
    scale_of,
    snapped,
    tonic_of,
)
from bridge.music.notes import Bars, Note, in_order

SCALES = st.builds(scale_of, st.integers(0, 11), st.sampled_from(sorted(MODES)))
NOTES = st.builds(Note, st.integers(0, 127), st.integers(0, 31).map(lambda k: k / 4), st.just(0.5), st.just(90))
LOOPS = st.lists(NOTES, max_size=24).map(lambda notes: Bars(in_order(notes), 8.0))


def line(*pitches: int, beats: float = 1.0) -> Bars:
    return Bars(tuple(Note(p, k * beats, beats, 90) for k, p in enumerate(pitches)), len(pitches) * beats)


def test_every_mode_and_chord_of_the_contract_begins_on_its_root() -> None:
    assert all(steps[0] == 0 and list(steps) == sorted(set(steps)) for steps in (*MODES.values(), *CHORDS.values()))
    assert (len(MODES), len(CHORDS)) == (13, 10)


def test_of_few_notes_all_scales_that_hold_them_fit() -> None:
    c_major = scale_of(0, "major")
    assert fitting_classes([1.0 if c in c_major else 0.0 for c in range(12)], "major") == c_major
    triad = [4.0 if c in (0, 4, 7) else 0.0 for c in range(12)]
    in_c_f_or_g = scale_of(0, "major") | scale_of(5, "major") | scale_of(7, "major")
    assert fitting_classes(triad, "major") == in_c_f_or_g == set(range(12)) - {1, 3, 8}
    slipped = [*triad[:6], 0.05, *triad[7:]]
    assert fitting_classes(slipped, "major") == in_c_f_or_g
    with_f_sharp = [*triad[:6], 4.0, *triad[7:]]
    assert fitting_classes(with_f_sharp, "major") == scale_of(7, "major")


@pytest.mark.parametrize("tonic", range(12))
def test_a_scale_played_from_and_to_its_tonic_names_it(tonic: int) -> None:
    for mode in ("major", "harmonic_minor", "blues"):
        pitches = [60 + tonic + step for step in MODES[mode]]
        assert tonic_of(line(*pitches, 60 + tonic), mode) == tonic


def test_silence_and_drums_have_no_key() -> None:
    assert tonic_of(Bars((), 4.0), "major") is None
    assert tonic_of(Bars((Note(36, 0.0, 1.0, 90, 2),), 4.0), "major") is None


@given(SCALES, st.integers(-6, 6))
def test_what_was_moved_out_of_a_scale_is_moved_back_the_nearest_way(scale: frozenset[int], moved: int) -> None:
    weights = [1.0 if (c - moved) % 12 in scale else 0.0 for c in range(12)]
    shift = nearest_shift(weights, scale)
    assert all((c + shift) % 12 in scale for c in range(12) if weights[c])
    assert abs(shift) <= min(abs(moved), 12 - abs(moved))


def test_a_note_beside_the_key_is_no_other_key() -> None:
    weights = class_weights(line(60, 62, 64, 65, 67, 69, 71, 60, 64, 67, 72, 60, 62, 64, 65, 67, 69, 71, 60, 66).notes)
    assert nearest_shift(weights, scale_of(0, "major")) == 0
    assert nearest_shift(class_weights(line(67, 69, 71, 72, 74, 76, 78, 79, 78, 79).notes), scale_of(0, "major")) == 5


@given(LOOPS, SCALES)
def test_bound_bars_have_no_note_outside(loop: Bars, scale: frozenset[int]) -> None:
    inside = bound(loop, scale)
    assert all(note.pitch % 12 in scale for note in inside.notes)
    assert {note.start for note in inside.notes} == {note.start for note in loop.notes}
    assert bound(inside, scale) == inside


@given(st.integers(0, 127), SCALES)
def test_snapped_is_the_nearest_of_the_scale(pitch: int, scale: frozenset[int]) -> None:
    near = snapped(pitch, scale)
    assert near % 12 in scale
    assert abs(near - pitch) == min(abs(p - pitch) for p in range(128) if p % 12 in scale)


def test_arpeggios_say_their_chords_and_silence_keeps_them() -> None:
    loop = Bars(tuple(Note(p, k * 0.5, 0.5, 90) for k, p in enumerate((57, 60, 64, 60, 53, 57, 60, 57))), 8.0)
    found = harmony_of(loop)
    assert found is not None
    assert [(chord.beat, chord.root, chord.quality) for chord in found.chords] == [
        (0.0, 9, "min"),
        (2.0, 5, "maj"),
        (4.0, 5, "maj"),
        (6.0, 5, "maj"),
    ]
    assert harmony_of(Bars((), 4.0)) is None


def test_a_chord_loop_goes_round_and_begins_with_its_last_chord() -> None:
    loop = ChordLoop((Chord(1.0, 9, "min"), Chord(4.0, 5, "maj")), 8.0)
    assert [loop.at(beat).root for beat in (0.0, 1.0, 3.9, 4.0, 8.5, 9.0)] == [5, 9, 9, 5, 5, 9]
    assert loop.chords[0].classes == {9, 0, 4}
