"""Who has a session folder and who has a port, told with real locks and real sockets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import file_lock
from bridge.running import (
    AddressError,
    AlreadyRunningError,
    SessionLock,
    can_bind,
    claim_port,
    folder_holder,
    is_bridge,
    port_holder,
)

ROOT = Path(__file__).resolve().parents[1]
HOLD = """
import sys
from pathlib import Path
from bridge.running import SessionLock
lock = SessionLock(Path(sys.argv[1]))
lock.write({"supervisor": 4711, "osc": "127.0.0.1:9100"})
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held_folder(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A session folder that another process has."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield tmp_path, process
    process.kill()
    process.communicate()


@pytest.fixture
def answering() -> Iterator[tuple[int, list[bytes]]]:
    """A port of ours that answers every datagram with what is put into the list, as a bridge or as somebody else."""
    answers = [b"/bridge/pong\0\0\0\0,isfi\0\0\0"]
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                asked, sender = server.recvfrom(512)
            except OSError:
                return
            if not asked:
                return
            server.sendto(answers[0], sender)

    thread = threading.Thread(target=serve, name="answering")
    thread.start()
    port = int(server.getsockname()[1])
    yield port, answers
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.sendto(b"", ("127.0.0.1", port))
    thread.join(5)
    server.close()


def test_a_folder_belongs_to_one(held_folder: tuple[Path, subprocess.Popen[str]]) -> None:
    folder, holder = held_folder
    with pytest.raises(AlreadyRunningError, match=r"another Barline \(process 4711, OSC 127.0.0.1:9100\)"):
        SessionLock(folder)
    assert folder_holder(folder) == "another Barline (process 4711, OSC 127.0.0.1:9100)"
    assert json.loads((folder / "run.json").read_text())["supervisor"] == 4711
    holder.kill()
    holder.wait(5)
    assert folder_holder(folder) is None
    lock = SessionLock(folder)
    assert lock.leftover
    assert not (folder / "run.json").exists()
    lock.release()


def test_a_folder_is_made_and_let_go(tmp_path: Path) -> None:
    lock = SessionLock(tmp_path / "deep" / "er")
    assert not lock.leftover
    lock.write({"supervisor": 1, "osc": None})
    assert json.loads((tmp_path / "deep" / "er" / "run.json").read_text()) == {"supervisor": 1, "osc": None}
    lock.release()
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["run.lock"]
    SessionLock(tmp_path / "deep" / "er").release()


def test_a_folder_just_taken_has_a_holder_without_a_name(tmp_path: Path) -> None:
    lock = SessionLock(tmp_path)
    assert folder_holder(tmp_path) == "another Barline, just starting,"
    lock.release()
    assert folder_holder(tmp_path / "none") is None


def test_a_bridge_on_a_port_is_known_by_its_answer(answering: tuple[int, list[bytes]]) -> None:
    port, answers = answering
    assert not can_bind("127.0.0.1", port)
    assert is_bridge("127.0.0.1", port)
    named = f" (process {os.getpid()})" if sys.platform == "linux" else ""
    assert port_holder("127.0.0.1", port) == f"another Barline{named}"
    with pytest.raises(AlreadyRunningError, match=f"osc.port = {port}: another Barline"):
        claim_port("127.0.0.1", port, leftover=False)
    answers[0] = b"HTTP/1.1 400\r\n"
    assert port_holder("127.0.0.1", port) == "another program"


def test_a_silent_program_on_a_port_is_no_bridge() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert port_holder("127.0.0.1", port) == "another program"


def test_a_leftover_port_is_waited_for(free_udp_port: int) -> None:
    dying = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    dying.bind(("127.0.0.1", free_udp_port))
    timer = threading.Timer(0.3, dying.close)
    timer.start()
    claim_port("127.0.0.1", free_udp_port, leftover=True)
    timer.join()
    assert can_bind("127.0.0.1", free_udp_port)


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 70 + ".b"])
def test_an_address_of_somewhere_else_is_refused(host: str) -> None:
    with pytest.raises(AddressError, match=rf"^osc\.host = {host} is not an address of this machine.*expected.*127"):
        can_bind(host, 9100)
    assert not is_bridge("192.0.2.1", 0)


def test_port_0_is_always_free() -> None:
    assert can_bind("127.0.0.1", 0)


def test_who_finds_a_folder_taken_that_was_not_there_a_moment_ago_leaves_the_other_s_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "try_lock", lambda _file: False)
    taken = pytest.raises(file_lock.FolderTakenError, match="another training")
    with taken, file_lock.alone_in(tmp_path / "run", "training"):
        pytest.fail("it was taken")
    assert (tmp_path / "run" / "run.lock").exists()
