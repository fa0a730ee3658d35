"""How like the bars before continuations are."""

import numpy as np
import pytest

from bridge.model.reporting.continuation import _beside, _Kept
from bridge.music.grids import NO_EVENT

KICKS, SNARES = 0b01, 0b10


def line(*places):
    """One bar in which these steps are struck."""
    tokens = np.full(16, NO_EVENT)
    tokens[list(places)] = 40
    return tokens


def test_a_pattern_is_kept_whatever_its_pitches():
    before = line(0, 4, 8, 12)
    other = line(2, 6, 10, 14)
    higher = np.where(before < NO_EVENT, before + 3, before)
    kept = [_Kept(before[None], other, higher), _Kept(other[None], other, np.where(other == 40, 44, other))]
    found = _beside(kept, ["songs", "songs"], np.arange(2), drums=False)
    assert found["pattern_kept"] == pytest.approx(1.0)
    assert found["pattern_kept_truth"] == pytest.approx(0.5)
    assert found["pattern_of_others"] == pytest.approx(0.0)


def test_drums_are_alike_by_class():
    bars = [np.where(np.arange(16) % 4 == 0, hits, 0) for hits in (KICKS, SNARES, KICKS | SNARES)]
    kept = [_Kept(bars[0][None], bars[1], bars[2]), _Kept(bars[0][None], bars[1], bars[0])]
    found = _beside(kept, ["songs", "songs"], np.arange(2), drums=True)
    assert found["pattern_kept_truth"] == 0.0
    assert found["pattern_kept"] == pytest.approx((1.0 + np.sqrt(0.5)) / 2.0, abs=1e-3)


def test_key_shares_are_told_of_sources_with_enough_bars_and_of_how_many_songs_they_are():
    inside = np.where(np.arange(16) % 4 == 0, 39 + np.array([0, 2, 4, 5] * 4), NO_EVENT)
    outside = np.where(np.arange(16) == 0, inside + 1, inside)
    kept = [_Kept(inside[None], outside, inside)] * 20
    found = _beside([*kept, kept[0]], ["many"] * 20 + ["few"], np.arange(21) // 7, drums=False)
    assert found["key_share many"] == "1.000, truth 0.750; songs: 3"
    assert "key_share few" not in found
