"""Playing with a frozen model: biases on its logits. None of this needs retraining, and all of it can be undone.

A bias is a tensor (T, C) added to the logits of each step: 0 leaves a class alone, negative numbers (in nats) make it
rarer, `FORBIDDEN` rules it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bridge.model.config import ModelConfig
from bridge.model.framing import WindowTokens
from bridge.music.grids import LOWEST_PITCH, PITCHES, Ints

FORBIDDEN = -1e9
_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_SOFT_KEY_NATS = -2.5
_REGISTER_ROOM = 5
_REGISTER_NATS_A_SEMITONE = -0.4
Binding = Literal["off", "soft", "hard"]


@dataclass(frozen=True, slots=True)
class Steering:
    """How new bars are to be bent.

    `pitch_classes` (of 12) are those of the session's key, in sounding pitch; None: the key of what is gone on from.
    `binding` says how strictly. `latent_offset` (Z,) is added to every point in the latent space. `bias` (T, C) is
    added to whatever else there is.
    """

    pitch_classes: frozenset[int] | None = None
    binding: Binding = "soft"
    latent_offset: Tensor | None = None
    bias: Tensor | None = None


PLAIN = Steering()


def diatonic_set(windows: Sequence[WindowTokens], shift: int = 0) -> frozenset[int] | None:
    """The major scale's twelve transpositions hold the notes how well? The best one's pitch classes; None without
    notes. Notes count by how long they are held; `shift` is taken off, so that classes are those that sound.
    """
    weights = np.zeros(12)
    for window in windows:
        held = _held(window.tokens)
        np.add.at(weights, (held[held >= 0] + LOWEST_PITCH - shift) % 12, 1.0)
    if not weights.any():
        return None
    scores = [sum(weights[(tonic + degree) % 12] for degree in _MAJOR) for tonic in range(12)]
    best = int(np.argmax(scores))
    return frozenset((best + degree) % 12 for degree in _MAJOR)


def _held(tokens: Ints) -> Ints:
    """The pitch index of each struck note and of the steps that hold it; -1 elsewhere."""
    held = np.full(len(tokens), -1, dtype=np.int64)
    sounding = -1
    for step, token in enumerate(tokens.tolist()):
        if token < PITCHES:
            sounding = token
        elif token == PITCHES:  # note-off
            sounding = -1
        held[step] = sounding
    return held


def key_bias(classes: frozenset[int], binding: Binding, config: ModelConfig, shift: int) -> Tensor:
    """A bias (T, C) against pitches outside a set of sounding pitch classes."""
    bias = torch.zeros(config.classes)
    if config.part != "drums" and binding != "off":
        nats = FORBIDDEN if binding == "hard" else _SOFT_KEY_NATS
        for index in range(PITCHES):
            if (index + LOWEST_PITCH - shift) % 12 not in classes:
                bias[index] = nats
    return bias.expand(config.steps, -1)


def register_bias(windows: Sequence[WindowTokens], config: ModelConfig) -> Tensor:
    """A bias (T, C) against pitches more than a fourth below or above those of `windows`."""
    bias = torch.zeros(config.classes)
    struck = np.concatenate([w.tokens[w.tokens < PITCHES] for w in windows]) if config.part != "drums" else np.zeros(0)
    if len(struck):
        index = torch.arange(PITCHES, dtype=torch.float32)
        below = (int(struck.min()) - _REGISTER_ROOM - index).clamp_min(0)
        above = (index - int(struck.max()) - _REGISTER_ROOM).clamp_min(0)
        bias[:PITCHES] = (below + above) * _REGISTER_NATS_A_SEMITONE
    return bias.expand(config.steps, -1)


def token_bonus(tokens: Ints, nats: float, config: ModelConfig) -> Tensor:
    """A bias (T, C) in favour of given tokens (T,)."""
    bias = torch.zeros(config.steps, config.classes)
    bias[torch.arange(config.steps), torch.from_numpy(tokens.astype(np.int64))] = nats
    return bias


def steered_bias(steering: Steering, windows: Sequence[WindowTokens], config: ModelConfig, shift: int) -> Tensor:
    """The whole bias (T, C) for bars that go on from `windows` (none: new ones): key, register, the caller's own."""
    classes = steering.pitch_classes
    if classes is None and windows and config.part != "drums":
        classes = diatonic_set(windows, shift)
    bias = torch.zeros(config.steps, config.classes)
    if classes is not None:
        bias = bias + key_bias(classes, steering.binding, config, shift)
    if windows:
        bias = bias + register_bias(windows, config)
    return bias if steering.bias is None else bias + steering.bias
