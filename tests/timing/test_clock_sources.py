"""Which of several clocks leads, when it changes, and what is heard of that."""

from __future__ import annotations

import pytest

from bridge.messages import LiveReport
from bridge.timing.changes import Change, Shift
from bridge.timing.follower import NEVER_NS, Passive
from bridge.timing.live import LOST_NS
from bridge.timing.midi import START, STOP, TICK
from bridge.timing.midi_clock import FORGET_NS
from bridge.timing.midi_clock import LOST_NS as SILENT_NS
from bridge.timing.tempo_map import TempoMap
from bridge.timing.timekeeper import Timekeeper

S = 1_000_000_000
TICK_NS = S // 48
BAR_NS = 2 * S


class Shared(Passive):
    """A clock that is shared and takes tempo and transport, as Link does; the test says how it is."""

    name = "link"

    def __init__(self) -> None:
        super().__init__()
        self.leads_transport = self.takes_transport = True
        self.grid_beats = 4.0
        self.wanted = False
        self.tempo_asked = 0.0

    @property
    def here(self) -> bool:
        return self.map is not None

    def want(self, on: bool, now_ns: int) -> None:
        self.wanted = on

    def next_check_ns(self) -> int:
        return NEVER_NS if self.map is None else self.heard_ns + S // 50

    def check(self, now_ns: int) -> Change | None:
        self.heard_ns = now_ns
        return None

    def set_tempo(self, tempo_bpm: float, now_ns: int) -> bool:
        self.tempo_asked = tempo_bpm
        return True

    def adopt(self, song: TempoMap, now_ns: int) -> None:
        self.map = TempoMap(now_ns, song.beat_at_ns(now_ns), 100.0, True)


def ticks(clock: Timekeeper, from_ns: int, count: int, period_ns: int = TICK_NS) -> list[Change | None]:
    """Ticks from a moment on; whatever falls due between them is done."""
    changes = []
    for k in range(count):
        now_ns = from_ns + k * period_ns
        changes += run(clock, now_ns)
        changes.append(clock.midi_in(now_ns, (TICK,)))
    return changes


def run(clock: Timekeeper, until_ns: int) -> list[Change | None]:
    changes = []
    while (due_ns := clock.next_check_ns()) <= until_ns:
        changes.append(clock.check(due_ns))
    return changes


def live(at_ns: int, beats: float, playing: bool = True) -> LiveReport:
    return LiveReport(at_ns, playing, 120.0, beats, 4, 4, -1.0, -1.0)


def moves(changes: list[Change | None]) -> list[Change]:
    return [change for change in changes if change is not None and change.shift is not Shift.SLIDE]


def test_ticks_take_over_at_a_bar_line_in_tempo_and_phase_without_a_leap():
    clock = Timekeeper("auto", 100.0, 4, 0.0)  # bars of 2.4 s
    clock.transport("play", 0)
    assert moves(ticks(clock, S + 7_000_000, 60)) == []
    assert clock.source_in_force == "internal"
    assert moves(ticks(clock, S + 7_000_000 + 60 * TICK_NS, 60)) == []
    assert clock.source_in_force == "midi"
    assert clock.map.tempo_bpm == pytest.approx(120.0)
    at_ns = S + 7_000_000 + 96 * TICK_NS
    assert clock.map.beat_at_ns(at_ns) * 24 == pytest.approx(round(clock.map.beat_at_ns(at_ns) * 24), abs=1e-3)
    assert clock.notices == ["clock: following MIDI clock, 120.0 BPM"]


def test_a_song_that_is_played_anew_meanwhile_does_not_put_the_change_off():
    clock = Timekeeper("auto", 120.0, 4, 0.0)
    clock.transport("play", -400 * S)
    ticks(clock, S // 4, 12)
    assert clock.transport("play", S // 2) == Change(Shift.LEAP, 0.0)
    ticks(clock, S // 2 + 1000, 100)
    assert clock.source_in_force == "midi"


def test_while_the_song_stands_a_clock_is_followed_at_once():
    clock = Timekeeper("auto", 100.0, 4, 0.0)
    ticks(clock, S, 3)
    assert clock.source_in_force == "midi"
    assert clock.transport("play", S + 3 * TICK_NS - 1000) == Change(Shift.START, 0.0)
    assert clock.map.ns_at_beat(0.0) == pytest.approx(S + 3 * TICK_NS, abs=10)
    assert clock.state().takes_transport
    assert not clock.state().takes_tempo


def test_a_device_that_stands_does_not_stop_our_song_and_its_start_takes_over_at_our_bar_line():
    clock = Timekeeper("auto", 120.0, 4, 0.0)
    clock.transport("play", 0)
    clock.midi_in(S // 2, (STOP,))
    assert moves(ticks(clock, S // 2, 144)) == []
    assert clock.source_in_force == "internal"
    clock.midi_in(4 * S - S // 4, (START,))
    changes = moves(ticks(clock, 4 * S - S // 4 + 10_000_000, 48))
    assert [change.shift for change in changes] == [Shift.LEAP]
    assert clock.source_in_force == "midi"


def test_the_masters_stop_is_obeyed_although_reports_of_live_lag_behind():
    clock = Timekeeper("auto", 120.0, 4, 0.0)
    ticks(clock, 0, 24)
    clock.midi_in(S // 2 - 1000, (START,))
    changes = []
    for k in range(192):
        now_ns = S // 2 + k * TICK_NS
        changes.append(clock.midi_in(now_ns, (TICK,)))
        changes.append(clock.live(live(now_ns + 1000, k / 24 - 0.05)))
    assert moves(changes) == []
    stop_ns = S // 2 + 192 * TICK_NS
    assert clock.midi_in(stop_ns, (STOP,)) == Change(Shift.STOP)
    late = [clock.live(live(stop_ns + k * 10_000_000, 8.0)) for k in range(4)]
    late += [clock.live(live(stop_ns + k * 20_000_000, 8.0, playing=False)) for k in range(4, 40)]
    assert moves(late) == []
    assert not clock.map.playing


def test_live_plays_on_while_a_drum_machine_that_was_stopped_ticks():
    clock = Timekeeper("auto", 120.0, 4, 0.0)
    ticks(clock, 0, 48)
    clock.midi_in(S, (STOP,))
    changes = []
    for k in range(60):
        now_ns = 2 * S + k * 16_000_000
        changes.append(clock.midi_in(now_ns, (TICK,)))
        changes.append(clock.live(live(now_ns + 5000, k * 0.032)))
    assert [change.shift for change in moves(changes)] == [Shift.START]
    assert clock.source_in_force == "live"
    assert clock.map.playing


def test_live_starts_and_stops_the_song_on_ticks_without_a_transport():
    clock = Timekeeper("auto", 120.0, 4, 0.0)
    ticks(clock, 0, 48)
    clock.live(live(S, 16.0, playing=False))
    changes = []
    for k in range(48):
        now_ns = S + k * TICK_NS
        changes.append(clock.midi_in(now_ns, (TICK,)))
        changes.append(clock.live(live(now_ns + 8_000_000, 16 + (k + 0.2) / 24)))
    assert moves(changes) == [Change(Shift.START, 16.0)]
    assert clock.source_in_force == "midi"
    assert clock.map.beat_at_ns(2 * S) == pytest.approx(18.0, abs=1e-3)
    assert clock.live(live(2 * S, 18.0, playing=False)) == Change(Shift.STOP)


def test_lives_leap_is_taken_at_once_on_the_ticks_grid():
    clock = Timekeeper("auto", 120.0, 4, 0.0)
    ticks(clock, 0, 48)
    changes: list[Change | None] = []
    for k in range(96):
        now_ns = S + k * TICK_NS
        clock.midi_in(now_ns, (TICK,))
        beats = (k + 0.1) / 24 if k < 72 else 40 + (k - 72 + 0.1) / 24
        changes.append(clock.live(live(now_ns + 4_000_000, beats)))
    (leap,) = moves(changes)[1:]
    assert (leap.shift, leap.from_beats) == (Shift.LEAP, 40.0)
    beat = clock.map.beat_at_ns(S + 96 * TICK_NS)
    assert beat == pytest.approx(41.0, abs=1e-3)


def test_a_lost_clock_is_coasted_then_left_and_another_takes_over_at_a_bar_line():
    clock = Timekeeper("auto", 120.0, 4, 0.0)
    ticks(clock, 0, 24)
    clock.midi_in(S // 2 - 1000, (START,))
    ticks(clock, S // 2, 48)
    last_ns = S // 2 + 47 * TICK_NS
    assert moves(run(clock, last_ns + SILENT_NS)) == []
    assert clock.notices[-1] == "clock: MIDI clock is silent; going on at 120.0 BPM"
    assert clock.source_in_force == "midi"
    assert clock.map.playing
    beat = clock.map.beat_at_ns(last_ns + FORGET_NS)
    run(clock, last_ns + FORGET_NS)
    assert (clock.source_in_force, clock.map.beat_at_ns(last_ns + FORGET_NS)) == ("internal", pytest.approx(beat))


def test_link_is_chosen_only_with_peers_and_asked_for_tempo():
    link = Shared()
    clock = Timekeeper("auto", 120.0, 4, 0.0, link=link, look_for_link=True)
    clock.set_source("auto", 0)
    assert link.wanted
    link.map = TempoMap(0, 0.0, 100.0, False)
    clock.transport("play", 0)
    run(clock, 3 * S)
    assert clock.source_in_force == "internal"
    link.peers = 1
    run(clock, 4 * S - S // 100)
    assert clock.source_in_force == "internal"
    run(clock, 4 * S)
    assert clock.source_in_force == "link"
    assert clock.set_tempo(90.0, 5 * S) is None
    assert link.tempo_asked == 90.0
    clock.set_source("internal", 6 * S)
    assert not link.wanted
    assert clock.source_in_force == "internal"


def test_link_alone_is_followed_where_it_is_asked_for():
    link = Shared()
    clock = Timekeeper("link", 120.0, 4, 0.0, link=link)
    clock.set_source("link", 0)
    link.map = TempoMap(0, 0.0, 100.0, False)
    run(clock, S)
    assert clock.source_in_force == "link"
    assert clock.followed


def test_offsets_belong_to_sources_and_a_nudge_to_the_moment():
    clock = Timekeeper("auto", 120.0, 4, 5.0, offsets_ms={"midi": -20.0})
    ticks(clock, 0, 24)
    clock.midi_in(S // 2 - 1000, (START,))
    assert clock.map.ns_at_beat(0.0) == pytest.approx(S // 2 - 20_000_000, abs=10)
    clock.set_offset(10.0, "midi")
    assert clock.map.ns_at_beat(0.0) == pytest.approx(S // 2 + 10_000_000, abs=10)
    clock.nudge(3.0)
    ticks(clock, S // 2, 24)
    assert clock.map.ns_at_beat(0.0) == pytest.approx(S // 2 + 13_000_000, abs=1000)
    other = Timekeeper("auto", 120.0, 4, 5.0, offsets_ms={"midi": -20.0})
    other.live(live(S, 8.0))
    assert other.map.ns_at_beat(8.0) == S + 5_000_000
    other.transport("stop", S)
    own = Timekeeper("internal", 120.0, 4, 5.0)
    own.transport("play", 0)
    assert own.nudge(-4.0) == Change(Shift.SLIDE)
    assert own.map.ns_at_beat(0.0) == -4_000_000


def test_why_a_source_cannot_be_had_is_in_the_state():
    link = Shared()
    link.missing = "not installed"
    clock = Timekeeper("auto", 120.0, 4, 0.0, link=link)
    clock.set_missing("midi", "no input")
    assert clock.state().missing == {"link": "not installed", "midi": "no input"}
    clock.set_missing("midi", "")
    assert clock.state().missing == {"link": "not installed"}


def test_live_that_goes_away_leaves_the_ticks_where_they_were():
    clock = Timekeeper("auto", 120.0, 4, 0.0)
    ticks(clock, 0, 48)
    for k in range(48):
        clock.midi_in(S + k * TICK_NS, (TICK,))
        clock.live(live(S + k * TICK_NS + 1000, 16 + k / 24))
    assert moves(ticks(clock, 2 * S, 48 * 7)) == []
    assert clock.map.beat_at_ns(2 * S + LOST_NS) == pytest.approx(18.0 + 10.0, abs=1e-3)
