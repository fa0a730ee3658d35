"""The few statistics that the figures need: ranks, rank correlation, the area under a curve, intervals by bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.music.grids import Floats, Ints

Flags = np.ndarray[Any, np.dtype[np.bool_]]
_RESAMPLES = 10_000


def ranks(values: Floats) -> Floats:
    """The rank of each value (n,), from 1; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return found


def spearman(a: Floats, b: Floats) -> float:
    """Spearman's rank correlation of two rows (n,); NaN where one of them never changes."""
    one, other = ranks(a) - (len(a) + 1) / 2.0, ranks(b) - (len(b) + 1) / 2.0
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size > 0.0 else float("nan")


def area_under_curve(scores: Floats, positive: Flags) -> float:
    """The chance that a positive (n,) scores above a negative, ties counting half (Mann and Whitney)."""
    ours = int(positive.sum())
    above = ranks(scores)[positive].sum() - ours * (ours + 1) / 2.0
    return float(above / (ours * (len(scores) - ours)))


def song_bootstrap(
    ours: Floats, theirs: Floats, songs: Ints, seed: int = 0, confidence: float = 0.95
) -> tuple[float, float, float]:
    """By how much `ours` (n,) is above `theirs` (n,), windows of `songs` (n,): the mean difference, and the interval it
    lies in when other songs had been drawn (songs are drawn, not windows: those of one song are alike).

    Windows count the same within the mean, as in the scores themselves.
    """
    owner = np.unique(songs, return_inverse=True)[1]
    away = np.bincount(owner, weights=ours - theirs)
    sizes = np.bincount(owner).astype(np.float64)
    rng = np.random.default_rng(seed)
    means = np.empty(_RESAMPLES)
    for begin in range(0, _RESAMPLES, 500):
        drawn = rng.integers(0, len(sizes), (500, len(sizes)))
        means[begin : begin + 500] = away[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return float(away.sum() / sizes.sum()), float(low), float(high)
