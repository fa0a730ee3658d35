"""Readings of the hierarchical models: the same figures as for short windows, one `Readings` a part."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bridge.model.evaluation.scoring import Readings, gumbel, normal, others
from bridge.model.nets.hierarchy import HierarchicalVae
from bridge.model.nets.vae import Batch, bars_of, decode_eagerly, rate_nats

_CHUNK = 48


@torch.inference_mode()
def read_long_windows(
    model: HierarchicalVae, windows: Sequence[Batch], seed: int, temperature: float = 1.0
) -> list[Readings]:
    """Encode, sample z from the posterior, decode in every way that is scored; windows come as one batch a part.

    The wrong z of a window is that of another one (`others`). The model must be in float32.
    """
    generator = torch.Generator().manual_seed(seed)
    chunks = [slice(begin, begin + _CHUNK) for begin in range(0, len(windows[0].tokens), _CHUNK)]
    posteriors = [model.encode([batch.rows(chunk) for batch in windows]) for chunk in chunks]
    points = torch.cat([mean + spread * normal(mean, generator) for mean, spread in posteriors])
    whose = others(len(points), generator)
    wrong_points = points[whose]
    rate = torch.cat([rate_nats(mean, spread).cpu() for mean, spread in posteriors])
    found = []
    for part, batch in enumerate(windows):
        read: list[list[Tensor]] = [[] for _ in range(4)]
        for chunk in chunks:
            right, wrong = (model.conductor(z[chunk])[:, :, part].flatten(0, 1) for z in (points, wrong_points))
            made = _decoded(model, part, batch.rows(chunk), (right, wrong), generator, temperature)
            for into, value in zip(read, made, strict=True):
                into.append(value.cpu())
        forced, sampled, best, shuffled = (torch.cat(values) for values in read)
        tokens = batch.tokens.cpu()
        found.append(Readings(tokens, forced, sampled, best, shuffled, tokens[whose], rate))
    return found


def _decoded(
    model: HierarchicalVae,
    part: int,
    batch: Batch,
    told: tuple[Tensor, Tensor],
    generator: torch.Generator,
    heat: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tokens (B, T) forced, sampled, likeliest, and sampled from the wrong embeddings."""
    bar_model = model.bar_model(part)
    right, wrong = told
    bars = bars_of(batch).tokens
    logits = bar_model.decoder.logits(bar_model.decoder.states(bar_model.shifted(bars), right, 0.0))
    forced = (logits + bar_model.allowed).argmax(-1)
    shape = (*bars.shape, bar_model.config.classes)
    sampled, best, _ = decode_eagerly(bar_model, right, gumbel(shape, generator).to(bars.device), heat)
    shuffled, _, _ = decode_eagerly(bar_model, wrong, gumbel(shape, generator).to(bars.device), heat)
    forced, sampled, best, shuffled = (x.reshape(batch.tokens.shape) for x in (forced, sampled, best, shuffled))
    return forced, sampled, best, shuffled
