"""The commands as a user types them: `run_bridge.py` as a process of its own, on real files."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import mido
import pytest
from whole_bridge import ROOT

from bridge.hosted import HostedBridge

COMMANDS = (
    "start demo doctor models sample continue interpolate reconstruct evaluate train bench test"  # contract section 1
).split()
MODEL_KEYS = {
    "name", "parts", "bars", "parameters", "latent_size", "attributes", "sha256", "trained_on", "steps", "data",
    "licence", "scores",
}  # fmt: skip


def run(folder: Path, *arguments: str, timeout_s: float = 110.0) -> subprocess.CompletedProcess[str]:
    """`run_bridge.py` in a folder, to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run_bridge.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def song(path: Path, pitches: list[int], bars: int = 4, channel: int = 0, ppq: int = 96) -> Path:
    """A melody (or, on channel 9, a beat) of eighth notes, as some other program writes it."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(100))])
    for pitch, _ in zip(itertools.cycle(pitches), range(bars * 8), strict=False):
        track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=90))
        track.append(mido.Message("note_off", channel=channel, note=pitch, time=ppq // 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    mido.MidiFile(ticks_per_beat=ppq, tracks=[track]).save(path)
    return path


class Jobs:
    """Commands that take seconds each, two at a time; a test asks for the ones it is about."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pool = ThreadPoolExecutor(2)
        self._results: dict[str, Future[subprocess.CompletedProcess[str]]] = {}

    def start(self, name: str, *arguments: str) -> None:
        (self.folder / name).mkdir()
        self._results[name] = self._pool.submit(run, self.folder / name, *arguments)

    def __getitem__(self, name: str) -> subprocess.CompletedProcess[str]:
        return self._results[name].result()

    def files(self, name: str) -> list[str]:
        """What a command left in its folder."""
        assert self[name]
        folder = self.folder / name
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    folder = tmp_path_factory.mktemp("cli")
    one = str(song(folder / "one.mid", [60, 62, 64, 67, 64, 62]))
    other = str(song(folder / "other.mid", [72, 71, 69, 67], ppq=480))
    song(folder / "songs" / "a.mid", [60, 62, 64, 65, 67, 69, 71, 72])
    song(folder / "songs" / "deeper" / "b.mid", [55, 59, 62, 59, 64, 62])
    (folder / "text.mid").write_text("this is no music")
    jobs = Jobs(folder)
    jobs.start("models", "models", "--json")
    jobs.start("sample", "sample", "melody-2bar", "--count", "3", "--seed", "7", "--temperature", "0.8", "--out", "new")
    jobs.start("continue", "continue", "melody-2bar", one, "--bars", "3", "--seed", "1", "--out", "next.mid")
    jobs.start("interpolate", "interpolate", "melody-2bar", one, other, "--steps", "4", "--out", "way")
    jobs.start("reconstruct", "reconstruct", "melody-2bar", one, "--out", "again.mid")
    jobs.start("evaluate", "evaluate", "melody-2bar", str(folder / "songs"), "--json", "--seed", "3")
    jobs.start("doctor", "doctor", "--json", "--set", "osc.port=0", "--set", "panel.enabled=false")
    jobs.start("no music", "continue", "melody-2bar", str(folder / "text.mid"), "--out", "out.mid")
    jobs.start("no file", "reconstruct", "melody-2bar", "missing.mid", "--out", "out.mid")
    yield jobs
    jobs.close()


def notes_of(path: Path) -> list[tuple[int, int]]:
    """(channel, pitch) of every note-on; the file is as the contract has it."""
    file = mido.MidiFile(path)
    assert file.ticks_per_beat == 480
    struck = [item for track in file.tracks for item in track if item.type == "note_on" and item.velocity > 0]
    released = [item for track in file.tracks for item in track if item.type in ("note_on", "note_off")]
    assert len(released) == 2 * len(struck)
    return [(item.channel, item.note) for item in struck]


def beats_of(path: Path) -> float:
    file = mido.MidiFile(path)
    return max(sum(item.time for item in track) for track in file.tracks) / file.ticks_per_beat


# -- what they do -----------------------------------------------------------------------------------------------------


def test_models_as_json(jobs: Jobs) -> None:
    done = jobs["models"]
    assert done.returncode == 0, done.stderr
    cards = json.loads(done.stdout)
    assert {"melody-2bar", "drums-2bar"} <= {card["name"] for card in cards}
    for card in cards:
        assert set(card) >= MODEL_KEYS
        assert len(card["sha256"]) == 64


def test_sample_writes_as_many_files_as_asked(jobs: Jobs) -> None:
    done = jobs["sample"]
    assert done.returncode == 0, done.stderr
    assert jobs.files("sample") == [f"new/melody-2bar-00{number}.mid" for number in (1, 2, 3)]
    made = [notes_of(jobs.folder / "sample" / name) for name in jobs.files("sample")]
    assert all({channel for channel, _ in notes} <= {0} for notes in made)
    assert made[0] != made[1] != made[2]
    assert {beats_of(jobs.folder / "sample" / name) for name in jobs.files("sample")} == {8.0}


def test_continue_writes_the_next_bars_alone(jobs: Jobs) -> None:
    assert jobs["continue"].returncode == 0, jobs["continue"].stderr
    assert jobs.files("continue") == ["next.mid"]
    assert notes_of(jobs.folder / "continue" / "next.mid")
    assert beats_of(jobs.folder / "continue" / "next.mid") == 12.0


def test_interpolate_writes_both_ends_and_what_lies_between(jobs: Jobs) -> None:
    assert jobs["interpolate"].returncode == 0, jobs["interpolate"].stderr
    files = [f"way/melody-2bar-00{number}.mid" for number in (1, 2, 3, 4)]
    assert jobs.files("interpolate") == files
    ends = [{pitch for _, pitch in notes_of(jobs.folder / "interpolate" / name)} for name in (files[0], files[-1])]
    assert max(ends[0]) < max(ends[1]), "from the low song to the high one"


def test_reconstruct_gives_back_as_many_bars(jobs: Jobs) -> None:
    assert jobs["reconstruct"].returncode == 0, jobs["reconstruct"].stderr
    path = jobs.folder / "reconstruct" / "again.mid"
    assert beats_of(path) == 16.0
    assert len(notes_of(path)) > 16, "of 32"


def test_evaluate_as_json(jobs: Jobs) -> None:
    done = jobs["evaluate"]
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert set(scores) >= {"model", "songs", "windows", "seed", "step_accuracy", "note_f1", "kl_bits", "active_dims"}
    assert set(scores["step_accuracy"]) >= {"teacher_forced", "sampled", "chance", "shuffled_z"}
    assert (scores["model"], scores["songs"], scores["seed"]) == ("melody-2bar", 2, 3)
    assert scores["windows"] >= 2
    assert 0 <= scores["note_f1"] <= 1
    assert scores["kl_bits"] > 0


def test_doctor_as_json(jobs: Jobs) -> None:
    report = json.loads(jobs["doctor"].stdout)
    assert report["ok"] == (jobs["doctor"].returncode == 0)
    for check in report["checks"]:
        assert {"name", "ok", "value", "advice"} <= set(check)
        assert check["ok"] or check["advice"], f"{check['name']} is not well and nothing is said to do"


def test_help_names_every_command(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert all(f"  {command} " in done.stdout for command in COMMANDS), done.stdout
    assert run(tmp_path, "continue", "--help").returncode == 0


# -- what they refuse -------------------------------------------------------------------------------------------------


def refused(done: subprocess.CompletedProcess[str], *named: str, lines: int = 1) -> None:
    """Exit 2, so many lines on stderr that name what was wrong, nothing on stdout."""
    assert done.returncode == 2, done.stderr
    assert not done.stdout
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == lines, done.stderr
    for name in named:
        assert name in done.stderr


@pytest.mark.parametrize(("name", "named"), [("no music", "text.mid"), ("no file", "missing.mid")])
def test_wrong_input_is_named_and_nothing_is_written(jobs: Jobs, name: str, named: str) -> None:
    refused(jobs[name], named)
    assert not jobs.files(name)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("sample", "melody-2bar", "--count", "0"), "--count"),
        (("sample", "melody-2bar", "--temperature", "nan"), "--temperature"),
        (("continue", "melody-2bar", "in.mid"), "--out"),
        (("train", "melody-2bar"), "--data"),
        (("play",), "play"),
        (("start", "--set", "osc.port"), "osc.port"),
        (("start", "--config", "nowhere.yaml"), "nowhere.yaml"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_wrong_arguments_are_one_line(tmp_path: Path, arguments: tuple[str, ...], named: str) -> None:
    refused(run(tmp_path, *arguments), named)
    assert not list(tmp_path.iterdir())


def test_wrong_settings_are_refused_all_at_once(tmp_path: Path) -> None:
    sets = ("osc.prot=1", "midi.backend=banjo", "clock.tempo=9999", "voices.melody.swing=10", "voices.bridge.channel=3")
    done = run(tmp_path, "start", *itertools.chain.from_iterable(("--set", one) for one in sets))
    refused(
        done, "osc.prot", "midi.backend", "banjo", "clock.tempo", "999", "voices.melody.swing", "voices.bridge", lines=5
    )
    (tmp_path / "config.yaml").write_text("osc: {port: 1}\nosc: {port: 2}\n")
    refused(run(tmp_path, "start"), "config.yaml", "osc")


def test_a_port_that_is_taken_is_exit_3_and_names_the_bridge(bridge: HostedBridge, tmp_path: Path) -> None:
    taken = ["--set", f"osc.port={bridge.osc[1]}", "--set", "panel.enabled=false"]
    done = run(tmp_path, "start", *taken, "--set", "session.folder=other")
    assert done.returncode == 3
    assert str(bridge.pid) in done.stderr
    assert "Barline" in done.stderr
    done = run(tmp_path, "start", "--set", "osc.port=0", "--set", f"session.folder={bridge.folder}")
    assert done.returncode == 3
    assert str(bridge.pid) in done.stderr


def test_a_port_that_another_program_has_is_exit_3(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        done = run(tmp_path, "start", "--set", f"osc.port={other.getsockname()[1]}")
    assert done.returncode == 3
    assert "another program" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_result_that_cannot_be_written_is_one_line(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run(
        tmp_path, "continue", "melody-2bar", str(jobs.folder / "one.mid"), "--seed", "1", "--out", "file/out.mid"
    )
    assert done.returncode in (1, 2)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
