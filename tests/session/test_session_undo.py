"""Corners of the history that only use had shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_room import Room

from bridge import messages


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
    assert room.voice.corners["a"].notes[0].pitch == 48


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
