"""The clock's requests where a clock is followed: what is refused, in which words, and what is remembered."""

from __future__ import annotations

import json
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


def the_next_bridge(room: Room, folder: Path) -> Room:
    """The bridge after one that was killed, and its player with it."""
    room.time.run(1.0)
    again = Room(folder, fresh=False)
    again.time.ns = room.time.ns
    again.session.from_player(clock_state(0, playing=False))
    again.session.from_player(messages.SnapshotEnd(True))
    return again


def test_a_song_goes_on_where_it_was_when_the_bridge_and_the_player_die_together(room: Room, tmp_path: Path) -> None:
    loop = room.new_loop()
    room.session.from_player(clock_state(room.time.ns, anchor_beats=3.5, tempo_bpm=97.0))
    again = the_next_bridge(room, tmp_path)
    (transport,) = again.player.take(messages.RestoreTransport)
    assert (transport.playing, transport.anchor_beats, transport.tempo_bpm) == (True, 3.5, 97.0)
    assert transport.anchor_ns == room.time.ns - 1_000_000_000
    assert [(voice.voice, voice.id) for voice in again.player.take(messages.RestoreVoice)] == [("melody", loop)]


def test_where_a_followed_clock_is_outlives_the_bridge_too(room: Room, tmp_path: Path) -> None:
    for beat in range(8):
        room.time.run(0.5)
        room.session.from_player(clock_state(room.time.ns, source="midi", followed=True, anchor_beats=beat + 1.0))
    again = the_next_bridge(room, tmp_path)
    (transport,) = again.player.take(messages.RestoreTransport)
    assert transport.playing
    assert transport.anchor_beats >= 4.0


def test_a_song_that_stood_stands(room: Room, tmp_path: Path) -> None:
    room.session.from_player(clock_state(room.time.ns, playing=False, anchor_beats=9.0))
    again = the_next_bridge(room, tmp_path)
    assert [record.playing for record in again.player.take(messages.RestoreTransport)] == [False]


def test_a_state_file_with_a_clock_that_cannot_be_costs_the_clock_alone(room: Room, tmp_path: Path) -> None:
    room.ask("store", slot="a", length=4.0, notes=[(60, 0.0, 1.0, 90, 0)])
    room.time.run(1.0)
    path = tmp_path / "state.json"
    kept = json.loads(path.read_text())
    for key, wrong in (("numerator", 0), ("tempo_bpm", -3.0), ("anchor_beats", float("nan")), ("bars", 3)):
        path.write_text(json.dumps({**kept, "clock": [*kept["clock"][:4], {**kept["clock"][4], key: wrong}]}))
        again = Room(tmp_path)
        assert list(again.voice.corners) == ["a"]
        assert again.player.take(messages.RestoreTransport) == []


def test_what_moves_the_song_is_refused_until_the_new_player_has_been_given_it(room: Room) -> None:
    room.session.player_gone()
    room.player.connected = False
    assert [room.refusal(verb, "clock") for verb in ("play", "stop", "continue")] == [4, 4, 4]
    assert room.refusal("nudge", "clock", ms=5.0) == 4
    room.player.connected = True
    room.session.player_came()
    assert room.refusal("stop", "clock") == 4
    room.session.from_player(messages.SnapshotEnd(True))
    assert room.refusal("stop", "clock") == 0
    assert room.refusal("nudge", "clock", ms=5.0) == 0
