"""What is known about a model's latent space: where attributes lie, and which ways matter.

Both are linear and are fitted after training, on posteriors of unaugmented training songs; they are stored with the
weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

#: A whole amount of an attribute asks for this many standard deviations more (or less) of it.
_ATTRIBUTE_REACH = 1.5
_RIDGE = 1e-2


@dataclass(frozen=True, slots=True)
class LatentMaps:
    """Linear maps over latents of size Z.

    `attributes` (A, Z): the least step (as the prior measures steps) that raises an attribute by one standard
    deviation and leaves the others alone. `ways` (N, Z): latent directions of one standard deviation, the N most
    important ones, the most important first.
    """

    attributes: Tensor
    ways: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """The maps by name, for the weights file."""
        return {f"maps.{name}": getattr(self, name) for name in MAP_NAMES}

    def offset(self, names: tuple[str, ...], amounts: Mapping[str, float]) -> Tensor:
        """How far (Z,) to move for amounts of attributes (-1 to 1, by name).

        Raises:
            KeyError: an attribute that is not among `names`.
        """
        moved = self.ways.new_zeros(self.ways.shape[1])
        for name, amount in amounts.items():
            if name not in names:
                raise KeyError(name)
            moved = moved + _ATTRIBUTE_REACH * amount * self.attributes[names.index(name)]
        return moved


MAP_NAMES = ("attributes", "ways")


def fit_maps(means: Tensor, attributes: Tensor, ways: int) -> LatentMaps:
    """Fit the maps, with so many ways, to posterior means of windows (n, Z) with their attributes (n, A)."""
    return LatentMaps(attribute_directions(means, attributes), _ways(means, ways))


def _covariance(points: Tensor) -> Tensor:
    away = points - points.mean(0)
    covariance: Tensor = away.T @ away / max(1, len(points) - 1)
    return covariance + _RIDGE * torch.eye(points.shape[1])


def attribute_directions(means: Tensor, attributes: Tensor) -> Tensor:
    """The directions (A, Z): least squares from z to the attributes, then the cheapest step that moves one alone."""
    if attributes.shape[1] == 0:
        return means.new_zeros(0, means.shape[1])
    covariance = _covariance(means)
    away = means - means.mean(0)
    scaled = (attributes - attributes.mean(0)) / attributes.std(0).clamp_min(1e-6)
    weights = torch.linalg.solve(covariance, away.T @ scaled / max(1, len(means) - 1)).T
    reached = weights @ covariance @ weights.T
    lonely: Tensor = torch.linalg.solve(reached + 1e-4 * torch.eye(len(reached)), weights @ covariance)
    return lonely


def _ways(means: Tensor, count: int) -> Tensor:
    """Principal directions of the means (count, Z), each as long as its standard deviation, the longest first."""
    values, vectors = torch.linalg.eigh(_covariance(means) - _RIDGE * torch.eye(means.shape[1]))
    order = values.argsort(descending=True)[:count]
    ways: Tensor = vectors.T[order] * values[order].clamp_min(0.0).sqrt()[:, None]
    return ways
