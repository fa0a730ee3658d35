"""A voice that rests: silent from a beat on, its bars kept, until new ones come or it is told to go round again."""

from __future__ import annotations

import pytest
from player_rig import Note, Rig

from bridge import messages

PAD = [(60, 0.0, 1.5, 90, 0), (64, 2.0, 1.5, 90, 0)]


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    rig.play()
    rig.launch(1, PAD)
    rig.to_beat(5.0)
    return rig


def test_from_a_beat_on_and_what_sounds_there_ends_there(rig):
    rig.send(messages.RestVoice("melody", 7.0))
    rig.to_beat(16.0)
    assert rig.heard() == [Note(0, 1.5, 60), Note(2, 3.5, 64), Note(4, 5.5, 60), Note(6, 7.0, 64)]


@pytest.mark.parametrize("from_beats", [-1.0, 5.0])
def test_at_once(rig, from_beats):
    rig.send(messages.RestVoice("melody", from_beats))
    rig.to_beat(16.0)
    assert rig.heard()[-1] == Note(4, 5.0, 60)


def test_new_bars_end_it(rig):
    rig.send(messages.RestVoice("melody", -1.0))
    rig.launch(2, [(72, 0.0, 1.0, 90, 0)])
    rig.to_beat(13.5)
    assert rig.strokes()[-2:] == [(8, 72), (12, 72)]


def test_told_to_loop_it_comes_back_in_its_place(rig):
    rig.send(messages.RestVoice("melody", -1.0))
    rig.to_beat(9.0)
    rig.send(messages.LoopVoice("melody", True))
    rig.to_beat(15.0)
    assert rig.strokes()[-2:] == [(12, 60), (14, 64)]


def test_it_lasts_over_a_stop_and_a_start(rig):
    rig.send(messages.RestVoice("melody", -1.0), messages.MoveTransport("stop"))
    before = len(rig.strokes())
    rig.send(messages.MoveTransport("play"))
    rig.to_beat(16.0)
    assert len(rig.strokes()) == before


def test_asked_for_while_the_clock_stands_it_holds_when_it_runs(tmp_path):
    rig = Rig(tmp_path)
    rig.launch(1, PAD)
    rig.play()
    rig.to_beat(1.0)
    rig.send(messages.MoveTransport("stop"), messages.RestVoice("melody", -1.0), messages.MoveTransport("play"))
    rig.to_beat(16.0)
    assert rig.strokes() == [(0, 60)]


@pytest.mark.parametrize(
    "turned",
    [messages.Reshape("melody", 1, 2, 4.0, PAD), messages.StopVoice("melody"), messages.LoopVoice("melody", False)],
    ids=["a knob", "stop and play", "loop 0"],
)
def test_what_is_turned_before_it_begins_does_not_call_it_off(rig, turned):
    rig.send(messages.RestVoice("melody", 11.0))
    rig.to_beat(8.5)
    rig.send(turned, messages.PlayVoice("melody", rig.now_ns, "now"))
    rig.to_beat(24.0)
    assert rig.heard()[-1] == Note(10, 11.0, 64)


@pytest.mark.parametrize("to_beats", [2.5, 4.5])
def test_a_leap_before_it_begins_takes_it_along(tmp_path, to_beats):
    """Round the loop or not: after it as long as it would have been to the rest."""
    rig = Rig(tmp_path)
    rig.launch(1, PAD)
    for beats in (0.0, 0.5):
        rig.to_beat(beats)
        rig.send(messages.LiveReport(rig.now_ns, True, 120.0, beats, 4, 4, -1.0, -1.0))
    rig.send(messages.RestVoice("melody", 3.0))
    rig.send(messages.LiveReport(rig.now_ns, True, 120.0, to_beats, 4, 4, -1.0, -1.0))
    rig.to_beat(16.0)
    assert max(note.off for note in rig.heard()) <= 3.0


def test_the_clock_stops_before_it_begins_and_it_holds_when_it_runs(rig):
    rig.send(messages.RestVoice("melody", 11.0), messages.MoveTransport("stop"), messages.MoveTransport("play"))
    before = len(rig.strokes())
    rig.to_beat(16.0)
    assert len(rig.strokes()) == before


@pytest.mark.parametrize("called_off", [messages.LoopVoice("melody", True), messages.ClearVoice("melody")])
def test_told_to_loop_or_cleared_before_it_begins_it_is_called_off(rig, called_off):
    rig.send(messages.RestVoice("melody", 7.0), called_off)
    rig.launch(2, PAD)
    rig.to_beat(11.0)
    assert rig.strokes()[-2:] == [(8, 60), (10, 64)]


def test_restored_it_is_called_off(rig):
    rig.send(messages.RestVoice("melody", 7.0), messages.RestoreVoice("melody", 1, 0.0, 4.0, PAD, True, True, []))
    rig.to_beat(11.0)
    assert rig.strokes()[-2:] == [(8, 60), (10, 64)]
