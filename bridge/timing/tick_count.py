"""Which tick of a MIDI clock was that? A tick carries no number, and some are lost, sent twice, or come anyhow.

With 10 ms of jitter on ticks 21 ms apart a lost tick, a late one and a slower tempo look alike for a moment, so the
question is kept open: a few guesses live side by side, each a small Kalman filter (time of the tick, period) that
counted in its own way, and what comes next decides between them. As long as ticks come as expected there is one guess.

There are two kinds of uneven clock. With jitter every tick is off its own place in an even row, and a long interval is
followed by a short one; a clock that wanders sends each tick a while after the one before, more or less, and what is
off adds up. How alike neighbouring intervals are tells how much there is of either.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from typing import Final

from bridge import limits

WITHIN_GRAIN: Final = 0.55  # off by up to half a grain, and what the line itself is off by, is as likely as not at all
SHORTEST_MS: Final = 60_000 / (limits.MAX_TEMPO_BPM * limits.CLOCK_TICKS_PER_BEAT)
"""Between two ticks; two that are handed over in one moment are of no faster clock than that."""
QUIETEST_MS: Final = 0.05  # no clock's stamps are better than this here
FIRST_JITTER_MS: Final = 3.0  # supposed before enough ticks have come to see it
WALK_TICKS: Final = 128  # over so many a guess averages how alike neighbouring intervals are
SURELY: Final = 0.5  # of what even jitter would make them unlike: with less than this the clock is known to wander
OPEN_TICKS: Final = 16  # how far back the numbering may still change
FEWEST_LOST, MOST_LOST = 0.01, 0.25  # the share of ticks that are lost, as a guess has seen it
LOST_GAIN: Final = 1 / 96
JITTER_TICKS: Final = 48  # over so many a guess averages the jitter it sees
FIRST_JITTER_TICKS: Final = 4
LARGEST_DEVIATION: Final = 3.0  # what lies further off is no jitter
INEXACT_SHARE: Final = 0.05  # of the period: a guess gains nothing by explaining arrivals better than this
MOST_LOST_COST: Final = 10.0  # a gap of any length is no more unlikely than this
DOUBLED_COST: Final = 6.9  # -log of 0.1 %
DOUBLED_MS: Final = 2.0  # how soon after the first
JUMPS: Final = ((0.05, 6.0), (0.35, 7.0))  # another tempo: by how much of the period, and the cost
SLOWER: Final = (2.0, 8.0)  # one that is less than half as fast, which several lost ticks look like
WANDER_SHARE: Final = 0.004  # of the period in a tick: 60 to 180 BPM in four bars begins with 1 % in a tick
QUIET_SHARE: Final = 0.02  # of the period: with more jitter than this a tempo is supposed to wander the less
UNLIKELY: Final = 12.0  # guesses less likely than the best by e to the minus this are given up
MOST_GUESSES: Final = 6
EXPECTED_SHARE: Final = 0.25  # of the period: a tick nearer than this to its place raises no question
EXPECTED_DEVIATIONS: Final = 0.8


@dataclasses.dataclass(slots=True)
class _Guess:
    """The newest ticks as numbered by this guess, and where it believes its last tick and the next ones to be (ms)."""

    numbers: tuple[int, ...]
    at_ms: float
    period_ms: float
    at_variance: float
    covariance: float
    period_variance: float
    cost: float
    jitter_variance: float
    alike_variance: float
    lost: float
    ticks: int


class TickCount:
    """Numbers ticks by their arrivals."""

    def __init__(self, grain_ms: float = 0.0) -> None:
        """No tick yet. `grain_ms`: arrivals are only seen so often, and stamped then (a JACK server's period)."""
        self._within_ms = WITHIN_GRAIN * grain_ms
        self._least_variance = max(QUIETEST_MS**2, grain_ms**2 / 12)
        self._first_variance = max(FIRST_JITTER_MS**2, self._least_variance)
        self._guesses: list[_Guess] = []
        self._arrivals: collections.deque[float] = collections.deque(maxlen=3)

    @property
    def jitter_ms(self) -> float:
        """Standard deviation of the arrivals, as seen of late."""
        return math.sqrt(self._guesses[0].jitter_variance) if self._guesses else FIRST_JITTER_MS

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the newest ticks (at most `OPEN_TICKS`), the last one last; a number that is there twice was sent
        twice. They may yet change with the next tick.
        """
        return self._guesses[0].numbers

    @property
    def period_ms(self) -> float:
        """A quick estimate of the time between ticks; 0 before the second."""
        return self._guesses[0].period_ms if self._guesses else 0.0

    def arrived(self, at_ms: float) -> None:
        """A tick has come."""
        self._arrivals.append(at_ms)
        if not self._guesses:
            self._guesses = [
                _Guess(
                    (0,), at_ms, 0.0, 0.0, 0.0, 0.0, 0.0, self._first_variance, -self._first_variance, FEWEST_LOST, 0
                )
            ]
            return
        first = self._guesses[0]
        if first.period_ms == 0.0:
            self._second(first, at_ms)
            return
        if len(self._guesses) == 1 and self._as_expected(first, at_ms):
            self._guesses = [self._counted(first, at_ms, 1)]
            return
        followers = [self._doubled(guess, at_ms) for guess in self._guesses]
        for guess in self._guesses:
            followers += [self._counted(guess, at_ms, *way) for way in self._ways(guess, at_ms)]
        self._keep_likely(followers)

    def _jitter_seen(self, guess: _Guess, step: int) -> float:
        """The variance of the arrivals as the guess sees it, with one that is `step` further: by how much the middle
        one of three lies off the line between the others. Neither tempo nor a ramp is seen in that, nor a lost tick
        that was counted.
        """
        numbers, before = guess.numbers, guess.jitter_variance
        if len(numbers) < 2 or numbers[-1] == numbers[-2]:
            return before
        first, middle, last = self._arrivals
        one, other = 1 / (numbers[-1] - numbers[-2]), 1 / step
        off_ms = (middle - first) * one - (last - middle) * other
        seen = off_ms * off_ms / (one * one + (one + other) ** 2 + other * other)
        if guess.ticks > JITTER_TICKS:
            seen = min(seen, LARGEST_DEVIATION**2 * before)
        gain = 1 / min(guess.ticks + FIRST_JITTER_TICKS, JITTER_TICKS)
        return max(before + gain * (seen - before), self._least_variance)

    def _alike_seen(self, guess: _Guess, step: int, jitter_variance: float) -> float:
        """How alike the intervals on either side of a tick are, as a covariance. Where every tick is off its place by
        itself it is minus the jitter's variance (a late one makes a long interval, and then a short one); where each
        is where the one before would have it, give or take, it is nothing.
        """
        numbers = guess.numbers
        if len(numbers) < 2 or numbers[-1] == numbers[-2]:
            return guess.alike_variance
        first, middle, last = self._arrivals
        one = middle - first - (numbers[-1] - numbers[-2]) * guess.period_ms
        other = last - middle - step * guess.period_ms
        most = LARGEST_DEVIATION * jitter_variance
        seen = min(max(one * other, -most), most)
        return guess.alike_variance + (seen - guess.alike_variance) / min(guess.ticks + FIRST_JITTER_TICKS, WALK_TICKS)

    @staticmethod
    def _walk(guess: _Guess) -> float:
        """The variance by which each tick wanders off from where the one before would have it."""
        apart = min(1.0, max(0.0, -guess.alike_variance / guess.jitter_variance))
        return 3.0 * guess.jitter_variance * max(0.0, 1.0 - apart / SURELY)

    def _second(self, first: _Guess, at_ms: float) -> None:
        """A first period; the tick between may have been lost."""
        noise = self._first_variance
        self._guesses = []
        for step, cost in ((1, 0.0), (2, -math.log(FEWEST_LOST))):
            period_ms = max((at_ms - first.at_ms) / step, SHORTEST_MS)
            spread = 2 * noise / step**2 + (JUMPS[0][0] * period_ms) ** 2
            self._guesses.append(
                _Guess((0, step), at_ms, period_ms, noise, noise / step, spread, cost, noise, -noise, FEWEST_LOST, 1)
            )

    def _as_expected(self, guess: _Guess, at_ms: float) -> bool:
        off_ms = abs(at_ms - guess.at_ms - guess.period_ms)
        spread = guess.at_variance + 2 * guess.covariance + guess.period_variance + guess.jitter_variance
        return off_ms < min(EXPECTED_SHARE * guess.period_ms, EXPECTED_DEVIATIONS * math.sqrt(spread))

    def _ways(self, guess: _Guess, at_ms: float) -> list[tuple[int, float, float]]:
        """How many ticks further this one may be (more than one: some were lost), and by how much of itself
        the period may have changed, with the cost of that.
        """
        nearest = round((at_ms - guess.at_ms) / guess.period_ms)
        counted = [(step, 0.0, 0.0) for step in {1, 2, nearest, nearest + 1} if step > 0]
        jumped = [(step, *jump) for jump in JUMPS for step in (1, 2)]
        return [*counted, *jumped, (1, *SLOWER)] if nearest >= 2 else [*counted, *jumped]

    def _doubled(self, guess: _Guess, at_ms: float) -> _Guess:
        """The guess, if this is the last tick once more, at any moment soon after: it says nothing new."""
        spread = guess.at_variance + guess.jitter_variance + DOUBLED_MS**2
        cost = DOUBLED_COST + (at_ms - guess.at_ms) ** 2 / (2 * spread) + 0.5 * math.log(spread)
        numbers = (*guess.numbers[-OPEN_TICKS + 1 :], guess.numbers[-1])
        return dataclasses.replace(guess, numbers=numbers, cost=guess.cost + cost)

    def _counted(self, guess: _Guess, at_ms: float, step: int, jump: float = 0.0, cost: float = 0.0) -> _Guess:
        """The guess, if this tick is the one `step` further."""
        walk = self._walk(guess)
        noise = max(guess.jitter_variance - walk / 3.0, self._least_variance)
        quiet = min(1.0, QUIET_SHARE * guess.period_ms / math.sqrt(noise))
        wander = (WANDER_SHARE * quiet * guess.period_ms) ** 2
        period_variance = guess.period_variance + step * wander + (jump * guess.period_ms) ** 2
        covariance = guess.covariance + step * period_variance
        at_variance = guess.at_variance + 2 * step * guess.covariance + step * step * period_variance + step * walk
        spread = at_variance + noise
        off_ms = at_ms - guess.at_ms - step * guess.period_ms
        at_gain, period_gain = at_variance / spread, covariance / spread
        cost += min(-math.log(guess.lost) * (step - 1), MOST_LOST_COST) - math.log(1.0 - guess.lost)
        lost = guess.lost + LOST_GAIN * (step - 1 - step * guess.lost)
        jitter_variance = self._jitter_seen(guess, step)
        beyond_ms = max(0.0, abs(off_ms) - self._within_ms)
        inexact = spread + (INEXACT_SHARE * guess.period_ms) ** 2
        return _Guess(
            (*guess.numbers[-OPEN_TICKS + 1 :], guess.numbers[-1] + step),
            guess.at_ms + step * guess.period_ms + at_gain * off_ms,
            max(guess.period_ms + period_gain * off_ms, SHORTEST_MS),
            at_variance - at_gain * at_variance,
            covariance - at_gain * covariance,
            period_variance - period_gain * covariance,
            guess.cost + cost + beyond_ms * beyond_ms / (2 * inexact) + 0.5 * math.log(inexact),
            jitter_variance,
            self._alike_seen(guess, step, jitter_variance),
            min(max(lost, FEWEST_LOST), MOST_LOST),
            guess.ticks + 1,
        )

    def _keep_likely(self, guesses: list[_Guess]) -> None:
        guesses.sort(key=lambda guess: guess.cost)
        best = guesses[0].cost
        kept: list[_Guess] = []
        for guess in itertools.takewhile(lambda guess: guess.cost < best + UNLIKELY, guesses):
            if len(kept) < MOST_GUESSES and not any(_alike(guess, other) for other in kept):
                guess.cost -= best
                kept.append(guess)
        self._guesses = kept


def _alike(one: _Guess, other: _Guess) -> bool:
    """Whether two guesses will count alike from here on."""
    return one.numbers[-1] == other.numbers[-1] and abs(one.period_ms - other.period_ms) < 0.02 * one.period_ms
