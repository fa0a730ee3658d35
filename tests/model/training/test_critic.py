"""The critic learns where the flow leaves mass and songs do not, the judge what the model plays and songs do not; they
say nothing where they have learnt nothing, and what is drawn and played heeds them.
"""

import numpy as np
import pytest
import torch
from small_models import SMALL_LINE, ring, small_model, windows_at

from bridge.model.nets import noise
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.flow import Flow
from bridge.model.playing import drawing, generation
from bridge.model.playing.candidates import chosen
from bridge.model.playing.decoding import Decoded
from bridge.model.playing.drawing import prior_point
from bridge.model.playing.framing import WindowTokens, to_bars
from bridge.model.playing.generation import sample_bars
from bridge.model.playing.steering import PLAIN
from bridge.model.training.critic_training import fit_critic, fit_judge
from bridge.music.grids import NO_EVENT


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


def test_the_judge_learns_what_only_the_model_plays():
    flow = Flow(2, 2).eval()
    generator = torch.Generator().manual_seed(7)
    played, besides = (0.5 * torch.randn(count, 2, generator=generator) for count in (3000, 500))
    fit_judge(flow, ring(4000, 1), ring(500, 2), played, besides, 3)
    with torch.inference_mode():
        assert (flow.verdict(ring(200, 8).means) > 2.0).all()
        assert flow.verdict(torch.zeros(1, 2)) < -2.0
    assert not flow.critic.speaks
    fit_judge(flow, ring(4000, 1), ring(500, 2), ring(3000, 3).means, ring(500, 4).means, 3)
    with torch.inference_mode():
        assert (flow.verdict(ring(200, 8).means).abs() < 0.3).all(), "what it plays is what songs are"


def steep(critic):
    """Odds that grow steeply along the first way."""
    with torch.no_grad():
        for name, value in critic.named_parameters():
            value.zero_()
            if name != "out.bias":
                value[(0,) * value.ndim] = 10.0 if name.endswith("bias") else 1.0
        critic.out.weight[0, 0] = 1000.0


def test_a_point_for_a_window_alone_is_the_draw_with_the_best_odds():
    model, flow, maps = small_model(SMALL_LINE)
    steep(flow.critic)
    compiled = CompiledModel(model, flow, torch.device("cpu"), maps=maps)
    size = SMALL_LINE.latent_size
    for seed in range(5):
        white = torch.from_numpy(noise.normal(seed, noise.LATENT, 32 * size)).view(32, size)
        draws = compiled.prior(torch.full((32,), 0.5), drawing._NOISE_ALONE[SMALL_LINE.name] * white)
        best = draws[flow.white(draws)[:, 0].argmax()]
        assert torch.equal(prior_point(compiled, seed), best)
        assert not torch.equal(prior_point(compiled, seed + 100), best)


def test_of_what_is_played_at_the_draws_the_one_with_the_best_odds_is_taken(monkeypatch):
    model, flow, maps = small_model(SMALL_LINE)
    steep(flow.judge)
    compiled = CompiledModel(model, flow, torch.device("cpu"), maps=maps)
    read = []
    means_of = generation.means_of

    def noted(model, windows):
        read.append((windows, means_of(model, windows)))
        return read[-1][1]

    monkeypatch.setattr(generation, "means_of", noted)
    taken = []
    for seed in range(8):
        made = sample_bars(compiled, 2, seed, 1.0)
        windows, means = read[-1]
        assert len(windows) == 4
        taken.append(int(flow.white(means)[:, 0].argmax()))
        assert made == to_bars([windows[taken[-1]]], generation._first_frame(compiled, PLAIN, seed), SMALL_LINE, 8.0)
        assert made == sample_bars(compiled, 2, seed, 1.0)
    assert len(set(taken)) > 1


def test_without_the_surprise_knob_the_best_odds_are_taken_and_never_silence():
    tokens = np.full(32, NO_EVENT)
    tokens[0] = 40
    rows = [Decoded(WindowTokens(tokens), np.full(32, -n / 32, dtype=np.float32)) for n in (1.0, 2.0, 3.0, 4.0)]
    odds = [0.0, 3.0, 9.0, 1.0]
    assert chosen(rows, None, SMALL_LINE, 32, odds=odds) == 2
    assert chosen(rows, None, SMALL_LINE, 32) == 0
    assert chosen(rows, 1.0, SMALL_LINE, 32, odds=odds) == 3, "the knob is the player's word"
    silent = Decoded(WindowTokens(np.full(32, NO_EVENT)), np.zeros(32, dtype=np.float32))
    assert chosen([silent, *rows], None, SMALL_LINE, 32, odds=[9.0, 0.0, 1.0, 0.0, 0.0]) == 2
