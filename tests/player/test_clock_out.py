"""MIDI clock out: ticks in their place, and the words for start, stop, continue and song position."""

from __future__ import annotations

import pytest
from player_rig import BEAT_NS, BEGAN_NS, Rig

from bridge import messages

TICK, START, CONTINUE, STOP, POSITION = 0xF8, 0xFA, 0xFB, 0xFC, 0xF2


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path, clock_out=True)


def sent(rig: Rig) -> list[tuple[float, int, int, int]]:
    return [(beat, status, data1, data2) for beat, port, status, data1, data2 in rig.messages_sent() if port == "clock"]


def test_play_is_start_and_24_ticks_a_beat(rig):
    rig.play()
    rig.to_beat(3.999)
    words = sent(rig)
    assert [status for _, status, _, _ in words[:2]] == [START, TICK]
    ticks = [beat for beat, status, _, _ in words if status == TICK]
    assert ticks == [round(k / 24, 4) for k in range(96)]


@pytest.mark.parametrize("tempo", [20.0, 33.3, 174.5, 999.0])
def test_a_quarter_of_an_hour_at_any_tempo_neither_drops_nor_doubles_a_tick(tmp_path, tempo):
    rig = Rig(tmp_path, clock_out=True)
    rig.send(messages.SetClock(tempo_bpm=tempo))
    rig.play()
    for second in range(5, 901, 5):  # the memory of the ports is bounded, the record's count is not
        rig.player.run_to(BEGAN_NS + second * 1_000_000_000)
        rig.player.take_events()
    assert rig.reader.count - 1 == int(900 * tempo / 60 * 24 + 1e-6) + 1  # and the word "start"


def test_stop_and_continue_tell_the_position_and_begin_at_a_sixteenth(rig):
    rig.play()
    rig.to_beat(1.3)
    rig.send(messages.MoveTransport("stop"))
    assert sent(rig)[-1][:2] == (1.3, STOP)
    rig.to_beat(4.0)
    before = len(sent(rig))
    rig.send(messages.MoveTransport("continue"))
    rig.to_beat(4.3)
    words = sent(rig)[before:]
    assert words[0] == (4.0, POSITION, 6, 0)  # the sixth sixteenth is beat 1.5
    assert words[1][:2] == (4.2, CONTINUE)
    assert words[2][:2] == (4.2, TICK)


def test_a_leap_is_stop_position_continue(rig):
    rig.send(messages.LiveReport(rig.now_ns, True, 120.0, 0.0, 4, 4, -1.0, -1.0))
    rig.to_beat(1.0)
    before = len(sent(rig))
    rig.send(messages.LiveReport(rig.now_ns, True, 120.0, 600.0, 4, 4, -1.0, -1.0))
    words = [status for _, status, _, _ in sent(rig)[before:]]
    assert words[:4] == [STOP, POSITION, CONTINUE, TICK]
    assert sent(rig)[before + 1][2:] == (2400 & 0x7F, 2400 >> 7)


def test_ticks_missed_in_a_stall_do_not_come_in_a_burst(rig):
    rig.play()
    rig.to_beat(1.0)
    before = len(sent(rig))
    rig.clock.move_to(rig.now_ns + 4 * BEAT_NS)
    rig.performer.perform(rig.now_ns)
    assert len(sent(rig)) - before <= 2
