"""Following an Ableton Link session by readings of its state (the library itself is in `bridge.player.link_session`).

A Link session is a timeline that never stands: beats that all peers share up to whole quanta (a quantum is a bar here),
a tempo, and, among those who share it, a transport that starts and stops at a moment. Our song is that timeline plus a
shift of whole quanta, so that our bar lines are everybody's. A start falls on the first moment, not before the one it
was asked for, at which the session's phase is that of the place we start from: beat 0 begins on a bar line of the
session. Joining asks nothing of the others: only a user's own tempo, play and stop become wishes for the session.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from typing import Final, Protocol

from bridge.timing.changes import Change, Shift
from bridge.timing.follower import NEVER_NS
from bridge.timing.internal import checked_action
from bridge.timing.tempo_map import NEARLY_BEATS, TempoMap

NOT_INSTALLED: Final = (
    "Ableton Link is not installed (it is under the GPL, and therefore not there by itself): run "
    "`python3 run_bridge.py setup link`, then start again"
)
SLIDE_MS: Final = 60.0  # a session that is somewhere else by more than this has leapt
STEADY_MS: Final = 0.02  # less is the grain of Link's clock (1 us) and its drift against ours: not worth a new map
ERROR_GAIN: Final = 0.05


def installed() -> bool:
    """Whether the extra `link` is there; looks for the library without loading it."""
    return importlib.util.find_spec("link") is not None


@dataclasses.dataclass(frozen=True, slots=True)
class LinkReading:
    """The session at a moment of our clock; beats by the quantum that was asked for, `playing` as of `playing_ns`."""

    time_ns: int
    beats: float
    tempo_bpm: float
    playing: bool
    playing_ns: int
    peers: int


@dataclasses.dataclass(frozen=True, slots=True)
class LinkWish:
    """What our user wants of the session, as from `at_ns`; None leaves that as it is.

    `beats`: the place of the session's timeline that is to fall on `at_ns`; granted only to who is alone.
    """

    at_ns: int
    tempo_bpm: float | None = None
    playing: bool | None = None
    beats: float | None = None
    only_alone: bool = False
    """Not to be carried to a session that somebody else is in, also when that is not known to us yet."""


class Session(Protocol):
    """Our place in a session: the library (`bridge.player.link_session`), or what stands for one in the tests."""

    missing: str
    """Why there can be none here, in plain words; empty where there can."""
    next_read_ns: int
    """When it is worth reading again."""

    @property
    def is_open(self) -> bool:
        """Whether we are in a session, or about to be."""

    def open(self, tempo_bpm: float, now_ns: int) -> None:
        """Join the session there is, soon; where there is none, make one of this tempo."""

    def close(self) -> None:
        """Leave; the others play on."""

    def read(self, quantum_beats: float, now_ns: int) -> LinkReading | None:
        """The session now; None while we are outside, or not yet in."""

    def ask(self, wish: LinkWish, quantum_beats: float) -> None:
        """Carry a wish to the session."""


class LinkFollower:
    """Makes a tempo map of what the session is read to be, and wishes of what our user does (see `Follower`)."""

    name = "link"
    leads_transport = True
    takes_transport = True

    def __init__(self, session: Session, quantum_beats: float, tempo_bpm: float) -> None:
        """Outside every session.

        Args:
            session: where readings come from and wishes go.
            quantum_beats: a bar, in quarter notes; peers share a phase when their quanta agree.
            tempo_bpm: of a session that we are the first to be in.
        """
        self.grid_beats = quantum_beats
        self.missing = session.missing
        self.map: TempoMap | None = None
        self.heard_ns = 0
        self.error_ms = 0.0
        self.peers = 0
        self._session = session
        self._tempo_bpm = tempo_bpm
        self._line: TempoMap | None = None
        self._shift = 0.0
        self._start: tuple[float, float] | None = None
        self._transport = (False, 0)
        self._plays_since_ns = 0  # what the session said of stopping before our song began to play stops nothing

    @property
    def here(self) -> bool:
        """Whether we are in a session, be it alone."""
        return self.map is not None

    def want(self, on: bool, now_ns: int) -> None:
        """Join the session there is, or make one; or leave it, and forget all about it."""
        if on and not self.missing and not self._session.is_open:
            self._session.open(self._tempo_bpm, now_ns)
            self.missing = self._session.missing
        elif not on and self._session.is_open:
            self._session.close()
            self.map = self._line = self._start = None
            self.peers, self.error_ms, self._shift, self._transport = 0, 0.0, 0.0, (False, 0)

    # -- the session --------------------------------------------------------------------------------------------------

    def next_check_ns(self) -> int:
        """When the session is to be read, or a start is due."""
        if not self._session.is_open:
            return NEVER_NS
        if self._start is None or self._line is None:
            return self._session.next_read_ns
        return min(self._session.next_read_ns, self._line.ns_at_beat(self._start[0]))

    def check(self, now_ns: int) -> Change | None:
        """Read the session when that is due; begin to play when the moment has come. What changed for our song."""
        change = None
        if self._session.is_open and now_ns >= self._session.next_read_ns:
            reading = self._session.read(self.grid_beats, now_ns)
            change = None if reading is None else self._read(reading)
        return self._begin(now_ns) or change

    def _read(self, reading: LinkReading) -> Change | None:
        before, self._line = self._line, TempoMap(reading.time_ns, reading.beats, reading.tempo_bpm, True)
        self.heard_ns, self.peers = reading.time_ns, reading.peers
        transport = (reading.playing, reading.playing_ns)
        moved, self._transport = transport != self._transport, transport
        if before is None or self.map is None:
            self.map = self._standing(0.0)
            self._obey(reading)
            return Change(Shift.SLIDE)
        if moved and (change := self._obey(reading)) is not None:
            return change
        return self._follow(reading, before)

    def _follow(self, reading: LinkReading, before: TempoMap) -> Change | None:
        assert self.map is not None
        jump = reading.beats - before.beat_at_ns(reading.time_ns)
        whole = round(jump / self.grid_beats) * self.grid_beats
        self._shift -= whole  # the number of a bar is each peer's own: only the phase is shared
        if self._start is not None:
            self._start = (self._start[0] + whole, self._start[1])
        if not self.map.playing:
            same = reading.tempo_bpm == self.map.tempo_bpm
            self.map = self._standing(self.map.anchor_beats)
            return None if same else Change(Shift.SLIDE)
        present = reading.beats + self._shift
        apart_ms = (present - self.map.beat_at_ns(reading.time_ns)) * 60_000 / reading.tempo_bpm
        if abs(apart_ms) >= SLIDE_MS:
            self.map = self._running()
            return Change(Shift.LEAP, present)
        self.error_ms += ERROR_GAIN * (abs(apart_ms) - self.error_ms)
        if reading.tempo_bpm == self.map.tempo_bpm and abs(apart_ms) < STEADY_MS:
            return None
        self.map = self._running()
        return Change(Shift.SLIDE)

    def _obey(self, reading: LinkReading) -> Change | None:
        """Start or stop as somebody in the session has."""
        assert self.map is not None
        if reading.playing and not self.map.playing and self._start is None:
            self._plan(0.0, reading.playing_ns)
        stops = not reading.playing and reading.playing_ns >= self._plays_since_ns
        if stops and (self.map.playing or self._start is not None):
            return self._halt(reading.time_ns)
        return None

    # -- our user -----------------------------------------------------------------------------------------------------

    def set_tempo(self, tempo_bpm: float, now_ns: int) -> bool:
        """Ask the session for another tempo: every peer's changes. Outside, it is what a new session begins with."""
        alone, same = self.peers == 0, tempo_bpm == self._tempo_bpm
        self._tempo_bpm = tempo_bpm
        if not (alone and same):
            self._ask(LinkWish(now_ns, tempo_bpm=tempo_bpm, only_alone=alone))
        return True

    def transport(self, action: str, now_ns: int) -> Change | None:
        """``play`` (from beat 0), ``stop`` or ``continue``, for us and for those who share their transport.

        Raises:
            ValueError: another action.
        """
        checked_action(action)
        if self.map is None or self._line is None:
            return None
        if action == "stop":
            self._ask(LinkWish(now_ns, playing=False))
            return self._halt(now_ns)
        if action == "continue" and (self.map.playing or self._start is not None):
            return None
        self._plays_since_ns = now_ns
        place = 0.0 if action == "play" else self.map.anchor_beats
        if self.peers == 0:  # alone there is nobody to wait for: the timeline is laid so that it starts now
            self._line = TempoMap(now_ns, place, self._line.tempo_bpm, True)
            self._ask(LinkWish(now_ns, playing=True, beats=place))
        else:
            self._ask(LinkWish(now_ns, playing=True))
        self._plan(place, now_ns)
        return self._begin(now_ns)

    def adopt(self, song: TempoMap, now_ns: int) -> None:
        """Our song played on without the session until now: from here it goes on in the session's phase and tempo. Who
        joins a session that nobody else is in brings its transport along.
        """
        if self._line is None or not song.playing:
            return
        self._plays_since_ns = now_ns
        if self.peers == 0 and not self._transport[0]:
            self._ask(LinkWish(now_ns, playing=True, only_alone=True))
        here = self._line.beat_at_ns(now_ns)
        self._shift = round((song.beat_at_ns(now_ns) - here) / self.grid_beats) * self.grid_beats
        self._start = None
        self.map = self._running()

    def _ask(self, wish: LinkWish) -> None:
        if self._session.is_open:
            self._session.ask(wish, self.grid_beats)

    # -- starts and stops ---------------------------------------------------------------------------------------------

    def _begin(self, now_ns: int) -> Change | None:
        """Begin to play if a start waits and its moment has come."""
        if self._start is None or self._line is None:
            return None
        at_beats, place = self._start
        due_ns = self._line.ns_at_beat(at_beats)
        if due_ns > now_ns:
            return None
        was_playing = self.map is not None and self.map.playing
        self._start, self._shift = None, place - at_beats
        self.map = self._running()
        late_ms = (now_ns - due_ns) / 1e6
        from_beats = place if late_ms < SLIDE_MS else self.map.beat_at_ns(now_ns)
        return Change(Shift.LEAP if was_playing else Shift.START, from_beats)

    def _plan(self, place: float, not_before_ns: int) -> None:
        """Start at `place` as soon as the session's phase is that of `place`."""
        assert self._line is not None
        earliest = self._line.beat_at_ns(not_before_ns)
        quanta = math.ceil((earliest - place) / self.grid_beats - NEARLY_BEATS)
        self._start = (place + quanta * self.grid_beats, place)

    def _halt(self, now_ns: int) -> Change | None:
        assert self.map is not None
        was_playing, self._start = self.map.playing, None
        self.map = self._standing(self.map.beat_at_ns(now_ns))
        return Change(Shift.STOP) if was_playing else None

    def _running(self) -> TempoMap:
        assert self._line is not None
        return self._with_metre(dataclasses.replace(self._line, anchor_beats=self._line.anchor_beats + self._shift))

    def _standing(self, place: float) -> TempoMap:
        assert self._line is not None
        return self._with_metre(dataclasses.replace(self._line, anchor_beats=place, playing=False))

    def _with_metre(self, line: TempoMap) -> TempoMap:
        """Bars of one quantum: in quarters where it is whole, else in eighths."""
        whole = self.grid_beats.is_integer()
        numerator, denominator = (int(self.grid_beats), 4) if whole else (round(self.grid_beats * 2), 8)
        return dataclasses.replace(line, numerator=numerator, denominator=denominator)
