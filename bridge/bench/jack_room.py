"""A JACK server of the benchmark's own, and the programs that play and judge MIDI clock on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Final, Self

PERIOD: Final = 128
RATE: Final = 48000
PERIOD_MS: Final = 1000 * PERIOD / RATE
_PROGRAMS: Final = ("jackd", "jack_lsp", "jack_connect", "jack_transport", "jack_midi_clock", "jack_mclk_dump")
_PATIENCE_S: Final = 20.0


class JackRoomError(RuntimeError):
    """The server does not start, or a port does not come; the message says which."""


def missing() -> str:
    """What is missing for it, in plain words; empty where all is there."""
    absent = [program for program in _PROGRAMS if shutil.which(program) is None]
    return f"{', '.join(absent)} not installed (Debian: jackd2, jack-midi-clock)" if absent else ""


class JackRoom:
    """`jackd` with the dummy driver at `period` frames a cycle. Programs started meanwhile find it by themselves.

    It takes real-time scheduling where it may have it (else it says so and goes on without): what is measured is to be
    the clocks, not how often a busy machine makes the server miss a cycle, in which its time stands.
    """

    def __init__(self, period: int = PERIOD) -> None:
        """Not yet started. With a long period nothing is lost where there is no real-time scheduling."""
        self._period = period

    def __enter__(self) -> Self:
        self._name = f"barline-bench-{os.getpid()}"
        self._before = {key: os.environ.get(key) for key in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER")}
        os.environ.update(JACK_DEFAULT_SERVER=self._name, JACK_NO_START_SERVER="1")
        driver = ["-R", "-d", "dummy", "-r", str(RATE), "-p", str(self._period)]
        self._process = _quiet(["jackd", "-n", self._name, *driver])
        try:
            self.wait_for("system:playback_1")
        except JackRoomError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        for key, value in self._before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value

    def wait_for(self, *ports: str) -> None:
        """Wait until these ports ("client:port") are there.

        Raises:
            JackRoomError: one of them does not come.
        """
        until = time.monotonic() + _PATIENCE_S
        while not set(ports) <= set(_said(["jack_lsp", "-s", self._name]).splitlines()):
            if time.monotonic() > until:
                raise JackRoomError(f"JACK: no port {', '.join(ports)}")
            time.sleep(0.1)

    def connect(self, source: str, target: str) -> None:
        """Join two ports, once both are there.

        Raises:
            JackRoomError: one of them does not come.
        """
        self.wait_for(source, target)
        _said(["jack_connect", "-s", self._name, source, target])

    def transport(self, *commands: str) -> None:
        """``play``, ``stop``, ``locate 0`` of JACK's transport, which `jack_midi_clock` goes by."""
        _said(["jack_transport"], "".join(f"{command}\n" for command in commands))

    @contextlib.contextmanager
    def midi_clock(self, tempo_bpm: float, *options: str) -> Iterator[str]:
        """`jack_midi_clock`; its port."""
        process = _quiet(["jack_midi_clock", "-b", f"{tempo_bpm:g}", "-d", "0", *options])
        try:
            self.wait_for("jack_midi_clock:mclk_out")
            yield "jack_midi_clock:mclk_out"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


class ClockDump:
    """`jack_mclk_dump` on a port, writing down when each tick came."""

    def __init__(self, port: str) -> None:
        """Listen to `port`, which must be there."""
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - a pipe would fill, and hold it up
        self._process = subprocess.Popen(["jack_mclk_dump", "-n", port], stdout=self._said, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def tick_frames(self) -> list[int]:
        """End it, while the ticks still come (it looks whether it should end when one does); the frame of each."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise JackRoomError("jack_mclk_dump does not end: no ticks have come") from None
        self._said.seek(0)
        ticks = [line for line in self._said if line.lstrip().startswith("CLK")]
        return [int(line.rpartition("@")[2]) for line in ticks]


def _quiet(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _said(command: Sequence[str], told: str = "") -> str:
    return subprocess.run(command, input=told, capture_output=True, text=True, check=False, timeout=_PATIENCE_S).stdout
