"""Where the upper levels of a hierarchical model begin: at the principal components of embedded bars.

With no LSTM and as many numbers, no reading of bars that is linear tells more of them. Descent from random weights took
the most of an hour to come as far, and of trios, whose songs are few, it learnt the songs by heart on the way.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bridge.model.nets.config import ModelConfig
from bridge.model.nets.hierarchy import Embeddings, HierarchicalVae

_HALVINGS = 60
_LEAST = 1e-6
#: The least spread that a direction of z is given, in standard deviations: the encoder's own floor is half of it. Of a
#: few songs the bars differ in so few directions that each could tell more than that.
_SUREST = 2e-3


class _Part(NamedTuple):
    """The components of one part's bars: their mean (E,), what narrows a bar (S, E), the mean of narrowed windows
    (U S,), the directions (U S, K) in which windows differ most and their variances (K,).
    """

    mean: Tensor
    narrow: Tensor
    middle: Tensor
    ways: Tensor
    variances: Tensor


@torch.no_grad()
def begin_at_components(model: HierarchicalVae, embedded: Embeddings) -> dict[str, Tensor]:
    """Set the upper levels of a model, whose LSTMs say nothing yet, to the principal components of windows; returns the
    weights that were set, by name.

    Each direction of z is as sure as pays best where all together may tell `free_nats` (reverse water-filling; Cover
    and Thomas, Elements of Information Theory, 10.3.3): of every one as much is left untold, of those that vary less
    all. Where so few vary that `free_nats` would be more than they can tell, they tell what they can.
    """
    upper, conductor, config = model.upper, model.conductor, model.config
    parts = [_components(embedded.means[:, :, part], len(upper.narrow.weight) // len(model.bars), config)
             for part in range(len(model.bars))]  # fmt: skip
    variances = torch.cat([part.variances for part in parts])
    untold = (_left_untold(variances, config.free_nats) / variances).clamp(max=1.0)
    told = (1.0 - untold).sqrt()
    reads, tells, middles = [], [], []
    for part, share in zip(parts, told.chunk(len(parts)), strict=True):
        reading = (share / part.variances.sqrt())[:, None] * part.ways.T
        reads.append(reading)
        middles.append(-reading @ part.middle)
        tells.append(part.ways * (share * part.variances.sqrt()))
    spread = untold.sqrt().clamp_min(_SUREST)
    upper.mean.bias.copy_(torch.cat(middles))
    upper.spread.bias.copy_(torch.log(torch.expm1(spread - 1e-3)) - 0.5)
    upper.narrow.weight.copy_(torch.cat([part.narrow for part in parts]))
    upper.straight.weight.copy_(torch.cat(reads))
    conductor.straight.weight.copy_(torch.cat(tells))
    conductor.widen.weight.copy_(torch.cat([part.narrow.T for part in parts]))
    conductor.out.bias.copy_(torch.cat([part.mean for part in parts]))
    for silent in (upper.mean, upper.spread, conductor.out):
        silent.weight.zero_()
    away = (embedded.means - model.conductor(upper(embedded.means)[0])).square() + embedded.spreads.square()
    model.doubt.copy_(0.5 * away.mean((0, 1)).clamp_min(_LEAST).log())
    return {name: p.detach().clone() for name, p in model.named_parameters() if not name.startswith("bars.")}


def _components(bars: Tensor, narrow_to: int, config: ModelConfig) -> _Part:
    """Those of one part's bars (n, U, E)."""
    bars = bars.double()
    mean = bars.mean((0, 1))
    narrow = bars.new_zeros(narrow_to, bars.shape[2])
    directions, _ = _directions((bars - mean).flatten(0, 1), min(narrow_to, bars.shape[2]))
    narrow[: directions.shape[1]] = directions.T
    narrowed = ((bars - mean) @ narrow.T).flatten(1)
    middle = narrowed.mean(0)
    ways, variances = _directions(narrowed - middle, config.latent_size // len(config.bar_models))
    whole = middle + (narrow @ mean).repeat(bars.shape[1])
    return _Part(mean, narrow, whole, ways, variances.clamp_min(_LEAST))


def _directions(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` directions (N, count) in which points (n, N) differ most, and their variances there."""
    level = _LEAST**2 * torch.eye(points.shape[1], dtype=points.dtype)  # of points that are all alike nothing is found
    values, vectors = torch.linalg.eigh(points.T @ points / len(points) + level)
    return vectors.flip(1)[:, :count], values.flip(0)[:count]


def _left_untold(variances: Tensor, nats: float) -> float:
    """The variance that is left untold of each direction if all are to tell so many nats."""
    low, high = _LEAST**2, float(variances.max())
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        if 0.5 * (variances / middle).clamp_min(1.0).log().sum() > nats:
            low = middle
        else:
            high = middle
    return high
