"""Playing with a frozen model: biases on its logits. None of this needs retraining, and all of it can be undone.

A bias is a tensor (T, C) added to the logits of each step: 0 leaves a class alone, negative numbers (in nats) make it
rarer, `FORBIDDEN` rules it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets.config import ModelConfig
from bridge.model.nets.keys import held_steps
from bridge.model.playing.framing import Frame, WindowTokens, in_stream, part_of, unstreamed
from bridge.model.playing.keeping import FORBIDDEN, Hold, forced_bias
from bridge.model.playing.leaning import Lean, lean_bias
from bridge.music.grids import LOWEST_PITCH, PITCHES, Ints
from bridge.music.harmony import best_scale, fitting_classes
from bridge.music.locking import Lock
from bridge.music.measures import pitch_classes

_SOFT_KEY_NATS = -2.5


class _OwnKey(NamedTuple):
    """How their own key binds bars: by `inside_nats` where all of their notes are inside, and less the fewer are, down
    to nothing at a share `least`; below it what goes on from enough of them likes the notes outside, up to
    `outside_nats` where `far` more of them are.
    """

    least: float
    inside_nats: float
    outside_nats: float
    far: float


#: As far as the bars before kept to their key, and as far out of it as they went (continuations of test songs, 1,300 of
#: two bars and 600 of sixteen: source by source within .03 of what really came next; bound alone, lieder and quartets
#: kept to their key by .05 to .10 more than they do, in long windows up to .15). Those of long windows leave it from a
#: few notes outside on: as firmly bound as short ones, they stayed in it by .05 more in two sources.
_OWN_KEY = {"melody": _OwnKey(0.95, -1.2, 1.5, 0.15), "bass": _OwnKey(0.95, -2.5, 3.5, 0.15)}
_LONG_OWN_KEY = _OwnKey(0.98, -5.0, 0.8, 0.05)
#: Of a trio, each line by its own key (bound softly by that of both together, basses of test trios left theirs by .11).
_TRIO_OWN_KEY = {"melody": _OwnKey(0.8, -1.5, 0.0, 0.15), "bass": _OwnKey(0.8, -3.0, 0.0, 0.15)}
#: How far a trio's lines also lean to the notes of that key which they go on from, by how long those sounded, and the
#: share that a note has which did not. In the bars that come next, basses have the same notes as in those before by
#: .83 (test songs; validation .92: cosine of how long each pitch class sounds), and had by .70 (.77); now by .74 (.80).
_TRIO_OWN_NOTES, _UNHEARD_SHARE = {"melody": 0.3, "bass": 0.5}, 0.06
#: Of fewer bars it isn't known whether they left their key or slipped.
_BARS_TO_KNOW = 8
_REGISTER_ROOM = 5
_REGISTER_NATS_A_SEMITONE = -0.4
#: Sixteen bars wander: they are drawn towards the middle of the window before, by so much a squared semitone.
_LONG_REGISTER_NATS = {"melody": -0.03, "bass": -0.13}
#: Those of trios, which are drawn nearer to it (see `drawing`), by as much, or not at all: melodies would stay where
#: they were (by half a semitone to two less far from the mean pitch of the window before than what really came).
_TRIO_REGISTER_NATS = {"melody": 0.0, "bass": -0.13}
Binding = Literal["off", "soft", "hard"]


@dataclass(frozen=True, slots=True)
class Steering:
    """How new bars are to be bent.

    `pitch_classes` (of 12) are those of the session's key, in sounding pitch; None: the key of what is gone on from.
    `binding` says how strictly; `mode` is the key's to be found, where `hard` binds and there is none yet.
    `lean`, `hold` and `lock` are what to lean on and what to keep. `surprise` (0 to 1): of several candidates the
    plainer or the bolder; None: there is only one.
    """

    pitch_classes: frozenset[int] | None = None
    binding: Binding = "soft"
    mode: str = "major"
    lean: Lean | None = None
    hold: Hold | None = None
    lock: Lock | None = None
    surprise: float | None = None

    @property
    def may_transpose(self) -> bool:
        """Whether new bars may be moved to the key: not where pitches are kept, nor where it does not bind."""
        return self.binding != "off" and self.lock is None and (self.hold is None or self.hold.what != "pitch")


PLAIN = Steering()


def diatonic_set(windows: Sequence[WindowTokens], shift: int = 0) -> frozenset[int] | None:
    """The pitch classes of the major scale, of the twelve, that holds the notes best; None without notes. Notes count
    by how long they are held; `shift` (in semitones) is taken off, so that classes are those that sound.
    """
    weights = held_classes(windows, shift)
    return best_scale(weights, "major") if any(weights) else None


def _own_key(
    weights: Sequence[float], config: ModelConfig, *, heard: int, in_trio: bool
) -> tuple[frozenset[int] | None, float]:
    """The `diatonic_set` of bars in which the twelve pitch classes sound so long, or those of all that hold them as
    well, and how many nats it is to count in what is made of them, or goes on from `heard` windows of them.
    """
    if not any(weights):
        return None, 0.0
    classes = best_scale(weights, "major")
    inside = sum(weights[c] for c in classes) / sum(weights)
    own = _TRIO_OWN_KEY[config.part] if in_trio else _LONG_OWN_KEY if config.bar_models else _OWN_KEY[config.part]
    if inside < own.least:
        known = heard * config.bars >= _BARS_TO_KNOW
        return classes, own.outside_nats * min(1.0, (own.least - inside) / own.far) if known else 0.0
    return fitting_classes(weights, "major"), own.inside_nats * (inside - own.least) / (1.0 - own.least)


def _own_notes_bias(weights: Sequence[float], config: ModelConfig, shift: int) -> Tensor:
    """A bias (T, C) towards pitch classes that sounded longer, on the whole none: lines stay as full as they are."""
    shares = np.array(weights) / sum(weights)
    nats = np.log(shares + _UNHEARD_SHARE)
    nats = _TRIO_OWN_NOTES[config.part] * (nats - shares @ nats)
    bias = torch.zeros(config.classes)
    bias[:PITCHES] = torch.from_numpy(nats[pitch_classes(np.arange(PITCHES) - shift)])
    return bias.expand(config.steps, -1)


def held_classes(windows: Sequence[WindowTokens], shift: int = 0) -> list[float]:
    """For how many steps each of the twelve pitch classes sounds, `shift` taken off."""
    weights = sum((held_steps(window.tokens[None])[0] for window in windows), np.zeros(12))
    found: list[float] = np.roll(weights, -shift).tolist()
    return found


def key_bias(
    classes: frozenset[int], binding: Binding, config: ModelConfig, shift: int, soft_nats: float = _SOFT_KEY_NATS
) -> Tensor:
    """A bias (T, C) against pitches outside a set of sounding pitch classes."""
    bias = torch.zeros(config.classes)
    if config.part != "drums" and binding != "off":
        outside = torch.tensor([(index + LOWEST_PITCH - shift) % 12 not in classes for index in range(PITCHES)])
        bias[:PITCHES][outside] = FORBIDDEN if binding == "hard" else soft_nats
    return bias.expand(config.steps, -1)


def _struck(windows: Sequence[WindowTokens]) -> Ints:
    """What lines strike (n,), as tokens."""
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *(w.tokens[w.tokens < PITCHES].astype(np.int64) for w in windows)])


def range_bias(windows: Sequence[WindowTokens], config: ModelConfig, frame: Frame) -> Tensor:
    """A bias (T, C) against what would sound outside the model's range once it is moved back by what the frame moved;
    what is made of `windows`, or goes on from them, may be as far outside as they are, for theirs is another octave.
    """
    bias = torch.zeros(config.classes)
    shift, lowest, highest = frame.key, config.lowest, config.highest
    sounding = _struck(windows) + LOWEST_PITCH - frame.shift
    if len(sounding):
        shift, lowest, highest = frame.shift, min(lowest, int(sounding.min())), max(highest, int(sounding.max()))
    heard = torch.arange(PITCHES) + LOWEST_PITCH - shift
    bias[:PITCHES][(heard < lowest) | (heard > highest)] = FORBIDDEN
    return bias.expand(config.steps, -1)


def register_bias(windows: Sequence[WindowTokens], config: ModelConfig, *, in_trio: bool = False) -> Tensor:
    """A bias (T, C) against pitches more than a fourth below or above those of `windows`; for long windows also against
    those far from the middle of the last one.
    """
    bias = torch.zeros(config.classes)
    struck = _struck(windows) if config.part != "drums" else np.zeros(0)
    if len(struck):
        index = torch.arange(PITCHES, dtype=torch.float32)
        below = (int(struck.min()) - _REGISTER_ROOM - index).clamp_min(0)
        above = (index - int(struck.max()) - _REGISTER_ROOM).clamp_min(0)
        bias[:PITCHES] = (below + above) * _REGISTER_NATS_A_SEMITONE
        last = windows[-1].tokens[windows[-1].tokens < PITCHES]
        if config.bar_models and len(last):
            nats = (_TRIO_REGISTER_NATS if in_trio else _LONG_REGISTER_NATS)[config.part]
            bias[:PITCHES] += nats * (index - float(last.mean())).square()
    return bias.expand(config.steps, -1)


def token_bonus(tokens: Ints, nats: float, config: ModelConfig) -> Tensor:
    """A bias (T, C) in favour of given tokens (T,)."""
    bias = torch.zeros(len(tokens), config.classes)
    bias[torch.arange(len(tokens)), torch.from_numpy(tokens.astype(np.int64))] = nats
    return bias


def _steered_trio(
    steering: Steering, windows: Sequence[WindowTokens], config: ModelConfig, frame: Frame, first_step: int
) -> Tensor:
    """Every part steered for itself and put into the stream. Where no key is set, hard binding is to the one of them
    all, as it is for lines that have been silent; else each line keeps to its own.
    """
    apart = [unstreamed(window, config) for window in windows]
    together = steering.pitch_classes
    if together is None and windows:
        together = _trio_set(apart, config, frame)
    biases = []
    for part in range(len(config.parts)):
        mine = config.of_part(part)
        hold = steering.hold and replace(steering.hold, bars=part_of(steering.hold.bars, part))
        lock = steering.lock and replace(steering.lock, bars=part_of(steering.lock.bars, part))
        before = [x[part] for x in apart]
        alone = steering.binding == "soft" and mine.part != "drums" and any(held_classes(before))
        classes = steering.pitch_classes if alone else together
        own = replace(steering, pitch_classes=classes, hold=hold, lock=lock)
        biases.append(steered_bias(own, before, mine, frame.of_part(part, config), first_step, in_trio=True))
    return in_stream(biases, config)


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
    *,
    heard: int = 0,
    in_trio: bool = False,
) -> Tensor:
    """The whole bias (T, C) of the window that begins at `first_step` of bars made of `windows` (none: new ones), or
    that go on from the first `heard` of them: key, register, what they lean on and what they keep. Of a trio that of
    the stream (3T, C), in which each part is steered as one `in_trio`. The windows' own key, where no other binds, does
    so as far as they kept to it.
    """
    if config.part == "trio":
        return _steered_trio(steering, windows, config, frame, first_step)
    classes, soft_nats = steering.pitch_classes, _SOFT_KEY_NATS
    bias = torch.zeros(config.steps, config.classes)
    if classes is None and windows and config.part != "drums":
        # by what was heard alone: what was made since and left the key would lead what comes next further out of it
        weights = held_classes(windows[:heard] if heard else windows, frame.shift)
        classes, soft_nats = _own_key(weights, config, heard=heard, in_trio=in_trio)
        if in_trio and any(weights):
            bias = bias + _own_notes_bias(weights, config, frame.shift)
    if frame.shift:
        bias = bias + range_bias(windows, config, frame)
    if classes is not None:
        bias = bias + key_bias(classes, steering.binding, config, frame.shift, soft_nats)
    if windows:
        bias = bias + register_bias(windows, config, in_trio=in_trio)
    if steering.lean is not None:
        bias = bias + lean_bias(steering.lean, config, frame.shift, first_step)
    forced = forced_bias(steering.hold, steering.lock, config, frame, first_step)
    if forced is None:
        return bias
    no_choice = (forced < 0.0).sum(1) == config.classes - 1  # what is left there may be outside the key
    return torch.where(no_choice[:, None], forced, bias + forced)
