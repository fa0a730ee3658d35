"""Call and response, and following: the real session and player in one room, beat by beat."""

from __future__ import annotations

import dataclasses

import pytest
from jam_room import JamRoom
from player_rig import BEAT_NS, BEGAN_NS, Rig
from session_room import VOICE, Room

from bridge import engine_messages, messages, wire
from bridge.music.notes import Bars, Note
from bridge.session.listening import Listening, Phrases
from bridge.session.shadowing import in_phase

PHRASE = ((0.0, 60), (1.0, 62), (2.0, 64), (3.5, 67))


def at(bar: int, *notes: tuple[float, int]) -> list[tuple[float, int]]:
    return [(4.0 * bar + beat, pitch) for beat, pitch in notes or PHRASE]


@pytest.fixture
def room(tmp_path):
    room = JamRoom(tmp_path)
    room.start()
    return room


def test_every_answer_starts_on_its_bar_line_sounds_once_and_the_voice_rests_while_it_listens(room):
    room.jam("respond")
    for bar in (1, 3, 5):
        room.play(*at(bar))
    room.to(28.5)
    assert room.launched() == [8.0, 16.0, 24.0]
    for bar in (2, 4, 6):
        assert [pitch for _, pitch in room.strokes(4 * bar, 4 * bar + 4)] == [60, 62, 64, 67]
        assert room.strokes(4 * bar, 4 * bar + 4)[0][0] == 4.0 * bar
    for bar in (0, 1, 3, 5, 7):
        assert room.strokes(4 * bar, 4 * bar + 4) == []
    assert room.phases[:3] == [("ready", 0.0, 4.0), ("listen", 4.0, 4.0), ("answer", 8.0, 4.0)]
    assert room.rig.outputs.close_all(room.rig.now_ns) == 0


def test_an_answer_is_with_the_player_before_the_last_notes_and_takes_them_in(room):
    room.jam("respond")
    room.play(*at(1, (0.0, 60), (2.0, 64)))
    room.to(7.4)
    assert room.room.voice.pending is not None
    room.play(*at(1, (3.5, 67)), length=0.1)
    room.to(9.0)
    assert room.materials()[0] == [60]
    assert room.materials()[-1] == [60, 64, 67]
    assert room.launched() == [8.0]
    assert {note.pitch for note in room.room.voice.sounding.bars.notes} == {60, 64, 67}


@pytest.mark.parametrize("bars", [1, 2, 4])
def test_it_listens_and_answers_as_many_bars_as_it_was_told(room, bars):
    room.jam("respond", bars)
    room.play(*at(1))
    line = 4.0 + 4 * bars
    room.to(line + 4 * bars + 0.5)
    assert room.launched() == [line]
    assert room.jobs[0].bars == bars
    assert room.jobs[0].material[0][0] == 4.0 * bars
    assert len(room.strokes(line, line + 4 * bars)) > 3


def test_notes_across_the_line_and_over_the_answer_leave_nothing_hanging(room):
    room.jam("respond")
    room.play(*at(1, (0.0, 60), (1.0, 64)))
    room.to(7.5)
    room.press(67)  # held into the answer, and let go late in it
    room.to(8.3)
    room.press(69)
    room.to(10.9)
    room.lift(67)
    room.lift(69)
    room.play(*at(3, (0.0, 62), (2.0, 65)))
    room.to(22.5)
    assert room.launched() == [8.0, 16.0]
    assert room.materials()[-1] == [62, 65]
    assert room.strokes(12, 16) == []
    room.rig.heard()  # every on has its off
    assert room.rig.outputs.close_all(room.rig.now_ns) == 0


def test_who_stops_early_is_answered_all_the_same(room):
    room.jam("respond", 2)
    room.play(*at(1, (0.0, 60), (0.5, 62)))
    room.to(20.0)
    assert room.launched() == [12.0]


def test_where_nothing_is_played_it_goes_on_by_itself_more_softly_then_waits_for_somebody(room):
    room.jam("respond")
    room.play(*at(1), velocity=100)
    room.to(40.5)
    assert room.launched() == [8.0, 16.0, 24.0]
    ons = [
        (beat, loud) for beat, port, status, _, loud in room.rig.messages_sent() if (port, status >> 4) == ("melody", 9)
    ]
    for bar, loudness in ((2, 100), (4, 80), (6, 64)):
        assert {loud for beat, loud in ons if 4 * bar <= beat < 4 * bar + 4} == {loudness}
    assert room.phases[-1][0] == "ready"
    room.play((41.0, 72), (42.0, 74))
    room.to(48.5)
    assert room.launched()[-1] == 44.0
    assert room.materials()[-1] == [72, 74]


def test_nobody_plays_and_nothing_sounds(room):
    room.jam("respond")
    room.to(24.0)
    assert room.jobs == []
    assert room.strokes(0, 24) == []


def test_a_note_just_before_the_line_belongs_to_the_bar_after_it(room):
    room.jam("respond")
    room.play((3.9, 60), (5.0, 62), length=0.05)
    room.to(8.5)
    assert room.launched() == [8.0]
    pitches = [(row[0], row[1]) for row in room.jobs[-1].material[0][1]]
    assert pitches == [(60, 0.0), (62, 1.0)]


def test_what_is_played_into_an_answer_is_gone_on_from_where_nothing_is_played_after_it(room):
    room.jam("respond")
    room.play(*at(1))
    room.play(*at(2, (1.5, 76), (2.5, 77)))
    room.to(16.5)
    assert room.materials()[-1] == [76, 77]
    room.play(*at(6, (1.5, 76)))
    room.play(*at(7, (0.0, 60)))
    room.to(32.5)
    assert room.materials()[-1] == [60]


def test_an_engine_that_is_late_leaves_the_last_answer_and_says_so(room):
    room.jam("respond")
    room.play(*at(1))
    room.to(12.0)
    room.latency_ms = 3000.0
    room.play(*at(3, (0.0, 48), (1.0, 50)))
    room.to(23.5)
    assert room.launched() == [8.0, 16.0]
    assert [pitch for _, pitch in room.strokes(16, 20)] == [60, 62, 64, 67]
    assert len(room.said("/melody/late")) >= 1
    room.latency_ms = 20.0
    room.to(24.0)
    room.play(*at(7, (0.0, 72), (1.0, 74)))
    room.to(33.0)
    assert room.strokes(32, 33) == [(32.0, 72)]


@pytest.mark.parametrize("late", [False, True])
def test_an_answer_is_in_the_key_of_all_that_was_played_however_late_the_engine_is(room, late):
    """Its first version knows the first notes alone, which could be of the key that was played in before."""
    room.make = lambda _job: [(pitch, float(beat), 0.5, 64, 0) for beat, pitch in enumerate((66, 61, 62, 69))]
    room.jam("respond")
    room.play(*at(1, (0.0, 62), (0.5, 66), (1.0, 61), (1.5, 69), (2.0, 64), (2.5, 67), (3.0, 71)))
    room.play(*at(3, (0.0, 62), (0.5, 69)))
    room.to(15.06)
    assert {note.pitch % 12 for note in room.room.voice.pending.bars.notes} == {1, 2, 6}, "of D major"
    if late:
        room.latency_ms = 5000.0
    room.play(*at(3, (3.1, 70), (3.25, 63), (3.5, 65), (3.75, 70)), length=0.12)
    room.to(20.0)
    answer = [pitch % 12 for _, pitch in room.strokes(16.0, 20.0)]
    assert len(answer) == (3 if late else 4)
    assert set(answer) <= {10, 0, 2, 3, 5, 7, 9}, "of B flat major"


@pytest.mark.parametrize("locked", [False, True])
def test_where_there_is_no_answer_in_time_the_last_one_comes_in_the_key_of_who_plays(room, locked):
    room.make = lambda _job: [(pitch, float(beat), 0.5, 64, 0) for beat, pitch in enumerate((66, 61, 62, 69))]
    room.jam("respond")
    room.play(*at(1, (0.0, 62), (0.5, 66), (1.0, 61), (1.5, 69), (2.0, 64), (2.5, 67), (3.0, 71)))
    room.to(10.0)
    if locked:
        room.ask("lock", bar=0, on=True)
    room.latency_ms = 5000.0
    room.play(*at(3, (0.0, 70), (0.5, 63), (1.0, 65), (2.0, 62), (3.0, 70)))
    room.to(17.0)
    room.play(*at(5, (0.0, 70), (0.5, 63), (1.0, 65), (2.0, 62), (3.0, 70)))
    room.to(28.0)
    for line in (16.0, 24.0):
        heard = room.strokes(line, line + 4.0)
        assert [beat - line for beat, _ in heard] == [0.0, 1.0, 2.0, 3.0]
        assert ({pitch % 12 for _, pitch in heard} <= {10, 0, 2, 3, 5, 7, 9}) != locked, "of B flat major"
    ids = [loop_id for loop_id, _ in room.said("/melody/launched")]
    assert len(set(ids)) == (1 if locked else 3)
    assert {told[0] for told in room.said("/melody/bars/begin")} >= set(ids)
    assert room.said("/melody/late")


def test_a_first_answer_that_is_late_comes_in_where_it_would_be(room):
    room.latency_ms = 1900.0
    room.jam("respond")
    room.play(*at(1), length=0.2)
    room.to(12.0)
    heard = room.strokes(8, 12)
    assert heard
    assert heard[0][0] > 8.0
    assert {beat % 1 for beat, _ in heard} == {0.0}
    (late,) = room.said("/melody/late")[:1]
    assert late[1] > 0
    assert room.strokes(12, 16) == []


def test_a_stop_discards_what_was_listened_to_and_a_start_counts_in(room):
    room.jam("respond")
    room.play(*at(1, (0.0, 60), (1.0, 62)))
    room.ask("stop", "clock")
    room.pass_ns(10**9)
    began_ns = room.rig.now_ns
    room.start()
    room.pass_ns(6 * 10**9)
    assert room.launched() == []
    assert room.phases[-1] == ("count_in", 0.0, 4.0)
    assert room.strokes(0, 100) == []
    room.to(13.0)
    room.press(60)
    room.to(13.4)
    room.lift(60)
    room.to(16.5)
    assert room.launched() == [16.0]
    assert room.rig.performer.looper.map.ns_at_beat(0.0) == began_ns


def test_who_plays_in_the_bar_that_is_counted_in_is_listened_to(tmp_path):
    room = JamRoom(tmp_path)
    room.jam("respond")
    room.start()
    room.play(*at(0))
    room.to(4.5)
    assert room.phases[1][0] == "count_in"
    assert room.launched() == [4.0]


def test_a_jump_discards_what_was_listened_to(room):
    room.jam("respond")
    room.play((4.0, 60))
    room.to(4.8)
    room.start()  # from beat 0 again
    room.to(7.9)
    assert room.launched() == []
    assert room.room.voice.pending is None
    room.play(*at(2, (0.0, 60)))
    room.to(12.5)
    assert room.launched() == [12.0]


def test_an_answer_that_waits_when_the_song_jumps_does_not_play_on(room):
    room.jam("respond")
    room.play(*at(1, (0.0, 60), (1.0, 62)))
    room.to(7.5)
    assert room.room.voice.pending is not None
    jumped = room.rig.now_ns
    room.start()
    room.to(7.9)
    assert room.rig.performer.outputs.close_all(room.rig.now_ns) == 0
    ons = [played for played in room.rig.reader.since(0)[0] if played.status >> 4 == 9]
    assert all(played.intended_ns < jumped for played in ons)
    assert room.launched() == []


def test_another_tempo_in_the_middle_moves_no_line(room):
    room.jam("respond")
    room.play(*at(1, (0.0, 60), (1.0, 62)))
    room.ask("tempo", "clock", tempo=300.0)
    room.play(*at(1, (3.0, 64)), length=0.2)
    room.to(10.0)
    assert room.launched() == [8.0]
    assert room.materials()[-1] == [60, 62, 64]
    room.play(*at(4, (1.0, 60)))
    room.ask("tempo", "clock", tempo=60.0)
    room.to(24.5)
    assert all(beat % 4 == 0 for beat in room.launched())


@pytest.mark.parametrize("tempo", [20.0, 240.0, 999.0])
def test_at_every_tempo_answers_are_on_the_line(tmp_path, tempo):
    room = JamRoom(tmp_path)
    room.ask("tempo", "clock", tempo=tempo)
    room.start()
    room.jam("respond")
    for bar in (1, 3, 5):
        room.play(*at(bar, (0.0, 60), (2.0, 64)), length=0.5)
    room.to(24.5)
    assert room.launched() == [8.0, 16.0, 24.0]
    assert len(room.rig.strokes()) == 7


def test_in_three_four_the_lines_are_every_three_beats(tmp_path):
    room = JamRoom(tmp_path, beats_per_bar=3)
    room.start()
    room.jam("respond", 2)
    room.play((3.0, 60), (5.0, 64), (6.5, 67))
    room.to(15.5)
    assert room.launched() == [9.0]
    assert (room.jobs[0].bars, room.jobs[0].beats_per_bar, room.jobs[0].material[0][0]) == (2, 3.0, 6.0)
    assert room.strokes(9, 15)[0][0] == 9.0
    assert room.strokes(15, 16) == []


def test_a_clock_that_slides_a_little_keeps_its_lines(room):
    room.jam("respond")
    room.play(*at(1, (0.0, 60), (1.0, 62)))
    state = room.room.session.stage.clock.state
    for origin in (-0.002, 0.002):
        told = dataclasses.replace(state, bar_origin_beats=origin, tempo_bpm=120.5)
        room.room.session.from_player(told)
    room.room.session.from_player(state)
    room.to(12.5)
    assert room.launched() == [8.0]
    assert [phase[:2] for phase in room.phases[-2:]] == [("answer", 8.0), ("listen", 12.0)]


def test_an_answer_that_the_player_gets_late_comes_in_in_its_place(room):
    room.jam("respond")
    room.play((4.0, 60))
    held, handle = [], room.rig.send
    room.rig.send = lambda *records: held.extend(records)  # the way to the player is slow, over the bar line
    while room.rig.now_ns < BEGAN_NS + 8.1 * BEAT_NS:
        room.pass_ns(5_000_000)
    room.rig.send = handle
    handle(*held)
    room.to(12.0)
    assert [beat % 0.25 for beat, _ in room.strokes(8, 12)] == [0.0] * len(room.strokes(8, 12))
    assert room.strokes(8, 12) == [(10.0, 60)]  # the second of the two notes that answer one
    assert room.strokes(12, 16) == []
    assert len(room.said("/melody/late")) == 1


def test_a_jam_goes_on_after_the_bridge_process_was_started_again(room):
    room.jam("respond")
    room.play(*at(1))
    room.to(9.0)
    room.room.session.save()
    room.open_session()
    assert room.room.voice.jam == "respond"
    room.to(14.0)
    assert room.strokes(12, 14) == []
    room.play((16.0, 72), (17.0, 74))
    room.to(24.5)
    assert room.launched() == [20.0]
    assert room.room.voice.knobs.loop


def test_an_answer_that_outlived_its_bridge_waits_no_longer_where_the_song_moves(room):
    """Who asked for it is not there to call it off; what waits for ever would keep `auto` from asking, and `follow`."""
    room.jam("respond")
    room.play(*at(1))
    room.to(7.8)
    assert room.room.voice.pending is not None
    room.room.session.save()
    room.open_session()
    assert room.room.voice.pending is not None
    room.start()  # from beat 0 again
    room.to(0.5)
    assert room.rig.performer.looper.voices["melody"].pending is None
    assert room.room.voice.pending is None
    room.jam("off")
    room.ask("auto", bars=2)
    room.to(9.0)
    assert room.room.voice.sounding is not None


def test_off_lets_the_last_answer_go_round(room):
    room.jam("respond")
    room.play(*at(1))
    room.to(13.0)
    room.jam("off")
    room.to(24.0)
    for bar in (4, 5):
        assert [pitch for _, pitch in room.strokes(4 * bar, 4 * bar + 4)] == [60, 62, 64, 67]
    assert room.phases[-1] == ("off", -1.0, 0.0)


def test_a_loop_that_sounds_rests_from_the_next_bar_line_on(room):
    room.ask("next", bars=2)
    room.to(10.0)
    assert room.strokes(8, 10)
    room.jam("respond")
    room.to(20.0)
    assert room.strokes(10, 12) != []
    assert room.strokes(12, 20) == []
    room.rig.heard()


def test_the_state_tells_of_it(room):
    room.jam("respond")
    keys = room.room.session.stage.voice_state(room.room.voice)
    assert dict(zip(keys[::2], keys[1::2], strict=True))["jam"] == "respond"


def test_who_comes_in_the_middle_is_told_where_the_jam_is(room):
    def asked():
        room.room.words.said.clear()
        room.room.session.stage.send_whole_state(("127.0.0.1", 5006))
        return [(address, *args) for address, args in room.room.words.said if not address.endswith("/state")]

    assert asked() == [("/bridge/ready", 1)]
    room.jam("respond")
    room.play(*at(1, (0.0, 60)))
    room.jam("follow", scope="bass")
    assert asked() == [
        ("/melody/jam/phase", "listen", 4.0, 4.0), ("/bass/jam/phase", "follow", 8.0, 4.0), ("/bridge/ready", 1)
    ]  # fmt: skip
    for voice in ("melody", "bass"):
        room.jam("off", scope=voice)
    assert asked() == [("/bridge/ready", 1)]


def test_without_its_model_a_voice_does_not_jam(room):
    room.room.session.from_engine(engine_messages.ModelState("melody-2bar", False, "no such file"))
    assert room.room.refusal("jam", "bass", how="respond", bars=1) == 4


def test_both_voices_answer_at_once(room):
    room.room.session.from_engine(engine_messages.ModelState("melody-2bar", True, "ready"))
    room.jam("respond")
    room.jam("respond", scope="bass")
    room.play(*at(1))
    room.to(12.0)
    assert room.strokes(8, 12, "melody")[0][0] == 8.0
    assert room.strokes(8, 12, "bass")[0][0] == 8.0


def test_a_voice_hears_the_channel_it_is_told_to(tmp_path):
    room = JamRoom(tmp_path, listen=3)
    room.start()
    room.jam("respond")
    room.play(*at(1), channel=0)
    assert room.phases[-1][0] == "ready"
    room.play(*at(2), channel=2)
    room.to(12.5)
    assert room.launched() == [12.0]


def test_the_feel_of_who_plays_is_put_on_the_answer_and_taken_off_for_the_model(room):
    room.jam("respond")
    swung = [(beat + (0.085 if number % 2 else 0.0), 60 + number) for number, beat in
             enumerate((0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75))]  # fmt: skip
    room.make = lambda job: [(60, 0.0, 0.25, 64, 0), (62, 0.25, 0.25, 64, 0), (64, 0.5, 0.25, 64, 0)]
    room.play(*at(1, *swung), length=0.05)
    room.to(9.5)
    assert [row[1] for row in room.jobs[-1].material[0][1]] == [0.25 * step for step in range(8)]
    (first, _), (second, _), (third, _) = room.strokes(8, 9.5)[:3]
    assert (first, third) == (8.0, pytest.approx(8.5, abs=0.01))
    assert second == pytest.approx(8.335, abs=0.012)


def test_who_swings_eighths_is_heard_on_eighths_and_answered_with_their_swing(room):
    room.jam("respond")
    swung = [(beat + off, 60 + 2 * beat) for beat in range(4) for off in (0.0, 2 / 3)]
    room.make = lambda job: [(60, 0.0, 0.5, 64, 0), (62, 0.5, 0.5, 64, 0), (64, 1.0, 0.5, 64, 0), (65, 1.5, 0.5, 64, 0)]
    room.play(*at(1, *swung), length=0.3)
    room.to(10.5)
    assert [row[1] for row in room.jobs[-1].material[0][1]] == [0.5 * eighth for eighth in range(8)]
    beats = [beat for beat, _ in room.strokes(8, 10.5)[:4]]
    assert beats == [pytest.approx(beat, abs=0.02) for beat in (8.0, 8.667, 9.0, 9.667)]


@pytest.mark.parametrize("own", [[(72, 0.5, 0.5, 40, 0), (75, 2.0, 0.5, 127, 0)], []])
def test_a_locked_bar_comes_back_in_every_answer_as_it_was_whoever_plays(room, own):
    """Though whoever plays is lower and louder, and behind the beat; where it rests, nothing is moved into it."""
    room.make = lambda _job: [*own, (76, 4.5, 0.5, 64, 0)]
    room.ask("next", bars=2)
    room.to(4.5)
    first = room.room.voice.sounding
    room.ask("lock", bar=0, on=True)
    room.make = lambda _job: [(60 + beat, beat + 0.25, 0.5, 64, 0) for beat in range(4 if not own else 1, 8)]
    room.jam("respond", 2)
    for bars in (2, 6):
        for bar in (bars, bars + 1):
            room.play(*at(bar, *((beat + 0.04, 40 + 2 * beat) for beat in range(4))), velocity=120)
        room.to(4.0 * bars + 15.9)
        answer = room.room.voice.sounding
        assert [note for note in answer.bars.notes if note.start < 4.0] == [
            n for n in first.bars.notes if n.start < 4.0
        ]
        assert [note.start for note in answer.bars.notes if note.start >= 4.0] == [4.25, 5.25, 6.25, 7.25]
        line = 4.0 * bars + 8.0
        heard = [(round(beat - line, 3), pitch) for beat, pitch in room.strokes(line, line + 4.0)]
        assert heard == [(start, pitch) for pitch, start, *_ in own], "not behind the beat"


def test_a_bar_that_is_locked_when_a_step_is_made_and_waits_for_its_beat_stays(room):
    room.make = lambda job: [(72 if job.op == "morph" else 48, float(beat), 0.5, 64, 0) for beat in range(8)]
    room.ask("next", bars=2)
    room.to(8.0)
    room.ask("tempo", "clock", tempo=999.0)
    room.jam("follow", 2)
    room.play(*at(3, (0.0, 72), (1.0, 74)), length=0.2)
    while not any(job.op == "morph" for job in room.jobs):
        room.pass_ns(1_000_000)
    room.pass_ns(21_000_000)
    assert room.beat < 14.9
    assert room.room.voice.pending is None, "it is made, and waits for its beat"
    room.ask("lock", bar=1, on=True)
    room.to(17.0)
    assert room.said("/melody/launched")[-1][1] == 16.0
    assert [note.pitch for note in room.room.voice.sounding.bars.notes] == [72] * 4 + [48] * 4


@pytest.mark.parametrize(
    ("settings", "last", "heard_at"),
    [
        ({"grid": "1/4"}, 3.6, 3.0),
        ({"grid": "1/8"}, 3.7, 3.5),
        ({"model": "drums-2bar", "grid": "1/8", "quantize": 0.0}, 3.76, 3.76),
        ({"model": "drums-2bar", "grid": "1/4", "quantize": 0.0}, 3.76, 3.76),
    ],
)
def test_on_a_coarse_grid_too_the_last_note_of_a_bar_is_heard_in_it(tmp_path, settings, last, heard_at):
    """On quarters those of the last half step but for the pick-up were in no phrase, and drums' last sixteenth was not
    in its bar's.
    """
    room = JamRoom(tmp_path, **settings)
    room.start()
    room.jam("respond")
    room.play(*at(1, (0.0, 36), (2.0, 38), (last, 42)), length=0.1)
    room.to(9.0)
    heard = [(row[0], row[1]) for row in room.jobs[-1].material[0][1]]
    assert heard == [(36, 0.0), (38, 2.0), (42, pytest.approx(heard_at, abs=0.011))]


# -- follow -----------------------------------------------------------------------------------------------------------


def test_the_loop_moves_towards_what_is_played_at_every_bar_line_and_keeps_its_place(room):
    room.make = lambda _job: [(48, 0.0, 0.5, 64, 0), (50, 4.0, 0.5, 64, 0)]
    room.ask("next", bars=2)
    room.to(8.0)
    start = room.room.voice.start_beats
    room.jam("follow", 2)
    room.jobs.clear()
    for bar in (2, 3, 4):
        room.play(*at(bar, (0.0, 72), (2.0, 74)))
    room.to(25.0)
    morphs = [job for job in room.jobs if job.op == "morph"]
    assert len(morphs) == 3
    assert [job.x for job in morphs] == [0.25, 0.5, 0.75]
    assert len({job.seed for job in morphs}) == 1
    for job in morphs:
        present, target = job.material
        assert present[0] == target[0] == 8.0
        assert {row[0] for row in target[1]} <= {72, 74}
    assert [row[1] for row in morphs[-1].material[1][1]] == [0.0, 2.0, 4.0, 6.0]
    assert room.launched()[1:] == [12.0, 16.0, 20.0]
    assert (room.room.voice.start_beats - start) % 8.0 == 0.0
    room.to(40.0)
    assert room.launched()[1:] == [12.0, 16.0, 20.0]
    assert room.strokes(32, 40) != []


def test_a_locked_bar_is_played_as_it_was_while_the_others_move_towards_who_plays_behind_the_beat(room):
    room.make = lambda job: [
        (48, 0.0, 0.5, 64, 0), (50, 1.0, 0.5, 64, 0), (48 if job.op == "next" else 72, 5.0, 0.5, 64, 0),
    ]  # fmt: skip
    room.ask("next", bars=2)
    room.to(8.0)
    start = room.room.voice.start_beats
    room.ask("lock", bar=0, on=True)
    room.jam("follow", 2)
    for bar in (2, 3, 4):
        room.play(*at(bar, (0.04, 72), (1.04, 74), (2.04, 74)))
    room.to(40.0)
    first = start + 8.0 * ((32.0 - start) // 8.0)
    heard = room.strokes(first - 0.01, first + 7.9)
    assert [(round(beat - first, 3), pitch) for beat, pitch in heard] == [(0.0, 48), (1.0, 50), (5.0, 72)]
    assert room.room.voice.sounding.kept == (0,)


def test_what_is_followed_lies_where_it_was_played_in_the_loop(room):
    room.ask("next", bars=2)
    room.to(8.0)
    room.jam("follow", 1)
    room.jobs.clear()
    start = room.room.voice.start_beats
    room.play((13.0, 72), length=0.2)
    room.to(17.0)
    (job,) = [job for job in room.jobs if job.op == "morph"]
    places = {row[1] for row in job.material[1][1]}
    assert (13.0 - start) % 8.0 in places
    assert places == {(13.0 - start) % 4.0, (13.0 - start) % 4.0 + 4.0}


@pytest.mark.parametrize(("grid", "lines"), [("1/4", 1), ("1/16", 2), ("1/32", 3)])
def test_of_a_trio_lines_and_drums_end_a_phrase_by_grids_of_their_own(tmp_path, grid, lines):
    """Drums keep their timing on sixteenths, whichever grid the lines are on: what is for the next bar is of it."""
    voice = {key: value for key, value in VOICE.items() if key != "channel"}
    trio = {**voice, "model": "trio-16bar", "parts": {"melody": 1, "bass": 2, "drums": 10}, "grid": grid}
    room, listening = Room(tmp_path, voices={"melody": trio}), Listening()
    for number, beats in enumerate((3.0, 3.76, 3.9)):
        listening.hear([(60 + number, 90, 0, beats, 0.05, ""), (36 + number, 90, 9, beats, 0.05, "")])
    notes = Phrases(room.session.stage.voices["melody"], listening).heard(0.0, 4.0).bars.notes
    assert [note.start for note in notes if note.part == 2] == [3.0, 3.76]
    assert len([note for note in notes if note.part == 0]) == lines


def test_drums_that_are_followed_keep_their_timing_where_the_loop_begins():
    """The last bar of two that were played lies before the bar before it in the loop; both begin a little early."""
    played = Bars((Note(36, 0.0, 0.125, 90), Note(38, 3.98, 0.125, 90), Note(42, 6.0, 0.125, 90)), 8.0)
    turned = in_phase(played, 4.0, 8.0, "drums")
    assert [(note.pitch, round(note.start, 6)) for note in turned.notes] == [(42, 2.0), (36, 4.0), (38, 7.98)]
    last = in_phase(played, 4.0, 4.0, "drums")
    assert [(note.pitch, round(note.start, 6)) for note in last.notes] == [(42, 2.0), (38, 3.98)]


def test_without_a_loop_following_begins_with_what_is_played(room):
    room.jam("follow", 1)
    room.play(*at(1))
    room.to(12.5)
    assert room.jobs[0].op == "next"
    assert room.launched() == [8.0]
    assert room.room.voice.sounding is not None


def test_what_the_bridge_plays_itself_is_not_answered(room):
    """The melody's port is looped back to the input, a JACK period later."""
    rig = room.rig
    sent = rig.performer.outputs.note_on

    def looped_back(owner, pitch, velocity, intended_ns):
        sent(owner, pitch, velocity, intended_ns)
        echoes.append((intended_ns + 21_000_000, (0x90, pitch, velocity)))

    echoes: list[tuple[int, tuple[int, int, int]]] = []
    rig.performer.outputs.note_on = looped_back
    room.ask("next", bars=2)
    room.jam("follow", 1)
    notices = []
    while room.beat < 24.0:
        room.pass_ns(5_000_000)
        while echoes and echoes[0][0] <= rig.now_ns:
            stamp_ns, message = echoes.pop(0)
            rig.performer.midi_in(stamp_ns, message, rig.now_ns)
            rig.performer.midi_in(stamp_ns, (0x80, message[1], 0), rig.now_ns)
        notices += [event for event in rig.events if isinstance(event, messages.Notice)]
    room.jobs.clear()
    room.to(40.0)
    assert [job for job in room.jobs if job.op != "next"] == []


def test_records_of_the_jam_are_plain_values():
    heard = messages.Heard([(60, 90, 0, 1.5, -1.0, "")], False)
    again = wire.decode(wire.encode(heard))
    assert dataclasses.astuple(again)[0] == [[60, 90, 0, 1.5, -1.0, ""]]


def test_a_better_answer_that_is_too_late_is_not_told_where_there_is_one(tmp_path):
    def play(folder, second_ms):
        """Somebody whose last note comes after the first answer was asked for; when the second one is asked for."""
        folder.mkdir()
        room = JamRoom(folder)
        room.start()
        room.jam("respond")
        room.play(*at(1))
        room.to(12.0)
        room.play(*at(3, (0.0, 60), (1.0, 62)))
        while room.room.voice.pending is None:
            room.pass_ns(1_000_000)
        asked, room.latency_ms = len(room.jobs), second_ms
        room.press(65)
        while len(room.jobs) == asked:
            room.pass_ns(1_000_000)
        again = room.beat
        room.lift(65)
        while room.beat < 16.0:
            room.pass_ns(1_000_000)
        room.to(20.0)
        assert room.launched() == [8.0, 16.0]
        return room, again

    again = play(tmp_path / "first", 20.0)[1]
    room, _ = play(tmp_path / "second", (16.0 - again) * 500.0 - 2.0)
    assert room.said("/melody/late") == []


def test_a_scene_of_before_takes_no_answer_away(room):
    room.ask("save", "bridge", name="before")
    room.jam("respond")
    room.play(*at(1))
    room.to(7.8)
    assert room.room.voice.pending is not None
    room.ask("load", "bridge", name="before")
    room.to(12.5)
    assert room.launched() == [8.0]
    assert room.strokes(8, 9)


def test_a_click_under_way_does_not_come_into_a_jam_that_begins(room):
    room.ask("next", bars=1)
    room.to(5.0)
    room.latency_ms = 300.0
    room.ask("next", bars=1)
    room.jam("respond")
    room.to(12.5)
    assert room.launched() == [4.0]
    assert room.strokes(8, 12) == []


def test_bars_that_somebody_recalls_come_before_the_next_step_of_following(room):
    room.ask("next", bars=2)
    room.to(4.5)
    first = room.room.voice.sounding.id
    room.ask("next", bars=2)
    room.to(8.5)
    room.jam("follow", 2)
    room.play(*at(3, (0.0, 72), (2.0, 74)))
    room.ask("recall", id=first)
    room.to(17.0)
    assert (first, 16.0) in room.said("/melody/launched")


def test_a_jam_that_ends_calls_the_safety_answer_off(room):
    room.jam("respond")
    room.play(*at(1))
    room.to(12.0)
    room.latency_ms = 3000.0
    room.play(*at(3, (0.0, 65), (1.0, 66)))
    room.to(15.98)
    assert room.room.voice.pending is not None
    room.ask("stop", "clock")
    assert room.room.voice.pending is None


@pytest.mark.parametrize("panic", [False, True])
@pytest.mark.parametrize("at_beat", [7.9, 9.5])  # an answer waits; it sounds
def test_a_voice_that_was_stopped_answers_nobody_until_it_plays_again_and_somebody_plays(room, panic, at_beat):
    room.jam("respond")
    room.play(*at(1))
    room.to(at_beat)
    room.ask(*(("panic", "bridge") if panic else ("stop",)))
    room.play(*at(3, (0.0, 50)))  # to a voice that does not play
    room.to(18.0)
    room.ask("play")
    room.to(28.0)
    assert room.strokes(at_beat, 28) == []
    room.play(*at(7, (0.0, 72), (1.0, 74)))
    room.to(36.5)
    assert {pitch for _, pitch in room.strokes(28, 36)} == {72, 74}
    assert room.strokes(28, 36)[0][0] == 32.0
    assert room.strokes(28, 32) == []


def test_a_voice_that_plays_is_told_to_play_and_goes_on_answering(room):
    room.jam("respond")
    room.play(*at(1))
    room.to(9.5)
    room.ask("play")
    room.to(12.5)
    assert len(room.strokes(8, 12)) == 4
    assert room.phases[-1][0] == "listen"


def with_live(room: JamRoom, until: float, *presses: tuple[float, int], waltz_from: float) -> None:
    """Live plays at 120 BPM until a beat, in 4/4 and then in 3/4; keys go down at beats, each for a fifth of one."""
    todo = sorted([(beat, pitch, True) for beat, pitch in presses] + [(beat + 0.2, p, False) for beat, p in presses])
    beat = round((room.rig.now_ns - BEGAN_NS) / BEAT_NS, 6)
    while beat < until:
        line, numerator = (waltz_from, 3) if beat >= waltz_from - 1e-9 else (0.0, 4)
        bar, into = divmod(beat - line + 1e-9, numerator)
        report = messages.LiveReport(
            room.rig.now_ns, True, 120.0, beat, numerator, 4, waltz_from / 4 * (line > 0) + bar, into
        )
        room.rig.send(report)
        while todo and todo[0][0] <= beat + 1e-9:
            _, pitch, down = todo.pop(0)
            (room.press if down else room.lift)(pitch)
        room.pass_ns(BEAT_NS // 50)
        beat = round(beat + 0.02, 6)


@pytest.mark.parametrize("waltz_from", [8.0, 24.0])  # while it listens; while it answers
def test_where_the_metre_changes_it_listens_and_answers_as_many_bars_all_the_same(tmp_path, waltz_from):
    room = JamRoom(tmp_path)
    with_live(room, 1.0, waltz_from=waltz_from)
    room.jam("respond", 4)
    line, over = (17.0, 29.0) if waltz_from == 8.0 else (20.0, 33.0)
    with_live(room, over + 13.0, (4.0, 60), (5.0, 62), (over + 1.0, 72), (over + 5.0, 74), waltz_from=waltz_from)
    assert room.phases[-1] == ("answer", over + 12.0, 12.0)
    assert next(start for phase, start, _ in room.phases if phase == "answer") == line
    assert room.launched() == [line, over + 12.0]
    assert room.strokes(line, over)[0][0] == pytest.approx(line, abs=0.02)
    assert room.strokes(over, over + 11.9) == []
    assert room.jobs[-1].material[0][0] == 12.0
    assert {row[0] for row in room.jobs[-1].material[0][1]} == {72, 74}


def test_an_answer_whose_line_goes_by_without_a_player_comes_in_late_and_not_over_who_plays_next(room):
    room.jam("respond")
    room.play(*at(1, (0.0, 60), (1.0, 62)))
    room.to(7.8)
    now_ns = room.rig.now_ns + BEAT_NS // 2  # the player dies, and the next one comes half a beat later
    room.room.session.player_gone()
    room.room.time.run(0.25)
    room.rig = Rig(room.folder)
    room.rig.clock.move_to(now_ns)
    room.room.player.sent.clear()
    room.room.session.player_came()
    for record in [*room.rig.performer.snapshot(), messages.SnapshotEnd(True)]:
        room.room.session.from_player(record)
    room.exchange()
    room.play((12.0, 65), (13.0, 67))
    room.to(20.0)
    assert room.launched() == [8.5, 16.0]
    assert room.strokes(8, 12)[0][0] == 9.0
    assert room.strokes(12, 16) == []


def test_what_is_played_is_answered_although_the_voice_is_cleared_meanwhile(room):
    room.jam("respond")
    room.play(*at(1, (0.0, 60), (1.0, 62)))
    room.to(7.72)  # there is time for another answer
    assert room.room.voice.pending is not None
    room.ask("clear")
    room.to(12.0)
    assert room.launched() == [8.0]
    assert {pitch for _, pitch in room.strokes(8, 12)} == {60, 62}
    room.play(*at(3, (0.0, 65), (1.0, 67)))
    room.to(15.9)  # there is none
    room.ask("clear")
    room.to(17.0)
    assert room.phases[-1][:2] == ("ready", 16.0), "no answer without a note, in which nobody is listened to"
    room.play((18.0, 72))
    room.to(21.0)
    assert room.launched() == [8.0, 20.0]


def test_after_a_swap_to_drums_an_answer_of_the_line_is_not_gone_on_from(room):
    room.jam("respond")
    room.play(*at(1))
    room.to(9.0)
    room.ask("model", name="drums-2bar")
    room.room.session.from_engine(engine_messages.ModelState("drums-2bar", True, "ready"))
    made = len(room.jobs)
    room.to(20.0)
    assert [job.model for job in room.jobs[made:]] == []
    assert room.phases[-1][0] == "ready"
    room.play((24.0, 36), (25.0, 38), channel=9)
    room.to(29.0)
    assert {job.model for job in room.jobs[made:]} == {"drums-2bar"}
    assert set(room.materials()[-1]) == {36, 38}
    assert room.launched()[-1] == 28.0


def answered(room, *bars):
    """Answers to what is played in these bars; their ids."""
    ids = []
    for bar in bars:
        room.play(*at(bar, (0.0, 60 + bar), (2.0, 64 + bar)))
        room.to(4.0 * bar + 4.5)
        ids.append(room.room.voice.sounding.id)
    return ids


@pytest.mark.parametrize("verb", ["undo", "recall"])
@pytest.mark.parametrize("launch", ["bar", "now"])
@pytest.mark.parametrize("when", [12.5, 15.8], ids=["it listens", "an answer is being made"])
def test_bars_brought_back_while_it_listens_sound_in_its_turn(room, verb, launch, when):
    room.jam("respond")
    first, second = answered(room, 1, 3)
    assert first != second
    room.ask("launch", when=launch)
    room.play((20.0, 70), (21.0, 72))
    room.to(when + 8.0)
    while room.room.voice.pending is not None:  # an answer that waits is called off first
        room.ask("undo")
    room.room.words.said.clear()
    room.ask(verb, **({"id": first} if verb == "recall" else {}))
    assert [begin[0] for begin in room.said("/melody/bars/begin")][:1] == [first], "told at once"
    room.to(24.5)
    assert room.strokes(20, 24) == [], "it listens"
    assert room.room.voice.sounding.id == first
    assert [pitch for _, pitch in room.strokes(24, 28)][:1] == [61]
    room.to(32.5)
    assert room.strokes(28, 32) == []
    room.play((33.0, 74))
    room.to(40.5)
    assert 74 in room.materials()[-1], "and then it answers as before"
    assert room.launched()[-1] in (36.0, 40.0)
    room.rig.heard()


def test_undo_of_an_answer_that_waits_leaves_that_turn_silent(room):
    room.jam("respond")
    answered(room, 1)
    room.play((12.0, 70), (13.0, 72))
    room.to(15.5)
    assert room.room.voice.pending is not None
    room.play((15.55, 74), length=0.05)  # what would have the answer made anew
    room.ask("undo")
    room.to(20.5)
    assert room.strokes(12, 20) == []
    room.play((20.6, 76))
    room.to(24.5)
    assert room.launched() == [8.0, 24.0]
    assert room.materials()[-1] == [76]


def test_bars_brought_back_at_the_end_of_its_turn_wait_for_the_next_one(room):
    room.jam("respond")
    (first,) = answered(room, 1)
    room.to(11.5)
    room.ask("recall", id=first)
    room.to(16.0)
    assert room.strokes(12, 16) == []
    assert room.room.voice.pending is None
    assert room.phases[-1][0] in ("listen", "answer")
    room.jam("off")  # nobody's turn any more
    room.to(20.5)
    assert room.strokes(16, 20) != []


def test_bars_brought_back_into_its_turn_end_with_it_however_long_they_are(room):
    room.ask("next")
    room.to(4.5)
    long = room.room.voice.sounding
    assert long.bars.length == 8.0
    room.jam("respond")
    answered(room, 3)
    room.ask("launch", when="beat")
    room.ask("recall", id=long.id)  # two bars, in a turn of one
    room.to(20.0)
    assert room.room.voice.sounding.id == long.id
    assert room.strokes(17, 20) != []
    room.to(24.0)
    assert room.strokes(20, 24) == []


@pytest.mark.parametrize("way", ["stop", "jump"])
def test_bars_brought_back_do_not_come_into_what_is_listened_to_by_another_way(room, way):
    room.ask("next")
    room.to(4.5)
    before = room.room.voice.sounding.id
    room.jam("respond", 2)
    room.play(*at(2))
    room.to(16.5)
    room.ask("recall", id=before)  # waits for the bar line in the middle of its turn
    assert room.room.voice.pending is not None
    if way == "stop":
        room.ask("stop")
        room.to(26.1)
        room.ask("play")
    else:
        room.ask("play", "clock")
    room.pass_ns(20_000_000)
    heard = len(room.rig.strokes("melody"))
    room.to(room.beat + 12.0)
    assert len(room.rig.strokes("melody")) == heard > 0


def swapped(room, model):
    room.ask("model", name=model)
    room.room.session.from_engine(engine_messages.ModelState(model, True, "ready"))
    room.exchange()


def test_answers_know_whether_they_are_of_drums_or_a_line_whatever_the_voice_plays_since(room):
    stage, voice = room.room.session.stage, room.room.voice
    room.jam("respond")
    room.play(*at(1))
    room.to(9.0)
    answer = voice.sounding
    room.jam("off")
    room.ask("swing", swing=70.0)
    room.ask("quantize", strength=1.0)
    as_a_line = stage.performed(voice, answer)
    swapped(room, "drums-2bar")
    assert stage.performed(voice, answer) == as_a_line, "its groove is that of a line still"
    made = len(room.jobs)
    assert room.room.refusal("vary", amount=0.0) == 4
    for verb, args in (
        ("attribute", {"name": "density", "amount": 0.5}), ("lock", {"bar": 0, "on": True}),
        ("hold", {"what": "rhythm"}), ("next", {}),
    ):  # fmt: skip
        room.ask(verb, **args)
    room.to(12.5)
    assert [job.op for job in room.jobs[made:]] == ["sample"], "not moved, and not gone on from"
    assert not {"hold", "lock"} & room.jobs[-1].bend.keys()
    room.ask("recall", id=answer.id)  # from its file
    room.to(16.5)
    assert voice.sounding.id == answer.id
    assert voice.sounding.drums is False
    room.ask("next")
    assert {row[0] for row in room.jobs[-1].material[0][1]} == {60}, "the newest drums are gone on from"
    room.to(20.5)
    swapped(room, "melody-2bar")
    room.ask("recall", id=answer.id)
    room.ask("next")
    assert [row[0] for row in room.jobs[-1].material[0][1]] == [60, 62, 64, 67], "for its own kind it is as before"


def test_an_answer_that_sounds_is_stored_and_leant_on_as_what_it_is(room):
    room.jam("respond")
    room.play(*at(1))
    room.to(9.0)
    room.jam("off")
    swapped(room, "drums-2bar")
    room.ask("store", slot="a")
    assert room.room.voice.foreign_corners == ["a"]
    room.ask("follow", "bass", voice="melody", amount=1.0)
    room.ask("next", "bass")
    follow = room.jobs[-1].bend["follow"]
    assert {row[0] for row in follow["line"][1]} == {60, 62, 64, 67}
    assert follow["rhythm"] is None


def test_who_follows_is_not_led_from_a_line_to_drums(room):
    room.room.new_loop(pitch=60)
    room.exchange()
    room.jam("respond")
    room.play(*at(1))
    room.to(9.0)
    room.jam("off")
    swapped(room, "drums-2bar")
    made = len(room.jobs)
    room.jam("follow")
    room.play((12.0, 36), (13.0, 38), channel=9)
    room.to(17.5)
    assert [job.op for job in room.jobs[made:]][:1] == ["next"]
    room.play((18.0, 36), channel=9)
    room.to(20.5)
    assert room.jobs[-1].op == "morph", "from drums to drums it is led"


def test_a_step_that_is_made_and_waits_for_its_beat_is_not_taken_after_clear(room):
    room.jam("follow", 1)
    room.latency_ms = 500.0  # once that is known, it is asked for long before the line
    room.play((4.0, 60), (6.0, 62))
    room.to(9.0)
    room.latency_ms = 20.0
    room.play((9.1, 64), (13.1, 65))
    made = len(room.jobs)
    while len(room.jobs) == made:
        room.pass_ns(5_000_000)
    room.pass_ns(50_000_000)
    assert room.beat < 15.0
    room.ask("clear")
    launched = room.launched()
    room.to(20.5)
    assert room.launched() == launched
    assert room.room.voice.sounding is None
