"""A real bridge started as a child process, for demo, bench and the end-to-end tests: no part of it is stood in for."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from bridge import paths
from bridge.osc.client import OscClient
from bridge.player.record import Played, PlayedReader
from bridge.timing.midi import KIND, NOTE_OFF, NOTE_ON

_READY_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 10.0


class HostedBridgeError(RuntimeError):
    """The bridge did not start, or ended early; the message holds its last words."""


class HostedBridge:
    """`barline start` in a folder of its own. Use it as a context manager; it is ended on the way out."""

    def __init__(self, folder: Path, settings: Sequence[str] = (), config: Path | None = None) -> None:
        """`settings` are further ``key=value`` pairs; unless they say so, the port is any free one, the panel off."""
        self.folder = folder
        self._settings = ["osc.port=0", "panel.enabled=false", f"session.folder={json.dumps(str(folder))}", *settings]
        self._config = config
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._words: list[str] = []
        self.osc = ("127.0.0.1", 0)
        self.started_ns = 0
        self.bound_ns = 0
        self.ready_ns = 0

    def start(self) -> None:
        """Start it and wait until its OSC port is bound; where it does not come to that, no process of it is left.

        Raises:
            HostedBridgeError: it ended instead, or takes too long.
        """
        command = [sys.executable, "-P", "-m", "bridge", "start"]
        command += [] if self._config is None else ["--config", str(self._config)]
        for setting in self._settings:
            command += ["--set", setting]
        self.started_ns = time.perf_counter_ns()
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            cwd=str(self.folder),
            env=paths.child_environment(),
        )
        reader = threading.Thread(target=self._read, args=(self._process,), name="bridge output", daemon=True)
        try:
            reader.start()
            bound = self.wait_for_line("osc ")
            self.bound_ns = time.perf_counter_ns()
            host, _, port = bound.removeprefix("osc ").rpartition(":")
            self.osc = (host, int(port))
        except BaseException:  # a bridge that was not got hold of is nobody's to end any more
            self.end()
            if reader.ident is None and self._process.stdout is not None:  # nor is what it prints anybody's to close
                self._process.stdout.close()
            raise

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._words.append(line.rstrip())
            self._lines.put(line.rstrip())
        process.stdout.close()
        self._lines.put(None)

    def wait_for_line(self, start: str, timeout_s: float = _READY_TIMEOUT_S) -> str:
        """The next line it prints that begins so.

        Raises:
            HostedBridgeError: it ended, or the line did not come.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise HostedBridgeError(
                    f"the bridge did not say {start!r} within {timeout_s} s: {self.words}"
                ) from None
            if line is None:
                raise HostedBridgeError(f"the bridge ended: {self.words}")
            if line.startswith(start):
                return line

    def wait_until_ready(self) -> None:
        """Wait for the line `ready`.

        Raises:
            HostedBridgeError: it did not come.
        """
        self.wait_for_line("ready")
        self.ready_ns = time.perf_counter_ns()

    @property
    def words(self) -> str:
        """What it has printed lately."""
        return " | ".join(self._words[-12:])

    @property
    def lines(self) -> list[str]:
        """Every line it has printed."""
        return list(self._words)

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def processes(self) -> dict[str, Any]:
        """What run.json says."""
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return found

    def client(self) -> OscClient:
        """A client of it."""
        return OscClient(*self.osc)

    def played(self) -> PlayedReader:
        """The player's own record of what it sends."""
        return PlayedReader(self.folder / "played.bin")

    def end(self, sign: signal.Signals = signal.SIGTERM, timeout_s: float = _END_TIMEOUT_S) -> int:
        """End it as a user would, and return its exit code; killed when it does not end in time."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(sign)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def note_ons(messages: Sequence[Played]) -> list[Played]:
    """The note-ons among them."""
    return [message for message in messages if message.status & KIND == NOTE_ON and message.data2 > 0]


def note_offs(messages: Sequence[Played]) -> list[Played]:
    """The note-offs among them."""
    return [
        message
        for message in messages
        if message.status & KIND == NOTE_OFF or (message.status & KIND == NOTE_ON and message.data2 == 0)
    ]
