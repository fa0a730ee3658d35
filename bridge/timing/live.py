"""Following Ableton Live by the reports of its device (contract 3.2, ``/clock/live``).

A report tells where Live was when it was made and reaches us 0 to some tens of ms later, never earlier: the device runs
at screen rate. So of the reports of the last second the one that puts the song furthest ahead was the least late, and
the line through it, at the tempo Live names, is the song. The map is drawn towards that line in small steps. A song
position that goes back, or is ahead by more than any lateness explains, is a leap; leaps of Live's loop brace are whole
steps of the grid, and taking them as such keeps the phase that was found before. A leap back that has been made twice
between the same places is a loop brace: the next one is not waited for, but made where the brace ends.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import Final

from bridge.messages import LiveReport
from bridge.timing.brace import Brace
from bridge.timing.changes import Change, Shift
from bridge.timing.follower import NEVER_NS, Passive
from bridge.timing.tempo_map import NS_PER_MINUTE, STEP_BEATS, TempoMap

LOST_NS: Final = 5_000_000_000  # Live's reports pause while one of its menus is open; after this we keep time ourselves
WINDOW_NS: Final = 1_000_000_000  # long enough to hold an almost punctual report, short enough for tempo curves
FALLBACK_REPORTS: Final = 12  # kept even when they are older: a device that reports ten times a second
SETTLED_REPORTS: Final = 8  # before so many, only "later than thought" is believed, which is never a report's lateness
GAIN_AHEAD: Final = 0.35  # a report ahead of the map is certain knowledge
GAIN_BEHIND: Final = 0.12  # all of them behind may be chance
SLIDE_MS: Final = 60.0  # beyond it the map is put right at once: a slow slide would be heard longer
LATENESS_MS: Final = 45.0  # how late a report may be and still belong to a leap of whole steps
PUNCTUAL_MS: Final = 6.0  # how far ahead of such a leap it may seem, through our own error
LANDING_MS: Final = 100.0  # a start or leap is told so late at most: what lies on the line before it still sounds
ERROR_GAIN: Final = 0.05


@dataclasses.dataclass(slots=True)
class _Residual:
    """How far ahead of the map (ms; negative: behind) a report was."""

    arrival_ns: int
    ahead_ms: float


class LiveFollower(Passive):
    """Makes a smooth tempo map of Live's reports."""

    name = "live"

    def __init__(self) -> None:
        """Nothing heard yet."""
        super().__init__()
        self.leads_transport = True
        self._residuals: collections.deque[_Residual] = collections.deque()
        self._last_beats = 0.0
        self._brace = Brace()

    @property
    def here(self) -> bool:
        """Whether its device reports."""
        return self.map is not None

    def next_check_ns(self) -> int:
        """When the reports will have been missing for too long."""
        if self.map is None:
            return NEVER_NS
        lost_ns = self.heard_ns + LOST_NS
        end = self._brace.end_ahead(self.map.beat_at_ns(self.heard_ns)) if self.map.playing else None
        return lost_ns if end is None else min(lost_ns, self.map.ns_at_beat(end))

    def check(self, now_ns: int) -> Change | None:
        """Leap where a loop brace ends; forget a Live that has been silent for long."""
        if self.map is None or now_ns < self.next_check_ns():
            return None
        if now_ns >= self.heard_ns + LOST_NS:
            self.map, self.peers, self.error_ms = None, 0, 0.0
            self._residuals.clear()
            return None
        self.map = dataclasses.replace(self.map, anchor_beats=self.map.anchor_beats - self._brace.length)
        self._last_beats -= self._brace.length
        self.heard_ns = max(self.heard_ns, now_ns)
        self._brace.gone_round(now_ns)
        return Change(Shift.LEAP, self._brace.start)

    def report(self, report: LiveReport) -> Change | None:
        """Take a report in; what changed, None where nothing did."""
        self.peers = 1
        report = dataclasses.replace(report, beats=self._brace.unfolded(report.beats, report.arrival_ns))
        interval_ns = report.arrival_ns - self.heard_ns
        self.heard_ns = report.arrival_ns
        before, last_beats = self.map, self._last_beats
        self._last_beats = report.beats
        if not report.playing:
            return self._stand(report, before)
        if before is None or not before.playing:
            self._anchor(report, report.beats, before)
            return Change(Shift.START, self._beginning(report, None if before is None else before.anchor_beats))
        return self._follow(report, before, last_beats, interval_ns)

    def _stand(self, report: LiveReport, before: TempoMap | None) -> Change | None:
        self._anchor(report, report.beats, before)
        assert self.map is not None
        self.map = dataclasses.replace(self.map, playing=False)
        if before is not None and before.playing:
            return Change(Shift.STOP)
        unmoved = before is not None and dataclasses.replace(before, anchor_ns=report.arrival_ns) == self.map
        return None if unmoved else Change(Shift.SLIDE)

    def _follow(self, report: LiveReport, before: TempoMap, last_beats: float, interval_ns: int) -> Change | None:
        self._steer_tempo(report, before, interval_ns)
        assert self.map is not None
        expected = self.map.beat_at_ns(report.arrival_ns)
        ms_per_beat = 60_000 / report.tempo_bpm
        distance = report.beats - expected
        went_back = last_beats - report.beats
        if went_back >= STEP_BEATS or distance >= max(STEP_BEATS, SLIDE_MS / ms_per_beat):
            return self._leap(report, expected, distance)
        if went_back > 0.0:
            self._last_beats = last_beats  # overtaken by a newer one on its way here: it says nothing new
            return None
        self._set_metre(report, expected)
        self._remember(_Residual(report.arrival_ns, distance * ms_per_beat))
        ahead_ms = max(residual.ahead_ms for residual in self._residuals)
        settled = len(self._residuals) >= SETTLED_REPORTS
        if ahead_ms < -SLIDE_MS and settled and -ahead_ms / ms_per_beat >= STEP_BEATS:
            return self._leap(report, expected, distance)
        if ahead_ms > SLIDE_MS or (ahead_ms < -SLIDE_MS and settled):
            self._slide(report.arrival_ns, ahead_ms)
        elif ahead_ms > 0.0:
            self._slide(report.arrival_ns, ahead_ms * (GAIN_AHEAD if settled else 1.0))
        elif settled:
            self._slide(report.arrival_ns, ahead_ms * GAIN_BEHIND)
        self.error_ms += ERROR_GAIN * (abs(ahead_ms) - self.error_ms)
        return Change(Shift.SLIDE)

    def _steer_tempo(self, report: LiveReport, before: TempoMap, interval_ns: int) -> None:
        """Take over a new tempo as from when Live took it: before this report was made, after the one before it."""
        if report.tempo_bpm == before.tempo_bpm:
            return
        lateness_ms = -sum(residual.ahead_ms for residual in self._residuals) / max(1, len(self._residuals))
        missed_ns = max(0.0, lateness_ms) * 1e6 + min(interval_ns, WINDOW_NS) / 2
        missed_beats = missed_ns * (report.tempo_bpm - before.tempo_bpm) / NS_PER_MINUTE
        rebased = before.rebased(report.arrival_ns)
        self.map = dataclasses.replace(
            rebased, tempo_bpm=report.tempo_bpm, anchor_beats=rebased.anchor_beats + missed_beats
        )

    def _leap(self, report: LiveReport, expected: float, distance: float) -> Change:
        for step in (1.0, STEP_BEATS):
            whole = round(distance / step) * step
            beyond_ms = (distance - whole) * 60_000 / report.tempo_bpm
            if whole and -LATENESS_MS <= beyond_ms <= PUNCTUAL_MS:
                self._anchor(report, expected + whole, self.map)
                self._brace.leapt(expected, whole, LANDING_MS * report.tempo_bpm / 60_000)
                break
        else:
            self._anchor(report, report.beats, self.map)
            self._brace = Brace()
        assert self.map is not None
        here = self.map.anchor_beats
        late = 0.0 <= here - report.beats <= LANDING_MS * report.tempo_bpm / 60_000
        return Change(Shift.LEAP, self._landing(report, report.beats if late else here))

    def _beginning(self, report: LiveReport, stood_at: float | None) -> float:
        """Where the song began to run: where it stood, if we know and it has come no further than a report is late."""
        if stood_at is not None and 0.0 <= report.beats - stood_at <= LANDING_MS * report.tempo_bpm / 60_000:
            return stood_at
        return self._landing(report, report.beats)

    def _landing(self, report: LiveReport, here: float) -> float:
        """Where the song landed that is heard of `here`: told so late that the line before it must still be played."""
        line = math.floor(here + PUNCTUAL_MS * report.tempo_bpm / 60_000)
        return float(line) if here - line <= LANDING_MS * report.tempo_bpm / 60_000 else here

    def _anchor(self, report: LiveReport, beats: float, before: TempoMap | None) -> None:
        self._residuals.clear()
        self.map = TempoMap(report.arrival_ns, beats, report.tempo_bpm, True)
        self._set_metre(report, beats, before)

    def _set_metre(self, report: LiveReport, beats: float, before: TempoMap | None = None) -> None:
        """Put the bar lines where the report says; untold, a new metre begins at the bar line before it."""
        assert self.map is not None
        old = self.map if before is None else before
        same = (report.numerator, report.denominator) == (old.numerator, old.denominator)
        if report.bar >= 0:
            # bar lines lie on eighths of a beat (denominators up to 32); the rest is the report's own roundness
            origin = round((report.beats - report.beat_in_bar) * 8) / 8
            bar_beats = report.numerator * 4 / report.denominator
            if same and math.isclose(math.remainder(origin - old.bar_origin_beats, bar_beats), 0.0, abs_tol=1e-6):
                origin = old.bar_origin_beats
        elif same:
            origin = old.bar_origin_beats
        else:
            origin = old.bar_line_at_or_before(beats) if old.playing else 0.0
        self.map = dataclasses.replace(
            self.map, numerator=report.numerator, denominator=report.denominator, bar_origin_beats=origin
        )

    def _remember(self, residual: _Residual) -> None:
        self._residuals.append(residual)
        oldest_ns = residual.arrival_ns - WINDOW_NS
        while len(self._residuals) > FALLBACK_REPORTS and self._residuals[0].arrival_ns < oldest_ns:
            self._residuals.popleft()

    def _slide(self, now_ns: int, by_ms: float) -> None:
        assert self.map is not None
        rebased = self.map.rebased(now_ns)
        self.map = dataclasses.replace(rebased, anchor_beats=rebased.anchor_beats + by_ms * rebased.tempo_bpm / 60_000)
        for residual in self._residuals:
            residual.ahead_ms -= by_ms
