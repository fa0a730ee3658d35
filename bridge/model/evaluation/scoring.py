"""Figures about one set of windows: step accuracies, note F1, rate. Used by training (to choose) and by `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets.vae import Batch, MusicVae, decode_eagerly, hit_bits, rate_nats
from bridge.music.grids import PITCHES

ACTIVE_NATS = 0.1
_CHUNK = 512


@dataclass(slots=True)
class Readings:
    """What the model made of n windows of T steps; all on the CPU.

    `forced` is the teacher-forced argmax, `sampled` what was played, `best` the argmax under the sampled history,
    `shuffled` what was played from another window's z, `other` that window itself, `rate` (n, Z) in nats.
    """

    truth: Tensor
    forced: Tensor
    sampled: Tensor
    best: Tensor
    shuffled: Tensor
    other: Tensor
    rate: Tensor


def gumbel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Gumbel noise from a seeded generator."""
    uniform = torch.rand(shape, generator=generator).clamp_(1e-9, 1 - 1e-7)
    return -torch.log(-torch.log(uniform))


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Normal noise of the shape of `like`, from a seeded generator."""
    return torch.randn(like.shape, generator=generator).to(like.device)


def others(count: int, generator: torch.Generator) -> Tensor:
    """For each of `count` windows the number of another one (count,), drawn from all of them, each taken once: its
    neighbour may well be of the same song.
    """
    order = torch.randperm(count, generator=generator)
    whose = torch.empty_like(order)
    whose[order] = order.roll(1)
    return whose


@torch.inference_mode()
def read_windows(model: MusicVae, batch: Batch, seed: int, temperature: float = 1.0) -> Readings:
    """Encode, sample z from the posterior, decode in every way that is scored. The model must be in float32.

    The wrong z of a window is that of another one (`others`).
    """
    generator = torch.Generator().manual_seed(seed)
    device = batch.tokens.device
    chunks = [slice(begin, begin + _CHUNK) for begin in range(0, len(batch.tokens), _CHUNK)]
    posteriors = [model.encoder(batch.rows(chunk)) for chunk in chunks]
    points = torch.cat([mean + spread * normal(mean, generator) for mean, spread in posteriors])
    whose = others(len(points), generator)
    wrong_points = points[whose]
    parts: list[list[Tensor]] = [[] for _ in range(5)]
    for chunk, (mean, spread) in zip(chunks, posteriors, strict=True):
        part, z = batch.rows(chunk), points[chunk]
        forced = model.decoder.logits(model.decoder.states(model.shifted(part.tokens), z, 0.0)) + model.allowed
        shape = (*part.tokens.shape, model.config.classes)
        sampled, best, _ = decode_eagerly(model, z, gumbel(shape, generator).to(device), temperature)
        wrong, _, _ = decode_eagerly(model, wrong_points[chunk], gumbel(shape, generator).to(device), temperature)
        for into, value in zip(parts, (forced.argmax(-1), sampled, best, wrong, rate_nats(mean, spread)), strict=True):
            into.append(value.cpu())
    forced_all, sampled_all, best_all, shuffled_all, rate = (torch.cat(part) for part in parts)
    tokens = batch.tokens.cpu()
    return Readings(tokens, forced_all, sampled_all, best_all, shuffled_all, tokens[whose], rate)


def step_accuracy(played: Tensor, truth: Tensor) -> float:
    """The share of steps with the right token, "no event" counted."""
    return float((played == truth).float().mean())


def onset_counts(played: Tensor, truth: Tensor, *, drums: bool) -> tuple[int, int, int]:
    """Notes right, notes played, notes there: an onset with the right pitch (or class) on the right step."""
    if drums:
        ours, theirs = hit_bits(played), hit_bits(truth)
        return int((ours & theirs).sum()), int(ours.sum()), int(theirs.sum())
    ours, theirs = played < PITCHES, truth < PITCHES
    return int((ours & theirs & (played == truth)).sum()), int(ours.sum()), int(theirs.sum())


def note_f1(played: Tensor, truth: Tensor, *, drums: bool) -> float:
    """F1 of onsets over a set of windows."""
    right, ours, theirs = onset_counts(played, truth, drums=drums)
    return 2.0 * right / max(1, ours + theirs)


def macro_note_f1(played: Tensor, truth: Tensor, sources: np.ndarray[Any, Any], *, drums: bool) -> float:
    """Note F1 averaged over sources (n,), each source counting the same."""
    scores = []
    for source in np.unique(sources):
        rows = torch.from_numpy(np.flatnonzero(sources == source))
        scores.append(note_f1(played[rows], truth[rows], drums=drums))
    return float(np.mean(scores))


def chance_accuracy(truth: Tensor) -> float:
    """The step accuracy of always playing the commonest token."""
    return float(torch.bincount(truth.flatten()).max()) / truth.numel()
