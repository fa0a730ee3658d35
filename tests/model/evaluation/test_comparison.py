"""Two readings of the same windows compared: the difference, and an interval that songs make wide."""

import numpy as np
import pytest
import torch

from bridge.model.evaluation.comparison import compared
from bridge.model.evaluation.scoring import Readings


def reading(truth, right, seed):
    """A reading that has each step right with a chance of its window's."""
    generator = torch.Generator().manual_seed(seed)
    hit = torch.rand(truth.shape, generator=generator) < torch.as_tensor(right)[:, None]
    played = torch.where(hit, truth, truth + 1)
    return Readings(truth, played, played, played, played, played, torch.zeros(len(truth), 4))


def test_the_better_one_is_above_by_what_it_is_better():
    truth = torch.randint(0, 80, (600, 32), generator=torch.Generator().manual_seed(0))
    songs = np.repeat(np.arange(60), 10)
    by_song = np.random.default_rng(1).normal(0.1, 0.05, 60)[songs]
    ours, theirs = reading(truth, 0.6 + by_song, 2), reading(truth, np.full(600, 0.6), 3)
    found = compared(ours, theirs, songs)
    sampled = found["sampled"]
    assert sampled["above"] == pytest.approx(by_song.mean(), abs=0.02)
    assert sampled["above"] == pytest.approx(sampled["ours"] - sampled["theirs"], abs=2e-4)
    assert 0 < sampled["interval"][0] < sampled["above"] < sampled["interval"][1]
    assert (found["windows"], found["songs"]) == (600, 60)


def test_other_windows_are_refused():
    truth = torch.zeros(4, 8, dtype=torch.long)
    with pytest.raises(ValueError, match="same windows"):
        compared(reading(truth, np.ones(4), 0), reading(truth + 1, np.ones(4), 0), np.arange(4))
