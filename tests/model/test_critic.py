"""The critic learns where the flow leaves mass and songs do not, says nothing where it has learnt nothing, and what is
drawn heeds it.
"""

import numpy as np
import pytest
import torch
from small_models import SMALL_LINE, small_model

from bridge.model import noise
from bridge.model.chains import Chains
from bridge.model.compiled import CompiledModel
from bridge.model.critic_training import fit_critic
from bridge.model.flow import Flow
from bridge.model.generation import prior_point


def windows_at(means):
    """Chains of one window each."""
    count = len(means)
    before = torch.full((count, 4), -1)
    before[:, 0] = torch.arange(count)
    return Chains(
        means, torch.full_like(means, 0.1), before, torch.full((count,), -1),
        np.arange(count), np.zeros((count, 5), dtype=np.int64), np.full(count, 1.0 / count),
    )  # fmt: skip


def ring(count, seed):
    turns = 2.0 * torch.pi * torch.rand(count, generator=torch.Generator().manual_seed(seed))
    return windows_at(2.0 * torch.stack([turns.cos(), turns.sin()], 1))


def test_it_learns_that_nothing_is_in_the_middle_of_a_ring_and_again_the_same():
    flow, again = Flow(2, 2).eval(), Flow(2, 2).eval()  # draws of N(0, 1): most of them inside the ring
    for each in (flow, again):
        fit_critic(each, ring(4000, 1), ring(500, 2), 3)
    assert all(torch.equal(value, again.critic.state_dict()[name]) for name, value in flow.critic.state_dict().items())
    with torch.inference_mode():
        draws = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(4))
        odds = flow.odds(draws)
        kept = draws[torch.multinomial(odds.exp(), 4000, generator=torch.Generator().manual_seed(5))]
    assert draws.norm(dim=1).lt(1.4).float().mean() > 0.55
    assert kept.norm(dim=1).lt(1.4).float().mean() < 0.2
    assert odds.exp().mean().item() == pytest.approx(1.0, abs=0.3)  # a ratio of densities


def test_what_held_out_songs_do_not_bear_out_is_not_said():
    flow = Flow(2, 2).eval()
    held_out = windows_at(torch.randn(2000, 2, generator=torch.Generator().manual_seed(6)))
    fit_critic(flow, ring(4000, 1), held_out, 3)
    assert (flow.odds(torch.randn(50, 2)) == 0.0).all()


def test_a_point_for_a_window_alone_is_the_draw_with_the_best_odds():
    model, flow, maps = small_model(SMALL_LINE)
    with torch.no_grad():  # odds that grow steeply along the first way
        for name, value in flow.critic.named_parameters():
            value.zero_()
            if name != "out.bias":
                value[(0,) * value.ndim] = 10.0 if name.endswith("bias") else 1.0
        flow.critic.out.weight[0, 0] = 1000.0
    compiled = CompiledModel(model, flow, torch.device("cpu"), maps=maps)
    size = SMALL_LINE.latent_size
    for seed in range(5):
        white = torch.from_numpy(noise.normal(seed, noise.LATENT, 32 * size)).view(32, size)
        draws = compiled.prior(torch.full((32,), 0.5), 0.98 * white)
        best = draws[flow.white(draws)[:, 0].argmax()]
        assert torch.equal(prior_point(compiled, seed), best)
        assert not torch.equal(prior_point(compiled, seed + 100), best)
