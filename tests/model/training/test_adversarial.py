"""A flow that is trained further against a discriminator draws more like songs, and again the same."""

import copy

import torch
from small_models import windows_at

from bridge.model.nets.flow import MEMORY, Flow
from bridge.model.training import adversarial


def drawn_mean(flow):
    white = torch.randn(4000, 8, generator=torch.Generator().manual_seed(4))
    nothing = torch.zeros(len(white), MEMORY, 8), torch.zeros(len(white), MEMORY)
    with torch.inference_mode():
        return flow(torch.full((len(white),), 0.5), white, *nothing).mean(0)


def test_draws_go_where_the_songs_are_and_again_the_same(monkeypatch):
    """By what the discriminator says alone: the likelihood, which would do it too, is left out."""
    for name, value in {"_LIKELIHOOD_SHARE": 0.0, "_BATCH": 64, "_RATE": 3e-3, "_WARM_STEPS": 1}.items():
        monkeypatch.setattr(adversarial, name, value)
    songs = windows_at(torch.randn(2000, 8, generator=torch.Generator().manual_seed(1)) + torch.tensor([1.5, -1.5] * 4))
    torch.manual_seed(2)
    fresh = Flow(8, 8).eval()
    for layer in fresh.layers:
        layer.rotation.copy_(torch.linalg.qr(torch.randn(8, 8))[0])
    before = (drawn_mean(fresh) - songs.means.mean(0)).norm()
    assert before > 3.5
    flows = [copy.deepcopy(fresh) for _ in range(2)]
    for flow in flows:
        adversarial.sharpen(flow, songs, 3, steps=60)
    assert (drawn_mean(flows[0]) - songs.means.mean(0)).norm() < 0.6 * before
    assert all(torch.equal(value, flows[1].state_dict()[name]) for name, value in flows[0].state_dict().items())
    assert not flows[0].training
