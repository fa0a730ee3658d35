"""A listener on other programs' MIDI ports: how the soak and the tests judge the player from outside."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import rtmidi

from bridge.player.ports import PortError
from bridge.player.rtmidi_ports import APIS
from bridge.timing.midi import CHANNEL, KIND, NOTE_OFF, NOTE_ON


@dataclass
class Tally:
    """What was heard of notes; `doubled`: ons of a note that sounded already, `stray`: offs of one that did not."""

    ons: int = 0
    offs: int = 0
    doubled: int = 0
    stray: int = 0
    open_notes: set[tuple[int, int]] = field(default_factory=set)

    def hear(self, message: Sequence[int]) -> None:
        """Count one note-on or note-off."""
        key = (message[0] & CHANNEL, message[1])
        if message[0] & KIND == NOTE_ON and message[2] > 0:
            self.ons += 1
            self.doubled += key in self.open_notes
            self.open_notes.add(key)
        else:
            self.offs += 1
            self.stray += key not in self.open_notes
            self.open_notes.discard(key)


class Listener:
    """Connected to one output port of the system; hears notes on the system's thread."""

    def __init__(self, backend: str, port_name: str, keep: bool = False) -> None:
        """Connect to the output whose name contains `port_name`; with `keep`, every message is kept with its
        time, MIDI clock included.

        Raises:
            PortError: there is none, or the system is not there.
        """
        self.tally = Tally()
        self.kept: list[tuple[int, list[int]]] = []
        self._keep = keep
        try:
            self._input: Any = rtmidi.MidiIn(APIS[backend], f"listener {port_name}")
            names = [str(name) for name in self._input.get_ports()]
            numbers = [number for number, name in enumerate(names) if port_name in name]
            if not numbers:
                raise PortError(f"no MIDI output {port_name}; there are: {', '.join(names) or 'none'}")
            self._input.ignore_types(timing=not keep)
            self._input.set_callback(self._heard)
            self._input.open_port(numbers[0])
        except rtmidi.RtMidiError as fault:
            raise PortError(f"MIDI system {backend}: {fault}") from fault

    def _heard(self, event: tuple[list[int], float], _data: object) -> None:
        message = event[0]
        if self._keep:
            self.kept.append((time.perf_counter_ns(), message))
        if message[0] & KIND in (NOTE_OFF, NOTE_ON):
            self.tally.hear(message)

    def close(self) -> None:
        """Disconnect."""
        self._input.close_port()
        self._input.delete()
