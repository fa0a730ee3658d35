"""What a turn of a knob costs the engine, the first of a gesture included, beside a plain decode of the same run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bridge.bench.rows import Row, row
from bridge.engine.residents import Made, Residents
from bridge.engine_messages import Generate

#: Whose knobs are turned, in loops of so many bars.
_BARS = {"melody-2bar": 2, "drums-2bar": 2, "trio-16bar": 16}
_GESTURES = 8
_TURNS = 50
_TEMPERATURE = 0.6


def knob_rows(folder: Path, device: str, threads: int) -> list[Row]:
    """Rows on the morph knob and an attribute's; of the models that are there."""
    engine = Residents(folder, device, threads)
    return [each for model in _BARS if engine.load(model)[0] for each in _rows(engine, model)]


def _rows(engine: Residents, model: str) -> list[Row]:
    plain: list[float] = []
    loops = [_loop(_timed(engine, _job(model, "sample", [], seed), plain)) for seed in range(_GESTURES + 1)]
    begun: list[float] = []
    morphed: list[float] = []
    first: list[float] = []
    moved: list[float] = []
    for seed in range(_GESTURES):
        corners = loops[seed : seed + 2]
        for turn in range(_TURNS):
            times = morphed if turn else begun
            _timed(engine, _job(model, "morph", corners, seed, x=(turn + 0.5) / _TURNS), times)
            bend = {"attributes": {"density": 2.0 * (turn + 0.5) / _TURNS - 1.0}}
            _timed(engine, _job(model, "keep", corners[:1], seed, bend=bend), moved if turn else first)
    usual = sorted(plain)[len(plain) // 2]
    return [
        row(f"{model}: first turn of a morph, against {_BARS[model]} free bars", "ms", begun, usual),
        row(f"{model}: a turn of the morph knob, the first included", "ms", begun + morphed, usual),
        row(f"{model}: first turn of the density knob", "ms", first, usual),
        row(f"{model}: a turn of the density knob, the first included", "ms", first + moved, usual),
    ]


def _job(
    model: str, op: str, material: list[Any], seed: int, *, x: float = 0.0, bend: dict[str, Any] | None = None
) -> Generate:
    return Generate(1, "", model, op, True, material, _BARS[model], 4.0, x, 0.0, 0.0, _TEMPERATURE, seed, bend or {})


def _timed(engine: Residents, job: Generate, times: list[float]) -> Made:
    begun = time.perf_counter_ns()
    made = engine.make(job)
    times.append((time.perf_counter_ns() - begun) / 1e6)
    return made


def _loop(made: Made) -> list[Any]:
    return [made.length_beats, made.notes]
