"""Live's device reports late and jittery; the follower's map is judged against the song it never sees exactly."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import pytest

from bridge.messages import LiveReport
from bridge.timing.changes import Change, Shift
from bridge.timing.live import LiveFollower

SECOND_NS = 1_000_000_000
BEGAN_NS = 7 * SECOND_NS
Song = Callable[[float], tuple[float, float]]
"""Seconds since the start -> (beats, tempo)."""


def steady(tempo: float) -> Song:
    return lambda s: (s * tempo / 60, tempo)


def ramp(first: float, last: float, beats: float) -> Song:
    """Tempo linear in time from `first` to `last` while `beats` pass, then steady."""
    lasts = beats * 60 / ((first + last) / 2)

    def song(s: float) -> tuple[float, float]:
        if s >= lasts:
            return beats + (s - lasts) * last / 60, last
        tempo = first + (last - first) * s / lasts
        return s * (first + tempo) / 2 / 60, tempo

    return song


def stepped(first: float, last: float, at_s: float) -> Song:
    def song(s: float) -> tuple[float, float]:
        return (s * first / 60, first) if s < at_s else (at_s * first / 60 + (s - at_s) * last / 60, last)

    return song


def reports(song: Song, seconds: float, rate_hz: float, jitter_ms: float, seed: int) -> Iterator[LiveReport]:
    """In order of arrival, as over loopback: each made at screen rate and late by a delay of its own."""
    rng = random.Random(seed)
    arrived_ns = 0
    for k in range(int(seconds * rate_hz)):
        made_s = k / rate_hz
        arrived_ns = max(arrived_ns, BEGAN_NS + int((made_s + rng.uniform(0, jitter_ms / 1e3)) * SECOND_NS))
        beats, tempo = song(made_s)
        yield LiveReport(arrived_ns, True, tempo, beats, 4, 4, -1.0, -1.0)


def phase_errors_ms(song: Song, seconds: float, after_s: float, **how: float) -> list[float]:
    """What a note would be early or late by, looked at every 5 ms between reports."""
    follower = LiveFollower()
    errors = []
    pending = reports(song, seconds, how.get("rate_hz", 60.0), how.get("jitter_ms", 30.0), int(how.get("seed", 1)))
    report = next(pending, None)
    for tick in range(int(seconds * 200)):
        now_ns = BEGAN_NS + tick * SECOND_NS // 200
        while report is not None and report.arrival_ns <= now_ns:
            follower.report(report)
            report = next(pending, None)
        if follower.map is None or tick / 200 < after_s or report is None:
            continue
        beats, tempo = song(tick / 200)
        errors.append((follower.map.beat_at_ns(now_ns) - beats) * 60_000 / tempo)
    return errors


def p95(errors: list[float]) -> float:
    return sorted(abs(error) for error in errors)[int(0.95 * len(errors))]


@pytest.mark.parametrize("tempo", [60.0, 120.0, 174.5, 300.0])
@pytest.mark.parametrize("seed", range(5))
def test_jitter_of_30_ms_leaves_a_phase_within_5_ms_after_two_bars(tempo, seed):
    errors = phase_errors_ms(steady(tempo), 480 / tempo + 10, 480 / tempo, seed=seed)
    assert p95(errors) <= 3.0
    assert max(map(abs, errors)) <= 5.0


def test_the_phase_moves_smoothly_once_it_is_found():
    errors = phase_errors_ms(steady(120.0), 20, 4)
    assert max(abs(b - a) for a, b in itertools.pairwise(errors)) <= 1.5


def test_a_slow_reporter_is_followed_too():
    errors = phase_errors_ms(steady(120.0), 24, 8, rate_hz=10.0)
    assert p95(errors) <= 8.0


@pytest.mark.parametrize(("first", "last"), [(60.0, 180.0), (180.0, 60.0)])
@pytest.mark.parametrize("seed", range(3))
def test_a_tempo_ramp_of_four_bars(first, last, seed):
    errors = phase_errors_ms(ramp(first, last, 16.0), 16, 4, seed=seed)
    assert p95(errors) <= 5.0


@pytest.mark.parametrize(("first", "last"), [(120.0, 90.0), (90.0, 140.0)])
@pytest.mark.parametrize("seed", range(3))
def test_a_tempo_step_is_within_5_ms_a_bar_later(first, last, seed):
    errors = phase_errors_ms(stepped(first, last, 8.0), 20, 8 + 240 / last, seed=seed)
    assert p95(errors) <= 5.0


def test_the_error_on_show_is_of_the_size_of_the_true_one():
    follower = LiveFollower()
    for report in reports(steady(120.0), 10, 60.0, 30.0, 3):
        follower.report(report)
    assert 0.05 <= follower.error_ms <= 4.0


def follow(follower: LiveFollower, song: Song, seconds: float, offset_s: float = 0.0) -> list[Change]:
    changes = []
    rng = random.Random(5)
    for k in range(int(seconds * 60)):
        made_s = offset_s + k / 60
        late_ns = int(rng.uniform(0, 0.03) * SECOND_NS)
        beats, tempo = song(made_s)
        change = follower.report(
            LiveReport(BEGAN_NS + int(made_s * SECOND_NS) + late_ns, True, tempo, beats, 4, 4, -1.0, -1.0)
        )
        if change is not None:
            changes.append(change)
    return changes


def looping(tempo: float, start: float, length: float) -> Song:
    """Live's loop brace from beat 0 to start + length, then round."""

    def song(s: float) -> tuple[float, float]:
        beats = s * tempo / 60
        return (beats if beats < start else start + (beats - start) % length), tempo

    return song


def test_loop_jumps_of_live_are_leaps_and_keep_the_phase():
    follower = LiveFollower()
    song = looping(120.0, 8.0, 4.0)
    changes = follow(follower, song, 9.0)
    leaps = [change for change in changes if change.shift is Shift.LEAP]
    assert len(leaps) == 2  # at 6 s and at 8 s
    assert {change.from_beats for change in leaps} == {8.0}
    last_s = 9.0 - 1 / 60
    assert follower.map is not None
    error_beats = follower.map.beat_at_ns(BEGAN_NS + int(last_s * SECOND_NS)) - song(last_s)[0]
    assert abs(error_beats) * 500 <= 3.0


def test_start_is_told_from_where_live_stood():
    follower = LiveFollower()
    follower.report(LiveReport(BEGAN_NS, False, 120.0, 16.0, 4, 4, -1.0, -1.0))
    change = follower.report(LiveReport(BEGAN_NS + SECOND_NS, True, 120.0, 16.06, 4, 4, -1.0, -1.0))
    assert change == Change(Shift.START, 16.0)


def test_a_song_that_stood_within_a_beat_goes_on_from_there_not_from_the_line_before():
    follower = LiveFollower()
    follower.report(LiveReport(BEGAN_NS, False, 240.0, 141.22, 4, 4, -1.0, -1.0))
    change = follower.report(LiveReport(BEGAN_NS + SECOND_NS, True, 240.0, 141.25, 4, 4, -1.0, -1.0))
    assert change == Change(Shift.START, 141.22)


def test_stop_keeps_the_position_live_tells():
    follower = LiveFollower()
    follow(follower, steady(120.0), 2.0)
    change = follower.report(LiveReport(BEGAN_NS + 3 * SECOND_NS, False, 120.0, 4.5, 4, 4, -1.0, -1.0))
    assert change is not None
    assert change.shift is Shift.STOP
    assert follower.map is not None
    assert not follower.map.playing
    assert follower.map.anchor_beats == 4.5


def test_a_pause_of_the_reports_is_no_leap():
    """Live's menus hold its reports back; they come in a burst afterwards."""
    follower = LiveFollower()
    follow(follower, steady(120.0), 4.0)
    released_ns = BEGAN_NS + int(4.8 * SECOND_NS)
    shifts = []
    for k in range(48):
        made_s = 4.0 + k / 60
        change = follower.report(LiveReport(released_ns + k * 1000, True, 120.0, made_s * 2, 4, 4, -1.0, -1.0))
        shifts.append(change.shift if change else None)
    shifts += [change.shift for change in follow(follower, steady(120.0), 4.0, offset_s=4.82)]
    assert Shift.LEAP not in shifts
    assert follower.map is not None
    assert abs(follower.map.beat_at_ns(BEGAN_NS + 9 * SECOND_NS) - 18.0) * 500 <= 5.0


def test_a_jump_forward_is_a_leap_at_once():
    follower = LiveFollower()
    follow(follower, steady(120.0), 2.0)
    change = follower.report(LiveReport(BEGAN_NS + 2 * SECOND_NS, True, 120.0, 36.01, 4, 4, -1.0, -1.0))
    assert change is not None
    assert change.shift is Shift.LEAP
    assert change.from_beats == 36.0


def test_an_overtaken_report_says_nothing():
    follower = LiveFollower()
    follow(follower, steady(120.0), 2.0)
    before = follower.map
    assert follower.report(LiveReport(BEGAN_NS + 2 * SECOND_NS, True, 120.0, 3.9, 4, 4, -1.0, -1.0)) is None
    assert follower.map == before


def test_bar_lines_where_the_report_says():
    follower = LiveFollower()
    follower.report(LiveReport(BEGAN_NS, True, 120.0, 17.3, 3, 4, 5.0, 1.3))
    assert follower.map is not None
    assert follower.map.bar_beats == 3.0
    assert follower.map.bar_line_at_or_before(17.3) == 16.0
    assert follower.map.bar_line_at_or_before(19.5) == 19.0


@pytest.mark.parametrize("denominator", [2, 8, 16])
@pytest.mark.parametrize("bar", [-1.0, 0.0])
def test_a_set_with_four_of_another_note_to_the_bar_keeps_its_metre(denominator, bar):
    """Standing, from its start, and through a leap: four quarters are only what a map has before it is told."""
    follower = LiveFollower()
    changes = []
    for k, (playing, beats) in enumerate([(False, 0.0)] * 3 + [(True, 0.0), (True, 0.04), (True, 0.08), (True, 32.0)]):
        arrival_ns = BEGAN_NS + k * SECOND_NS // 50
        told = LiveReport(arrival_ns, playing, 120.0, beats, 4, denominator, bar, -1.0 if bar < 0 else beats)
        changes.append(follower.report(told))
        assert follower.map is not None
        assert (follower.map.numerator, follower.map.denominator) == (4, denominator)
    assert [change and change.shift for change in changes[1:]] == [
        None, None, Shift.START, Shift.SLIDE, Shift.SLIDE, Shift.LEAP
    ]  # fmt: skip


def test_an_untold_new_metre_begins_at_the_bar_line_before():
    follower = LiveFollower()
    follow(follower, steady(120.0), 4.0)
    follower.report(LiveReport(BEGAN_NS + 4 * SECOND_NS + SECOND_NS // 50, True, 120.0, 8.04, 7, 8, -1.0, -1.0))
    assert follower.map is not None
    assert follower.map.bar_line_at_or_before(12.0) == 11.5
