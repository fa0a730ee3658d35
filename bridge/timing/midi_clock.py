"""Following a MIDI clock: 24 ticks a beat, start, stop, continue and song position (MIDI 1.0).

The ticks give tempo and phase (`tick_line`). Start and continue say that the *next* tick is a place of the song: 0,
or where the song position pointer was set. A clock that only ticks, joined in the middle or sent by a device without a
transport, gives tempo and phase alone; the transport is then our user's, at the nearest tick.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from bridge import limits
from bridge.timing.changes import Change, Shift
from bridge.timing.follower import NEVER_NS, Passive
from bridge.timing.internal import checked_action
from bridge.timing.midi import CONTINUE, SONG_POSITION, START, STOP, TICK
from bridge.timing.tempo_map import TempoMap
from bridge.timing.tick_count import OPEN_TICKS
from bridge.timing.tick_line import TickLine, TickTracker

PER_BEAT: Final = limits.CLOCK_TICKS_PER_BEAT
TICKS_PER_POSITION: Final = 6  # song position counts sixteenths
LOST_NS: Final = 500_000_000  # at 20 BPM ticks are 125 ms apart
FORGET_NS: Final = 5_000_000_000
STANDING_SHARE: Final = 0.002  # of the tempo: smaller changes are not told while the song stands
EARLY_SHARE: Final = 0.35  # of the period: a start that comes so much after a tick's place may still mean that tick,
EARLY_DEVIATIONS: Final = 2.5  # or so much of the jitter; then it is the tick that is late, or lost
OFF_GAIN: Final = 1 / 16
ERROR_GAIN: Final = 0.05


class MidiFollower(Passive):
    """Makes a tempo map of clock messages."""

    name = "midi"

    def __init__(self, supposed_bpm: float = 120.0) -> None:
        """Nothing heard yet; `supposed_bpm` is the tempo between the first two ticks."""
        super().__init__()
        self.takes_transport = True
        self.grid_beats = 1 / PER_BEAT
        self.supposed_bpm = supposed_bpm
        self.grain_ms = 0.0  # ticks are stamped only so often: the MIDI system's period, where it has one
        self._tracker = TickTracker()
        self._origin_ns = 0  # ticks are tracked in ms from here
        self._ticking = False
        self._playing = False
        self._shift = 0  # the song's count of ticks minus the tracker's
        self._since_start: int | None = None  # ticks heard since the start, while their numbers may change
        self._first = 0  # the tick to begin with is so many after the last one before the start
        self._waiting = False  # told to play, but no tick has come since the clock fell silent
        self._position = 0  # in ticks: where "continue" goes on from
        self._off_ms = 0.0

    @property
    def here(self) -> bool:
        """Whether it ticks."""
        return self._ticking and self.map is not None

    @property
    def jitter_ms(self) -> float:
        """Standard deviation of the ticks' arrivals, as seen of late."""
        return self._tracker.jitter_ms

    def midi_in(self, stamp_ns: int, message: Sequence[int]) -> Change | None:
        """Take a message in; what changed, None where nothing did."""
        status = message[0]
        if status == TICK:
            return self._tick(stamp_ns)
        if status == START:
            self._position = 0
        if status in (START, CONTINUE):
            self._lead()
            return None if status == CONTINUE and self._playing else self._begin(stamp_ns)
        if status == STOP:
            self._lead()
            return self._halt(stamp_ns)
        if status == SONG_POSITION and len(message) > 2:
            self._position = TICKS_PER_POSITION * (message[1] | message[2] << 7)
            if self._playing:
                return self._begin(stamp_ns)
            return self._stand(stamp_ns)
        return None

    # -- silence ------------------------------------------------------------------------------------------------------

    def next_check_ns(self) -> int:
        """When the clock will have been silent for too long."""
        if self._ticking:
            return self.heard_ns + LOST_NS
        return NEVER_NS if self.map is None else self.heard_ns + FORGET_NS

    def check(self, now_ns: int) -> Change | None:
        """Without ticks the map goes on at the last tempo; after a longer silence it is forgotten."""
        if now_ns < self.next_check_ns():
            return None
        if self._ticking:
            self._ticking = False
            self.peers = 0
            return None
        self.map = None
        self._playing = self._waiting = self.leads_transport = False
        self.takes_transport = True
        self.grid_beats = 1 / PER_BEAT
        self._tracker = TickTracker()
        return None

    # -- our user, where the clock has no transport of its own --------------------------------------------------------

    def transport(self, action: str, now_ns: int) -> Change | None:
        """``play``, ``stop`` and ``continue``, at the next tick.

        Raises:
            ValueError: another action.
        """
        if checked_action(action) == "stop":
            return self._halt(now_ns)
        if action == "play":
            self._position = 0
        elif self._playing:
            return None
        return self._begin(now_ns)

    def adopt(self, song: TempoMap, now_ns: int) -> None:
        """Go on with our song at the nearest tick, if the clock itself has never said where it is."""
        line = self._tracker.line
        if self.leads_transport or line is None or not song.playing:
            return
        number = line.number + ((now_ns - self._origin_ns) / 1e6 - line.at_ms) / line.period_ms
        self._shift = round(song.beat_at_ns(now_ns) * PER_BEAT - number)
        self._playing, self._since_start = True, None
        self.map = self._running()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _lead(self) -> None:
        self.leads_transport, self.takes_transport = True, False
        self.grid_beats = 1.0

    def _tick(self, stamp_ns: int) -> Change | None:
        if not self._ticking:
            self._awake(stamp_ns)
        self.heard_ns = stamp_ns
        self._track((stamp_ns - self._origin_ns) / 1e6)
        if self._waiting:
            self._waiting, self._since_start, self._first = False, 1, 0
            self._shift = self._position - self._tracker.numbers[-1]
            return self._play(stamp_ns)
        self._count_from_start()
        if self._tracker.line is None:
            return None
        if self._playing:
            self.map = self._running()
            return Change(Shift.SLIDE)
        return self._stand(stamp_ns)

    def _track(self, at_ms: float) -> None:
        """Give the tick to the tracker, and see how far off it was from where it was expected."""
        before = self._tracker.line
        self._tracker.arrived(at_ms)
        line = self._tracker.line
        if before is not None and line is not None:
            off_ms = at_ms - before.at_ms - (line.number - before.number) * before.period_ms
            self._off_ms += OFF_GAIN * (off_ms - self._off_ms)
            self.error_ms += ERROR_GAIN * (abs(self._off_ms) - self.error_ms)

    def _count_from_start(self) -> None:
        """The tick to begin with is the position, whichever number it turns out to have."""
        if self._since_start is None:
            return
        self._since_start += 1
        before = self._tracker.numbers[-self._since_start - (1 if self._first else 0)]
        self._shift = self._position - before - self._first
        if self._since_start >= OPEN_TICKS - 1:
            self._since_start = None

    def _awake(self, stamp_ns: int) -> None:
        """Ticks after a silence: the song has gone on meanwhile, and which tick this is only our own time can tell."""
        self._tracker = TickTracker(self.grain_ms)
        self._origin_ns = stamp_ns
        self._off_ms = 0.0
        self._since_start = None
        if self._playing and self.map is not None:
            self._position = round(self.map.beat_at_ns(stamp_ns) * PER_BEAT)
            self._since_start, self._first = 0, 0
        self._ticking = True
        self.peers = 1

    def _begin(self, now_ns: int) -> Change | None:
        """The next tick is the position."""
        if not self._ticking:
            self._waiting = True
            return None
        line = self._tracker.line
        if line is None:  # one tick so far: it takes the next one to know when that is due
            self._waiting = True
            return None
        self._since_start, self._first = 0, self._next_tick(line, now_ns)
        self._shift = self._position - line.number - self._first
        return self._play(now_ns)

    def _next_tick(self, line: TickLine, now_ns: int) -> int:
        """How many ticks after the last one the next is; more than one where some before now were lost."""
        ahead_ms = (now_ns - self._origin_ns) / 1e6 - line.at_ms
        tolerance_ms = max(EARLY_SHARE * line.period_ms, EARLY_DEVIATIONS * self._tracker.jitter_ms)
        return max(1, math.ceil((ahead_ms - tolerance_ms) / line.period_ms))

    def _play(self, now_ns: int) -> Change:
        was_playing, self._playing = self._playing, True
        place = self._position / PER_BEAT
        if self._tracker.line is None:
            self.map = TempoMap(now_ns, place, self.supposed_bpm if self.map is None else self.map.tempo_bpm, True)
        else:
            self.map = self._running()
        return Change(Shift.LEAP if was_playing else Shift.START, place)

    def _halt(self, now_ns: int) -> Change | None:
        self._waiting = False
        if not self._playing:
            return None
        line = self._tracker.line
        if line is not None and self._since_start != 0:  # else no tick has been played: it goes on from the same place
            self._position = max(0, line.number + 1 + self._shift)
        self._playing, self._since_start = False, None
        assert self.map is not None
        self.map = TempoMap(now_ns, max(0.0, self.map.beat_at_ns(now_ns)), self.map.tempo_bpm, False)
        return Change(Shift.STOP)

    def _stand(self, now_ns: int) -> Change | None:
        """The tempo and place of a song that stands; told when they have changed."""
        line, before = self._tracker.line, self.map
        tempo_bpm = self.supposed_bpm if before is None else before.tempo_bpm
        if line is not None:
            tempo_bpm = 60_000 / (line.period_ms * PER_BEAT)
        elif before is None:
            return None
        place = self._position / PER_BEAT
        alike = before is not None and abs(tempo_bpm - before.tempo_bpm) < STANDING_SHARE * tempo_bpm
        if before is not None and alike and abs(before.anchor_beats - place) < 1 / TICKS_PER_POSITION:
            return None
        self.map = TempoMap(now_ns, place, tempo_bpm, False)
        return Change(Shift.SLIDE)

    def _running(self) -> TempoMap:
        line = self._tracker.line
        assert line is not None
        anchor_ns = self._origin_ns + round(line.at_ms * 1e6)
        tempo_bpm = 60_000 / (line.period_ms * PER_BEAT)
        return TempoMap(anchor_ns, (line.number + self._shift) / PER_BEAT, tempo_bpm, True)
