"""How the way between loops is measured: on a model of random weights, where ends and mixing are known."""

from dataclasses import replace

import held_out
import numpy as np
import pytest

from bridge.model.data.corpus import CorpusError
from bridge.model.evaluation.realism import fit_ngram
from bridge.model.nets.config import CONFIGS
from bridge.model.reporting.held_out import drawn_rows, grid_tokens, loops_of, unrelated_pairs
from bridge.model.reporting.smoothness import interpolation, mixed_way, small_moves, way_tokens


@pytest.fixture(scope="module", params=["melody-2bar", "drums-2bar"])
def kept(request):
    """(config, the windows in the repository) of a model."""
    return CONFIGS[request.param], held_out.windows(request.param)


def test_loops_are_the_windows_they_come_from(kept):
    config, dataset = kept
    rows = drawn_rows(dataset, "test", 20, config.part, 3)
    assert len(set(rows.tolist())) == 20
    for row, loop in zip(rows, loops_of(dataset, rows, config), strict=True):
        tokens = grid_tokens(loop, config.part)
        assert loop.length == 8.0
        if config.part == "drums":
            late = (dataset.offsets[row] == 10) & (dataset.velocities[row] > 0)  # half a step late: the next one's
            assert (tokens != dataset.tokens[row]).sum() <= 2 * late.any(1).sum()
        else:
            away = (tokens.astype(int) - dataset.tokens[row])[dataset.tokens[row] < 88]
            assert set((away % 12).tolist()) == {0}


def test_pairs_are_of_two_songs_and_the_seed_s(kept):
    config, dataset = kept
    pairs = unrelated_pairs(dataset, 6, config, 5)
    assert pairs == unrelated_pairs(dataset, 6, config, 5)
    assert all(a != b for a, b in pairs)
    assert pairs != unrelated_pairs(dataset, 6, config, 6)


@pytest.mark.parametrize("songs", [0, 1])
def test_pairs_are_refused_where_there_are_no_two_songs(kept, songs):
    config, dataset = kept
    split = np.where(dataset.song == dataset.song[0], 2 if songs else 0, 0)
    with pytest.raises(CorpusError, match=f"expected test songs .* two or more, found {songs}"):
        unrelated_pairs(replace(dataset, split=split), 6, config, 5)


def test_naive_mixing_takes_every_step_from_one_or_the_other():
    a, b = np.zeros(4000, int), np.ones(4000, int)
    way = mixed_way(a, b, np.array([0.0, 0.25, 1.0]), np.random.default_rng(0))
    assert way.mean(1) == pytest.approx([0.0, 0.25, 1.0], abs=0.03)


def test_the_way_between_loops_is_measured(small):
    config = small[2].config
    dataset = held_out.windows("drums-2bar" if config.part == "drums" else "melody-2bar")
    pairs = unrelated_pairs(dataset, 3, config, 0)
    ngrams = {config.part: fit_ngram(dataset.tokens.astype(int), drums=config.part == "drums")}
    found = interpolation(small[2], pairs, ngrams, 0, 0.6)
    assert found["pairs"] == 3
    assert found["hamming"][0] == 0.0
    ends = [way_tokens(small[2], pair, [0.0, 1.0], 0, 0.6)[config.part] for pair in pairs]
    assert found["hamming"][-1] == pytest.approx(np.mean([(a != b).mean() for a, b in ends]), abs=1e-4)
    assert (found["cost"][0] + found["cost"][-1]) / 2 == pytest.approx(1.0, abs=1e-3)
    assert found["cost"][0] == found["cost_mixed"][0]
    moves = small_moves(small[2], pairs[:1], 0, 0.6)
    assert moves["moves"] == 50
    assert 0.0 <= moves["mean"] <= moves["most"] <= 1.0
    assert moves["mean"] * 50 >= moves["ends_apart"]  # all small moves together lead from one end to the other
