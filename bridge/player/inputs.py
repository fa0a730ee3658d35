"""The MIDI input of a system: our own port `NAME in`, or somebody else's by part of its name, whenever that is there.

A keyboard may be plugged in later, pulled out in the middle of a note and plugged in again. `change` is called about
once a second; what it finds is said in plain words, and what was held is over: an empty message tells the sink.
On JACK our own port is there in any case, and is connected to the named one.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Sequence
from typing import Any, Final

import rtmidi

from bridge.player.jack_watch import JackWatch
from bridge.player.ports import InputNews, InputSink, PortError
from bridge.player.stamps import DriverStamps

FAULTS: Final = (rtmidi.RtMidiError, SystemError, RuntimeError, OSError, ValueError)
UNHEARD: Final = frozenset({0xF0, 0xF1, 0xFE})  # system exclusive, time code, active sensing
ALSA_CLIENTS: Final = pathlib.Path("/proc/asound/seq/clients")


class InputPort:
    """One input, own or named."""

    def __init__(
        self,
        kind: str,
        api: int,
        client: str,
        name: str,
        sink: InputSink,
        watch: JackWatch | None,
        *,
        name_taken: bool = False,
    ) -> None:
        """Open it; a named port that is not there is waited for.

        Args:
            kind: ``alsa jack coremidi winmm``.
            api: python-rtmidi's number of it.
            client: our name, "Barline".
            name: "`client` in" for our own port, else part of the name of the port to listen to.
            sink: gets every message, on the system's thread; an empty one when the port has gone.
            watch: on JACK.
            name_taken: whether an output is called as our own port is.

        Raises:
            PortError: our own port cannot be had.
        """
        self._kind, self._api, self._client, self._sink, self._watch = kind, api, client, sink, watch
        self._own = f"{client} in"
        # On JACK a client is known by its name: where that is an output's, ours has one that no voice can have.
        self._own_client = f"{self._own} (input)" if kind == "jack" and name_taken else self._own
        # Windows has no ports of one's own: there, one of that name is waited for
        self._wanted = name if name != self._own or kind == "winmm" else ""
        self._source = ""
        self._input: Any = None
        self._looker: Any = None
        self._connections = 0
        self._said_missing = False
        if not self._wanted or kind == "jack":
            self._input = self._opened(None)

    def change(self) -> InputNews | None:
        """Look who is there; the news, or None."""
        if not self._wanted:
            before, self._connections = self._connections, self._connected_to_us()
            if self._connections < before:
                self._lost()
            return None
        here = self._here()
        if self._source:
            if self._source in here:
                return None
            gone, self._source = self._source, ""
            self._let_go()
            self._lost()
            return self._news(f"{gone} has gone; it is listened to again when it is back")
        found = next((name for name in here if self._wanted.lower() in name.lower() and not self._is_ours(name)), None)
        if found is not None and self._take(found, here.index(found)):
            self._source = found
            return self._news(found)
        if self._said_missing:
            return None
        self._said_missing = True
        why = f"no port called {self._wanted} yet" if found is None else f"{found} cannot be opened yet"
        return self._news(f"{why}; still looking")

    def close(self) -> None:
        """Close the port."""
        if self._input is not None:
            self._input.close_port()
            self._input.delete()
            self._input = None

    # -- inside -------------------------------------------------------------------------------------------------------

    def _news(self, text: str) -> InputNews:
        return InputNews(text, self._input is not None)

    def _here(self) -> list[str]:
        """The ports one can listen to."""
        if self._watch is not None:
            return self._watch.midi_sources()
        try:
            self._looker = self._looker or rtmidi.MidiIn(self._api, f"{self._client} look")
            return [str(name) for name in self._looker.get_ports()]
        except FAULTS:
            return []

    def _is_ours(self, name: str) -> bool:
        return self._kind != "winmm" and name.startswith(f"{self._client} ")

    def _take(self, name: str, number: int) -> bool:
        if self._watch is not None:
            return self._watch.connect(name, f"{self._own_client}:{self._own}")
        try:
            self._input = self._opened(number)
        except PortError:
            return False
        return True

    def _let_go(self) -> None:
        if self._watch is None:
            self.close()

    def _lost(self) -> None:
        self._sink(time.perf_counter_ns(), ())

    def _connected_to_us(self) -> int:
        if self._watch is not None:
            return self._watch.connections(f"{self._own_client}:{self._own}")
        if self._kind == "alsa":
            return alsa_connections(alsa_clients(), self._own, "Connected From:")
        return 0

    def _opened(self, number: int | None) -> Any:
        """A MidiIn that hands everything on: our own port, or the one of that number.

        Raises:
            PortError: it cannot be had.
        """
        stamps, sink = DriverStamps(), self._sink

        def received(event: tuple[Sequence[int], float], _data: object) -> None:
            now_ns = time.perf_counter_ns()
            message, delta_s = event
            stamp_ns = stamps.of(now_ns, delta_s)
            if message and message[0] not in UNHEARD:
                sink(stamp_ns, message)

        try:
            port = rtmidi.MidiIn(self._api, self._own_client)
            # nothing is filtered in the driver: the time between two events would be lost with the events in between
            port.ignore_types(sysex=False, timing=False, active_sense=False)
            port.set_callback(received)
            if number is None:
                port.open_virtual_port(self._own)
            else:
                port.open_port(number)
        except FAULTS as fault:
            raise PortError(f"MIDI input {self._own}: {fault}") from fault
        return port


def alsa_clients() -> str:
    """The kernel's listing of ALSA's clients and what they are connected to; empty where there is none."""
    try:
        return ALSA_CLIENTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def alsa_connections(clients: str, name: str, which: str) -> int:
    """Connections of the client `name` in the kernel's listing: ``Connecting To: 20:0, 24:0`` or ``Connected From: …``
    lines.
    """
    count, mine = 0, False
    for line in clients.splitlines():
        if line.startswith("Client"):
            mine = f'"{name}"' in line
        elif mine and line.strip().startswith(which):
            count += line.count(":") - 1
    return count
