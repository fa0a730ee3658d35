"""What a clock that can be followed has to offer: Live's reports, MIDI clock and Ableton Link are of one shape."""

from __future__ import annotations

from typing import Final, Protocol

from bridge.timing.changes import Change
from bridge.timing.tempo_map import TempoMap

NEVER_NS: Final = 1 << 62
"""A moment that does not come: nothing is due."""


class Follower(Protocol):
    """A clock that is followed.

    **How it is fed.** Each has a method of its own for what comes from outside (`LiveFollower.report`,
    `MidiFollower.midi_in`), which returns what changed, or None. What must be asked instead of waited for (Link's
    session) is read in `check`: the timekeeper calls it once `next_check_ns` has come, so a follower that wants to be
    polled every 20 ms answers "the last look + 20 ms". Time is always an argument; no follower reads a clock, sleeps or
    blocks, and `check` takes some tens of microseconds at the most.

    **What it gives.** `map` is one straight line of the clock's own count of quarter notes against
    `time.perf_counter_ns`; a better estimate is a new map. Corrections are told as ``Change(Shift.SLIDE)``, moves of
    the song as ``LEAP``, ``START`` and ``STOP``; the last three only by a clock that `leads_transport`. The standing
    offset, the nudge and the choice which bar it is are the timekeeper's affair and never in this map.

    A clock that does not lead the transport (Link without start/stop sync, MIDI clock that was never started) gives
    tempo and phase only. Its map has `playing` True as long as it ticks; where the song is in it, the timekeeper
    decides: only whole multiples of `grid_beats` away from the clock's own count.
    """

    name: str
    """As in ``/clock/source``: ``live``, ``midi``, ``link``."""
    map: TempoMap | None
    """None until it was heard, and again once it is forgotten."""
    heard_ns: int
    """When it was last heard."""
    error_ms: float
    """The phase error of late: how far what is heard lies from `map`, smoothed, never negative."""
    peers: int
    """Whom it is shared with: with nobody (0) ``auto`` does not choose it. A clock that is heard has 1 or more."""
    leads_transport: bool
    """Whether its start, stop and song position are obeyed."""
    grid_beats: float
    """Positions are certain but for a multiple of this: Link's quantum; 1/24 for ticks whose start was not heard."""
    takes_transport: bool
    """Whether our user's play, stop and continue go to it (`transport`): Link's. Where not, they are refused while
    it is followed, as Live's and MIDI clock's masters have their own."""
    missing: str
    """Why it cannot be had here, in plain words ("Ableton Link is not installed: pip install barline[link]"); empty
    where it can. Error 4 of ``/clock/source`` is this text."""

    @property
    def here(self) -> bool:
        """Whether there is something to follow now: it is heard, and not lost."""

    def want(self, on: bool, now_ns: int) -> None:
        """The user's choice of source allows it from now on, or no longer: Link joins its session, or leaves it."""

    def next_check_ns(self) -> int:
        """When `check` is due; `NEVER_NS` where nothing is."""

    def check(self, now_ns: int) -> Change | None:
        """Look: a clock that is polled is read, one that has been silent is lost. What changed, None where nothing."""

    def set_tempo(self, tempo_bpm: float, now_ns: int) -> bool:
        """Set the tempo of all who share the clock; False where it takes none from us (Live, MIDI clock)."""

    def adopt(self, song: TempoMap, now_ns: int) -> None:
        """The timekeeper is about to take this clock's map over from `song`, its map so far. A clock whose transport
        need not be obeyed at once (a Link session that stands, while we play) goes on with it, in its own phase: `map`
        plays afterwards. The others do nothing.
        """

    def transport(self, action: str, now_ns: int) -> Change | None:
        """Our user's ``play``, ``stop`` or ``continue``, only asked where it `takes_transport`: what changed at once. A
        start that waits for the session's bar line comes from `check`.

        Raises:
            ValueError: another action.
        """


class Passive:
    """What is the same in all clocks that are heard and not shared: they take nothing from us."""

    def __init__(self) -> None:
        """Nothing heard yet."""
        self.map: TempoMap | None = None
        self.heard_ns = 0
        self.error_ms = 0.0
        self.peers = 0
        self.leads_transport = False
        self.takes_transport = False
        self.grid_beats = 1.0
        self.missing = ""

    def want(self, on: bool, now_ns: int) -> None:
        """Nothing: it is heard anyway."""

    def set_tempo(self, tempo_bpm: float, now_ns: int) -> bool:  # noqa: ARG002 - the protocol's
        """It takes none from us."""
        return False

    def adopt(self, song: TempoMap, now_ns: int) -> None:
        """Nothing: it knows where it is."""

    def transport(self, action: str, now_ns: int) -> Change | None:  # noqa: ARG002 - the protocol's
        """Never asked."""
        return None
