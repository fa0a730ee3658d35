"""The levels of an attribute knob: never back, every amount that a loop of few notes has, and as far as it can go."""

import numpy as np
import pytest

from bridge.model.nets.config import CONFIGS
from bridge.model.playing.attributes import measure
from bridge.model.playing.framing import WindowTokens
from bridge.model.playing.levels import LEVELS, chosen_levels
from bridge.music.grids import LOWEST_PITCH, NO_EVENT

MELODY = CONFIGS["melody-2bar"]
QUARTERS = [level * LEVELS // 4 for level in range(5)]


def line(pitches):
    """Notes of an eighth in a row, then nothing."""
    tokens = np.full(MELODY.steps, NO_EVENT, dtype=np.int64)
    tokens[: 2 * len(pitches) : 2] = np.array(pitches) - LOWEST_PITCH
    return WindowTokens(tokens)


def amounts(levels, attribute):
    column = MELODY.attributes.index(attribute)
    return [float(measure(level.tokens[None], MELODY)[0, column]) for level in levels]


@pytest.mark.parametrize("away", [1, 2, 3, 4])
def test_every_amount_of_a_loop_with_few_notes_gets_its_share_of_the_turn(away):
    """Of eight notes of a scale up to four can leave it here: with four every quarter of the turn is another one."""
    base = line([60, 62, 64, 65, 67, 69, 71, 72])
    strange = line([61, 63, 66, 68][:away] + [60, 62, 64, 65, 67, 69, 71, 72][away:])
    shares = amounts(chosen_levels(base, [strange], "diatonic", -1, MELODY, 3), "diatonic")
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1.0
    assert len({shares[level] for level in QUARTERS}) == len(set(shares))
    assert shares[-1] < 1.0


def test_a_knob_that_can_do_nothing_leaves_the_loop():
    base = line([60, 62, 64])
    levels = chosen_levels(base, [base], "density", 1, MELODY, 1)
    assert all((level.tokens == base.tokens).all() for level in levels)


def test_many_amounts_are_gone_through_evenly():
    base, full = line([60, 62] * 4), WindowTokens(2 * (np.arange(MELODY.steps) // 2 % 2) + 60 - LOWEST_PITCH)
    counts = amounts(chosen_levels(base, [full], "density", 1, MELODY, 5), "density")
    assert counts == sorted(counts)
    assert counts[-1] > counts[LEVELS // 2] > counts[0]
