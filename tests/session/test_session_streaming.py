"""Long bars sound from their first ones on, while the others are decoded; nobody hears of them before all are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_room import Room, corners

from bridge import engine_messages, messages

FIRST = [(60, 0.0, 1.0, 90, 0)]
ALL = [*FIRST, (62, 40.0, 1.0, 90, 0)]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    room = Room(tmp_path)
    room.ask("scale", how="off")
    return room


def begin(room: Room) -> tuple[int, messages.Launch]:
    """Sixteen bars are asked for, and their first ones are there."""
    room.ask("sample", bars=16)
    job = room.engine.take(engine_messages.Generate)[-1]
    room.session.from_engine(engine_messages.Begun(job.job, 64.0, FIRST))
    return job.job, room.player.take(messages.Launch)[-1]


def told(room: Room) -> list[str]:
    """What clients have heard of the bars, in order."""
    said = [address for address, _ in room.words.said if "/bars/" in address or address.endswith(("launched", "error"))]
    room.words.said.clear()
    return said


def test_the_first_bars_are_launched_and_the_rest_takes_their_place(room: Room) -> None:
    job, launch = begin(room)
    assert (launch.length_beats, [row[0] for row in launch.notes]) == (64.0, [60])
    room.session.from_player(messages.Scheduled("melody", launch.id, 0.0))
    room.session.from_player(messages.Launched("melody", launch.id, 0.0, 0.0))
    assert told(room) == [], "a client counts on all of the bars"
    room.session.from_engine(engine_messages.Generated(job, 64.0, ALL, 1.0))
    (rest,) = room.player.take(messages.Reshape)
    assert (rest.id, rest.new_id, [row[0] for row in rest.notes]) == (launch.id, launch.id, [60, 62])
    assert told(room) == ["/melody/bars/begin", "/melody/bars/notes", "/melody/bars/end", "/melody/launched"]
    assert room.voice.sounding.id == launch.id
    assert len(room.voice.sounding.bars.notes) == 2
    assert room.voice.history.ids == [launch.id]
    assert len(room.session.stage.archive.load("melody", launch.id).bars.notes) == 2
    room.time.run(0.1)
    assert "next" in {job.op for job in room.engine.ahead}, "what may be asked for next is made ready"


def test_bars_that_wait_for_their_boundary_are_whole_by_then(room: Room) -> None:
    job, launch = begin(room)
    room.session.from_player(messages.Scheduled("melody", launch.id, 4.0))
    room.session.from_engine(engine_messages.Generated(job, 64.0, ALL, 1.0))
    assert told(room) == ["/melody/bars/begin", "/melody/bars/notes", "/melody/bars/end"]
    room.session.from_player(messages.Launched("melody", launch.id, 4.0, 4.0))
    assert told(room) == ["/melody/launched"]
    assert len(room.voice.sounding.bars.notes) == 2


def test_a_player_that_answers_late_changes_nothing(room: Room) -> None:
    job, launch = begin(room)
    room.session.from_engine(engine_messages.Generated(job, 64.0, ALL, 1.0))
    assert told(room) == []
    room.session.from_player(messages.Scheduled("melody", launch.id, 0.0))
    room.session.from_player(messages.Launched("melody", launch.id, 0.0, 0.0))
    assert told(room)[-1] == "/melody/launched"
    assert len(room.voice.sounding.bars.notes) == 2


def test_bars_called_off_in_between_are_kept_and_do_not_sound(room: Room) -> None:
    job, launch = begin(room)
    room.ask("undo")
    room.session.from_engine(engine_messages.Generated(job, 64.0, ALL, 1.0))
    for _ in range(2):
        if room.voice.pending is not None:
            room.ask("undo")
    assert room.session.stage.archive.has("melody", launch.id)
    room.session.from_player(messages.Launched("melody", launch.id, 0.0, 0.0))
    assert room.voice.sounding is None
    assert room.player.take(messages.ClearVoice), "the player is told what the client was told"


def test_clear_in_between_forgets_them(room: Room) -> None:
    job, _ = begin(room)
    room.ask("clear")
    room.session.from_engine(engine_messages.Generated(job, 64.0, ALL, 1.0))
    assert room.player.take(messages.Reshape) == []
    assert room.voice.present is None
    assert told(room) == ["/error"]  # to whoever asked for them


def test_a_decode_that_fails_on_the_way_leaves_what_sounds(room: Room) -> None:
    job, launch = begin(room)
    room.session.from_player(messages.Scheduled("melody", launch.id, 0.0))
    room.session.from_player(messages.Launched("melody", launch.id, 0.0, 0.0))
    room.session.from_engine(engine_messages.JobFailed(job, 7, "out of memory"))
    assert told(room) == [
        "/melody/bars/begin", "/melody/bars/notes", "/melody/bars/end", "/melody/launched", "/error",
    ]  # fmt: skip
    assert room.voice.sounding.id == launch.id
    room.new_loop()


def test_an_engine_that_ends_on_the_way_is_asked_again_and_launches_nothing_twice(room: Room) -> None:
    _, launch = begin(room)
    room.session.from_player(messages.Launched("melody", launch.id, 0.0, 0.0))
    room.session.engine_gone()
    for model in ("melody-2bar", "drums-2bar"):
        room.session.from_engine(engine_messages.ModelState(model, True, "ready"))
    job = room.engine.take(engine_messages.Generate)[-1].job
    room.session.from_engine(engine_messages.Begun(job, 64.0, FIRST))
    room.session.from_engine(engine_messages.Generated(job, 64.0, ALL, 1.0))
    assert room.player.take(messages.Launch) == []
    assert len(room.player.take(messages.Reshape)) == 1
    assert room.voice.sounding.id == launch.id


def test_what_a_hard_key_is_to_be_taken_from_is_waited_for(room: Room) -> None:
    room.ask("scale", how="hard")
    room.ask("sample", bars=16)
    job = room.engine.take(engine_messages.Generate)[-1]
    room.session.from_engine(engine_messages.Begun(job.job, 64.0, FIRST))
    assert room.player.take(messages.Launch) == []
    room.session.from_engine(engine_messages.Generated(job.job, 64.0, ALL, 1.0))
    assert len(room.player.take(messages.Launch)) == 1


def sounding_in_part(room: Room) -> tuple[int, messages.Launch]:
    """Sixteen bars whose first ones sound by now, while the others are made."""
    corners(room)
    room.ask("launch", when="now")
    job, launch = begin(room)
    room.session.from_player(messages.Scheduled("melody", launch.id, 4.0))
    room.session.from_player(messages.Launched("melody", launch.id, 4.0, 5.0))
    room.words.said.clear()
    return job, launch


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("morph_first", [True, False])
def test_a_morph_turned_while_only_the_first_bars_sound_takes_their_place(
    room: Room, before: bool, morph_first: bool
) -> None:
    if before:
        room.new_loop(pitch=50)
    job, launch = sounding_in_part(room)
    room.ask("morph", x=0.5)
    turn = room.engine.take(engine_messages.Generate)[-1]
    answers = [
        engine_messages.Generated(turn.job, 8.0, [(70, 0.0, 1.0, 90, 0)], 1.0),
        engine_messages.Generated(job, 64.0, ALL, 1.0),
    ]
    for answer in answers if morph_first else reversed(answers):
        room.session.from_engine(answer)
    reshaped = room.player.take(messages.Reshape)
    assert (reshaped[-1].id, reshaped[-1].notes[0][0]) == (launch.id, 70)
    assert room.voice.pending is None
    assert (room.voice.sounding.id, room.voice.start_beats) == (reshaped[-1].new_id, 4.0)
    assert [told[0] for told in room.words.take("/melody/launched")] == [reshaped[-1].new_id]
    room.time.run(3.0)
    assert room.voice.history.ids[-2:] == [launch.id, reshaped[-1].new_id]
    assert len(room.session.stage.archive.load("melody", launch.id).bars.notes) == 2, "kept whole"


def test_a_knob_turned_while_only_the_first_bars_sound_shapes_those_and_no_others(room: Room) -> None:
    room.new_loop(pitch=50)
    job, launch = sounding_in_part(room)
    room.ask("temperature", temperature=1.2)
    assert room.engine.take(engine_messages.Generate) == []
    assert room.words.take("/melody/launched") == []
    for _ in range(2):  # the second time with what the knob says
        room.session.from_engine(engine_messages.Generated(job, 64.0, ALL, 1.0))
    (again,) = room.engine.take(engine_messages.Generate)
    assert (again.job, again.temperature, again.knob) == (job, 1.2, False)
    assert [told[0] for told in room.words.take("/melody/launched")] == [launch.id]
    assert room.voice.sounding.id == launch.id


def test_bars_that_were_half_made_when_the_bridge_died_do_not_begin_to_sound(room: Room, tmp_path: Path) -> None:
    first = room.new_loop(pitch=50)
    _, launch = begin(room)
    room.session.save()
    again = Room(tmp_path, fresh=False)
    rows = [[50, 0.0, 0.2, 99, 0]]
    again.session.from_player(messages.VoiceSnapshot("melody", True, True, [], first, 4.0, 8.0, rows, launch.id))
    again.session.from_player(messages.SnapshotEnd(False))
    assert len(again.player.take(messages.CancelPending)) == 1
    assert (again.voice.sounding.id, again.voice.pending) == (first, None)
