"""The real-or-sample classifier: blind where there is nothing to tell, sharp where there is."""

import numpy as np
import pytest

from bridge.model.evaluation.realism import fit_ngram
from bridge.model.evaluation.telling_apart import classifier_auc, features
from bridge.music.grids import NO_EVENT


def walks(seed, count, *, wild=False):
    """Random walks over a scale, an event in every second step; wild ones leap."""
    rng = np.random.default_rng(seed)
    tokens = np.full((count, 32), NO_EVENT, dtype=np.int64)
    steps = rng.integers(-9, 10, (count, 16)) if wild else rng.integers(-2, 3, (count, 16))
    tokens[:, ::2] = np.clip(40 + np.cumsum(steps, 1), 20, 70)
    return tokens


def test_windows_of_one_kind_cannot_be_told_apart():
    model = fit_ngram(walks(0, 400), drums=False)
    assert classifier_auc(walks(1, 500), walks(2, 500), model) == pytest.approx(0.5, abs=0.06)


def test_another_kind_is_told_apart():
    model = fit_ngram(walks(0, 400), drums=False)
    assert classifier_auc(walks(1, 300), walks(2, 300, wild=True), model) > 0.99


def test_a_song_learnt_by_heart_does_not_help():
    """Real windows that are all copies of a few songs are told apart, unless songs are kept together."""
    model = fit_ngram(walks(0, 400), drums=False)
    songs = np.repeat(np.arange(12), 40)
    real, samples = np.repeat(walks(1, 12), 40, 0), walks(2, 480)
    assert classifier_auc(real, samples, model, songs) < classifier_auc(real, samples, model) - 0.1


def test_drums_are_described_too():
    rng = np.random.default_rng(0)
    beats = rng.choice([0, 1, 2, 4, 5], (50, 32))
    assert features(beats, fit_ngram(beats, drums=True)).shape[0] == 50
    assert classifier_auc(beats, np.where(beats == 2, 256, beats), fit_ngram(beats, drums=True)) > 0.95
