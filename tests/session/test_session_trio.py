"""A voice that plays a trio: fills in its drums alone, and the attribute knobs of its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from session_room import VOICE, Room, clock_state

from bridge import engine_messages, messages

TRIO = {key: value for key, value in VOICE.items() if key != "channel"}
TRIO = {**TRIO, "model": "trio-16bar", "parts": {"melody": 1, "bass": 2, "drums": 10}}
LINES = [(60, 0.0, 1.0, 90, 0), (40, 0.0, 2.0, 90, 1), (64, 4.0, 1.0, 90, 0), (43, 4.0, 2.0, 90, 1)]
LOOP = [*LINES, (36, 0.0, 0.125, 90, 2), (36, 4.0, 0.125, 90, 2)]
FILLED = [*LINES, (36, 0.0, 0.125, 90, 2), (50, 4.0, 0.125, 90, 2), (47, 5.0, 0.125, 90, 2)]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """A trio of two bars, which sounds from beat 4 on; the song is at beat 6."""
    room = Room(tmp_path, voices={"trio": TRIO, "melody": dict(VOICE)})
    room.session.from_engine(engine_messages.ModelState("trio-16bar", True, "ready"))
    sounding(room, LOOP)
    room.session.from_player(clock_state(room.time.ns, anchor_beats=6.0))
    return room


def answer(room: Room, rows: list[Any]) -> engine_messages.Generate:
    """The engine does the oldest job."""
    job: engine_messages.Generate = next(r for r in room.engine.sent if isinstance(r, engine_messages.Generate))
    room.engine.sent.remove(job)
    room.session.from_engine(engine_messages.Generated(job.job, 8.0, rows, 1.0))
    return job


def sounding(room: Room, rows: list[Any]) -> int:
    """New bars, done and launched: their id."""
    room.ask("sample", "trio")
    answer(room, rows)
    launch = room.player.take(messages.Launch)[-1]
    room.session.from_player(messages.Scheduled("trio", launch.id, 4.0))
    room.session.from_player(messages.Launched("trio", launch.id, 4.0, 4.0))
    return int(launch.id)


def heard(room: Room) -> list[tuple[int, float, int]]:
    """What the player was last told to play: pitch, start, part."""
    return [(row[0], row[1], row[4]) for row in room.player.take(messages.Reshape)[-1].notes]


def brief(rows: list[Any]) -> list[tuple[int, float, int]]:
    return [(row[0], row[1], row[4]) for row in sorted(rows, key=lambda row: (row[1], row[4], row[0]))]


def test_a_fill_is_heard_in_its_bar_alone_and_the_lines_go_on(room: Room) -> None:
    room.ask("fill", "trio")
    job = answer(room, FILLED)
    assert (job.op, job.model, job.bend) == ("fill", "trio-16bar", {"fill": {"start": 4.0}})
    assert sorted(heard(room)) == sorted(brief(FILLED))
    for beat in (8, 11):
        room.session.from_player(messages.Beat(beat, 120.0, True))
    assert not room.player.take(messages.Reshape), "it still sounds"
    room.session.from_player(messages.Beat(12, 120.0, True))
    assert sorted(heard(room)) == sorted(brief(LOOP))


def test_regular_fills_come_in_the_last_of_so_many_bars(room: Room) -> None:
    room.ask("fill_every", "trio", bars=4)
    asked = []
    for beat in range(6, 36):
        room.session.from_player(messages.Beat(beat, 120.0, True))
        for job in room.engine.take(engine_messages.Generate):
            asked.append((beat, job.op, job.bend["fill"]["start"]))
            room.session.from_engine(engine_messages.Generated(job.job, 8.0, FILLED, 1.0))
    assert asked == [(8, "fill", 0.0), (24, "fill", 0.0)]


def test_a_locked_bar_of_a_trio_has_no_fill_and_one_beside_it_leaves_its_notes(room: Room) -> None:
    room.ask("lock", "trio", bar=1, on=True)
    assert room.refusal("fill", "trio") == 4
    room.ask("lock", "trio", bar=1, on=False)
    room.ask("lock", "trio", bar=0, on=True)
    room.ask("fill", "trio")
    answer(room, [(61, 0.5, 0.25, 90, 0), (38, 0.5, 0.125, 90, 2), *FILLED])
    assert sorted(heard(room)) == sorted(brief(FILLED))


def test_a_part_that_is_muted_stays_so_through_a_fill(room: Room) -> None:
    room.ask("mute", "trio", on=True, part=2)
    room.player.take(messages.MuteVoice)
    room.ask("fill", "trio")
    answer(room, FILLED)
    room.session.from_player(messages.Beat(12, 120.0, True))
    assert room.session.stage.voices["trio"].muted_parts == {2}
    assert room.player.take(messages.MuteVoice) == []


def test_what_follows_a_fill_follows_the_loop_and_undo_knows_of_none(room: Room) -> None:
    voice = room.session.stage.voices["trio"]
    room.ask("fill", "trio")
    answer(room, FILLED)
    assert voice.history.undo_steps == 0
    room.ask("next", "trio")
    job = answer(room, LOOP)
    assert sorted(brief(job.material[0][1])) == sorted(brief(LOOP))


def test_a_voice_of_a_line_is_still_told_that_fills_are_for_drums(room: Room) -> None:
    assert room.refusal("fill", "melody") == 4
    assert room.refusal("fill_every", "melody", bars=4) == 4


def test_every_attribute_of_its_parts_is_a_knob_that_makes_the_loop_again(room: Room) -> None:
    for name in ("density", "syncopation", "interval", "diatonic", "register", "fill"):
        room.ask("attribute", "trio", name=name, amount=0.5)
        job = answer(room, LOOP)
        assert (job.op, job.knob, job.bend["attributes"][name]) == ("sample", True, 0.5)
    assert room.refusal("attribute", "trio", name="volume", amount=0.5) == 5
    told = room.session.stage.voice_state(room.session.stage.voices["trio"])
    state = dict(zip(told[::2], told[1::2], strict=True))
    assert state["attributes"] == "density 0.5 diatonic 0.5 fill 0.5 interval 0.5 register 0.5 syncopation 0.5"
