"""The supervisor with real processes that speak the children's protocol and are small enough to be bad on purpose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from bridge import supervisor as supervisor_module
from bridge.supervisor import Child, Name

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ends processes by POSIX signals")

ROOT = Path(__file__).resolve().parents[1]

#: A child: writes down what it is told and when it was let go; `mood` says how it misbehaves.
CHILD = """
import json, os, signal, socket, sys, time
name, mood = sys.argv[1:]
if mood == "cannot start":
    sys.exit("no such device")
if mood == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
init = json.loads(sys.stdin.readline())
diary = open(os.path.join(init["folder"], name + ".diary"), "a", buffering=1)
diary.write(json.dumps({"pid": os.getpid(), "init": init}) + "\\n")
if name == "main":
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((init["osc"]["host"], init["osc"]["port"]))
    print("not json", flush=True)
    print(json.dumps({"osc": "%s:%d" % server.getsockname()}), flush=True)
    print(json.dumps({"say": "plain words"}), flush=True)
else:
    print(json.dumps({"port": os.getpid()}), flush=True)  # any number does: nobody connects
for line in sys.stdin:
    diary.write(line)
    if name == "main" and "engine" in line:
        print(json.dumps({"ready": True}), flush=True)
diary.write(json.dumps({"let_go": time.monotonic()}) + "\\n")
while mood == "deaf":
    time.sleep(1)
"""

RUNNER = """
import os, sys
from bridge.config_file import load
from bridge.supervisor import Supervisor
child, moods, *sets = sys.argv[1:]
moods = dict(pair.split(":") for pair in moods.split(",") if pair)
python = os.environ.get("CHILDREN_RUN", sys.executable)
command = lambda name: [python, child, name, moods.get(name, "")]
try:
    Supervisor(load(sets=sets), lambda line: print(line, flush=True), command).run()
except Exception as fault:
    sys.exit(f"{type(fault).__name__}: {fault}")
"""


class Running:
    """A supervisor at work, with its lines as they come."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.lines: list[str] = []

    def until_line(self, wanted: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith(wanted):
                return self.lines[-1]
        raise AssertionError(f"ended without {wanted!r}: {self.lines}")

    def run_json(self) -> dict[str, Any]:
        return json.loads((self.folder / "run.json").read_text())

    def diary(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / f"{name}.diary").read_text().splitlines()]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts supervisors over scripted children; whatever is left of them at the end is killed."""
    child = tmp_path / "child.py"
    child.write_text(CHILD)
    running: list[Running] = []

    def begin(moods: str = "", folder: str = "sessions", *, port: int = 0) -> Running:
        sets = [f"osc.port={port}", f"session.folder={tmp_path / folder}"]
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(child), moods, *sets],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        running.append(Running(process, tmp_path / folder))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def eventually(condition: Callable[[], Any], within_s: float = 5.0) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except (OSError, ValueError, KeyError, IndexError):
            pass
        time.sleep(0.01)
    raise AssertionError(f"not within {within_s} s: {textwrap.shorten(condition.__code__.co_name, 80)}")


def first_entry(bridge: Running, name: str) -> Any:
    """What a child was told. The bridge is ready when main and engine are, whether or not the player has got so far."""
    return eventually(lambda: bridge.diary(name)[0])


def is_alive(pid: int) -> bool:
    """A zombie counts as gone: who reaps it is not ours to say when its supervisor has been killed."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@contextmanager
def took_at_most(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun <= seconds


def test_says_where_it_listens_and_when_it_is_ready(start: Callable[..., Running]) -> None:
    bridge = start()
    osc = bridge.until_line("osc ").removeprefix("osc ")
    bridge.until_line("ready")
    assert "plain words" in bridge.lines
    told = bridge.run_json()
    assert told["osc"] == osc
    assert told["supervisor"] == bridge.process.pid
    assert set(told) == {"supervisor", "bridge.player", "bridge.engine", "bridge.main", "osc", "panel"}
    assert {told[f"bridge.{name}"] for name in ("player", "engine", "main")} == {
        first_entry(bridge, name)["pid"] for name in ("player", "engine", "main")
    }


def test_each_process_is_told_what_it_needs(start: Callable[..., Running]) -> None:
    bridge = start()
    bridge.until_line("ready")
    player, engine, main = (first_entry(bridge, name)["init"] for name in ("player", "engine", "main"))
    assert player["token"] == engine["token"] == main["token"]
    assert len(player["token"]) >= 32
    assert {player["folder"], engine["folder"], main["folder"]} == {str(bridge.folder)}
    assert player["voices"] == {
        "melody": {"model": "melody-2bar", "channels": {"0": 0}},
        "bass": {"model": "bass-2bar", "channels": {"0": 1}},
        "drums": {"model": "drums-2bar", "channels": {"0": 9}},
    }
    assert player["audio"] == {"preview": False, "device": None, "click": True}
    midi = {"backend": "auto", "name": "Barline", "input": "auto", "clock_out": False}
    assert player["midi"].items() >= midi.items()
    clock = {"source": "auto", "tempo": 120.0, "beats_per_bar": 4, "offset_ms": 0.0}
    assert player["clock"].items() >= clock.items()
    assert engine["models"] == ["melody-2bar", "bass-2bar", "drums-2bar"]
    assert Path(engine["models_folder"]).is_absolute()
    assert (engine["device"], engine["threads"]) == ("auto", 1)
    assert main["voices"]["drums"]["model"] == "drums-2bar"
    eventually(lambda: {"player": bridge.run_json()["bridge.player"]} in bridge.diary("main"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(start: Callable[..., Running], how: signal.Signals) -> None:
    bridge = start()
    bridge.until_line("ready")
    pids = [bridge.run_json()[f"bridge.{name}"] for name in ("player", "engine", "main")]
    with took_at_most(2.0):
        bridge.process.send_signal(how)
        assert bridge.process.wait(5) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert not (bridge.folder / "run.json").exists()
    assert bridge.diary("player")[-1]["let_go"] > 0


def test_ctrl_c_at_the_terminal_reaches_the_supervisor_alone(start: Callable[..., Running]) -> None:
    bridge = start()
    bridge.until_line("ready")
    own = os.getpgid(bridge.process.pid)
    assert own not in {os.getpgid(bridge.run_json()[f"bridge.{name}"]) for name in ("player", "engine", "main")}


@pytest.mark.parametrize("victim", ["player", "engine"])
def test_who_dies_is_started_again_and_main_is_told(start: Callable[..., Running], victim: str) -> None:
    bridge = start()
    bridge.until_line("ready")
    before = bridge.run_json()
    with took_at_most(2.0):
        os.kill(before[f"bridge.{victim}"], signal.SIGKILL)
        eventually(lambda: bridge.run_json()[f"bridge.{victim}"] not in (None, before[f"bridge.{victim}"]))
    after = bridge.run_json()
    eventually(lambda: {victim: after[f"bridge.{victim}"]} in bridge.diary("main"))
    same = {key for key in before if before[key] == after[key]}
    assert same == set(before) - {f"bridge.{victim}"}
    assert "killed by signal 9" in bridge.until_line("the ")


def test_a_full_disk_keeps_nothing_from_being_started_again(start: Callable[..., Running]) -> None:
    """What runs is told as soon as there is room for it."""
    bridge = start()
    bridge.until_line("ready")
    before = bridge.run_json()
    in_the_way = bridge.folder / f".run.json.{bridge.process.pid}.part"
    in_the_way.mkdir()
    os.kill(before["bridge.engine"], signal.SIGKILL)
    bridge.until_line("the engine ended")
    eventually(lambda: len(bridge.diary("engine")) == 2)
    time.sleep(1.0)
    assert bridge.process.poll() is None
    assert bridge.run_json() == before
    in_the_way.rmdir()
    eventually(lambda: bridge.run_json()["bridge.engine"] == bridge.diary("engine")[1]["pid"])


def test_who_cannot_be_started_again_at_once_is_later(
    start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the system is out of memory for a moment: the others play on."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    monkeypatch.setenv("CHILDREN_RUN", str(python))
    bridge = start()
    bridge.until_line("ready")
    before = bridge.run_json()
    python.rename(tmp_path / "away")
    os.kill(before["bridge.engine"], signal.SIGKILL)
    assert "trying again" in bridge.until_line("the engine cannot be started")
    assert is_alive(before["bridge.player"])
    (tmp_path / "away").rename(python)
    eventually(lambda: bridge.run_json()["bridge.engine"] not in (None, before["bridge.engine"]))


def test_a_restarted_bridge_process_keeps_its_port_and_finds_its_peers(start: Callable[..., Running]) -> None:
    bridge = start()
    bridge.until_line("ready")
    before = bridge.run_json()
    os.kill(before["bridge.main"], signal.SIGKILL)
    bridge.until_line("ready")  # the scripted one says so when it has been told of the engine
    after = bridge.run_json()
    assert after["osc"] == before["osc"]
    assert after["bridge.player"] == before["bridge.player"]
    told = bridge.diary("main")
    begun = [index for index, line in enumerate(told) if "init" in line]
    assert len(begun) == 2
    eventually(lambda: {"player": before["bridge.player"]} in bridge.diary("main")[begun[1] :])


def test_when_the_supervisor_is_killed_its_processes_let_go(start: Callable[..., Running]) -> None:
    bridge = start()
    bridge.until_line("ready")
    pids = [bridge.run_json()[f"bridge.{name}"] for name in ("player", "engine", "main")]
    bridge.process.kill()
    with took_at_most(2.0):
        eventually(lambda: not any(is_alive(pid) for pid in pids))
    eventually(lambda: bridge.diary("player")[-1].get("let_go", 0) > 0)


def test_after_a_kill_the_same_folder_and_port_can_be_had_again(start: Callable[..., Running]) -> None:
    first = start()
    port = int(first.until_line("osc ").rpartition(":")[2])
    first.until_line("ready")
    first.process.kill()
    second = start(port=port)
    second.until_line("ready")
    assert second.run_json()["supervisor"] == second.process.pid


def test_a_folder_in_use_is_refused_with_the_process_that_has_it(start: Callable[..., Running]) -> None:
    first = start()
    first.until_line("ready")
    second = start()
    _, told = second.process.communicate(timeout=10)
    assert told.startswith("AlreadyRunningError: session.folder")
    assert f"process {first.process.pid}" in told
    assert first.run_json()["supervisor"] == first.process.pid


def test_a_player_that_cannot_start_is_told_and_ends_the_bridge(start: Callable[..., Running]) -> None:
    bridge = start("player:cannot start")
    _, told = bridge.process.communicate(timeout=20)
    assert "no such device" in told
    last = told.strip().splitlines()[-1]
    assert last.startswith("CannotRunError: the player cannot start on this machine (exit code 1)")


def test_an_engine_that_cannot_start_ends_nothing(start: Callable[..., Running]) -> None:
    bridge = start("engine:cannot start")
    assert "trying again in 2 s" in bridge.until_line("the engine keeps ending")
    assert bridge.process.poll() is None
    assert is_alive(bridge.run_json()["bridge.player"])
    bridge.process.send_signal(signal.SIGTERM)
    assert bridge.process.wait(5) == 0


def test_a_process_that_does_not_go_is_made_to(start: Callable[..., Running]) -> None:
    bridge = start("engine:deaf,player:deaf")
    bridge.until_line("ready")
    pids = [bridge.run_json()[f"bridge.{name}"] for name in ("player", "engine", "main")]
    with took_at_most(3.0):
        bridge.process.send_signal(signal.SIGTERM)
        assert bridge.process.wait(5) == 0
    assert not any(is_alive(pid) for pid in pids)


def test_restarts_come_at_once_first_and_slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(supervisor_module.time, "monotonic", lambda: now[0])
    name: Name = "engine"
    child = Child(name, [], dict, SimpleQueue())

    def lives(seconds: float) -> float:
        child._started_s = now[0]
        now[0] += seconds
        return child.died()

    assert [lives(0.2) for _ in range(7)] == [0.0, 0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    assert child.is_hopeless
    assert lives(3600.0) == 0.0
    assert not child.is_hopeless
