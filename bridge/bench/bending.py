"""What bending does to bars, and what it costs: the engine's own jobs, with and without, on the same seeds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from bridge.bench.rows import Row, row
from bridge.engine.residents import Residents
from bridge.engine_messages import Generate
from bridge.music.grids import DRUM_CLASS_OF_PITCH, KICK
from bridge.music.harmony import class_weights, harmony_of, scale_of
from bridge.music.notes import Bars, bars_of, bars_to_json, step_of

_SETS = 100
_TIMED = 200
_KEY = sorted(scale_of(9, "minor"))
_LINES = ("melody-2bar", "bass-2bar")


def bending_rows(folder: Path, device: str, threads: int) -> list[Row]:
    """Rows on key, harmony, rhythm and cost; none where melody, bass and drums are not all there."""
    engine = Residents(folder, device, threads)
    if not all(engine.load(name)[0] for name in (*_LINES, "drums-2bar")):
        return []
    made = {how: list(_sets(engine, how)) for how in ("off", "soft", "hard")}
    share = {how: fmean(_in_key(bars) for bars in loops) for how, loops in made.items()}
    outside = sum(1 for bars in made["hard"] for note in bars.notes if note.pitch % 12 not in _KEY)
    off, on = _led(engine, 0.0), _led(engine, 1.0)
    return [
        _mean("key share, voices sampled independently: scale soft against off", share["soft"], share["off"], 2),
        row("notes outside the key: scale hard", "notes", [outside] * 2 * _SETS),
        _mean("bass on the melody's chord tones on beats: follow 1 against none", on[0], off[0]),
        _mean("bass onsets on the drums' kicks: follow 1 against none", on[1], off[1]),
        _cost(engine),
    ]


def _mean(name: str, value: float, baseline: float, loops: int = 1) -> Row:
    return row(name, "share", [value] * loops * _SETS, baseline)  # a share of all notes of so many loops


def _make(engine: Residents, model: str, seed: int, bend: dict[str, Any]) -> Bars:
    job = Generate(1, "", model, "sample", False, [], 2, 4.0, 0.0, 0.0, 0.0, 0.6, seed, bend)
    made = engine.make(job)
    return bars_of(made.length_beats, made.notes)


def _bound(how: str) -> dict[str, Any]:
    return {"surprise": 0.35, "key": {"classes": _KEY, "binding": how, "mode": "minor"}}


def _sets(engine: Residents, how: str) -> Iterator[Bars]:
    for seed in range(_SETS):
        for model in _LINES:
            yield _make(engine, model, seed, _bound(how))


def _in_key(bars: Bars) -> float:
    weights = class_weights(bars.notes)
    return sum(weights[c] for c in _KEY) / max(1e-9, sum(weights))


def _led(engine: Residents, amount: float) -> tuple[float, float]:
    """Shares of the bass: chord tones among its notes on beats, kicks among its onsets."""
    tones, kicks = [], []
    for seed in range(_SETS):
        melody = _make(engine, "melody-2bar", seed, _bound("soft"))
        drums = _make(engine, "drums-2bar", seed, {"surprise": 0.35})
        rhythm = {"bars": bars_to_json(drums), "kicks": True}
        follow = {"amount": amount, "line": bars_to_json(melody), "rhythm": rhythm}
        bass = _make(engine, "bass-2bar", _SETS + seed, {**_bound("soft"), "follow": follow})
        harmony = harmony_of(melody, frozenset(_KEY))
        struck = {step_of(note.start) for note in drums.notes if DRUM_CLASS_OF_PITCH.get(note.pitch) == KICK}
        kicks += [step_of(note.start) in struck for note in bass.notes]
        if harmony is not None:
            on_beats = (note for note in bass.notes if note.start == int(note.start))
            tones += [note.pitch % 12 in harmony.at(note.start).classes for note in on_beats]
    return fmean(tones), fmean(kicks)


def _cost(engine: Residents) -> Row:
    bent: list[float] = []
    plain: list[float] = []
    for seed in range(_TIMED):  # in turn, so that whatever else the machine does falls on both alike
        for bend, times in ((_bound("hard"), bent), ({}, plain)):
            begun = time.perf_counter_ns()
            _make(engine, "melody-2bar", seed, bend)
            times.append((time.perf_counter_ns() - begun) / 1e6)
    return row("2 bars, four candidates bound hard to a key, against one free", "ms", bent, sorted(plain)[_TIMED // 2])
