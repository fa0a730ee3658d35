"""Windows in a row, as points in the latent space: what the prior learns from, and is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridge.model.data.augment import moved_lines, octave_shift
from bridge.model.data.dataset import Dataset
from bridge.model.data.long_windows import lines_of
from bridge.model.data.training_data import group_chances
from bridge.model.nets.config import SHORT_BARS, ModelConfig
from bridge.model.nets.flow import MEMORY
from bridge.model.nets.keys import held_steps, shifts_to_c
from bridge.music.grids import NO_EVENT, Ints

_CHUNK = 512
#: Of the posterior's spread so much is kept. With all of it the points of different windows run into one another, and
#: what is drawn lies between them (melody, 600 samples: 1.15 times the n-gram cost of held-out windows, not 1.08).
SPREAD_KEPT = 0.4
#: Of that of long lines, whose points leave the decoder less to choose, next to nothing (melody-16bar, 400 samples:
#: 1.14 times the cost at .91 of the density of held-out windows; with .4 the one was over 1.2 or the other under .87).
#: Long drums were told from songs more easily then (an AUC of .72, not .68).
SPREAD_KEPT_LONG = 0.1
#: Posterior means and spreads (n, Z) of windows (n,), each moved by so many semitones (n,).
Posteriors = Callable[[Ints, Ints], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Chains:
    """n windows with those around them, over u different points of size Z.

    `means` (u, Z) are the posteriors', `spreads` (u, Z) `spread_kept` of theirs. `before` (n, 4) are the points of a
    window and of the three before it, the nearest first, and `after` (n,) is the point of the one that comes next; -1
    where there is none. `rows` (n,) are the windows in the dataset, `moved` (n, 5) by how many semitones each (those
    before, then the one after) was brought into the prior's key and the model's range, all by the octaves that suit the
    windows before; `turned` (n,) is what of that is the key's, found in the windows before. `chances` (n,) is the diet.
    `long` windows overlap their neighbours by most of their bars. Windows are of so many `parts`.
    """

    means: Tensor
    spreads: Tensor
    before: Tensor
    after: Tensor
    rows: Ints
    moved: Ints
    turned: Ints
    chances: np.ndarray[Any, np.dtype[np.float64]]
    long: bool = False
    spread_kept: float = SPREAD_KEPT
    parts: int = 1

    def context(self, which: Tensor, longest: Tensor | int = MEMORY) -> tuple[Tensor, Tensor]:
        """What comes before the next window of some chains (m,): means (m, 4, Z), and 1 where there is one (m, 4); of
        the windows before only the nearest `longest` (m,).
        """
        before = self.before[which]
        limit = torch.as_tensor(longest).expand(len(which))
        present = ((before >= 0) & (torch.arange(MEMORY) < limit[:, None])).float()
        return self.means[before.clamp_min(0)] * present.unsqueeze(2), present

    def drawn(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """A sample (m, Z) of the narrowed posterior of each of some points (m,)."""
        white = torch.randn(len(points), self.means.shape[1], generator=generator)
        return self.means[points] + self.spreads[points] * white

    def drawn_by_diet(self, count: int, seed: int) -> Ints:
        """`count` chains, drawn with replacement."""
        chosen: Ints = np.random.default_rng(seed).choice(len(self.rows), count, p=self.chances)
        return chosen

    def followed(self) -> Tensor:
        """The chains that go on."""
        return torch.nonzero(self.after >= 0)[:, 0]


def chains_of(dataset: Dataset, rows: Ints, config: ModelConfig, posteriors: Posteriors) -> Chains:
    """The chains that end at windows (n,) of a dataset."""
    windows = np.column_stack([rows, np.asarray(dataset.precedes)[rows], np.asarray(dataset.follows)[rows]])
    moved = np.column_stack([np.zeros(len(rows), dtype=np.int64), np.asarray(dataset.moved)[rows].astype(np.int64)])
    turned = turns_to_c(dataset, windows[:, :MEMORY], moved, config)
    moved += turned[:, None]
    if config.part in ("melody", "bass"):
        moved += _octaves(dataset, windows[:, :MEMORY], moved, config)[:, None]
    pairs = np.stack([windows.astype(np.int64).ravel(), moved.ravel()], 1)
    different, place = np.unique(pairs, axis=0, return_inverse=True)
    index = torch.from_numpy(np.where(windows < 0, -1, place.reshape(windows.shape)))
    found = [
        posteriors(np.maximum(part[:, 0], 0), part[:, 1])
        for part in np.array_split(different, max(1, -(-len(different) // _CHUNK)))
    ]
    means, spreads = (torch.cat(part).float().cpu() for part in zip(*found, strict=True))
    group = np.asarray(dataset.group)[rows]
    sizes = np.bincount(group, minlength=len(dataset.groups))
    chances = group_chances(dataset.groups, sizes, config.part, loops=True)[group] / np.maximum(1, sizes[group])
    chances /= chances.sum()
    before, after = index[:, :MEMORY], index[:, MEMORY]
    long = config.bars > SHORT_BARS
    kept = SPREAD_KEPT_LONG if long and config.part != "drums" else SPREAD_KEPT
    return Chains(means, kept * spreads, before, after, rows, moved, turned, chances, long, kept, len(config.parts))


def turns_to_c(dataset: Dataset, windows: Ints, moved: Ints, config: ModelConfig) -> Ints:
    """By how many semitones (n,) windows in a row (n, 4), each moved already by so many (n, 4), have to be moved
    together to be in the prior's key.
    """
    if config.part == "drums":
        return np.zeros(len(windows), dtype=np.int64)
    held = np.zeros((len(windows), 12))
    for lines in lines_of(dataset, config):
        for column in range(windows.shape[1]):
            held += held_steps(_line(lines, windows[:, column], moved[:, column]))
    return shifts_to_c(held)


def _octaves(dataset: Dataset, windows: Ints, moved: Ints, config: ModelConfig) -> Ints:
    """The octaves (n,) that bring the windows (n, 4) before into the range, all of a chain by the same."""
    tokens = np.asarray(dataset.tokens)
    joined = [_line(tokens, windows[:, column], moved[:, column]) for column in range(windows.shape[1])]
    return octave_shift(np.concatenate(joined, axis=1), config)


def _line(tokens: Ints, windows: Ints, moved: Ints) -> Ints:
    """The tokens (n, T) of windows (n,) moved by semitones (n,); of those that are not there (-1) nothing sounds."""
    line = tokens[np.maximum(windows, 0)].astype(np.int64)
    return np.where(windows[:, None] < 0, NO_EVENT, moved_lines(line, moved))
