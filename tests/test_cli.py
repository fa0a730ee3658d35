"""The command line: exit codes, one line for what is wrong, stdout for the answer alone."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bridge import __version__, cli, paths, tables
from bridge.config import Voice, default_knobs
from bridge.model.file_commands import DEFAULT_FINE_MINUTES, DEFAULT_MINUTES
from bridge.model.nets.config import CONFIGS
from bridge.model.training.flat_baseline import FLAT_BATCH
from bridge.model.training.train import default_batch
from bridge.supervisor import CannotRunError, Supervisor

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands look for ./config.yaml: here there is none."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> int:
    try:
        return cli.main(arguments)
    except SystemExit as left:
        assert isinstance(left.code, int)
        return left.code


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["start", "--set", "osc.port=x"], "osc.port"),
        (["--set", "osc.port=x"], "osc.port"),
        (["models", "--config", "none.yaml"], "none.yaml"),
        (["nonsense"], "nonsense"),
        (["sample"], "MODEL"),
        (["sample", "drums-2bar", "--count", "none"], "--count"),
        (["sample", "drums-2bar", "--count", "0"], "from 1 to 999"),
        (["sample", "drums-2bar", "--temperature", "9"], "from 0.05 to 2"),
        (["sample", "drums-2bar", "--seed", "-1"], "--seed"),
        (["sample", "drum-2bar", "--out", "x"], "drum-2bar"),
        (["continue", "melody-2bar", "none.mid", "--out", "x.mid"], "none.mid"),
        (["continue", "melody-2bar", "none.mid"], "--out"),
        (["reconstruct", "melody-2bar", "text.mid", "--out", "x.mid"], "text.mid"),
        (["reconstruct", "melody-2bar", "text.mid", "--out", "folder/"], "folder/: expected a file, not a folder"),
        (["continue", "melody-2bar", "text.mid", "--out", "text.mid/"], "text.mid/: expected a file"),
        (["interpolate", "melody-2bar", "text.mid", "none.mid", "--steps", "1"], "--steps"),
        (["evaluate", "melody-2bar", "nowhere"], "nowhere"),
        (["train", "melody-2bar"], "--data"),
        (["train", "melody-2bar", "--data", "nowhere"], "nowhere"),
        (["train", "melody-2bar", "--data", "nowhere", "--prior-only"], "nowhere"),
        (["train", "melody-2bar", "--data", "nowhere", "--prior-only", "--minutes", "5"], "no --minutes"),
        (["train", "melody-2bar", "--data", "nowhere", "--prior-only", "--fine-tune"], "--prior-only"),
        (["models", "--report", "text.mid"], "--report text.mid"),
        (["models", "--wav", "text.mid"], "--wav text.mid"),
        (["--config"], "--config"),
        (["bench", "--soak", "-3"], "--soak"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    (tmp_path / "text.mid").write_text("not music")
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert expected in said.err
    assert len(said.err.splitlines()) == 1, said.err
    assert [path.name for path in tmp_path.iterdir()] == ["text.mid"]


def test_several_wrong_settings_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("start", "--set", "osc.port=x", "--set", "engine.threads=0", "--set", "voices.melody.grid=1/64") == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


@pytest.mark.parametrize("order", ["before", "after"])
def test_settings_may_stand_before_or_after_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    (tmp_path / "mine.yaml").write_text("clock: {tempo: 90}\nosc: {port: 9200}")
    seen: list[Any] = []
    monkeypatch.setattr(Supervisor, "run", lambda self: seen.append(self._settings))
    options = ["--config", "mine.yaml", "--set", "osc.port=9300", "--set", "engine.threads=2"]
    assert run(*([*options, "start"] if order == "before" else ["start", *options])) == 0
    assert (seen[0].clock.tempo, seen[0].osc.port, seen[0].engine.threads) == (90.0, 9300, 2)


def test_without_a_command_the_bridge_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(Supervisor, "run", lambda self: seen.append(True))
    assert run() == 0
    assert seen


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_whoever_ends_a_command_interrupts_it_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    tidied: list[int] = []

    def at_work(self: Supervisor) -> None:
        try:
            signal.raise_signal(numbers[-1])
        finally:
            tidied.append(numbers[-1])

    monkeypatch.setattr(Supervisor, "run", at_work)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    numbers = []
    try:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
            numbers.append(number)
            assert run("start") == 128 + number
            assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        assert run("start") == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert tidied == [signal.SIGTERM, signal.SIGHUP, signal.SIGHUP]


def test_a_taken_port_is_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert run("start", "--set", f"osc.port={port}", "--set", "midi.backend=none") == 3
    said = capsys.readouterr()
    assert said.err == f"barline: osc.port = {port}: another program has 127.0.0.1:{port} (UDP)\n"


def test_a_failure_while_running_is_exit_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(self: Supervisor) -> None:
        raise CannotRunError("the player cannot start on this machine")

    monkeypatch.setattr(Supervisor, "run", fail)
    assert run("start") == 1
    assert capsys.readouterr().err == "barline: the player cannot start on this machine\n"


@pytest.mark.parametrize("fault", [ValueError("numpy says no"), RuntimeError("torch says no"), KeyError("k")])
def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def fail(self: Supervisor) -> None:
        raise fault

    monkeypatch.setattr(Supervisor, "run", fail)
    with pytest.raises(type(fault)):
        run("start")


def test_json_has_stdout_to_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from bridge.model.nets import registry

    whole = registry.cards_and_faults

    def chatty(own_models: str | None) -> tuple[list[dict[str, Any]], list[str]]:
        print("a library greets you")
        return whole(own_models)

    monkeypatch.setattr(registry, "cards_and_faults", chatty)
    assert run("models", "--json") == 0
    said = capsys.readouterr()
    listed = json.loads(said.out)
    assert "greets" in said.err
    wanted = {"name", "parts", "bars", "parameters", "latent_size", "attributes", "sha256", "trained_on", "steps"}
    wanted |= {"data", "licence", "scores"}
    assert listed
    assert all(wanted <= set(card) for card in listed)
    assert run("models") == 0
    table = capsys.readouterr().out
    assert all(card["name"] in table for card in listed)


def test_options_of_files_are_those_of_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bridge.model import file_commands
    from bridge.model.file_options import FileOptions, parse_key
    from bridge.model.nets import registry

    monkeypatch.setattr(registry, "load_compiled", cache(registry.load_compiled))  # once, not six times
    asked = ("--seed", "7", "--temperature", "0.9", "--key", "F# minor",
             "--attribute", "density=0.5", "--attribute", "register=-1")  # fmt: skip
    options = FileOptions(7, 0.9, parse_key("F# minor"), {"density": 0.5, "register": -1.0})
    one = file_commands.sample_files("melody-2bar", 1, tmp_path / "told", options)[0]
    two = file_commands.continue_file("melody-2bar", one, 2, tmp_path / "told.mid", options)
    assert run("sample", "melody-2bar", "--count", "1", "--out", "a", *asked) == 0
    assert run("continue", "melody-2bar", str(one), "--out", "next.mid", *asked) == 0
    assert run("interpolate", "melody-2bar", str(one), str(two), "--steps", "3", "--out", "way", *asked) == 0
    assert run("reconstruct", "melody-2bar", str(one), "--out", "again.mid", *asked) == 0
    assert (tmp_path / "a" / "melody-2bar-001.mid").read_bytes() == one.read_bytes()
    assert (tmp_path / "next.mid").read_bytes() == two.read_bytes()
    assert capsys.readouterr().err == ""


def test_sample_with_a_seed_is_the_same_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("one", "other"):
        assert run("sample", "drums-2bar", "--count", "2", "--seed", "7", "--out", str(tmp_path / folder)) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines()[0] == str(tmp_path / "one" / "drums-2bar-001.mid")
    for name in ("drums-2bar-001.mid", "drums-2bar-002.mid"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    assert run("sample", "drums-2bar", "--count", "1", "--out", str(tmp_path)) == 0
    assert "gives this again" in capsys.readouterr().err


def test_what_continues_may_be_longer_than_a_request_of_the_bridge(tmp_path: Path) -> None:
    from bridge.music.midi_files import read_midi

    assert run("sample", "bass-2bar", "--count", "1", "--seed", "2") == 0
    for bars in ("16", "64"):
        arguments = ("--bars", bars, "--seed", "2", "--out", f"{bars}.mid")
        assert run("continue", "bass-2bar", "bass-2bar-001.mid", *arguments) == 0
    few, many = (read_midi(tmp_path / f"{bars}.mid") for bars in (16, 64))
    assert (few.length, many.length) == (64.0, 256.0)
    notes = many.tracks[0].notes
    ends = max(note.start for note in few.tracks[0].notes)
    assert [note for note in notes if note.start < ends] == [n for n in few.tracks[0].notes if n.start < ends]
    assert sum(note.start >= 192.0 for note in notes) > 16  # and it has not run dry


def test_the_tests_are_in_the_source_tree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(paths, "tests_folder", lambda: None)
    assert run("test") == 2
    assert "checkout" in capsys.readouterr().err


def test_pytest_gets_its_arguments_and_its_status_is_ours(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_failing(): assert False\ndef test_passing(): pass\n")
    command = [sys.executable, "-m", "bridge", "test", str(tmp_path), "-k", "failing", "--rootdir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "1 failed, 1 deselected" in ended.stdout.splitlines()[-1]


@pytest.mark.parametrize(("arguments", "expected"), [(["--version"], __version__), (["--help"], "settings")])
def test_it_can_be_started_as_a_module(arguments: list[str], expected: str) -> None:
    command = [sys.executable, "-P", "-m", "bridge", *arguments]
    told = subprocess.run(command, capture_output=True, text=True, env=paths.child_environment(), check=True)
    assert expected in told.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="it is libgomp that has to be told, and torch has that on Linux")
@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "4000"), ({"GOMP_SPINCOUNT": "17"}, "17"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "30000000000")],
)
def test_threads_of_torch_leave_their_cores_to_others_unless_the_user_says_how_they_wait(
    given: dict[str, str], expected: str
) -> None:
    """Else training stands still beside anything else that wants a core; told by libgomp itself, as it is loaded."""
    own = {name: value for name, value in paths.child_environment().items() if "OMP_" not in name}
    told = subprocess.run(
        [sys.executable, "-m", "bridge", "evaluate", "melody-2bar", "nowhere"],
        capture_output=True, text=True, env={**own, "OMP_DISPLAY_ENV": "VERBOSE", **given}, check=False,
    )  # fmt: skip
    assert told.returncode == 2, told.stderr
    assert f"GOMP_SPINCOUNT = '{expected}'" in told.stderr


def test_a_reader_that_has_enough_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Supervisor) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(Supervisor, "run", fail)
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # put back afterwards: main replaces it
    assert run("start") == 1
    sys.stdout.close()


def test_what_is_meant_for_a_closed_stderr_does_not_come_out_on_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert run("sample", "melody-2bar", "--count", "1", "--out", str(tmp_path)) == 0  # it tells of its seed there
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "melody-2bar-001.mid")]
    assert run("sample", "nonsense", "--out", str(tmp_path)) == 2
    assert capsys.readouterr().out == ""
    sys.stderr.close()


def test_shares_of_models_have_three_places() -> None:
    steps = {"sampled": 0.93, "teacher_forced": 0.98, "chance": 0.5, "shuffled_z": None}
    card = {"name": "x", "parts": ["drums"], "scores": {"windows": 1, "note_f1": 0.9, "step_accuracy": steps}}
    assert tables.of_models([card]).splitlines()[-1].split() == [
        "x", "1", "0.930", "0.980", "0.500", "-", "0.900", "-", "-",
    ]  # fmt: skip


def test_columns_line_up() -> None:
    text = tables.columns(("name", "n"), [("a", 1), ("long", 1234), ("c", None)])
    assert text.splitlines() == ["name      n", "a         1", "long  1,234", "c         -"]


def test_every_check_and_its_advice_are_shown() -> None:
    checks = [
        {"name": "MIDI", "ok": False, "value": "none", "advice": "start JACK", "essential": False},
        {"name": "Python", "ok": True, "value": "3.11", "advice": "", "essential": True},
    ]
    shown = tables.of_checks({"ok": True, "checks": checks})
    assert "look  MIDI: none\n      start JACK\nok    Python: 3.11" in shown
    assert "can work here" in shown
    assert "cannot work" in tables.of_checks({"ok": False, "checks": checks})


def test_the_bench_table_names_machine_and_figures() -> None:
    row = {"name": "x", "unit": "ms", "n": 200, "p50": 1.5, "p95": 2.0, "p99": 3.0, "baseline": None, "ratio": None}
    shown = tables.of_bench({"machine": {"cpu": "some", "cores": 2}, "results": [row]})
    assert "cpu some, cores 2" in shown
    assert shown.splitlines()[-1].split() == ["x", "ms", "200", "1.5", "2", "3", "-", "-"]


def test_a_line_for_the_user_is_written_in_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other processes write to the same place: what they say must not come between a line and its end."""
    pieces: list[bytes] = []

    class Place(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, piece: Any) -> int:
            pieces.append(bytes(piece))
            return len(piece)

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Place(), "utf-8", newline="\n", write_through=True))  # type: ignore[type-var]
    cli._say("osc 127.0.0.1:9100")
    assert pieces == [b"osc 127.0.0.1:9100\n"]


def test_what_help_says_is_used_where_nothing_is_said_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    def help_of(command: str) -> str:
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        return " ".join(capsys.readouterr().out.split())

    heat, drums = Voice.model_fields["temperature"].default, default_knobs(("drums",))["temperature"]
    for command, seed in (("sample", "by chance, told"), ("continue", "by chance, told"), ("interpolate", "0")):
        told = help_of(command)
        assert f"(default: {heat:g}; drums {drums:g})" in told
        assert f"--seed S for {'another' if seed == '0' else 'the same'} result" in told
        assert f"(default: {seed})" in told
    told = help_of("train")
    assert f"(default: {DEFAULT_MINUTES:g}; with --fine-tune {DEFAULT_FINE_MINUTES:g})" in told
    short, long = (default_batch(CONFIGS[name]) for name in ("melody-2bar", "trio-16bar"))
    assert f"(default: {short}, of 16 bars {long}; with --beside-flat {FLAT_BATCH})" in told
