"""The principal components that the upper levels of hierarchical models begin at."""

from dataclasses import replace

import pytest
import torch

from bridge.model.nets.hierarchy import Embeddings, HierarchicalVae
from bridge.model.nets.vae import rate_nats
from bridge.model.training.components import begin_at_components
from tests.small_models import SMALL_LONG_LINE, SMALL_TRIO

WINDOWS = 600
#: How many numbers each part's bars differ by here.
FREE = 3


def bars_of_few_numbers(parts, seed):
    """Windows (n, 16, P, 6) that, part by part, lie in a space of three dimensions, away from the origin; on average
    their bars are alike.
    """
    torch.manual_seed(seed)
    means = []
    for _ in range(parts):
        numbers = torch.randn(WINDOWS, FREE)
        means.append(((numbers - numbers.mean(0)) @ torch.randn(FREE, 16 * 6)).unflatten(1, (16, 6)) + torch.randn(6))
    whole = torch.stack(means, dim=2)
    return Embeddings(whole, torch.full_like(whole, 0.01))


@pytest.mark.parametrize("config", [SMALL_LONG_LINE, SMALL_TRIO], ids=lambda config: config.name)
def test_what_z_has_room_for_is_told_and_nothing_is_spent_beyond_the_free_nats(config):
    free_nats = 5.0 * FREE * len(config.bar_models)
    model = HierarchicalVae(replace(config, free_nats=free_nats)).eval()
    embedded = bars_of_few_numbers(len(config.bar_models), 1)
    with torch.no_grad():
        weights = begin_at_components(model, embedded)
        mean, spread = model.upper(embedded.means)
        rate = rate_nats(mean, spread).sum(-1).mean()
        told = model.conductor(mean + spread * torch.randn_like(mean))
    assert rate.item() == pytest.approx(free_nats, rel=0.02)
    away = (told - embedded.means).square().mean() / embedded.means.var()
    assert away < 3 * torch.exp(torch.tensor(-2 * 5.0))  # five nats a number leave so much of its variance untold
    assert {name for name, _ in model.named_parameters() if not name.startswith("bars.")} == set(weights)
    assert torch.allclose(weights["doubt"].exp(), (told - embedded.means).square().mean((0, 1)).sqrt(), atol=0.05)


def test_of_little_that_may_be_told_the_most_is_told_of_what_differs_most():
    config = replace(SMALL_LONG_LINE, free_nats=2.0)
    means = torch.zeros(WINDOWS, 16, 1, 6)
    torch.manual_seed(2)
    means[:, 0, 0, 0], means[:, 5, 0, 1] = 10.0 * torch.randn(WINDOWS), torch.randn(WINDOWS)
    model = HierarchicalVae(config).eval()
    with torch.no_grad():
        begin_at_components(model, Embeddings(means, torch.full_like(means, 0.01)))
        told = model.conductor(model.upper(means)[0])
    loud, soft = (told - means)[:, 0, 0, 0].var() / 100.0, (told - means)[:, 5, 0, 1].var()
    assert loud < 0.05
    assert soft > 0.9


def test_of_a_trio_a_part_is_told_by_its_own_third_of_z():
    """So far as the LSTMs say nothing, which they do when training begins."""
    model = HierarchicalVae(SMALL_TRIO).eval()
    embedded = bars_of_few_numbers(3, 3)
    with torch.no_grad():
        begin_at_components(model, embedded)
        z, _ = model.upper(embedded.means)
        z[:, 3:6] = 0.0  # the bass's of nine
        told, whole = model.conductor(z), model.conductor(model.upper(embedded.means)[0])
    assert torch.equal(told[:, :, (0, 2)], whole[:, :, (0, 2)])
    assert not torch.allclose(told[:, :, 1], whole[:, :, 1], atol=0.1)


@pytest.mark.parametrize("config", [SMALL_LONG_LINE, SMALL_TRIO], ids=lambda config: config.name)
def test_of_songs_too_few_to_fill_the_free_nats_it_is_told_what_there_is(config):
    model = HierarchicalVae(replace(config, free_nats=900.0)).eval()
    embedded = bars_of_few_numbers(len(config.bar_models), 4)
    with torch.no_grad():
        weights = begin_at_components(model, embedded)
        told = model.conductor(model.upper(embedded.means)[0])
        rate = rate_nats(*model.upper(embedded.means)).sum(-1).mean()
    assert all(bool(value.isfinite().all()) for value in weights.values())
    assert torch.allclose(told, embedded.means, atol=0.01)
    assert 5.0 * FREE * len(config.bar_models) < rate < 900.0


def test_windows_that_are_all_alike_are_a_beginning_too():
    model = HierarchicalVae(SMALL_TRIO).eval()
    one = bars_of_few_numbers(3, 5).means[:1].expand(WINDOWS, -1, -1, -1)
    with torch.no_grad():
        weights = begin_at_components(model, Embeddings(one, torch.full_like(one, 0.01)))
        told = model.conductor(model.upper(one)[0])
    assert all(bool(value.isfinite().all()) for value in weights.values())
    assert torch.allclose(told.mean((0, 1)), one.mean((0, 1)), atol=0.01)
