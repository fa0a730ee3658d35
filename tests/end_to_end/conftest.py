"""Fixtures of the end-to-end tests, and the proof that they leave nobody running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from jack_room import JackServer
from whole_bridge import MISSING_MODEL, ROOT, alive

from bridge.hosted import HostedBridge

if sys.platform == "win32":
    pytest.skip("these tests end processes by POSIX signals", allow_module_level=True)


class Shown(NamedTuple):
    """What the demo did: its end, how long it took, where it wrote, whether the checkout is as it was."""

    done: subprocess.CompletedProcess[str]
    took_s: float
    folder: Path
    tree_unchanged: bool


MARK = "BARLINE_TEST_RUN"


def _marked(mark: str) -> dict[int, str]:
    """Processes, other than this one, that carry our mark in their environment, with their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with contextlib.suppress(OSError):
            if pid != os.getpid() and mark.encode() in (folder / "environ").read_bytes() and alive(pid):
                found[pid] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


@pytest.fixture(scope="session", autouse=True)
def no_strays() -> Iterator[None]:
    """Whatever the tests start, however many removes away, is gone when they are done."""
    mark = f"{MARK}={uuid.uuid4().hex}"
    os.environ[MARK] = mark.partition("=")[2]
    yield
    del os.environ[MARK]
    deadline = time.monotonic() + 5.0
    while (left := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    assert not left, f"left running: {left}"


@pytest.fixture(scope="session")
def bridge(no_strays: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedBridge]:
    """One bridge for all tests that can share it: ready, without a MIDI system, every note in the player's record."""
    folder: Path = tmp_path_factory.mktemp("shared")
    (folder / "own" / MISSING_MODEL).mkdir(parents=True)
    sets = ["midi.backend=none", f"engine.own_models={folder / 'own'}", f"voices.bass.model={MISSING_MODEL}"]
    with HostedBridge(folder / "session", sets) as hosted:
        hosted.wait_until_ready()
        yield hosted


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    """A JACK server of the module's own; what it starts finds that one."""
    server = JackServer(f"barline-e2e-{os.getpid()}")
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JACK_DEFAULT_SERVER", server.name)
        patch.setenv("JACK_NO_START_SERVER", "1")
        yield server
    server.stop()


@pytest.fixture(scope="session")
def demo(no_strays: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Shown]]:
    """The demo, which plays for half a minute, mostly asleep: it does so while other tests run."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_show, tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session", autouse=True)
def demo_begins_early(request: pytest.FixtureRequest) -> None:
    """Begin the demo with the first end-to-end test where one of them will ask for it."""
    if any("demo" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("demo")


def _show(folder: Path) -> Shown:
    tree = _tree()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_bridge.py"), "demo", "--out", "shown"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Shown(done, time.monotonic() - began, folder, tree == _tree())


def _tree() -> str:
    """What git says of the checkout; empty where there is none."""
    command = ["git", "-C", str(ROOT), "status", "--porcelain"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""
