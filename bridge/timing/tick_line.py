"""The line through the ticks of a MIDI clock: when the newest was meant, and the time between two.

A straight line is fitted to the newest ticks, to many of them when they lie on one, to few when the tempo moves. How
many is decided by the data: beginning with few, the fit is widened as long as its confidence interval meets those of
all narrower fits (intersection of confidence intervals, Goldenshluger and Nemirovski 1997). So a steady clock with
10 ms of jitter is averaged over five beats, and a quiet one is followed through a ramp within a few ticks.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import Final

from bridge.timing.tick_count import SHORTEST_MS, TickCount

WIDTHS: Final = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # ticks
DEVIATIONS: Final = 2.5  # half a confidence interval
AHEAD: Final = 1.0  # ticks: the fits are compared where the next tick will be, which is where the line is used
LONE_JITTER_MS: Final = 0.02  # what a fit is uncertain by even where no jitter is seen


@dataclasses.dataclass(frozen=True, slots=True)
class TickLine:
    """Tick `number` was meant for `at_ms`, the next one for `period_ms` later."""

    number: int
    at_ms: float
    period_ms: float


class TickTracker:
    """Takes arrivals in, gives the line."""

    def __init__(self, grain_ms: float = 0.0) -> None:
        """No tick yet; `grain_ms`: see `TickCount`."""
        self._count = TickCount(grain_ms)
        self._ticks: collections.deque[tuple[int, float]] = collections.deque(maxlen=WIDTHS[-1])
        self.line: TickLine | None = None
        self.width = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        """See `TickCount.numbers`."""
        return self._count.numbers

    @property
    def jitter_ms(self) -> float:
        """Standard deviation of the arrivals, as seen of late."""
        return self._count.jitter_ms

    def arrived(self, at_ms: float) -> None:
        """A tick has come; `line` is there from the second on."""
        self._count.arrived(at_ms)
        self._ticks.append((0, at_ms))
        numbers = self._count.numbers
        for place, number in enumerate(reversed(numbers), start=1):
            if place > len(self._ticks):
                break
            self._ticks[-place] = (number, self._ticks[-place][1])
        if self._count.period_ms:
            self.line = self._fitted(numbers[-1])

    def _fitted(self, newest: int) -> TickLine:
        """The widest fit that agrees with all narrower ones."""
        count = sum_x = sum_xx = sum_y = sum_xy = 0.0
        lowest, highest = -math.inf, math.inf
        origin_ms = self._ticks[-1][1]
        best = TickLine(newest, origin_ms, self._count.period_ms)
        self.width = 1
        taken: int | None = None
        widths = iter(WIDTHS)
        width = next(widths)
        noise_ms = max(self.jitter_ms, LONE_JITTER_MS)
        for number, at_ms in reversed(self._ticks):
            if number == taken:
                continue  # sent twice: the first arrival of the two comes later in this order, and is left out
            taken = number
            x, y = float(number - newest), at_ms - origin_ms
            count += 1.0
            sum_x += x
            sum_xx += x * x
            sum_y += y
            sum_xy += x * y
            if count < width:
                continue
            spread = count * sum_xx - sum_x * sum_x
            period_ms = (count * sum_xy - sum_x * sum_y) / spread
            here_ms = (sum_y - period_ms * sum_x) / count
            ahead_ms = here_ms + AHEAD * period_ms
            away = AHEAD - sum_x / count
            deviation = noise_ms * math.sqrt(1.0 / count + away * away * count / spread)
            lowest = max(lowest, ahead_ms - DEVIATIONS * deviation)
            highest = min(highest, ahead_ms + DEVIATIONS * deviation)
            if lowest > highest or period_ms < SHORTEST_MS:
                break
            best, self.width = TickLine(newest, origin_ms + here_ms, period_ms), int(count)
            width = next(widths, WIDTHS[-1] + 1)
        return best
