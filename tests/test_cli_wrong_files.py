"""Files that are wrong, through the real command line: one clear line, exit code 2, nothing written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from bridge import cli, paths
from bridge.music.midi_files import midi_bytes
from bridge.music.notes import Bars, Note

SCALE = (60, 62, 64, 65, 67, 69, 71, 72)


def song(pitches: tuple[int, ...] = SCALE, channel: int = 0) -> bytes:
    notes = tuple(Note(pitch, float(beat), 1.0, 90) for beat, pitch in enumerate(pitches))
    return midi_bytes(Bars(notes, float(len(pitches))), channels={0: channel}, track_name="melody")


def in_three(data: bytes) -> bytes:
    """A song with its time signature changed to 3/4."""
    place = data.index(b"\xff\x58\x04")
    return data[: place + 3] + bytes([3, 2]) + data[place + 5 :]


def file_of(division: int, events: bytes) -> bytes:
    track = events + b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, division) + b"MTrk" + struct.pack(">I", len(track)) + track


WRONG: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "does not begin with MThd"),
    "text": (b"hello, this is no music\n", "does not begin with MThd"),
    "header": (song()[:14], "expected a whole Standard MIDI File (it ends too early)"),
    "torn": (song()[:60], "expected a whole Standard MIDI File"),
    "silent": (file_of(480, b"\x00\xff\x58\x04\x04\x02\x18\x08"), "expected notes, found none"),
    "damaged": (file_of(480, b"\x00\xff\x51\x02\x07\xa1\x00\x90\x3c\x40\x10\x80\x3c\x00"), "an event in it is damaged"),
    "frames": (file_of(0xE728, b"\x00\x90\x3c\x40\x10\x80\x3c\x00"), "found SMPTE frames"),
    "no time": (file_of(0, b"\x00\x90\x3c\x40\x10\x80\x3c\x00"), "ticks per quarter note, found 0"),
    "waltz": (in_three(song()), "expected 4/4 or 2/2 throughout, found 3/4 at beat 0"),
    "rumble": (song(tuple(range(2, 10))), "expected notes for melody among MIDI pitches 21 to 108"),
    "drums": (song((36, 38, 42, 38), channel=9), "expected notes for melody, found none"),
}


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with one good file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.mid").write_bytes(song())
    return tmp_path


def refused(room: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command refuses with, having written nothing."""
    before = {path: path.read_bytes() for path in room.rglob("*") if path.is_file()}
    try:
        code = cli.main(arguments)
    except SystemExit as left:
        code = left.code  # type: ignore[assignment]
    said = capsys.readouterr()
    assert code == 2, said.err
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    assert {path: path.read_bytes() for path in room.rglob("*") if path.is_file()} == before
    assert not (room / "out").exists()
    return said.err


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_midi_file_is_named_with_what_was_expected(
    room: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    data, expected = WRONG[kind]
    (room / f"{kind}.mid").write_bytes(data)
    for arguments in (
        ("continue", "melody-2bar", f"{kind}.mid", "--out", "out/next.mid"),
        ("reconstruct", "melody-2bar", f"{kind}.mid", "--out", "out/again.mid"),
        ("interpolate", "melody-2bar", "good.mid", f"{kind}.mid", "--out", "out"),
        ("interpolate", "melody-2bar", f"{kind}.mid", "good.mid", "--out", "out"),
    ):
        line = refused(room, capsys, *arguments)
        assert f"{kind}.mid" in line
        assert expected in line


ONE = ("continue", "melody-2bar", "good.mid")
WAY = ("interpolate", "melody-2bar", "good.mid", "good.mid")


@pytest.mark.parametrize(
    ("arguments", "out", "expected"),
    [
        (ONE, ".", "--out .: expected a place to write to (. is a folder)"),
        (ONE, "", "--out .: expected a place to write to (. is a folder)"),
        (ONE, "/", "--out /: expected a place to write to (/ is a folder)"),
        (ONE, "..", "(.. is a folder)"),
        (ONE, "place", "--out place: expected a place to write to (place is a folder)"),
        (("reconstruct", *ONE[1:]), ".", "(. is a folder)"),
        (ONE, "good.mid/x/next.mid", "--out good.mid/x/next.mid: expected a place to write to (good.mid is a file)"),
        (("sample", "melody-2bar"), "good.mid", "--out good.mid: expected a place to write to (good.mid is a file)"),
        (WAY, "good.mid", "--out good.mid: expected a place to write to (good.mid is a file)"),
        (("sample", "melody-2bar"), "place", "--out place: expected a place to write to (place/melody-2bar-002.mid is"),
        (WAY, "place", "--out place: expected a place to write to (place/melody-2bar-002.mid is a folder)"),
        (ONE, "pipe", "--out pipe: expected a place to write to (pipe is no ordinary file)"),
        (("demo",), "good.mid", "--out good.mid: expected a place to write to (good.mid is a file)"),
        (("demo",), "place", "--out place: expected a place to write to (place/demo.png is a folder)"),
        (ONE, "n" * 300, "(File name too long)"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_made(
    room: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    out: str,
    expected: str,
) -> None:
    monkeypatch.setattr("bridge.model.nets.registry.load_model", lambda *_: pytest.fail("a model was loaded"))
    (room / "place" / "melody-2bar-002.mid").mkdir(parents=True)
    (room / "place" / "demo.png").mkdir()
    os.mkfifo(room / "pipe")
    assert expected in refused(room, capsys, *arguments, "--out", out)


@pytest.mark.parametrize(
    ("closed", "arguments", "expected"),
    [
        (".", (*ONE, "--out", "out/next.mid"), "--out out/next.mid: expected a place to write to (. may not be"),
        ("kept.mid", (*ONE, "--out", "kept.mid"), "--out kept.mid: expected a place to write to (kept.mid may not be"),
        (".", ("demo", "--out", "out"), "--out out: expected a place to write to (. may not be written to)"),
        ("models", ("models", "--report"), "models: expected a place to write to (models may not be written to)"),
        ("models", ("train", "melody-2bar", "--data", "."), "(models may not be written to)"),
        ("models", ("train", "melody-2bar", "--data", ".", "--prior-only"), "(models may not be written to)"),
    ],
)
def test_what_may_not_be_written_to_is_named_before_anything_is_made(
    room: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    closed: str,
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != Path(closed))  # to root everything is open
    monkeypatch.setattr("bridge.paths.models_folder", lambda: Path("models"))
    monkeypatch.setattr("bridge.model.file_commands.models_folder", lambda: Path("models"))
    (room / "models").mkdir()
    (room / "kept.mid").write_bytes(song())
    assert expected in refused(room, capsys, *arguments)


@pytest.mark.parametrize("bars", ["0", "-4", "1025", "2.5", "many"])
def test_a_number_of_bars_that_is_none_is_refused(room: Path, capsys: pytest.CaptureFixture[str], bars: str) -> None:
    line = refused(room, capsys, *ONE, "--bars", bars, "--out", "out/next.mid")
    assert f"argument --bars: {bars}: expected a whole number from 1 to 1024" in line


@pytest.mark.parametrize("kind", ["text", "waltz"])
def test_a_folder_with_nothing_of_use_is_named(room: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    songs = room / "songs"
    songs.mkdir()
    (songs / "one.mid").write_bytes(WRONG[kind][0])
    assert "expected melody in 4/4" in refused(room, capsys, "evaluate", "melody-2bar", "songs")


def test_training_on_nothing_leaves_no_run_behind(
    room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.model.file_commands.models_folder", lambda: room / "models")
    (room / "songs").mkdir()
    (room / "songs" / "one.mid").write_bytes(WRONG["waltz"][0])
    assert "expected melody in 4/4" in refused(room, capsys, "train", "melody-2bar", "--data", "songs")
    assert not (room / "models").exists()


@pytest.mark.parametrize(
    ("options", "run"),
    [((), "melody-2bar"), (("--fine-tune",), "melody-2bar-fine"), (("--prior-only",), "melody-2bar-prior")],
)
def test_of_two_trainings_in_one_folder_the_second_is_refused(
    room: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    run: str,
) -> None:
    folder = room / "models" / ".training" / "own" / run
    folder.mkdir(parents=True)
    monkeypatch.setattr("bridge.model.file_commands.models_folder", lambda: room / "models")
    other = (
        "import sys, pathlib, bridge.file_lock as it\nwith it.alone_in(pathlib.Path(sys.argv[1]), ''): print(); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", other, str(folder)],
        env=paths.child_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as first:  # fmt: skip
        assert first.stdout is not None
        first.stdout.readline()
        assert cli.main(("train", "melody-2bar", "--data", ".", *options)) == 3
        line = capsys.readouterr().err.splitlines()[-1]
        assert line == f"barline: {folder}: another training is at work there; wait for its end, or stop it"
        assert [path.name for path in folder.iterdir()] == ["run.lock"]
        first.communicate(b"\n")
    (room / "good.mid").unlink()  # free again: it is the music that is missing now
    assert cli.main(("train", "melody-2bar", "--data", ".", *options)) == 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--key", "H minor"), "expected a key such as C (major), Am"),
        (("--attribute", "density"), "NAME=AMOUNT"),
        (("--attribute", "density=2"), "-1 to 1"),
        (("--attribute", "fill=0.5"), "expected one of density, syncopation, interval, diatonic, register"),
    ],
)
def test_wrong_options_are_named(
    room: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], expected: str
) -> None:
    assert expected in refused(room, capsys, "sample", "melody-2bar", "--out", "out", *options)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("sample", "melody-2bar", "--seed", "-1"), "expected a whole number from 0 to 2147483647"),
        (("train", "melody-2bar", "--data", ".", "--minutes", "0"), "expected a number from 0.01 to 1000000 "),
        (
            ("sample", "trio-16bar", "--attribute", "volume=0.5"),
            "expected one of density, syncopation, interval, diatonic, register, fill",
        ),
        (("models", "--only", "melody-2bar"), "--only melody-2bar: expected --report or --wav with it"),
        (("models", "--data", "nowhere"), "--data nowhere: expected --report with it"),
        (("models", "--wav", "out", "--data", "nowhere"), "--data nowhere: expected --report with it"),
        (("models", "--report", "out", "--data", "nowhere"), "nowhere: expected a folder or .zip"),
        (("models", "--report", "out", "--only", "nonsense"), "nonsense: expected one of melody-2bar"),
        (("models", "--wav", "out", "--only", "nonsense"), "nonsense: expected one of melody-2bar"),
        (("models", "--report", "out", "--json"), "--json: expected no --report"),
    ],
)
def test_what_is_out_of_range_or_without_effect_is_refused(
    room: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    assert expected in refused(room, capsys, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("models",),
        ("sample", "melody-2bar", "--out", "out"),
        ("evaluate", "melody-2bar", "."),
        (*ONE, "--out", "out/next.mid"),
        (*WAY, "--out", "out"),
        ("reconstruct", *ONE[1:], "--out", "out/again.mid"),
    ],
)
def test_models_of_one_s_own_have_to_be_somewhere(
    room: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    line = refused(room, capsys, *arguments, "--set", "engine.own_models=nowhere")
    assert f"engine.own_models = {room / 'nowhere'}: expected a folder of models, there is none" in line


@pytest.mark.parametrize("command", [("start",), ("models",), ("sample", "melody-2bar", "--out", "out")])
def test_no_other_models_play_in_place_of_one_s_own(
    room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("bridge.supervisor.Supervisor", None)  # it does not come to that
    (room / "own" / "melody-2bar").mkdir(parents=True)
    (room / "own" / "melody-2bar" / "card.json").write_text(json.dumps(CARD))
    one = f"found one model's own: give {room / 'own'}"
    for folder, found in (("nowhere", "there is none"), ("own/melody-2bar", one)):
        line = refused(room, capsys, *command, "--set", f"engine.own_models={folder}")
        assert f"engine.own_models = {room / folder}: expected a folder of models, {found}" in line


def test_drums_have_no_key(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(room, capsys, "sample", "drums-2bar", "--out", "out", "--key", "C")
    assert "--key: expected a model with pitches, drums-2bar has none" in line


def damaged(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)


def torn(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    told_of(folder)


def nonsense(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"no weights at all")
    told_of(folder)


def astray(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    tensors = load_file(weights)
    tensors["encoder.mean.bias"][0] = float("nan")
    save_file(tensors, weights)
    told_of(folder)


def gone(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def no_card(folder: Path) -> None:
    (folder / "card.json").write_text('{"name": "bass-2bar"')


def told_of(folder: Path) -> None:
    """Make the card's hash that of the weights: what is wrong is not seen from it."""
    card = json.loads((folder / "card.json").read_text())
    card["sha256"] = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (damaged, "the file is damaged or changed"),
        (torn, "expected weights of bass-2bar as this version builds it"),
        (nonsense, "expected weights of bass-2bar as this version builds it"),
        (astray, "expected numbers as weights of bass-2bar, found NaN or infinity in encoder."),
        (gone, "expected the weights of bass-2bar"),
        (no_card, "expected a readable card.json"),
    ],
)
def test_weights_that_are_not_what_they_should_be(
    room: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path], None],
    expected: str,
) -> None:
    shutil.copytree(paths.models_folder() / "bass-2bar", room / "models" / "bass-2bar")
    monkeypatch.setattr("bridge.model.nets.registry.models_folder", lambda: room / "models")
    harm(room / "models" / "bass-2bar")
    line = refused(room, capsys, "sample", "bass-2bar", "--out", "out", "--count", "1")
    assert "bass-2bar" in line
    assert expected in line


CARD = {"name": "", "parts": ["bass"], "bars": 2, "parameters": 7, "latent_size": 8, "attributes": [], "sha256": "0"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"sha256": "x"}', "missing or wrong: name, parts, bars, parameters, latent_size, attributes"),
        ("[]", "expected a card with name, parts,"),
        (json.dumps(CARD | {"parts": 3}), "missing or wrong: parts"),
        (json.dumps(CARD | {"name": "drums-2bar"}), "expected a card of bass-2bar, found one of drums-2bar"),
        ('{"name": ', "expected a readable card.json"),
    ],
)
def test_one_bad_card_hides_no_other(
    room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    monkeypatch.setattr("bridge.model.nets.registry.models_folder", lambda: room / "models")
    for name in ("melody-2bar", "bass-2bar", "drums-2bar"):
        (room / "models" / name).mkdir(parents=True)
        (room / "models" / name / "card.json").write_text(json.dumps(CARD | {"name": name}))
    (room / "models" / "bass-2bar" / "card.json").write_text(text)
    assert cli.main(("models", "--json")) == 2
    said = capsys.readouterr()
    assert [card["name"] for card in json.loads(said.out)] == ["melody-2bar", "drums-2bar"]
    assert len(said.err.splitlines()) == 1, said.err
    assert f"{room / 'models' / 'bass-2bar' / 'card.json'}: expected" in said.err
    assert expected in said.err


SCORES = {"step_accuracy": {"sampled": 0.9}, "note_f1": 0.8, "windows": 12, "kl_bits": 80.5, "active_dims": 40}


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        ({"scores": 3}, "expected a mapping as scores of bass-2bar, found 3"),
        ({"scores": {"step_accuracy": "high"}}, "expected a mapping as scores.step_accuracy of bass-2bar"),
        ({"scores": {"step_accuracy": {"sampled": "0.9"}}}, "a number as scores.step_accuracy.sampled of bass-2bar"),
        ({"scores": {**SCORES, "note_f1": "0.871"}}, 'a number as scores.note_f1 of bass-2bar, found "0.871"'),
        ({"scores": {**SCORES, "kl_bits": [1, 2]}}, "a number as scores.kl_bits of bass-2bar, found [1, 2]"),
        ({"scores": {**SCORES, "windows": True}}, "a number as scores.windows of bass-2bar, found true"),
        ({"steps": {"a": 1}}, "a number as steps of bass-2bar"),
        ({"data": "easyrpg"}, "a list of texts as data of bass-2bar"),
        ({"parts": [3]}, "missing or wrong: parts"),
        ({"bars": True}, "missing or wrong: bars"),
    ],
)
def test_a_figure_of_a_card_that_is_none_is_named_with_its_model(
    room: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    edited: dict[str, object],
    expected: str,
) -> None:
    monkeypatch.setattr("bridge.model.nets.registry.models_folder", lambda: room / "models")
    for name, more in (("melody-2bar", {"scores": SCORES}), ("bass-2bar", edited)):
        (room / "models" / name).mkdir(parents=True)
        (room / "models" / name / "card.json").write_text(json.dumps({**CARD, "name": name, **more}))
    for arguments in (("models",), ("models", "--json")):
        assert cli.main(arguments) == 2
        said = capsys.readouterr()
        assert "melody-2bar" in said.out
        assert "bass-2bar" not in said.out
        assert len(said.err.splitlines()) == 1, said.err
        assert f"{room / 'models' / 'bass-2bar' / 'card.json'}: expected" in said.err
        assert expected in said.err


@pytest.mark.parametrize(("sign", "code"), [("\n", "\\n"), ("\r", "\\r"), ("\x85", "\\x85"), ("\u2028", "\\u2028")])
def test_a_line_break_in_the_name_of_a_file_breaks_no_message(
    room: Path, capsys: pytest.CaptureFixture[str], sign: str, code: str
) -> None:
    name, told = f"two{sign}lines.mid", f"two{code}lines.mid"
    for arguments in (
        (*ONE[:2], name, "--out", "out/next.mid"),
        ("evaluate", "melody-2bar", name),
        (*ONE, "--out", f"good.mid/{name}"),
        (*ONE, name, "--out", "out", "--surprise"),
    ):
        assert told in refused(room, capsys, *arguments)
    (room / "songs").mkdir()
    (room / "songs" / name).write_bytes(b"no music")
    (room / "songs" / "good.mid").write_bytes(song())
    command = [sys.executable, "-m", "bridge", "evaluate", "melody-2bar", "songs"]
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1]), "PYTHONIOENCODING": "utf-8"}
    said = subprocess.run(command, env=environment, capture_output=True, check=True).stderr.decode().splitlines()
    assert len(said) == 1
    assert f"passed over: songs: {told}: expected a Standard MIDI File" in said[0]


def test_models_of_one_s_own_are_listed_in_place_of_those_that_came(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (room / "own" / "bass-2bar").mkdir(parents=True)
    (room / "own" / "bass-2bar" / "card.json").write_text(json.dumps(CARD | {"name": "bass-2bar"}))
    assert cli.main(("models", "--json", "--set", "engine.own_models=own")) == 0
    cards = {card["name"]: card for card in json.loads(capsys.readouterr().out)}
    assert len(cards) == 6
    assert cards["bass-2bar"]["parameters"] == 7
    assert cards["melody-2bar"]["parameters"] > 1e6
