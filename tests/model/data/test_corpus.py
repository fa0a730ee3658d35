"""From files to windows: what is counted, what is left out, and that no song is on both sides of the split."""

import json
import zipfile

import numpy as np
import pytest
from tests_model_songs import tune, write_songs

from bridge.model.data.corpus import CorpusError, common_time_sections, open_collections
from bridge.model.data.dataset import SPLITS, build, load, merged_songs, split_of, window_keys
from bridge.model.nets.config import CONFIGS
from bridge.music.midi_files import MidiScore, TimeSignature, midi_bytes
from bridge.music.notes import Bars, Note

MELODY, DRUMS = CONFIGS["melody-2bar"], CONFIGS["drums-2bar"]


def score(length, *signatures):
    return MidiScore((), tuple(TimeSignature(*s) for s in signatures), 120.0, length)


def test_sections_follow_the_time_signatures():
    assert common_time_sections(score(32.0)) == [(0.0, 8)]
    assert common_time_sections(score(33.0, (0, 4, 4))) == [(0.0, 9)]
    assert common_time_sections(score(33.0, (0, 1, 4), (1, 4, 4))) == [(1.0, 8)]
    assert common_time_sections(score(40.0, (0, 4, 4), (16, 3, 4), (28, 2, 2))) == [(0.0, 4), (28.0, 3)]
    assert common_time_sections(score(32.0, (0, 4, 4), (16, 2, 2))) == [(0.0, 8)]
    assert common_time_sections(score(32.0, (0, 6, 8))) == []


def one_file(folder, notes, length=32.0, channel=0):
    folder.mkdir(exist_ok=True)
    data = midi_bytes(Bars(tuple(notes), length), channels={0: channel}, track_name="melody")
    (folder / "a.mid").write_bytes(data)
    return open_collections(folder)


def test_windows_hop_one_bar_and_each_counts_once(tmp_path):
    pattern = [Note(60 + k, 4 * bar + k, 1, 90) for bar in range(8) for k in range(4)]
    assert len(build(one_file(tmp_path, pattern), MELODY).tokens) == 1
    assert len(build(one_file(tmp_path, tune(1).notes), MELODY).tokens) == 7


def test_a_transposed_window_is_the_same_window(tmp_path):
    pattern = [Note(60 + 5 * (bar // 2) + k * (1 + bar % 2), 4 * bar + k, 1, 90) for bar in range(8) for k in range(4)]
    assert len(build(one_file(tmp_path, pattern), MELODY).tokens) == 2


@pytest.mark.parametrize(
    "notes",
    [
        [Note(60, beat, 1, 90) for beat in range(32)],  # one pitch
        [Note(60, 0, 1, 90), Note(62, 1, 1, 90)],  # two onsets
        [Note(60 + beat, beat, 1, 90) for beat in range(3)] + [Note(70, 7.75, 0.25, 90)],  # a silence over a bar
        [Note(60 + i % 7, i / 3, 0.3, 90) for i in range(96)],  # triplets
    ],
)
def test_useless_windows_are_left_out(tmp_path, notes):
    with pytest.raises(CorpusError, match="expected melody in 4/4"):
        build(one_file(tmp_path, notes), MELODY)


def test_triplets_count_where_they_are_asked_for(tmp_path):
    notes = [Note(60 + i * i % 11, i / 3, 0.3, 90) for i in range(96)]
    assert len(build(one_file(tmp_path, notes), MELODY, keep_off_grid=True).tokens) > 3


def test_drum_windows_need_four_hits_of_two_classes(tmp_path):
    kicks = [Note(36, beat, 0.1, 90) for beat in range(32)]
    with pytest.raises(CorpusError):
        build(one_file(tmp_path, kicks, channel=9), DRUMS)
    made = build(one_file(tmp_path, [*kicks, Note(38, 1, 0.1, 50)], channel=9), DRUMS)
    assert len(made.tokens) == 1
    assert made.has_velocity.tolist() == [True]


def test_songs_that_share_a_third_are_one_and_commonplaces_join_nobody():
    keys = [[b"a", b"b", b"c"], [b"c", b"d", b"e"], [b"x", b"y"], [b"e", b"z", b"q", b"r"]]
    assert merged_songs(keys) == [0, 0, 2, 0]
    common = [[b"everywhere", b"%d" % song] for song in range(40)]
    assert merged_songs(common) == list(range(40))


def test_the_split_is_by_hash_and_keeps_its_shares():
    counts = np.bincount([split_of("made-up", f"song {n}") for n in range(4000)], minlength=3) / 4000
    assert counts == pytest.approx([0.9, 0.05, 0.05], abs=0.015)
    assert split_of("made-up", "x") == split_of("another", "x")
    assert {split_of("openhymnal", f"song {n}") for n in range(200)} == {0}


def test_no_song_and_no_window_is_in_two_splits(tmp_path):
    write_songs(tmp_path / "many", count=80, manifest=True)
    dataset = build(open_collections(tmp_path / "many"), MELODY)
    assert {SPLITS[s] for s in dataset.split.tolist()} == set(SPLITS)
    songs = {split: set(dataset.song[dataset.indices(split)].tolist()) for split in SPLITS}
    keys = window_keys(dataset.tokens)
    windows = {split: {keys[i] for i in dataset.indices(split)} for split in SPLITS}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not songs[a] & songs[b]
        assert not windows[a] & windows[b]


def test_the_index_is_kept_and_made_again_when_the_files_change(tmp_path):
    folder = write_songs(tmp_path / "data", count=3)
    first = load([folder], MELODY, tmp_path / "cache")
    stamp = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.npy")}
    again = load([folder], MELODY, tmp_path / "cache")
    assert stamp == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.npy")}
    assert np.array_equal(first.tokens, again.tokens)
    write_songs(folder, count=5)
    assert len(load([folder], MELODY, tmp_path / "cache").tokens) > len(first.tokens)


def test_zips_folders_and_folders_of_zips_give_the_same(tmp_path):
    folder = write_songs(tmp_path / "data", count=3, manifest=True)
    archive = tmp_path / "zips" / "data.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.iterdir():
            file.write(path, path.name)
    counts = [len(build(open_collections(p), MELODY).tokens) for p in (folder, archive, archive.parent)]
    assert counts[0] == counts[1] == counts[2] > 10


def test_wrong_places_are_named(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(CorpusError, match="expected") as caught:
            open_collections(path)
        assert str(path) in str(caught.value)
    (tmp_path / "manifest.json").write_text(json.dumps(["not a manifest"]))
    (tmp_path / "a.mid").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"manifest\.json"):
        open_collections(tmp_path)


def test_broken_files_are_passed_over_and_told(tmp_path):
    folder = write_songs(tmp_path / "data", count=2)
    (folder / "broken.mid").write_bytes(b"MThd nothing")
    faults = []
    pieces = [piece for c in open_collections(folder) for piece in c.pieces(faults)]
    assert len(pieces) == 2
    assert len(faults) == 1
    assert "broken.mid" in faults[0]
