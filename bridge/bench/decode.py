"""The resident module against the same weights run eagerly: one window, one row, one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bridge.bench.rows import Row, row
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.hierarchy import HierarchicalVae
from bridge.model.nets.registry import compiled_from, load_model
from bridge.model.nets.vae import MusicVae, decode_eagerly
from bridge.music.notes import STEPS_PER_BAR

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
            compiled = compiled_from(loaded, torch.device(device))
            bar_steps = STEPS_PER_BAR * len(compiled.config.parts)
            compiled.warm_up(((1, compiled.config.stream_steps), (1, bar_steps)))
            times = _times_ms(lambda model=compiled: compiled_decode(model), _RUNS)  # type: ignore[misc]
            eager = float(np.median(eager_ms))
            yardstick = eager if yardstick is None else yardstick
            rows.append(
                row(f"decode {compiled.config.bars} bars, {name} on {device}, against eager", "ms", times, eager)
            )
            if compiled.config.bar_models:
                first = _times_ms(lambda model=compiled, n=bar_steps: compiled_decode(model, n), _RUNS)  # type: ignore[misc]
                rows.append(
                    row(f"decode the first bar of {name} on {device}, against all bars eagerly", "ms", first, eager)
                )
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


def compiled_decode(model: CompiledModel, steps: int | None = None) -> None:
    """One window by the resident module, or the first `steps` of it (of a trio: of the stream)."""
    config = model.config
    noise = torch.zeros(1, steps or config.stream_steps, config.classes)
    model.decode(model.start(torch.zeros(1, config.latent_size)), noise, torch.ones(1), noise)


@torch.inference_mode()
def eager_decode(model: MusicVae | HierarchicalVae) -> None:
    """The same window by the modules that were trained, in plain float32."""
    config = model.config
    z = torch.zeros(1, config.latent_size)
    if isinstance(model, MusicVae):
        decode_eagerly(model, z, torch.zeros(1, config.steps, config.classes), 1.0)
        return
    told = model.conductor(z)
    for part, bar in enumerate(config.bar_models):
        noise = torch.zeros(config.bars, STEPS_PER_BAR, bar.classes)
        decode_eagerly(model.bar_model(part), told[0, :, part], noise, 1.0)
