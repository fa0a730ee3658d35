"""Plays into other programs' MIDI inputs at given moments: how the bench and the tests are a musician.

It is a process of its own: libjack may hang in one that outlives its server.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Final, Self

import rtmidi

from bridge import paths
from bridge.player.ports import PortError
from bridge.player.rtmidi_ports import APIS

_PATIENCE_S: Final = 20.0
# Contract 5: command lines that contain bridge.player are the player; this one is not, and must not be taken for it.
_COMMAND: Final = """
from importlib import import_module as load
load(".hand", "bridge" + ".player").main()
"""


class Hand:
    """Connected to an input; use it as a context manager."""

    def __init__(self, backend: str, port_name: str, own_name: str = "hand") -> None:
        """Connect to the input whose name contains `port_name`, as soon as it is there.

        Args:
            backend: ``alsa jack coremidi winmm``.
            port_name: part of the input's name; empty: none, others may listen to the port `own_name`.
            own_name: what our own port is called.

        Raises:
            PortError: it does not come.
        """
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter on our own module
            [sys.executable, "-P", "-c", _COMMAND, backend, port_name, own_name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=paths.child_environment(),
        )  # fmt: skip
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "connected\n":
            self.close()
            raise PortError(f"no MIDI input {port_name}")

    def play(self, messages: Iterable[tuple[int, Sequence[int]]]) -> None:
        """Send each message at its moment (`time.perf_counter_ns`), in this order; returns at once."""
        assert self._process.stdin is not None
        lines = [" ".join(str(value) for value in (at_ns, *message)) for at_ns, message in messages]
        self._process.stdin.write("".join(f"{line}\n" for line in lines))
        self._process.stdin.flush()

    def close(self) -> None:
        """The port is gone, as when a keyboard is pulled out."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    """The process: connects, then sends what standard input says, each line a moment and a message's bytes."""
    backend, port_name, own_name = sys.argv[1:4]
    out = rtmidi.MidiOut(APIS[backend], own_name)
    until = time.monotonic() + _PATIENCE_S
    if port_name:
        while not (found := [k for k, name in enumerate(out.get_ports()) if port_name in name]):
            if time.monotonic() > until:
                return
            time.sleep(0.02)
        out.open_port(found[0], own_name)
    else:
        out.open_virtual_port(own_name)
    sys.stdout.write("connected\n")
    sys.stdout.flush()
    for line in sys.stdin:
        at_ns, *message = (int(word) for word in line.split())
        time.sleep(max(0.0, (at_ns - time.perf_counter_ns()) / 1e9))
        out.send_message(message)
