"""The fitted prior finds the mixture that made its points."""

import pytest
import torch

from bridge.model.prior import Mixture, fit_mixture


def draw(mixture, count, seed):
    generator = torch.Generator().manual_seed(seed)
    component = torch.multinomial(mixture.weights, count, replacement=True, generator=generator)
    white = torch.randn(count, mixture.means.shape[1], generator=generator)
    return mixture.means[component] + torch.einsum("nij,nj->ni", mixture.factors[component], white)


TWO = Mixture(
    torch.tensor([0.3, 0.7]),
    torch.tensor([[-3.0, 0.0, 0.0], [3.0, 1.0, 0.0]]),
    torch.tensor([[[1.0, 0, 0], [0.5, 0.5, 0], [0, 0, 1.0]], [[0.3, 0, 0], [0, 1.0, 0], [0, 0.7, 0.2]]]),
)


def test_two_clusters_are_found_with_their_shapes():
    fitted = fit_mixture(draw(TWO, 6000, 1), draw(TWO, 1000, 2), 0, choices=(1, 2))
    assert len(fitted.weights) == 2
    order = fitted.means[:, 0].argsort()
    assert torch.allclose(fitted.weights[order], TWO.weights, atol=0.03)
    assert torch.allclose(fitted.means[order], TWO.means, atol=0.1)
    for found, true in zip(fitted.factors[order], TWO.factors, strict=True):
        assert torch.allclose(found @ found.T, true @ true.T, atol=0.15)


def test_likelihood_is_that_of_the_normal():
    plain = Mixture(torch.tensor([1.0]), torch.zeros(1, 4), torch.eye(4)[None])
    z = torch.randn(50, 4, generator=torch.Generator().manual_seed(3))
    expected = torch.distributions.MultivariateNormal(torch.zeros(4), torch.eye(4)).log_prob(z)
    assert torch.allclose(plain.log_likelihood(z), expected, atol=1e-5)


def test_one_cluster_is_not_made_two():
    one = Mixture(torch.tensor([1.0]), torch.zeros(1, 3), TWO.factors[:1])
    fitted = fit_mixture(draw(one, 1000, 1), draw(one, 1000, 2), 0, choices=(1, 2, 4))
    truth = one.log_likelihood(draw(one, 1000, 3)).mean()
    assert fitted.log_likelihood(draw(one, 1000, 3)).mean().item() == pytest.approx(truth.item(), abs=0.05)


def test_few_points_get_a_prior_all_the_same():
    few = draw(TWO, 5, 1)
    fitted = fit_mixture(few, few, 0)
    assert torch.isfinite(fitted.log_likelihood(few)).all()
