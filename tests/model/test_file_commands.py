"""The commands on files: names, lengths, determinism, and wrong input in one line with nothing written."""

import io
import json
import shutil
from functools import cache

import mido
import pytest
import torch
from safetensors.torch import load_file
from tests_model_songs import beat_of, tune, write_songs

from bridge.model import file_commands
from bridge.model.file_options import FileOptions, RequestError, parse_attributes, parse_key
from bridge.model.nets import registry
from bridge.model.nets.registry import ModelFileError
from bridge.model.playing.generation import sample_bars
from bridge.music.midi_files import MidiFileError, midi_bytes, read_midi
from bridge.music.notes import Bars, Note

C_MAJOR = parse_key("C")


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """The shipped models, each compiled once for all of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bridge.model.nets.registry.load_compiled", cache(registry.load_compiled))
        yield


@pytest.fixture
def melody_file(tmp_path):
    path = tmp_path / "in.mid"
    path.write_bytes(midi_bytes(tune(3, 4), channels={0: 0}, track_name="melody", tempo=97.0))
    return path


@pytest.mark.parametrize(("model", "channel"), [("melody-2bar", 0), ("drums-2bar", 9)])
def test_samples_are_numbered_and_the_seed_s(model, channel, tmp_path):
    paths = file_commands.sample_files(model, 3, tmp_path / "a", FileOptions(5, 0.7))
    assert [p.name for p in paths] == [f"{model}-00{n}.mid" for n in (1, 2, 3)]
    again = file_commands.sample_files(model, 2, tmp_path / "b", FileOptions(5, 0.7))
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in paths[:2]]
    assert len({p.read_bytes() for p in paths}) == 3
    for path in paths:
        assert mido.MidiFile(path).ticks_per_beat == 480
        assert {track.channel for track in read_midi(path).tracks} == {channel}
        assert read_midi(path).length == 8.0


def test_what_continues_is_as_long_as_asked_and_keeps_the_tempo(melody_file, tmp_path):
    out = tmp_path / "out" / "next.mid"
    assert file_commands.continue_file("melody-2bar", melody_file, 3, out, FileOptions(1)) == out
    score = read_midi(out)
    assert score.length == 12.0
    assert score.tempo == pytest.approx(97.0, abs=0.01)
    assert score.tracks[0].notes != read_midi(melody_file).tracks[0].notes


def test_interpolation_writes_every_step(melody_file, tmp_path):
    other = tmp_path / "b.mid"
    other.write_bytes(midi_bytes(tune(8, 4), channels={0: 0}, track_name="melody"))
    paths = file_commands.interpolate_files("melody-2bar", melody_file, other, 4, tmp_path / "out", FileOptions())
    assert [p.name for p in paths] == [f"melody-2bar-00{n}.mid" for n in (1, 2, 3, 4)]
    assert {read_midi(p).length for p in paths} == {16.0}


def test_a_reconstruction_is_as_long_as_what_went_in(tmp_path):
    path = tmp_path / "in.mid"
    path.write_bytes(midi_bytes(beat_of(3, 3), channels={0: 9}, track_name="drums"))
    out = file_commands.reconstruct_file("drums-2bar", path, tmp_path / "out.mid", FileOptions(1, 0.5))
    assert read_midi(out).length == 12.0


def test_evaluation_says_what_the_contract_asks(tmp_path):
    plain = write_songs(tmp_path / "plain", count=3)
    scores = file_commands.evaluate_path("melody-2bar", plain, 4)
    assert scores["model"] == "melody-2bar"
    assert scores["seed"] == 4
    assert scores["songs"] == 3
    assert scores["windows"] > 15
    assert {"teacher_forced", "sampled", "chance", "shuffled_z"} <= scores["step_accuracy"].keys()
    assert all(0.0 <= value <= 1.0 for value in scores["step_accuracy"].values())
    assert 0.0 <= scores["note_f1"] <= 1.0
    assert scores["kl_bits"] > 0
    assert scores["active_dims"] > 0
    assert "channel 10" in scores["roles"]
    assert file_commands.evaluate_path("melody-2bar", plain, 4) == scores
    assert json.loads(json.dumps(scores)) == scores
    listed = file_commands.evaluate_path("melody-2bar", write_songs(tmp_path / "m", count=2, manifest=True), 4)
    assert listed["roles"] == "manifest.json"


def test_the_wrong_file_is_named_and_nothing_is_written(melody_file, tmp_path):
    wrong = [tmp_path / "text.mid", tmp_path / "missing.mid"]
    wrong[0].write_text("hello")
    out = tmp_path / "out"
    for bad in wrong:
        for pair in ((bad, melody_file), (melody_file, bad)):
            with pytest.raises(MidiFileError, match=bad.name):
                file_commands.interpolate_files("melody-2bar", *pair, 3, out, FileOptions())
        with pytest.raises(MidiFileError, match=bad.name):
            file_commands.reconstruct_file("melody-2bar", bad, out / "x.mid", FileOptions())
        with pytest.raises(MidiFileError, match=bad.name):
            file_commands.continue_file("melody-2bar", bad, 2, out / "x.mid", FileOptions())
    assert not out.exists()


def test_a_file_without_the_part_is_refused(melody_file, tmp_path):
    with pytest.raises(MidiFileError, match="expected notes for drums"):
        file_commands.reconstruct_file("drums-2bar", melody_file, tmp_path / "x.mid", FileOptions())


def test_endless_files_are_refused(tmp_path):
    path = tmp_path / "long.mid"
    bars = Bars((Note(60, 0, 1, 64), Note(62, 9000, 1, 64)), 9001.0)
    path.write_bytes(midi_bytes(bars, channels={0: 0}, track_name="x"))
    with pytest.raises(MidiFileError, match="at most 1024 bars"):
        file_commands.reconstruct_file("melody-2bar", path, tmp_path / "x.mid", FileOptions())


def test_numbers_out_of_range_are_refused(melody_file, tmp_path):
    for call in (
        lambda: file_commands.sample_files("melody-2bar", 0, tmp_path / "o", FileOptions()),
        lambda: file_commands.sample_files("melody-2bar", 2, tmp_path / "o", FileOptions(1, 5.0)),
        lambda: file_commands.sample_files("melody-2bar", 2, tmp_path / "o", FileOptions(attributes={"density": 2.0})),
        lambda: file_commands.sample_files("melody-2bar", 2, tmp_path / "o", FileOptions(attributes={"fill": 0.5})),
        lambda: file_commands.sample_files("drums-2bar", 2, tmp_path / "o", FileOptions(key=C_MAJOR)),
        lambda: file_commands.continue_file("melody-2bar", melody_file, 0, tmp_path / "o" / "x.mid", FileOptions()),
        lambda: file_commands.interpolate_files(
            "melody-2bar", melody_file, melody_file, 1, tmp_path / "o", FileOptions()
        ),
    ):
        with pytest.raises(RequestError, match=r"--\w+( .*)?: expected"):
            call()
    assert not (tmp_path / "o").exists()


def test_a_trained_model_never_replaces_the_shipped_one(tmp_path, monkeypatch):
    calls = {}
    monkeypatch.setattr(file_commands, "models_folder", lambda: tmp_path / "models")
    monkeypatch.setattr(file_commands, "train", lambda *a, **k: calls.setdefault("train", (a, k)))
    monkeypatch.setattr(file_commands, "export", lambda *a, **k: calls.update(export=k))
    target = file_commands.train_model("melody-2bar", [tmp_path], None, resume=False)
    assert target == tmp_path / "models" / "melody-2bar"
    assert calls["train"][0][2] == file_commands.DEFAULT_MINUTES
    card = tmp_path / "models" / "melody-2bar" / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text("{}")
    target = file_commands.train_model("melody-2bar", [tmp_path], 1.0, resume=False)
    assert target == tmp_path / "models" / ".training" / "own" / "melody-2bar" / "trained" / "melody-2bar"


def test_models_that_are_not_there_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("bridge.model.nets.registry.models_folder", lambda: tmp_path)
    with pytest.raises(ModelFileError, match="bass-2bar"):
        file_commands.sample_files("bass-2bar", 1, None, FileOptions())
    with pytest.raises(ValueError, match="expected one of melody-2bar"):
        file_commands.sample_files("tuba", 1, None, FileOptions())


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("A minor", {9, 11, 0, 2, 4, 5, 7}),
        ("c", {0, 2, 4, 5, 7, 9, 11}),
        ("Bb", {10, 0, 2, 3, 5, 7, 9}),
        ("F# Harmonic Minor", {6, 8, 9, 11, 1, 2, 5}),
        ("E pentatonic_minor", {4, 7, 9, 11, 2}),
    ],
)
def test_keys_go_by_their_names(name, classes):
    assert parse_key(name) == classes


@pytest.mark.parametrize("name", ["H minor", "A moll", "", "Aminor", "C ## major"])
def test_keys_that_are_none_are_refused(name):
    with pytest.raises(RequestError, match="expected a key such as"):
        parse_key(name)


def test_attributes_are_names_with_amounts():
    assert parse_attributes(["density=0.5", "register=-1", "density=0.25"]) == {"density": 0.25, "register": -1.0}
    for wrong in ("density", "density=", "density=much", "density=1.5", "density=nan"):
        with pytest.raises(RequestError, match="NAME=AMOUNT"):
            parse_attributes([wrong])


def pitches_of(paths):
    return [note.pitch for path in paths for track in read_midi(path).tracks for note in track.notes]


def test_a_key_binds_every_note_of_every_command(melody_file, tmp_path):
    other = tmp_path / "b.mid"
    other.write_bytes(midi_bytes(tune(8, 4), channels={0: 0}, track_name="melody"))
    key = parse_key("F# pentatonic minor")
    options = FileOptions(3, 0.8, key)
    made = {
        "sample": file_commands.sample_files("melody-2bar", 3, tmp_path / "s", options),
        "way": file_commands.interpolate_files("melody-2bar", melody_file, other, 3, tmp_path / "i", options),
        "next": [file_commands.continue_file("melody-2bar", melody_file, 4, tmp_path / "c.mid", options)],
        "again": [file_commands.reconstruct_file("melody-2bar", melody_file, tmp_path / "r.mid", options)],
    }
    for command, paths in made.items():
        pitches = pitches_of(paths)
        assert len(pitches) > 8, command
        assert {pitch % 12 for pitch in pitches} <= key, command


def test_more_density_is_more_notes(tmp_path):
    def notes(amount):
        options = FileOptions(2, 0.6, None, {"density": amount})
        return len(pitches_of(file_commands.sample_files("melody-2bar", 8, tmp_path / f"{amount}", options)))

    assert notes(1.0) > 1.3 * notes(-1.0)


def test_a_file_in_another_metre_is_refused_with_its_place(tmp_path):
    path = tmp_path / "waltz.mid"
    midi = mido.MidiFile(file=io.BytesIO(midi_bytes(tune(3, 4), channels={0: 0}, track_name="melody")))
    midi.tracks.append(mido.MidiTrack([mido.MetaMessage("time_signature", numerator=3, denominator=4, time=3840)]))
    midi.save(path)
    with pytest.raises(MidiFileError, match=r"waltz.mid: expected 4/4 or 2/2 throughout, found 3/4 at beat 8"):
        file_commands.continue_file("melody-2bar", path, 2, tmp_path / "x.mid", FileOptions())


def test_notes_that_no_model_reads_are_refused(tmp_path):
    path = tmp_path / "out.mid"
    for model, pitch, channel, words in (
        ("melody-2bar", 5, 0, "MIDI pitches 21 to 108"),
        ("drums-2bar", 75, 9, "General MIDI drum sounds"),
    ):
        notes = tuple(Note(pitch, float(beat), 1.0, 90) for beat in range(8))
        path.write_bytes(midi_bytes(Bars(notes, 8.0), channels={0: channel}, track_name="melody"))
        with pytest.raises(MidiFileError, match=words):
            file_commands.reconstruct_file(model, path, tmp_path / "x.mid", FileOptions())
    assert not (tmp_path / "x.mid").exists()


def test_a_prior_of_one_s_own_changes_what_is_drawn_and_nothing_else(tmp_path, monkeypatch):
    """The songs have nothing shorter than eighths: new bars come to have little else, from the same decoder."""
    shipped = registry.models_folder() / "melody-2bar"
    shutil.copytree(shipped, tmp_path / "models" / "melody-2bar")
    monkeypatch.setattr(file_commands, "models_folder", lambda: tmp_path / "models")
    made = file_commands.train_prior("melody-2bar", [write_songs(tmp_path / "songs", count=20)], 0)
    assert made == tmp_path / "models" / ".training" / "own" / "melody-2bar-prior" / "trained" / "melody-2bar"
    before, after = (load_file(folder / "weights.safetensors") for folder in (shipped, made))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("prior.", "maps.")) for name in changed)
    assert (tmp_path / "models" / "melody-2bar" / "weights.safetensors").read_bytes() == (
        shipped / "weights.safetensors"
    ).read_bytes()
    card = json.loads((made / "card.json").read_text())
    assert set(card["data"]) > set(json.loads((shipped / "card.json").read_text())["data"])

    def between_eighths(folder):
        model = registry.load_compiled("melody-2bar", "cpu", folder)
        starts = [note.start for seed in range(40) for note in sample_bars(model, 2, seed, 0.6).notes]
        return sum(start % 0.5 > 0.0 for start in starts) / len(starts)

    assert between_eighths(made.parent) < 0.6 * between_eighths(shipped.parent)
