"""Holds the player's JACK ports in a process of its own, so that they end in good order whatever happens to the player.

A JACK server needs half a second or more for every client of a process that was killed, one after the other, and lets
nobody new in meanwhile: three voices and an input would keep a restarted player waiting for two to three seconds. And
libjack may hold up or end the process it lives in when its server dies. So for JACK the player sends its messages here
(some 50 us; the server's period is 1.3 ms at the least) and this process sends them on, stamps and records them. When
the player ends, however it does, this one closes the notes that are open and then the ports, properly.

The line is a stream socket: one JSON line with the init, then frames of `FRAME` from the player; JSON lines to it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pathlib
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from bridge.player import rtmidi_ports
from bridge.player.ports import PortError
from bridge.player.record import PlayedWriter
from bridge.timing.clocks import ask_for_fine_timers
from bridge.timing.midi import CHANNEL, KIND, NOTE_OFF, NOTE_ON

FRAME: Final = struct.Struct("<qHBBBB2x")  # intended_ns, port, length, three bytes
HOSTED_LEAD_NS: Final = (
    320_000  # the way here and code that has gone cold; what is early is held, so that it costs little
)
SOCKET_VARIABLE: Final = "BARLINE_PORTS_SOCKET"
LOOK_S: Final = 0.2
LINGER_S: Final = 0.25  # JACK drops what a closing port sent in its last cycles; a busy machine misses a few of them
PREDECESSOR_S: Final = 1.5  # ports of the same names that are just being closed are waited for so long


class Host:
    """The ports, the record, and the notes that are open."""

    def __init__(self, line: socket.socket, init: dict[str, Any]) -> None:
        """Open everything.

        Raises:
            PortError: JACK is not there, or refuses.
        """
        self._line = line
        self._sending = threading.Lock()  # the input's messages come on a thread of libjack's
        self._backend = rtmidi_ports.RtmidiBackend("jack")
        client, names = init["client"], init["names"]
        until = time.monotonic() + PREDECESSOR_S
        while any(self._backend.has_port(client, name) for name in names) and time.monotonic() < until:
            time.sleep(0.02)
        self._ports = self._backend.open_all(client, names, init["input"], self._receive)
        self._record = PlayedWriter(pathlib.Path(init["record"]), [port.name for port in self._ports])
        self._open: set[tuple[int, int, int]] = set()
        self._counts: list[int | None] = []
        self._sent_s = 0.0

    def say(self, **what: object) -> None:
        """One JSON line to the player; when it is gone the end of the line tells so soon enough."""
        try:
            with self._sending:
                self._line.sendall(json.dumps(what).encode() + b"\n")
        except OSError:
            return

    def run(self) -> bool:
        """Send what comes until the player is gone (True) or the server is (False)."""
        waiting = bytearray()
        next_look_s = 0.0
        while True:
            now_s = time.monotonic()
            if now_s >= next_look_s:
                next_look_s = now_s + LOOK_S
                if not self.look():
                    return False
            if not select.select([self._line], [], [], max(0.0, next_look_s - now_s))[0]:
                continue
            try:
                chunk = self._line.recv(65536)
            except ConnectionError:  # it was killed with words of ours unread
                return True
            if not chunk:
                return True
            waiting += chunk
            whole = len(waiting) - len(waiting) % FRAME.size
            for intended_ns, port, length, *data in FRAME.iter_unpack(waiting[:whole]):
                self._send(port, data[:length], intended_ns)
            del waiting[:whole]

    def look(self) -> bool:
        """Tell who listens, and what is new of the input; False where the server has gone."""
        if self._backend.vanished():
            return False
        self._tell_listeners()
        news = self._backend.input_change()
        if news is not None:
            self.say(news=news)
        return True

    def end(self) -> None:
        """Close the notes that are open, then, when the last message has surely been heard, the ports."""
        for port, channel, pitch in sorted(self._open):
            self._send(port, (NOTE_OFF | channel, pitch, 0), time.perf_counter_ns())
        time.sleep(max(0.0, self._sent_s + LINGER_S - time.monotonic()))
        self._backend.close()

    def _send(self, port: int, message: Sequence[int], intended_ns: int) -> None:
        now_ns = time.perf_counter_ns
        if intended_ns - now_ns() <= HOSTED_LEAD_NS:
            while now_ns() < intended_ns:
                pass
        self._ports[port].send(message, intended_ns)
        self._sent_s = time.monotonic()
        self._record.add(intended_ns, time.perf_counter_ns(), port, message)
        key = (port, message[0] & CHANNEL, message[1] if len(message) > 1 else 0)
        if message[0] & KIND == NOTE_ON:
            self._open.add(key)
        elif message[0] & KIND == NOTE_OFF:
            self._open.discard(key)

    def _tell_listeners(self) -> None:
        counts = [self._backend.listeners(port) for port in self._ports]
        if counts != self._counts:
            self._counts = counts
            self.say(listeners=counts)

    def _receive(self, stamp_ns: int, message: Sequence[int]) -> None:
        self.say(received=[stamp_ns, *message])


def _init_of(line: socket.socket) -> dict[str, Any]:
    """The line that the player begins with; it sends nothing behind it until we are ready.

    Raises:
        PortError: it went before that line was whole.
    """
    said = b""
    while not said.endswith(b"\n"):
        chunk = line.recv(65536)
        if not chunk:
            raise PortError("the player has gone")
        said += chunk
    init: dict[str, Any] = json.loads(said)
    return init


def main() -> None:
    """Run until the player is gone; started by `hosted_ports`, never by hand."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends when the player's end of the line closes, and not before
    line = socket.socket(fileno=int(os.environ[SOCKET_VARIABLE]))
    try:
        host = Host(line, _init_of(line))
    except PortError as fault:
        with contextlib.suppress(OSError):
            line.sendall(json.dumps({"missing": str(fault)}).encode() + b"\n")
        os._exit(1)
    ask_for_fine_timers()
    host.look()  # so that whoever hears that we are ready knows of the input
    host.say(ready=True)
    gc.collect()
    gc.freeze()
    if host.run():
        host.end()
        os._exit(0)
    os._exit(1)  # a dead server's clients must not be closed: libjack would wait for it
