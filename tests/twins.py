"""Clocks to follow that exist on paper only: songs, and what a MIDI clock or Live's device would send of them.

Everything is computed from a `Song` and a `random.Random`, so that an hour of music passes in seconds and a follower
can be compared with the truth at any moment.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Sequence
from typing import Final

from bridge import limits
from bridge.messages import LiveReport

NS_PER_S: Final = 1_000_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """`seconds` of music, the tempo going from `first_bpm` to `last_bpm` linearly in time."""

    seconds: float
    first_bpm: float
    last_bpm: float

    def beats_after(self, seconds: float) -> float:
        """Beats from the beginning of the stretch."""
        slope = (self.last_bpm - self.first_bpm) / self.seconds
        return seconds * (self.first_bpm + slope * seconds / 2) / 60

    def seconds_after(self, beats: float) -> float:
        """Inverse of `beats_after`."""
        slope = (self.last_bpm - self.first_bpm) / self.seconds
        root = math.sqrt(self.first_bpm**2 + 2 * slope * 60 * beats)
        return 120 * beats / (self.first_bpm + root)


class Song:
    """A tempo over time, from beat 0 at second 0; after its last stretch it goes on at the last tempo."""

    def __init__(self, *stretches: Stretch) -> None:
        """At least one stretch."""
        self._stretches = stretches
        self._begins: list[tuple[float, float]] = [(0.0, 0.0)]
        for stretch in stretches:
            seconds, beats = self._begins[-1]
            self._begins.append((seconds + stretch.seconds, beats + stretch.beats_after(stretch.seconds)))

    @classmethod
    def steady(cls, tempo_bpm: float) -> Song:
        """One tempo for ever."""
        return cls(Stretch(1.0, tempo_bpm, tempo_bpm))

    @classmethod
    def step(cls, first_bpm: float, last_bpm: float, at_s: float) -> Song:
        """One tempo, then another."""
        return cls(Stretch(at_s, first_bpm, first_bpm), Stretch(1.0, last_bpm, last_bpm))

    @classmethod
    def ramp(cls, first_bpm: float, last_bpm: float, beats: float, at_s: float = 0.001) -> Song:
        """Linear in time from `first_bpm` to `last_bpm` while `beats` pass, beginning at `at_s`."""
        lasts_s = beats * 120 / (first_bpm + last_bpm)
        return cls(Stretch(at_s, first_bpm, first_bpm), Stretch(lasts_s, first_bpm, last_bpm))

    def beat_at(self, seconds: float) -> float:
        """The song position."""
        for stretch, (began_s, began) in zip(self._stretches, self._begins, strict=False):
            if seconds < began_s + stretch.seconds:
                return began + stretch.beats_after(seconds - began_s)
        began_s, began = self._begins[-1]
        return began + (seconds - began_s) * self._stretches[-1].last_bpm / 60

    def seconds_at(self, beat: float) -> float:
        """The moment of a song position."""
        for stretch, (began_s, began), (_, ends) in zip(self._stretches, self._begins, self._begins[1:], strict=False):
            if beat < ends:
                return began_s + stretch.seconds_after(beat - began)
        began_s, began = self._begins[-1]
        return began_s + (beat - began) * 60 / self._stretches[-1].last_bpm

    def tempo_at(self, seconds: float) -> float:
        """BPM at a moment."""
        for stretch, (began_s, _) in zip(self._stretches, self._begins, strict=False):
            if seconds < began_s + stretch.seconds:
                return (
                    stretch.first_bpm + (stretch.last_bpm - stretch.first_bpm) * (seconds - began_s) / stretch.seconds
                )
        return self._stretches[-1].last_bpm


def tick_stamps(
    song: Song,
    seconds: float,
    rng: random.Random,
    *,
    began_ns: int = 0,
    jitter_ms: float = 0.0,
    lost: float = 0.0,
    doubled: float = 0.0,
    first_tick: int = 0,
) -> Iterator[int]:
    """When the ticks of a MIDI clock arrive, in order, as on a wire.

    Args:
        song: whose beats they are, 24 a beat.
        seconds: of the song.
        rng: chance.
        began_ns: the moment of the song's second 0.
        jitter_ms: each comes off its place by up to this, either way, evenly spread.
        lost: the share of ticks that do not come.
        doubled: the share that come twice, the second within 2 ms.
        first_tick: the number of the first.
    """
    last_ns = 0
    number = first_tick
    while (at_s := song.seconds_at(number / limits.CLOCK_TICKS_PER_BEAT)) < seconds:
        number += 1
        if rng.random() < lost:
            continue
        last_ns = max(last_ns, began_ns + round((at_s + rng.uniform(-jitter_ms, jitter_ms) / 1e3) * NS_PER_S))
        yield last_ns
        if rng.random() < doubled:
            last_ns += rng.randrange(2_000_000)
            yield last_ns


def live_reports(
    song: Song,
    seconds: float,
    rng: random.Random,
    *,
    began_ns: int = 0,
    rate_hz: float = 60.0,
    jitter_ms: float = 30.0,
    from_s: float = 0.0,
) -> Iterator[LiveReport]:
    """What Live's device sends while the song plays: made at screen rate, late by up to `jitter_ms`, in order."""
    arrived_ns = 0
    for k in range(math.ceil(from_s * rate_hz), math.ceil(seconds * rate_hz)):
        made_s = k / rate_hz
        arrived_ns = max(arrived_ns, began_ns + round((made_s + rng.uniform(0, jitter_ms) / 1e3) * NS_PER_S))
        yield LiveReport(arrived_ns, True, song.tempo_at(made_s), song.beat_at(made_s), 4, 4, -1.0, -1.0)


@dataclasses.dataclass(frozen=True, slots=True)
class LiveMove:
    """At second `at_s` Live is told to ``play``, to ``stop`` or to ``jump``: to beat `to`, or (None) where it is."""

    at_s: float
    kind: str
    to: float | None = None


class LiveSet:
    """Live's transport: it plays a song's tempo, obeys moves, and goes round its loop brace."""

    def __init__(self, song: Song, moves: Sequence[LiveMove], brace: tuple[float, float] | None = None) -> None:
        """`moves` in order of time, standing at beat 0 before the first; `brace`: start and end, in beats."""
        self._song = song
        self._brace = brace
        self._pieces: list[tuple[float, bool, float]] = [(0.0, False, 0.0)]
        for move in moves:
            playing, here = self.at(move.at_s)
            here = here if move.to is None else move.to
            self._pieces.append((move.at_s, playing if move.kind == "jump" else move.kind == "play", here))

    def at(self, seconds: float) -> tuple[bool, float]:
        """Whether it plays, and where."""
        began_s, playing, beats = next(piece for piece in reversed(self._pieces) if piece[0] <= seconds)
        if not playing:
            return False, beats
        here = beats + self._song.beat_at(seconds) - self._song.beat_at(began_s)
        if self._brace is not None and beats < self._brace[1] <= here:
            start, end = self._brace
            here = start + (here - end) % (end - start)
        return True, here

    def reports(
        self, seconds: float, rng: random.Random, *, began_ns: int = 0, rate_hz: float = 60.0, jitter_ms: float = 30.0
    ) -> Iterator[LiveReport]:
        """What the device sends: made at screen rate, late by up to `jitter_ms`, in order."""
        arrived_ns = 0
        for k in range(math.ceil(seconds * rate_hz)):
            made_s = k / rate_hz
            arrived_ns = max(arrived_ns, began_ns + round((made_s + rng.uniform(0, jitter_ms) / 1e3) * NS_PER_S))
            playing, beats = self.at(made_s)
            tempo = round(self._song.tempo_at(made_s), 2)  # Live has two decimals
            yield LiveReport(arrived_ns, playing, tempo, beats, 4, 4, -1.0, -1.0)
