"""The output side of the player: every message goes through here, so the note-off invariant is kept here.

For each port, channel and pitch at most one note is open, and it has an owner. A stroke on an open key closes it first;
an off by anyone but the owner is not sent. The ledger is marked before a note-on leaves and cleared after its note-off
has; the record gets every message with the moment it was meant for and the moment the send returned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bridge.player.ledger import Ledger, OpenNote
from bridge.player.ports import LOCAL_LEAD_NS, Port, PortError, SilentPort
from bridge.player.record import PlayedWriter
from bridge.timing.midi import ALL_NOTES_OFF, ALL_SOUND_OFF, CONTROL_CHANGE, NOTE_OFF, NOTE_ON

CLOCK_PORT: Final = "clock"
Owner = tuple[str, int]
"""Voice and part."""


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Which port and channel each voice's parts play on. Ports are counted in the order of `names`."""

    client: str
    names: tuple[str, ...]
    channels: Mapping[Owner, tuple[int, int]]

    @property
    def port_names(self) -> list[str]:
        """``Barline melody`` and so on."""
        return [f"{self.client} {name}" for name in self.names]


def layout_for(client: str, voices: Mapping[str, Mapping[int, int]], clock_out: bool) -> Layout:
    """One port per voice, and one for the clock when it is on.

    Args:
        client: the configured name, "Barline".
        voices: part -> MIDI channel 0-15, by voice.
        clock_out: whether there is a clock port, the last one.
    """
    names = (*voices, CLOCK_PORT) if clock_out else tuple(voices)
    channels = {
        (voice, part): (port, channel)
        for port, (voice, parts) in enumerate(voices.items())
        for part, channel in parts.items()
    }
    return Layout(client, names, channels)


class Outputs:
    """The open ports (None where one is missing) and what sounds on them."""

    def __init__(
        self,
        layout: Layout,
        ledger: Ledger,
        record: PlayedWriter,
        now_ns: Callable[[], int],
        hold_until: Callable[[int], None] | None = None,
    ) -> None:
        """Without ports; see `plug`.

        Args:
            layout: ports and channels.
            ledger: where open notes are marked.
            record: where sent messages are written down.
            now_ns: the clock that stamps them.
            hold_until: returns at a moment that is at most `lead_ns` ahead; None: nothing is ever ahead of its time.
        """
        self.layout = layout
        self.ports: list[Port | None] = [None] * len(layout.names)
        self.lost: list[str] = []  # why, for each port that has refused a message: said by who is in no hurry
        self.tap: Callable[[int, Sequence[int], int], None] | None = None
        self._ledger = ledger
        self._record = record
        self._now_ns = now_ns
        self._hold_until = hold_until
        self.lead_ns = 0
        self._open: dict[OpenNote, Owner] = {}
        self._same_port = list(range(len(layout.names)))
        self._silent = [False] * len(layout.names)
        self._here = [True] * len(layout.names)

    @property
    def note_ports(self) -> list[int]:
        """The ports that voices play on, each once."""
        return sorted({self._same_port[port] for port, _ in self.layout.channels.values()})

    # -- notes --------------------------------------------------------------------------------------------------------

    def note_on(self, owner: Owner, pitch: int, velocity: int, intended_ns: int) -> None:
        """Strike a key; if it is open it is closed first. Nothing on a port that is missing."""
        key = self._key(owner, pitch)
        if key is None:
            return
        if key in self._open:
            self._close(key, intended_ns)
        if self.ports[key.port] is None:
            return
        if not self._silent[key.port]:  # what nobody can hear need not be closed by anybody
            self._ledger.mark(key)
        self._open[key] = owner
        self._send(key.port, (NOTE_ON | key.channel, pitch, velocity), intended_ns)

    def note_off(self, owner: Owner, pitch: int, intended_ns: int) -> None:
        """Let a key go, if it is this owner's to let go."""
        key = self._key(owner, pitch)
        if key is not None and self._open.get(key) == owner:
            self._close(key, intended_ns)

    def close_all(self, intended_ns: int) -> int:
        """Close every open note with a real note-off; how many there were."""
        keys = list(self._open)
        for key in keys:
            self._close(key, intended_ns)
        return len(keys)

    def silence_channels(self, intended_ns: int) -> None:
        """CC 123 and CC 120 on every channel in use."""
        places = {(self._same_port[port], channel) for port, channel in self.layout.channels.values()}
        for port, channel in sorted(places):
            for controller in (ALL_NOTES_OFF, ALL_SOUND_OFF):
                self._send(port, (CONTROL_CHANGE | channel, controller, 0), intended_ns)

    def every_note_off(self, port: int, channel: int, intended_ns: int) -> None:
        """All 128 note-offs of one channel, except of notes that sound (again)."""
        for pitch in range(128):
            if OpenNote(port, channel, pitch) not in self._open:
                self._send(port, (NOTE_OFF | channel, pitch, 0), intended_ns)

    def realtime(self, message: Sequence[int], intended_ns: int) -> None:
        """A clock or transport message, to the clock's port."""
        self._send(len(self.ports) - 1, message, intended_ns)

    # -- ports come and go --------------------------------------------------------------------------------------------

    def plug(self, ports: Sequence[Port]) -> None:
        """These are the ports from now on, one for each of the layout's names (one port may serve several)."""
        self.unplug()
        self.ports = list(ports)
        self.lost = []
        self._silent = [isinstance(port, SilentPort) for port in ports]
        self._here = [port.lead_ns <= LOCAL_LEAD_NS for port in ports]
        self.lead_ns = max((port.lead_ns for port in ports), default=0)
        self._same_port = [next(i for i, twin in enumerate(ports) if twin is port) for port in ports]

    def unplug(self) -> None:
        """The ports are gone; what was open on them is owed until they are back."""
        for port in range(len(self.ports)):
            self._lose_notes(port)
        self.ports = [None] * len(self.layout.names)

    def close_owed(self, port: int, *, heard: bool) -> None:
        """Note-offs for all that is owed on a port, except for keys that sound now: theirs are to come. It stays owed
        until they were sent and somebody `heard` them.
        """
        now_ns = self._now_ns()
        for key in sorted(key for key in self._ledger.owed if key.port == port):
            closed = key in self._open or self._send(port, (NOTE_OFF | key.channel, key.pitch, 0), now_ns)
            if closed and heard:
                self._ledger.settle(key)

    @property
    def owed_ports(self) -> set[int]:
        """The ports on which notes are owed."""
        return {key.port for key in self._ledger.owed}

    # -- inside -------------------------------------------------------------------------------------------------------

    def _key(self, owner: Owner, pitch: int) -> OpenNote | None:
        place = self.layout.channels.get(owner)
        return None if place is None else OpenNote(self._same_port[place[0]], place[1], pitch)

    def _close(self, key: OpenNote, intended_ns: int) -> None:
        if self._send(key.port, (NOTE_OFF | key.channel, key.pitch, 0), intended_ns):
            del self._open[key]
            if not self._silent[key.port]:
                self._ledger.clear(key)

    def _lose_notes(self, port: int) -> None:
        for key in [key for key in self._open if key.port == port]:
            del self._open[key]
            if not self._silent[port]:
                self._ledger.lose(key)

    def _send(self, port: int, message: Sequence[int], intended_ns: int) -> bool:
        """Whether it was sent. A port that refuses it has gone: its notes are owed, and `lost` says why."""
        out = self.ports[port]
        if out is None:
            return False
        if self._hold_until is not None and self._here[port]:
            self._hold_until(intended_ns)
        try:
            sent_here = out.send(message, intended_ns)
        except PortError as fault:
            self._lose_notes(port)
            self.ports[port] = None
            self.lost.append(str(fault))
            return False
        if sent_here:
            self._record.add(intended_ns, self._now_ns(), port, message)
        if self.tap is not None:
            self.tap(port, message, intended_ns)
        return True
