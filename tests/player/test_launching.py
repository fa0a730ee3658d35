"""When bars sound: launch kinds, metres, lateness, replacement, a standing clock."""

from __future__ import annotations

import pytest
from player_rig import BEAT_NS, BEGAN_NS, Note, Rig

from bridge import messages

ONE = [(60, 0.0, 0.5, 100, 0)]
QUARTERS = [(60 + k, float(k), 0.5, 100, 0) for k in range(4)]


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def test_bars_asked_for_while_the_clock_stands_sound_from_beat_0(rig):
    rig.launch(1, QUARTERS)
    assert rig.of(messages.Scheduled) == [messages.Scheduled("melody", 1, -1.0)]
    rig.to_beat(3.0)
    assert rig.strokes() == []
    rig.clock.move_to(BEGAN_NS + 3 * BEAT_NS)
    rig.play()
    rig.to_beat(3.0 + 5.9)
    assert rig.strokes() == [(3.0, 60), (4.0, 61), (5.0, 62), (6.0, 63), (7.0, 60), (8.0, 61)]
    assert rig.of(messages.Scheduled)[-1] == messages.Scheduled("melody", 1, 0.0)
    assert rig.of(messages.Launched) == [messages.Launched("melody", 1, 0.0, 0.0)]


@pytest.mark.parametrize(
    ("launch", "at", "sounds_from"),
    [("step", 5.3, 5.5), ("beat", 5.3, 6.0), ("bar", 5.3, 8.0), ("loop", 5.3, 6.0), ("now", 5.3, 5.3)],
)
def test_each_launch_takes_over_at_its_boundary(rig, launch, at, sounds_from):
    rig.launch(1, [(40, k / 8, 0.05, 100, 0) for k in range(24)], length=3.0)
    rig.play()
    rig.to_beat(at)
    rig.launch(2, [(70, k / 8, 0.05, 100, 0) for k in range(24)], length=3.0, launch=launch)
    rig.to_beat(12.0)
    assert min(beat for beat, pitch in rig.strokes() if pitch == 70) == pytest.approx(sounds_from, abs=0.1251)
    assert max(beat for beat, pitch in rig.strokes() if pitch == 40) < sounds_from
    launched = rig.of(messages.Launched)[-1]
    assert (launched.id, launched.beat) == (2, pytest.approx(sounds_from))
    assert launched.start_beats == pytest.approx(sounds_from if launch in ("bar", "loop") else 0.0)


@pytest.mark.parametrize(("launch", "start"), [("now", 4.0), ("step", 4.0), ("beat", 4.0), ("bar", 8.0), ("loop", 8.0)])
def test_with_nothing_sounding_the_start_is_a_bar_line(rig, launch, start):
    rig.play()
    rig.to_beat(5.3)
    rig.launch(1, QUARTERS, launch=launch)
    rig.to_beat(12.5)
    assert rig.of(messages.Launched)[0].start_beats == start
    first, pitch = rig.strokes()[0]
    assert pitch == 60 + (first - start) % 4


@pytest.mark.parametrize(("beats_per_bar", "boundary"), [(3, 6.0), (4, 8.0), (5, 5.0), (7, 7.0)])
def test_bars_of_other_metres(tmp_path, beats_per_bar, boundary):
    rig = Rig(tmp_path, beats_per_bar=beats_per_bar)
    rig.play()
    rig.to_beat(4.5)
    rig.launch(1, ONE, length=float(beats_per_bar))
    rig.to_beat(boundary + beats_per_bar + 1)
    assert rig.strokes() == [(boundary, 60), (boundary + beats_per_bar, 60)]


def test_seven_eight_from_live(rig):
    rig.send(messages.LiveReport(rig.now_ns, True, 120.0, 0.0, 7, 8, 0.0, 0.0))
    rig.launch(1, ONE, length=3.5)
    rig.to_beat(8.0)
    assert rig.strokes() == [(0.0, 60), (3.5, 60), (7.0, 60)]


def test_late_bars_say_so_and_wait_for_the_next_boundary(rig):
    rig.launch(1, QUARTERS)
    rig.play()
    rig.to_beat(4.1)
    rig.launch(2, [(80, 0.0, 0.5, 100, 0)], ago_ms=100)  # asked at 3.9: meant for 4
    assert rig.of(messages.Late) == [messages.Late("melody", 2, pytest.approx(50.0))]
    assert rig.of(messages.Scheduled)[-1].start_beats == 8.0
    rig.to_beat(9.0)
    assert [beat for beat, pitch in rig.strokes() if pitch == 80] == [8.0]
    assert [pitch for beat, pitch in rig.strokes() if 4 <= beat < 8] == [60, 61, 62, 63]


def test_in_time_is_not_late(rig):
    rig.play()
    rig.to_beat(3.9999)
    rig.launch(1, ONE, ago_ms=30)
    rig.to_beat(4.5)
    assert rig.of(messages.Late) == []
    assert rig.strokes() == [(4.0, 60)]


def test_asked_before_play_and_made_after_it_is_late_for_beat_0(rig):
    rig.play()
    rig.to_beat(0.05)
    rig.launch(1, ONE, ago_ms=500)
    assert rig.of(messages.Late) == [messages.Late("melody", 1, pytest.approx(25.0))]
    rig.to_beat(5.0)
    assert rig.strokes() == [(4.0, 60)]


def test_now_is_never_late(rig):
    rig.play()
    rig.to_beat(4.2)
    rig.launch(1, QUARTERS, launch="now", ago_ms=200)
    rig.to_beat(5.5)
    assert rig.of(messages.Late) == []
    assert rig.strokes() == [(5.0, 61)]


def test_a_newer_launch_replaces_the_pending_one(rig):
    rig.play()
    rig.to_beat(1.0)
    rig.launch(1, ONE)
    rig.launch(2, [(70, 0.0, 0.5, 100, 0)])
    rig.to_beat(5.0)
    assert rig.strokes() == [(4.0, 70)]
    assert [event.id for event in rig.of(messages.Launched)] == [2]


def test_cancelled_bars_do_not_sound(rig):
    rig.play()
    rig.to_beat(1.0)
    rig.launch(1, ONE)
    rig.send(messages.CancelPending("melody"))
    rig.to_beat(9.0)
    assert rig.strokes() == []


def test_a_loop_boundary_is_the_end_of_the_loop_that_sounds(rig):
    rig.launch(1, ONE, length=6.0)
    rig.play()
    rig.to_beat(1.0)
    rig.launch(2, [(70, 0.0, 0.5, 100, 0)], launch="loop", length=6.0)
    rig.to_beat(7.0)
    assert rig.strokes() == [(0.0, 60), (6.0, 70)]


def test_the_old_note_is_closed_at_the_boundary_before_the_new_one_begins(rig):
    rig.launch(1, [(60, 3.0, 1.0, 100, 0), (64, 2.0, 9.0, 100, 0)])
    rig.play()
    rig.to_beat(2.5)
    rig.launch(2, ONE)
    rig.to_beat(5.0)
    assert rig.heard() == [Note(2.0, 4.0, 64), Note(3.0, 4.0, 60), Note(4.0, 4.5, 60)]


def test_a_tempo_change_in_mid_loop_keeps_every_beat(rig):
    rig.launch(1, QUARTERS)
    rig.play()
    rig.to_beat(1.5)
    rig.send(messages.SetClock(tempo_bpm=60.0))
    rig.to_beat(6.6)  # half a beat takes twice as long from 1.5 on: beat b comes at 1.5 + 2 * (b - 1.5)
    assert rig.strokes() == [(0.0, 60), (1.0, 61), (2.5, 62), (4.5, 63), (6.5, 60)]
    assert rig.heard()[1] == Note(1.0, 1.5, 61)


def test_stop_closes_at_once_and_continue_is_in_place(rig):
    rig.launch(1, [(60, 0.0, 2.0, 100, 0), (64, 3.0, 0.5, 100, 0)])
    rig.play()
    rig.to_beat(1.25)
    rig.send(messages.MoveTransport("stop"))
    assert rig.heard() == [Note(0.0, 1.25, 60)]
    rig.to_beat(11.25)
    rig.send(messages.MoveTransport("continue"))
    rig.to_beat(15.0)
    assert rig.strokes() == [(0.0, 60), (13.0, 64), (14.0, 60)]


def test_pending_targets_follow_a_stop_and_a_new_start(rig):
    rig.play()
    rig.to_beat(1.0)
    rig.launch(1, ONE)
    rig.send(messages.MoveTransport("stop"))
    rig.to_beat(6.0)
    rig.send(messages.MoveTransport("continue"))
    rig.to_beat(10.0)
    assert [event.start_beats for event in rig.of(messages.Scheduled)] == [4.0, -1.0, 4.0]
    assert rig.strokes() == [(9.0, 60)]


def test_an_hour_of_loops_has_every_note_in_its_place(rig):
    """Float positions must not creep: 7,200 beats, loops of odd length."""
    rig.launch(1, [(60, 1 / 3, 0.25, 100, 0)], length=10 / 3)
    rig.play()
    rig.to_beat(7200.0)
    expected = [round(1 / 3 + k * 10 / 3, 4) for k in range(2160)]
    assert [beat for beat, _ in rig.strokes()] == expected
    assert len(rig.of(messages.Beat)) == 7201


def report(rig: Rig, beats: float, numerator: int, bar: float, since: float) -> None:
    rig.send(messages.LiveReport(rig.now_ns, True, 120.0, beats, numerator, 4, bar, since))


def test_a_note_struck_on_the_bar_line_where_the_metre_changes_rings_on(rig):
    report(rig, 0.0, 4, 1.0, 0.0)
    rig.launch(1, [(60, 0.0, 2.0, 100, 0), (64, 3.0, 0.5, 100, 0)])
    rig.to_beat(4.1)
    rig.send(messages.RestoreVoice("melody", 1, 4.0, 3.0, [(60, 0.0, 2.0, 100, 0)], True, True, []))
    rig.to_beat(9.5)
    assert [note for note in rig.heard() if note.pitch == 60] == [
        Note(0.0, 2.0, 60),
        Note(4.0, 6.0, 60),
        Note(7.0, 9.0, 60),
    ]


def test_bars_for_a_line_that_a_new_metre_brings_with_a_small_slide_are_not_put_off(rig):
    report(rig, 0.0, 4, 1.0, 0.0)
    rig.launch(1, QUARTERS)
    rig.to_beat(2.0)
    report(rig, 2.0, 4, 1.0, 2.0)
    rig.launch(2, [(80, 0.0, 0.5, 100, 0)])
    rig.to_beat(3.99)
    report(rig, 4.005, 3, 2.0, 0.005)  # the song was a little further than thought, and over the line
    rig.to_beat(6.0)
    assert [(event.id, event.beat) for event in rig.of(messages.Launched)] == [(1, 0.0), (2, 4.0)]
    launched = rig.events.index(rig.of(messages.Launched)[-1])
    assert launched < next(
        k for k, e in enumerate(rig.events) if isinstance(e, messages.ClockState) and e.numerator == 3
    )


def test_a_voice_that_is_to_play_again_at_the_bar_does_so_there_though_the_metre_changes_before(rig):
    report(rig, 0.0, 4, 1.0, 0.0)
    rig.launch(1, ONE)
    rig.to_beat(0.6)
    rig.send(messages.StopVoice("melody"))
    rig.to_beat(1.5)
    report(rig, 1.5, 4, 1.0, 1.5)
    rig.send(messages.PlayVoice("melody", rig.now_ns, "bar"))
    rig.to_beat(1.6)
    report(rig, 1.6, 3, 1.0, 1.6)
    rig.send(
        messages.RestoreVoice("melody", 1, 0.0, 3.0, [(60, k / 2, 0.25, 100, 0) for k in range(6)], True, True, [])
    )
    rig.to_beat(4.2)
    assert rig.strokes() == [(0.0, 60), (3.0, 60), (3.5, 60), (4.0, 60)]


def test_bars_that_wait_while_the_voice_is_stopped_come_in_where_it_plays_again(rig):
    rig.play()
    rig.launch(1, QUARTERS)
    rig.to_beat(1.2)
    rig.send(messages.StopVoice("melody"))
    rig.launch(2, [(80, 0.0, 0.5, 100, 0)])
    rig.to_beat(6.0)
    assert [event.id for event in rig.of(messages.Launched)] == [1], "nothing of what the bridge may still call off"
    rig.send(messages.PlayVoice("melody", rig.now_ns, "bar"))
    rig.to_beat(12.5)
    assert rig.strokes() == [(0.0, 60), (1.0, 61), (8.0, 80), (12.0, 80)]
    assert [(event.id, event.beat) for event in rig.of(messages.Launched)] == [(1, 0.0), (2, 8.0)]


def test_bars_called_off_while_the_voice_is_stopped_do_not_sound_at_all(rig):
    rig.play()
    rig.launch(1, ONE)
    rig.to_beat(1.2)
    rig.send(messages.StopVoice("melody"))
    rig.launch(2, [(80, 0.0, 0.5, 100, 0)])
    rig.to_beat(5.0)
    rig.send(messages.CancelPending("melody"), messages.PlayVoice("melody", rig.now_ns, "bar"))
    rig.to_beat(9.0)
    assert rig.strokes() == [(0.0, 60), (8.0, 60)]


def test_a_knob_reaches_bars_that_sound_and_wait_to_begin_again(rig):
    rig.play()
    rig.launch(1, ONE)
    rig.to_beat(1.2)
    rig.launch(1, ONE)
    rig.send(messages.Reshape("melody", 1, 1, 4.0, [(72, 0.0, 0.5, 100, 0), (74, 2.0, 0.5, 100, 0)]))
    rig.to_beat(6.5)
    assert rig.strokes() == [(0.0, 60), (2.0, 74), (4.0, 72), (6.0, 74)]


@pytest.mark.parametrize(("leap_beats", "sounds"), [(0.15, True), (8.0, False)])
def test_bars_for_this_place_are_called_off_where_the_song_goes_to_another(rig, leap_beats, sounds):
    report(rig, 0.0, 4, 1.0, 0.0)
    rig.to_beat(1.0)
    rows = [(60, 0.0, 0.5, 100, 0)]
    rig.send(messages.Launch("melody", 1, rig.now_ns, "bar", 4.0, rows, for_this_place=True))
    rig.to_beat(2.0)
    report(rig, 2.0 + leap_beats, 4, 1.0 + leap_beats // 4, 2.0 + leap_beats % 4)
    rig.to_beat(7.0)
    assert bool(rig.strokes()) is sounds


def test_bars_that_are_over_are_restored_in_silence(rig):
    rig.play()
    rig.to_beat(0.5)
    rig.send(messages.RestoreVoice("melody", 1, 0.0, 4.0, QUARTERS, True, False, [], over=True))
    rig.to_beat(9.0)
    assert rig.strokes() == []
    rig.send(messages.LoopVoice("melody", True))
    rig.to_beat(13.0)
    assert rig.strokes() == [(12.0, 60), (13.0, 61)]


def test_a_voice_launched_at_its_loop_plays_again_where_the_loop_begins(rig):
    rig.play()
    rig.launch(1, [(60, 0.0, 0.5, 100, 0), (67, 4.0, 0.5, 100, 0)], length=8.0)
    rig.to_beat(2.0)
    rig.send(messages.StopVoice("melody"))
    rig.to_beat(3.0)
    rig.send(messages.PlayVoice("melody", rig.now_ns, "loop"))
    rig.to_beat(12.5)
    assert rig.strokes() == [(0.0, 60), (8.0, 60), (12.0, 67)]
