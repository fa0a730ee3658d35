"""The preview process as the supervisor starts it: on a real device of JACK's, and on a machine without one."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from jack_room import JackServer
from needs import need
from whole_bridge import eventually

from bridge.preview.wire import Role, Sounded, pack

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "00112233445566778899aabbccddeeff"


class Process:
    """`python -m bridge.preview`, and what it says."""

    def __init__(self, device: str | None, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bridge.preview"], cwd=ROOT, env={**os.environ, **env}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"token": TOKEN, "device": device}) + "\n")
        self.process.stdin.flush()
        self.port = int(self.told("port"))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def told(self, key: str, seconds: float = 20.0) -> str:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], seconds)[0], f"it does not say {key}"
        return str(json.loads(self.process.stdout.readline())[key])

    def strike(self, role: Role, pitch: int, moment_ns: int) -> None:
        datagram = pack(bytes.fromhex(TOKEN), Sounded("strike", role, pitch, 100, moment_ns))
        self._socket.sendto(datagram, ("127.0.0.1", self.port))

    def end(self) -> int:
        self._socket.close()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        return self.process.wait(10.0)


@contextlib.contextmanager
def preview(device: str | None, **env: str) -> Iterator[Process]:
    process = Process(device, env)
    try:
        yield process
    finally:
        process.process.kill()
        process.end()


def onsets_s(path: Path) -> list[float]:
    """Where something begins after a pause, in seconds."""
    with wave.open(str(path)) as file:
        audio = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        loud = np.flatnonzero(np.abs(audio).max(axis=1) > 1000)
        starts = loud[np.flatnonzero(np.diff(loud, prepend=-100_000) > 0.1 * file.getframerate())]
        return [float(start) / file.getframerate() for start in starts]


def ours(server: JackServer) -> list[str]:
    return [port for port in server.ports() if port.startswith("PortAudio")]


def test_what_the_player_does_is_heard_on_a_real_device_and_keeps_its_time(tmp_path: Path) -> None:
    recorder = need("jack_rec")
    server = JackServer(f"barline-preview-{os.getpid()}")
    server.start()
    try:
        with preview(None, JACK_DEFAULT_SERVER=server.name) as process:
            assert process.told("say").startswith("preview voice on ")
            ports = eventually(lambda: pair if len(pair := sorted(ours(server))) >= 2 else None, what="no output")
            time.sleep(0.5)  # until the device has said how far ahead it wants its blocks
            path = tmp_path / "heard.wav"
            recording = subprocess.Popen(
                [recorder, "-f", str(path), "-d", "4", "-b", "16", *ports[:2]],
                env={**os.environ, "JACK_DEFAULT_SERVER": server.name}, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            eventually(lambda: all(server.connected(port) for port in ports[:2]), what="it does not record")
            begin_ns = time.perf_counter_ns() + 500_000_000
            for click in range(8):
                moment_ns = begin_ns + click * 250_000_000
                time.sleep(max(0.0, (moment_ns - 200_000_000 - time.perf_counter_ns()) / 1e9))  # this machine is busy
                process.strike("click", 76, moment_ns)
            assert recording.wait(20.0) == 0
            assert process.end() == 0
    finally:
        server.stop()
    heard = onsets_s(path)
    assert len(heard) == 8
    assert np.diff(heard) == pytest.approx(0.25, abs=0.003)


def test_without_a_device_it_says_so_stays_and_ends_when_told() -> None:
    with preview("no such device") as process:
        said = process.told("say")
        assert said.startswith("no preview voice:")
        assert "no such device" in said
        process.strike("melody", 60, time.perf_counter_ns())
        assert process.process.poll() is None
        assert process.end() == 0
