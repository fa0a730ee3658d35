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
