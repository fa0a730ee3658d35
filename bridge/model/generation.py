"""New bars: sampling, going on, varying and reconstructing. Pure functions of (weights, request, seed).

Lengths: a loop is handled window by window (two bars each); a length that is no multiple of it is filled from the
loop's beginning for the encoder, and what is decoded is cut and closed at the length asked for.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from bridge.model import noise
from bridge.model.compiled import WARM_UP_RUNS, CompiledModel
from bridge.model.config import ModelConfig
from bridge.model.decoding import Decoded, WindowDecode
from bridge.model.framing import (
    Frame,
    WindowTokens,
    as_tensors,
    frame_of,
    is_heard,
    to_bars,
    to_windows,
    windows_needed,
)
from bridge.model.steering import PLAIN, Steering, steered_bias, token_bonus
from bridge.music.notes import BEATS_PER_BAR, STEPS_PER_BEAT, Bars

#: The contract's: while morphing and varying, a voice's temperature is scaled by this.
MORPH_TEMPERATURE = 0.4
_VARY_BONUS_NATS = 4.0
#: Where bars are looked for again when there is not one note in them, by the path of their noise.
_ANEW: tuple[tuple[int, ...], ...] = ((), (9, 1), (9, 2), (9, 3))
_ENCODED_KEPT = 64


@dataclass(frozen=True, slots=True)
class Encoded:
    """Bars in the latent space: W windows with means and spreads (W, Z), and what decoding gives back."""

    bars: Bars
    windows: tuple[WindowTokens, ...]
    means: Tensor
    spreads: Tensor
    frame: Frame


_encoded_lately: weakref.WeakKeyDictionary[CompiledModel, dict[tuple[Bars, Frame], Encoded]] = (
    weakref.WeakKeyDictionary()
)


def encode_bars(model: CompiledModel, bars: Bars, frame: Frame | None = None) -> Encoded:
    """The posterior of every window of `bars`; in a frame other than their own where one is given.

    What was encoded lately is kept: a request goes on from bars that were encoded when they were made.
    """
    held = frame or frame_of(bars, model.config)
    lately = _encoded_lately.setdefault(model, {})
    encoded = lately.pop((bars, held), None)
    if encoded is None:
        windows = to_windows(bars, held, model.config)
        means, spreads = model.encode(*as_tensors(windows))
        encoded = Encoded(bars, tuple(windows), means.cpu(), spreads.cpu(), held)
    lately[bars, held] = encoded
    while len(lately) > _ENCODED_KEPT:
        del lately[next(iter(lately))]
    return encoded


def prior_point(model: CompiledModel, seed: int) -> Tensor:
    """A point (Z,) of the fitted prior."""
    choice = torch.tensor([noise.uniform(seed, noise.MIXTURE)])
    white = torch.from_numpy(noise.normal(seed, noise.LATENT, model.config.latent_size))
    return model.prior(choice, white[None])[0].cpu()


def towards_prior(model: CompiledModel, point: Tensor, keep: float, seed: int) -> Tensor:
    """A point (Z,) that keeps a share `keep` of where `point` is and takes the rest from the prior; the spread of the
    prior is kept whatever the share.
    """
    centre = model.prior_mean
    fresh = prior_point(model, seed)
    return centre + keep * (point - centre) + math.sqrt(max(0.0, 1.0 - keep * keep)) * (fresh - centre)


def _offset(z: Tensor, steering: Steering) -> Tensor:
    return z if steering.latent_offset is None else z + steering.latent_offset


def decode_point(model: CompiledModel, z: Tensor, seed: int, temperature: float, bias: Tensor | None = None) -> Decoded:
    """The window at one point (Z,)."""
    return WindowDecode(model, z[None], [seed], temperature, bias).run()[0]


def sample_bars(model: CompiledModel, bars: int, seed: int, temperature: float, steering: Steering = PLAIN) -> Bars:
    """New bars from the prior: the first window free, those after it going on from it."""
    config = model.config
    length = float(bars * BEATS_PER_BAR)
    point = prior_point(model, noise.derived(seed, 0))
    points = chain([point], (prior_point(model, noise.derived(seed, 0, *again)) for again in _ANEW[1:]))
    bias = steered_bias(steering, (), config, 0)
    steps = _steps_left(length, 0, config)
    windows = [_heard_at(model, points, steering, noise.derived(seed, 0, 1), temperature, bias, steps)]
    while len(windows) < windows_needed(length, config):
        if len(windows) > 1:
            point = _mean_of(model, windows[-1])
        steps = _steps_left(length, len(windows), config)
        step_seed = noise.derived(seed, len(windows))
        windows += _following(model, point, windows, Frame(), step_seed, temperature, steering, steps)
    return to_bars(windows, Frame(), config, length)


def continue_bars(
    model: CompiledModel, seed_bars: Bars, bars: int, seed: int, temperature: float, steering: Steering = PLAIN
) -> Bars:
    """The next `bars` bars after `seed_bars`, alone: around where its last window lies, in its key, register and
    accents.
    """
    config = model.config
    source = encode_bars(model, seed_bars)
    length = float(bars * BEATS_PER_BAR)
    point = source.means[-1]
    windows: list[WindowTokens] = []
    while len(windows) < windows_needed(length, config):
        if windows:
            point = _mean_of(model, windows[-1])
        step_seed = noise.derived(seed, len(windows))
        heard = [*source.windows, *windows]
        steps = _steps_left(length, len(windows), config)
        windows += _following(model, point, heard, source.frame, step_seed, temperature, steering, steps)
    return to_bars(windows, source.frame, config, length)


def _following(
    model: CompiledModel,
    point: Tensor,
    heard: Sequence[WindowTokens],
    frame: Frame,
    seed: int,
    temperature: float,
    steering: Steering,
    steps: int,
) -> list[WindowTokens]:
    """One more window after those heard, the last of which lies at `point`."""
    bias = steered_bias(steering, heard, model.config, frame.shift)
    size = model.config.latent_size
    white = (torch.from_numpy(noise.normal(noise.derived(seed, 2, *again), noise.LATENT, size)) for again in _ANEW)
    points = (model.maps.following(point, each) for each in white)
    return [_heard_at(model, points, steering, noise.derived(seed, 1), temperature, bias, steps)]


def _steps_left(length_beats: float, windows: int, config: ModelConfig) -> int:
    """How many steps of the next window will be played: of the last one perhaps only a part."""
    return round(length_beats * STEPS_PER_BEAT) - windows * config.steps


def _heard_at(
    model: CompiledModel,
    points: Iterable[Tensor],
    steering: Steering,
    seed: int,
    temperature: float,
    bias: Tensor,
    steps: int,
) -> WindowTokens:
    """The window at the first of the points (Z,) at which its first `steps` have a note; the last one's if none has."""
    for attempt, point in enumerate(points):
        window = decode_point(model, _offset(point, steering), noise.derived(seed, attempt), temperature, bias).window
        if is_heard(window, model.config, steps):
            break
    return window


def _mean_of(model: CompiledModel, window: WindowTokens) -> Tensor:
    return model.encode(*as_tensors([window]))[0][0].cpu()


def vary_bars(
    model: CompiledModel,
    present: Bars,
    amount: float,
    seed: int,
    temperature: float,
    steering: Steering = PLAIN,
) -> Bars:
    """Bars near `present`: 0 gives it back as it is, 1 something that only shares its key, register and length."""
    if amount <= 0.0 or not present.notes:
        return present
    config = model.config
    source = encode_bars(model, present)
    keep = math.cos(min(1.0, amount) * math.pi / 2.0)
    bonus = _VARY_BONUS_NATS * max(0.0, 1.0 - 2.0 * amount)
    windows = []
    for index, window in enumerate(source.windows):
        bias = steered_bias(steering, source.windows, config, source.frame.shift)
        bias = bias + token_bonus(window.tokens, bonus, config)
        z = towards_prior(model, source.means[index], keep, noise.derived(seed, index, 2))
        row_seed = noise.derived(seed, index, 1)
        windows.append(
            decode_point(model, _offset(z, steering), row_seed, temperature * MORPH_TEMPERATURE, bias).window
        )
    return to_bars(windows, source.frame, config, present.length)


def reconstruct_bars(model: CompiledModel, bars: Bars, seed: int, temperature: float) -> Bars:
    """Bars through encoder and decoder: each window at a point drawn from its posterior."""
    source = encode_bars(model, bars)
    windows = []
    for index in range(len(source.windows)):
        row_seed = noise.derived(seed, index)
        white = torch.from_numpy(noise.normal(row_seed, noise.LATENT, model.config.latent_size))
        z = source.means[index] + source.spreads[index] * white
        windows.append(decode_point(model, z, row_seed, temperature).window)
    return to_bars(windows, source.frame, model.config, bars.length)


def warm_up(model: CompiledModel) -> None:
    """Run everything a voice asks for, in the shapes it asks for it, until none of it is slow for being the first."""
    model.warm_up(((1, model.config.steps), (1, STEPS_PER_BEAT)))
    for seed in range(WARM_UP_RUNS):
        made = sample_bars(model, model.config.bars, seed, 1.0)
        if made.notes:
            continue_bars(model, made, model.config.bars, seed, 1.0)
