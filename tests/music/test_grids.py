"""The grid: tokens to notes and back, seams, drums."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.music.grids import (
    DRUM_PITCHES,
    LINE_CLASSES,
    LOWEST_PITCH,
    NO_EVENT,
    NOTE_OFF,
    PITCHES,
    SILENT,
    DrumGrid,
    bin_velocity,
    decode_drums,
    decode_line,
    encode_drums,
    encode_line,
    line_of,
    line_tokens,
    metric_velocity,
    note_arrays,
    offset_bins,
    offset_steps,
    tokens_line,
    velocity_bins,
)
from bridge.music.groove import apply_groove
from bridge.music.groove_settings import GrooveSettings
from bridge.music.notes import Bars, Note, cut, step_of

tokens = st.lists(st.integers(0, LINE_CLASSES - 1), min_size=32, max_size=32).map(np.array)


@given(tokens)
def test_any_line_of_tokens_survives_notes_and_back(line):
    """What tokens play is what encoding their notes plays: note-offs in silence are the only thing that may go."""
    bars = decode_line(line, metric_velocity)
    again = encode_line(bars, 32)
    for ours, theirs in zip(tokens_line(again), tokens_line(line), strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(encode_line(decode_line(again, metric_velocity), 32), again)


@given(tokens)
def test_decoded_notes_stay_in_the_loop_and_never_overlap(line):
    bars = decode_line(line, metric_velocity)
    ends = [note.end for note in bars.notes]
    assert all(end <= 8.0 for end in ends)
    assert all(a <= b.start for a, b in zip(ends, bars.notes[1:], strict=False))
    assert len(bars.notes) == int((line < PITCHES).sum())


def test_a_note_held_over_a_seam_is_struck_again_and_closed_at_the_end():
    bars = Bars((Note(60, 0, 2, 90), Note(64, 2, 20, 90)), 16.0)
    line = encode_line(cut(bars, 4, 8), 32)
    assert line[0] == 64 - LOWEST_PITCH
    assert (line[1:] == NO_EVENT).all()
    assert decode_line(line, metric_velocity).notes == (Note(64, 0.0, 8.0, metric_velocity(0)),)


def test_a_note_released_at_a_seam_leaves_nothing():
    sounding = np.array([SILENT] * 32)
    assert (line_tokens(sounding, np.zeros(32, bool)) == NO_EVENT).all()


def test_the_top_or_bottom_note_is_cut_at_the_next():
    bars = Bars((Note(60, 0, 4, 90), Note(72, 0, 4, 90), Note(48, 1, 1, 90)), 8.0)
    assert encode_line(bars, 32, top=True)[[0, 4, 8]].tolist() == [72 - LOWEST_PITCH, 48 - LOWEST_PITCH, NOTE_OFF]
    assert encode_line(bars, 32, top=False)[0] == 60 - LOWEST_PITCH


def test_pitches_off_the_piano_are_left_out():
    assert (encode_line(Bars((Note(12, 0, 1, 90), Note(120, 1, 1, 90)), 8.0), 32) == NO_EVENT).all()


def test_triplets_are_off_the_grid_and_sixteenths_are_not():
    triplets = [Note(60 + i, i / 3, 1 / 3, 90) for i in range(6)]
    line = line_of(note_arrays(triplets), 32, top=True)
    assert line.off_grid.sum() == 4
    assert not line_of(note_arrays([Note(60, 0.26, 0.25, 90)]), 32, top=True).off_grid.any()


@st.composite
def drum_grids(draw):
    hits = np.array(draw(st.lists(st.integers(0, 511), min_size=32, max_size=32)))
    bits = hits[:, None] >> np.arange(9) & 1
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    velocities = rng.integers(1, 128, (32, 9)) * bits
    offsets = np.where(bits == 1, rng.integers(1, 10, (32, 9)), 5)
    offsets[0] = np.maximum(offsets[0], 5)
    return DrumGrid(hits, velocities, offsets)


@given(drum_grids())
def test_drums_survive_notes_and_back(grid):
    again = encode_drums(decode_drums(grid), 32)
    assert np.array_equal(again.hits, grid.hits)
    assert np.array_equal(again.velocities, grid.velocities)
    assert np.array_equal(again.offsets, grid.offsets)


@given(drum_grids(), st.integers(0, 2**16))
def test_no_hit_rings_into_the_next_of_its_drum(grid, seed):
    """However far off the grid two neighbours are, up to the same moment; and none is lost but for that."""
    bits = grid.hits[:, None] >> np.arange(9) & 1
    wild = np.where(bits == 1, np.random.default_rng(seed).choice([0, 5, 10], (32, 9)), 5)
    notes = decode_drums(DrumGrid(grid.hits, grid.velocities, wild)).notes
    for pitch in {note.pitch for note in notes}:
        mine = [note for note in notes if note.pitch == pitch]
        for one, following in pairwise(mine):
            assert following.start - one.start > 1 / 960
            assert one.end <= following.start + 1e-9
        assert all(note.duration > 1 / 960 for note in mine)
    assert len(notes) >= bits.sum() / 2


def test_the_louder_of_two_hits_of_a_class_stands():
    grid = encode_drums(Bars((Note(38, 0, 0.1, 40), Note(40, 0.01, 0.1, 90)), 8.0), 32)
    assert grid.hits[0] == 0b10
    assert grid.velocities[0, 1] == 90


def test_a_hit_just_before_the_end_belongs_to_the_first_step():
    grid = encode_drums(Bars((Note(36, 7.95, 0.1, 90),), 8.0), 32)
    assert grid.hits[0] == 1
    assert offset_steps(int(grid.offsets[0, 0])) == pytest.approx(-0.2)


def test_every_class_is_played_with_a_pitch_that_reads_back_as_it():
    for drum, pitch in enumerate(DRUM_PITCHES):
        assert encode_drums(Bars((Note(pitch, 0, 0.1, 90),), 8.0), 32).hits[0] == 1 << drum


@pytest.mark.parametrize(
    ("pitch", "drum"), [(35, 0), (37, 1), (39, 1), (22, 2), (44, 2), (26, 3), (58, 4), (55, 7), (59, 8)]
)
def test_the_roland_extras_have_classes(pitch, drum):
    assert encode_drums(Bars((Note(pitch, 0, 0.1, 90),), 8.0), 32).hits[0] == 1 << drum


def test_bins_and_their_middles_agree():
    assert [int(velocity_bins(np.array([bin_velocity(b)]))[0]) for b in range(8)] == list(range(8))
    assert [int(offset_bins(np.array([offset_steps(b)]))[0]) for b in range(11)] == list(range(11))


@pytest.mark.parametrize("offset", range(11))
def test_a_hit_stays_in_its_step_however_early_or_late(offset: int) -> None:
    """Half a step late it would be read, and quantised, as a hit of the next step: in a bar that may be locked."""
    grid = DrumGrid(np.zeros(32, int), np.zeros((32, 9), int), np.full((32, 9), 5))
    grid.hits[15], grid.velocities[15, 0], grid.offsets[15, 0] = 1, 100, offset
    bars = decode_drums(grid)
    back = encode_drums(bars, 32)
    assert (back.hits == grid.hits).all()
    assert back.offsets[15, 0] == offset
    assert [step_of(note.start) for note in bars.notes] == [15]
    assert apply_groove(bars, GrooveSettings(quantize=1.0), 0, drums=True).notes[0].start == 3.75
    assert offset_bins(np.array([-0.5, 0.0, 0.5])).tolist() == [0, 5, 10]
