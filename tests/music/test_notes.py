"""Notes and bars: cutting, joining, repeating, and what is refused."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.music.notes import (
    Bars,
    Note,
    bars_fault,
    bars_from_json,
    bars_to_json,
    cut,
    in_order,
    join,
    note_fault,
    octave_within_midi,
    repeated_to,
)

notes = st.builds(
    Note,
    pitch=st.integers(0, 127),
    start=st.integers(0, 31).map(lambda step: step / 4),
    duration=st.integers(1, 16).map(lambda step: step / 4),
    velocity=st.integers(1, 127),
)
loops = st.lists(notes, max_size=12).map(lambda found: Bars(tuple(sorted(found, key=lambda n: n.start)), 8.0))


def test_notes_need_no_numpy():
    program = "import sys, bridge.music.notes; sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("note", "word"),
    [
        (Note(128, 0, 1, 64), "pitch"),
        (Note(60, 0, 1, 0), "velocity"),
        (Note(60, -0.5, 1, 64), "start"),
        (Note(60, float("nan"), 1, 64), "start"),
        (Note(60, 0, 0, 64), "duration"),
        (Note(60, 0, float("inf"), 64), "duration"),
        (Note(60, 0, 1, 64, -1), "part"),
    ],
)
def test_a_faulty_note_is_told_by_its_field(note, word):
    fault = note_fault(note)
    assert fault is not None
    assert word in fault
    assert "expected" in fault


def test_a_note_outside_its_loop_is_a_fault():
    assert bars_fault(Bars((Note(60, 0, 1, 64),), 4.0)) is None
    assert "length" in (bars_fault(Bars((Note(60, 4, 1, 64),), 4.0)) or "")
    assert "length" in (bars_fault(Bars((), 0.0)) or "")


@given(loops, st.integers(0, 31), st.integers(1, 32))
def test_a_cut_sounds_as_the_loop_did_there(loop, start_step, steps):
    start, length = start_step / 4, steps / 4
    piece = cut(loop, start, length)
    assert piece.length == length
    for step in range(steps):
        at = step / 4 + 0.01
        there = {n.pitch for n in loop.notes if n.start <= start + at < n.end}
        assert {n.pitch for n in piece.notes if n.start <= at < n.end} == there
    assert all(n.end <= length + 1e-9 for n in piece.notes)


@given(loops)
def test_joined_cuts_sound_as_the_whole(loop):
    whole = join([cut(loop, 0, 4), cut(loop, 4, 4)])
    assert whole.length == loop.length
    for step in range(32):
        at = step / 4 + 0.01
        assert {n.pitch for n in whole.notes if n.start <= at < n.end} == {
            n.pitch for n in loop.notes if n.start <= at < n.end
        }


@given(loops, st.integers(1, 5))
def test_repeating_fills_a_length(loop, rounds):
    filled = repeated_to(loop, rounds * 8.0 - 2.0)
    assert filled.length == rounds * 8.0 - 2.0
    onsets = [(n.start % 8.0, n.pitch) for n in filled.notes if n.start < 8.0]
    assert set(onsets) <= {(n.start, n.pitch) for n in loop.notes}


def test_what_is_early_for_a_step_that_is_cut_off_goes_with_it_and_what_is_early_for_the_first_stays():
    early = Bars((Note(36, 0.0, 0.1, 90), Note(50, 3.875, 0.1, 90), Note(42, 7.9375, 0.03, 90)), 8.0)
    assert [n.start for n in repeated_to(early, 12.0).notes] == [0.0, 3.875, 7.9375, 8.0]
    assert [n.start for n in repeated_to(early, 4.0).notes] == [0.0]
    assert [n.start for n in repeated_to(early, 16.0).notes] == [0.0, 3.875, 7.9375, 8.0, 11.875, 15.9375]


@given(loops)
def test_bars_survive_json(bars):
    assert bars_from_json(json.loads(json.dumps(bars_to_json(bars)))) == Bars(in_order(bars.notes), bars.length)


@given(st.integers(-200, 300))
def test_a_pitch_outside_midi_is_put_to_the_nearest_octave_inside(pitch):
    inside = octave_within_midi(pitch)
    assert 0 <= inside <= 127
    assert (inside - pitch) % 12 == 0
    assert inside == pitch or not 0 <= (inside + 12 if pitch > inside else inside - 12) <= 127
