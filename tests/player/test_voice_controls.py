"""Stop, play, mute, loop, clear, jumps, panic, restore: each closes what it must and keeps its place."""

from __future__ import annotations

import pytest
from player_rig import Note, Rig

from bridge import messages

QUARTERS = [(60 + k, float(k), 0.5, 100, 0) for k in range(4)]
LONG = [(60, 0.0, 4.0, 100, 0)]


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def report(rig: Rig, beats: float, playing: bool = True) -> messages.LiveReport:
    return messages.LiveReport(rig.now_ns, playing, 120.0, beats, 4, 4, -1.0, -1.0)


def test_stop_closes_at_once_and_play_resumes_at_the_boundary_in_place(rig):
    rig.launch(1, QUARTERS, length=6.0)
    rig.play()
    rig.to_beat(1.25)
    rig.send(messages.StopVoice("melody"))
    assert rig.heard()[-1] == Note(1.0, 1.25, 61)
    rig.to_beat(2.6)
    rig.send(messages.PlayVoice("melody", rig.now_ns, "beat"))
    rig.to_beat(6.5)
    assert rig.strokes() == [(0.0, 60), (1.0, 61), (3.0, 63), (6.0, 60)]


def test_bars_launched_into_a_stopped_voice_wait_for_play(rig):
    rig.play()
    rig.send(messages.StopVoice("melody"))
    rig.launch(1, QUARTERS)
    rig.to_beat(5.5)
    assert rig.of(messages.Launched) == []
    rig.send(messages.PlayVoice("melody", rig.now_ns, "bar"))
    rig.to_beat(8.5)
    assert rig.strokes() == [(8.0, 60)]
    assert [(event.id, event.beat) for event in rig.of(messages.Launched)] == [(1, 8.0)]


@pytest.mark.parametrize("launch", ["bar", "loop"])
def test_bars_whose_line_went_by_in_silence_begin_on_a_line_though_play_comes_before(rig, launch):
    rig.play()
    rig.send(messages.StopVoice("melody"))
    rig.launch(1, QUARTERS, launch=launch)
    rig.to_beat(5.3)
    rig.send(messages.PlayVoice("melody", rig.now_ns, "now"))
    rig.to_beat(9.5)
    assert rig.strokes() == [(8.0, 60), (9.0, 61)]
    assert [(event.start_beats, event.beat) for event in rig.of(messages.Launched)] == [(8.0, 8.0)]


@pytest.mark.parametrize("play_first", [False, True])
def test_bars_taken_over_in_silence_are_told_when_play_and_the_clock_come_back(rig, play_first):
    rig.play()
    rig.send(messages.StopVoice("melody"))
    rig.launch(1, QUARTERS)
    rig.to_beat(5.5)
    assert rig.of(messages.Launched) == []
    if play_first:  # to resume at a line that the clock never comes to
        rig.send(messages.PlayVoice("melody", rig.now_ns, "bar"))
    rig.send(messages.MoveTransport("stop"))
    if not play_first:
        rig.send(messages.PlayVoice("melody", rig.now_ns, "bar"))
    rig.send(messages.MoveTransport("continue"))
    rig.to_beat(12.5)
    assert rig.strokes()
    assert [event.id for event in rig.of(messages.Launched)] == [1]


def test_play_while_the_clock_stands_is_play_when_it_runs(rig):
    rig.launch(1, QUARTERS)
    rig.send(messages.StopVoice("melody"), messages.PlayVoice("melody", rig.now_ns, "bar"))
    rig.play()
    rig.to_beat(0.5)
    assert rig.strokes() == [(0.0, 60)]


def test_mute_closes_and_keeps_time(rig):
    rig.launch(1, QUARTERS)
    rig.play()
    rig.to_beat(1.25)
    rig.send(messages.MuteVoice("melody", True, -1))
    assert rig.heard()[-1] == Note(1.0, 1.25, 61)
    rig.to_beat(3.5)
    rig.send(messages.MuteVoice("melody", False, -1))
    rig.to_beat(5.5)
    assert rig.strokes() == [(0.0, 60), (1.0, 61), (4.0, 60), (5.0, 61)]


def test_one_part_muted_leaves_the_others(rig):
    rows = [(60 + part, float(beat), 0.75, 100, part) for beat in range(4) for part in range(3)]
    rig.launch(1, rows, voice="trio")
    rig.play()
    rig.to_beat(0.5)
    rig.send(messages.MuteVoice("trio", True, 1))
    rig.to_beat(1.5)
    assert [pitch for beat, pitch in rig.strokes("trio") if beat == 1.0] == [60, 62]
    assert Note(0.0, 0.5, 61) in rig.heard("trio")
    rig.send(messages.MuteVoice("trio", True, -1), messages.MuteVoice("trio", False, 2))
    rig.to_beat(2.5)
    assert [pitch for beat, pitch in rig.strokes("trio") if beat == 2.0] == [62]
    assert rig.performer.looper.voices["trio"].snapshot().muted_parts == [0, 1]


def test_loop_off_is_once_round_and_on_again_from_the_next_round(rig):
    rig.launch(1, QUARTERS)
    rig.play()
    rig.to_beat(5.5)
    rig.send(messages.LoopVoice("melody", False))
    rig.to_beat(9.5)
    rig.send(messages.LoopVoice("melody", True))
    rig.to_beat(12.5)
    assert [beat for beat, _ in rig.strokes()] == [0, 1, 2, 3, 4, 5, 6, 7, 12]


def test_loop_on_before_the_end_changes_nothing(rig):
    rig.launch(1, QUARTERS)
    rig.play()
    rig.to_beat(1.5)
    rig.send(messages.LoopVoice("melody", False))
    rig.to_beat(2.5)
    rig.send(messages.LoopVoice("melody", True))
    rig.to_beat(5.5)
    assert [beat for beat, _ in rig.strokes()] == [0, 1, 2, 3, 4, 5]


def test_bars_launched_with_loop_off_sound_once(rig):
    rig.send(messages.LoopVoice("melody", False))
    rig.launch(1, QUARTERS)
    rig.play()
    rig.to_beat(9.0)
    assert [beat for beat, _ in rig.strokes()] == [0, 1, 2, 3]
    rig.launch(2, QUARTERS)
    rig.to_beat(20.0)
    assert [beat for beat, _ in rig.strokes()][4:] == [12, 13, 14, 15]


def test_a_note_that_crosses_the_end_of_the_loop_is_closed_there(rig):
    rig.launch(1, [(60, 3.0, 5.0, 100, 0)])
    rig.play()
    rig.to_beat(9.0)
    assert rig.heard() == [Note(3.0, 4.0, 60), Note(7.0, 8.0, 60)]


def test_a_pitch_struck_again_is_closed_first(rig):
    rig.launch(1, [(60, 0.0, 3.0, 100, 0), (60, 1.0, 1.0, 90, 0)])
    rig.play()
    rig.to_beat(3.5)
    assert rig.heard() == [Note(0.0, 1.0, 60), Note(1.0, 2.0, 60)]


def test_clear_forgets(rig):
    rig.launch(1, LONG)
    rig.play()
    rig.to_beat(1.0)
    rig.launch(2, QUARTERS)
    rig.send(messages.ClearVoice("melody"))
    rig.to_beat(9.0)
    assert rig.heard() == [Note(0.0, 1.0, 60)]
    snapshot = rig.performer.looper.voices["melody"].snapshot()
    assert (snapshot.sounding_id, snapshot.pending_id, snapshot.notes) == (0, 0, [])


def test_a_jump_closes_and_goes_on_where_the_loop_would_be_without_a_burst(rig):
    rig.send(report(rig, 0.0))
    rig.launch(1, [(60 + k, float(k), 0.9, 100, 0) for k in range(8)], length=8.0)
    rig.to_beat(1.5)
    rig.send(report(rig, 100.5))  # 99 beats on: position 4.5 of the loop
    assert rig.heard()[-1] == Note(1.0, 1.5, 61)
    rig.to_beat(3.5)
    assert rig.strokes() == [(0.0, 60), (1.0, 61), (2.0, 65), (3.0, 66)]


def test_a_jump_by_whole_rounds_of_the_loop_is_not_heard(rig):
    """Live's loop brace round a loop of ours: nothing is cut."""
    rig.send(report(rig, 8.0))
    rig.launch(1, [(60, 3.0, 2.0, 100, 0)], length=8.0, launch="now")
    rig.to_beat(4.0)  # song position 12; the note of position 3 sounds since 11
    rig.send(report(rig, 12.0), report(rig, 4.0))
    rig.to_beat(9.0)
    assert rig.heard() == [Note(3.0, 5.0, 60)]


def test_a_jump_gives_pending_bars_a_new_target(rig):
    rig.send(report(rig, 0.0))
    rig.to_beat(1.0)
    rig.launch(1, QUARTERS)
    rig.send(report(rig, 33.5))
    rig.to_beat(4.0)  # song position 36.5
    assert [event.start_beats for event in rig.of(messages.Scheduled)] == [4.0, 36.0]
    assert rig.strokes() == [(3.5, 60)]


def test_a_start_told_late_still_sounds_the_first_note(rig):
    rig.launch(1, QUARTERS)
    rig.send(report(rig, 0.0, playing=False))
    rig.to_beat(10.0)
    rig.send(report(rig, 0.07))
    rig.to_beat(11.5)
    assert rig.strokes()[0] == (10.0, 60)
    assert rig.strokes()[1][0] == pytest.approx(10.93, abs=0.001)


@pytest.mark.parametrize("stopped_first", [True, False])
def test_play_brings_back_once_round_what_has_sounded_once(rig, stopped_first):
    rig.launch(1, [(60, 0.0, 0.5, 90, 0), (62, 2.0, 0.5, 90, 0)])
    rig.send(messages.LoopVoice("melody", False))
    rig.play()
    rig.to_beat(9.5)
    if stopped_first:
        rig.send(messages.StopVoice("melody"))
    rig.send(messages.PlayVoice("melody", rig.now_ns, "bar", anew=True))
    rig.to_beat(24)
    assert [(note.on, note.pitch) for note in rig.heard()] == [(0.0, 60), (2.0, 62), (12.0, 60), (14.0, 62)]
    assert rig.of(messages.Launched)[-1] == messages.Launched("melody", 1, 12.0, 12.0)
    rig.send(messages.StopVoice("melody"), messages.PlayVoice("melody", rig.now_ns, "bar"))  # it answers in a jam
    rig.to_beat(36)
    assert len(rig.heard()) == 4


def test_bars_that_wait_come_in_rather_than_those_that_are_over(rig):
    rig.launch(1, [(60, 0.0, 0.5, 90, 0)])
    rig.send(messages.LoopVoice("melody", False))
    rig.play()
    rig.to_beat(5)
    rig.send(messages.StopVoice("melody"))
    rig.launch(2, [(72, 0.0, 0.5, 90, 0)])
    rig.send(messages.PlayVoice("melody", rig.now_ns, "bar", anew=True))
    rig.to_beat(16)
    assert [(note.on, note.pitch) for note in rig.heard()] == [(0.0, 60), (8.0, 72)]


def test_after_a_stall_overdue_onsets_are_skipped_and_their_offs_are_not(rig):
    rig.launch(1, [(60, k / 8, 0.1, 100, 0) for k in range(32)])
    rig.play()
    rig.to_beat(1.0)
    rig.clock.move_to(rig.now_ns + 500_000_000)  # the process was held for a beat
    rig.performer.perform(rig.now_ns)
    assert rig.strokes()[-1][0] == 2.0
    assert rig.performer.looper.skipped == 7
    rig.to_beat(3.0)
    assert len(rig.heard()) == len(rig.strokes()) - 1


def test_panic_closes_everything_with_real_offs_and_then_controllers(rig):
    rig.launch(1, LONG)
    rig.launch(2, [(40, 0.0, 4.0, 100, 0), (44, 0.0, 4.0, 100, 0)], voice="bass")
    rig.play()
    rig.to_beat(1.0)
    before = len(rig.messages_sent())
    rig.send(messages.Panic(False))
    sent = rig.messages_sent()[before:]
    assert [(port, status, data) for _, port, status, data, _ in sent[:3]] == [
        ("melody", 0x80, 60), ("bass", 0x81, 40), ("bass", 0x81, 44),
    ]  # fmt: skip
    channels = [("melody", 0), ("bass", 1), ("trio", 2), ("trio", 3), ("trio", 9)]
    assert [(port, status, data) for _, port, status, data, _ in sent[3:]] == [
        (port, 0xB0 | ch, controller) for port, ch in channels for controller in (123, 120)
    ]
    assert rig.of(messages.Panicked) == [messages.Panicked(3)]
    rig.to_beat(6.0)
    assert len(rig.strokes()) == 1
    rig.send(messages.PlayVoice("melody", rig.now_ns, "bar"))
    rig.to_beat(8.5)
    assert rig.strokes()[-1] == (8.0, 60)


def test_a_second_panic_sends_every_note_off_within_a_tenth_of_a_second(rig):
    rig.send(messages.Panic(True))
    rig.to_beat(0.6)
    for name, port in rig.ports.items():
        offs = {(message[0] & 15, message[1]) for message in port.sent if message[0] >> 4 == 8}
        assert len(offs) == 16 * 128, name
    assert rig.messages_sent()[-1][0] <= 0.5


def test_a_restored_voice_sounds_at_once_in_place(rig):
    rig.send(messages.RestoreTransport(rig.now_ns, 33.25, 120.0, True, 4, 4, 0.0))
    rig.send(messages.RestoreVoice("melody", 7, 16.0, 4.0, QUARTERS, True, True, []))
    assert not rig.performer.fresh
    rig.to_beat(1.0)
    assert rig.strokes() == [(0.75, 62)]
    assert rig.performer.looper.voices["melody"].snapshot().start_beats == 16.0


def test_a_voice_that_waits_for_its_boundary_is_told_to_a_new_bridge_as_one_that_plays(rig):
    rig.launch(1, QUARTERS)
    rig.play()
    rig.to_beat(1.0)
    rig.send(messages.StopVoice("melody"))
    voice = rig.performer.looper.voices["melody"]
    assert not voice.snapshot().playing
    rig.send(messages.PlayVoice("melody", rig.now_ns, "bar"))
    assert voice.resume_beats == 4.0
    assert voice.snapshot().playing


def test_a_new_player_says_whose_time_it_keeps_where_the_song_stands_too(rig):
    """The bridge goes by what the player before it has said, and that may have followed somebody who has left."""
    rig.send(messages.RestoreTransport(0, 0.0, 120.0, False, 4, 4, 0.0))
    assert [(state.source, state.followed) for state in rig.of(messages.ClockState)] == [("internal", False)]


def test_beats_are_told_once_each_and_stop_is_told(rig):
    rig.play()
    rig.to_beat(2.5)
    rig.send(messages.SetClock(tempo_bpm=240.0))
    rig.to_beat(3.0)
    rig.send(messages.MoveTransport("stop"))
    assert [(event.beat, event.playing) for event in rig.of(messages.Beat)] == [
        (0, True), (1, True), (2, True), (3, True), (3, False),
    ]  # fmt: skip


def test_what_is_said_wrongly_changes_nothing(rig, caplog):
    rig.launch(1, LONG)
    rig.play()
    rig.send(messages.Launch("nobody", 2, 0, "bar", 4.0, []), messages.Launch("melody", 2, 0, "soon", 4.0, []))
    rig.send(messages.Launch("melody", 2, 0, "bar", 4.0, [(200, 0, 1, 100, 0)]), messages.SetClock(tempo_bpm=5.0))
    rig.to_beat(1.0)
    assert len(caplog.records) == 4
    assert rig.performer.looper.voices["melody"].pending is None
    assert rig.strokes() == [(0.0, 60)]
