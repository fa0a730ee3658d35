"""Launches while Live changes tempo and signature, jumps, stops and goes round its brace: the real session and player.

The bars of the engine here have a high note on every downbeat and a low one on every other beat, so that what is heard
tells where the bar lines are.
"""

from __future__ import annotations

import bisect
import random
from typing import Any

import pytest
from jam_room import JamRoom, Rows
from player_rig import BEGAN_NS
from twins import LiveMove, LiveSet, Song

from bridge import engine_messages, messages

S = 1_000_000_000
DOWNBEAT = 72
METRES = [(0.0, 4, 4), (24.0, 3, 4), (48.0, 7, 8), (76.0, 5, 4), (106.0, 4, 4), (1e9, 4, 4)]
NEAR_BEATS = 0.06  # what the follower may be off by


def metre_at(beat: float) -> tuple[float, int, int, float]:
    """(where it began, numerator, denominator, beats from the bar line) of Live's song."""
    begins, over, under = METRES[bisect.bisect_right(METRES, (beat + 1e-9, 99, 99)) - 1]
    return begins, over, under, (beat - begins) % (over * 4 / under)


def from_bar_line(beat: float) -> float:
    _, over, under, since = metre_at(beat + NEAR_BEATS)
    since -= NEAR_BEATS
    return min(since, since - over * 4 / under, key=abs)


def goes_on_with_its_beginning(beat: float) -> bool:
    """Whether a bar of a shorter metre is over here, in a longer one."""
    since = metre_at(beat + NEAR_BEATS)[3] - NEAR_BEATS
    return any(abs(since - whole) <= NEAR_BEATS for whole in (3.0, 3.5, 4.0))


def downbeats(job: engine_messages.Generate) -> Rows:
    step, rows = job.beats_per_bar, []
    for bar in range(job.bars):
        rows.append((DOWNBEAT, bar * step, 0.9, 90, 0))
        rows += [(60, bar * step + beat, 0.4, 90, 0) for beat in range(1, int(step))]
    return rows


class Stage:
    """A session and player behind a Live with signatures."""

    def __init__(self, folder: Any, live: LiveSet, song: Song, seed: int) -> None:
        self.room, self.live, self.song = JamRoom(folder), live, song
        self.room.make = downbeats
        self.rng = random.Random(seed)

    def play(self, seconds: float, ask: Any) -> None:
        for report in self.live.reports(seconds, self.rng, began_ns=BEGAN_NS, rate_hz=30.0):
            self.room.pass_ns(max(0, report.arrival_ns - self.room.rig.now_ns))
            begins, over, under, since = metre_at(report.beats)
            bar = 1.0 + (report.beats - begins) // (over * 4 / under)
            told = messages.LiveReport(
                report.arrival_ns, report.playing, report.tempo_bpm, report.beats, over, under, bar, since
            )
            self.room.rig.send(told)
            self.room.exchange()
            ask((report.arrival_ns - BEGAN_NS) / S)

    def ons(self) -> list[tuple[float, int]]:
        """(Live's true beat, pitch) of the note-ons."""
        played, _ = self.room.rig.reader.since(0)
        return [(self.live.at((n.intended_ns - BEGAN_NS) / S)[1], n.data1) for n in played if n.status >> 4 == 9]


@pytest.mark.parametrize("launch", ["now", "step", "beat", "bar", "loop", "auto"])
def test_bars_land_on_bars_through_every_signature_and_a_tempo_ramp(tmp_path, launch):
    song = Song.ramp(150.0, 210.0, 60.0, at_s=8.0)
    stage = Stage(tmp_path, LiveSet(song, [LiveMove(0.5, "play", 0.0)]), song, 3)
    room = stage.room
    wants = iter([0.0, *(4.3 * k for k in range(1, 9)), 1e9])
    next_s = next(wants)
    room.ask("launch", when="bar" if launch == "auto" else launch)
    if launch == "auto":
        room.ask("auto", bars=2)

    def ask(at_s: float) -> None:
        nonlocal next_s
        if at_s >= next_s and launch != "auto":
            room.ask("next", bars=2)
            next_s = next(wants)

    stage.play(46.0, ask)
    ons = stage.ons()
    high = [beat for beat, pitch in ons if pitch == DOWNBEAT]
    again = [beat for beat in high if abs(from_bar_line(beat)) > NEAR_BEATS]
    assert all(goes_on_with_its_beginning(beat) for beat in again)
    high = [beat for beat in high if beat not in again]
    lines, at = [], 0.0
    while at < high[-1] + NEAR_BEATS:
        lines.append(at)
        _, over, under, _ = metre_at(at)
        at += over * 4 / under
    first = round(min(high) * 2) / 2
    expected = [line for line in lines if line >= first]
    assert [round(beat * 2) / 2 for beat in high] == expected  # none silent, none twice
    assert max(expected) > 106.0
    launched = room.launched()
    ids = [loop_id for loop_id, _ in room.said("/melody/launched")]
    assert len(ids) == len(set(ids)) >= 8
    if launch in ("bar", "auto"):
        assert [beat for beat in launched if abs(from_bar_line(beat)) > 1e-6] == []
    if launch == "auto":
        assert len(ids) == pytest.approx(len(expected) / 2, abs=1)
    late = {loop_id for loop_id, _ in room.said("/melody/late")}
    assert late <= set(ids)
    if launch in ("now", "bar", "loop"):
        assert not late


def test_auto_goes_on_round_and_round_a_brace_that_is_shorter_than_its_bars(tmp_path):
    song = Song.steady(180.0)
    stage = Stage(tmp_path, LiveSet(song, [LiveMove(0.5, "play", 0.0)], brace=(8.0, 16.0)), song, 4)
    stage.room.ask("auto", bars=4)
    stage.play(40.0, lambda _at_s: None)
    assert 5 <= len(stage.room.launched()) <= 8  # some 29 bars are played
    assert [beat for beat in stage.room.launched() if beat % 4 > 1e-6] == []


def test_auto_counts_on_after_a_jump_back_and_a_stop(tmp_path):
    song = Song.steady(180.0)
    moves = [
        LiveMove(0.5, "play", 120.0),
        LiveMove(7.4, "jump", 4.0),
        LiveMove(14.0, "stop"),
        LiveMove(16.0, "play", 0.0),
    ]
    stage = Stage(tmp_path, LiveSet(song, moves), song, 5)
    stage.room.ask("auto", bars=2)
    stage.play(22.0, lambda _at_s: None)
    said = stage.room.launched()
    assert len(said) >= 7
    assert {said[0] > 100, 8.0 in said, 0.0 in said} == {True}
    assert [beat for beat in said if abs(from_bar_line(beat)) > 1e-6] == []
