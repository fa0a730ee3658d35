"""What pulls a decode towards more or less of an attribute, besides the way in the latent space: biases on the logits.

A direction alone moves what the posterior knows of an attribute and drags others along. So the decoder is also told, by
a few nats, where to strike and which pitches to prefer; how strongly is what candidates differ in.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets import noise
from bridge.model.nets.config import ModelConfig
from bridge.model.playing.attributes import BEAT_CLASSES, FILL_CLASSES
from bridge.model.playing.framing import WindowTokens
from bridge.model.playing.keeping import FORBIDDEN
from bridge.music.grids import HIT_SETS, LOWEST_PITCH, PITCHES, Floats, Ints, drums_in, tokens_line
from bridge.music.measures import SCALES, pitch_classes
from bridge.music.notes import STEPS_PER_BAR

_STRIKE_NATS, _REST_NATS, _WEAK_NATS, _OUTSIDE_NATS = 4.0, 5.0, 8.0, 18.0
_AIM_NATS, _NEAR_NATS, _STRAY_NATS, _KEY_NATS = 5.0, 0.3, 0.15, 5.0
_HIT_NATS, _FILL_NATS, _OFF_BEAT_NATS = 1.5, 4.0, 3.0
_GOLDEN, _TURNS, _HELD_NATS = 0.618, 7.0, 6.0
_STRETCH, _ZIGZAG_SEMITONES = 1.5, 4.0
#: So many times as hard where to strike is pulled alone. A trio's bars, each told by its own point, are sure of theirs:
#: pulled as two bars are, a third to a half of the loops' parts were denser and thinner at the ends of the knob.
_ALONE = {"density": 5.0, "syncopation": 3.0, "fill": 3.0}
_BITS = torch.from_numpy(drums_in(np.arange(HIT_SETS)).astype(np.float32))


def pull(
    attribute: str,
    strength: float,
    base: WindowTokens,
    key: frozenset[int] | None,
    config: ModelConfig,
    *,
    alone: bool = False,
) -> Tensor:
    """A bias (T, C) that pulls the decode of `base` towards more of an attribute (`strength` 0 to 1) or less (0 to -1),
    beside the way in the latent space, or `alone`.

    `key` holds the pitch classes of the whole loop's own, in the model's pitches: it is kept in lines, except by
    `diatonic` downwards.
    """
    struck = strength * _ALONE.get(attribute, 1.0) if alone else strength
    if config.part == "drums":
        return _DRUM_PULLS[attribute](struck, config)
    bias = torch.zeros(config.steps, config.classes)
    outside = torch.tensor([key is not None and (p + LOWEST_PITCH) % 12 not in key for p in range(PITCHES)])
    if attribute in ("interval", "diatonic"):
        _hold_rhythm(bias, base.tokens)
    if attribute != "diatonic":
        bias[:, :PITCHES] -= _KEY_NATS * outside
    elif strength > 0.0:
        bias[:, :PITCHES] += FORBIDDEN * outside
    else:
        bias[:, :PITCHES] += _outwards(strength, base.tokens)
    if attribute == "density":
        bias[:, :PITCHES] += (_STRIKE_NATS if strength > 0.0 else _REST_NATS) * struck
    elif attribute == "syncopation":
        _off_the_beat(bias, struck)
    bias[:, :PITCHES] += _near(_aimed_at(attribute, strength, base.tokens), attribute)
    return bias


def _hold_rhythm(bias: Tensor, tokens: Ints) -> None:
    for step, token in enumerate(tokens.tolist()):
        if token < PITCHES:
            bias[step, PITCHES:] = FORBIDDEN
        else:
            bias[step] = FORBIDDEN
            bias[step, token] = 0.0


def _off_the_beat(bias: Tensor, strength: float) -> None:
    """Strikes a sixteenth or an eighth off the beat are liked, and those on the beats after them are not."""
    steps = torch.arange(len(bias))
    weak = (steps % 4 != 0).float() * 2.0 - 1.0
    weak[0] = 0.0
    bias[:, :PITCHES] += _WEAK_NATS * strength * weak[:, None]


def _aimed_at(attribute: str, strength: float, tokens: Ints) -> Floats:
    """The pitch (T,) that each step is to be near: the one that sounds there, NaN before the first note. For narrower
    intervals its distance from the mean is shrunk; for wider ones stretched, and notes go up and down in turn.
    """
    sounding = tokens_line(tokens)[0].astype(np.float64)
    aimed = np.where(sounding >= 0, sounding, np.nan)
    struck = tokens[tokens < PITCHES]
    if attribute == "interval" and len(struck):
        mean = struck.mean()
        aimed = mean + (aimed - mean) * (1.0 + (_STRETCH * strength if strength > 0.0 else strength))
        turn = np.cumsum(tokens < PITCHES) % 2 * 2 - 1
        aimed = aimed + _ZIGZAG_SEMITONES * max(0.0, strength) * turn
    return aimed


def _outwards(strength: float, tokens: Ints) -> Tensor:
    """A bonus (T, 88) for one pitch class a note: of some of the notes, more of them the lower the strength, the one
    with which the scale that holds most notes holds the fewest (notes that all leave a key together are in another
    one), of the others their own.
    """
    places = np.flatnonzero(tokens < PITCHES)
    classes = pitch_classes(tokens[places])
    turn = np.arange(1, len(places) + 1) * _GOLDEN + abs(strength) * _TURNS
    moving = turn % 1.0 < 0.2 + 0.7 * abs(strength)
    wish = noise.gumbel(round(-1000 * strength), noise.TURNS, 0, len(places), 12)
    counts = np.bincount(classes[~moving], minlength=12).astype(np.float64)
    for note in np.flatnonzero(moving).tolist():
        held = ((counts + np.eye(12)) @ SCALES.T).max(1)
        away = np.abs((np.arange(12) - classes[note] + 6) % 12 - 6)
        classes[note] = int((_HELD_NATS * held + _NEAR_NATS * away - wish[note]).argmin())
        counts[classes[note]] += 1.0
    bonus = torch.zeros(len(tokens), PITCHES)
    liked = pitch_classes(np.arange(PITCHES)) == classes[:, None]
    bonus[torch.from_numpy(places)] = _OUTSIDE_NATS * torch.from_numpy(liked).float()
    return bonus


def _near(aimed: Floats, attribute: str) -> Tensor:
    """A bias (T, 88) against pitches the further they are from those aimed at."""
    away = np.abs(np.arange(PITCHES)[None] - aimed[:, None])
    nats = {"interval": _AIM_NATS, "diatonic": _NEAR_NATS}.get(attribute, _STRAY_NATS)
    return torch.from_numpy(-nats * np.nan_to_num(away, nan=0.0)).float()


def _fuller(strength: float, config: ModelConfig) -> Tensor:
    return (_HIT_NATS * strength * _BITS.sum(1)).expand(config.steps, -1)


def _off_beat(strength: float, config: ModelConfig) -> Tensor:
    weak = (torch.arange(config.steps) % 4 != 0).float() * 2.0 - 1.0
    return _OFF_BEAT_NATS * strength * weak[:, None] * _BITS[:, BEAT_CLASSES].sum(1)


def _filled(strength: float, config: ModelConfig) -> Tensor:
    bias = torch.zeros(config.steps, config.classes)
    bias[-STEPS_PER_BAR:] = _FILL_NATS * strength * _BITS[:, FILL_CLASSES].sum(1)
    return bias


_DRUM_PULLS = {"density": _fuller, "syncopation": _off_beat, "fill": _filled}
