"""The tempo map: one straight line between absolute quarter-note beats and nanoseconds, with the bar lines on it.

Everything musical is kept in beats and everything physical in `time.perf_counter_ns`; a `TempoMap` is the only bridge
between the two. A change of tempo, position or metre is a new map, never a change of an old one.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Final

NS_PER_MINUTE: Final = 60e9
NEARLY_BEATS: Final = 1e-6  # 0.5 us at 120 BPM: what float sums may be off by, and nobody can hear
STEP_BEATS: Final = 0.25  # contract 3.4: the grid of launch "step"
LAUNCH_KINDS: Final = ("now", "step", "beat", "bar", "loop")


@dataclasses.dataclass(frozen=True, slots=True)
class TempoMap:
    """``beat = anchor_beats + (now - anchor_ns) * tempo_bpm / 60e9`` while playing, ``anchor_beats`` while not."""

    anchor_ns: int
    anchor_beats: float
    tempo_bpm: float
    playing: bool
    numerator: int = 4
    denominator: int = 4
    bar_origin_beats: float = 0.0

    @property
    def bar_beats(self) -> float:
        """Length of a bar in quarter notes."""
        return self.numerator * 4 / self.denominator

    def beat_at_ns(self, now_ns: int) -> float:
        """The song position, in quarter notes, at a moment."""
        if not self.playing:
            return self.anchor_beats
        return self.anchor_beats + (now_ns - self.anchor_ns) * self.tempo_bpm / NS_PER_MINUTE

    def ns_at_beat(self, beats: float) -> int:
        """The moment of a song position, to the nearest ns, on the line the map draws while it plays."""
        return self.anchor_ns + round((beats - self.anchor_beats) * NS_PER_MINUTE / self.tempo_bpm)

    def rebased(self, now_ns: int) -> TempoMap:
        """The same line, anchored at `now_ns`, so that it may bend from there on."""
        return dataclasses.replace(self, anchor_ns=now_ns, anchor_beats=self.beat_at_ns(now_ns))

    def later(self, shift_ns: int) -> TempoMap:
        """Every position `shift_ns` later (earlier when negative)."""
        return dataclasses.replace(self, anchor_ns=self.anchor_ns + shift_ns)

    def bar_line_at_or_before(self, beats: float) -> float:
        """The last bar line that is not after `beats`."""
        bars = math.floor((beats - self.bar_origin_beats) / self.bar_beats + NEARLY_BEATS)
        return self.bar_origin_beats + bars * self.bar_beats

    def first_boundary(self, kind: str, at_beats: float, loop: tuple[float, float] | None) -> float:
        """The first boundary of launch `kind` at or after `at_beats` (contract 3.4).

        Beats (quarter notes) and steps are counted from the bar's line, and every bar line is one: after a bar of 7/8
        they begin anew half a beat early, wherever the song was entered.

        Args:
            kind: one of `LAUNCH_KINDS`.
            at_beats: song position from which to look.
            loop: (start, length) in beats of the loop that sounds, None where none does; only "loop" looks at it.

        Raises:
            ValueError: no such kind.
        """
        if kind == "now":
            return at_beats
        if kind == "loop" and loop is not None:
            return _next(at_beats, *loop)
        if kind in ("bar", "loop"):
            return _next(at_beats, self.bar_origin_beats, self.bar_beats)
        if kind not in ("beat", "step"):
            raise ValueError(f"launch {kind!r}: one of {', '.join(LAUNCH_KINDS)}")
        line = self.bar_line_at_or_before(at_beats)
        return min(_next(at_beats, line, 1.0 if kind == "beat" else STEP_BEATS), line + self.bar_beats)


def _next(at_beats: float, origin_beats: float, step_beats: float) -> float:
    """The first of the lines `step_beats` apart, one of which is the origin, at or after a position."""
    return origin_beats + math.ceil((at_beats - origin_beats) / step_beats - NEARLY_BEATS) * step_beats
