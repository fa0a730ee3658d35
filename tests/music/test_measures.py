"""What is measured on windows of tokens, against what can be counted by hand and what `best_scale` finds."""

import numpy as np

from bridge.music.grids import LOWEST_PITCH, NO_EVENT, PITCHES
from bridge.music.harmony import best_scale
from bridge.music.measures import density, diatonic_sets, key_shares


def line(*pitches, steps=16):
    """A note a step from the beginning, then nothing."""
    tokens = np.full((1, steps), NO_EVENT)
    tokens[0, : len(pitches)] = np.array(pitches) - LOWEST_PITCH
    return tokens


def test_density():
    assert density(line(60, 62), drums=False)[0] == 2 / 16
    assert density(np.array([[3, 0, 0, 1]]), drums=True)[0] == 3 / 4


def test_key_shares():
    in_c = line(60, 62, 64, 65, 67, 69, 71, 72)
    assert key_shares(in_c)[0] == 1.0
    assert key_shares(line(61, 63, 60, 60), in_c)[0] == 0.5
    assert np.isnan(key_shares(line())[0])


def test_the_set_is_the_best_scale_of_harmony():
    tokens = np.random.default_rng(3).integers(0, PITCHES + 2, (40, 16))
    for row, found in zip(tokens, diatonic_sets(tokens), strict=True):
        weights = np.bincount((row[row < PITCHES] + LOWEST_PITCH) % 12, minlength=12).tolist()
        assert set(np.flatnonzero(found)) == best_scale(weights, "major")
