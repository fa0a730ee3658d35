"""What is played at the input, in beats; and what is not played but comes back."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from player_rig import BEAT_NS, BEGAN_NS, Rig

from bridge import messages
from bridge.player.echo import IN_A_ROW, IN_A_ROW_CHANGED, Echo, Verdict
from bridge.player.hearing import BATCH_NS, Hearing
from bridge.timing.tempo_map import TempoMap

MS = 1_000_000
SONG = TempoMap(BEGAN_NS, 0.0, 120.0, True)


class Told:
    def __init__(self, latency_ms: float = 0.0) -> None:
        self.records: list[object] = []
        self.later_ns = 1 << 60
        self.hearing = Hearing(self.records.append, latency_ms)

    def hear(self, beat: float, *message: int, tempo_map: TempoMap = SONG) -> None:
        self.hearing.midi_in(BEGAN_NS + round(beat * BEAT_NS), message, tempo_map)

    def rows(self, now_ns: int | None = None) -> list[tuple[int, int, int, float, float, str]]:
        self.later_ns += 10**9
        self.hearing.flush(self.later_ns if now_ns is None else now_ns)
        found = [row for record in self.records if isinstance(record, messages.Heard) for row in record.rows]
        self.records.clear()
        return found


def test_a_note_is_told_when_it_begins_and_again_when_it_has_ended():
    told = Told()
    told.hear(1.5, 0x92, 60, 100)
    assert told.rows() == [(60, 100, 2, 1.5, -1.0, "")]
    told.hear(2.25, 0x82, 60, 0)
    assert told.rows() == [(60, 100, 2, 1.5, 0.75, "")]


@pytest.mark.parametrize("off", [(0x80, 60, 64), (0x90, 60, 0), (0xB0, 123, 0), (0xB0, 120, 0)])
def test_every_way_to_end_a_note_ends_it(off):
    told = Told()
    told.hear(1.0, 0x90, 60, 100)
    told.hear(2.0, *off)
    assert told.rows()[-1] == (60, 100, 0, 1.0, 1.0, "")


def test_a_key_struck_again_ends_its_note_and_a_stray_off_is_nothing():
    told = Told()
    told.hear(1.0, 0x90, 60, 100)
    told.hear(2.0, 0x90, 60, 90)
    told.hear(3.0, 0x81, 60, 0)
    told.hear(3.0, 0x80, 61, 0)
    assert told.rows() == [(60, 100, 0, 1.0, -1.0, ""), (60, 100, 0, 1.0, 1.0, ""), (60, 90, 0, 2.0, -1.0, "")]


def test_the_way_in_is_taken_off():
    told = Told(latency_ms=25.0)
    told.hear(1.05, 0x90, 60, 100)
    assert told.rows()[0][3] == pytest.approx(1.0)


def test_nothing_is_heard_while_the_clock_stands_and_a_stop_ends_what_is_held():
    told = Told()
    told.hear(1.0, 0x90, 60, 100, tempo_map=TempoMap(BEGAN_NS, 0.0, 120.0, False))
    assert told.rows() == []
    told.hear(1.0, 0x90, 60, 100)
    told.hearing.close(1.75)
    assert told.rows()[-1] == (60, 100, 0, 1.0, 0.75, "")


def test_a_lost_port_ends_what_is_held_and_is_told_at_once():
    told = Told()
    told.hear(1.0, 0x90, 60, 100)
    told.hearing.close(3.0, lost=True)
    assert told.records == [messages.Heard([(60, 100, 0, 1.0, -1.0, ""), (60, 100, 0, 1.0, 2.0, "")], True)]


def test_notes_go_in_batches_the_first_after_a_pause_at_once():
    told = Told()
    told.hear(1.0, 0x90, 60, 100)
    now_ns = BEGAN_NS + BEAT_NS
    assert told.hearing.next_due_ns() <= now_ns
    assert len(told.rows(now_ns)) == 1
    for pitch in (62, 64, 65):
        told.hear(1.01, 0x90, pitch, 100)
    assert told.rows(now_ns + 5 * MS) == []
    assert told.hearing.next_due_ns() == now_ns + BATCH_NS
    assert len(told.rows(now_ns + BATCH_NS)) == 3
    assert told.hearing.next_due_ns() is None


@given(
    st.lists(
        st.tuples(st.sampled_from([0x90, 0x80, 0xB0]), st.integers(0, 3), st.integers(58, 62), st.integers(0, 127)),
        max_size=60,
    )
)
def test_every_note_that_was_told_is_ended_once(events):
    told = Told()
    for number, (kind, channel, data1, data2) in enumerate(events):
        told.hear(number / 4, kind | channel, data1 + (62 if kind == 0xB0 else 0), data2)
    told.hearing.close(len(events) / 4)
    rows = told.rows()
    begun = [row[:4] for row in rows if row[4] < 0]
    ended = [row[:4] for row in rows if row[4] > 0]
    assert sorted(begun) == sorted(ended)
    assert len(set(begun)) == len(begun)


# -- hearing oneself --------------------------------------------------------------------------------------------------


def echoed(
    count: int, *, velocity_moved: int = 0, miss: tuple[int, ...] = (), delay_ms: float = 22.0, jitter_ms: float = 10.0
):
    """The verdicts on a voice's notes that come back."""
    dice, echo, verdicts = random.Random(1), Echo(), []
    for number in range(count):
        at_ns = number * 250 * MS
        echo.sent("melody", 60 + number % 7, 80 + number % 5, at_ns)
        if number not in miss:
            back_ns = at_ns + round((delay_ms + dice.uniform(0, jitter_ms)) * MS)
            verdicts.append(echo.heard(60 + number % 7, 80 + number % 5 + velocity_moved, back_ns)[0])
    return verdicts


def test_a_loop_back_is_known_after_a_few_notes():
    assert echoed(10) == [Verdict.PERHAPS_OURS] * (IN_A_ROW - 1) + [Verdict.OURS] * (11 - IN_A_ROW)


def test_a_loop_back_with_other_velocities_takes_longer():
    verdicts = echoed(12, velocity_moved=3)
    assert verdicts.index(Verdict.OURS) == IN_A_ROW_CHANGED - 1


def test_a_note_that_does_not_come_back_ends_the_suspicion_but_not_the_certainty():
    assert Verdict.OURS not in echoed(12, miss=(2, 5, 8, 11))
    assert echoed(12, miss=(6, 9))[3:] == [Verdict.OURS] * 7


def test_a_loop_back_that_is_gone_is_forgotten():
    verdicts = echoed(16, miss=(6, 7, 8, 9))
    assert verdicts[5] is Verdict.OURS
    assert verdicts[6:9] == [Verdict.PERHAPS_OURS] * 3


def test_somebody_who_plays_along_is_heard():
    """In unison, as people do: early as often as late, at their own loudness, with notes of their own in between."""
    dice, echo, verdicts = random.Random(2), Echo(), []
    for number in range(200):
        at_ns = (number + 1) * 250 * MS
        echo.sent("melody", 60 + number % 7, 90, at_ns)
        if number % 4:
            verdicts.append(
                echo.heard(60 + number % 7, dice.randint(60, 120), at_ns + round(dice.gauss(0, 20) * MS))[0]
            )
    assert Verdict.OURS not in verdicts


def test_what_turns_out_to_be_ours_is_owned_up_to_and_said_once(tmp_path):
    rig = Rig(tmp_path)
    rig.play()
    rig.launch(1, [(60 + step, step / 2, 0.25, 70 + step, 0) for step in range(8)])
    heard = 0
    while rig.now_ns < BEGAN_NS + 16 * BEAT_NS:
        sent = [played for played in rig.reader.since(0)[0] if played.status >> 4 in (8, 9)]
        for played in sent[heard:]:
            back_ns = played.intended_ns + 20 * MS
            rig.player.run_to(back_ns)
            rig.performer.midi_in(back_ns, (played.status, played.data1, played.data2), back_ns)
        heard = len(sent)
        rig.player.run_to(rig.now_ns + 50 * MS)
        rig.events += rig.player.take_events()
    rows = [row for record in rig.of(messages.Heard) for row in record.rows]
    played = {row[:4] for row in rows if not row[5]}
    ours = {row[:4] for row in rows if row[5] == "melody"}
    assert played < ours
    assert len(played) == IN_A_ROW - 1
    assert len(ours) == heard // 2
    assert len(rig.of(messages.Notice)) == 1


def test_the_player_tells_what_was_heard_while_it_plays(tmp_path):
    rig = Rig(tmp_path)
    rig.play()
    rig.to_beat(1.0)
    rig.performer.midi_in(rig.now_ns, (0x90, 60, 100), rig.now_ns)
    rig.to_beat(1.5)
    rig.performer.midi_in(rig.now_ns, (), rig.now_ns)
    rig.to_beat(2.0)
    first, lost = rig.of(messages.Heard)
    assert first.rows == [(60, 100, 0, 1.0, -1.0, "")]
    assert lost.lost
    assert lost.rows == [(60, 100, 0, 1.0, 0.5, "")]
