"""`train`: any model of the family, for the minutes given, on what MIDI files there are.

Needs torch, numpy and safetensors, and mido for music that is not indexed yet; tqdm, where it is installed, draws the
progress bar.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridge.model.data.dataset import Dataset, load
from bridge.model.data.training_data import Array, indexed_config, training_source, validation_windows
from bridge.model.evaluation.scoring import Readings, read_windows
from bridge.model.nets.config import BAR_CONFIGS, ModelConfig, config_of
from bridge.model.nets.vae import MusicVae, training_losses
from bridge.model.training import ranks
from bridge.model.training.hierarchy_training import HierarchicalRun
from bridge.model.training.training_run import (
    CHECKPOINT,
    DROPOUT,
    FINE_TUNING,
    FROM_SCRATCH,
    Length,
    Run,
    training_loop,
)

log = logging.getLogger(__name__)

_BARS_SHARE = 0.4
_RANK_SEEDS_APART = 1_000_003
#: Below either, a model that is fine-tuned remembers the pieces rather than their manner.
_FEW_WINDOWS, _FEW_SONGS = 100, 4


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

    def __init__(
        self,
        config: ModelConfig,
        dataset: Dataset,
        out_dir: Path,
        device: torch.device,
        seed: int,
        start_from: Mapping[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(seed)
        model = MusicVae(config)
        if start_from is not None:
            model.load_state_dict(start_from)
        super().__init__(config, model, out_dir, device, seed, FROM_SCRATCH if start_from is None else FINE_TUNING)
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
        losses = training_losses(self.model, batch, mix=self.schedule.at(fraction, self.steps)[2], dropout=DROPOUT)
        return losses.tokens, losses.dynamics, losses.rate

    def readings(self) -> tuple[list[Readings], list[bool], Array]:
        """What the averaged weights make of the validation windows."""
        assert isinstance(self.reference, MusicVae)
        read = read_windows(self.reference, self._validation.batch.to(self.device), self.seed)
        return [read], [self.config.part == "drums"], self._validation.groups


def train(
    name: str,
    data_paths: Sequence[Path],
    length: Length,
    *,
    resume: bool,
    out_dir: Path,
    device: str = "auto",
    seed: int = 0,
    progress: bool = True,
    batch_size: int | None = None,
    cache: Path | None = None,
    start_from: Mapping[str, Tensor] | None = None,
) -> Trained:
    """Train a model until its run is `length` long (a resumed one goes on with its own clock and count). By steps, the
    weights are a function of the data, the batch and the seed, on one machine with one number of threads.

    With `start_from`, the weights of a trained model of that name, it is fine-tuned: with small steps, and a warning
    where the music is so little that it would be learnt by heart. Under `torchrun` the ranks train it together.

    A hierarchical model stands on 1-bar models (`melody-1bar` and so on). Those that were trained before, in folders
    of their names beside `out_dir`, are taken; others are trained first, in folders inside it, for `_BARS_SHARE` of the
    length, and what is left of it is the upper levels'.

    `out_dir` gets checkpoint.pt, best.safetensors (float32, moving average, best macro note F1 on validation songs)
    and curves.csv; a former run that is not to be resumed is put aside.

    Raises:
        UnknownModelError, CorpusError: a wrong name, or data with nothing useful in it.
        CheckpointError, DeviceError: the run cannot be resumed; no such device here.
        KeyboardInterrupt: the user's, or SIGTERM, once the checkpoint is written.
    """
    config = BAR_CONFIGS.get(name) or config_of(name)
    kept = cache or out_dir / "index"

    def train_bars(bar: str, share: Length) -> Path:
        return train(
            bar, data_paths, share, resume=resume, out_dir=out_dir / bar, device=device, seed=seed, progress=progress,
            cache=kept,
        ).weights  # fmt: skip

    with ranks.joined(device) as chosen:
        dataset = ranks.first_alone(lambda: load(data_paths, indexed_config(config), kept))
        out_dir.mkdir(parents=True, exist_ok=True)  # not before it is known that there is something to train on
        run: Run
        if config.bar_models:
            goes_on = resume and (out_dir / CHECKPOINT).is_file()
            weights, left = ([], 1.0) if start_from else _bar_weights(config, out_dir, length, train_bars, goes_on)
            length = length.share(left)
            run = HierarchicalRun(
                config, dataset, out_dir, chosen, seed, data_paths=data_paths, cache=kept, bar_weights=weights,
                start_from=start_from,
            )  # fmt: skip
        else:
            run = WindowRun(config, dataset, out_dir, chosen, seed, start_from)
        run.data = f"{len(dataset.tokens)} windows of {', '.join(dataset.groups)}"
        if ranks.is_first() and name not in BAR_CONFIGS:
            warn_of_too_little(dataset, config)
        _go(run, length, batch_size or default_batch(config), resume=resume, progress=progress)
    return Trained(out_dir / "best.safetensors", run.best_f1, run.steps, run.windows, run.elapsed_s / 60.0)


def _go(run: Run, length: Length, batch_size: int, *, resume: bool, progress: bool) -> None:
    """Train to the end, or to the user's interrupt or SIGTERM."""
    first = ranks.is_first()
    resumed = resume and run.restore()
    if not resumed and first:
        run.begin_anew()
    elif resumed and length.fraction(run) >= 1.0:
        log.info("%s has been trained for so long already (%d steps)", run.config.name, run.steps)
    own_seed = run.seed + run.steps + ranks.rank() * _RANK_SEEDS_APART
    torch.manual_seed(own_seed)
    windows = run.open_source(own_seed)
    name = run.config.name
    if first:
        log.info("%s on %s, bfloat16 %s, %d windows", name, run.device, run.bfloat16, windows)
    bar = _bar(name, length.fraction(run)) if progress and first else None
    try:
        with _ended_as_interrupted():
            training_loop(run, length, batch_size, bar)
    except KeyboardInterrupt:
        run.save()
        if first:
            log.info("stopped after %d steps: --resume goes on from %s", run.steps, run.out_dir / CHECKPOINT)
        raise
    finally:
        if bar is not None:
            bar.close()
    run.save()


@contextlib.contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """Within, SIGTERM is as good as Ctrl-C: whoever ends a run (a queue whose time is up, `torchrun`) loses nothing."""
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def warn_of_too_little(dataset: Dataset, config: ModelConfig, remedy: str = "more files, or fewer minutes") -> None:
    """Say so where the music is so little that it will be learnt by heart, and what would help."""
    windows, songs = len(dataset.tokens), len(np.unique(np.asarray(dataset.song)))
    if windows < _FEW_WINDOWS or songs < _FEW_SONGS:
        log.warning(
            "%d windows of %d songs are few (%d of %d would do): %s will learn them by heart; give it %s", windows,
            songs, _FEW_WINDOWS, _FEW_SONGS, config.name, remedy,
        )  # fmt: skip


def default_batch(config: ModelConfig) -> int:
    """How many windows a step takes where nothing is said: what made the most of a minute on one core."""
    return 96 if config.bar_models else 128 if config.bars == 1 else 256


def _bar_weights(
    config: ModelConfig, out_dir: Path, length: Length, train_bars: Callable[[str, Length], Path], goes_on: bool
) -> tuple[list[Path], float]:
    """The weights of the 1-bar models, and what share of the length is left by those that had to be trained; those that
    a run which `goes_on` has trained stay as they are.
    """
    weights, left = [], 1.0
    for bar in config.bar_models:
        beside = out_dir.parent / bar.name / "best.safetensors"
        if not beside.is_file():
            share = _BARS_SHARE / len(config.bar_models)
            inside = out_dir / bar.name / "best.safetensors"
            beside = inside if goes_on and inside.is_file() else train_bars(bar.name, length.share(share))
            left -= share
        weights.append(beside)
    return weights, left


def _bar(name: str, done: float) -> Any:
    """A progress bar on stderr that counts to 1, or None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    form = "{l_bar}{bar}| {elapsed}<{remaining} {postfix}"
    return tqdm(total=1.0, initial=done, desc=name, bar_format=form)
