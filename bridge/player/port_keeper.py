"""Keeps the player's ports: opens them, notices when they vanish, opens them again, says so in plain words.

Everything here that may take long (opening takes some 40 ms a port on JACK) happens only when there are no ports to be
late on. What is done while music plays, a look every quarter of a second, takes microseconds.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final

from bridge import messages
from bridge.player.outputs import Outputs
from bridge.player.ports import Backend, InnerBackend, InputNews, InputSink, PortError

log = logging.getLogger(__name__)

LOOK_NS: Final = 250_000_000
RETRY_NS: Final = 1_000_000_000  # looking for a MIDI system that is not there costs some ms each time
SETTLE_NS: Final = 50_000_000  # a listener that has just connected needs a cycle or two before it hears
REPEATS_NS: Final = (250_000_000, 500_000_000, 1_000_000_000, 2_000_000_000, 4_000_000_000)
BackendMaker = Callable[[], Backend]
"""Makes the configured backend, or raises `PortError` with what is missing."""


class PortKeeper:
    """Owns the backend. Call `look` when `next_look_ns` has come and nothing is due."""

    def __init__(
        self,
        outputs: Outputs,
        make: BackendMaker,
        input_name: str | None,
        sink: InputSink,
        tell: Callable[[object], None],
        watch: Callable[[socket.socket, Callable[[int], None]], object],
        unwatch: Callable[[socket.socket], object],
    ) -> None:
        """Nothing is open yet; `start` opens.

        Args:
            outputs: gets the ports.
            make: see `BackendMaker`.
            input_name: the input port's name, None for none.
            sink: gets what comes in.
            tell: gets `messages.Ports` on each change of the outputs, a `messages.Notice` on one of the input.
            watch: has the loop call back when a socket of the backend is readable.
            unwatch: ends that.
        """
        self._outputs = outputs
        self._make = make
        self._input_name = input_name
        self._sink = sink
        self._tell = tell
        self._watch = watch
        self._unwatch = unwatch
        self._backend: Backend = InnerBackend("none")
        self._missing = ""
        self._lines: list[str] = []
        self._input: InputNews | None = None
        self.next_look_ns = 0
        self._opened_ns = 0
        self._repeats: list[int] = []
        self._heard_ns: dict[int, int] = {}

    @property
    def grain_ms(self) -> float:
        """See `Backend.grain_ms`."""
        return self._backend.grain_ms

    @property
    def said(self) -> messages.Ports:
        """The ports that there are, as they are told to a bridge."""
        lines = self._lines if self._input is None else [*self._lines, _line(self._input)]
        return messages.Ports(self._backend.kind, lines)

    @property
    def deaf(self) -> str:
        """Why nothing can come in, in plain words; empty where something can."""
        if self._missing:
            return self._missing
        if self._backend.kind == "none":
            return "midi.backend is none"
        if self._input is None:
            return "midi.input is none"
        return "" if self._input.here else self._input.text

    def start(self, now_ns: int) -> None:
        """Open the ports, or say why not and go on without; then close what an earlier player left open."""
        self._open(now_ns)

    def look(self, now_ns: int) -> None:
        """Notice what came and went; settle what is owed."""
        self.next_look_ns = now_ns + LOOK_NS
        if self._missing:
            self._open(now_ns, again=True)
        elif self._outputs.lost or self._backend.vanished():
            for why in self._outputs.lost:
                log.warning("%s", why)
            log.warning("the MIDI ports have gone; opening them again")
            self._outputs.unplug()
            self._sink(now_ns, ())
            self._close_backend()
            self._open(now_ns)
        else:
            self._attend_input()
            if self._outputs.owed_ports:
                self._settle(now_ns)

    def _attend_input(self) -> None:
        """The input's port may have come or gone; what was held on it is over then."""
        news = self._backend.input_change()
        if news is not None:
            self._input = news
            log.info("%s", _line(news))
            self._tell(messages.Notice(_line(news)))

    def close(self) -> None:
        """Close the ports after what was sent has left."""
        self._close_backend()

    def _close_backend(self) -> None:
        if self._backend.readable is not None:
            self._unwatch(self._backend.readable)
        self._backend.close()
        self._backend = InnerBackend("none")

    def _attend(self) -> None:
        self._backend.attend()
        if self._backend.vanished():
            self.next_look_ns = 0

    def _open(self, now_ns: int, again: bool = False) -> None:
        layout = self._outputs.layout
        try:
            backend = self._make()
            ports = backend.open_all(layout.client, layout.names, self._input_name, self._sink)
        except PortError as fault:
            self._go_without(str(fault), now_ns, again)
            return
        self._lines = [f"{name}: out to {port.name}" for name, port in zip(layout.names, ports, strict=True)]
        if self._input_name is not None:
            self._input = backend.input_change() or InputNews(self._input_name, here=True)
        self._backend, self._missing = backend, ""
        if backend.readable is not None:
            self._watch(backend.readable, lambda _mask: self._attend())
        self._outputs.plug(ports)
        self._say()
        for port in self._outputs.owed_ports:
            self._outputs.close_owed(port, heard=bool(self._listeners(port)))
        self._opened_ns, self._repeats, self._heard_ns = now_ns, list(REPEATS_NS), {}
        self.next_look_ns = now_ns + SETTLE_NS

    def _go_without(self, why: str, now_ns: int, again: bool) -> None:
        """No MIDI system: the player goes on in silence and keeps looking."""
        if not again:
            layout = self._outputs.layout
            self._outputs.plug(self._backend.open_all(layout.client, layout.names, None, self._sink))
        if why != self._missing:
            self._missing, self._input = why, None
            self._lines = [f"no MIDI output: {why}; notes still reach subscribers as events; still looking"]
            self._say()
        self.next_look_ns = now_ns + RETRY_NS

    def _settle(self, now_ns: int) -> None:
        """Close what is owed once more when somebody has come to hear it; where that cannot be known, a few times."""
        self.next_look_ns = now_ns + SETTLE_NS
        counts = {port: self._listeners(port) for port in sorted(self._outputs.owed_ports)}
        for port, count in counts.items():
            if count:
                heard_ns = self._heard_ns.setdefault(port, now_ns)
                if now_ns - heard_ns >= SETTLE_NS:
                    self._outputs.close_owed(port, heard=True)
        if self._repeats and now_ns - self._opened_ns >= self._repeats[0]:
            self._repeats.pop(0)
            for port in [port for port, count in counts.items() if count is None]:
                self._outputs.close_owed(port, heard=not self._repeats)

    def _listeners(self, port: int) -> int | None:
        open_port = self._outputs.ports[port]
        return 0 if open_port is None else self._backend.listeners(open_port)

    def _say(self) -> None:
        said = self.said
        for line in said.lines:
            log.info("%s", line)
        self._tell(said)


def _line(news: InputNews) -> str:
    return f"in: {news.text}"
