"""MIDI clock out: 24 ticks a beat with start, continue, stop and song position, from the player's own schedule."""

from __future__ import annotations

import math
from typing import Final

from bridge import limits
from bridge.player.outputs import Outputs
from bridge.timing.changes import Change, Shift
from bridge.timing.midi import CONTINUE, SONG_POSITION, START, STOP, TICK
from bridge.timing.tempo_map import NEARLY_BEATS, TempoMap

SIXTEENTHS: Final = 4  # song position counts sixteenths
POSITIONS: Final = 0x4000  # and has 14 bits: after 1,024 bars of 4/4 it begins again, which keeps the bar and the beat


class ClockOut:
    """Says to devices where the song is. After a move, ticks begin at the next sixteenth, where "continue" is sent.

    A device counts ticks: so where some cannot be sent in their place (after a stall, or when a nudge has moved the
    song ahead), the new place is told as after a move.
    """

    def __init__(self, outputs: Outputs) -> None:
        """Silent until the clock runs."""
        self._outputs = outputs
        self._tick = 0
        self._begin_at: int | None = None  # the tick before which "start" or "continue" is to be sent

    def next_due_ns(self, tempo_map: TempoMap) -> int | None:
        """When the next tick is due; None while the clock stands."""
        return tempo_map.ns_at_beat(self._tick / limits.CLOCK_TICKS_PER_BEAT) if tempo_map.playing else None

    def advance(self, tempo_map: TempoMap, now_ns: int) -> None:
        """Send the ticks that are due."""
        while (due_ns := self.next_due_ns(tempo_map)) is not None and due_ns <= now_ns:
            if now_ns - due_ns > limits.LATEST_NS:
                self.begin_again(tempo_map, now_ns)
                continue
            if self._begin_at == self._tick:
                self._outputs.realtime((START if self._tick == 0 else CONTINUE,), due_ns)
                self._begin_at = None
            self._outputs.realtime((TICK,), due_ns)
            self._tick += 1

    def change(self, change: Change, now_ns: int) -> None:
        """Follow the clock's moves."""
        if change.shift is Shift.SLIDE:
            return
        if change.shift in (Shift.STOP, Shift.LEAP):
            self._outputs.realtime((STOP,), now_ns)
        if change.shift is not Shift.STOP:
            self._place(change.from_beats, now_ns)

    def begin_again(self, tempo_map: TempoMap, now_ns: int) -> None:
        """Tell the place anew: ticks were missed, or whoever listens now has heard none."""
        if tempo_map.playing:
            self._outputs.realtime((STOP,), now_ns)
            self._place(tempo_map.beat_at_ns(now_ns), now_ns)

    def _place(self, beats: float, now_ns: int) -> None:
        """Ticks begin at the first sixteenth from `beats` on."""
        sixteenth = max(0, math.ceil((beats - NEARLY_BEATS) * SIXTEENTHS))
        if sixteenth:
            position = sixteenth % POSITIONS
            self._outputs.realtime((SONG_POSITION, position & 0x7F, position >> 7), now_ns)
        self._tick = self._begin_at = sixteenth * limits.CLOCK_TICKS_PER_BEAT // SIXTEENTHS
