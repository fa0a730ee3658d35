"""The player's side of `port_host`: a backend whose ports live in another process."""

from __future__ import annotations

import json
import pathlib
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from bridge import paths
from bridge.player.jack_watch import JackWatch
from bridge.player.port_host import FRAME, HOSTED_LEAD_NS, SOCKET_VARIABLE
from bridge.player.ports import InputNews, InputSink, Port, PortError

OPENING_S: Final = 6.0
CLOSING_S: Final = 3.0
# Contract 5: command lines that contain bridge.player are the player; this one is not, and must not be taken for it.
_COMMAND: Final = """
from importlib import import_module as load
package = "bridge" + ".player"
load(".priority", package).ask_for_promptness(above=1)
load(".port_host", package).main()
"""


class HostedPort:
    """A port of the other process, by its number."""

    lead_ns = HOSTED_LEAD_NS

    def __init__(self, name: str, number: int, line: socket.socket) -> None:
        """`line` is the socket to the process that has it."""
        self.name = name
        self.number = number
        self._line = line

    def send(self, message: Sequence[int], intended_ns: int) -> bool:
        """Hand one message over; the other process sends and records it.

        Raises:
            PortError: the process has gone, or no longer reads.
        """
        padded = (*message, 0, 0)[:3]
        try:
            self._line.send(FRAME.pack(intended_ns, self.number, len(message), *padded))
        except OSError as fault:
            raise PortError(f"MIDI port {self.name}: {fault}") from fault
        return False


class HostedBackend:
    """JACK, held by a process of its own."""

    def __init__(self, record: pathlib.Path) -> None:
        """See whether a server runs; the process is started when the first port is asked for (`open_all`).

        Args:
            record: the file where sent messages are recorded.

        Raises:
            PortError: no server runs.
        """
        self.kind = "jack"
        self.readable: socket.socket | None = None
        self._record = record
        self._process: subprocess.Popen[bytes] | None = None
        self._sink: InputSink = lambda _stamp_ns, _message: None
        self._listeners: list[int | None] = []
        self._incoming = bytearray()
        self._gone = self._ready = False
        self._news: InputNews | None = None
        try:
            self._look = JackWatch("Barline (look)")
        except OSError as fault:
            raise PortError(str(fault)) from fault
        self.grain_ms = self._look.period_ms()

    def open_all(self, client: str, names: Sequence[str], input_name: str | None, sink: InputSink) -> list[Port]:
        """Start the process and let it open an output "`client` NAME" for each name, and the input.

        Raises:
            PortError: it could not.
        """
        self._sink = sink
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter on our own module
            [sys.executable, "-P", "-c", _COMMAND],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**paths.child_environment(), SOCKET_VARIABLE: str(theirs.fileno())},
        )
        theirs.close()
        self._look.close()  # while the process starts
        self.readable = ours
        init = {"client": client, "names": list(names), "input": input_name, "record": str(self._record)}
        ours.sendall(json.dumps(init).encode() + b"\n")
        self._await_ready(ours)
        ours.setblocking(False)
        return [HostedPort(f"{client} {name}", number, ours) for number, name in enumerate(names)]

    def attend(self) -> None:
        """Take in what the process says: who listens, what was received."""
        for said in self._lines():
            self._take_in(said)

    def input_change(self) -> InputNews | None:
        """What the process last said of the input, once."""
        news, self._news = self._news, None
        return news

    def vanished(self) -> bool:
        """Whether the process has ended: it does when its server has."""
        return self._gone

    def listeners(self, port: Port) -> int | None:
        """Connections of a port, as last told."""
        if isinstance(port, HostedPort) and port.number < len(self._listeners):
            return self._listeners[port.number]
        return 0

    def close(self) -> None:
        """Let the process close its ports and end."""
        if self.readable is not None:
            self.readable.close()
            self.readable = None
        if self._process is not None:
            try:
                self._process.wait(CLOSING_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _await_ready(self, line: socket.socket) -> None:
        until = time.monotonic() + OPENING_S
        while (left := until - time.monotonic()) > 0 and select.select([line], [], [], left)[0]:
            for said in self._lines():
                if "missing" in said:
                    self.close()
                    raise PortError(str(said["missing"]))
                self._take_in(said)
            if self._ready:
                return
            if self.vanished():
                break
        self.close()
        raise PortError("the process that holds the JACK ports does not come up")

    def _take_in(self, said: dict[str, Any]) -> None:
        match said:
            case {"listeners": counts}:
                self._listeners = counts
            case {"news": [text, here]}:
                self._news = InputNews(text, here)
            case {"received": [stamp_ns, *message]}:
                self._sink(stamp_ns, message)
            case {"ready": _}:
                self._ready = True

    def _lines(self) -> list[dict[str, Any]]:
        """The whole lines that have come."""
        if self.readable is None:
            return []
        try:
            chunk = self.readable.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        self._gone = not chunk
        self._incoming += chunk
        *lines, rest = self._incoming.split(b"\n")
        self._incoming = bytearray(rest)
        return [json.loads(line) for line in lines]
