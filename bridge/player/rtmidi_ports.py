"""MIDI ports of the system through python-rtmidi: ALSA, JACK and CoreMIDI (virtual ports), Windows MM (existing ones).

Client and port carry the same name, so that after every restart a listing shows ``Barline melody:Barline melody``.
A port whose system has died is left alone, not closed: on JACK closing waits a second for a server that is not there,
holding Python's lock, and libjack frees such clients itself when the next one is opened.
"""

from __future__ import annotations

import pathlib
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

import rtmidi

from bridge.player.inputs import FAULTS, InputPort, alsa_clients, alsa_connections
from bridge.player.jack_watch import JackWatch
from bridge.player.ports import LOCAL_LEAD_NS, InputNews, InputSink, Port, PortError

APIS: Final = {
    "alsa": rtmidi.API_LINUX_ALSA,
    "jack": rtmidi.API_UNIX_JACK,
    "coremidi": rtmidi.API_MACOSX_CORE,
    "winmm": rtmidi.API_WINDOWS_MM,
}
_ALSA_DEVICE: Final = pathlib.Path("/dev/snd/seq")
_left_alone: Final[list[Any]] = []  # ports of systems that died: their destructors must not run, see above


def candidates(wanted: str) -> list[str]:
    """The systems to try for a configured backend, best first."""
    if wanted != "auto":
        return [wanted]
    if sys.platform == "darwin":
        return ["coremidi"]
    if sys.platform == "win32":
        return ["winmm"]
    return ["alsa", "jack"] if _ALSA_DEVICE.exists() else ["jack"]


class RtmidiPort:
    """An open output."""

    lead_ns = LOCAL_LEAD_NS

    def __init__(self, name: str, out: Any) -> None:
        """`out` is an open `rtmidi.MidiOut`."""
        self.name = name
        self.out = out
        self.send_now = out.send_message

    def send(self, message: Sequence[int], intended_ns: int) -> bool:  # noqa: ARG002 - the protocol's
        """Send one message.

        Raises:
            PortError: the system refused it.
        """
        try:
            self.send_now(message)
        except FAULTS as fault:
            raise PortError(f"MIDI port {self.name}: {fault}") from fault
        return True

    def close(self) -> None:
        """Close the port; what was sent before still leaves."""
        self.out.close_port()
        self.out.delete()


class RtmidiBackend:
    """One of the four systems."""

    def __init__(self, kind: str) -> None:
        """Connect to the system `kind`.

        Raises:
            PortError: it is not there (the text says what is missing).
        """
        self.kind = kind
        self.grain_ms = 0.0
        self.readable: socket.socket | None = None
        api = APIS[kind]
        if api not in rtmidi.get_compiled_api():
            raise PortError(f"this python-rtmidi knows no {kind}")
        self._api = api
        self._ports: list[RtmidiPort] = []
        self._input: InputPort | None = None
        self._watch: JackWatch | None = None
        if kind == "alsa" and not _ALSA_DEVICE.exists():
            raise PortError("no ALSA sequencer here (/dev/snd/seq is missing)")
        if kind == "jack":
            try:
                self._watch = JackWatch("Barline (watch)")
                self.grain_ms = self._watch.period_ms()
            except OSError as fault:
                raise PortError(str(fault)) from fault

    def attend(self) -> None:
        """Nothing to do: what comes in comes on the system's thread."""

    def open_all(self, client: str, names: Sequence[str], input_name: str | None, sink: InputSink) -> list[Port]:
        """All outputs and the input.

        Raises:
            PortError: one of them cannot be had; the others are closed again.
        """
        try:
            ports = [self._open_output(client, name) for name in names]
            if input_name is not None:
                taken = "in" in names
                self._input = InputPort(self.kind, self._api, client, input_name, sink, self._watch, name_taken=taken)
        except PortError:
            self.close()
            raise
        return ports

    def _open_output(self, client: str, voice: str) -> Port:
        """A virtual port "CLIENT VOICE"; on Windows the existing port whose name contains that, else contains CLIENT.

        Raises:
            PortError: it cannot be had.
        """
        name = f"{client} {voice}"
        try:
            out = rtmidi.MidiOut(self._api, name)
            if self.kind == "winmm":
                number = _existing(out.get_ports(), name, client)
                name = str(out.get_port_name(number))
                twin = next((port for port in self._ports if port.name == name), None)
                if twin is not None:
                    return twin  # one loopback port serves several voices
                out.open_port(number)
            else:
                out.open_virtual_port(name)
        except FAULTS as fault:
            raise PortError(f"MIDI port {name}: {fault}") from fault
        port = RtmidiPort(name, out)
        self._ports.append(port)
        return port

    def input_change(self) -> InputNews | None:
        """News of the input port; None where there is none."""
        return None if self._input is None else self._input.change()

    def has_port(self, client: str, voice: str) -> bool:
        """Whether a port of that name exists already, perhaps of a predecessor that is just going (JACK only)."""
        name = f"{client} {voice}"
        return self._watch is not None and self._watch.has_port(f"{name}:{name}")

    def vanished(self) -> bool:
        """Whether a port that was opened is gone from the system."""
        if self._watch is not None:
            return not all(self._watch.has_port(_full_name(port)) for port in self._ports)
        if self.kind == "alsa":
            clients = alsa_clients()
            return not all(f'"{port.name}"' in clients for port in self._ports)
        if self.kind == "winmm" and self._ports:
            present = self._ports[0].out.get_ports()
            return not all(port.name in present for port in self._ports)
        return False

    def listeners(self, port: Port) -> int | None:
        """Connections of a port; None on systems that do not tell."""
        if self._watch is not None and isinstance(port, RtmidiPort):
            return self._watch.connections(_full_name(port))
        if self.kind == "alsa":
            return alsa_connections(alsa_clients(), port.name, "Connecting To:")
        return None

    def close(self) -> None:
        """Close all ports, or leave them alone where their system has died."""
        if self.vanished():
            _left_alone.extend([*self._ports, self._input, self._watch])
        else:
            for port in self._ports:
                port.close()
            if self._input is not None:
                self._input.close()
            if self._watch is not None:
                self._watch.close()
        self._ports, self._input, self._watch = [], None, None


def _full_name(port: RtmidiPort) -> str:
    return f"{port.name}:{port.name}"


def _existing(present: Sequence[str], *wanted: str) -> int:
    """The number of the first existing port whose name contains the first of `wanted` that any contains.

    Raises:
        PortError: none does.
    """
    for part in wanted:
        for number, name in enumerate(present):
            if part.lower() in name.lower():
                return number
    raise PortError(f"no MIDI port here is called {wanted[0]}: make one of that name, with loopMIDI for instance")
