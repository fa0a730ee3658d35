"""Leaning on something that sounds: a harmony to take strong notes from, onsets to play together with.

All of it is biases on the logits; 0 leaves a model alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets.config import ModelConfig
from bridge.music.grids import LOWEST_PITCH, PITCHES
from bridge.music.harmony import ChordLoop
from bridge.music.notes import STEP_BEATS, STEPS_PER_BEAT

_OUTSIDE_ON_A_BEAT_NATS = -7.0
_INSIDE_ON_A_BEAT_NATS = 3.0  # so that a beat is struck as often as it would be without
_OUTSIDE_BETWEEN_NATS = -1.2
_ROOT_NATS = 2.0  # for a bass, where the chord changes
_TOGETHER_NATS = 7.0
_APART_NATS = -14.0  # a busy line leaves a step alone only for much
_KICK = 1  # the bit of the kick in a set of drum hits


@dataclass(frozen=True, slots=True)
class Lean:
    """What to lean on, in positions of the loop that is made; amounts are 0 to 1.

    `harmony`: its chord tones belong on the beats. `onsets` (steps, going round every `onset_steps`): where a line is
    to strike, or a drum kit its kick.
    """

    harmony: ChordLoop | None = None
    harmony_amount: float = 0.0
    onsets: frozenset[int] = frozenset()
    onset_steps: int = 0
    onset_amount: float = 0.0


def lean_bias(lean: Lean, config: ModelConfig, shift: int, first_step: int) -> Tensor:
    """The bias (T, C) of the window that begins at `first_step`; `shift` is the frame's."""
    bias = torch.zeros(config.steps, config.classes)
    if lean.harmony is not None and config.part != "drums":
        _towards_harmony(bias, lean.harmony, lean.harmony_amount, config, shift, first_step)
    if lean.onset_steps:
        _towards_onsets(bias, lean, config, first_step)
    return bias


def _towards_harmony(
    bias: Tensor, harmony: ChordLoop, amount: float, config: ModelConfig, shift: int, first_step: int
) -> None:
    classes = (np.arange(PITCHES) + LOWEST_PITCH - shift) % 12
    before = None
    for step in range(config.steps):
        chord = harmony.at((first_step + step) * STEP_BEATS)
        inside = torch.from_numpy(np.isin(classes, list(chord.classes)))
        if step % STEPS_PER_BEAT == 0:
            nats = torch.where(inside, _INSIDE_ON_A_BEAT_NATS, _OUTSIDE_ON_A_BEAT_NATS)
        else:
            nats = torch.where(inside, 0.0, _OUTSIDE_BETWEEN_NATS)
        bias[step, :PITCHES] += nats * amount
        if config.part == "bass" and chord != before:
            bias[step, :PITCHES] += torch.from_numpy(classes == chord.root) * (_ROOT_NATS * amount)
        before = chord


def _towards_onsets(bias: Tensor, lean: Lean, config: ModelConfig, first_step: int) -> None:
    if config.part == "drums":
        struck = (torch.arange(config.classes) & _KICK).bool()
    else:
        struck = torch.arange(config.classes) < PITCHES
    for step in range(config.steps):
        together = (first_step + step) % lean.onset_steps in lean.onsets
        bias[step] += struck * ((_TOGETHER_NATS if together else _APART_NATS) * lean.onset_amount)
