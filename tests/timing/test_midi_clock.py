"""MIDI clock that jitters, loses and doubles ticks; the follower's map is judged against the song it never sees."""

from __future__ import annotations

import random

import pytest
from twins import Song, tick_stamps

from bridge.timing.changes import Change, Shift
from bridge.timing.midi import CONTINUE, SONG_POSITION, START, STOP, TICK
from bridge.timing.midi_clock import FORGET_NS, LOST_NS, MidiFollower
from bridge.timing.tempo_map import TempoMap
from bridge.timing.tick_count import TickCount
from bridge.timing.tick_line import TickTracker

S = 1_000_000_000
BEGAN_NS = 10 * S
TICK_NS = S // 48  # at 120 BPM


def stream(song: Song, seconds: float, seed: int, *, jitter_ms: float, lost: float, doubled: float, before: int = 48):
    """(stamp_ns, message): two beats of ticks, start, and the song."""
    rng = random.Random(seed)
    period_ns = 60 * S / song.tempo_at(0.0) / 24
    early = sorted(
        BEGAN_NS - round((before - k) * period_ns + rng.uniform(-jitter_ms, jitter_ms) * 1e6) for k in range(before)
    )
    start_ns = max([*early, BEGAN_NS - round(0.6 * period_ns)]) + 1
    yield from ((stamp_ns, (TICK,)) for stamp_ns in early)
    yield start_ns, (START,)
    ticks = tick_stamps(song, seconds, rng, began_ns=BEGAN_NS, jitter_ms=jitter_ms, lost=lost, doubled=doubled)
    yield from ((max(stamp_ns, start_ns + 1), (TICK,)) for stamp_ns in ticks)


def phase_errors_ms(song: Song, seconds: float, after_s: float, seed: int, **how: float) -> list[float]:
    """What a note would be early or late by, just after each tick and just before the next."""
    follower = MidiFollower()
    how = {"jitter_ms": 0.0, "lost": 0.01, "doubled": 0.001, **how}
    errors: list[float] = []
    last_ns = 0
    for stamp_ns, message in stream(song, seconds, seed, **how):
        for now_ns in (last_ns, stamp_ns):
            at_s = (now_ns - BEGAN_NS) / S
            if at_s >= after_s and follower.map is not None:
                errors.append((follower.map.beat_at_ns(now_ns) - song.beat_at(at_s)) * 60_000 / song.tempo_at(at_s))
        follower.midi_in(stamp_ns, message)
        last_ns = stamp_ns
    return errors


def p95(errors: list[float]) -> float:
    return sorted(map(abs, errors))[int(0.95 * len(errors))]


@pytest.mark.parametrize(("jitter_ms", "bound_ms"), [(0.0, 0.1), (1.0, 1.0), (4.0, 1.5), (10.0, 3.0)])
def test_jitter_lost_and_doubled_ticks_in_the_steady_state(jitter_ms, bound_ms):
    errors = [
        error for seed in (1, 2) for error in phase_errors_ms(Song.steady(120.0), 60, 6, seed, jitter_ms=jitter_ms)
    ]
    assert p95(errors) <= bound_ms


@pytest.mark.parametrize("jitter_ms", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("seed", [1, 2, 5])
def test_a_tempo_step_is_within_5_ms_a_bar_later(jitter_ms, seed):
    errors = phase_errors_ms(Song.step(120.0, 90.0, 8.0), 16, 8 + 240 / 90, seed, jitter_ms=jitter_ms)
    assert max(map(abs, errors)) < 5.0


@pytest.mark.parametrize(("jitter_ms", "seed"), [(0.0, 1), (1.0, 2), (1.0, 3)])
def test_a_ramp_from_60_to_180_in_four_bars_is_within_5_ms_after_one(jitter_ms, seed):
    song = Song.ramp(60.0, 180.0, 16.0, at_s=4.0)
    errors = phase_errors_ms(song, 16, song.seconds_at(8.0), seed, jitter_ms=jitter_ms)
    assert max(map(abs, errors)) < 5.0


@pytest.mark.parametrize(("tempo", "seconds"), [(20 * 1.0002, 3600), (120 * 0.9998, 120)])
def test_a_clock_200_ppm_off_is_followed_without_drift(tempo, seconds):
    errors = phase_errors_ms(Song.steady(tempo), seconds, 8, 1, lost=0.0, doubled=0.0, jitter_ms=0.2)
    assert max(map(abs, errors)) <= 1.0


@pytest.mark.parametrize("tempo", [20.0, 33.3, 60.0, 174.5, 300.0, 999.0])
def test_every_tempo(tempo):
    errors = phase_errors_ms(Song.steady(tempo), 12 * 60 / tempo + 4, 6 * 60 / tempo, 3, jitter_ms=0.3)
    assert p95(errors) <= 0.5


def test_the_error_on_show_is_of_the_size_of_the_true_one():
    for jitter_ms, low, high in ((0.0, 0.0, 0.05), (10.0, 0.2, 3.0)):
        follower = MidiFollower()
        for stamp_ns, message in stream(Song.steady(120.0), 20, 5, jitter_ms=jitter_ms, lost=0.0, doubled=0.0):
            follower.midi_in(stamp_ns, message)
        assert low <= follower.error_ms <= high


# -- transport --------------------------------------------------------------------------------------------------------


def ticking(ticks: int = 48) -> tuple[MidiFollower, int]:
    """A follower that has heard ticks at 120 BPM, and when the next one is due."""
    follower = MidiFollower()
    for k in range(ticks):
        follower.midi_in(BEGAN_NS + k * TICK_NS, (TICK,))
    return follower, BEGAN_NS + ticks * TICK_NS


def test_start_puts_beat_0_on_the_next_tick():
    follower, next_ns = ticking()
    assert follower.takes_transport
    assert follower.midi_in(next_ns - TICK_NS // 3, (START,)) == Change(Shift.START, 0.0)
    assert follower.map is not None
    assert follower.map.ns_at_beat(0.0) == pytest.approx(next_ns, abs=1000)
    assert follower.leads_transport
    assert not follower.takes_transport
    for k in range(24):
        assert follower.midi_in(next_ns + k * TICK_NS, (TICK,)) == Change(Shift.SLIDE)
    assert follower.map.ns_at_beat(1.0) == pytest.approx(next_ns + 24 * TICK_NS, abs=2000)


@pytest.mark.parametrize("early_ns", [1000, TICK_NS // 3, TICK_NS * 2 // 3])
def test_start_means_the_tick_that_is_due_although_it_is_lost(early_ns):
    follower, next_ns = ticking()
    follower.midi_in(next_ns - early_ns, (START,))
    for k in range(1, 24):
        follower.midi_in(next_ns + k * TICK_NS, (TICK,))
    assert follower.map is not None
    assert follower.map.ns_at_beat(0.0) == pytest.approx(next_ns, abs=2000)


def test_start_does_not_mean_a_tick_that_was_lost_before_it():
    follower, next_ns = ticking()
    follower.midi_in(next_ns + TICK_NS // 2, (START,))
    for k in range(1, 24):
        follower.midi_in(next_ns + k * TICK_NS, (TICK,))
    assert follower.map is not None
    assert follower.map.ns_at_beat(0.0) == pytest.approx(next_ns + TICK_NS, abs=2000)


def test_a_device_that_ticks_only_while_it_plays_begins_on_its_first_tick():
    follower = MidiFollower(supposed_bpm=100.0)
    assert follower.midi_in(S, (START,)) is None
    assert follower.midi_in(2 * S, (TICK,)) == Change(Shift.START, 0.0)
    assert follower.map == TempoMap(2 * S, 0.0, 100.0, True)
    for k in range(1, 5):
        follower.midi_in(2 * S + k * TICK_NS, (TICK,))
    assert follower.map.tempo_bpm == pytest.approx(120.0, rel=1e-5)
    assert follower.map.ns_at_beat(0.0) == pytest.approx(2 * S, abs=1000)


def test_stop_and_continue_go_on_at_the_next_tick_of_the_song():
    follower, next_ns = ticking()
    follower.midi_in(next_ns - 1000, (START,))
    for k in range(30):
        follower.midi_in(next_ns + k * TICK_NS, (TICK,))
    stopped_ns = next_ns + 29 * TICK_NS + 5_000_000
    assert follower.midi_in(stopped_ns, (STOP,)) == Change(Shift.STOP)
    assert follower.map is not None
    assert not follower.map.playing
    for k in range(30, 60):
        assert follower.midi_in(next_ns + k * TICK_NS, (TICK,)) is None
    again_ns = next_ns + 60 * TICK_NS
    assert follower.midi_in(again_ns - 1000, (CONTINUE,)) == Change(Shift.START, 30 / 24)
    assert follower.map.ns_at_beat(30 / 24) == pytest.approx(again_ns, abs=2000)


def test_song_position_is_where_continue_begins_and_told_while_it_stands():
    follower, next_ns = ticking()
    assert follower.midi_in(next_ns - 3000, (SONG_POSITION, 0x04, 0x01)) == Change(Shift.SLIDE)
    assert follower.map is not None
    assert follower.map.anchor_beats == 132 / 4  # sixteenths
    assert follower.midi_in(next_ns - 2000, (CONTINUE,)) == Change(Shift.START, 33.0)
    assert follower.map.ns_at_beat(33.0) == pytest.approx(next_ns, abs=1000)
    assert follower.midi_in(next_ns + 10, (SONG_POSITION, 0, 0)) == Change(Shift.LEAP, 0.0)


def test_a_second_start_is_a_leap_and_a_second_stop_or_continue_nothing():
    follower, next_ns = ticking()
    follower.midi_in(next_ns - 1000, (START,))
    follower.midi_in(next_ns, (TICK,))
    assert follower.midi_in(next_ns + 1000, (CONTINUE,)) is None
    assert follower.midi_in(next_ns + 1000, (START,)) == Change(Shift.LEAP, 0.0)
    assert follower.midi_in(next_ns + 2000, (STOP,)) == Change(Shift.STOP)
    assert follower.midi_in(next_ns + 3000, (STOP,)) is None
    assert follower.midi_in(next_ns + 4000, (0xFF,)) is None


def test_without_a_start_the_transport_is_our_users():
    follower, next_ns = ticking()
    assert follower.transport("play", next_ns - TICK_NS // 2) == Change(Shift.START, 0.0)
    assert follower.map is not None
    assert follower.map.ns_at_beat(0.0) == pytest.approx(next_ns, abs=1000)
    assert follower.transport("stop", next_ns + S) == Change(Shift.STOP)
    with pytest.raises(ValueError, match="one of play, stop, continue"):
        follower.transport("pause", next_ns)


def test_a_song_that_plays_is_gone_on_with_at_the_nearest_tick():
    follower, next_ns = ticking()
    song = TempoMap(next_ns, 17.01, 121.0, True)
    follower.adopt(song, next_ns)
    assert follower.map is not None
    assert follower.map.beat_at_ns(next_ns) == pytest.approx(17.0, abs=1e-5)


def test_silence_is_coasted_over_and_ticks_that_come_back_find_their_place():
    follower, next_ns = ticking()
    follower.midi_in(next_ns - 1000, (START,))
    for k in range(48):
        follower.midi_in(next_ns + k * TICK_NS, (TICK,))
    silent_ns = next_ns + 47 * TICK_NS
    assert follower.next_check_ns() == silent_ns + LOST_NS
    follower.check(silent_ns + LOST_NS)
    assert follower.map is not None
    assert not follower.here
    assert follower.map.beat_at_ns(next_ns + 2 * S) == pytest.approx(4.0, abs=1e-4)
    for k in range(96 + 5, 144):  # 2.1 s later, 6 ms off its old grid
        follower.midi_in(next_ns + k * TICK_NS + 6_000_000, (TICK,))
    assert follower.here
    assert follower.map.ns_at_beat(6.0) == pytest.approx(next_ns + 144 * TICK_NS + 6_000_000, abs=10_000)


def test_a_long_silence_is_the_end_of_it():
    follower, next_ns = ticking()
    follower.midi_in(next_ns, (START,))
    last_ns = next_ns - TICK_NS
    follower.check(last_ns + LOST_NS)
    assert follower.next_check_ns() == last_ns + FORGET_NS
    follower.check(last_ns + FORGET_NS)
    assert follower.map is None
    assert not follower.leads_transport


@pytest.mark.parametrize("tempo", [97.3, 120.0, 174.5])
@pytest.mark.parametrize("period_ms", [2.667, 10.667, 21.333])
def test_ticks_that_are_stamped_once_a_cycle_of_the_server_keep_their_tempo(period_ms, tempo):
    """At 120 BPM and 1024 frames nearly every cycle has one tick, and now and then one has two."""
    song = Song.steady(tempo)
    follower = MidiFollower()
    follower.grain_ms = period_ms
    period_ns = round(period_ms * 1e6)
    errors = []
    for stamp_ns, message in stream(song, 24, 1, jitter_ms=0.2, lost=0.0, doubled=0.0):
        seen_ns = (stamp_ns // period_ns + 1) * period_ns
        follower.midi_in(seen_ns, message)
        at_s = (seen_ns - BEGAN_NS) / S
        if follower.map is not None and at_s > 10:
            errors.append((follower.map.beat_at_ns(seen_ns) - song.beat_at(at_s)) * 60_000 / tempo)
    assert follower.map is not None
    assert follower.map.tempo_bpm == pytest.approx(tempo, rel=0.02)
    assert all(-1.3 * period_ms <= error <= 0.3 * period_ms for error in errors)


@pytest.mark.parametrize("seed", range(8))
def test_a_clock_that_wanders_from_tick_to_tick_is_counted_to_the_end(seed):
    """As `jack_midi_clock -J 20` does, on a server with cycles of 2.7 ms: no tick is tied to any place, so what is off
    adds up, and three long intervals in a row are no lost tick.
    """
    rng, count, at_ms = random.Random(seed), TickCount(2.667), 0.0
    ahead = set()
    for number in range(1500):
        at_ms += rng.choice((13.33, 16.0, 16.0, 18.67, 18.67, 21.33))
        count.arrived(at_ms)
        if number >= 128:  # until then it may still be taken for jitter
            ahead.add(count.numbers[-1] - number)
    assert len(ahead) == 1


@pytest.mark.parametrize("jitter_ms", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("times", [2.4, 2.7, 3.0, 4.0, 6.0])
def test_a_tempo_that_drops_to_less_than_half_is_not_taken_for_lost_ticks(times, jitter_ms):
    for seed in range(3):
        rng, tracker, at_ms = random.Random(seed), TickTracker(), 0.0
        for number in range(120):
            tracker.arrived(at_ms + rng.uniform(-jitter_ms, jitter_ms))
            at_ms += 60_000 / (180 * 24) * (times if number >= 60 else 1.0)
        assert tracker.numbers[-1] == 119
        assert tracker.line is not None
        assert tracker.line.period_ms == pytest.approx(60_000 / (180 * 24) * times, rel=0.02)


@pytest.mark.parametrize("lost", [0.1, 0.3])
def test_many_lost_ticks_do_not_slow_the_song(lost):
    errors = phase_errors_ms(Song.steady(120.0), 30, 10, 3, jitter_ms=1.0, lost=lost)
    off = round(sorted(errors)[len(errors) // 2] / (500 / 24)) * 500 / 24  # the first ticks may be among the lost
    assert p95([error - off for error in errors]) <= 1.0


def test_ticks_that_come_in_one_moment_make_no_tempo_that_nobody_can_play() -> None:
    """As from a driver that collects what has come, where how often it does so is not known."""
    follower = MidiFollower()
    follower.midi_in(0, [0xFA])
    for number in range(200):
        block_ns = 21_333_333
        follower.midi_in(-(-number * 16_666_667 // block_ns) * block_ns, [0xF8])
        follower.midi_in(-(-number * 16_666_667 // block_ns) * block_ns, [0xF8])
        assert follower.map is None or follower.map.tempo_bpm <= 999.001
