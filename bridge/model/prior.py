"""The second-stage prior: a Gaussian mixture fitted to where real windows lie in the latent space.

N(0, 1) is what training pulls towards, not where the music ends up: its samples are poor. A few full-covariance
Gaussians over posterior samples of unaugmented training songs are far nearer; how many is chosen by held-out
likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_ITERATIONS = 25
_SHRINKAGE = 0.02


@dataclass(frozen=True, slots=True)
class Mixture:
    """Weights (K,), means (K, Z) and lower Cholesky factors (K, Z, Z) of the covariances."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def log_likelihood(self, z: Tensor) -> Tensor:
        """Log density (n,) in nats of points (n, Z)."""
        return torch.logsumexp(self.joint(z), dim=1)

    def joint(self, z: Tensor) -> Tensor:
        """Log density (n, K) of points with each component, its weight included."""
        size = z.shape[1]
        terms = []
        for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True):
            white = torch.linalg.solve_triangular(factor, (z - mean).T, upper=False)
            log_determinant = factor.diagonal().log().sum()
            terms.append(weight.log() - 0.5 * white.square().sum(0) - log_determinant)
        return torch.stack(terms, 1) - 0.5 * size * math.log(2.0 * math.pi)


def fit_mixture(z: Tensor, held_out: Tensor, seed: int, choices: tuple[int, ...] = (1, 2, 4, 6)) -> Mixture:
    """The mixture of points z (n, Z) whose number of components has the best likelihood on `held_out` (m, Z)."""
    best: Mixture | None = None
    best_score = -math.inf
    for components in choices:
        if components > 1 and len(z) < 40 * components * z.shape[1]:
            continue
        mixture = _fitted(z, components, torch.Generator().manual_seed(seed))
        score = float(mixture.log_likelihood(held_out).mean())
        if score > best_score:
            best, best_score = mixture, score
    assert best is not None
    return best


def _fitted(z: Tensor, components: int, generator: torch.Generator) -> Mixture:
    """Expectation-maximisation from random responsibilities around random points."""
    seeds = z[torch.randperm(len(z), generator=generator)[:components]]
    share = torch.softmax(-torch.cdist(z, seeds).square() / z.shape[1], dim=1)
    mixture = _maximised(z, share)
    for _ in range(_ITERATIONS if components > 1 else 0):
        joint = mixture.joint(z)
        mixture = _maximised(z, torch.softmax(joint, dim=1))
    return mixture


def _maximised(z: Tensor, share: Tensor) -> Mixture:
    """The mixture given each point's share in each component (n, K); covariances shrink towards their diagonal."""
    counts = share.sum(0).clamp_min(1.0)
    means = share.T @ z / counts[:, None]
    factors = []
    for k in range(share.shape[1]):
        away = z - means[k]
        covariance = (away * share[:, k : k + 1]).T @ away / counts[k]
        diagonal = torch.diag(covariance.diagonal().clamp_min(1e-4))
        factors.append(torch.linalg.cholesky((1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal))
    return Mixture(counts / counts.sum(), means, torch.stack(factors))
