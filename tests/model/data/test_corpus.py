"""From files to windows: what is counted, what is left out, and that no song is on both sides of the split."""

import json
import logging
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from small_songs import beat_of, tune, write_songs

from bridge.model.data.corpus import CorpusError, common_time_sections, open_collections
from bridge.model.data.dataset import SPLITS, build, load, merged_songs, split_of, window_keys
from bridge.model.data.long_windows import whole_rows
from bridge.model.data.training_data import evaluation_rows, group_chances
from bridge.model.nets.config import CONFIGS
from bridge.music.midi_files import MAX_FILE_BYTES, MidiScore, TimeSignature, midi_bytes
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


@pytest.mark.parametrize(
    ("name", "left"), [("tokens.npy", None), ("follows.npy", 0), ("song.npy", 100), ("groups.json", 3)]
)
def test_an_index_that_has_lost_something_is_made_anew(tmp_path, caplog, name, left):
    folder, cache = write_songs(tmp_path / "data", count=2), tmp_path / "cache"
    whole = np.array(load([folder], MELODY, cache).tokens)
    (path,) = cache.rglob(name)
    data = path.read_bytes()
    path.unlink()  # the old one may be mapped
    if left is not None:
        path.write_bytes(data[:left])
    again = load([folder], MELODY, cache)
    assert np.array_equal(again.tokens, whole)
    assert path.read_bytes() == data
    assert f"{path.parent}: expected a whole index" in caplog.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such thing here")
def test_what_is_no_file_in_a_folder_is_not_waited_for(tmp_path, caplog):
    folder = write_songs(tmp_path / "data", count=2)
    os.mkfifo(folder / "z.mid")  # whoever opens it waits until somebody writes
    assert len(load([folder], MELODY, tmp_path / "cache").tokens)
    assert "z.mid: expected a readable MIDI file (no ordinary file)" in caplog.text


def test_an_index_is_carried_to_where_the_same_files_lie_elsewhere(tmp_path, monkeypatch):
    folder, cache = write_songs(tmp_path / "data", count=3), tmp_path / "cache"
    with zipfile.ZipFile(tmp_path / "songs.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    made = [load([path], MELODY, cache) for path in (folder, tmp_path / "songs.zip")]
    shutil.copytree(folder, tmp_path / "elsewhere" / "data")
    shutil.copy(tmp_path / "songs.zip", tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*"):
        os.utime(path, (10**9, 10**9))
    monkeypatch.setattr("bridge.model.data.dataset.build", None)  # nothing is read again
    for name, index in zip(("data", "songs.zip"), made, strict=True):
        again = load([tmp_path / "elsewhere" / name], MELODY, cache)
        assert np.array_equal(again.tokens, index.tokens)


@pytest.mark.parametrize("name", ["repairs", "my pairs", "drums fill", "two  words"])
def test_a_folder_may_be_called_as_a_kind_of_windows_is(tmp_path, name):
    folder = write_songs(tmp_path / name, count=12)
    dataset = build(open_collections(folder), MELODY)
    assert dataset.groups == ("-".join(name.split()),)
    assert len(whole_rows(dataset)) == len(dataset.tokens)
    rows = [evaluation_rows(dataset, split) for split in SPLITS]
    assert sum(map(len, rows)) > 0
    assert group_chances(dataset.groups, np.array([5]), "melody", loops=True).tolist() == [1.0]


@pytest.mark.parametrize("place", [".", "../here", "sub/.."])
def test_a_folder_is_called_as_it_is_from_wherever_it_is_seen(tmp_path, monkeypatch, place):
    folder = write_songs(tmp_path / "here", count=1)
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder)
    assert [collection.source for collection in open_collections(Path(place))] == ["here"]


def test_names_may_be_no_utf_8(tmp_path):
    """As those of files that come out of old archives; they were a traceback."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
        (folder / os.fsdecode(b"\xfcbung.mid")).write_bytes(midi_bytes(tune(1), channels={0: 0}, track_name="melody"))
    except OSError:
        pytest.skip("this disk takes no such names")
    dataset = load([folder], MELODY, tmp_path / "cache")
    assert len(dataset.tokens) == 7
    assert dataset.groups == ("caf?",)


def test_files_exchanged_for_older_ones_are_indexed_anew(tmp_path):
    folder, cache = write_songs(tmp_path / "data", count=2), tmp_path / "cache"
    load([folder], MELODY, cache)
    (folder / "melody-0.mid").write_bytes(midi_bytes(tune(50, 4), channels={0: 0}, track_name="melody"))
    os.utime(folder / "melody-0.mid", (10**9, 10**9))
    fresh = build(open_collections(folder), MELODY)
    assert np.array_equal(load([folder], MELODY, cache).tokens, fresh.tokens)


def test_a_manifest_that_changes_is_indexed_anew(tmp_path):
    folder, cache = write_songs(tmp_path / "data", count=2), tmp_path / "cache"
    assert len(set(load([folder], MELODY, cache).song.tolist())) == 2
    names = {f"melody-{n}.mid": {"song": "one", "roles": {"melody": [0]}} for n in range(2)}
    (folder / "manifest.json").write_text(json.dumps({"files": names}))
    os.utime(folder / "manifest.json", (10**9, 10**9))
    assert len(set(load([folder], MELODY, cache).song.tolist())) == 1


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


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ("no JSON", "is JSON"),
        ("[" * 100_000, "is JSON"),
        ("[1]", "files by name"),
        ('{"files": []}', "files by name"),
        ('{"files": {"melody-0.mid": 5}}', "melody-0.mid: expected .* found 5"),
        ('{"files": {"melody-0.mid": {"roles": 3}}}', "melody-0.mid: expected .* found"),
    ],
)
def test_a_manifest_of_another_shape_is_one_line(tmp_path, manifest, expected):
    folder = write_songs(tmp_path / "data", count=1)
    (folder / "manifest.json").write_text(manifest)
    archive = tmp_path / "data.zip"
    packed(folder, archive)
    for path in (folder, archive):
        with pytest.raises(CorpusError, match=expected) as caught:
            open_collections(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "manifest.json" in str(caught.value)
        assert "\n" not in str(caught.value)


def packed(folder, archive):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)


def read(path):
    """How many files are read of a folder or zip, and the faults of the others."""
    faults = []
    return sum(1 for c in open_collections(path) for _ in c.pieces(faults)), faults


def test_broken_files_are_passed_over_and_told(tmp_path):
    folder = write_songs(tmp_path / "data", count=2)
    (folder / "broken.mid").write_bytes(b"MThd nothing")
    count, faults = read(folder)
    assert count == 2
    assert len(faults) == 1
    assert faults[0].startswith(f"{folder}: broken.mid: ")


def test_what_is_no_file_keeps_no_other_from_being_read(tmp_path):
    folder = write_songs(tmp_path / "data", count=2)
    (folder / "x.mid").mkdir()
    (folder / "songs.zip").mkdir()
    (folder / "y.mid").symlink_to(tmp_path / "nowhere")
    count, faults = read(folder)
    assert count == 2
    assert len(faults) == 1
    assert "y.mid: expected a readable MIDI file (No such file" in faults[0]
    assert len(load([folder], MELODY, tmp_path / "cache").tokens) > 5


def test_what_macos_keeps_beside_its_files_is_no_fault(tmp_path):
    folder = write_songs(tmp_path / "data", count=2)
    (folder / "._melody-0.mid").write_bytes(b"\0\5\x16\7")
    packed(folder, tmp_path / "data.zip")
    assert read(folder) == read(tmp_path / "data.zip") == (2, [])


def damaged(data, place):
    """A zip in which the first member's contents are changed."""
    return data[: place + 40] + bytes([data[place + 40] ^ 255]) * 20 + data[place + 60 :]


def encrypted(data, place):
    """A zip whose first member says that it is encrypted, in both places."""
    again = data.index(b"PK\x01\x02")
    return data[: place + 6] + b"\1" + data[place + 7 : again + 8] + b"\1" + data[again + 9 :]


def packed_otherwise(data, place):
    """A zip whose first member is packed in a way that nobody knows."""
    again = data.index(b"PK\x01\x02")
    return data[: place + 8] + b"\x63" + data[place + 9 : again + 10] + b"\x63" + data[again + 11 :]


@pytest.mark.parametrize("harm", [damaged, encrypted, packed_otherwise])
def test_a_member_of_a_zip_that_cannot_be_read_keeps_no_other_from_it(tmp_path, harm):
    packed(write_songs(tmp_path / "data", count=3), tmp_path / "data.zip")
    data = (tmp_path / "data.zip").read_bytes()
    (tmp_path / "data.zip").write_bytes(harm(data, data.index(b"PK\x03\x04")))
    count, faults = read(tmp_path / "data.zip")
    assert count == 2
    assert len(faults) == 1
    assert "data.zip: melody-0.mid: expected a readable MIDI file (" in faults[0]
    assert "\n" not in faults[0]


def test_a_member_of_a_zip_is_no_larger_than_a_file_may_be(tmp_path):
    folder = write_songs(tmp_path / "data", count=1)
    (folder / "vast.mid").write_bytes(bytes(MAX_FILE_BYTES + 1))
    packed(folder, tmp_path / "data.zip")
    assert (tmp_path / "data.zip").stat().st_size < 100_000
    for path in (folder, tmp_path / "data.zip"):
        count, faults = read(path)
        assert count == 1
        assert faults == [f"{path}: vast.mid: expected a MIDI file of at most 16 MiB"]


@pytest.mark.parametrize(
    "harm", [lambda data: data[:300], lambda data: data.replace(b"melody-0", b"\xff\xfe\xfdody-0")]
)
def test_a_zip_that_cannot_be_opened_is_named(tmp_path, harm):
    (tmp_path / "zips").mkdir()
    archive = tmp_path / "zips" / "data.zip"
    packed(write_songs(tmp_path / "data", count=1), archive)
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 9] |= 8  # names are UTF-8
    archive.write_bytes(harm(bytes(data)))
    for path in (archive, archive.parent):
        with pytest.raises(CorpusError, match=r"data\.zip: expected a folder or \.zip of MIDI files"):
            open_collections(path)


def of_no_use(folder):
    """Zips of which nothing can be used: torn, without music, with a manifest that is none; their names."""
    whole = folder / "whole.zip"
    packed(write_songs(folder.parent / "packed", count=1), whole)
    (folder / "torn.zip").write_bytes(whole.read_bytes()[:300])
    whole.unlink()
    for name, inside in (("notes", {"read.txt": "nothing"}), ("listed", {"a.mid": "", "manifest.json": "[1]"})):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as file:
            for entry, text in inside.items():
                file.writestr(entry, text)
    return ["listed.zip", "notes.zip", "torn.zip"]


@pytest.mark.parametrize("loose", [True, False])
def test_a_zip_of_no_use_keeps_no_other_music_in_its_folder_from_being_read(tmp_path, caplog, loose):
    folder = tmp_path / "data"
    songs = write_songs(folder if loose else tmp_path / "songs", count=2)
    alone = build(open_collections(songs), MELODY)
    folder.mkdir(exist_ok=True)
    names = of_no_use(folder)
    if not loose:
        packed(songs, folder / "songs.zip")
    for _ in range(2):  # indexed, and found in the cache
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            dataset = load([folder], MELODY, tmp_path / "cache")
        np.testing.assert_array_equal(dataset.tokens, alone.tokens)
        said = [record.getMessage() for record in caplog.records]
        assert all(line.startswith(f"passed over: {folder / name}: ") for line, name in zip(said, names, strict=True))
    assert [c.source for c in open_collections(folder)] == ["data" if loose else "songs"]


def test_a_folder_of_nothing_but_such_zips_is_refused_with_why(tmp_path):
    names = of_no_use(tmp_path)
    with pytest.raises(CorpusError, match=r"found none \(3 of 3 zips cannot be used: .*listed\.zip: .*manifest") as one:
        open_collections(tmp_path)
    assert "\n" not in str(one.value)
    (tmp_path / "waltz.mid").write_bytes(
        midi_bytes(tune(1), channels={0: 0}, track_name="melody", time_signature=(3, 4))
    )
    with pytest.raises(CorpusError, match=r"3 of 4 files cannot be read: .*; .*1 file with less than 2 bars of 4/4"):
        build(open_collections(tmp_path), MELODY)
    for name in names:
        with pytest.raises(CorpusError, match=name):
            open_collections(tmp_path / name)


def test_the_first_faults_are_logged_and_the_others_counted(tmp_path, caplog):
    folder = write_songs(tmp_path / "data", count=2)
    for name in "abcde":
        (folder / f"{name}.mid").write_bytes(b"no music")
    with caplog.at_level(logging.WARNING):
        build(open_collections(folder), MELODY)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4
    for line, name in zip(said, "abc", strict=False):
        assert line.startswith(f"passed over: {folder}: {name}.mid: expected a Standard MIDI File")
    assert said[3] == "passed over: 2 more files that cannot be read"


def test_files_without_a_window_are_counted_and_a_few_named_by_why(tmp_path, caplog):
    folder = write_songs(tmp_path / "data", count=2)
    whole = (folder / "melody-0.mid").read_bytes()
    waltz = midi_bytes(tune(1), channels={0: 0}, track_name="melody", time_signature=(3, 4))
    for name in "abcde":
        (folder / f"waltz-{name}.mid").write_bytes(waltz)
    (folder / "beat.mid").write_bytes(midi_bytes(beat_of(1), channels={0: 9}, track_name="drums"))
    low = Bars(tuple(Note(pitch, float(pitch), 1.0, 90) for pitch in range(8)), 8.0)
    (folder / "low.mid").write_bytes(midi_bytes(low, channels={0: 0}, track_name="melody"))
    (folder / "bad.mid").write_bytes(whole[:50])
    with caplog.at_level(logging.WARNING):
        dataset = build(open_collections(folder), MELODY)
    assert len(dataset.tokens)
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith(f"passed over: {folder}: bad.mid: ")
    useless = f"passed over: {folder}:"
    few = f"{useless} 1 file in which no 2 bars of melody have notes enough in range and on the grid: low.mid"
    metre = f"{useless} 5 files with less than 2 bars of 4/4 on end: waltz-a.mid, waltz-b.mid, waltz-c.mid and 2 more"
    assert sorted(said[1:]) == [few, f"{useless} 1 file without melody: beat.mid", metre]


def test_a_folder_of_waltzes_is_told_that_they_are(tmp_path):
    for name in "ab":
        waltz = midi_bytes(tune(1), channels={0: 0}, track_name="melody", time_signature=(3, 4))
        (tmp_path / f"{name}.mid").write_bytes(waltz)
    with pytest.raises(
        CorpusError, match=r"found none \(.*: 2 files with less than 2 bars of 4/4 on end: a.mid, b.mid\)"
    ):
        build(open_collections(tmp_path), MELODY)


def test_where_nothing_is_left_it_is_said_why(tmp_path, caplog):
    for name in "abc":
        (tmp_path / f"{name}.mid").write_bytes(b"no music")
    with pytest.raises(CorpusError, match=r"none \(3 of 3 files cannot be read: .*a\.mid: expected a Standard") as one:
        build(open_collections(tmp_path), MELODY)
    assert "\n" not in str(one.value)
    assert not caplog.records


def test_a_handful_of_songs_that_all_hash_elsewhere_is_trained_on(tmp_path):
    name = next(f"{n}.mid" for n in range(1000) if split_of("data", f"{n}.mid") == 2)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / name).write_bytes(midi_bytes(tune(1), channels={0: 0}, track_name="melody"))
    dataset = build(open_collections(folder), MELODY)
    assert len(dataset.indices("train")) == len(dataset.tokens) == 7
    assert not len(dataset.indices("test"))
