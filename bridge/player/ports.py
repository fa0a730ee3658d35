"""MIDI ports as the player sees them, and the two backends that need no MIDI system.

A backend opens ports, and can tell which of them have vanished and who listens. Everything behind it (client libraries,
their quirks) stays in its own module.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Final, Protocol

MEMORY_MESSAGES: Final = 65536
InputSink = Callable[[Sequence[int]], None]
"""Called with each received message, perhaps on a thread of the backend's."""


class PortError(OSError):
    """A port cannot be opened, or has gone; the text says so in plain words."""


class Port(Protocol):
    """An open output port."""

    name: str

    def send(self, message: Sequence[int]) -> None:
        """Send one MIDI message at once.

        Raises:
            PortError: the port has gone.
        """

    def close(self) -> None:
        """Close it, after what was sent has left."""


class Backend(Protocol):
    """A MIDI system, or what stands in for one."""

    kind: str

    def open_output(self, client: str, voice: str) -> Port:
        """A port called "`client` `voice`" (or the existing one it stands for).

        Raises:
            PortError: it cannot be had.
        """

    def open_input(self, name: str, sink: InputSink) -> str:
        """Open the one input port; every message goes to `sink`. Returns the port's name.

        Raises:
            PortError: it cannot be had.
        """

    def vanished(self) -> bool:
        """Whether ports that were opened are gone: quick, called several times a second."""

    def listeners(self, port: Port) -> int | None:
        """How many are connected to a port; None where that cannot be known."""

    def close(self) -> None:
        """Close all ports; quick also when the system behind them has died."""


class MemoryPort:
    """Keeps what was sent, for tests and measurements."""

    def __init__(self, name: str) -> None:
        """An empty port."""
        self.name = name
        self.sent: collections.deque[tuple[int, ...]] = collections.deque(maxlen=MEMORY_MESSAGES)

    def send(self, message: Sequence[int]) -> None:
        """Keep the message."""
        self.sent.append(tuple(message))

    def close(self) -> None:
        """Nothing to let go of."""


class SilentPort:
    """Where there is no MIDI system: notes go nowhere, the record still has them."""

    def __init__(self, name: str) -> None:
        """A port in name only."""
        self.name = name

    def send(self, message: Sequence[int]) -> None:
        """Go nowhere."""

    def close(self) -> None:
        """Nothing to let go of."""


class InnerBackend:
    """Ports inside this process: `memory` keeps what is sent, `none` does not."""

    def __init__(self, kind: str) -> None:
        """`kind` is ``memory`` or ``none``."""
        self.kind = kind
        self.opened: list[MemoryPort] = []

    def open_output(self, client: str, voice: str) -> Port:
        """A port of that name; always succeeds."""
        if self.kind == "none":
            return SilentPort(f"{client} {voice}")
        self.opened.append(MemoryPort(f"{client} {voice}"))
        return self.opened[-1]

    def open_input(self, name: str, sink: InputSink) -> str:  # noqa: ARG002 - the protocol's
        """Nothing ever comes in."""
        return name

    def vanished(self) -> bool:
        """Never."""
        return False

    def listeners(self, port: Port) -> int | None:  # noqa: ARG002 - the protocol's
        """Nobody has to connect here."""
        return 1

    def close(self) -> None:
        """Nothing to let go of."""
