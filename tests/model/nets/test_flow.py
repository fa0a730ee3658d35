"""The flow is a density, draws from it, learns what follows, and is the same whenever it is fitted again."""

import copy

import numpy as np
import pytest
import torch
from small_models import small_flow

from bridge.model.data.chains import Chains, chains_of
from bridge.model.data.dataset import Dataset
from bridge.model.nets.config import CONFIGS
from bridge.model.nets.flow import Flow, flow_from, tensors_of
from bridge.model.nets.quantising import from_eight_bits, in_eight_bits
from bridge.model.training.flow_training import context_gains, fit_flow, space_of
from bridge.music.grids import NO_EVENT

SIZE = 6


@pytest.fixture(scope="module")
def flow():
    torch.manual_seed(3)
    return small_flow(SIZE, 4)


@pytest.mark.parametrize("known", [0, 3])
def test_the_density_is_that_of_what_is_drawn(known):
    """In two dimensions all of it can be seen: on a grid its mass is one, and its moments are those of draws."""
    torch.manual_seed(4)
    plane = small_flow(2, 2)
    with torch.no_grad():  # no narrower than the grid can show
        plane.return_scale.fill_(-0.3)
    present = torch.tensor([[float(place < known) for place in range(4)]])
    heard = torch.randn(1, 4, 2) * present[..., None]
    count = 40_000
    with torch.inference_mode():
        drawn = plane(torch.rand(count), torch.randn(count, 2), heard.expand(count, -1, -1), present.expand(count, -1))
        low, high = drawn.min(0).values - 2.0, drawn.max(0).values + 2.0
        axes = [torch.linspace(a, b, 241) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
        grid = torch.cartesian_prod(*axes)
        told = heard.expand(len(grid), -1, -1), present.expand(len(grid), -1)
        mass = plane.log_density(grid, *told).exp() * (high - low).prod() / 240**2
    assert mass.sum().item() == pytest.approx(1.0, abs=0.01)
    mean = mass @ grid
    assert torch.allclose(drawn.mean(0), mean, atol=0.05)
    assert torch.allclose(torch.cov(drawn.T), (mass[:, None] * (grid - mean)).T @ (grid - mean), rtol=0.05, atol=0.05)


def test_with_nothing_before_what_stands_there_does_not_count(flow):
    rows = 5
    z = torch.randn(rows, SIZE)
    absent = torch.zeros(rows, 4)
    with torch.inference_mode():
        one = flow.log_density(z, torch.randn(rows, 4, SIZE), absent)
        other = flow.log_density(z, torch.zeros(rows, 4, SIZE), absent)
    assert torch.allclose(one, other)


def test_what_is_new_can_be_drawn_near_to_the_last_window_and_as_far_out(flow):
    rows, ways = 200, flow.ways
    noise, context = torch.randn(rows, SIZE), torch.randn(1, 4, SIZE).expand(rows, -1, -1)
    one, new, back = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(rows, -1), torch.zeros(rows), torch.ones(rows)
    with torch.inference_mode():
        plain, near = (flow.white(flow(new, noise, context, one, share))[:, :ways] for share in (0.0, 0.8))
        last = flow.white(context[:, 0])[:, :ways]
        towards = 0.8 * last + 0.6 * plain
        assert (torch.cosine_similarity(near, towards) > 0.999).all()
        far = torch.lerp(plain.norm(dim=1), last.norm(dim=1), 0.8)
        assert torch.allclose(near.norm(dim=1), far, rtol=1e-3)
        returned = [flow(back, noise, context, one, share) for share in (0.0, 0.8)]
        alone = [flow(new, noise, context, torch.zeros(rows, 4), share) for share in (0.0, 0.8)]
    for without, with_it in (returned, alone):
        assert torch.equal(without, with_it)


def test_stored_and_read_again_it_is_the_same(flow):
    tensors = {name: value.clone() for name, value in tensors_of(flow).items()} | {"else": torch.ones(1)}
    again = flow_from(tensors)
    assert list(tensors) == ["else"]
    for name, value in flow.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], atol=1e-6)


def test_without_the_ways_that_tell_nothing_it_draws_and_judges_as_before(flow):
    small = copy.deepcopy(flow)
    small.keep_ways_that_tell()
    assert small.whitening.shape == (4, SIZE)
    again = flow_from({name: value.clone() for name, value in tensors_of(small).items()})
    rows = 60
    choice, before = torch.rand(rows), torch.ones(rows, 4)
    noise, context, z = torch.randn(rows, SIZE), torch.randn(rows, 4, SIZE), torch.randn(rows, SIZE)
    with torch.inference_mode():
        for other in (small, again):
            assert torch.allclose(
                other(choice, noise, context, before), flow(choice, noise, context, before), atol=1e-5
            )
            assert torch.allclose(other.odds(z), flow.odds(z), atol=1e-5)
            gain, same = (
                it.log_density(z, context, before) - it.log_density(z, context, 0.0 * before) for it in (other, flow)
            )
            assert torch.allclose(gain, same, atol=1e-3)


def test_a_critic_that_says_nothing_is_not_stored():
    quiet = small_flow(SIZE, 4)
    quiet.critic.load_state_dict({name: torch.zeros_like(x) for name, x in quiet.critic.state_dict().items()})
    tensors = tensors_of(quiet)
    assert not [name for name in tensors if "critic" in name]
    again = flow_from(dict(tensors))
    assert not again.critic.speaks
    assert (again.odds(torch.randn(9, SIZE)) == 0.0).all()


def test_draws_between_exemplars_are_near_the_first_and_as_far_out(flow):
    held = copy.deepcopy(flow)
    points = torch.randn(50, SIZE)
    held.set_exemplars(points)
    first, second = torch.arange(50), torch.arange(50).roll(1)
    with torch.inference_mode():
        same, drawn = (held.white(held.between(first, other, 0.2))[:, : held.ways] for other in (first, second))
        songs = held.white(points)[:, : held.ways]
    assert torch.allclose(same, songs, atol=1e-4)
    to_first, to_second = (drawn - songs).norm(dim=1), (drawn - songs.roll(1, 0)).norm(dim=1)
    assert (to_first > 0.01).all()
    assert (to_first < to_second).all()
    sizes = songs.norm(dim=1)
    assert torch.allclose(drawn.norm(dim=1), 0.8 * sizes + 0.2 * sizes.roll(1), atol=1e-4)
    again = flow_from(tensors_of(held))
    assert torch.allclose(again.exemplars, held.exemplars)
    assert "prior.exemplars" not in tensors_of(flow)


def walk(count, seed):
    """Chains of a made-up music: each window is near the one before, or comes back to the one before that."""
    rng = np.random.default_rng(seed)
    points = [rng.normal(size=SIZE), rng.normal(size=SIZE)]
    for _ in range(count - 2):
        new = 0.8 * points[-1] + 0.6 * rng.normal(size=SIZE)
        points.append(points[-2] if rng.random() < 0.3 else new)
    means = torch.tensor(np.array(points), dtype=torch.float32)
    before = torch.arange(count)[:, None] - torch.arange(4)[None]
    after = torch.arange(1, count + 1)
    after[-1] = -1
    return Chains(
        means, torch.full((count, SIZE), 0.1), before.clamp_min(-1), after,
        np.arange(count), np.zeros((count, 5), dtype=np.int64), np.zeros(count, dtype=np.int64),
        np.full(count, 1.0 / count),
    )  # fmt: skip


def test_what_follows_is_learnt_and_again_the_same():
    train, held_out = walk(3000, 1), walk(600, 2)
    fitted = fit_flow(train, held_out, 4, steps=50)
    assert context_gains(fitted, held_out, 1).mean().item() > 2.0
    again = fit_flow(train, held_out, 4, steps=50)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in fitted.state_dict().items())


def test_the_space_is_white_and_what_tells_apart_comes_first():
    generator = torch.Generator().manual_seed(5)
    means = torch.randn(4000, 5, generator=generator) * torch.tensor([0.0, 2.0, 0.0, 1.0, 0.5])
    spreads = torch.tensor([1.0, 0.1, 1.0, 0.2, 0.8]).expand(4000, -1)
    centre, rows, ways = space_of(means, spreads)
    samples = means + spreads * torch.randn(4000, 5, generator=generator)
    white = (samples - centre) @ rows.T
    assert torch.allclose(torch.cov(white.T), torch.eye(5), atol=0.1)
    assert ways == 2
    signal = torch.cov(((means - centre) @ rows.T).T).diagonal()
    assert (signal.diff() <= 1e-3).all()


def test_chains_stand_in_one_octave_and_in_their_own_key():
    """Three windows in a row, the last kept a fourth lower than it stood: it is read as it stood."""
    tokens = np.full((3, 32), NO_EVENT, dtype=np.uint8)
    tokens[0, [0, 8]], tokens[1, [0, 8]], tokens[2, [0, 8]] = (10, 12), (14, 15), (11, 17)
    nothing = np.zeros(0)
    dataset = Dataset(
        ("own",), tokens, np.zeros(3, int), np.zeros(3, int), np.zeros(3, int), np.array([1, 2, -1]), nothing, nothing,
        nothing, np.array([[-1, -1, -1], [0, -1, -1], [1, 0, -1]]), np.array([[0] * 4, [0, 0, 0, 5], [0] * 4]),
    )  # fmt: skip
    asked = []

    def posteriors(rows, moved):
        asked.extend(zip(rows.tolist(), moved.tolist(), strict=True))
        means = torch.tensor(np.stack([rows, moved], 1), dtype=torch.float32)
        return means, torch.ones_like(means)

    chains = chains_of(dataset, np.array([1]), CONFIGS["melody-2bar"], posteriors)
    means, present = chains.context(chains.followed())
    octaves = means[0, 0, 1].item()
    assert octaves in (12, 24, 36)
    assert means[0].tolist() == [[1, octaves], [0, octaves], [0, 0], [0, 0]]
    assert present.tolist() == [[1, 1, 0, 0]]
    assert chains.means[chains.after[0]].tolist() == [2, octaves + 5]
    assert sorted(set(asked)) == [(0, octaves), (1, octaves), (2, octaves + 5)]


def test_rotations_are_made_and_not_stored():
    wide = small_flow(8, 6)
    assert not [name for name in tensors_of(wide) if "rotation" in name]
    turns = [layer.rotation for layer in flow_from(tensors_of(wide)).layers]
    for turn, same in zip(turns, wide.layers, strict=True):
        assert torch.equal(turn, same.rotation)
        assert torch.allclose(turn @ turn.T, torch.eye(6), atol=1e-5)
    assert not torch.allclose(turns[0], turns[1], atol=0.1)


def test_a_flow_has_as_many_layers_as_its_file():
    short = Flow(8, 6, layers=3)
    assert len(flow_from(tensors_of(short)).layers) == 3


def test_a_rotation_that_was_stored_coarsely_is_one_again():
    """The flow goes back by the transpose: eight bits alone would leave it off by hundredths."""
    torch.manual_seed(5)
    wide = small_flow(96, 64)
    with torch.no_grad():
        for layer in wide.layers:
            layer.rotation.copy_(torch.linalg.qr(torch.randn(64, 64))[0])
    turns = {f"prior.layers.{number}.rotation": layer.rotation for number, layer in enumerate(wide.layers)}
    stored = in_eight_bits(tensors_of(wide) | turns)
    assert stored["prior.layers.0.rotation"].dtype == torch.int8
    coarse = from_eight_bits(stored)
    identity = torch.eye(64)
    turned = coarse["prior.layers.0.rotation"]
    assert (turned @ turned.T - identity).abs().max() > 1e-3
    for ours, theirs in zip(flow_from(coarse).layers, wide.layers, strict=True):
        assert (ours.rotation @ ours.rotation.T - identity).abs().max() < 1e-5
        assert (ours.rotation - theirs.rotation).abs().max() < 0.01
