"""What the player plays, told to the preview process as it is played, and the click, which only that process plays."""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from bridge import limits
from bridge.music.notes import PART_NAMES
from bridge.player.outputs import Layout
from bridge.preview import wire
from bridge.timing.changes import Change, Shift
from bridge.timing.midi import ALL_NOTES_OFF, CHANNEL, CONTROL_CHANGE, KIND, NOTE_OFF, NOTE_ON
from bridge.timing.tempo_map import NEARLY_BEATS, TempoMap

_BEAT_PITCH: Final = 77
_CLICK_VELOCITY: Final = 100


def roles_of(layout: Layout, voices: Mapping[str, str]) -> dict[tuple[int, int], wire.Role]:
    """What each port and channel plays, by the voices' models: a model of several parts by part, others by name."""
    roles: dict[tuple[int, int], wire.Role] = {}
    for (voice, part), place in layout.channels.items():
        first = voices[voice].partition("-")[0]
        roles[place] = next((role for role in PART_NAMES if role == first), PART_NAMES[part])
    return roles


class PreviewTap:
    """Sends datagrams that nobody waits for; silent until it is told where to."""

    def __init__(self, token: str, roles: Mapping[tuple[int, int], wire.Role], *, click: bool) -> None:
        """`token` is the supervisor's, in hexadecimal; `roles` by port and channel."""
        self._token = bytes.fromhex(token)
        self._roles = roles
        self._click = click
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._to: tuple[str, int] | None = None
        self._due_beats = 0.0

    def aim(self, port: int) -> None:
        """The preview process listens at this loopback port from now on."""
        self._to = ("127.0.0.1", port)

    def sent(self, port: int, message: Sequence[int], intended_ns: int) -> None:
        """A message has left by a port."""
        status = message[0]
        role = self._roles.get((port, status & CHANNEL))
        if role is None or self._to is None:
            return
        kind = status & KIND
        if kind == NOTE_ON:
            self._tell("strike", role, message[1], message[2], intended_ns)
        elif kind == NOTE_OFF:
            self._tell("release", role, message[1], 0, intended_ns)
        elif kind == CONTROL_CHANGE and message[1] == ALL_NOTES_OFF:
            self._tell("silence", role, 0, 0, intended_ns)

    # -- the click ----------------------------------------------------------------------------------------------------

    def next_due_ns(self, tempo_map: TempoMap) -> int | None:
        """When the next click is due; None where there is none to come."""
        if not (self._click and self._to and tempo_map.playing):
            return None
        return tempo_map.ns_at_beat(self._due_beats)

    def advance(self, tempo_map: TempoMap, now_ns: int) -> None:
        """Click the beats that are due."""
        while (due_ns := self.next_due_ns(tempo_map)) is not None and due_ns <= now_ns:
            here = self._due_beats
            is_first = abs(here - tempo_map.bar_line_at_or_before(here)) < NEARLY_BEATS
            if now_ns - due_ns <= limits.LATEST_NS:
                pitch = wire.CLICK_ACCENT_PITCH if is_first else _BEAT_PITCH
                self._tell("strike", "click", pitch, _CLICK_VELOCITY, due_ns)
            self._due_beats = _first_click(tempo_map, here + 2 * NEARLY_BEATS)

    def change(self, change: Change, tempo_map: TempoMap) -> None:
        """Follow the clock's moves, and its metre."""
        moved = change.shift in (Shift.START, Shift.LEAP)
        self._due_beats = _first_click(tempo_map, change.from_beats if moved else self._due_beats)

    def _tell(self, kind: wire.Kind, role: wire.Role, pitch: int, velocity: int, intended_ns: int) -> None:
        assert self._to is not None
        datagram = wire.pack(self._token, wire.Sounded(kind, role, pitch, velocity, intended_ns))
        with contextlib.suppress(OSError):  # nobody there, or it does not keep up: the music does not depend on it
            self._socket.sendto(datagram, self._to)


def _first_click(tempo_map: TempoMap, at_beats: float) -> float:
    """The first beat of the metre (an eighth in 7/8) at or after a position; every bar line is one."""
    line = tempo_map.bar_line_at_or_before(at_beats)
    step = 4 / tempo_map.denominator
    inside = math.ceil((at_beats - line) / step - NEARLY_BEATS)
    return line + min(inside * step, tempo_map.bar_beats)
