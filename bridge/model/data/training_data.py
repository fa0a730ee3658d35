"""Batches for training: windows drawn by style, not by size, and augmented; and the fixed validation windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from bridge.model.data.augment import augment_drums, augment_lines, folded, octave_shift
from bridge.model.data.corpus import CorpusError
from bridge.model.data.dataset import NOT_EVALUATED, Dataset
from bridge.model.data.trio_corpus import PAIRS
from bridge.model.nets.config import ModelConfig
from bridge.model.nets.vae import Batch, bars_of
from bridge.music.grids import DrumGrid, Ints

#: The share of each style in the diet, in per cent; sources of one style share it by size. Drum
#: machine patterns are few (160 windows) and would be learnt by heart at a tenth.
DIETS: dict[str, dict[tuple[str, ...], float]] = {
    "melody": {
        ("freedoom", "freedoom-history", "easyrpg"): 30,
        ("trad-m21",): 22,
        ("lieder",): 20,
        ("quartets",): 13,
        ("openewld-pd",): 11,
        ("openhymnal",): 4,
    },
    "bass": {
        ("freedoom", "freedoom-history", "easyrpg"): 60,
        ("lieder",): 20,
        ("quartets",): 15,
        ("openhymnal",): 5,
    },
    "trio": {
        ("freedoom", "freedoom-history", "easyrpg"): 100,
    },
    "drums": {
        ("gmd beat",): 50,
        ("gmd fill",): 10,
        ("freedoom", "freedoom-history", "easyrpg"): 35,
        ("drumpat-dmp",): 5,
    },
}
#: What a collection that is in no diet (a user's own files) counts for.
_OWN_SHARE = 40.0
_FILLS = " fill"
_VALIDATION_PER_GROUP = 160
_LONG_VALIDATION_PER_GROUP = 40
_BARS_OF_A_WINDOW = 4
BARS_OF_A_LONG_WINDOW = 16
#: Which bars of the validation windows a 1-bar model is judged by: one in so many, so that every place in them occurs.
_EVERY_BARS = 15

Array = np.ndarray[Any, Any]


def group_chances(groups: Sequence[str], sizes: Array, part: str, *, loops: bool = False) -> Array:
    """The chance that a window is drawn from each group (g,), given how many windows each has; windows of a trio that
    lack a part only where there are no others, and likewise, of `loops`, fills: played to end something, they end in
    silence.
    """
    apart = (PAIRS, _FILLS) if loops else (PAIRS,)
    whole = np.array([not name.endswith(apart) for name in groups])
    if (sizes[whole] > 0).any():
        sizes = np.where(whole, sizes, 0)
    chances = np.zeros(len(groups))
    known: set[int] = set()
    for members, share in DIETS[part].items():
        inside = [i for i, name in enumerate(groups) if name in members and sizes[i] > 0]
        known.update(inside)
        total = sum(int(sizes[i]) for i in inside)
        for i in inside:
            chances[i] = share * sizes[i] / total
    own = [i for i in range(len(groups)) if i not in known and sizes[i] > 0]
    total = sum(int(sizes[i]) for i in own)
    for i in own:
        chances[i] = _OWN_SHARE * sizes[i] / total
    chances /= chances.sum()
    return chances


def drawn_by_diet(dataset: Dataset, rows: Ints, count: int, part: str, seed: int) -> Ints:
    """Up to `count` different ones of some windows (n,) of a dataset, as often of each group as the diet has it; no
    fills.
    """
    group = np.asarray(dataset.group)[rows]
    sizes = np.bincount(group, minlength=len(dataset.groups))
    chances = group_chances(dataset.groups, sizes, part, loops=True)[group] / np.maximum(1, sizes[group])
    possible = int((chances > 0.0).sum())
    drawn: Ints = np.random.default_rng(seed).choice(
        rows, min(count, possible), replace=False, p=chances / chances.sum()
    )
    return drawn


class Source(Protocol):
    """Where training batches come from; `windows` is how many it draws from."""

    windows: int

    def batch(self, count: int) -> Batch:
        """`count` windows, augmented."""


class BatchSource:
    """Draws training batches of a dataset; everything it draws comes from its own seeded generator."""

    def __init__(self, dataset: Dataset, config: ModelConfig, seed: int) -> None:
        self._config = config
        self._rng = np.random.default_rng(seed)
        train = dataset.indices("train")
        self.windows = len(train)
        self._tokens = np.asarray(dataset.tokens)[train].astype(np.int64)
        self._drums = config.part == "drums"
        if self._drums:
            self._velocities = np.asarray(dataset.velocities)[train]
            self._offsets = np.asarray(dataset.offsets)[train]
            self._has_velocity = np.asarray(dataset.has_velocity)[train]
        group = np.asarray(dataset.group)[train]
        sizes = np.bincount(group, minlength=len(dataset.groups))
        self._chances = group_chances(dataset.groups, sizes, config.part)
        self._members = [np.flatnonzero(group == g) for g in range(len(dataset.groups))]

    def _draw(self, count: int) -> Ints:
        groups = self._rng.choice(len(self._chances), count, p=self._chances)
        picks = self._rng.random(count)
        return np.array([self._members[g][int(x * len(self._members[g]))] for g, x in zip(groups, picks, strict=True)])

    def batch(self, count: int) -> Batch:
        """`count` augmented windows."""
        rows = self._draw(count)
        if not self._drums:
            lines = augment_lines(self._tokens[rows], self._tokens[self._draw(count)], self._config, self._rng)
            return Batch(torch.from_numpy(lines))
        known = self._has_velocity[rows]
        partners = self._draw(count)
        partners = np.where(self._has_velocity[partners] == known, partners, rows)
        made = augment_drums(self._drum_grid(rows), self._drum_grid(partners), self._rng)
        tensors = (torch.from_numpy(x) for x in (made.hits, made.velocities, made.offsets, known))
        return Batch(*tensors)

    def _drum_grid(self, rows: Ints) -> DrumGrid:
        velocities, offsets = self._velocities[rows].astype(np.int64), self._offsets[rows].astype(np.int64)
        return DrumGrid(self._tokens[rows], velocities, offsets)


class BarSource:
    """Draws single bars out of the long windows of another source."""

    def __init__(self, windows: BatchSource, seed: int) -> None:
        self._source = windows
        self.windows = windows.windows
        self._rng = np.random.default_rng(seed)

    def batch(self, count: int) -> Batch:
        """`count` bars: four of each augmented window."""
        long = self._source.batch(-(-count // _BARS_OF_A_WINDOW))
        bars = bars_of(long)
        inside = len(bars.tokens) // len(long.tokens)
        picks = self._rng.permuted(np.tile(np.arange(inside), (len(long.tokens), 1)), axis=1)[:, :_BARS_OF_A_WINDOW]
        rows = (np.arange(len(picks))[:, None] * inside + picks).reshape(-1)[:count]
        return bars.rows(torch.from_numpy(rows))


@dataclass(frozen=True, slots=True)
class Validation:
    """Fixed windows that training is judged by, and the source of each (n,)."""

    batch: Batch
    groups: Array


def indexed_config(config: ModelConfig) -> ModelConfig:
    """The configuration whose windows a model trains on: 1-bar models train on the bars of 16-bar windows."""
    return replace(config, bars=BARS_OF_A_LONG_WINDOW) if config.bars == 1 else config


def training_source(dataset: Dataset, config: ModelConfig, seed: int) -> Source:
    """What a model trains on, from the dataset of its `indexed_config`."""
    if config.bars == 1:
        return BarSource(BatchSource(dataset, indexed_config(config), seed), seed + 1)
    return BatchSource(dataset, config, seed)


def validation_windows(dataset: Dataset, config: ModelConfig) -> Validation:
    """The validation windows of a dataset (else training windows); for a 1-bar model some of their bars.

    Raises:
        CorpusError: nothing that a training can be judged by.
    """
    rows = judging_rows(dataset, _VALIDATION_PER_GROUP if config.bars <= 2 else _LONG_VALIDATION_PER_GROUP)
    groups = np.asarray(dataset.group)[rows]
    if config.bars > 1:
        return Validation(plain_batch(dataset, rows, config), groups)
    bars = bars_of(plain_batch(dataset, rows, indexed_config(config)))
    chosen = np.arange(0, len(bars.tokens), _EVERY_BARS)
    return Validation(bars.rows(torch.from_numpy(chosen)), groups[chosen // BARS_OF_A_LONG_WINDOW])


def plain_batch(dataset: Dataset, rows: Ints, config: ModelConfig, moved: Ints | None = None) -> Batch:
    """Windows as they are, no augmentation; lines brought into the model's range by the octaves that suit each, or
    moved by so many semitones (n,).
    """
    tokens = np.asarray(dataset.tokens)[rows].astype(np.int64)
    if config.part != "drums":
        return Batch(torch.from_numpy(folded(tokens, octave_shift(tokens, config) if moved is None else moved, config)))
    return Batch(
        torch.from_numpy(tokens),
        torch.from_numpy(np.asarray(dataset.velocities)[rows].astype(np.int64)),
        torch.from_numpy(np.asarray(dataset.offsets)[rows].astype(np.int64)),
        torch.from_numpy(np.asarray(dataset.has_velocity)[rows]),
    )


def judging_rows(dataset: Dataset, per_group: int) -> Ints:
    """The windows that a training is judged by: of validation songs, or of training songs where there are none.

    Raises:
        CorpusError: there are neither.
    """
    rows = evaluation_rows(dataset, "validation", per_group)
    if not len(rows):
        rows = evaluation_rows(dataset, "train", per_group)
    if not len(rows):
        found = ", ".join(dataset.groups)
        raise CorpusError(
            f"expected songs that a training can be judged by (of a trio: with all its parts), found {found}"
        )
    return rows


def evaluation_rows(dataset: Dataset, split: str, per_group: int = _VALIDATION_PER_GROUP) -> Ints:
    """Fixed windows of a split: up to `per_group` of each group, evenly spaced; none of `NOT_EVALUATED`, and of a trio
    those with all its parts.
    """
    rows = dataset.indices(split)
    group = np.asarray(dataset.group)[rows]
    chosen = []
    for index, name in enumerate(dataset.groups):
        members = rows[group == index]
        if len(members) and name.partition(" ")[0] not in NOT_EVALUATED and not name.endswith(PAIRS):
            places = np.linspace(0, len(members) - 1, min(per_group, len(members))).round().astype(int)
            chosen.append(members[np.unique(places)])
    return np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.int64)
