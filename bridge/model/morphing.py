"""Between loops: two on a knob, four on a pad. A pure function of (corners, x, y, temperature, seed), not of the path.

Three things keep it calm under the hand. The noise belongs to (seed, step, class) and stays while a knob moves. Every
step leans on reference loops, `anchors`: the corners themselves and what lies half-way, decoded once; each anchor's
tokens get a bonus that falls off linearly with the distance. And every step has a place of its own on the way from one
anchor to the next at which it changes over, beat by beat in an order of the seed's: a small turn of the knob lets go of
a step or two, and what follows them in the loop stays where it was instead of falling over with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bridge.model import noise
from bridge.model.compiled import CompiledModel
from bridge.model.decoding import WindowDecode
from bridge.model.framing import Frame, WindowTokens, frame_of, to_bars
from bridge.model.generation import MORPH_TEMPERATURE, Encoded, encode_bars
from bridge.model.steering import PLAIN, Steering, key_bias
from bridge.music.grids import DRUM_CLASSES, Floats, Ints
from bridge.music.notes import BEATS_PER_BAR, STEPS_PER_BAR, STEPS_PER_BEAT, Bars, join, repeated_to

_ANCHOR_NATS = 4.0
_MIDDLE_NATS = 1.0
_PIN_NATS = 6.0
_MAX_BEATS = 16 * BEATS_PER_BAR
_Pause = Callable[[], None] | None


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A reference loop at a place of the pad: one window of tokens per window of the loop."""

    x: float
    y: float
    windows: tuple[WindowTokens, ...]


@dataclass(frozen=True, slots=True)
class Morph:
    """Everything about a set of corners that does not depend on where the knob stands."""

    corners: tuple[Bars, ...]
    length: float
    encoded: tuple[Encoded, ...]
    anchors: tuple[_Anchor, ...]
    bias: Tensor
    seed: int
    temperature: float
    steering: Steering


def common_length(corners: Sequence[Bars]) -> float:
    """How long the loops between corners are, in beats: the least length that all of them fill by repetition, up to
    16 bars; beyond that, or where lengths are no whole beats, the longest one's.
    """
    lengths = [corner.length for corner in corners]
    if all(length == int(length) for length in lengths):
        common = math.lcm(*(int(length) for length in lengths))
        if common <= _MAX_BEATS:
            return float(common)
    return max(lengths)


def prepare_morph(
    model: CompiledModel,
    corners: Sequence[Bars],
    seed: int,
    temperature: float,
    steering: Steering = PLAIN,
    at_every_beat: Callable[[], None] | None = None,
) -> Morph:
    """Encode two corners (a, b) or four (a, b, c, d) and decode the anchors between them.

    `temperature` is the voice's; the contract's scaling is done here.

    Raises:
        ValueError: not two or four corners, or a corner without notes.
    """
    if len(corners) not in (2, 4) or not all(corner.notes for corner in corners):
        raise ValueError(f"expected 2 or 4 corners with notes in them, got {len(corners)}")
    length = common_length(corners)
    filled = [repeated_to(corner, length) for corner in corners]
    frame = Frame(frame_of(join(filled), model.config).shift)
    encoded = tuple(
        encode_bars(model, loop, Frame(frame.shift, frame_of(loop, model.config).accents)) for loop in filled
    )
    bias = torch.zeros(model.config.steps, model.config.classes)
    if steering.pitch_classes is not None:
        bias = bias + key_bias(steering.pitch_classes, steering.binding, model.config, frame.shift)
    if steering.bias is not None:
        bias = bias + steering.bias
    places = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)][: len(corners)]
    fixed = tuple(_Anchor(x, y, e.windows) for (x, y), e in zip(places, encoded, strict=True))
    morph = Morph(tuple(corners), length, encoded, fixed, bias, seed, temperature, steering)
    between = [(0.5, 0.0)] if len(corners) == 2 else [(0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (1.0, 0.5), (0.5, 1.0)]
    middles = tuple(_Anchor(x, y, tuple(_middle(model, morph, x, y, at_every_beat))) for x, y in between)
    return Morph(tuple(corners), length, encoded, fixed + middles, bias, seed, temperature, steering)


def morph_at(
    model: CompiledModel, morph: Morph, x: float, y: float = 0.0, at_every_beat: Callable[[], None] | None = None
) -> Bars:
    """The loop at (x, y), each 0 to 1. At a corner its notes come back exactly. `at_every_beat` is called between the
    beats of the decode: a turn of a knob gives way there.
    """
    corner = _corner_at(morph, x, y)
    if corner is not None:
        return corner
    shares = [(anchor, _tent(anchor.x, x) * _tent(anchor.y, y)) for anchor in morph.anchors]
    live = [(anchor, share) for anchor, share in shares if share > 0.0]
    bias = _leaning(morph, live, _PIN_NATS)
    windows = [
        _blended(window, [(anchor.windows[index], share) for anchor, share in live])
        for index, window in enumerate(_decode(model, morph, x, y, bias, at_every_beat))
    ]
    return to_bars(windows, _frame_at(morph, x, y), model.config, morph.length)


def interpolated(model: CompiledModel, a: Bars, b: Bars, steps: int, seed: int, temperature: float) -> list[Bars]:
    """`steps` loops at even distances from `a` to `b`. Nothing is verbatim: the ends are decoded like the rest, each
    leaning on the anchors by its distance alone.
    """
    morph = prepare_morph(model, (a, b), seed, temperature)
    loops = []
    for index in range(steps):
        x = index / (steps - 1)
        live = [(anchor, _tent(anchor.x, x)) for anchor in morph.anchors]
        windows = _decode(model, morph, x, 0.0, _leaning(morph, live, 0.0), None)
        loops.append(to_bars(windows, _frame_at(morph, x, 0.0), model.config, morph.length))
    return loops


def _corner_at(morph: Morph, x: float, y: float) -> Bars | None:
    if x not in (0.0, 1.0) or y not in (0.0, 1.0):
        return None
    corner = morph.corners[int(x) + 2 * int(y)]
    rounds = morph.length / corner.length
    return repeated_to(corner, morph.length) if rounds > 1 and rounds == int(rounds) else corner


def _middle(model: CompiledModel, morph: Morph, x: float, y: float, at_every_beat: _Pause) -> list[WindowTokens]:
    """What lies half-way: decoded where it is, leaning a little on the corners it lies between."""
    near = [(a, _MIDDLE_NATS / _ANCHOR_NATS) for a in morph.anchors if abs(a.x - x) <= 0.5 and abs(a.y - y) <= 0.5]
    return _decode(model, morph, x, y, _leaning(morph, near, 0.0), at_every_beat)


def _decode(
    model: CompiledModel, morph: Morph, x: float, y: float, bias: Tensor, at_every_beat: _Pause
) -> list[WindowTokens]:
    z = _point(morph, x, y)
    if morph.steering.latent_offset is not None:
        z = z + morph.steering.latent_offset
    seeds = [noise.derived(morph.seed, index) for index in range(len(z))]
    rows = WindowDecode(model, z, seeds, morph.temperature * MORPH_TEMPERATURE, bias).run(at_every_beat)
    return [row.window for row in rows]


def _tent(centre: float, place: float) -> float:
    """1 at an anchor's place, falling to 0 half the pad away."""
    return max(0.0, 1.0 - 2.0 * abs(place - centre))


def _leaning(morph: Morph, shares: Sequence[tuple[_Anchor, float]], pin_nats: float) -> Tensor:
    """The bias (W, T, C): the plain one, every anchor's bonus on its tokens by its share, and `pin_nats` more for the
    one anchor whose turn it is at each step.
    """
    tokens = torch.from_numpy(
        np.stack([np.concatenate([w.tokens for w in anchor.windows]) for anchor, _ in shares]).astype(np.int64)
    )
    bias = morph.bias.repeat(len(morph.encoded[0].windows), 1)
    steps = torch.arange(len(bias))
    for row, (_, share) in zip(tokens, shares, strict=True):
        bias[steps, row] += _ANCHOR_NATS * share
    bounds = torch.tensor([share for _, share in shares], dtype=torch.float64).cumsum(0)[:-1]
    turn = torch.bucketize(torch.from_numpy(_turns(len(bias), morph.seed)), bounds, right=True)
    bias[steps, tokens[turn, steps]] += pin_nats
    return bias.view(-1, *morph.bias.shape)


def _turns(steps: int, seed: int) -> Floats:
    """Where between anchors (0 to 1) each step (n,) changes over: beat by beat, in an order of the seed's."""
    beats = steps // STEPS_PER_BEAT
    order = np.argsort(noise.normal(seed, noise.TURNS, beats), kind="stable")
    rank = np.empty(beats)
    rank[order] = np.arange(beats)
    return ((rank[:, None] * STEPS_PER_BEAT + np.arange(STEPS_PER_BEAT) + 0.5) / steps).reshape(-1)


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Along the arc from a to b (..., Z), lengths interpolated; straight where they point the same or opposite way."""
    lengths_a, lengths_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / lengths_a.clamp_min(1e-9), b / lengths_b.clamp_min(1e-9)
    cosine = (unit_a * unit_b).sum(-1, keepdim=True).clamp(-1.0, 1.0)
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    arc = (torch.sin((1.0 - share) * angle) * unit_a + torch.sin(share * angle) * unit_b) / sine.clamp_min(1e-9)
    length = (1.0 - share) * lengths_a + share * lengths_b
    return torch.where(sine < 1e-4, (1.0 - share) * a + share * b, arc * length)


def _point(morph: Morph, x: float, y: float) -> Tensor:
    means = [e.means for e in morph.encoded]
    bottom = slerp(means[0], means[1], x)
    return bottom if len(means) == 2 else slerp(bottom, slerp(means[2], means[3], x), y)


def _corner_shares(morph: Morph, x: float, y: float) -> list[float]:
    if len(morph.encoded) == 2:
        return [1.0 - x, x]
    return [(1.0 - x) * (1.0 - y), x * (1.0 - y), (1.0 - x) * y, x * y]


def _frame_at(morph: Morph, x: float, y: float) -> Frame:
    """The common octave shift, and the corners' accents mixed."""
    shares = _corner_shares(morph, x, y)
    mixed = [0.0] * STEPS_PER_BAR
    for encoded, share in zip(morph.encoded, shares, strict=True):
        if encoded.frame.accents is None:
            return Frame(encoded.frame.shift)
        mixed = [m + share * accent for m, accent in zip(mixed, encoded.frame.accents, strict=True)]
    return Frame(morph.encoded[0].frame.shift, tuple(round(m) for m in mixed))


def _blended(window: WindowTokens, near: Sequence[tuple[WindowTokens, float]]) -> WindowTokens:
    """Drums: a hit that an anchor also has takes its velocity and place in the step, by the anchor's share."""
    if window.velocities is None or window.offsets is None:
        return window
    velocities, offsets = window.velocities.astype(np.float64), window.offsets.astype(np.float64)
    for anchor, share in near:
        if anchor.velocities is None or anchor.offsets is None:
            continue
        both = _bits(window.tokens & anchor.tokens) & (anchor.velocities > 0)
        velocities += np.where(both, share * (anchor.velocities - window.velocities), 0.0)
        offsets += np.where(both, share * (anchor.offsets - window.offsets), 0.0)
    return WindowTokens(window.tokens, velocities.round().astype(np.int64), offsets.round().astype(np.int64))


def _bits(hits: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return (hits[:, None] >> np.arange(DRUM_CLASSES) & 1).astype(bool)
