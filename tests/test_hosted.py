"""A hosted bridge that does not start is ended: what was to end it on the way out has never been entered."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.hosted import HostedBridge, HostedBridgeError


class Watched(HostedBridge):
    """A bridge whose start is waited for as `wait` does."""

    def __init__(self, folder: Path, wait: Callable[[HostedBridge], str]) -> None:
        super().__init__(folder, ["midi.backend=none"])
        self._wait = wait

    def wait_for_line(self, start: str, timeout_s: float = 60.0) -> str:
        return self._wait(self)


def processes_in(folder: Path) -> list[int]:
    """The processes at work in a folder, as those of a hosted bridge are in its own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("cwd").readlink() == folder and process.joinpath("cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def too_slow(bridge: HostedBridge) -> str:
    return HostedBridge.wait_for_line(bridge, "osc ", 0.01)


def interrupted(bridge: HostedBridge) -> str:
    HostedBridge.wait_for_line(bridge, "osc ")  # by now it has all of its processes
    assert len(processes_in(bridge.folder.resolve())) > 2
    raise KeyboardInterrupt


def garbled(bridge: HostedBridge) -> str:
    return f"{HostedBridge.wait_for_line(bridge, 'osc ')}player: and what another process says"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize(
    ("wait", "fault"), [(too_slow, HostedBridgeError), (interrupted, KeyboardInterrupt), (garbled, ValueError)]
)
def test_one_that_does_not_start_leaves_no_process(
    tmp_path: Path, wait: Callable[[HostedBridge], str], fault: type[BaseException]
) -> None:
    bridge = Watched(tmp_path / "session", wait)
    with pytest.raises(fault), bridge:
        pytest.fail("it did not start")
    assert_ended(bridge)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_one_whose_words_nobody_can_read_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would hold its folder against every bridge that comes after it."""

    def no_more(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    bridge = HostedBridge(tmp_path / "session", ["midi.backend=none"])
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        with pytest.raises(RuntimeError, match="new thread"), bridge:
            pytest.fail("it did not start")
    assert_ended(bridge)


def assert_ended(bridge: HostedBridge) -> None:
    """Nobody is at work in its folder any more."""
    with pytest.raises(ProcessLookupError):
        os.kill(bridge.pid, 0)
    until = time.monotonic() + 10.0
    while (left := processes_in(bridge.folder.resolve())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left
