"""Trainings that leave scores and no model: without a collection, and beside a flat decoder."""

import json
import shutil
from functools import partial

import pytest
from small_songs import write_songs

from bridge import cli
from bridge.model.data.corpus import CorpusError
from bridge.model.training import left_out


@pytest.fixture
def two_sources(tmp_path):
    return [write_songs(tmp_path / "ours", count=4), write_songs(tmp_path / "theirs", count=3)]


def test_one_source_is_outside_and_all_others_inside(two_sources):
    inside, outside = left_out.divided(two_sources, "theirs")
    assert inside == [two_sources[0]]
    assert [collection.source for collection in outside] == ["theirs"]
    for wrong, paths in (("nobody", two_sources), ("ours", two_sources[:1])):
        with pytest.raises(CorpusError, match=f"--leave-out {wrong}: expected one of several"):
            left_out.divided(paths, wrong)
    with pytest.raises(CorpusError, match="melody-16bar stands on others"):
        left_out.train_without("melody-16bar", "theirs", two_sources, 1.0, two_sources[0], kept_in=two_sources[0])


def test_what_is_left_out_is_not_learnt_with_the_folder_that_it_lies_in(tmp_path):
    mine = write_songs(tmp_path / "mine", count=2)
    theirs = write_songs(tmp_path / "theirs", count=2)
    shutil.make_archive(str(mine / "inner"), "zip", theirs)
    (theirs / "deep").mkdir()
    shutil.copytree(mine, theirs / "deep" / "down")
    for paths, source in (([mine], "inner"), ([theirs, theirs / "deep" / "down"], "down")):
        with pytest.raises(CorpusError, match=f"--leave-out {source}: expected it apart from other files"):
            left_out.divided(paths, source)
    assert left_out.divided([mine], "mine")[0] == [mine / "inner.zip"]


def test_a_flat_decoder_stands_beside_one_conductor_alone(two_sources, capsys):
    for name in ("melody-2bar", "trio-16bar"):
        assert cli.main(["train", name, "--data", str(two_sources[0]), "--beside-flat"]) == 2
        told = f"--beside-flat: expected a hierarchical model of one part, {name} is none"
        assert capsys.readouterr().err == f"barline: {told}\n"


def test_the_scores_are_those_of_the_source_left_out(two_sources, tmp_path, monkeypatch):
    monkeypatch.setattr(left_out, "train", partial(left_out.train, batch_size=8))  # a second of training, not ten
    kept_in = tmp_path / "kept"
    path = left_out.train_without("melody-2bar", "theirs", two_sources, 0.02, tmp_path / "models", kept_in=kept_in)
    assert path == kept_in / "left_out.json"
    found = json.loads(path.read_text())
    assert found["source"] == "theirs"
    assert found["scores"]["songs"] == 3
    assert list(found["scores"]["note_f1_by_source"]) == ["theirs"]
    assert not (tmp_path / "models" / "melody-2bar" / "weights.safetensors").exists()
