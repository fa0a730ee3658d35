"""``python -m bridge.bench.listener BACKEND PORT…``: hears MIDI ports from a process of its own.

A JACK client that is not woken within a period loses that period's MIDI, so the listener does nothing else and asks to
be woken first. It says a line when it listens; when its standard input ends, its tallies, or, after ``--keep``, every
message with the moment it came, in ns of time.perf_counter_ns.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

from bridge import paths
from bridge.player.listener import Listener, Tally
from bridge.player.ports import PortError

_NICENESS = -15


Kept = dict[str, list[tuple[int, list[int]]]]
"""Port -> (moment in ns, message), in the order they came."""


def main(backend: str, names: list[str], keep: bool) -> int:
    """Listen until standard input ends."""
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):  # before the client's own threads are made: they inherit it
            os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    try:
        listeners = {name: Listener(backend, name, keep) for name in names}
    except PortError as fault:
        _write({"fault": str(fault)})
        return 1
    _write({"listening": names})
    sys.stdin.read()
    for listener in listeners.values():
        listener.close()
    if keep:
        _write({name: listener.kept for name, listener in listeners.items()})
        return 0
    _write(
        {
            name: {**dataclasses.asdict(listener.tally), "open_notes": sorted(listener.tally.open_notes)}
            for name, listener in listeners.items()
        }
    )
    return 0


def _write(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class ListenerProcess:
    """The other end: starts the listener, and asks it for its tallies."""

    def __init__(self, backend: str, names: list[str], keep: bool = False) -> None:
        """Listen to these ports; with `keep`, for `kept`, else for `tallies`.

        Raises:
            PortError: they are not there.
        """
        command = [sys.executable, "-P", "-m", "bridge.bench.listener", *(["--keep"] if keep else []), backend, *names]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=paths.child_environment(),
        )
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline() or '{"fault": "the listener did not start"}')
        if "fault" in said:
            self._process.communicate()
            raise PortError(said["fault"])

    def tallies(self) -> dict[str, Tally]:
        """End it; what it has heard, by port."""
        heard, _ = self._process.communicate()
        return {
            name: Tally(**{**tally, "open_notes": {(channel, pitch) for channel, pitch in tally["open_notes"]}})
            for name, tally in json.loads(heard).items()
        }

    def kept(self) -> Kept:
        """End it; every message it has heard, by port."""
        heard, _ = self._process.communicate()
        return {name: [(int(ns), message) for ns, message in kept] for name, kept in json.loads(heard).items()}


if __name__ == "__main__":
    keeps = sys.argv[1] == "--keep"
    chosen = sys.argv[2:] if keeps else sys.argv[1:]
    sys.exit(main(chosen[0], chosen[1:], keeps))
