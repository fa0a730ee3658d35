"""MIDI ports as the player sees them, and the two backends that need no MIDI system.

A backend opens ports, and can tell which of them have vanished and who listens. Everything behind it (client libraries,
their quirks) stays in its own module.
"""

from __future__ import annotations

import collections
import socket
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

MEMORY_MESSAGES: Final = 65536
LOCAL_LEAD_NS: Final = 120_000  # from waking to the first send: code that has gone cold between two notes
InputSink = Callable[[int, Sequence[int]], None]
"""Called with each received message and the moment it came (ns), perhaps on a thread of the backend's."""


class PortError(OSError):
    """A port cannot be opened, or has gone; the text says so in plain words."""


class InputNews(NamedTuple):
    """What has become of the input, in plain words; `here`: there is a port on which something may come in."""

    text: str
    here: bool


class Port(Protocol):
    """An open output port."""

    name: str
    lead_ns: int
    """By so much before its moment a message is handed over, to be ready when the moment comes."""

    def send(self, message: Sequence[int], intended_ns: int) -> bool:
        """Send one MIDI message; it is meant for `intended_ns`, which is now or has been (or, where another process
        sends it, is at most `lead_ns` ahead).

        Returns:
            True when it has left now, so that the caller writes it down; False when another process sends it and does.

        Raises:
            PortError: the port has gone.
        """


class Backend(Protocol):
    """A MIDI system, or what stands in for one."""

    kind: str
    grain_ms: float
    """What comes in is stamped only so often; 0 where it is stamped when it comes."""
    readable: socket.socket | None
    """To be watched by the loop, and `attend` called when something has come; None where there is nothing to watch."""

    def attend(self) -> None:
        """Something has come."""

    def open_all(self, client: str, names: Sequence[str], input_name: str | None, sink: InputSink) -> list[Port]:
        """Open an output called "`client` NAME" for each name (or the existing port it stands for), and the input port
        `input_name`, whose messages go to `sink`.

        Raises:
            PortError: one of them cannot be had.
        """

    def vanished(self) -> bool:
        """Whether ports that were opened are gone: quick, called several times a second."""

    def input_change(self) -> InputNews | None:
        """News of the input: it is there now, or has gone (then its sink has got an empty message)."""

    def listeners(self, port: Port) -> int | None:
        """How many are connected to a port; None where that cannot be known."""

    def close(self) -> None:
        """Close all ports; quick also when the system behind them has died."""


class MemoryPort:
    """Keeps what was sent, for tests and measurements."""

    lead_ns = LOCAL_LEAD_NS

    def __init__(self, name: str) -> None:
        """An empty port."""
        self.name = name
        self.sent: collections.deque[tuple[int, ...]] = collections.deque(maxlen=MEMORY_MESSAGES)

    def send(self, message: Sequence[int], intended_ns: int) -> bool:  # noqa: ARG002 - the protocol's
        """Keep the message."""
        self.sent.append(tuple(message))
        return True


class SilentPort:
    """Where there is no MIDI system: notes go nowhere, the record still has them."""

    lead_ns = LOCAL_LEAD_NS

    def __init__(self, name: str) -> None:
        """A port in name only."""
        self.name = name

    def send(self, message: Sequence[int], intended_ns: int) -> bool:  # noqa: ARG002 - the protocol's
        """Go nowhere."""
        return True


class InnerBackend:
    """Ports inside this process: `memory` keeps what is sent, `none` does not."""

    def __init__(self, kind: str) -> None:
        """`kind` is ``memory`` or ``none``."""
        self.kind = kind
        self.grain_ms = 0.0
        self.readable: socket.socket | None = None
        self.opened: list[MemoryPort] = []

    def attend(self) -> None:
        """Nothing ever comes."""

    def open_all(
        self,
        client: str,
        names: Sequence[str],
        input_name: str | None,  # noqa: ARG002 - the protocol's
        sink: InputSink,  # noqa: ARG002 - the protocol's
    ) -> list[Port]:
        """Ports of those names; always succeeds. Nothing ever comes in."""
        if self.kind == "none":
            return [SilentPort(f"{client} {name}") for name in names]
        self.opened = [MemoryPort(f"{client} {name}") for name in names]
        return list(self.opened)

    def vanished(self) -> bool:
        """Never."""
        return False

    def input_change(self) -> InputNews | None:
        """There is no input."""
        return None

    def listeners(self, port: Port) -> int | None:  # noqa: ARG002 - the protocol's
        """Nobody has to connect here."""
        return 1

    def close(self) -> None:
        """Nothing to let go of."""
