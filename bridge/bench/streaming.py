"""When the first bars of sixteen leave the engine, and when the last: a click as the bridge asks for it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from bridge.bench.rows import Row, row
from bridge.engine.residents import Made, Residents
from bridge.engine_messages import Generate
from bridge.session.voice import Knobs

_MODELS = ("melody-16bar", "drums-16bar", "trio-16bar")
_CLICKS = 40


def streaming_rows(folder: Path, device: str, threads: int) -> list[Row]:
    """A row a model that is there: its first bars, against all of them."""
    engine = Residents(folder, device, threads)
    return [_first_bars(engine, model, device) for model in _MODELS if engine.load(model)[0]]


def _first_bars(engine: Residents, model: str, device: str) -> Row:
    first: list[float] = []
    whole: list[float] = []
    for seed in range(_CLICKS):
        bend = {"surprise": Knobs().surprise}
        job = Generate(1, "", model, "sample", False, [], 16, 4.0, 0.0, 0.0, 0.0, Knobs().temperature, seed, bend)
        begun_ns = time.perf_counter_ns()

        def told(_: Made, begun_ns: int = begun_ns) -> None:
            first.append((time.perf_counter_ns() - begun_ns) / 1e6)

        engine.make(job, told)
        whole.append((time.perf_counter_ns() - begun_ns) / 1e6)
    return row(f"the first 2 of 16 bars of {model} on {device}, against all 16", "ms", first, float(np.median(whole)))
