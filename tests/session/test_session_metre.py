"""Signature changes while loops play: bars land on bars, and in its own metre a loop is itself again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from session_room import Room, clock_state

from bridge import engine_messages, messages
from bridge.session.restoring import as_played


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def metre(room: Room, numerator: int, denominator: int, line_beats: float) -> Any:
    """The song reaches a bar line, and the metre changes there; what the player gets for the melody."""
    room.time.run((line_beats - room.session.stage.clock.beat_at(room.time.ns)) / 2)
    state = clock_state(
        room.time.ns, anchor_beats=line_beats, numerator=numerator, denominator=denominator, bar_origin_beats=line_beats
    )
    room.session.from_player(state)
    restored = [record for record in room.player.take(messages.RestoreVoice) if record.voice == "melody"]
    return restored[-1] if restored else None


def scale(room: Room) -> int:
    room.ask("next")
    room.answer(*[float(beat) for beat in range(8)])
    return room.launch()


def starts(record: Any) -> list[float]:
    return [round(row[1], 6) for row in record.notes]


@pytest.mark.parametrize(
    ("signature", "length", "expected"),
    [
        ((3, 4), 6.0, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        ((5, 4), 10.0, [float(beat) for beat in range(10)]),
        ((7, 8), 7.0, [0.0, 1.0, 2.0, 3.0, 3.5, 4.5, 5.5, 6.5]),
    ],
)
def test_a_loop_goes_on_in_the_new_metre_with_the_bar_that_was_to_come(
    room: Room, signature: tuple[int, int], length: float, expected: list[float]
) -> None:
    loop_id = scale(room)  # it began at beat 4: at beat 16 its second bar is to come
    restored = metre(room, *signature, 16.0)
    assert (restored.id, restored.length_beats, starts(restored)) == (loop_id, length, expected)
    assert restored.start_beats == 16.0 - length / 2
    assert room.words.take("/melody/bars/begin")[-1][2:] == (16.0 - length / 2, 2)


def test_back_in_its_own_metre_the_loop_is_itself_again(room: Room) -> None:
    scale(room)
    metre(room, 3, 4, 12.0)
    restored = metre(room, 4, 4, 18.0)
    assert (restored.length_beats, starts(restored)) == (8.0, [float(beat) for beat in range(8)])
    assert restored.start_beats == 18.0


def test_bars_that_wait_are_fitted_too(room: Room) -> None:
    scale(room)
    room.ask("next")
    room.answer(*[float(beat) for beat in range(8)])
    room.player.take(messages.Launch)
    metre(room, 3, 4, 12.0)
    assert room.player.take(messages.Launch)[-1].length_beats == 6.0


def test_bars_made_in_three_four_are_of_that_metre(room: Room) -> None:
    metre(room, 3, 4, 3.0)
    room.ask("next")
    made = room.answer(0.0, 3.0)
    assert made.beats_per_bar == 3.0
    room.launch()
    restored = metre(room, 4, 4, 12.0)
    assert (restored.length_beats, starts(restored)) == (8.0, [0.0, 3.0, 4.0, 7.0])


def test_swung_steps_and_early_drums_are_of_the_bars_that_they_are_heard_in(room: Room) -> None:
    """The last sixteenth before the cut is swung half way to the line; the one after it is struck early."""
    room.ask("swing", "drums", swing=75.0)
    room.ask("quantize", "drums", quantize=0.0)
    room.ask("sample", "drums")
    room.answer(2.75, 2.98, 3.98, 7.98, pitch=36)
    loop_id = room.player.take(messages.Launch)[-1].id
    room.session.from_player(messages.Scheduled("drums", loop_id, 4.0))
    room.session.from_player(messages.Launched("drums", loop_id, 4.0, 4.0))
    metre(room, 3, 4, 16.0)
    drums = room.session.stage.voices["drums"]
    assert drums.sounding is not None
    length, notes = as_played(room.session.stage, drums, drums.sounding)
    played = [round(row[1], 6) for row in notes]
    assert (length, len(played)) == (6.0, 3)
    assert played[0] == 2.875
    assert played[1:] == pytest.approx([2.98, 5.98], abs=0.02)


def test_a_tempo_alone_moves_nothing(room: Room) -> None:
    scale(room)
    room.session.from_player(clock_state(room.time.ns, tempo_bpm=97.0))
    assert not room.player.take(messages.RestoreVoice)


def test_the_metre_a_loop_was_made_in_outlives_a_restart(tmp_path: Path) -> None:
    room = Room(tmp_path)
    loop_id = scale(room)
    metre(room, 3, 4, 12.0)
    room.time.run(1.0)
    again = Room(tmp_path, token="another run")
    again.ask("recall", id=loop_id)
    assert again.player.take(messages.Launch)[-1].length_beats == 8.0


@pytest.mark.parametrize("meanwhile", [(7, 8), (3, 4), (4, 4)])
def test_a_loop_goes_on_where_it_was_when_the_bridge_is_restarted_in_another_metre_than_the_configured(
    tmp_path: Path, meanwhile: tuple[int, int]
) -> None:
    """Its player plays on; only where the metre is another than when the bridge went is the loop fitted to it."""
    room = Room(tmp_path)
    loop_id = scale(room)
    fitted = metre(room, 7, 8, 16.0)  # its second bar, of 3.5 beats, is to come: it began at 12.5
    room.time.run(1.0)
    again = Room(tmp_path, fresh=False)
    for record in (
        clock_state(again.time.ns, anchor_beats=26.5, numerator=meanwhile[0], denominator=meanwhile[1],
                    bar_origin_beats=16.0),
        messages.VoiceSnapshot("melody", True, True, [], loop_id, 12.5, fitted.length_beats, fitted.notes, 0),
        messages.SnapshotEnd(False),
    ):  # fmt: skip
        again.session.from_player(record)
    restored = [record for record in again.player.take(messages.RestoreVoice) if record.voice == "melody"]
    if meanwhile == (7, 8):
        assert not restored
        assert again.voice.start_beats == 12.5
    else:  # of the line before 26.5, which is in the fourth bar after 12.5, the bar that was to come
        expected = {(3, 4): (6.0, 22.0), (4, 4): (8.0, 20.0)}[meanwhile]
        assert (restored[-1].length_beats, restored[-1].start_beats) == expected
        assert again.voice.start_beats == expected[1]


def test_bars_with_a_boundary_of_their_own_keep_it_through_a_change_of_metre(room: Room) -> None:
    """What goes on by itself is launched on a bar line, whatever the voice's own launch is."""
    scale(room)
    room.ask("launch", when="now")
    room.ask("auto", bars=2)
    room.time.run((9.0 - room.session.stage.clock.beat_at(room.time.ns)) / 2)
    room.session.from_player(messages.Beat(9, 120.0, True))
    room.answer(*[float(beat) for beat in range(8)])
    assert room.player.take(messages.Launch)[-1].launch == "bar"
    metre(room, 3, 4, 12.0)
    assert room.player.take(messages.Launch)[-1].launch == "bar"


def test_what_new_bars_are_made_of_says_which_metre_it_is_of(tmp_path: Path) -> None:
    room = Room(tmp_path)
    metre(room, 3, 4, 3.0)
    room.ask("next")
    room.answer(0.0, 3.0)
    room.launch()
    for slot in "ab":
        room.ask("store", slot=slot)
    metre(room, 4, 4, 12.0)
    waltz = [6.0, [[60, 0.0, 0.25, 90, 0], [60, 3.0, 0.25, 90, 0]], 3.0]
    room.ask("vary", amount=0.0)
    varied = room.answer(0.0, 4.0)
    assert (varied.material, varied.beats_per_bar) == ([waltz], 4.0)
    room.ask("morph", x=0.0)
    turned = room.answer(0.0, 4.0)
    assert (turned.material, turned.beats_per_bar) == ([waltz, waltz], 4.0)
    room.time.run(1.0)
    again = Room(tmp_path, fresh=False)
    assert again.voice.newest == room.voice.newest
    assert again.voice.corners == room.voice.corners
    assert again.voice.corners["a"].bar_beats == 3.0


def test_a_seed_is_of_the_metre_it_came_in_where_it_has_whole_bars_of_it(room: Room) -> None:
    metre(room, 3, 4, 3.0)
    for length, tail in ((6.0, [3.0]), (8.0, [])):
        room.ask("seed", length=length, notes=[(60, 0.0, 1.0, 90, 0)])
        room.ask("next")
        assert room.answer().material == [[length, [[60, 0.0, 1.0, 90, 0]], *tail]]


def test_bars_that_wait_are_told_again_as_they_will_sound_in_another_metre(room: Room) -> None:
    scale(room)
    room.ask("next")
    room.answer(*[float(beat) for beat in range(8)])
    waiting = room.schedule().id
    room.words.said.clear()
    metre(room, 3, 4, 12.0)
    relaunched = room.player.take(messages.Launch)[-1]
    room.session.from_player(messages.Scheduled("melody", relaunched.id, 15.0))
    told = [values for values in room.words.take("/melody/bars/begin") if values[0] == waiting]
    assert told == [(waiting, 6, 15.0, 2)]


def test_bars_that_were_to_sound_once_do_not_begin_again_in_another_metre(room: Room) -> None:
    room.ask("loop", on=False)
    scale(room)  # of eight beats, from beat 4
    assert not metre(room, 3, 4, 8.0).over
    assert metre(room, 4, 4, 17.0).over


def drums_with_a_fill(room: Room, verb: str, **args: Any) -> list[Any]:
    """Two bars of drums that sound from beat 4 on, and a fill in the bar from beat 12; the jobs that it asked for."""
    room.ask("sample", "drums")
    room.answer(pitch=36)
    loop_id = room.player.take(messages.Launch)[-1].id
    room.session.from_player(messages.Scheduled("drums", loop_id, 4.0))
    room.session.from_player(messages.Launched("drums", loop_id, 4.0, 4.0))
    room.time.run(4.25)
    room.ask(verb, "drums", **args)
    room.session.from_player(messages.Beat(8, 120.0, True))
    return room.engine.take(engine_messages.Generate)


def filled(room: Room, job: Any) -> None:
    room.session.from_engine(engine_messages.Generated(job.job, 8.0, [(50, 0.0, 0.1, 90, 0)], 1.0))


@pytest.mark.parametrize("late", [False, True])
def test_a_regular_fill_of_another_metre_is_not_heard(room: Room, late: bool) -> None:
    (job,) = drums_with_a_fill(room, "fill_every", bars=4)
    if not late:
        filled(room, job)
        assert room.session.stage.voices["drums"].fill is not None
    room.player.sent.clear()
    metre(room, 3, 4, 9.0)
    if late:
        filled(room, job)
    drums = room.session.stage.voices["drums"]
    assert drums.sounding is not None
    length, notes = as_played(room.session.stage, drums, drums.sounding)
    assert (length, [row[0] for row in notes]) == (6.0, [36, 36])
    assert not room.player.take(messages.Reshape)
    assert room.words.take("/error") == []


def test_a_fill_that_was_asked_for_is_made_for_the_bar_to_come_of_the_new_metre(room: Room) -> None:
    filled(room, drums_with_a_fill(room, "fill")[0])
    metre(room, 3, 4, 9.0)
    (again,) = room.engine.take(engine_messages.Generate)
    assert (again.op, again.beats_per_bar, again.material[0][0]) == ("fill", 3.0, 6.0)
    room.session.from_engine(engine_messages.Generated(again.job, 6.0, [(50, 0.0, 0.1, 90, 0)], 1.0))
    fill = room.session.stage.voices["drums"].fill
    assert fill is not None
    assert (fill.from_beats, fill.until_beats) == (12.0, 15.0)


@pytest.mark.parametrize("line", [12.0, 16.0])
@pytest.mark.parametrize("beats", [8, 4])
@pytest.mark.parametrize(("knob", "value"), [("swing", {"percent": 70.0}), ("humanize", {"amount": 1.0})])
def test_a_loop_of_another_metre_is_played_round_its_fill_as_without_it(
    room: Room, knob: str, value: dict[str, float], beats: int, line: float
) -> None:
    """Of bars of four beats in a song of 7/8: the bar before the fill and what leads into it are heard as ever."""
    room.ask("sample", "drums", bars=beats // 4)
    room.answer(*[half / 2 for half in range(2 * beats)], pitch=36)
    loop_id = room.player.take(messages.Launch)[-1].id
    room.session.from_player(messages.Scheduled("drums", loop_id, 4.0))
    room.session.from_player(messages.Launched("drums", loop_id, 4.0, 4.0))
    room.ask("grid", "drums", grid="1/8")
    room.ask(knob, "drums", **value)
    metre(room, 7, 8, line)
    drums = room.session.stage.voices["drums"]
    assert drums.sounding is not None

    def played() -> list[Any]:
        length, rows = as_played(room.session.stage, drums, drums.sounding)
        rounds = [[row[0], row[1] + number * length, *row[2:]] for number in range(round(7.0 / length)) for row in rows]
        return [(pitch, round(start, 6), *rest) for pitch, start, *rest in rounds]

    before = played()
    room.ask("fill", "drums")
    (job,) = room.engine.take(engine_messages.Generate)
    start = job.bend["fill"]["start"]

    def is_outside(beats: float) -> bool:  # of eighths, each within a quarter of one
        return not start <= round(2 * beats) / 2 % 7.0 < start + 3.5

    rows = [row for row in job.material[0][1] if is_outside(row[1])]
    room.session.from_engine(engine_messages.Generated(job.job, 7.0, [*rows, (50, start + 1.0, 0.1, 90, 0)], 1.0))
    assert drums.fill is not None
    during = played()
    assert [row for row in during if row[0] == 36] == [row for row in before if is_outside(row[1])]
    assert [row[0] for row in during if row[0] != 36] == [50]


def test_two_fills_on_end_in_a_loop_of_another_metre_are_both_heard(room: Room) -> None:
    """The second comes while the first sounds, and leaves it as it is."""
    room.ask("sample", "drums")
    room.answer(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, pitch=36)
    loop_id = room.player.take(messages.Launch)[-1].id
    room.session.from_player(messages.Scheduled("drums", loop_id, 4.0))
    room.session.from_player(messages.Launched("drums", loop_id, 4.0, 4.0))
    metre(room, 3, 4, 12.0)
    room.ask("fill_every", "drums", bars=1)
    drums = room.session.stage.voices["drums"]
    for beat, pitch in ((12, 47), (15, 50)):
        room.time.run((beat + 0.5 - room.session.stage.clock.beat_at(room.time.ns)) / 2)
        room.session.from_player(messages.Beat(beat, 120.0, True))
        job = room.engine.take(engine_messages.Generate)[-1]
        start = job.bend["fill"]["start"]
        rows = [row for row in job.material[0][1] if not start <= row[1] < start + 3.0]
        filled = [*rows, (pitch, start + 1.0, 0.1, 90, 0)]
        room.session.from_engine(engine_messages.Generated(job.job, 6.0, filled, 1.0))
    assert drums.sounding is not None
    length, notes = as_played(room.session.stage, drums, drums.sounding)
    assert (length, sorted(row[0] for row in notes)) == (6.0, [47, 50])
