"""What new long windows are drawn near: points made of songs, the same again, no copies, and in all parts something."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import SMALL_LONG_LINE, SMALL_TRIO, small_hierarchy
from small_songs import write_trios

from bridge.model.data.corpus import open_collections
from bridge.model.data.dataset import SPLITS, build
from bridge.model.data.long_windows import plain_tokens
from bridge.model.nets.compiled_hierarchy import CompiledHierarchy
from bridge.model.training import exemplars
from bridge.model.training.exporting import drawn_chains
from bridge.music.grids import NO_EVENT


@pytest.fixture
def songs(tmp_path):
    """A dataset of a config in which the last of six songs is held out."""

    def of(config):
        dataset = build(open_collections(write_trios(tmp_path / "data", count=6)), config)
        last = dataset.song == dataset.song.max()
        return replace(dataset, split=np.where(last, SPLITS.index("validation"), SPLITS.index("train")))

    return of


@pytest.mark.parametrize("config", [SMALL_LONG_LINE, SMALL_TRIO], ids=lambda config: config.name)
def test_they_are_made_of_songs_but_are_of_none_and_the_same_again(songs, config, monkeypatch):
    monkeypatch.setattr(exemplars, "_ORDINARY", 1.0)
    dataset = songs(config)
    model, flow, maps = small_hierarchy(config)
    resident = CompiledHierarchy(model, flow, torch.device("cpu"), maps=maps)
    train = drawn_chains(model, dataset, "train", 100, 0)
    found, again, others = (
        exemplars.exemplars_made(resident, flow, train, dataset, 12, seed) for seed in (3, 3, 4)
    )  # fmt: skip
    assert 0 < len(found) <= 12
    assert found.shape[1] == config.latent_size
    assert torch.isfinite(found).all()
    assert torch.equal(found, again)
    assert len(found) != len(others) or not torch.equal(found, others)
    assert torch.cdist(found, train.means).min() > 1e-3


def test_of_one_window_there_are_none(songs):
    dataset = songs(SMALL_LONG_LINE)
    model, flow, maps = small_hierarchy(SMALL_LONG_LINE)
    resident = CompiledHierarchy(model, flow, torch.device("cpu"), maps=maps)
    alone = drawn_chains(model, dataset, "train", 1, 0)
    assert exemplars.exemplars_made(resident, flow, alone, dataset, 12, 3).shape == (0, SMALL_LONG_LINE.latent_size)


def test_what_shares_long_runs_with_a_song_is_no_exemplar(songs):
    dataset = songs(SMALL_LONG_LINE)
    copies, others = (plain_tokens(dataset, dataset.indices(split), SMALL_LONG_LINE) for split in SPLITS[:2])
    assert not exemplars._ordinary(dataset, copies, SMALL_LONG_LINE, 0).any()
    assert exemplars._ordinary(dataset, others, SMALL_LONG_LINE, 0).mean() > 0.5
    nobody = replace(dataset, split=np.full_like(dataset.split, SPLITS.index("train")))
    assert exemplars._ordinary(nobody, copies, SMALL_LONG_LINE, 0).all()


def test_an_ensemble_in_which_a_part_is_silent_is_no_exemplar(songs):
    dataset = songs(SMALL_TRIO)
    others = plain_tokens(dataset, dataset.indices("validation"), SMALL_TRIO)
    whole = exemplars._ordinary(dataset, others, SMALL_TRIO, 0)
    assert whole.any()
    without_bass = {**others, "bass": np.full_like(others["bass"], NO_EVENT)}
    assert not exemplars._ordinary(dataset, without_bass, SMALL_TRIO, 0).any()
    line = songs(SMALL_LONG_LINE)
    silent = {"melody": np.full((3, 256), NO_EVENT, dtype=np.int64)}
    assert exemplars._ordinary(line, silent, SMALL_LONG_LINE, 0).all()
