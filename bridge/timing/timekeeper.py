"""Which clock is in force: the internal one or the one that is followed; one effective tempo map comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from bridge import limits, messages
from bridge.timing import internal
from bridge.timing.changes import Change, Shift
from bridge.timing.live import SLIDE_MS, LiveFollower
from bridge.timing.tempo_map import TempoMap

SOURCES: Final = ("auto", "internal", "live")
LOST_NS: Final = 5_000_000_000  # Live's reports pause while one of its menus is open; after this we keep time ourselves
FORGET_NS: Final = 1 << 62


class Timekeeper:
    """Holds the sources and gives the map in force. Every call that may change it returns what changed, or None."""

    def __init__(self, source: str, tempo_bpm: float, beats_per_bar: int, offset_ms: float) -> None:
        """The clock stands at beat 0.

        Raises:
            ValueError: an unknown source or a tempo out of range.
        """
        self.source = _checked_source(source)
        self.offset_ms = offset_ms
        self.map = internal.standing(tempo_bpm, beats_per_bar)
        self.followed = False
        self.error_ms = 0.0
        self._live = LiveFollower()

    @property
    def source_in_force(self) -> str:
        """``live`` while Live is followed or is the only source allowed, else ``internal``."""
        return "live" if self.followed or self.source == "live" else "internal"

    def next_check_ns(self) -> int:
        """When `check` is due: a followed clock may be lost by then."""
        return self._live.heard_ns + LOST_NS if self.followed else FORGET_NS

    def check(self, now_ns: int) -> Change | None:
        """Go on by ourselves, at the last tempo and phase, when the followed clock has been silent for long."""
        if now_ns < self.next_check_ns():
            return None
        return self._let_go(now_ns)

    def set_source(self, source: str, now_ns: int) -> Change | None:
        """Choose the source; the position goes on until the new source says otherwise.

        Raises:
            ValueError: unknown.
        """
        self.source = _checked_source(source)
        if source == "internal" and self.followed:
            return self._let_go(now_ns)
        return Change(Shift.SLIDE)

    def set_tempo(self, tempo_bpm: float, now_ns: int) -> Change | None:
        """The internal tempo, at the same phase; nothing while a clock is followed, which has its own.

        Raises:
            ValueError: out of range.
        """
        if self.followed:
            return None
        self.map = internal.with_tempo(self.map, tempo_bpm, now_ns)
        return Change(Shift.SLIDE)

    def set_offset(self, offset_ms: float) -> Change | None:
        """Standing offset against a followed clock: positive sounds later."""
        moved_ns = round((offset_ms - self.offset_ms) * 1e6)
        self.offset_ms = offset_ms
        if not self.followed:
            return None
        self.map = self.map.later(moved_ns)
        return Change(Shift.SLIDE)

    def transport(self, action: str, now_ns: int) -> Change | None:
        """``play``, ``stop``, ``continue`` of the internal clock; nothing while a clock is followed.

        Raises:
            ValueError: another action.
        """
        if self.followed:
            return None
        self.map, change = internal.moved(self.map, action, now_ns)
        return change

    def live(self, report: messages.LiveReport) -> Change | None:
        """A report of Live's device; heeded when the source is ``auto`` or ``live``."""
        change = self._live.report(report)
        heard = self._live.map
        if self.source == "internal" or heard is None:
            return None
        before, first = self.map, not self.followed
        self.followed = True
        self.map = heard.later(round(self.offset_ms * 1e6)) if self.offset_ms else heard
        self.error_ms = self._live.error_ms
        if not first:
            return change
        started_at = change.from_beats if change is not None and change.shift is Shift.START else None
        return self._joined(before, report.arrival_ns, started_at)

    def midi_in(self, stamp_ns: int, message: Sequence[int]) -> Change | None:  # noqa: ARG002
        """A MIDI clock or transport message; no MIDI clock is followed so far."""
        return None

    def restore(self, tempo_map: TempoMap, now_ns: int) -> Change:
        """The map as it was before this process was restarted; it runs on from where it would be now."""
        before, self.map = self.map, tempo_map
        if tempo_map.playing:
            shift = Shift.LEAP if before.playing else Shift.START
            return Change(shift, tempo_map.beat_at_ns(now_ns))
        return Change(Shift.STOP if before.playing else Shift.SLIDE)

    def state(self) -> messages.ClockState:
        """The map in force as it is told to the bridge."""
        present = self.map
        return messages.ClockState(
            self.source_in_force, present.playing, present.tempo_bpm, present.anchor_ns, present.anchor_beats,
            present.numerator, present.denominator, present.bar_origin_beats, self.error_ms, self.followed,
        )  # fmt: skip

    def _let_go(self, now_ns: int) -> Change:
        self.followed = False
        self.error_ms = 0.0
        self._live = LiveFollower()
        self.map = dataclasses.replace(self.map.rebased(now_ns), tempo_bpm=_within_range(self.map.tempo_bpm))
        return Change(Shift.SLIDE)

    def _joined(self, before: TempoMap, now_ns: int, started_at: float | None) -> Change:
        """The change from our own map to the followed one that has just been heard."""
        here = self.map.beat_at_ns(now_ns)
        if not self.map.playing:
            return Change(Shift.STOP if before.playing else Shift.SLIDE)
        if not before.playing:
            return Change(Shift.START, here if started_at is None else started_at)
        apart_ms = abs(before.beat_at_ns(now_ns) - here) * 60_000 / self.map.tempo_bpm
        return Change(Shift.SLIDE) if apart_ms < SLIDE_MS else Change(Shift.LEAP, here)


def _checked_source(source: str) -> str:
    if source not in SOURCES:
        raise ValueError(f"clock source {source!r}: one of {', '.join(SOURCES)}")
    return source


def _within_range(tempo_bpm: float) -> float:
    return min(max(tempo_bpm, limits.MIN_TEMPO_BPM), limits.MAX_TEMPO_BPM)
