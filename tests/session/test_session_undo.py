"""Corners of the history that only use had shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_room import Room, corners

from bridge import engine_messages, messages
from bridge.music import midi_files


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_undo_of_the_very_first_bars_calls_them_off_and_redo_brings_them_back(room: Room) -> None:
    room.ask("next")
    room.answer()
    first = room.schedule()
    room.ask("undo")
    assert isinstance(room.player.sent[-1], messages.CancelPending)
    assert room.refusal("undo") == 4
    room.ask("next")
    assert room.answer().op == "sample", "what was called off is not followed"
    room.ask("undo")
    room.ask("clear")
    room.ask("recall", id=first.id)
    assert room.player.sent[-1].id == first.id


def test_redo_after_the_first_bars_were_called_off(room: Room) -> None:
    room.ask("next")
    room.answer()
    first = room.schedule()
    room.ask("undo")
    room.ask("redo")
    assert room.player.sent[-1].id == first.id


def test_a_corner_stored_while_the_engine_restarts_is_kept_without_an_error(room: Room) -> None:
    for slot, pitch in (("a", 60), ("b", 72)):
        room.ask("store", slot=slot, length=4.0, notes=[(pitch, 0.0, 1.0, 90, 0)])
    room.ask("morph", x=0.5)
    room.answer()
    asked = len(room.engine.sent)
    room.session.engine_gone()
    room.ask("store", slot="a", length=4.0, notes=[(48, 0.0, 1.0, 90, 0)])
    assert len(room.engine.sent) == asked
    assert room.voice.corners["a"].bars.notes[0].pitch == 48


def test_no_gesture_is_launched_whose_bars_were_never_told(room: Room) -> None:
    """Two gestures within a tenth of a second, a click between them: each id is told before it is launched."""
    room.new_loop()
    for slot, pitch in (("a", 60), ("b", 72)):
        room.ask("store", slot=slot, length=8.0, notes=[(pitch, 0.0, 1.0, 90, 0)])
    room.words.said.clear()
    for x in (0.1, 0.9):
        room.ask("morph", x=x)
        room.answer()
        room.new_loop()
    told: set[int] = set()
    launched = []
    for address, values in room.words.said:
        if address == "/melody/bars/end":
            told.add(values[0])
        elif address == "/melody/launched":
            assert values[0] in told
            launched.append(values[0])
    assert len(set(launched)) == 4


def test_bars_that_wait_are_told_again_with_the_start_they_have(room: Room) -> None:
    room.ask("next")
    room.answer()
    room.schedule()
    room.words.said.clear()
    room.ask("transpose", semitones=12)
    room.time.run(0.3)
    assert [begin[2] for begin in room.words.take("/melody/bars/begin")] == [4.0]


def test_bars_that_began_before_the_player_heard_they_were_called_off_are_stopped_again(room: Room) -> None:
    """With launch `now` the player has them at once: two clicks and an undo in one burst."""
    room.ask("launch", when="now")
    first = room.new_loop(pitch=61)
    room.ask("next")
    room.ask("undo")
    room.answer(pitch=62)
    (taken,) = room.player.take(messages.Launch)
    room.session.from_player(messages.Scheduled("melody", taken.id, 4.0))
    room.session.from_player(messages.Launched("melody", taken.id, 4.0, 5.0))
    (restored,) = room.player.take(messages.RestoreVoice)
    assert (restored.id, restored.start_beats, restored.notes[0][0]) == (first, 4.0, 61)
    assert room.voice.sounding is not None
    assert room.voice.sounding.id == first
    room.ask("redo")
    assert room.player.take(messages.Launch)[0].id == taken.id, "they were made, so redo brings them back"


def test_bars_launched_just_before_they_were_cleared_stay_cleared(room: Room) -> None:
    room.ask("next")
    room.answer()
    launch = room.schedule()
    room.ask("clear")
    room.session.from_player(messages.Launched("melody", launch.id, 4.0, 4.0))
    assert room.voice.sounding is None
    assert not room.player.take(messages.RestoreVoice)


def test_bars_launched_just_before_a_knob_replaced_them_are_the_knob_s(room: Room) -> None:
    """While nothing sounds a morph takes the place of what waits; the boundary may be passing at that moment."""
    for slot, pitch in (("a", 60), ("b", 72)):
        room.ask("store", slot=slot, length=8.0, notes=[(pitch, 0.0, 1.0, 90, 0)])
    room.ask("next")
    room.answer()
    launch = room.schedule()
    room.ask("morph", x=0.5)
    room.answer(pitch=66)
    gesture = room.player.take(messages.Reshape)[-1].new_id
    room.session.from_player(messages.Launched("melody", launch.id, 4.0, 4.0))
    assert room.voice.pending is None
    assert room.voice.sounding is not None
    assert room.voice.sounding.id == gesture
    assert room.words.take("/melody/launched") == [(gesture, 4.0)]


def test_bars_that_are_in_the_history_twice_are_found_where_it_stood(room: Room) -> None:
    first = room.new_loop()
    room.new_loop()
    room.new_loop()
    room.ask("recall", id=first)
    room.launch()
    room.ask("next")
    room.answer()
    waiting = room.schedule().id
    room.ask("undo")
    history = room.voice.history
    assert (history.undo_steps, history.redo_steps) == (3, 1)
    room.ask("redo")
    assert room.schedule().id == waiting


def test_bars_told_just_before_the_bridge_died_are_in_the_history_after(tmp_path: Path) -> None:
    room = Room(tmp_path)
    first = room.new_loop()
    room.time.run(1.0)
    kept = (tmp_path / "state.json").read_text()
    room.new_loop()
    sounding = room.voice.sounding
    assert sounding is not None
    room.ask("next")
    room.answer()
    waiting = room.schedule().id
    (tmp_path / "state.json").write_text(kept)
    again = Room(tmp_path, fresh=False)
    rows = [(60, 0.0, 0.25, 90, 0)]
    again.session.from_player(
        messages.VoiceSnapshot("melody", True, True, [], sounding.id, 4.0, 8.0, rows, waiting)
    )  # fmt: skip
    again.session.from_player(messages.SnapshotEnd(False))
    assert again.voice.history.ids == [first, sounding.id, waiting]
    assert again.voice.pending is not None
    assert again.voice.pending.id == waiting
    again.ask("undo")
    assert again.voice.history.ids[again.voice.history.position] == sounding.id


def sounding_pitch(room: Room) -> int:
    assert room.voice.sounding is not None
    return room.voice.sounding.bars.notes[0].pitch


def test_a_gesture_that_has_just_begun_is_known_to_the_bridge_that_comes_after(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.new_loop()
    corners(room)
    room.ask("morph", x=0.5)
    room.answer(pitch=66)
    (reshape,) = room.player.take(messages.Reshape)
    again = Room(tmp_path, fresh=False)  # the bridge process was killed at once
    rows = [[66, 0.0, 0.2, 99, 0]]  # as they are performed
    seen = messages.VoiceSnapshot("melody", True, True, [], reshape.new_id, 4.0, 8.0, rows, 0)
    again.session.from_player(seen)
    again.session.from_player(messages.SnapshotEnd(False))
    sounding = again.voice.sounding
    assert sounding.id == reshape.new_id
    assert sounding.recipe.op == "morph"
    assert [(note.pitch, note.velocity) for note in sounding.bars.notes] == [(66, 90), (66, 90)]
    again.ask("temperature", temperature=0.9)  # it can be made again
    assert again.answer().op == "morph"


def test_bars_that_nobody_was_told_of_when_the_bridge_died_are_told_and_kept_by_the_next(tmp_path: Path) -> None:
    room = Room(tmp_path)
    first = room.new_loop()
    room.ask("next")
    room.answer(pitch=67)
    room.session.save()
    launch = room.player.take(messages.Launch)[-1]  # the player has it, but could not say so any more
    again = Room(tmp_path, fresh=False)
    rows = [[60, 0.0, 0.2, 99, 0]]
    again.session.from_player(messages.VoiceSnapshot("melody", True, True, [], first, 4.0, 8.0, rows, launch.id))
    again.session.from_player(messages.SnapshotEnd(False))
    assert [told[0] for told in again.words.take("/melody/bars/begin")] == [launch.id]
    assert again.voice.history.ids == [first, launch.id]
    again.session.from_player(messages.Launched("melody", launch.id, 12.0, 12.0))
    assert again.refusal("recall", id=launch.id) == 0


def test_bars_that_nobody_knows_of_do_not_sound(tmp_path: Path) -> None:
    room = Room(tmp_path)
    first = room.new_loop()
    room.session.save()
    room.ask("next")
    room.answer(pitch=67)
    launch = room.player.take(messages.Launch)[-1]  # the bridge dies before it has noted them
    again = Room(tmp_path, fresh=False)
    rows = [[60, 0.0, 0.2, 99, 0]]
    again.session.from_player(messages.VoiceSnapshot("melody", True, True, [], first, 4.0, 8.0, rows, launch.id))
    again.session.from_player(messages.SnapshotEnd(False))
    assert len(again.player.take(messages.CancelPending)) == 1
    again.session.from_player(messages.Launched("melody", launch.id, 12.0, 12.0))  # it had not heard of that
    assert [record.id for record in again.player.take(messages.RestoreVoice)] == [first]
    assert again.voice.sounding.id == first


def test_a_gesture_that_the_bridge_died_in_is_in_the_history_of_the_next(tmp_path: Path) -> None:
    room = Room(tmp_path)
    first = room.new_loop()
    corners(room)
    room.ask("morph", x=0.5)
    room.answer(pitch=66)  # it has not been still for a bar
    gesture = room.player.take(messages.Reshape)[-1].new_id
    again = Room(tmp_path, fresh=False)
    rows = [[66, 0.0, 0.2, 99, 0]]
    again.session.from_player(messages.VoiceSnapshot("melody", True, True, [], gesture, 4.0, 8.0, rows, 0))
    again.session.from_player(messages.SnapshotEnd(False))
    assert again.voice.history.ids == [first, gesture]
    again.ask("undo")
    assert again.player.take(messages.Launch)[-1].id == first


def test_bars_that_begin_again_as_a_knob_re_shapes_them_are_what_the_bridge_says(room: Room) -> None:
    first = room.new_loop(pitch=60)
    room.ask("recall", id=first)  # they sound, and wait to begin again
    room.schedule()
    room.ask("temperature", temperature=0.9)
    room.answer(pitch=61)
    gesture = room.player.take(messages.Reshape)[-1].new_id
    room.answer(pitch=61)  # those that wait, too
    room.player.sent.clear()
    room.session.from_player(messages.Launched("melody", first, 8.0, 8.0))  # said before it heard of the re-shaping
    assert room.voice.sounding.id == first
    (back,) = room.player.take(messages.Reshape)
    assert (back.id, back.new_id) == (gesture, first)


def test_a_knob_turned_while_the_bars_that_wait_come_in_turns_those(room: Room) -> None:
    room.new_loop(pitch=60)
    room.ask("next")
    room.answer(pitch=72)
    waiting = room.schedule()
    room.ask("temperature", temperature=0.9)
    room.session.from_player(messages.Launched("melody", waiting.id, 8.0, 8.0))
    room.player.sent.clear()
    room.answer(pitch=61)  # of the loop that sounded when it was turned
    assert not room.player.take(messages.Reshape)
    assert sounding_pitch(room) == 72
    again = room.answer(pitch=73)
    assert (again.knob, again.temperature) == (True, 0.9)
    assert room.player.take(messages.Reshape)[-1].notes[0][0] == 73
    assert sounding_pitch(room) == 73


def test_bars_made_again_while_they_wait_are_taken_where_they_sound_already(room: Room) -> None:
    room.new_loop(pitch=60)
    room.ask("next")
    room.answer(pitch=72)
    waiting = room.schedule()
    room.ask("temperature", temperature=0.9)
    room.answer(pitch=61)
    room.session.from_player(messages.Launched("melody", waiting.id, 8.0, 8.0))
    room.answer(pitch=73)  # of those that waited
    assert sounding_pitch(room) == 73
    assert room.voice.sounding is not None
    assert room.voice.sounding.id == waiting.id


def test_a_knob_brings_nothing_back_that_a_scene_has_silenced(room: Room) -> None:
    room.ask("save", "bridge", name="empty")
    room.new_loop()
    room.ask("load", "bridge", name="empty")
    silence = room.schedule()
    room.ask("temperature", temperature=0.9)
    room.session.from_player(messages.Launched("melody", silence.id, 8.0, 8.0))
    room.player.sent.clear()
    room.answer()
    assert not room.player.take(messages.Launch)
    assert room.voice.present is None


def test_a_turn_that_the_engine_cannot_do_holds_nobody_up(room: Room) -> None:
    room.new_loop()
    corners(room)
    room.ask("morph", x=0.2)
    room.ask("morph", x=0.4)
    (job,) = room.engine.take(engine_messages.Generate)
    room.session.from_engine(engine_messages.JobFailed(job.job, 7, "no such thing"))
    room.ask("next")
    assert room.answer().x == 0.4
    assert room.answer().op == "next"


@pytest.mark.parametrize(("verb", "args"), [("recall", {"id": 1}), ("undo", {}), ("redo", {})])
def test_what_waits_behind_a_click_does_not_come_before_a_morph_that_was_turned_after_it(
    room: Room, verb: str, args: dict[str, int]
) -> None:
    assert room.new_loop(pitch=60) == 1
    room.new_loop(pitch=64)
    room.new_loop(pitch=65)
    room.ask("undo")
    room.launch()
    corners(room)
    room.ask("next")
    room.ask(verb, **args)
    room.ask("morph", x=0.5)
    room.answer(pitch=70)
    room.answer(pitch=66)
    assert not room.player.take(messages.Launch)
    assert room.voice.pending is None
    assert sounding_pitch(room) == 66
    # Recalled bars are told, undo has what it was to call off called off; redo could not do what it was to.
    assert [address for _, address, _ in room.words.take("/error")] == ["/melody/redo"] * (verb == "redo")


def test_a_stored_corner_that_cannot_be_leaves_the_one_there_was(room: Room) -> None:
    room.new_loop()
    corners(room)
    room.ask("morph", x=0.5)
    room.answer()
    assert room.refusal("store", slot="a", length=8.0, notes=[]) == 5
    assert room.voice.corners["a"].bars.notes


def test_neither_a_corner_nor_a_scene_keeps_bars_that_are_half_made(room: Room) -> None:
    playing = room.new_loop(pitch=60)
    room.ask("sample", bars=16)
    (job,) = room.engine.take(engine_messages.Generate)
    room.session.from_engine(engine_messages.Begun(job.job, 64.0, [(72, 0.0, 1.0, 90, 0)]))
    room.ask("save", "bridge", name="verse")
    room.session.from_engine(
        engine_messages.Generated(job.job, 64.0, [(72, float(beat), 1.0, 90, 0) for beat in range(64)], 1)
    )
    room.ask("load", "bridge", name="verse")
    assert room.schedule().id == playing


def test_store_waits_for_the_rest_of_long_bars(room: Room) -> None:
    room.ask("sample", bars=16)
    (job,) = room.engine.take(engine_messages.Generate)
    room.session.from_engine(engine_messages.Begun(job.job, 64.0, [(72, 0.0, 1.0, 90, 0)]))
    room.ask("store", slot="a")
    room.session.from_engine(
        engine_messages.Generated(job.job, 64.0, [(72, float(beat), 1.0, 90, 0) for beat in range(64)], 1)
    )
    assert len(room.voice.corners["a"].bars.notes) == 64


def test_undo_of_bars_that_followed_a_seed_goes_on_from_the_seed(room: Room) -> None:
    room.new_loop(pitch=60)
    room.ask("seed", length=8.0, notes=[(50, 0.0, 1.0, 90, 0)])
    room.ask("next")
    room.answer(pitch=51)
    room.schedule()
    room.ask("undo")
    room.ask("next")
    assert room.answer(pitch=52).material[0][1][0][0] == 50
    room.launch()
    room.ask("next")
    room.answer(pitch=53)
    room.schedule()
    room.ask("undo")
    room.ask("next")
    assert room.answer().material[0][1][0][0] == 52, "what sounds is newer than the seed now"


def test_what_sounded_last_stays_in_the_history_when_undo_is_called_off(room: Room) -> None:
    room.new_loop(pitch=60)
    room.new_loop(pitch=64)
    last = room.new_loop(pitch=67)
    corners(room)
    room.ask("undo")
    room.schedule()
    room.ask("morph", x=0.5)
    room.answer()
    room.time.run(5.0)
    room.ask("undo")
    assert room.schedule().id == last


def test_a_scene_s_locks_are_of_its_own_bars(room: Room) -> None:
    verse = room.new_loop(pitch=60)
    room.ask("lock", bar=1, on=True)
    room.ask("save", "bridge", name="verse")
    room.ask("lock", bar=1, on=False)
    room.new_loop(pitch=72)
    room.ask("load", "bridge", name="verse")
    waiting = room.schedule()
    assert (waiting.id, room.voice.knobs.locked) == (verse, [])
    room.ask("temperature", temperature=1.1)
    assert all("lock" not in job.bend for job in room.engine.take(engine_messages.Generate))
    room.session.from_player(messages.Launched("melody", verse, 8.0, 8.0))
    assert room.voice.knobs.locked == [1]


@pytest.mark.parametrize("text", ["{", "null", "{}", "[1]", '{"bars": [8.0]}', '{"bars": [8.0, [["x", 0, 1, 90, 0]]]}'])
def test_bars_whose_text_event_was_spoilt_are_read_as_their_notes(room: Room, tmp_path: Path, text: str) -> None:
    lost = room.new_loop(pitch=65)
    room.new_loop(pitch=70)
    path = tmp_path / "bars" / f"{lost:06d}-melody.mid"
    bars = midi_files.bars_of_score(midi_files.read_midi(path), {0: 0})
    midi_files.write_midi(path, bars, channels={0: 0}, track_name="melody", remark=f"barline-bars {text}")
    room.ask("recall", id=lost)
    assert {row[0] for row in room.schedule().notes} == {65}
