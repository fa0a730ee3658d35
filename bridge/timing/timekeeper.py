"""Which clock is in force: the internal one or one that is followed; one effective tempo map comes out.

``auto`` prefers Link (with peers), then MIDI clock, then Live. With Link or MIDI clock in force Live's reports still
decide which bar it is: the song is the clock's line, moved by whole beats to where Live says it is. While the song
plays, another source takes over at a bar line; one that falls silent is coasted over at its last tempo.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from bridge import limits, messages
from bridge.timing import internal
from bridge.timing.changes import Change, Shift
from bridge.timing.choice import checked_source, chosen
from bridge.timing.follower import Follower
from bridge.timing.live import SLIDE_MS, LiveFollower
from bridge.timing.midi_clock import MidiFollower
from bridge.timing.place import SongPlace
from bridge.timing.tempo_map import TempoMap

log = logging.getLogger(__name__)

CALLED: Final = {"link": "Ableton Link", "midi": "MIDI clock", "live": "Live", "internal": "its own clock"}
WORD_NS: Final = 250_000_000  # a clock's own start or stop outweighs reports of Live's that were made before it


class Timekeeper:
    """Holds the sources and gives the map in force. Every call that may change it returns what changed, or None."""

    def __init__(
        self,
        source: str,
        tempo_bpm: float,
        beats_per_bar: int,
        offset_ms: float,
        *,
        offsets_ms: Mapping[str, float] | None = None,
        link: Follower | None = None,
        look_for_link: bool = False,
    ) -> None:
        """The clock stands at beat 0.

        Args:
            source: one of `SOURCES`.
            tempo_bpm: of the internal clock.
            beats_per_bar: quarter notes, until a followed clock says otherwise.
            offset_ms: standing offset against every followed clock.
            offsets_ms: those of single sources, in place of it.
            link: follows Ableton Link; None where that is not built in.
            look_for_link: whether ``auto`` joins a Link session.

        Raises:
            ValueError: an unknown source or a tempo out of range.
        """
        self.source = checked_source(source)
        self.offset_ms = offset_ms
        self.offsets_ms = dict(offsets_ms or {})
        self.map = internal.standing(tempo_bpm, beats_per_bar)
        self.notices: list[str] = []
        self._live = LiveFollower()
        self._midi = MidiFollower(tempo_bpm)
        self._followers: tuple[Follower, ...] = (
            (self._midi, self._live) if link is None else (link, self._midi, self._live)
        )
        self._look_for_link = look_for_link
        self._leader: Follower | None = None
        self._lost = False
        self._place = SongPlace()
        self._nudge_ns = 0
        self._word_ns = -WORD_NS
        self._switch_beats: float | None = None

    # -- what is in force ---------------------------------------------------------------------------------------------

    @property
    def followed(self) -> bool:
        """Whether somebody else's clock leads."""
        return self._leader is not None

    @property
    def error_ms(self) -> float:
        """The phase error of the clock that is followed; 0 for our own."""
        return 0.0 if self._leader is None else self._leader.error_ms

    @property
    def source_in_force(self) -> str:
        """The clock that is followed, or the only one allowed; else ``internal``."""
        if self._leader is not None:
            return self._leader.name
        return "internal" if self.source == "auto" else self.source

    def missing(self) -> dict[str, str]:
        """Why a source cannot be had here, in plain words, by its name; sources that can are left out."""
        return {follower.name: follower.missing for follower in self._followers if follower.missing}

    def set_missing(self, source: str, why: str) -> None:
        """Whoever opens the ports knows that a source cannot be had, and why; empty: it can."""
        for follower in self._followers:
            if follower.name == source:
                follower.missing = why

    def state(self) -> messages.ClockState:
        """The map in force as it is told to the bridge."""
        present, leader = self.map, self._leader
        ours = leader is None or (leader.takes_transport and not self._by_live)
        return messages.ClockState(
            self.source_in_force, present.playing, present.tempo_bpm, present.anchor_ns, present.anchor_beats,
            present.numerator, present.denominator, present.bar_origin_beats, self.error_ms, self.followed,
            leader is None or leader.name == "link", ours, self.missing(),
        )  # fmt: skip

    def midi_grain(self, grain_ms: float) -> None:
        """Ticks are stamped only so often by the MIDI system that there is now."""
        self._midi.grain_ms = grain_ms

    # -- time passes --------------------------------------------------------------------------------------------------

    def next_check_ns(self) -> int:
        """When `check` is due."""
        due_ns = min(follower.next_check_ns() for follower in self._followers)
        if self._switch_beats is not None and self.map.playing:
            due_ns = min(due_ns, self.map.ns_at_beat(self._switch_beats))
        return due_ns

    def check(self, now_ns: int) -> Change | None:
        """Do the first thing that is due: look at a follower, or change the source at its bar line."""
        for follower in self._followers:
            if now_ns >= follower.next_check_ns():
                return self._heard(follower, follower.check(now_ns), now_ns)
        if self._switch_beats is not None and now_ns >= self.map.ns_at_beat(self._switch_beats):
            return self._switch(now_ns)
        return None

    # -- what is heard ------------------------------------------------------------------------------------------------

    def live(self, report: messages.LiveReport) -> Change | None:
        """A report of Live's device; heeded when the source is ``auto`` or ``live``."""
        return self._heard(self._live, self._live.report(report), report.arrival_ns)

    def midi_in(self, stamp_ns: int, message: Sequence[int]) -> Change | None:
        """A MIDI clock or transport message; heeded when the source is ``auto`` or ``midi``."""
        return self._heard(self._midi, self._midi.midi_in(stamp_ns, message), stamp_ns)

    def _heard(self, follower: Follower, change: Change | None, now_ns: int) -> Change | None:
        if follower is self._leader:
            self._notice_silence()
            led = None if change is None else self._led(change, now_ns)
            return self._reconsider(now_ns, None) or led
        if follower is self._live and self._by_live:
            return self._placed_by_live(change, now_ns) or self._reconsider(now_ns, None)
        return self._reconsider(now_ns, change)

    def _notice_silence(self) -> None:
        leader = self._leader
        if leader is None or leader.map is None or leader.here is not self._lost:
            return
        self._lost = not leader.here
        if self._lost:
            self._say(f"clock: {CALLED[leader.name]} is silent; going on at {self.map.tempo_bpm:.1f} BPM")
        else:
            self._say(f"clock: {CALLED[leader.name]} is back")

    # -- the song by the clock that leads -----------------------------------------------------------------------------

    @property
    def _by_live(self) -> bool:
        """Whether Live decides where the song is, on another clock's line."""
        return self.source == "auto" and self._live.map is not None and self._leader not in (None, self._live)

    def _led(self, change: Change, now_ns: int) -> Change:
        """The clock in force has changed: so has our map."""
        before = self.map
        if change.shift is not Shift.SLIDE:
            self._word_ns = now_ns
            if change.shift is not Shift.STOP:
                self._place.reset()
                self.map = dataclasses.replace(self.map, bar_origin_beats=0.0)
        self._take_map()
        if before.playing and not self.map.playing:
            return Change(Shift.STOP)
        if self.map.playing and not before.playing:
            starts = change.shift in (Shift.START, Shift.LEAP)
            return Change(Shift.START, change.from_beats if starts else self.map.beat_at_ns(now_ns))
        if change.shift in (Shift.START, Shift.LEAP):
            return Change(Shift.LEAP, change.from_beats)
        return Change(Shift.SLIDE)

    def _take_map(self) -> None:
        assert self._leader is not None
        line = self._leader.map
        if line is None:
            return
        by_live = self._by_live or self._leader is self._live
        metre = self._live.map if by_live and self._live.map is not None else self.map
        moved_ns = round(self._offset_of(self._leader.name) * 1e6) + self._nudge_ns
        self.map = dataclasses.replace(
            line, anchor_ns=line.anchor_ns + moved_ns, anchor_beats=line.anchor_beats + self._place.beats,
            numerator=metre.numerator, denominator=metre.denominator, bar_origin_beats=metre.bar_origin_beats,
        )  # fmt: skip

    def _placed_by_live(self, change: Change | None, now_ns: int) -> Change | None:
        """Live has reported while another clock gives tempo and phase: is the song where Live has it?"""
        leader, song = self._leader, self._live.map
        assert leader is not None
        assert song is not None
        if now_ns - self._word_ns < WORD_NS or leader.map is None:
            return None
        if leader.takes_transport and song.playing is not leader.map.playing:
            if not song.playing:
                stopped = leader.transport("stop", now_ns)
                return None if stopped is None else self._led(stopped, now_ns)
            leader.adopt(song, now_ns)
            began = song.beat_at_ns(now_ns) if change is None else change.from_beats
            self._place.reset()
            self._place.settle(song.beat_at_ns(now_ns) - leader.map.beat_at_ns(now_ns), leader.grid_beats)
            self._take_map()
            return Change(Shift.START, began)
        if not (song.playing and self.map.playing):
            return None
        here = leader.map.beat_at_ns(now_ns) + self._place.beats
        at_once = change is not None and change.shift is Shift.LEAP
        if self._place.compare(song.beat_at_ns(now_ns) - here, leader.grid_beats, at_once=at_once):
            self._take_map()
            landed = change.from_beats if at_once and change is not None else self.map.beat_at_ns(now_ns)
            return Change(Shift.LEAP, landed)
        before = self.map
        self._take_map()
        return None if self.map == before else Change(Shift.SLIDE)

    # -- which clock leads --------------------------------------------------------------------------------------------

    def _wanted(self, now_ns: int) -> Follower | None:
        if self._leader is not None and now_ns - self._word_ns < WORD_NS and self.source in ("auto", self._leader.name):
            return self._leader
        return chosen(self.source, self._followers, self._leader, self._live.map, we_play=self.map.playing)

    def _reconsider(self, now_ns: int, change: Change | None) -> Change | None:
        """Take over the clock that is wanted: at the next bar line while the song plays, at once while it stands."""
        wanted = self._wanted(now_ns)
        if wanted is self._leader:
            self._switch_beats = None
            return None
        if wanted is None:
            return self._let_go(now_ns)
        if not self.map.playing:
            started_at = change.from_beats if change is not None and change.shift is Shift.START else None
            return self._join(wanted, now_ns, started_at)
        here = self.map.beat_at_ns(now_ns)
        if self._switch_beats is None or self._switch_beats > here + self.map.bar_beats:  # it has been played anew
            self._switch_beats = self.map.first_boundary("bar", here, None)
        return None

    def _switch(self, now_ns: int) -> Change | None:
        self._switch_beats = None
        wanted = self._wanted(now_ns)
        return None if wanted is None or wanted is self._leader else self._join(wanted, now_ns, None)

    def _join(self, wanted: Follower, now_ns: int, started_at: float | None) -> Change:
        """Go by another clock's map from now on."""
        before = self.map
        self._leader, self._lost, self._switch_beats, self._nudge_ns = wanted, False, None, 0
        self._place.reset()
        wanted.adopt(before, now_ns)
        song = self._live.map
        assert wanted.map is not None
        if self._by_live and song is not None and song.playing:
            wanted.adopt(song, now_ns)
            self._place.settle(song.beat_at_ns(now_ns) - wanted.map.beat_at_ns(now_ns), wanted.grid_beats)
        self._take_map()
        self._say(f"clock: following {CALLED[wanted.name]}, {self.map.tempo_bpm:.1f} BPM")
        here = self.map.beat_at_ns(now_ns)
        if not self.map.playing:
            return Change(Shift.STOP if before.playing else Shift.SLIDE)
        if not before.playing:
            return Change(Shift.START, here if started_at is None else started_at)
        apart_ms = abs(before.beat_at_ns(now_ns) - here) * 60_000 / self.map.tempo_bpm
        return Change(Shift.SLIDE) if apart_ms < SLIDE_MS else Change(Shift.LEAP, here)

    def _let_go(self, now_ns: int) -> Change:
        """Our own clock goes on at the last tempo and phase: nothing is heard of it, so it need not wait for a bar."""
        leader, self._leader, self._switch_beats = self._leader, None, None
        self._place.reset()
        self._nudge_ns = 0
        self.map = dataclasses.replace(self.map.rebased(now_ns), tempo_bpm=_within_range(self.map.tempo_bpm))
        if leader is not None:
            self._say(f"clock: {CALLED[leader.name]} is followed no longer; its own, {self.map.tempo_bpm:.1f} BPM")
        return Change(Shift.SLIDE)

    def _say(self, line: str) -> None:
        log.info("%s", line)
        self.notices.append(line)

    # -- what our user wants ------------------------------------------------------------------------------------------

    def set_source(self, source: str, now_ns: int) -> Change | None:
        """Choose the source; the position goes on until the new source says otherwise.

        Raises:
            ValueError: unknown.
        """
        self.source = checked_source(source)
        for follower in self._followers:
            wanted = source == follower.name or (source == "auto" and (follower.name != "link" or self._look_for_link))
            follower.want(wanted, now_ns)
        return self._reconsider(now_ns, None) or Change(Shift.SLIDE)

    def set_tempo(self, tempo_bpm: float, now_ns: int, *, restored: bool = False) -> Change | None:
        """The internal tempo, at the same phase, or that of a clock which takes it; nothing where it has its own, or
        where it is only what the tempo was before we were started (`restored`).

        Raises:
            ValueError: out of range.
        """
        if self._leader is not None:
            if not restored:
                self._leader.set_tempo(internal.checked_tempo(tempo_bpm), now_ns)
            return None
        self.map = internal.with_tempo(self.map, tempo_bpm, now_ns)
        for follower in self._followers:
            if follower.peers == 0:  # a Link session that nobody else is in yet: who joins finds our tempo
                follower.set_tempo(tempo_bpm, now_ns)
        self._midi.supposed_bpm = tempo_bpm
        return Change(Shift.SLIDE)

    def set_offset(self, offset_ms: float, source: str | None = None) -> Change | None:
        """Standing offset against a followed clock, or against all that have none of their own: positive sounds later.

        Args:
            offset_ms: the offset.
            source: whose; None: all others'.
        """
        if source in (None, "internal", "auto"):
            self.offset_ms = offset_ms
        else:
            assert source is not None
            self.offsets_ms[source] = offset_ms
        if self._leader is None:
            return None
        self._take_map()
        return Change(Shift.SLIDE)

    def nudge(self, by_ms: float) -> Change:
        """Shift everything once: positive sounds later."""
        moved_ns = round(by_ms * 1e6)
        self.map = self.map.later(moved_ns)
        if self._leader is not None:
            self._nudge_ns += moved_ns
        return Change(Shift.SLIDE)

    def transport(self, action: str, now_ns: int) -> Change | None:
        """``play``, ``stop``, ``continue`` of the internal clock, or of one that takes them; else nothing.

        Raises:
            ValueError: another action.
        """
        leader = self._leader
        if leader is None:
            self.map, change = internal.moved(self.map, action, now_ns)
            for follower in self._followers:
                if follower.here and follower.peers == 0:  # ... and whether we play
                    follower.transport(action, now_ns)
            return change
        if not leader.takes_transport or self._by_live:
            return None
        change = leader.transport(action, now_ns)
        return None if change is None else self._led(change, now_ns)

    def restore(self, tempo_map: TempoMap, now_ns: int) -> Change:
        """The map as it was before this process was restarted; it runs on from where it would be now."""
        before, self.map = self.map, tempo_map
        if tempo_map.playing:
            shift = Shift.LEAP if before.playing else Shift.START
            return Change(shift, tempo_map.beat_at_ns(now_ns))
        return Change(Shift.STOP if before.playing else Shift.SLIDE)

    def _offset_of(self, source: str) -> float:
        return self.offsets_ms.get(source, self.offset_ms)


def _within_range(tempo_bpm: float) -> float:
    return min(max(tempo_bpm, limits.MIN_TEMPO_BPM), limits.MAX_TEMPO_BPM)
