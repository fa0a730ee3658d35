"""Playing with a frozen model: biases on its logits. None of this needs retraining, and all of it can be undone.

A bias is a tensor (T, C) added to the logits of each step: 0 leaves a class alone, negative numbers (in nats) make it
rarer, `FORBIDDEN` rules it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bridge.model.config import ModelConfig
from bridge.model.framing import Frame, WindowTokens, part_of, unstreamed
from bridge.model.keeping import FORBIDDEN, Hold, Lock, forced_bias
from bridge.model.leaning import Lean, lean_bias
from bridge.music.grids import LOWEST_PITCH, PITCHES, Ints
from bridge.music.harmony import best_scale
from bridge.music.notes import STEPS_PER_BAR

_SOFT_KEY_NATS = -2.5
#: The key of what is gone on from binds as far as that kept to it: from this share of its notes inside on, up to so
#: much where all are. (900 continuations of validation songs: melodies of every source within .03 of what really came
#: next; with one strength for all, lieder and quartets were .03 to .07 too tame.)
_OWN_KEY_FROM, _OWN_KEY_NATS = 0.9, -3.0
#: The same of sixteen bars, in which there is more room to leave a key (200 continuations of validation songs: every
#: source within .03 of what really came next; as for short ones, up to .09 off).
_LONG_OWN_KEY_FROM, _LONG_OWN_KEY_NATS = 0.85, -8.0
_REGISTER_ROOM = 5
_REGISTER_NATS_A_SEMITONE = -0.4
#: Sixteen bars wander: they are drawn towards the middle of the window before, by so much a squared semitone (200
#: continuations of validation songs end up 3.5 semitones from it, without it 4.3; what really came next is 2.9 away).
_LONG_REGISTER_NATS = -0.012
Binding = Literal["off", "soft", "hard"]


@dataclass(frozen=True, slots=True)
class Steering:
    """How new bars are to be bent.

    `pitch_classes` (of 12) are those of the session's key, in sounding pitch; None: the key of what is gone on from.
    `binding` says how strictly; `mode` is the key's to be found, where `hard` binds and there is none yet.
    `latent_offset` (Z,) is added to every point in the latent space. `bias` (T, C) is added to whatever else there is.
    `lean`, `hold` and `lock` are what to lean on and what to keep. `surprise` (0 to 1): of several candidates the
    plainer or the bolder; None: there is only one.
    """

    pitch_classes: frozenset[int] | None = None
    binding: Binding = "soft"
    latent_offset: Tensor | None = None
    bias: Tensor | None = None
    mode: str = "major"
    lean: Lean | None = None
    hold: Hold | None = None
    lock: Lock | None = None
    surprise: float | None = None

    @property
    def may_transpose(self) -> bool:
        """Whether new bars may be moved to the key: not where pitches are kept, nor where it does not bind."""
        return self.binding != "off" and self.lock is None and (self.hold is None or self.hold.what != "pitch")

    @property
    def rhythm_alone(self) -> Lean | None:
        """What there is to lean on, less the harmony: for bars whose key is still to be found."""
        return None if self.lean is None else replace(self.lean, harmony=None)


PLAIN = Steering()


def diatonic_set(windows: Sequence[WindowTokens], shift: int = 0) -> frozenset[int] | None:
    """The major scale's twelve transpositions hold the notes how well? The best one's pitch classes; None without
    notes. Notes count by how long they are held; `shift` is taken off, so that classes are those that sound.
    """
    return _own_key(windows, shift)[0]


def _own_key(windows: Sequence[WindowTokens], shift: int, *, long: bool = False) -> tuple[frozenset[int] | None, float]:
    """Their `diatonic_set`, and how many nats it is to bind what goes on from them."""
    weights = held_classes(windows, shift)
    if not any(weights):
        return None, 0.0
    classes = best_scale(weights, "major")
    inside = sum(weights[c] for c in classes) / sum(weights)
    least, nats = (_LONG_OWN_KEY_FROM, _LONG_OWN_KEY_NATS) if long else (_OWN_KEY_FROM, _OWN_KEY_NATS)
    return classes, nats * max(0.0, inside - least) / (1.0 - least)


def held_classes(windows: Sequence[WindowTokens], shift: int = 0) -> list[float]:
    """For how many steps each of the twelve pitch classes sounds, `shift` taken off."""
    weights = np.zeros(12)
    for window in windows:
        held = _held(window.tokens)
        np.add.at(weights, (held[held >= 0] + LOWEST_PITCH - shift) % 12, 1.0)
    found: list[float] = weights.tolist()
    return found


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


def key_bias(
    classes: frozenset[int], binding: Binding, config: ModelConfig, shift: int, soft_nats: float = _SOFT_KEY_NATS
) -> Tensor:
    """A bias (T, C) against pitches outside a set of sounding pitch classes."""
    bias = torch.zeros(config.classes)
    if config.part != "drums" and binding != "off":
        nats = FORBIDDEN if binding == "hard" else soft_nats
        for index in range(PITCHES):
            if (index + LOWEST_PITCH - shift) % 12 not in classes:
                bias[index] = nats
    return bias.expand(config.steps, -1)


def register_bias(windows: Sequence[WindowTokens], config: ModelConfig) -> Tensor:
    """A bias (T, C) against pitches more than a fourth below or above those of `windows`; for long windows also against
    those far from the middle of the last one.
    """
    bias = torch.zeros(config.classes)
    struck = np.concatenate([w.tokens[w.tokens < PITCHES] for w in windows]) if config.part != "drums" else np.zeros(0)
    if len(struck):
        index = torch.arange(PITCHES, dtype=torch.float32)
        below = (int(struck.min()) - _REGISTER_ROOM - index).clamp_min(0)
        above = (index - int(struck.max()) - _REGISTER_ROOM).clamp_min(0)
        bias[:PITCHES] = (below + above) * _REGISTER_NATS_A_SEMITONE
        last = windows[-1].tokens[windows[-1].tokens < PITCHES]
        if config.bar_models and len(last):
            bias[:PITCHES] += _LONG_REGISTER_NATS * (index - float(last.mean())).square()
    return bias.expand(config.steps, -1)


def token_bonus(tokens: Ints, nats: float, config: ModelConfig) -> Tensor:
    """A bias (T, C) in favour of given tokens (T,)."""
    bias = torch.zeros(len(tokens), config.classes)
    bias[torch.arange(len(tokens)), torch.from_numpy(tokens.astype(np.int64))] = nats
    return bias


def _steered_trio(
    steering: Steering, windows: Sequence[WindowTokens], config: ModelConfig, frame: Frame, first_step: int
) -> Tensor:
    """Every part steered for itself, in the one key of them all, and put into the stream."""
    apart = [unstreamed(window, config) for window in windows]
    classes = steering.pitch_classes
    if classes is None and windows:
        classes = _trio_set(apart, config, frame)
    stream = torch.zeros(config.bars, len(config.parts), STEPS_PER_BAR, config.classes)
    for part in range(len(config.parts)):
        mine = config.of_part(part)
        hold = steering.hold and replace(steering.hold, bars=part_of(steering.hold.bars, part))
        lock = steering.lock and replace(steering.lock, bars=part_of(steering.lock.bars, part))
        own = replace(steering, pitch_classes=classes, hold=hold, lock=lock, bias=None)
        bias = steered_bias(own, [x[part] for x in apart], mine, frame.of_part(part, config), first_step)
        stream[:, part, :, : mine.classes] = bias.reshape(config.bars, STEPS_PER_BAR, -1)
    whole = stream.reshape(config.stream_steps, config.classes)
    return whole if steering.bias is None else whole + steering.bias


def _trio_set(apart: Sequence[Sequence[WindowTokens]], config: ModelConfig, frame: Frame) -> frozenset[int] | None:
    weights = trio_classes(apart, config, frame)
    return best_scale(weights, "major") if any(weights) else None


def trio_classes(apart: Sequence[Sequence[WindowTokens]], config: ModelConfig, frame: Frame) -> list[float]:
    """For how many steps each of the twelve pitch classes sounds in the lines of a trio's windows, part by part."""
    lines = [part for part, name in enumerate(config.parts) if name != "drums"]
    found = [held_classes([x[part] for x in apart], frame.of_part(part, config).shift) for part in lines]
    return [sum(counts) for counts in zip(*found, strict=True)]


def steered_bias(
    steering: Steering,
    windows: Sequence[WindowTokens],
    config: ModelConfig,
    frame: Frame,
    first_step: int = 0,
    own_key_nats: float | None = None,
) -> Tensor:
    """The whole bias (T, C) of the window that begins at `first_step` of bars that go on from `windows` (none: new
    ones): key, register, what they lean on and what they keep, the caller's own. Of a trio that of the stream (3T, C).
    The windows' own key, where no other binds, does so by `own_key_nats`, else as far as they kept to it.
    """
    if config.part == "trio":
        return _steered_trio(steering, windows, config, frame, first_step)
    classes, soft_nats = steering.pitch_classes, _SOFT_KEY_NATS
    if classes is None and windows and config.part != "drums":
        classes, own_nats = _own_key(windows, frame.shift, long=bool(config.bar_models))
        soft_nats = own_nats if own_key_nats is None else own_key_nats
    bias = torch.zeros(config.steps, config.classes)
    if classes is not None:
        bias = bias + key_bias(classes, steering.binding, config, frame.shift, soft_nats)
    if windows:
        bias = bias + register_bias(windows, config)
    if steering.lean is not None:
        bias = bias + lean_bias(steering.lean, config, frame.shift, first_step)
    forced = forced_bias(steering.hold, steering.lock, config, frame, first_step)
    if forced is not None:
        bias = bias + forced
    return bias if steering.bias is None else bias + steering.bias
