"""Points for draws with nothing before them to be near: of bars that nobody wrote.

Where a flow knows few songs it draws what they have in common, and the point of a song's window plays that song. So
these are made, half-way from one training window to another: what is played there is no music yet, but where that is
read it mostly is. Kept are those that are ordinary: that share no longer runs of notes with training songs than most
windows of other songs do, and, of ensembles, in which every part plays as much as it does in most of those.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bridge.model.data.chains import Chains
from bridge.model.data.dataset import Dataset
from bridge.model.data.long_windows import music_of, plain_tokens
from bridge.model.data.training_data import drawn_by_diet
from bridge.model.evaluation.realism import longest_shared_runs
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import ModelConfig, Part
from bridge.model.nets.flow import Flow
from bridge.model.nets.noise import derived
from bridge.model.playing.candidates import CANDIDATES
from bridge.model.playing.decoding import parts_of
from bridge.model.playing.drawing import played_at
from bridge.model.playing.encoding import means_of
from bridge.music.grids import Ints
from bridge.music.measures import density

#: So many training windows are drawn to be mixed; so many mixtures are made for each point that is kept.
_DRAWN, _MADE_FOR_ONE = 6_000, 2.0
_HALF_WAY = 0.5
#: Of few windows not more are made, each.
_MOST_FOR_ONE = 8
#: How often a mixture is read where it is played, by the number of parts, and how warm it is played for that. The more
#: often, the more alike and the thinner: read twice, a trio's melodies were .87 as dense as songs' and its basses
#: shared runs of 10 notes with them, once .93 and 9.
_READINGS, _TEMPERATURE = {1: 2, 3: 1}, 0.05
#: So many windows of songs not trained on say what is ordinary: what all but this share of them are.
_OTHERS, _ORDINARY = 1_000, 0.96


def exemplars_made(
    resident: CompiledModel, flow: Flow, train: Chains, dataset: Dataset, count: int, seed: int
) -> Tensor:
    """Up to `count` points (K, Z), made of windows of training songs, in the flow's key; deterministic."""
    drawn = torch.from_numpy(np.unique(train.drawn_by_diet(_DRAWN, seed)))
    means = train.means[train.before[drawn, 0]]
    if len(means) < 2:
        return means[:0]
    count = min(count, _MOST_FOR_ONE * len(means))
    with torch.no_grad():
        white = flow.white(means)[:, : flow.ways]
        points = flow.on_the_way(*_pairs(white, round(_MADE_FOR_ONE * count), seed), _HALF_WAY)
    for number in range(_READINGS[len(resident.config.parts)]):
        points, tokens = _read(resident, points, derived(seed, number))
    kept = np.flatnonzero(_ordinary(dataset, tokens, resident.config, seed))
    return points[torch.from_numpy(kept[:count])]


def exemplars_taken(train: Chains, count: int, seed: int) -> Tensor:
    """Up to `count` points (K, Z) of windows of training songs. Long melodies are better drawn between those, far
    enough from each to be none of them: near made ones they were told from songs with an AUC of .75 to .79, not .70.
    """
    chosen = torch.from_numpy(np.unique(train.drawn_by_diet(count, seed)))
    return train.means[train.before[chosen, 0]]


def _pairs(points: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pairs (count, N) of different ones of some points, each of them first as often as any other."""
    rng = np.random.default_rng(seed)
    first = rng.permutation(np.resize(rng.permutation(len(points)), count))
    second = (first + rng.integers(1, len(points), count)) % len(points)
    return points[torch.from_numpy(first)], points[torch.from_numpy(second)]


def _read(model: CompiledModel, points: Tensor, seed: int) -> tuple[Tensor, dict[Part, Ints]]:
    """The posterior means (n, Z) of what is played at points, and its tokens (n, T) by part."""
    few = [points[begin : begin + CANDIDATES] for begin in range(0, len(points), CANDIDATES)]
    played = [played_at(model, some, derived(seed, number), _TEMPERATURE) for number, some in enumerate(few)]
    means = torch.cat([means_of(model, [row.window for row in rows]) for rows in played])
    rows = [parts_of(row, model.config) for some in played for row in some]
    parts = enumerate(model.config.parts)
    return means, {part: np.stack([row[number].window.tokens for row in rows]) for number, part in parts}


def _ordinary(
    dataset: Dataset, made: Mapping[Part, Ints], config: ModelConfig, seed: int
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which windows share no longer runs of notes with training songs, and are no thinner, in any part, than most
    validation windows; all of them where there are none of those.
    """
    kept = np.ones(len(next(iter(made.values()))), dtype=bool)
    rows = dataset.indices("validation")
    if not len(rows):
        return kept
    learnt = plain_tokens(dataset, music_of(dataset, "train", config), config)
    others = plain_tokens(dataset, drawn_by_diet(dataset, rows, _OTHERS, config.part, seed), config)
    for part, tokens in made.items():
        drums = part == "drums"
        runs, runs_of_others = (longest_shared_runs(x, learnt[part], drums=drums) for x in (tokens, others[part]))
        kept &= runs <= np.quantile(runs_of_others, _ORDINARY)
        if len(made) > 1:
            least = np.quantile(density(others[part], drums=drums), 1.0 - _ORDINARY)
            kept &= density(tokens, drums=drums) >= least
    return kept
