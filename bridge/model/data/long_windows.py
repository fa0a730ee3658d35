"""Windows for the hierarchical models, one batch a part: plain ones, augmented ones, and trios made up of parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from bridge.model.data.augment import augment_drums, augment_together, moved_lines, octave_shift
from bridge.model.data.corpus import CorpusError
from bridge.model.data.dataset import Dataset, load
from bridge.model.data.training_data import BatchSource, plain_batch
from bridge.model.data.trio_corpus import PAIRS
from bridge.model.nets.config import SHORT_BARS, ModelConfig, Part
from bridge.model.nets.vae import Batch
from bridge.music.grids import NO_EVENT, DrumGrid, Ints

#: Chance that a window of a trio has one part silenced: a player's loop need not have all three.
_SILENCED_CHANCE = 0.06
#: The share of made-up trios, and that of those whose melody and bass are of different files too. Of such there are as
#: many as one likes, where those that belong together are few and were learnt by heart: what parts have to do with
#: each other the prior learns, from real ones.
_MADE_UP, _UNRELATED = 0.9, 0.85
#: Of the lines of the others, the share that is from real ones.
_LINES_OF_REAL_TRIOS = 0.4


class LongSource(Protocol):
    """Where the training windows of a hierarchical model come from; `windows` is how many it draws from."""

    windows: int

    def batch(self, count: int) -> list[Batch]:
        """`count` augmented windows, one batch a part."""


class SingleSource:
    """The windows of a model with one part."""

    def __init__(self, dataset: Dataset, config: ModelConfig, seed: int) -> None:
        self._source = BatchSource(dataset, config, seed)
        self.windows = self._source.windows

    def batch(self, count: int) -> list[Batch]:
        """`count` augmented windows."""
        return [self._source.batch(count)]


class TrioSource:
    """Real trios, and made-up ones: melody and bass of one file, or of two, over the drums of another. `parts` are the
    windows of the whole corpus, one dataset a part, or None where it has none of a part.
    """

    def __init__(self, trios: Dataset, parts: Sequence[Dataset | None], config: ModelConfig, seed: int) -> None:
        self._config = config
        self._rng = np.random.default_rng(seed)
        train = trios.indices("train")
        self.windows = len(train)
        self._tokens = np.asarray(trios.tokens)[train]
        self._velocities = np.asarray(trios.velocities)[train]
        self._offsets = np.asarray(trios.offsets)[train]
        self._has_velocity = np.asarray(trios.has_velocity)[train]
        pairs = np.array([name.endswith(PAIRS) for name in trios.groups])[np.asarray(trios.group)[train]]
        self._real = np.flatnonzero(~pairs)
        self._pairs = np.flatnonzero(pairs) if pairs.any() else self._real
        self._others = [
            None if own is None else BatchSource(own, config.of_part(part), seed + 1 + part)
            for part, own in enumerate(parts)
        ]

    def batch(self, count: int) -> list[Batch]:
        """`count` augmented trios."""
        rng = self._rng
        made_up = rng.random(count) < _MADE_UP
        if not len(self._real):
            made_up[:] = True
        paired = made_up & (rng.random(count) >= _LINES_OF_REAL_TRIOS)
        paired |= not len(self._real)
        rows = np.where(paired, rng.choice(self._pairs, count), rng.choice(self._real, count) if len(self._real) else 0)
        tokens = self._tokens[rows].astype(np.int64)
        own = DrumGrid(tokens[:, 2], self._velocities[rows].astype(np.int64), self._offsets[rows].astype(np.int64))
        own = augment_drums(own, own, rng, rearranged=False)
        configs = [self._config.of_part(part) for part in (0, 1)]
        melody, bass, own = augment_together(tokens[:, 0], tokens[:, 1], own, configs, rng)
        batches = [
            Batch(torch.from_numpy(melody)),
            Batch(torch.from_numpy(bass)),
            Batch(*(torch.from_numpy(x) for x in (own.hits, own.velocities, own.offsets, self._has_velocity[rows]))),
        ]
        unrelated = made_up & (rng.random(count) < _UNRELATED)
        for batch, other, which in zip(batches, self._others, (unrelated, unrelated, made_up), strict=True):
            places = torch.from_numpy(np.flatnonzero(which))
            if other is not None and len(places):
                batch.put(places, other.batch(len(places)))
        silenced = np.where(rng.random(count) < _SILENCED_CHANCE, rng.integers(0, 3, count), -1)
        for part, nothing in enumerate((NO_EVENT, NO_EVENT, 0)):
            batches[part].tokens[torch.from_numpy(silenced == part)] = nothing
        return batches


def long_source(
    dataset: Dataset, config: ModelConfig, data_paths: Sequence[Path], cache: Path, seed: int
) -> LongSource:
    """What a hierarchical model trains on; for a trio each part of the whole corpus is looked up as well."""
    if config.part != "trio":
        return SingleSource(dataset, config, seed)
    parts: list[Dataset | None] = []
    for part in range(len(config.parts)):
        try:
            parts.append(load(data_paths, config.of_part(part), cache))
        except CorpusError:  # lines of trios may rest longer than those of a model with one part: here all of them do
            parts.append(None)
    return TrioSource(dataset, parts, config, seed)


def plain_parts(dataset: Dataset, rows: Ints, config: ModelConfig, moved: Ints | None = None) -> list[Batch]:
    """Windows as they are, one batch a part, lines brought into their ranges by octaves. With one part they can be
    moved by so many semitones (n,) instead; a trio's lines are moved by those and then, each, by octaves.
    """
    if config.part != "trio":
        return [plain_batch(dataset, rows, config, moved)]
    found = []
    for part in range(len(config.parts)):
        own, own_config = part_of(dataset, part), config.of_part(part)
        shift = None
        if moved is not None and own_config.part != "drums":
            tokens = np.asarray(own.tokens)[rows].astype(np.int64)
            shift = moved + octave_shift(moved_lines(tokens, moved), own_config)
        found.append(plain_batch(own, rows, own_config, shift))
    return found


def plain_tokens(dataset: Dataset, rows: Ints, config: ModelConfig) -> dict[Part, Ints]:
    """The tokens (n, T) of windows as they are, by part, lines in the model's range."""
    batches = plain_parts(dataset, rows, config)
    return {part: batch.tokens.numpy() for part, batch in zip(config.parts, batches, strict=True)}


def music_of(dataset: Dataset, split: str, config: ModelConfig) -> Ints:
    """Windows with all the music of a split: those of a song begin a bar apart, so of long ones not every one."""
    rows = dataset.indices(split)
    by_song = rows[np.argsort(np.asarray(dataset.song)[rows], kind="stable")]
    songs = np.asarray(dataset.song)[by_song]
    place = np.arange(len(rows)) - np.searchsorted(songs, songs)
    chosen: Ints = by_song[place % max(1, config.bars // SHORT_BARS) == 0]
    return chosen


def lines_of(dataset: Dataset, config: ModelConfig) -> list[Ints]:
    """The tokens (n, T) of a dataset's parts that are lines."""
    tokens = np.asarray(dataset.tokens)
    if config.part == "trio":
        return [tokens[:, part] for part, name in enumerate(config.parts) if name != "drums"]
    return [] if config.part == "drums" else [tokens]


def part_of(trios: Dataset, part: int) -> Dataset:
    """The windows of a trio dataset as those of one of its parts."""
    return Dataset(
        trios.groups, trios.tokens[:, part], trios.group, trios.song, trios.split, trios.follows,
        trios.velocities, trios.offsets, trios.has_velocity, trios.precedes, trios.moved,
    )  # fmt: skip


def whole_rows(dataset: Dataset) -> Ints:
    """All windows, but of a trio's only those that have all of its parts."""
    pairs = np.array([name.endswith(PAIRS) for name in dataset.groups], dtype=bool)
    return np.flatnonzero(~pairs[np.asarray(dataset.group)])
