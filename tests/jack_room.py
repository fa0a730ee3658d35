"""A JACK server of a test's own, and ears on it that are processes of their own: libjack may hang in one that outlives
its server.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import NamedTuple, Self

from needs import need

_EAR = """
import os, sys, time, rtmidi
name = sys.argv[1]
ear = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, "ear on " + name)
until = time.monotonic() + float(sys.argv[2])
while not (found := [k for k, port in enumerate(ear.get_ports()) if port == f"{name}:{name}"]):
    if time.monotonic() > until:
        sys.exit(1)
    time.sleep(0.005)
ear.ignore_types(timing=False)
def say(*words):  # in one piece: two threads speak
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
ear.set_callback(lambda event, _: say(time.perf_counter_ns(), *event[0]))
ear.open_port(found[0])
say("connected")
sys.stdin.read()
"""


#: What to do when a server will not start: those that were killed keep one of JACK's eight places each.
NO_ANSWER = "jackd does not answer; if it says that too many servers are active, and none is, remove /dev/shm/jack*"


class Heard(NamedTuple):
    """A MIDI message as it arrived."""

    time_ns: int
    status: int
    data1: int
    data2: int

    @property
    def is_on(self) -> bool:
        """A note begins."""
        return self.status & 0xF0 == 0x90 and self.data2 > 0

    @property
    def is_off(self) -> bool:
        """A note ends."""
        return self.status & 0xF0 == 0x80 or (self.status & 0xF0 == 0x90 and self.data2 == 0)

    @property
    def key(self) -> tuple[int, int]:
        """Channel and pitch."""
        return self.status & 0x0F, self.data1


class JackServer:
    """`jackd` with the dummy driver, under a name of its own; at 1024 frames a cycle nothing is lost."""

    def __init__(self, name: str) -> None:
        """Not yet started; `name` is what clients ask for. It takes real-time scheduling where that may be had: on a
        busy machine a server without it stands now and then, and clients miss cycles, with their messages.
        """
        self.name = name
        self._programs = need("jackd"), need("jack_lsp")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [self._programs[0], "-n", self.name, "-R", "-d", "dummy", "-r", "48000", "-p", "1024"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 20.0
        while not self.ports():
            if time.monotonic() > until:
                self.kill()
                raise AssertionError(NO_ANSWER)
            time.sleep(0.05)

    def kill(self) -> None:
        """As when it crashes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def connected(self, port: str) -> bool:
        """Whether a port that is there leads anywhere."""
        command = [self._programs[1], "-s", self.name, "-c", port]
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "JACK_NO_START_SERVER": "1"}
        )
        return any(line.startswith(" ") for line in result.stdout.splitlines())

    def ports(self) -> set[str]:
        """Full names, "client:port", of all ports there are."""
        result = subprocess.run(
            [self._programs[1], "-s", self.name],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "JACK_NO_START_SERVER": "1"},
        )
        return {line for line in result.stdout.splitlines() if ":" in line} if result.returncode == 0 else set()


class Ear:
    """A listener on one port; `heard` grows on a thread."""

    def __init__(self, server: JackServer, port_name: str, patience_s: float = 10.0) -> None:
        """Connect as soon as the port is there; until then the constructor waits."""
        self.port_name = port_name
        self.heard: list[Heard] = []
        self._process = subprocess.Popen(
            [sys.executable, "-c", _EAR, port_name, str(patience_s)],
            env={**os.environ, "JACK_DEFAULT_SERVER": server.name, "JACK_NO_START_SERVER": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        assert self._process.stdout is not None
        while (line := self._process.stdout.readline()) != "connected\n":  # on a port that plays, notes may come first
            if not line:
                self.close()
                raise AssertionError(f"no port {port_name}")
            self._hear(line)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._hear(line)

    def _hear(self, line: str) -> None:
        time_ns, *data = (int(word) for word in line.split())
        self.heard.append(Heard(time_ns, *[*data, 0, 0][:3]))

    @property
    def notes(self) -> list[Heard]:
        """Note-ons and note-offs."""
        return [item for item in self.heard if item.is_on or item.is_off]

    @property
    def ons(self) -> list[Heard]:
        """Note-ons."""
        return [item for item in self.heard if item.is_on]

    def open(self) -> set[tuple[int, int]]:
        """What sounds now, by all that was heard; a note that is struck twice fails."""
        found: set[tuple[int, int]] = set()
        for item in self.notes:
            if item.is_on:
                assert item.key not in found, f"doubled: {item}"
                found.add(item.key)
            else:
                found.discard(item.key)
        return found

    def close(self) -> None:
        """Kill it: closing by itself may wait for a server that is dead."""
        self._process.kill()
        self._process.wait(10)
        if self._thread.ident is not None:
            self._thread.join(5.0)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
