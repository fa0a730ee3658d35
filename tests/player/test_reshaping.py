"""A knob turned in mid-bar: held notes that the new bars have too ring on, nothing hangs, doubles or comes late."""

from __future__ import annotations

import pytest
from player_rig import Note, Rig

from bridge import messages


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def reshape(rig: Rig, rows, loop_id=1, new_id=1, length=4.0):
    rig.send(messages.Reshape("melody", loop_id, new_id, length, rows))


def test_what_is_still_to_sound_is_new_and_what_was_is_not_played_again(rig):
    rig.launch(1, [(60 + k, float(k), 0.5, 100, 0) for k in range(4)])
    rig.play()
    rig.to_beat(1.75)
    reshape(rig, [(80 + k, float(k), 0.5, 100, 0) for k in range(4)], new_id=2)
    rig.to_beat(5.25)
    assert rig.strokes() == [(0.0, 60), (1.0, 61), (2.0, 82), (3.0, 83), (4.0, 80), (5.0, 81)]
    assert rig.performer.looper.voices["melody"].snapshot().sounding_id == 2


def test_a_note_both_have_is_kept_and_ends_at_the_new_end(rig):
    rig.launch(1, [(60, 1.0, 2.0, 100, 0), (64, 1.0, 2.0, 100, 0)])
    rig.play()
    rig.to_beat(1.5)
    reshape(rig, [(60, 1.005, 1.0, 100, 0)])
    rig.to_beat(4.5)
    assert rig.heard() == [Note(1.0, 1.5, 64), Note(1.0, 2.005, 60)]


def test_a_kept_note_whose_new_end_has_passed_is_closed_now(rig):
    rig.launch(1, [(60, 1.0, 2.0, 100, 0)])
    rig.play()
    rig.to_beat(2.5)
    reshape(rig, [(60, 1.0, 1.0, 100, 0)])
    assert rig.heard() == [Note(1.0, 2.5, 60)]


def test_another_part_or_onset_is_another_note(rig):
    rig.launch(1, [(60, 0.0, 3.0, 100, 0)], voice="trio")
    rig.play()
    rig.to_beat(1.0)
    rig.send(messages.Reshape("trio", 1, 1, 4.0, [(60, 0.0, 3.0, 100, 1)]))
    assert rig.heard("trio") == [Note(0.0, 1.0, 60)]


def test_a_stroke_moved_a_little_later_across_now_is_not_struck_twice(rig):
    rig.launch(1, [(60, 1.0, 1.0, 100, 0)])
    rig.play()
    rig.to_beat(1.002)
    reshape(rig, [(60, 1.006, 1.0, 100, 0)])
    rig.to_beat(4.5)
    assert rig.heard() == [Note(1.0, 2.006, 60)]
    rig.to_beat(6.5)
    assert rig.strokes() == [(1.0, 60), (5.006, 60)]


def test_pending_bars_are_reshaped_in_place(rig):
    rig.play()
    rig.to_beat(1.0)
    rig.launch(1, [(60, 0.0, 0.5, 100, 0)])
    reshape(rig, [(70, 0.0, 0.5, 100, 0)], new_id=5)
    rig.to_beat(4.5)
    assert rig.strokes() == [(4.0, 70)]
    assert [event.id for event in rig.of(messages.Launched)] == [5]


def test_reshaping_what_is_gone_does_nothing(rig):
    rig.launch(1, [(60, 0.0, 2.0, 100, 0)])
    rig.play()
    rig.to_beat(1.0)
    reshape(rig, [(70, 0.0, 0.5, 100, 0)], loop_id=99)
    rig.to_beat(4.5)
    assert rig.strokes() == [(0.0, 60), (4.0, 60)]


def test_a_loop_of_another_length_keeps_its_start_and_moves_who_waits_for_its_end(rig):
    rig.launch(1, [(60, 0.0, 0.5, 100, 0)], length=8.0)
    rig.play()
    rig.to_beat(1.0)
    rig.launch(2, [(70, 0.0, 0.5, 100, 0)], launch="loop")
    reshape(rig, [(60, 0.0, 0.5, 100, 0)], length=3.0)
    rig.to_beat(3.5)
    assert rig.strokes() == [(0.0, 60), (3.0, 70)]


def test_while_the_clock_stands_only_the_notes_change(rig):
    rig.launch(1, [(60, 0.0, 2.0, 100, 0)])
    rig.play()
    rig.to_beat(1.0)
    rig.send(messages.MoveTransport("stop"))
    reshape(rig, [(70, 2.0, 0.5, 100, 0)])
    rig.send(messages.MoveTransport("continue"))
    rig.to_beat(2.25)
    assert rig.strokes() == [(0.0, 60), (2.0, 70)]
