"""Live's loop brace, which its device does not tell: seen in the leaps of the song, and expected after the second."""

from __future__ import annotations

import math
from typing import Final

from bridge.timing.tempo_map import NEARLY_BEATS, STEP_BEATS

SEEN_OFTEN: Final = 2  # one leap back may be a click on a locator
LATE_REPORT_NS: Final = 100_000_000  # reports made before the song went round arrive so long after it at most
BEFORE_BEATS: Final = 2.0  # and are of this last part of the brace: 100 ms at 999 BPM
PAST_BEATS: Final = 0.02  # 10 ms at 120 BPM: a report further past the end says that there is no brace any more


class Brace:
    """Where the song leaps back from, and to; believed once it has done so twice."""

    def __init__(self) -> None:
        """No leap seen."""
        self.start = 0.0
        self.length = 0.0
        self._seen = 0
        self._round_ns: int | None = None

    @property
    def end(self) -> float:
        """Where the song leaps back from."""
        return self.start + self.length

    def leapt(self, from_beats: float, by_beats: float, reach_beats: float) -> None:
        """The song has leapt.

        Args:
            from_beats: where it would be now without the leap.
            by_beats: how far, in whole steps.
            reach_beats: it happened this far before `from_beats` at most: the end of a brace is looked for there.
        """
        self._round_ns = None
        ends = (math.floor(from_beats / step + PAST_BEATS) * step for step in (1.0, STEP_BEATS))
        end = next((end for end in ends if from_beats - end <= reach_beats), None)
        if by_beats >= 0 or end is None:
            self._seen = 0
            return
        known = math.isclose(end, self.end) and math.isclose(-by_beats, self.length)
        self._seen = self._seen + 1 if known else 1
        self.start, self.length = end + by_beats, -by_beats

    def end_ahead(self, beats: float) -> float | None:
        """The end that the song will reach from `beats`; None where no brace is known, or it lies behind."""
        if self._seen < SEEN_OFTEN or beats >= self.end - NEARLY_BEATS:
            return None
        return self.end

    def gone_round(self, now_ns: int) -> None:
        """The song has gone round as expected."""
        self._round_ns = now_ns

    def unfolded(self, beats: float, now_ns: int) -> float:
        """A reported position; one from before the song went round is taken as so much before the brace's start."""
        if self._round_ns is None:
            return beats
        if now_ns - self._round_ns > LATE_REPORT_NS:
            self._round_ns = None
            return beats
        before = self.end - BEFORE_BEATS <= beats < self.end + PAST_BEATS and self.length > 2 * BEFORE_BEATS
        return beats - self.length if before else beats
