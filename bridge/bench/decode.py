"""The resident module against the same weights run eagerly: two bars, one row, one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bridge.bench.rows import Row, row
from bridge.model.compiled import CompiledModel
from bridge.model.registry import load_model
from bridge.model.vae import MusicVae, decode_eagerly

_RUNS = 200
_EAGER_RUNS = 60


def decode_rows(models: list[str], folder: Path, device: str, threads: int) -> tuple[list[Row], float | None]:
    """A row a model that is there, and the eager milliseconds of the first (the yardstick of a click)."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    rows: list[Row] = []
    yardstick: float | None = None
    try:
        for name in models:
            loaded = load_model(name, folder)
            eager_ms = _times_ms(lambda model=loaded.model: eager_decode(model), _EAGER_RUNS)  # type: ignore[misc]
            compiled = CompiledModel(loaded.model, loaded.mixture, torch.device(device), maps=loaded.maps)
            compiled.warm_up(((1, compiled.config.steps),))
            times = _times_ms(lambda model=compiled: compiled_decode(model), _RUNS)  # type: ignore[misc]
            eager = float(np.median(eager_ms))
            yardstick = eager if yardstick is None else yardstick
            rows.append(row(f"decode 2 bars, {name} on {device}, against eager", "ms", times, eager))
    finally:
        torch.set_num_threads(before)
    return rows, yardstick


def _times_ms(call: Callable[[], None], runs: int) -> list[float]:
    for _ in range(5):
        call()
    times = []
    for _ in range(runs):
        begun = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - begun) / 1e6)
    return times


def compiled_decode(model: CompiledModel) -> None:
    """One window by the resident module."""
    config = model.config
    noise = torch.zeros(1, config.steps, config.classes)
    model.decode(model.start(torch.zeros(1, config.latent_size)), noise, torch.ones(1), noise)


def eager_decode(model: MusicVae) -> None:
    """The same window by the modules that were trained, in plain float32."""
    config = model.config
    decode_eagerly(model, torch.zeros(1, config.latent_size), torch.zeros(1, config.steps, config.classes), 1.0)
