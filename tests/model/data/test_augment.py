"""Augmentation: nothing it makes is out of range or means nothing, and it only does what it says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.data.augment import augment_drums, augment_lines, folded, octave_shift
from bridge.model.nets.config import CONFIGS
from bridge.music.grids import LINE_CLASSES, LOWEST_PITCH, NO_EVENT, PITCHES, DrumGrid, line_tokens, tokens_line

MELODY = CONFIGS["melody-2bar"]
lines = st.lists(st.lists(st.integers(0, LINE_CLASSES - 1), min_size=32, max_size=32), min_size=2, max_size=6).map(
    lambda rows: line_tokens(*tokens_line(np.array(rows)))
)


def in_range(tokens):
    pitches = tokens[tokens < PITCHES] + LOWEST_PITCH
    return bool(((pitches >= MELODY.lowest) & (pitches <= MELODY.highest)).all())


@given(lines, st.integers(0, 1000))
def test_augmented_lines_are_lines_in_range(rows, seed):
    made = augment_lines(rows, rows[::-1], MELODY, np.random.default_rng(seed))
    assert in_range(made)
    assert np.array_equal(line_tokens(*tokens_line(made)), made)


@given(lines)
def test_folding_keeps_pitch_classes_and_rhythm(rows):
    made = folded(rows, octave_shift(rows, MELODY), MELODY)
    struck = rows < PITCHES
    assert in_range(made)
    assert np.array_equal(made[~struck], rows[~struck])
    assert np.array_equal(made[struck] % 12, rows[struck] % 12)


def test_a_line_that_fits_is_left_where_it_is():
    row = np.full((1, 32), NO_EVENT)
    row[0, :8:2] = np.array([60, 64, 67, 72]) - LOWEST_PITCH
    assert octave_shift(row, MELODY).tolist() == [0]
    assert octave_shift(np.where(row < PITCHES, row - 24, row), MELODY)[0] in (12, 24)


def test_most_lines_are_transposed_and_many_keep_their_rhythm():
    row = np.full((500, 32), NO_EVENT)
    row[:, ::4] = np.array([60, 62, 64, 65, 67, 65, 64, 62]) - LOWEST_PITCH
    made = augment_lines(row, row, MELODY, np.random.default_rng(0))
    moved = made[:, 0].astype(int) - row[:, 0]
    kept = ((made < PITCHES) == (row < PITCHES)).all(1)
    assert set(np.unique(moved[kept])) >= set(range(-6, 7))
    gated = (made == PITCHES).any(1)
    assert 0.1 < gated.mean() < 0.3


def test_drums_lose_a_class_change_hats_and_never_fall_silent():
    rng = np.random.default_rng(1)
    hits = rng.integers(0, 512, (400, 32))
    hits[0] = 0
    hits[0, 0] = 1
    velocities = rng.integers(20, 120, (400, 32, 9)) * (hits[:, :, None] >> np.arange(9) & 1)
    grid = DrumGrid(hits, velocities, np.full((400, 32, 9), 5))
    made = augment_drums(grid, grid, np.random.default_rng(2))
    bits = made.hits[:, :, None] >> np.arange(9) & 1
    assert (bits.any((1, 2))).all()
    assert ((made.velocities > 0) == (bits > 0)).all()
    same = (made.hits == hits).all(1)
    assert 0.4 < same.mean() < 0.75


def test_windows_are_spliced_and_change_drums_with_others_and_a_turned_one_is_all_of_its_own():
    hits, on_the_grid = np.full((600, 32), 511), np.full((600, 32, 9), 5)
    ours, theirs = (DrumGrid(hits, np.full((600, 32, 9), loudness), on_the_grid) for loudness in (1, 100))
    made = augment_drums(ours, theirs, np.random.default_rng(3))
    from_others = made.velocities > 60
    halved = (from_others.mean(1) == 0.5).any(1)
    assert 0.15 < halved.mean() < 0.25
    changed = (from_others.all(1).any(1)) & ~halved
    assert 0.3 < changed.mean() < 0.5
    assert 0.4 < from_others[changed].mean() < 0.6
    steps = np.tile(1 << (np.arange(32) % 9), (600, 1))
    places = DrumGrid(steps, np.full((600, 32, 9), 64), np.tile(np.arange(32)[None, :, None] % 11, (600, 1, 9)))
    made = augment_drums(places, places, np.random.default_rng(4))
    begins = made.offsets[:, 0, 4]
    assert set(begins.tolist()) == {beat * 4 % 11 for beat in range(8)}
    assert 0.7 < (begins == 0).mean() < 0.9


def test_some_lines_are_played_on_the_pitches_of_others_at_their_own_times():
    rhythm, melody = np.full((2, 600, 32), NO_EVENT)
    rhythm[:, [0, 3, 6, 8, 12]] = 60 - LOWEST_PITCH
    rhythm[:, 16] = PITCHES  # note off
    melody[:, [1, 2, 30]] = np.array([70, 72, 76]) - LOWEST_PITCH
    made = augment_lines(rhythm, melody, MELODY, np.random.default_rng(5))
    exchanged = made[(made[:, [0, 3, 6, 8, 12]] == np.array([70, 72, 76, 70, 72]) - LOWEST_PITCH).all(1)]
    assert 0.1 < len(exchanged) / 600 < 0.3  # less those that were turned or spliced too
    assert (exchanged[:, 17:] == NO_EVENT).all(1).mean() > 0.8  # the rest is spliced
    silent = augment_lines(rhythm, np.full((600, 32), NO_EVENT), MELODY, np.random.default_rng(6))
    assert ((silent < PITCHES).sum(1) >= 1).all()  # nobody's pitches are no reason to fall silent
