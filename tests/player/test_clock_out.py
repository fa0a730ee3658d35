"""MIDI clock out: ticks in their place, and the words for start, stop, continue and song position."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from player_rig import BEAT_NS, BEGAN_NS, Rig

from bridge import messages
from bridge.limits import LATEST_NS

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


@pytest.mark.parametrize(("tempo", "seconds"), [(20.0, 900), (33.3, 900), (174.5, 300), (999.0, 60)])
def test_many_minutes_at_any_tempo_neither_drop_nor_double_a_tick(tmp_path, tempo, seconds):
    rig = Rig(tmp_path, clock_out=True)
    rig.send(messages.SetClock(tempo_bpm=tempo))
    rig.play()
    for second in range(5, seconds + 1, 5):  # the memory of the ports is bounded, the record's count is not
        rig.player.run_to(BEGAN_NS + second * 1_000_000_000)
        rig.player.take_events()
    assert rig.reader.count - 1 == int(seconds * tempo / 60 * 24 + 1e-6) + 1  # and the word "start"


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


def test_ticks_missed_in_a_stall_do_not_come_in_a_burst_and_the_place_is_told_anew(rig):
    rig.play()
    rig.to_beat(1.0)
    before = len(sent(rig))
    rig.clock.move_to(rig.now_ns + 4 * BEAT_NS + BEAT_NS // 10)
    rig.performer.perform(rig.now_ns)
    rig.to_beat(5.3)
    words = [(beat, status, data1) for beat, status, data1, _ in sent(rig)[before:]]
    assert words[:4] == [(5.1, STOP, 0), (5.1, POSITION, 21), (5.25, CONTINUE, 0), (5.25, TICK, 0)]
    assert [status for _, status, _ in words[4:]] == [TICK]


def test_beyond_the_last_song_position_it_counts_from_the_beginning(rig):
    rig.send(messages.LiveReport(rig.now_ns, True, 120.0, 5000.0, 4, 4, -1.0, -1.0))
    assert sent(rig)[0] == (0.0, POSITION, (20000 - 16384) & 0x7F, (20000 - 16384) >> 7)


class Device:
    """Something that counts ticks as the MIDI specification says; the place (in ticks) of each tick it was sent."""

    def __init__(self, words: list[tuple[float, int, int, int]]) -> None:
        self.heard: list[tuple[float, int]] = []
        place, running = 0, False
        for at, status, data1, data2 in words:
            if status == POSITION:
                assert not running, "a song position while it runs is not heeded"
                place = 6 * (data1 | data2 << 7)
            elif status == START:
                assert not running
                place, running = 0, True
            elif status == CONTINUE:
                assert not running
                running = True
            elif status == STOP:
                running = False
            elif running:
                self.heard.append((at, place))
                place += 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_happens_a_device_is_where_the_song_is(tmp_path_factory, data):
    """Tempo, transport, nudges, Live's jumps and stalls, and at every tick the device's count is the song's place."""
    rig = Rig(tmp_path_factory.mktemp("device"), clock_out=True)
    rig.play()
    songs = []
    for _ in range(data.draw(st.integers(1, 8))):
        songs.append((rig.now_ns, rig.now_ns, rig.performer.looper.map))
        kind = data.draw(st.sampled_from(["tempo", "play", "stop", "continue", "nudge", "stall"]))
        ahead_ns = 0
        match kind:
            case "tempo":
                rig.send(messages.SetClock(tempo_bpm=data.draw(st.sampled_from([20.0, 93.7, 120.0, 999.0]))))
            case "nudge":
                nudge_ms = data.draw(st.sampled_from([-400.0, -3.0, 5.0, 600.0]))
                # ticks of a part that is passed over were due before now; where it is long they are not sent
                ahead_ns = round(-1e6 * nudge_ms) if -LATEST_NS < 1e6 * nudge_ms < 0 else 0
                rig.send(messages.SetClock(nudge_ms=nudge_ms))
            case "stall":
                songs.append((rig.now_ns, rig.now_ns + 2_000_000_000, rig.performer.looper.map))
                rig.clock.move_to(rig.now_ns + data.draw(st.integers(0, 2_000_000_000)))
                rig.performer.perform(rig.now_ns)
            case _:
                rig.send(messages.MoveTransport(kind))
        until_ns = rig.now_ns + data.draw(st.integers(0, 900_000_000))
        songs.append((rig.now_ns - ahead_ns, until_ns, rig.performer.looper.map))
        rig.player.run_to(until_ns)
    for at, place in Device(sent(rig)).heard:
        at_ns = BEGAN_NS + at * BEAT_NS
        maps = [song for began_ns, until_ns, song in songs if began_ns - 60_000 < at_ns < until_ns + 60_000]
        apart_beats = [abs(place / 24 - song.anchor_beats - (at_ns - song.anchor_ns) * song.tempo_bpm / 60e9)
                       for song in maps]  # fmt: skip
        assert not maps or min(apart_beats) < 0.004
