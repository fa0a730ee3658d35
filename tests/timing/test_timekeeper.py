"""Which clock is in force, and what its changes look like to the player."""

from __future__ import annotations

import dataclasses

import pytest

from bridge.messages import LiveReport
from bridge.timing.changes import Change, Shift
from bridge.timing.live import LOST_NS
from bridge.timing.tempo_map import TempoMap
from bridge.timing.timekeeper import Timekeeper

MS = 1_000_000
S = 1_000_000_000


def report(at_ns: int, beats: float, playing: bool = True, tempo: float = 120.0) -> LiveReport:
    return LiveReport(at_ns, playing, tempo, beats, 4, 4, -1.0, -1.0)


def keeper(source: str = "auto", offset_ms: float = 0.0) -> Timekeeper:
    return Timekeeper(source, 120.0, 4, offset_ms)


def test_it_stands_at_beat_0_when_the_bridge_starts():
    state = keeper().state()
    assert (state.source, state.playing, state.anchor_beats, state.followed) == ("internal", False, 0.0, False)


def test_play_stop_continue_and_play_again():
    clock = keeper()
    assert clock.transport("play", S) == Change(Shift.START, 0.0)
    assert clock.map.beat_at_ns(3 * S) == 4.0
    assert clock.transport("stop", 3 * S) == Change(Shift.STOP)
    assert clock.map.beat_at_ns(9 * S) == 4.0
    assert clock.transport("stop", 4 * S) is None
    assert clock.transport("continue", 5 * S) == Change(Shift.START, 4.0)
    assert clock.transport("continue", 5 * S) is None
    assert clock.transport("play", 6 * S) == Change(Shift.LEAP, 0.0)
    assert clock.map.beat_at_ns(6 * S) == 0.0


def test_a_new_tempo_keeps_the_phase():
    clock = keeper()
    clock.transport("play", 0)
    assert clock.set_tempo(60.0, S) == Change(Shift.SLIDE)
    assert clock.map.beat_at_ns(S) == 2.0
    assert clock.map.beat_at_ns(2 * S) == 3.0


@pytest.mark.parametrize("tempo", [19.9, 999.1, float("nan")])
def test_a_tempo_out_of_range_changes_nothing(tempo):
    clock = keeper()
    before = clock.map
    with pytest.raises(ValueError, match="20 to 999"):
        clock.set_tempo(tempo, 0)
    assert clock.map is before


@pytest.mark.parametrize("source", ["MIDI", "ableton", "Live", ""])
def test_sources_that_do_not_exist_are_refused(source):
    with pytest.raises(ValueError, match="clock source"):
        keeper().set_source(source, 0)


def test_auto_follows_live_when_its_reports_come():
    clock = keeper()
    assert clock.live(report(S, 16.02)) == Change(Shift.START, 16.0)
    assert (clock.state().source, clock.state().followed) == ("live", True)
    assert clock.set_tempo(60.0, S) is None
    assert clock.transport("stop", S) is None
    assert clock.map.playing


def test_joining_live_while_playing_is_a_leap_and_being_there_already_none():
    """Whoever plays finishes the bar first: bars of 2 s here."""
    for beats, change in ((40.0, Change(Shift.LEAP, 41.0)), (2.97, Change(Shift.SLIDE))):
        clock = keeper()
        clock.transport("play", 0)
        assert clock.live(report(3 * S // 2, beats)) is None
        assert (clock.source_in_force, clock.next_check_ns()) == ("internal", 2 * S)
        assert clock.check(2 * S) == change
        assert clock.source_in_force == "live"


def test_internal_ignores_live():
    clock = keeper("internal")
    assert clock.live(report(S, 4.0)) is None
    assert not clock.map.playing


def test_reports_that_cease_are_coasted_over_and_then_it_is_internal_again_without_a_gap():
    clock = keeper()
    clock.live(report(S, 0.0))
    assert clock.next_check_ns() == S + LOST_NS
    assert clock.check(S + LOST_NS - 1) is None
    before = clock.map.beat_at_ns(S + LOST_NS)
    assert clock.check(S + LOST_NS) == Change(Shift.SLIDE)
    assert (clock.state().source, clock.state().followed, clock.map.playing) == ("internal", False, True)
    assert clock.map.beat_at_ns(S + LOST_NS) == before
    assert clock.set_tempo(100.0, 7 * S) == Change(Shift.SLIDE)


def test_live_coming_back_in_place_is_no_leap():
    clock = keeper()
    clock.live(report(S, 0.0))
    clock.check(S + LOST_NS)
    assert clock.live(report(10 * S + S // 2, 18.99)) is None
    assert clock.check(clock.next_check_ns()) == Change(Shift.SLIDE)
    assert clock.source_in_force == "live"
    assert clock.map.beat_at_ns(11 * S) == pytest.approx(19.99)


def test_a_source_of_live_alone_says_so_while_it_is_lost():
    clock = keeper("live")
    assert (clock.state().source, clock.state().followed) == ("live", False)


def test_switching_to_internal_goes_on_in_place():
    clock = keeper()
    clock.live(report(S, 8.0))
    assert clock.set_source("internal", 2 * S) == Change(Shift.SLIDE)
    assert clock.map.beat_at_ns(2 * S) == pytest.approx(10.0)
    assert clock.live(report(3 * S, 100.0)) is None


def test_the_offset_moves_a_followed_clock_and_not_our_own():
    clock = keeper(offset_ms=10.0)
    clock.live(report(S, 8.0))
    assert clock.map.ns_at_beat(8.0) == S + 10 * MS
    assert clock.set_offset(-5.0) == Change(Shift.SLIDE)
    assert clock.map.ns_at_beat(8.0) == S - 5 * MS
    own = keeper(offset_ms=10.0)
    own.transport("play", S)
    assert own.map.ns_at_beat(0.0) == S


def test_restoring_runs_on_from_where_it_would_be():
    clock = keeper()
    saved = TempoMap(S, 4.0, 90.0, True, 3, 4, 1.0)
    assert clock.restore(saved, 3 * S) == Change(Shift.START, 7.0)
    assert clock.map == saved
    standing = dataclasses.replace(saved, playing=False)
    assert keeper().restore(standing, 3 * S) == Change(Shift.SLIDE)
