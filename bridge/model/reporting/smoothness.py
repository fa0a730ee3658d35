"""How smooth the way between two loops is: the morph knob turned from one to the other, in small steps and large.

The form is that of the paper's figures: Hamming distance to A along the way, the 5-gram's cost on it relative to the
ends', each beside naive mixing, in which every step is A's or B's by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridge.model.evaluation.realism import NGram
from bridge.model.evaluation.statistics import spearman
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import Part
from bridge.model.nets.noise import derived
from bridge.model.playing.morphing import morph_at, prepare_morph
from bridge.model.reporting.held_out import tokens_of_loops
from bridge.music.grids import Floats, Ints
from bridge.music.measures import density
from bridge.music.notes import Bars

PLACES = 9
MOVE = 0.02
_MIDDLE = PLACES // 2
_CLEARLY = 0.9
_NEAR = 0.15


def way_tokens(
    model: CompiledModel, pair: tuple[Bars, Bars], places: Sequence[float], seed: int, temperature: float
) -> dict[Part, Ints]:
    """What plays with the morph knob at each of the places: tokens (n, T) by part."""
    morph = prepare_morph(model, pair, seed, temperature)
    return tokens_of_loops([morph_at(model, morph, x) for x in places], model.config)


def interpolation(
    model: CompiledModel,
    pairs: Sequence[tuple[Bars, Bars]],
    ngrams: Mapping[Part, NGram],
    seed: int,
    temperature: float,
) -> dict[str, Any]:
    """The figures of `PLACES` even places on the way between the loops of each pair.

    `hamming` (mean share of steps that are not A's, by place), `monotone_share` (pairs whose distance to A has
    Spearman >= .9 with the place), `cost` and `cost_mixed` (mean n-gram cost by place, in units of the ends' mean),
    `excess` (the cost of the middle above the ends', nats a window), `excess_mixed`, `excess_ratio` (of the two),
    `density_middle` (mean density of the middle over the ends'), `density_near_share` (pairs within 15 %).
    """
    places = np.linspace(0.0, 1.0, PLACES)
    rng = np.random.default_rng(seed)
    hamming, costs, mixed, full = [], [], [], []
    for index, pair in enumerate(pairs):
        ways = way_tokens(model, pair, places.tolist(), derived(seed, index), temperature)
        hamming.append(np.mean([(way != way[:1]).mean(1) for way in ways.values()], axis=0))
        naive = {part: mixed_way(way[0], way[-1], places, rng) for part, way in ways.items()}
        costs.append(np.sum([ngrams[part].costs(way) for part, way in ways.items()], axis=0))
        mixed.append(np.sum([ngrams[part].costs(way) for part, way in naive.items()], axis=0))
        full.append(np.sum([density(way, drums=part == "drums") for part, way in ways.items()], axis=0))
    return _told(np.stack(hamming), np.stack(costs), np.stack(mixed), np.stack(full), places)


def mixed_way(a: Ints, b: Ints, places: Floats, rng: np.random.Generator) -> Ints:
    """Naive mixing (n, T): each step is B's with the chance of the place, else A's."""
    chosen: Ints = np.where(rng.random((len(places), len(a))) < places[:, None], b[None], a[None])
    return chosen


def _told(hamming: Floats, costs: Floats, mixed: Floats, full: Floats, places: Floats) -> dict[str, Any]:
    rank = np.array([spearman(places, row) for row in hamming])
    ends = (costs[:, 0] + costs[:, -1]) / 2.0
    excess, naive = (costs[:, _MIDDLE] - ends).mean(), (mixed[:, _MIDDLE] - ends).mean()
    fullness = full[:, _MIDDLE] / ((full[:, 0] + full[:, -1]) / 2.0)
    return {
        "pairs": len(hamming),
        "places": places.round(3).tolist(),
        "hamming": hamming.mean(0).round(4).tolist(),
        "monotone_share": round(float((rank >= _CLEARLY).mean()), 4),
        "spearman_median": round(float(np.median(rank)), 4),
        "cost": (costs.mean(0) / ends.mean()).round(4).tolist(),
        "cost_mixed": (mixed.mean(0) / ends.mean()).round(4).tolist(),
        "excess": round(float(excess), 3),
        "excess_mixed": round(float(naive), 3),
        "excess_ratio": round(float(excess / naive), 4),
        "density_middle": round(float(full[:, _MIDDLE].mean() / ((full[:, 0] + full[:, -1]) / 2.0).mean()), 4),
        "density_near_share": round(float((np.abs(fullness - 1.0) <= _NEAR).mean()), 4),
    }


def small_moves(
    model: CompiledModel, pairs: Sequence[tuple[Bars, Bars]], seed: int, temperature: float
) -> dict[str, Any]:
    """The figures of a knob turned from A to B by 2 % at a time: the share of steps that a move changes (mean over all
    moves, 99th percentile, most), and the share of moves that change nothing.
    """
    places = np.linspace(0.0, 1.0, round(1.0 / MOVE) + 1)
    changes = []
    for index, pair in enumerate(pairs):
        ways = way_tokens(model, pair, places.tolist(), derived(seed, index), temperature)
        changes.append(np.mean([(way[1:] != way[:-1]).mean(1) for way in ways.values()], axis=0))
    share = np.stack(changes)
    return {
        "pairs": len(share),
        "moves": share.size,
        "mean": round(float(share.mean()), 4),
        "p99": round(float(np.quantile(share, 0.99)), 4),
        "most": round(float(share.max()), 4),
        "nothing_share": round(float((share == 0.0).mean()), 4),
        "ends_apart": round(float(np.mean([_apart(model, pair) for pair in pairs])), 4),
    }


def _apart(model: CompiledModel, pair: tuple[Bars, Bars]) -> float:
    """The share of steps in which two loops of one length differ."""
    tokens = tokens_of_loops(list(pair), model.config)
    return float(np.mean([(both[0] != both[1]).mean() for both in tokens.values()]))
