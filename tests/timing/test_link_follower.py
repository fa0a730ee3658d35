"""The Link follower against an ideal session on an offline clock: bar lines, starts, tempo, and who wishes what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.timing.changes import Change, Shift
from bridge.timing.follower import NEVER_NS, Follower
from bridge.timing.link import NOT_INSTALLED, LinkFollower, LinkReading, LinkWish
from bridge.timing.tempo_map import TempoMap
from bridge.timing.timekeeper import Timekeeper

SECOND = 10**9
BEGAN = 7 * SECOND


class Session:
    """A session as its peers share it: one line, one transport. Our place in it, too: it stands where a test says."""

    missing = ""

    def __init__(self, tempo_bpm: float = 120.0, peers: int = 1) -> None:
        self.anchor_ns, self.anchor_beats, self.tempo_bpm = BEGAN, 0.0, tempo_bpm
        self.transport = (False, 0)
        self.peers = peers
        self.drift = 0.0
        self.wishes: list[LinkWish] = []
        self.opened: list[float] = []
        self.is_open = False
        self.next_read_ns = 0

    def beat_at(self, now_ns: int) -> float:
        return self.anchor_beats + (now_ns - self.anchor_ns) * (1 + self.drift) * self.tempo_bpm / 60e9

    def ns_at(self, beats: float) -> int:
        return self.anchor_ns + round((beats - self.anchor_beats) * 60e9 / self.tempo_bpm)

    def set_tempo(self, tempo_bpm: float, now_ns: int) -> None:
        self.anchor_ns, self.anchor_beats, self.tempo_bpm = now_ns, self.beat_at(now_ns), tempo_bpm

    def jump(self, beats: float) -> None:
        self.anchor_beats += beats

    def open(self, tempo_bpm: float, now_ns: int) -> None:
        self.is_open = True
        self.opened.append(tempo_bpm)

    def close(self) -> None:
        self.is_open = False

    def read(self, quantum_beats: float, now_ns: int) -> LinkReading:
        self.next_read_ns = now_ns + 20_000_000
        return LinkReading(now_ns, self.beat_at(now_ns), self.tempo_bpm, *self.transport, self.peers)

    def ask(self, wish: LinkWish, quantum_beats: float) -> None:
        self.wishes.append(wish)


def follower_of(session: Session, quantum: float = 4.0) -> LinkFollower:
    follower = LinkFollower(session, quantum, 120.0)
    follower.want(True, BEGAN)
    return follower


def read_at(follower: LinkFollower, session: Session, now_ns: int) -> Change | None:
    session.next_read_ns = now_ns
    return follower.check(now_ns)


def read(follower: LinkFollower, session: Session, at_beat: float) -> Change | None:
    return read_at(follower, session, session.ns_at(at_beat))


def joined(session: Session, at_beat: float, quantum: float = 4.0) -> LinkFollower:
    follower = follower_of(session, quantum)
    assert read(follower, session, at_beat) is not None
    return follower


def waits(follower: LinkFollower, session: Session) -> bool:
    """Whether a start waits for its bar line."""
    session.next_read_ns = 1 << 62
    return follower.next_check_ns() < 1 << 62


def started(follower: LinkFollower, session: Session) -> Change:
    """Let the planned start come, the session being read only at the moment itself."""
    assert waits(follower, session)
    due_ns = follower.next_check_ns()
    assert follower.check(due_ns - 1) is None
    change = follower.check(due_ns)
    assert change is not None
    return change


def is_a_follower(clock: Follower) -> Follower:
    return clock


def test_it_is_asked_for_and_let_go() -> None:
    session = Session(97.0)
    follower = is_a_follower(LinkFollower(session, 4.0, 98.5))
    assert not follower.here
    assert follower.next_check_ns() == NEVER_NS
    follower.set_tempo(101.0, BEGAN)
    follower.want(True, BEGAN)
    assert (session.opened, session.wishes) == ([101.0], []), "the last tempo known, and nothing asked of anybody"
    read(follower, session, 2.0)
    assert follower.here
    assert follower.peers == 1
    assert follower.next_check_ns() == session.ns_at(2.0) + 20_000_000
    follower.want(False, session.ns_at(3.0))
    assert (follower.here, follower.map, follower.peers, session.is_open) == (False, None, 0, False)


def test_without_the_library_it_says_so_and_stays_away() -> None:
    session = Session()
    session.missing = NOT_INSTALLED
    follower = LinkFollower(session, 4.0, 120.0)
    follower.want(True, BEGAN)
    assert "run_bridge.py setup link" in follower.missing
    assert not session.opened
    assert follower.next_check_ns() == NEVER_NS


def test_joining_a_session_that_stands_says_its_tempo_and_asks_for_nothing() -> None:
    session = Session(97.0)
    follower = joined(session, 2.6)
    assert follower.map is not None
    assert (follower.map.playing, follower.map.tempo_bpm, follower.map.anchor_beats) == (False, 97.0, 0.0)
    assert not waits(follower, session)
    assert not session.wishes


@pytest.mark.parametrize(("at", "line"), [(2.6, 4.0), (4.0, 4.0), (4.1, 8.0), (0.0, 0.0)])
def test_play_begins_beat_0_on_the_sessions_next_bar_line(at: float, line: float) -> None:
    session = Session()
    follower = joined(session, at)
    now_ns = session.ns_at(at)
    change = follower.transport("play", now_ns)
    assert session.wishes == [LinkWish(now_ns, playing=True)]
    if line > at:
        assert change is None
        assert not follower.map.playing
        change = started(follower, session)
    assert change == Change(Shift.START, 0.0)
    assert follower.map.ns_at_beat(0.0) == pytest.approx(session.ns_at(line), abs=2)


def test_alone_play_begins_at_once_and_lays_the_timeline_there() -> None:
    session = Session(peers=0)
    follower = joined(session, 2.6)
    now_ns = session.ns_at(2.6)
    assert follower.transport("play", now_ns) == Change(Shift.START, 0.0)
    assert session.wishes == [LinkWish(now_ns, playing=True, beats=0.0)]
    assert follower.map.beat_at_ns(now_ns) == 0.0
    session.jump(-2.6)
    session.transport = (True, now_ns)
    assert read(follower, session, 0.04) is None


def test_a_peers_start_is_ours_on_the_bar_line_at_or_after_it() -> None:
    session = Session()
    follower = joined(session, 5.0)
    session.transport = (True, session.ns_at(5.5))
    assert read(follower, session, 5.52) is None
    assert started(follower, session) == Change(Shift.START, 0.0)
    assert follower.map.ns_at_beat(0.0) == pytest.approx(session.ns_at(8.0), abs=2)
    assert not session.wishes, "the session knows by itself"


def test_who_joins_a_song_is_where_the_others_are() -> None:
    session = Session()
    session.transport = (True, session.ns_at(3.0))
    follower = follower_of(session)
    change = read(follower, session, 21.25)
    assert change == Change(Shift.START, pytest.approx(17.25))
    assert follower.map.beat_at_ns(session.ns_at(22.0)) == pytest.approx(18.0)


def test_a_start_told_some_ms_late_still_counts_from_its_line() -> None:
    session = Session()
    follower = joined(session, 3.9)
    session.transport = (True, session.ns_at(3.99))
    assert read(follower, session, 4.04) == Change(Shift.START, 0.0)
    assert follower.map.ns_at_beat(0.0) == pytest.approx(session.ns_at(4.0), abs=2)


def test_stop_is_for_all_and_continue_takes_the_phase_up_again() -> None:
    session = Session()
    follower = joined(session, 0.0)
    follower.transport("play", session.ns_at(0.0))
    stop_ns = session.ns_at(5.5)
    assert follower.transport("stop", stop_ns) == Change(Shift.STOP)
    assert follower.map.anchor_beats == pytest.approx(5.5)
    assert follower.transport("continue", session.ns_at(10.0)) is None
    assert started(follower, session) == Change(Shift.START, pytest.approx(5.5))
    assert follower.map.beat_at_ns(session.ns_at(13.5)) == pytest.approx(5.5)
    assert [(wish.playing, wish.tempo_bpm) for wish in session.wishes] == [(True, None), (False, None), (True, None)]


def test_a_peers_stop_stops_us_and_calls_off_a_start_that_waits() -> None:
    session = Session()
    follower = joined(session, 0.0)
    session.transport = (True, session.ns_at(0.5))
    read(follower, session, 0.6)
    session.transport = (False, session.ns_at(0.7))
    assert read(follower, session, 0.72) is None
    assert not waits(follower, session)
    session.transport = (True, session.ns_at(3.0))
    read(follower, session, 3.1)
    started(follower, session)
    session.transport = (False, session.ns_at(6.0))
    assert read(follower, session, 6.02) == Change(Shift.STOP)
    assert not session.wishes


def test_a_tempo_change_is_taken_over_without_a_leap() -> None:
    session = Session()
    follower = joined(session, 0.0)
    follower.transport("play", session.ns_at(0.0))
    session.set_tempo(90.0, session.ns_at(8.0))
    assert read(follower, session, 8.03) == Change(Shift.SLIDE)
    assert follower.map.tempo_bpm == 90.0
    for beat in (8.1, 9.0, 12.0):
        assert follower.map.ns_at_beat(beat) == pytest.approx(session.ns_at(beat), abs=2)


def test_whole_bars_are_each_peers_own_but_a_phase_is_shared() -> None:
    session = Session()
    follower = joined(session, 0.0)
    follower.transport("play", session.ns_at(0.0))
    read(follower, session, 5.0)
    before = follower.map.beat_at_ns(session.ns_at(6.0))
    moment = session.ns_at(6.0)
    session.jump(-4.0)
    assert read_at(follower, session, moment) is None
    assert follower.map.beat_at_ns(moment) == pytest.approx(before)
    session.jump(1.5)
    change = read_at(follower, session, moment)
    assert change == Change(Shift.LEAP, pytest.approx(7.5))
    session.jump(0.05)
    assert read_at(follower, session, moment) == Change(Shift.SLIDE)
    assert follower.map.beat_at_ns(moment) == pytest.approx(7.55)


@pytest.mark.parametrize("quantum", [3.0, 3.5, 4.0, 5.0])
def test_bars_are_quanta(quantum: float) -> None:
    session = Session()
    follower = joined(session, 1.0, quantum)
    follower.transport("play", session.ns_at(1.0))
    started(follower, session)
    assert follower.map.bar_beats == quantum
    assert follower.map.ns_at_beat(0.0) == pytest.approx(session.ns_at(quantum), abs=2)


def test_a_song_of_our_own_goes_on_in_the_sessions_phase() -> None:
    session = Session(100.0)
    follower = joined(session, 30.5)
    now_ns = session.ns_at(30.5)
    follower.adopt(TempoMap(now_ns, 17.0, 120.0, True), now_ns)
    here = follower.map.beat_at_ns(now_ns)
    assert here % 4 == pytest.approx(2.5)
    assert abs(here - 17.0) <= 2.0
    assert follower.map.playing
    assert not session.wishes


def test_auto_takes_a_session_while_somebody_is_in_it_and_goes_on_alone_when_they_leave() -> None:
    session = Session(150.0, peers=0)
    keeper = Timekeeper(
        "internal", 120.0, 4, 0.0, link=LinkFollower(session, 4.0, 120.0), look_for_link=True
    )  # fmt: skip
    keeper.set_source("auto", BEGAN)
    session.next_read_ns = BEGAN
    keeper.check(BEGAN)
    assert keeper.source_in_force == "internal"
    keeper.set_tempo(133.0, BEGAN)
    keeper.transport("play", BEGAN)
    assert [(wish.tempo_bpm, wish.playing) for wish in session.wishes] == [(133.0, None), (None, True)]
    session.wishes.clear()
    session.set_tempo(150.0, BEGAN)
    session.peers = 1
    now_ns = BEGAN
    while keeper.source_in_force != "link":
        now_ns = max(now_ns, keeper.next_check_ns())
        change = keeper.check(now_ns)
        assert now_ns < BEGAN + 3 * SECOND
    assert keeper.map.tempo_bpm == 150.0
    assert change is not None
    assert change.shift in (Shift.SLIDE, Shift.LEAP)
    assert keeper.map.beat_at_ns(now_ns) % 4 == pytest.approx(session.beat_at(now_ns) % 4, abs=1e-6)
    session.peers = 0
    session.next_read_ns = now_ns = now_ns + SECOND
    keeper.check(now_ns)
    assert keeper.source_in_force == "internal"
    assert keeper.map.playing
    assert keeper.map.tempo_bpm == 150.0
    assert not session.wishes, "nobody's tempo or transport was touched on the way"


def test_what_the_tempo_was_before_the_player_started_is_no_wish_to_the_session_it_has_joined() -> None:
    session = Session(150.0)
    keeper = Timekeeper("link", 120.0, 4, 0.0, link=LinkFollower(session, 4.0, 120.0))
    keeper.set_source("link", BEGAN)
    session.next_read_ns = BEGAN
    keeper.check(BEGAN)
    assert keeper.source_in_force == "link"
    keeper.set_tempo(97.0, BEGAN, restored=True)
    assert not session.wishes
    keeper.set_tempo(97.0, BEGAN)
    assert session.wishes == [LinkWish(BEGAN, tempo_bpm=97.0)]


def test_a_tempo_of_ours_is_no_wish_to_a_session_that_we_are_just_finding() -> None:
    """The bridge tells the player its tempo when it comes, which may be the moment in which a peer is found."""
    session = Session(150.0, peers=0)
    follower = follower_of(session)
    follower.set_tempo(120.0, BEGAN)
    assert not session.wishes, "as it was"
    follower.set_tempo(121.0, BEGAN)
    assert session.wishes.pop().only_alone
    session.peers = 1
    read(follower, session, 1.0)
    follower.set_tempo(121.0, session.ns_at(1.0))
    assert session.wishes.pop() == LinkWish(session.ns_at(1.0), tempo_bpm=121.0)


def test_an_hour_beside_a_clock_that_drifts() -> None:
    """Link's clock is not steered by the network's time, ours is: 200 ppm are ten times what was seen."""
    session = Session()
    session.drift = 200e-6
    follower = joined(session, 0.0)
    follower.transport("play", session.ns_at(0.0))
    worst_ms = changes = 0.0
    for number in range(1, 36_000):
        now_ns = BEGAN + number * SECOND // 10
        worst_ms = max(worst_ms, abs(follower.map.beat_at_ns(now_ns) - session.beat_at(now_ns)) * 500)
        change = read_at(follower, session, now_ns)
        changes += change is not None
        assert change in (None, Change(Shift.SLIDE))
    assert worst_ms < 0.1
    assert follower.error_ms < 0.1
    assert changes > 1000


@given(st.data())
def test_whatever_the_session_does_only_our_user_wishes_and_bar_lines_agree(data: st.DataObject) -> None:
    session = Session(data.draw(st.floats(20, 999)), data.draw(st.integers(1, 3)))
    follower = follower_of(session)
    now_ns = BEGAN
    for _ in range(data.draw(st.integers(1, 30))):
        now_ns += data.draw(st.integers(1, 3 * SECOND))
        act = data.draw(st.sampled_from(["read", "tempo", "start", "stop", "jump"]))
        if act == "tempo":
            session.set_tempo(data.draw(st.floats(20, 999)), now_ns)
        elif act in ("start", "stop"):
            session.transport = (act == "start", now_ns + data.draw(st.integers(-SECOND, SECOND)))
        elif act == "jump":
            session.jump(data.draw(st.floats(-9, 9)))
        read_at(follower, session, now_ns)
        if waits(follower, session) and follower.next_check_ns() <= now_ns + SECOND:
            now_ns = max(now_ns, follower.next_check_ns())
            follower.check(now_ns)
        if follower.map.playing:
            apart = follower.map.beat_at_ns(now_ns) - session.beat_at(now_ns)
            assert abs(apart - round(apart / 4) * 4) * 60_000 / session.tempo_bpm < 0.05
        assert session.transport[0] == (follower.map.playing or waits(follower, session))
    assert not session.wishes


def test_who_joins_alone_with_a_song_that_plays_plays_on() -> None:
    session = Session(peers=0)
    follower = joined(session, 2.0)
    now_ns = session.ns_at(2.5)
    follower.adopt(TempoMap(now_ns, 17.0, 120.0, True), now_ns)
    assert [(wish.playing, wish.only_alone) for wish in session.wishes] == [(True, True)]
    session.transport = (False, 40_000)  # the same stop as before, by clocks that have drifted apart
    for beat in (3.0, 4.0, 5.0):
        read(follower, session, beat)
        assert follower.map.playing
    session.transport = (True, now_ns)
    read(follower, session, 6.0)
    session.transport = (False, session.ns_at(6.5))
    assert read(follower, session, 7.0) == Change(Shift.STOP)


def test_who_joins_others_with_a_song_that_plays_asks_nothing_of_them() -> None:
    session = Session(peers=2)
    follower = joined(session, 2.0)
    now_ns = session.ns_at(2.5)
    follower.adopt(TempoMap(now_ns, 17.0, 120.0, True), now_ns)
    session.transport = (False, 40_000)
    read(follower, session, 3.0)
    assert follower.map.playing
    assert not session.wishes
