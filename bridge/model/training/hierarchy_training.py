"""Training of the hierarchical models, over 1-bar models that are trained already.

The 1-bar models stay as they are, so that bars need reading only once: a pool of embedded windows is drawn from, and a
part of it renewed at every step. First the embeddings alone are to be reproduced (16 steps in place of 256), then also
some bars of each window through the bottom decoders. Letting the bottom decoders learn along was tried: they came to
expect less of what they are told, and what they played (not what they scored under teacher forcing) was further off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bridge.model.data.dataset import Dataset
from bridge.model.data.long_windows import LongSource, long_source, plain_parts
from bridge.model.data.training_data import Array, judging_rows
from bridge.model.evaluation.hierarchy_scoring import read_long_windows
from bridge.model.evaluation.scoring import Readings
from bridge.model.nets.config import ModelConfig
from bridge.model.nets.hierarchy import Embeddings, HierarchicalVae, upper_losses
from bridge.model.nets.vae import Batch
from bridge.model.training.components import begin_at_components
from bridge.model.training.training_run import DROPOUT, FINE_TUNING, FROM_SCRATCH, CheckpointError, Run

#: Until this fraction of a run the embeddings are all that counts.
_CODES_ALONE_UNTIL = 0.4
#: Upper levels that begin at principal components tell as much as they may from the first step on.
_FROM_COMPONENTS = replace(FROM_SCRATCH, peak_rate=1e-3, first_beta=1.0)
#: How many bars of a window are decoded in a step, by the number of parts.
_BARS_DECODED = {1: 2, 3: 1}
_POOL_WINDOWS = 4096
#: The share of a batch that is read anew at every step, by the number of parts: what is read costs most of a step.
_RENEWED = {1: 0.25, 3: 0.08}
#: The share of a batch whose parts are of different windows of the pool. Trios are few; of such there are as many as
#: the product of its parts, and they cost nothing.
_SHUFFLED = {1: 0.0, 3: 0.5}
_CHUNK = 128
_VALIDATION_PER_GROUP = 24


class Pool:
    """Windows with their embeddings, for a number of steps each."""

    def __init__(self, model: HierarchicalVae, source: LongSource, device: torch.device, seed: int, size: int) -> None:
        self._model, self._source, self._device = model, source, device
        self._rng = np.random.default_rng(seed)
        self._size, self._oldest = size, 0
        self._windows: list[Batch] = []
        self._embedded: list[Tensor] = []

    def _read(self, count: int) -> tuple[list[Batch], Embeddings]:
        windows = [batch.to(self._device) for batch in self._source.batch(count)]
        with torch.no_grad():
            return windows, self._model.embed(windows)

    def batch(self, count: int) -> tuple[list[Batch], Embeddings]:
        """`count` windows of the pool, of which the oldest are exchanged for new ones beforehand."""
        if not self._windows:
            self._fill()
        parts = len(self._windows)
        fresh = max(1, round(_RENEWED[parts] * count))
        windows, embedded = self._read(fresh)
        places = torch.from_numpy((self._oldest + np.arange(fresh)) % self._size)
        self._oldest = int(self._oldest + fresh) % self._size
        for ours, new in zip(self._windows, windows, strict=True):
            ours.put(places, new)
        for kept, values in zip(self._embedded, embedded, strict=True):
            kept[places] = values
        picked = self._rng.integers(0, self._size, (parts, count))
        shuffled = self._rng.random(count) < _SHUFFLED[parts]
        rows = [torch.from_numpy(np.where(shuffled, own, picked[0])) for own in picked]
        means, spreads = (torch.stack([x[row, :, part] for part, row in enumerate(rows)], 2) for x in self._embedded)
        return [batch.rows(row) for batch, row in zip(self._windows, rows, strict=True)], Embeddings(means, spreads)

    def embedded(self) -> Embeddings:
        """All windows that are in it."""
        if not self._windows:
            self._fill()
        return Embeddings(*self._embedded)

    def _fill(self) -> None:
        read = [self._read(_CHUNK) for _ in range(self._size // _CHUNK)]
        self._windows = [Batch.joined([windows[part] for windows, _ in read]) for part in range(len(read[0][0]))]
        self._embedded = [torch.cat([embedded[i] for _, embedded in read]) for i in (0, 1)]


def _take_bar_weights(model: HierarchicalVae, part: int, path: Path) -> None:
    """Give a part's 1-bar model the weights that training has left in a file.

    Raises:
        CheckpointError: they are damaged, or of another shape.
    """
    try:
        model.bar_model(part).load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as fault:
        name, reason = model.config.bar_models[part].name, " ".join(str(fault).split())[:200]
        raise CheckpointError(
            f"{path}: expected weights of {name} as it is now ({reason}): move it away, or begin anew without --resume"
        ) from fault


class HierarchicalRun(Run):
    """A run of a hierarchical model; `bar_weights` are the files of its 1-bar models' weights, one a part."""

    model: HierarchicalVae
    memory = 0.997

    def __init__(
        self,
        config: ModelConfig,
        dataset: Dataset,
        out_dir: Path,
        device: torch.device,
        seed: int,
        *,
        data_paths: Sequence[Path],
        cache: Path,
        bar_weights: Sequence[Path],
        start_from: Mapping[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(seed)
        model = HierarchicalVae(config)
        for part, path in enumerate(bar_weights):
            _take_bar_weights(model, part, path)
        if start_from is not None:
            model.load_state_dict(start_from)
        for part in range(len(config.bar_models)):
            model.bar_model(part).requires_grad_(requires_grad=False)
        super().__init__(config, model, out_dir, device, seed, _FROM_COMPONENTS if start_from is None else FINE_TUNING)
        self._dataset, self._data_paths, self._cache = dataset, data_paths, cache
        rows = judging_rows(dataset, _VALIDATION_PER_GROUP)
        self._groups = np.asarray(dataset.group)[rows]
        self._validation = plain_parts(dataset, rows, config)

    def to_compute(self) -> None:
        """Put the heavy layers into bfloat16."""
        self.model.to_compute(torch.bfloat16)

    def open_source(self, seed: int) -> int:
        """Make ready to draw training windows; returns how many there are."""
        source = long_source(self._dataset, self.config, self._data_paths, self._cache, seed)
        self._pool = Pool(self.model, source, self.device, seed + 2, _POOL_WINDOWS)
        if self.steps == 0 and self.schedule is _FROM_COMPONENTS:
            assert isinstance(self.reference, HierarchicalVae)
            means, spreads = (x.float().cpu() for x in self._pool.embedded())
            self.optimiser.begin_at(begin_at_components(self.reference.cpu(), Embeddings(means, spreads)))
            self.reference.to(self.device)
        return source.windows

    def losses(self, batch_size: int, fraction: float) -> tuple[Tensor, Tensor, Tensor]:
        """Nats of the bars (see `upper_losses`), of dynamics and the rate, of a new batch."""
        windows, embedded = self._pool.batch(batch_size)
        codes_alone = fraction < _CODES_ALONE_UNTIL and self.schedule is _FROM_COMPONENTS
        bars = 0 if codes_alone else min(_BARS_DECODED[len(windows)], self.config.bars)
        return upper_losses(self.model, windows, embedded, bars, DROPOUT)

    def readings(self) -> tuple[list[Readings], list[bool], Array]:
        """What the averaged weights make of the validation windows."""
        assert isinstance(self.reference, HierarchicalVae)
        windows = [batch.to(self.device) for batch in self._validation]
        return (
            read_long_windows(self.reference, windows, self.seed),
            [bar.part == "drums" for bar in self.config.bar_models],
            self._groups,
        )
