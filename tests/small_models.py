"""Models with few parameters and random weights, for what must hold whatever the weights are."""

import numpy as np
import torch
from torch import Tensor

from bridge.model.data.chains import Chains
from bridge.model.nets.config import ModelConfig, Part
from bridge.model.nets.flow import Flow
from bridge.model.nets.hierarchy import HierarchicalVae
from bridge.model.nets.latent_maps import LatentMaps, fit_maps
from bridge.model.nets.vae import MusicVae

SMALL_LINE = ModelConfig("melody-2bar", "melody", 2, 8, 12, 16, free_nats=5.0, lowest=48, highest=88, embedding_size=8)
SMALL_DRUMS = ModelConfig("drums-2bar", "drums", 2, 8, 12, 16, free_nats=5.0, embedding_size=8, dynamics_size=12)


def small_model(config: ModelConfig) -> tuple[MusicVae, Flow, LatentMaps]:
    """A model with random weights, sharp enough that its logits differ, a prior with a memory, and its maps."""
    torch.manual_seed(5)
    model = MusicVae(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
    return model, *_beside(config)


def small_flow(size: int, ways: int) -> Flow:
    """A flow with random weights over latents of a size."""
    flow = Flow(size, ways)
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            if not name.endswith("rotation"):
                parameter.add_(0.05 * torch.randn_like(parameter))
    flow.set_space(torch.randn(size), torch.eye(size) + 0.3 * torch.randn(size, size))
    return flow.eval()


def _beside(config: ModelConfig) -> tuple[Flow, LatentMaps]:
    size = config.latent_size
    points = torch.randn(200, size)
    measured = points[:, : len(config.mapped)] + torch.randn(200, len(config.mapped)) / 10
    return small_flow(size, size - 2), fit_maps(points, measured, size)


def _small_bar(part: Part, classes: tuple[int, int] = (0, 0)) -> ModelConfig:
    return ModelConfig(f"{part}-1bar", part, 1, 6, 10, 12, 3.0, *classes, embedding_size=8, dynamics_size=12)


SMALL_BARS = (_small_bar("melody", (48, 88)), _small_bar("bass", (28, 55)), _small_bar("drums"))
SMALL_LONG_LINE = ModelConfig("melody-16bar", "melody", 16, 8, 12, 16, 5.0, 48, 88, bar_models=SMALL_BARS[:1])
SMALL_LONG_DRUMS = ModelConfig("drums-16bar", "drums", 16, 8, 12, 16, 5.0, bar_models=SMALL_BARS[2:])
SMALL_TRIO = ModelConfig("trio-16bar", "trio", 16, 9, 12, 16, 5.0, bar_models=SMALL_BARS)


def small_hierarchy(config: ModelConfig) -> tuple[HierarchicalVae, Flow, LatentMaps]:
    """A hierarchical model with random weights, and a prior and maps as `small_model` makes them."""
    torch.manual_seed(6)
    model = HierarchicalVae(config).eval()
    with torch.no_grad():
        for last in (model.upper.straight, model.conductor.widen):  # these begin at nothing
            last.weight.normal_(0.0, 0.05)
        for parameter in model.parameters():
            parameter.mul_(2.5)
    return model, *_beside(config)


def windows_at(means: Tensor) -> Chains:
    """Chains of one window each."""
    count = len(means)
    before = torch.full((count, 4), -1)
    before[:, 0] = torch.arange(count)
    return Chains(
        means, torch.full_like(means, 0.1), before, torch.full((count,), -1),
        np.arange(count), np.zeros((count, 5), dtype=np.int64), np.zeros(count, dtype=np.int64),
        np.full(count, 1.0 / count),
    )  # fmt: skip


def ring(count: int, seed: int) -> Chains:
    """Windows on a circle of radius 2, one each."""
    turns = 2.0 * torch.pi * torch.rand(count, generator=torch.Generator().manual_seed(seed))
    return windows_at(2.0 * torch.stack([turns.cos(), turns.sin()], 1))
