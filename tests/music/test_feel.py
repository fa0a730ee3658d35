"""The feel of a phrase: found, taken off, put on."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.music.feel import STRAIGHT, feel_of, felt, straight_length, straight_step
from bridge.music.groove_settings import GRIDS, GrooveSettings
from bridge.music.notes import Bars, Note, in_order

SIXTEENTHS = GrooveSettings()


def onsets(swing: float, offset_beats: float, jitter_beats: float, seed: int, steps: int = 32) -> list[float]:
    dice = random.Random(seed)
    played = [step for step in range(steps) if dice.random() < 0.7]
    share = swing / 100.0
    straight = [0.25 * step + (step % 2) * 0.5 * (share - 0.5) for step in played]
    return [beat + offset_beats + dice.gauss(0, jitter_beats) for beat in straight]


@pytest.mark.parametrize("swing", [50.0, 54.0, 58.0, 62.0, 66.0])
@pytest.mark.parametrize("offset_beats", [-0.03, 0.0, 0.04])
def test_swing_and_offset_are_found_under_the_unevenness_of_hands(swing, offset_beats):
    for seed in range(5):
        feel = feel_of(onsets(swing, offset_beats, 0.01, seed), SIXTEENTHS)
        assert feel.swing == pytest.approx(swing, abs=4.0)
        assert feel.offset_beats == pytest.approx(offset_beats, abs=0.012)


@pytest.mark.parametrize("swing", [50.0, 58.0, 66.0])
def test_every_note_is_taken_to_its_own_step(swing):
    played = onsets(swing, 0.02, 0.008, 3)
    feel = feel_of(played, SIXTEENTHS)
    steps = [straight_step(onset, SIXTEENTHS, feel) for onset in played]
    assert steps == [step for step in range(32) if step in steps]
    assert len(set(steps)) == len(played)


def eighths(share: float, offset_beats: float, jitter_beats: float, seed: int, finer: float = 0.0) -> dict[int, float]:
    """Onsets by the straight sixteenth that they are of; so many of the sixteenths between the eighths too."""
    dice = random.Random(seed)
    bend = {0: 0.0, 1: share / 2, 2: share, 3: (1.0 + share) / 2}
    played = [step for step in range(32) if dice.random() < (finer if step % 2 else 0.8)]
    return {step: step // 4 + bend[step % 4] + offset_beats + dice.gauss(0, jitter_beats) for step in played}


@pytest.mark.parametrize("share", [0.58, 0.62, 2 / 3])
@pytest.mark.parametrize("offset_beats", [-0.02, 0.0, 0.03])
@pytest.mark.parametrize("finer", [0.0, 0.1])
def test_swung_eighths_are_found_on_a_grid_of_sixteenths_and_taken_to_their_own_steps(share, offset_beats, finer):
    for seed in range(5):
        played = eighths(share, offset_beats, 0.01, seed, finer)
        feel = feel_of(list(played.values()), SIXTEENTHS)
        assert (feel.eighths, feel.swing) == (True, pytest.approx(100.0 * share, abs=4.0))
        assert feel.offset_beats == pytest.approx(offset_beats, abs=0.02)
        assert [straight_step(onset, SIXTEENTHS, feel) for onset in played.values()] == list(played)


@pytest.mark.parametrize("swing", [72.0, 75.0])
@pytest.mark.parametrize("grid", ["1/8", "1/16", "1/32"])
def test_a_hard_shuffle_of_the_grid_s_own_steps_is_found_as_hard_as_it_is(swing, grid):
    """Where the second of a pair lies the grid has nothing else, so it is not dotted."""
    settings = GrooveSettings(grid=grid)
    per_sixteenth = 4 / settings.steps_per_beat
    for seed in range(5):
        played = [beat * per_sixteenth for beat in onsets(swing, 0.0, 0.01, seed)]
        feel = feel_of(played, settings)
        assert (feel.swing, feel.eighths) == (pytest.approx(swing, abs=3.0), False)
        assert len({straight_step(onset, settings, feel) for onset in played}) == len(played)


def test_straight_eighths_and_dotted_ones_and_swung_sixteenths_are_no_swung_eighths():
    for seed in range(20):
        dice = random.Random(seed)
        dotted = [beat + place + dice.gauss(0, 0.01) for beat in range(8) for place in (0.0, 0.75)]
        for played in (list(eighths(0.5, 0.0, 0.01, seed).values()), dotted, onsets(62.0, 0.0, 0.01, seed)):
            assert not feel_of(played, SIXTEENTHS).eighths


def test_legato_eighths_that_swing_are_legato_on_the_straight_grid():
    feel = feel_of([0.0, 2 / 3, 1.0, 5 / 3, 2.0, 8 / 3], SIXTEENTHS)
    assert feel.eighths
    assert straight_length(1.0, 5 / 3, feel) == pytest.approx(0.5, abs=0.02)
    assert straight_length(5 / 3, 2.0, feel) == pytest.approx(0.5, abs=0.02)
    assert straight_length(1.0, 5 / 3, STRAIGHT) == pytest.approx(2 / 3)
    assert straight_length(1.0, math.inf, feel) == math.inf


def test_notes_on_the_beat_alone_are_straight_and_none_are_too():
    assert feel_of([0.0, 1.0, 2.0, 3.0], SIXTEENTHS) == STRAIGHT
    assert feel_of([], SIXTEENTHS) == STRAIGHT


def test_triplet_grids_do_not_swing():
    played = [third / 3 for third in range(12)]
    grid = GrooveSettings(grid="1/8T")
    assert feel_of(played, grid).swing == 50.0
    assert [straight_step(onset, grid, STRAIGHT) for onset in played] == list(range(12))


@given(st.lists(st.floats(-1.0, 17.0), max_size=40), st.sampled_from(sorted(GRIDS)))
def test_any_onsets_have_a_feel_within_bounds(played, grid):
    settings = GrooveSettings(grid=grid)
    feel = feel_of(played, settings)
    assert 50.0 <= feel.swing <= 75.0
    assert abs(feel.offset_beats) <= 0.5 / settings.steps_per_beat


@given(st.lists(st.tuples(st.floats(0.0, 3.99), st.floats(0.01, 4.0)), max_size=20), st.floats(-0.2, 0.2))
def test_moved_bars_stay_in_the_loop_and_on_its_first_line(pairs, offset_beats):
    notes = tuple(Note(60 + n, start, min(long, 4.0 - start), 90) for n, (start, long) in enumerate(sorted(pairs)))
    moved = Bars(in_order(felt(notes, offset_beats, 4.0)), 4.0)
    assert len(moved.notes) == len(notes)
    for note in moved.notes:
        assert 0.0 <= note.start < 4.0
        assert note.duration > 0.0
        assert note.end <= 4.0 + 1e-9
    firsts = {note.pitch for note in notes if note.start == 0.0}
    assert firsts <= {note.pitch for note in moved.notes if note.start == 0.0}
