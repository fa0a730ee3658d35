"""The clock's requests where a clock is followed: what is refused, in which words, and what is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_room import HERE, Room, clock_state

from bridge import messages
from bridge.session.outside import RefusedError, Request

NO_LINK = "Ableton Link is not installed"


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_a_source_that_cannot_be_had_is_refused_in_the_players_words(room: Room) -> None:
    room.session.from_player(clock_state(room.time.ns, missing={"link": NO_LINK}))
    room.player.take(messages.SetClock)
    with pytest.raises(RefusedError, match=NO_LINK) as refused:
        room.session.handle(Request("/clock/source", "clock", "source", {"source": "link"}, HERE, room.time.ns))
    assert refused.value.code == 4
    assert room.player.take(messages.SetClock) == []
    room.ask("source", "clock", source="midi")
    assert room.player.take(messages.SetClock) == [messages.SetClock(source="midi")]


def test_a_link_session_takes_tempo_and_transport(room: Room) -> None:
    room.session.from_player(clock_state(room.time.ns, source="link", followed=True))
    assert room.refusal("tempo", "clock", tempo=130.0) == 0
    assert room.refusal("play", "clock") == 0


def test_ticks_without_a_start_take_the_transport_and_no_tempo(room: Room) -> None:
    room.session.from_player(clock_state(room.time.ns, source="midi", followed=True, takes_tempo=False))
    assert room.refusal("tap", "clock") == 4
    assert room.refusal("play", "clock") == 0


def test_a_nudge_is_handed_on_whatever_clock_is_in_force(room: Room) -> None:
    room.player.take(messages.SetClock)
    room.ask("nudge", "clock", ms=-7.5)
    assert room.player.take(messages.SetClock) == [messages.SetClock(nudge_ms=-7.5)]


def test_an_offset_belongs_to_the_source_in_force_and_survives_the_player(room: Room) -> None:
    room.player.take(messages.SetClock)
    room.ask("offset", "clock", ms=3.0)
    room.session.from_player(clock_state(room.time.ns, source="midi", followed=True))
    room.ask("offset", "clock", ms=-12.0)
    assert room.player.take(messages.SetClock) == [
        messages.SetClock(offset_ms=3.0),
        messages.SetClock(offset_ms=-12.0, offset_source="midi"),
    ]
    room.session.player_came()
    room.session.from_player(clock_state(room.time.ns))
    room.session.from_player(messages.SnapshotEnd(True))
    told = room.player.take(messages.SetClock)
    assert told[0].offset_ms == 3.0
    assert told[1] == messages.SetClock(offset_ms=-12.0, offset_source="midi")
