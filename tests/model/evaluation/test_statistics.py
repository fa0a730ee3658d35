"""Ranks, correlation, areas and intervals against what they are by definition."""

import numpy as np
import pytest

from bridge.model.evaluation.statistics import area_under_curve, ranks, song_bootstrap, spearman


def test_ranks_share_ties():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_rank_correlation_sees_order_alone():
    x = np.arange(9.0)
    assert spearman(x, np.exp(x)) == pytest.approx(1.0)
    assert spearman(x, -(x**3)) == pytest.approx(-1.0)
    assert np.isnan(spearman(x, np.ones(9)))
    swapped = x.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert spearman(x, swapped) == pytest.approx(1 - 6 * 2 / (9 * 80))


def test_the_area_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(3)
    scores, real = rng.integers(0, 6, 80).astype(float), rng.random(80) < 0.4
    pairs = np.sign(scores[real][:, None] - scores[~real][None])
    assert area_under_curve(scores, real) == pytest.approx((pairs.mean() + 1) / 2)


def test_the_interval_is_as_wide_as_few_songs_make_it():
    rng = np.random.default_rng(0)
    songs = np.repeat(np.arange(40), 25)
    by_song = rng.normal(0.1, 0.2, 40)
    ours = 0.5 + by_song[songs] + rng.normal(0, 0.01, 1000)
    mean, low, high = song_bootstrap(ours, np.full(1000, 0.5), songs)
    assert mean == pytest.approx(by_song.mean(), abs=0.01)
    spread = by_song.std() / np.sqrt(40)
    assert (high - low) == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert low < mean < high
    assert song_bootstrap(ours, ours - 0.25, songs)[1:] == pytest.approx((0.25, 0.25))
