"""An hour of music on each clock: loops stay in their places, every launch is made once, nothing grows.

A note's velocity tells which bars it belongs to and its pitch where in them it lies, so that every note-on can be
compared with the song's true position, which the player never sees.
"""

from __future__ import annotations

import collections
import dataclasses
import gc
import random
import statistics
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from player_rig import BEGAN_NS, Rig
from twins import LiveMove, LiveSet, Song, Stretch, tick_stamps

from bridge import messages

S = 1_000_000_000
HOUR_S = 3600.0
LAUNCH_EVERY_S = 17.3  # no whole number of bars: requests come from everywhere in a bar
LENGTHS = (4.0, 6.0, 3.5, 8.0, 5.0)
SETTLED_S = 20.0
Feed = Iterator[tuple[int, Callable[[Rig, int], None]]]


@dataclasses.dataclass
class Course:
    """A clock on paper: what it says and when, where its song truly is, and how near the player is to come."""

    feed: Feed
    beat_at: Callable[[float], float]
    tempo_at: Callable[[float], float]
    p95_ms: float
    worst_ms: float
    drift_ms: float
    unsure_s: Callable[[float], bool] = lambda at_s: at_s < SETTLED_S


def waves(slow_bpm: float, fast_bpm: float, each_s: float) -> Song:
    """Up and down in steps and ramps for an hour."""
    pairs = ((slow_bpm, slow_bpm), (slow_bpm, fast_bpm), (fast_bpm, fast_bpm), (fast_bpm, slow_bpm))
    return Song(*(Stretch(each_s, *pairs[k % 4]) for k in range(round(HOUR_S / each_s))))


def internal() -> Course:
    tempos = [60.0 + 37 * k % 90 + k / 7 for k in range(90)]
    song = Song(*(Stretch(HOUR_S / 90, tempo, tempo) for tempo in tempos))

    def feed() -> Feed:
        for k, tempo in enumerate(tempos):
            change = messages.SetClock(tempo_bpm=tempo)
            yield BEGAN_NS + round(k * HOUR_S / 90 * S), lambda rig, _ns, change=change: rig.player.handle(change)
            if k == 0:
                yield BEGAN_NS, lambda rig, _ns: rig.player.handle(messages.MoveTransport("play"))

    return Course(feed(), song.beat_at, song.tempo_at, 1e-4, 1e-3, 1e-4)


def midi() -> Course:
    song = waves(30.0, 34.0, 120.0)

    def hear(message: int) -> Callable[[Rig, int], None]:
        return lambda rig, now_ns: rig.performer.midi_in(now_ns, (message,), now_ns)

    def feed() -> Feed:
        tick, start = hear(0xF8), hear(0xFA)
        yield BEGAN_NS, start
        for stamp_ns in tick_stamps(song, HOUR_S, random.Random(5), began_ns=BEGAN_NS + S, jitter_ms=1.0, lost=0.01):
            yield stamp_ns, tick

    return Course(feed(), lambda at_s: song.beat_at(at_s - 1), lambda at_s: song.tempo_at(at_s - 1), 2.0, 8.0, 0.5)


def live() -> Course:
    song = Song.steady(96.0)
    twin = LiveSet(song, [LiveMove(1.0, "play", 0.0)], brace=(16.0, 48.0))

    def feed() -> Feed:
        for report in twin.reports(HOUR_S, random.Random(6), began_ns=BEGAN_NS, rate_hz=10.0):
            yield report.arrival_ns, lambda rig, _ns, report=report: rig.player.handle(report)

    # until the brace has been seen twice its leaps are told by reports, which are late
    return Course(feed(), lambda at_s: twin.at(at_s)[1], song.tempo_at, 6.0, 15.0, 2.0, lambda at_s: at_s < 75.0)


def reachable_bytes(root: object) -> int:
    """The size of everything that an object holds, code and classes left out."""
    seen: set[int] = set()
    waiting, total = [root], 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, (type, types.ModuleType, types.FunctionType, types.CodeType)):
            continue
        seen.add(id(item))
        total += sys.getsizeof(item)
        waiting += gc.get_referents(item)
    return total


class Listener:
    """Reads what the player has sent as it goes, for an hour does not fit into its record."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.read_to = 0
        self.open: set[tuple[int, int, int]] = set()
        self.ons: list[tuple[float, int, int]] = []
        self.offs = 0
        self.told: collections.defaultdict[type, list[Any]] = collections.defaultdict(list)

    def read(self) -> None:
        played, self.read_to = self.rig.reader.since(self.read_to)
        for note in played:
            key = (note.port, note.status & 15, note.data1)
            if note.status >> 4 == 9:
                assert key not in self.open, f"{key} doubled"
                self.open.add(key)
                self.ons.append(((note.intended_ns - BEGAN_NS) / S, note.data1, note.data2))
            elif note.status >> 4 == 8:
                assert key in self.open, f"{key} closed twice"
                self.open.remove(key)
                self.offs += 1
        for event in self.rig.player.take_events():
            if isinstance(event, (messages.Launched, messages.Late)):
                self.told[type(event)].append(event)


def bars(number: int) -> tuple[float, list[tuple[int, float, float, int, int]]]:
    length = LENGTHS[number % len(LENGTHS)]
    return length, [(36 + k, k / 4, 0.2, 1 + number % 120, 0) for k in range(round(length * 4))]


@pytest.mark.parametrize("clock", [internal, midi, live])
def test_an_hour_of_loops_and_launches_stays_in_place_and_leaves_nothing_behind(tmp_path, clock):
    course = clock()
    rig = Rig(tmp_path)
    listener = Listener(rig)
    sizes: list[int] = []
    asked = 0
    for stamp_ns, feed in course.feed:
        while (next_ns := BEGAN_NS + round(asked * LAUNCH_EVERY_S * S)) <= stamp_ns:
            rig.player.run_to(next_ns)
            length, rows = bars(asked)
            kind = ("bar", "loop", "beat", "step", "now")[asked // 3 % 5] if asked else "bar"
            rig.player.handle(messages.Launch("melody", asked + 1, next_ns, kind, length, rows))
            asked += 1
            listener.read()
            if asked in (40, 200):
                sizes.append(reachable_bytes(rig.performer.looper) + reachable_bytes(rig.performer.timekeeper))
        rig.player.run_to(stamp_ns)
        feed(rig, stamp_ns)
    rig.player.run_to(BEGAN_NS + round(HOUR_S * S))
    listener.read()
    launched = listener.told[messages.Launched]
    assert [event.id for event in launched] == list(range(1, len(launched) + 1))
    assert asked - len(launched) <= 1  # what was asked for last may still wait
    assert listener.told[messages.Late] == []
    assert rig.performer.looper.skipped == 0
    rig.send(messages.MoveTransport("stop"), messages.Panic(False))
    listener.read()
    assert not listener.open
    assert listener.offs == len(listener.ons) > 5000

    places, current = [], 0
    for at_s, pitch, velocity in listener.ons:
        while 1 + (launched[current].id - 1) % 120 != velocity:
            current += 1  # launches are in order, and so are the notes
        length = LENGTHS[(launched[current].id - 1) % len(LENGTHS)]
        off = course.beat_at(at_s) - launched[current].start_beats - (pitch - 36) / 4
        places.append((at_s, (off - round(off / length) * length) * 60_000 / course.tempo_at(at_s)))
    settled = [(at_s, late_ms) for at_s, late_ms in places if not course.unsure_s(at_s)]
    errors = sorted(abs(late_ms) for _, late_ms in settled)
    assert errors[len(errors) * 95 // 100] <= course.p95_ms
    assert errors[-1] <= course.worst_ms
    first, last = (
        statistics.fmean(ms for at_s, ms in settled if begin <= at_s < begin + 600) for begin in (100, HOUR_S - 600)
    )
    assert abs(last - first) <= course.drift_ms
    assert sizes[1] - sizes[0] < 50_000
