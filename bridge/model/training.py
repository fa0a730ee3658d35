"""`train`: any model of the family, for the minutes given, on what MIDI files there are.

Runs on torch 2.11-2.13 with numpy and safetensors alone; tqdm, where it is installed, draws the progress bar.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bridge.model.config import BAR_CONFIGS, ModelConfig, config_of
from bridge.model.dataset import Dataset, load
from bridge.model.hierarchy_training import HierarchicalRun
from bridge.model.scoring import Readings, read_windows
from bridge.model.training_data import Array, indexed_config, training_source, validation_windows
from bridge.model.training_run import DROPOUT, Run, schedule, training_loop
from bridge.model.vae import MusicVae, training_losses

log = logging.getLogger(__name__)

_BARS_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run leaves: the best weights, how good they were on validation songs, and after how many steps."""

    weights: Path
    note_f1: float
    steps: int
    windows: int
    minutes: float


class WindowRun(Run):
    """A run of a model whose windows are decoded in one piece: of 2 bars, or of 1."""

    model: MusicVae

    def __init__(self, config: ModelConfig, dataset: Dataset, out_dir: Path, device: torch.device, seed: int) -> None:
        torch.manual_seed(seed)
        super().__init__(config, MusicVae(config), out_dir, device, seed)
        self._dataset = dataset
        self._validation = validation_windows(dataset, config)

    def to_compute(self) -> None:
        """Put the heavy layers into bfloat16."""
        self.model.to_compute(torch.bfloat16)

    def open_source(self, seed: int) -> int:
        """Make ready to draw training windows; returns how many there are."""
        self._source = training_source(self._dataset, self.config, seed)
        return self._source.windows

    def losses(self, batch_size: int, fraction: float) -> tuple[Tensor, Tensor, Tensor]:
        """Token, dynamics and rate nats of a new batch."""
        batch = self._source.batch(batch_size).to(self.device)
        losses = training_losses(self.model, batch, mix=schedule(fraction, self.steps)[2], dropout=DROPOUT)
        return losses.tokens, losses.dynamics, losses.rate

    def readings(self) -> tuple[list[Readings], list[bool], Array]:
        """What the averaged weights make of the validation windows."""
        assert isinstance(self.reference, MusicVae)
        read = read_windows(self.reference, self._validation.batch.to(self.device), self.seed)
        return [read], [self.config.part == "drums"], self._validation.groups


def train(
    name: str,
    data_paths: Sequence[Path],
    minutes: float,
    *,
    resume: bool,
    out_dir: Path,
    device: str = "auto",
    seed: int = 0,
    progress: bool = True,
    batch_size: int | None = None,
    cache: Path | None = None,
) -> Trained:
    """Train a model for `minutes` in all (a resumed run goes on with its own clock).

    A hierarchical model stands on 1-bar models (`melody-1bar` and so on). Those that were trained before, in folders
    of their names beside `out_dir`, are taken; others are trained first, in folders inside it, for `_BARS_SHARE` of the
    minutes, and what is left of the minutes is the upper levels'.

    `out_dir` gets checkpoint.pt, best.safetensors (float32, moving average, best macro note F1 on validation songs)
    and curves.csv. An interrupt ends the run in good order: the checkpoint is written and the best weights stay.

    Raises:
        UnknownModelError, CorpusError: a wrong name, or data with nothing useful in it.
    """
    config = BAR_CONFIGS.get(name) or config_of(name)
    out_dir.mkdir(parents=True, exist_ok=True)
    kept = cache or out_dir / "index"
    dataset = load(data_paths, indexed_config(config), kept)
    chosen = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    run: Run
    if config.bar_models:
        weights, spent = _bar_weights(config, out_dir, minutes, lambda bar, share: train(
            bar, data_paths, share, resume=resume, out_dir=out_dir / bar, device=device, seed=seed, progress=progress,
            cache=kept,
        ).weights)  # fmt: skip
        minutes -= spent
        run = HierarchicalRun(
            config, dataset, out_dir, chosen, seed, data_paths=data_paths, cache=kept, bar_weights=weights
        )
    else:
        run = WindowRun(config, dataset, out_dir, chosen, seed)
    if not (resume and run.restore()):
        (out_dir / "curves.csv").unlink(missing_ok=True)
    windows = run.open_source(seed + run.steps)
    log.info("%s on %s, bfloat16 %s, %d windows", name, chosen, run.bfloat16, windows)
    bar = _bar(name, run.elapsed_s, minutes * 60.0) if progress else None
    try:
        training_loop(run, minutes * 60.0, batch_size or default_batch(config), bar)
    except KeyboardInterrupt:
        log.info("interrupted: the checkpoint is kept in %s", out_dir)
    finally:
        if bar is not None:
            bar.close()
    run.save()
    best = out_dir / "best.safetensors"
    return Trained(best, run.best_f1, run.steps, run.windows, run.elapsed_s / 60.0)


def default_batch(config: ModelConfig) -> int:
    """How many windows a step takes where nothing is said: what made the most of a minute on one core."""
    return 96 if config.bar_models else 128 if config.bars == 1 else 256


def _bar_weights(
    config: ModelConfig, out_dir: Path, minutes: float, train_bars: Callable[[str, float], Path]
) -> tuple[list[Path], float]:
    """The weights of the 1-bar models, and how many of the minutes went into those that had to be trained."""
    weights, spent = [], 0.0
    for bar in config.bar_models:
        beside = out_dir.parent / bar.name / "best.safetensors"
        if not beside.is_file():
            share = _BARS_SHARE * minutes / len(config.bar_models)
            beside = train_bars(bar.name, share)
            spent += share
        weights.append(beside)
    return weights, spent


def _bar(name: str, done_s: float, total_s: float) -> Any:
    """A progress bar in seconds of training on stderr, or None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    form = "{l_bar}{bar}| {elapsed}<{remaining} {postfix}"
    return tqdm(total=total_s, initial=done_s, desc=name, unit="s", bar_format=form)
