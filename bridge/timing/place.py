"""Where the song is on a clock that only gives tempo and phase: moved by whole steps to where somebody else has it."""

from __future__ import annotations

from typing import Final

LARGEST_STEP_BEATS: Final = 1.0  # a clock that knows its bars may still count them otherwise than Live does
APART_SHARE: Final = 0.6  # of a step: nearer than this two clocks agree
REPORTS: Final = 8  # so many in a row must say the same: at 60 a second, two tenths of a second


class SongPlace:
    """How far the song lies from the clock's own count, in beats."""

    def __init__(self) -> None:
        """As the clock counts."""
        self.beats = 0.0
        self._apart = 0

    def reset(self) -> None:
        """As the clock counts, from now on."""
        self.beats, self._apart = 0.0, 0

    def settle(self, apart_beats: float, grid_beats: float) -> None:
        """Move the song by `apart_beats`, in whole steps."""
        step = min(grid_beats, LARGEST_STEP_BEATS)
        self.beats += round(apart_beats / step) * step
        self._apart = 0

    def compare(self, apart_beats: float, grid_beats: float, *, at_once: bool) -> bool:
        """Whether the song has been moved, because a report has it `apart_beats` ahead.

        Args:
            apart_beats: how far ahead of us the song is reported to be.
            grid_beats: the clock is certain but for multiples of this.
            at_once: the reporter says that it has jumped; else several must agree.
        """
        step = min(grid_beats, LARGEST_STEP_BEATS)
        if abs(apart_beats) < APART_SHARE * step:
            self._apart = 0
            return False
        self._apart += 1
        if self._apart < REPORTS and not at_once:
            return False
        self.settle(apart_beats, grid_beats)
        return True
