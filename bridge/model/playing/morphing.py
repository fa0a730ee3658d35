"""Between loops: two on a knob, four on a pad. A pure function of (corners, x, y, temperature, seed), not of the path.

All that the model has to say is decoded once, in one batch, when a gesture begins: windows all over the way (or the
pad), near where the corners lie in the latent space and leaning on those that are near. On a knob the best way through
them is chosen (`pathway`); between two neighbours only what differs changes over, one note after the other
(`patterns`), on a pad of short loops spread out evenly (`lattice`). So a small turn always changes something and never
much, every anchor is a window that the model decoded as a whole, and a turn costs no decoding. At the ends and corners
the stored notes sound as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets import noise
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import MORPH_TEMPERATURE, ModelConfig
from bridge.model.playing.decoding import Decoded, WindowDecode, filled_row, parts_of
from bridge.model.playing.drawing import means_played
from bridge.model.playing.encoding import Encoded, encode_bars, slerp
from bridge.model.playing.framing import (
    Frame,
    WindowTokens,
    common_frames,
    is_silent,
    mixed_frame,
    octave_frame_of,
    rested,
    streamed,
    struck_steps,
    to_bars,
    unstreamed,
)
from bridge.model.playing.keeping import FORBIDDEN
from bridge.model.playing.lattice import PadField, evened
from bridge.model.playing.pathway import chosen_way, even_places
from bridge.model.playing.patterns import AnyField, Field, TrioField, field_of, units_of
from bridge.model.playing.steering import PLAIN, Steering, steered_bias
from bridge.music.corners import is_corner
from bridge.music.grids import PITCHES
from bridge.music.notes import BEATS_PER_BAR, STEPS_PER_BAR, STEPS_PER_BEAT, Bars, repeated_to

_ANCHOR_NATS = 4.0
#: Windows on the way are looked for this many posterior spreads around it; those in the middle nearer to it, and long
#: ones, which have more ways to go astray, nearer still.
_WANDER, _MIDDLE_WANDER, _LONG_MIDDLE_WANDER = 2.5, 2.0, 0.3
#: Half way between two loops a decoder that is sure of itself is surely wrong: the points there are drawn towards the
#: prior's middle, so much of their way from it is kept; and drums' go to where what is played there is read (the middle
#: cost .43 of what mixing would add, of melodies .39; now .30 each; of sixteen bars of drums .36, .27). The others have
#: no need of it.
_MIDDLE_KEPT = {"melody-2bar": 0.55, "drums-2bar": 0.35, "melody-16bar": 0.75, "drums-16bar": 0.9}
#: At low temperatures the model leaves notes out; windows are decoded with as many nats more for striking one, in turn.
_STRIKE_NATS = (0.0, 0.3, 0.6)
#: How many windows are decoded on the way between two corners, and besides in its middle; fewer for
#: longer loops, but in the middle of long lines, which cost more there than others (melody-16bar: .42 of what mixing
#: would, with two).
_ON_THE_WAY, _IN_THE_MIDDLE = {"drums": 20, "melody": 26, "bass": 34, "trio": 26}, 12
#: How many anchors a pad has on a side, for loops of up to so many times two bars.
_PAD_PLACES = ((5, 7.0), (3, math.inf))
#: Pads of up to so many windows of two bars are a lattice (`lattice`): two that lie beside each other may not differ in
#: too much, so that their points are nearer to the way.
_SHORT, _SHORT_WANDER = 2, 1.0
_TWO_BARS = 2 * STEPS_PER_BAR
_BACK = 24  # places that are looked at on the way from one without notes to a corner
_MAX_BEATS = 16 * BEATS_PER_BAR
_MIDDLE = (0.5, 0.0)
_PLACES = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))


@dataclass(frozen=True, slots=True)
class Morph:
    """Corners and all that lies between them: one field of anchors a window of the loop."""

    corners: tuple[Bars, ...]
    length: float
    encoded: tuple[Encoded, ...]
    fields: tuple[AnyField | PadField, ...]


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
) -> Morph:
    """Encode two corners (a, b) or four (a, b, c, d) and decode what lies between them.

    `temperature` is the voice's; the contract's scaling is done here.

    Raises:
        ValueError: not two or four corners, or a corner without notes.
    """
    if len(corners) not in (2, 4) or not all(corner.notes for corner in corners):
        raise ValueError(f"expected 2 or 4 corners with notes in them, got {len(corners)}")
    config = model.config
    length = common_length(corners)
    loops = [repeated_to(corner, length) for corner in corners]
    frames = common_frames(loops, config)
    encoded = tuple(encode_bars(model, loop, frame) for loop, frame in zip(loops, frames, strict=True))
    count = len(encoded[0].windows)
    biases = [steered_bias(steering, (), config, encoded[0].frame, index * config.steps) for index in range(count)]
    field: Callable[..., AnyField | PadField]
    if len(corners) == 2:
        places, field = _on_the_way(config, count * config.stream_steps // _TWO_BARS), _way
    else:
        long, field = count * config.stream_steps // _TWO_BARS, _even_pad if _is_short(config, count) else _pad
        side = np.linspace(0.0, 1.0, next(n for n, most in _PAD_PLACES if long <= most)).tolist()
        places = [(x, y) for y in side for x in side if (x, y) not in _PLACES]
    rows = _decode(model, encoded, places, seed, temperature, biases)
    fields = []
    for index, made in enumerate(rows):
        ends = [_allowed(e.windows[index], biases[index], config) for e in encoded]
        heard = round(length * STEPS_PER_BEAT) - index * config.steps
        if heard < config.steps and config.part != "trio":
            rows[index] = [replace(row, window=_heard(row.window, ends[0], heard)) for row in made]
            ends = [_heard(end, ends[0], heard) for end in ends]
        if all(is_silent(end, config) for end in ends):  # nor does anything sound between
            rows[index] = [replace(row, window=ends[0]) for row in rows[index]]
        fields.append(_field(field, ends, places, rows[index], config, noise.derived(seed, index)))
    return Morph(tuple(corners), length, encoded, tuple(fields))


def _heard(window: WindowTokens, rest: WindowTokens, steps: int) -> WindowTokens:
    """A window of which only the first `steps` will be heard: what comes after is as in `rest`, and never changes."""
    first, last = (window.tokens, window.velocities, window.offsets), (rest.tokens, rest.velocities, rest.offsets)
    tokens, velocities, offsets = (
        None if a is None or b is None else np.concatenate([a[:steps], b[steps:]])
        for a, b in zip(first, last, strict=True)
    )
    assert tokens is not None
    return WindowTokens(tokens, velocities, offsets)


def _field(
    make: Callable[..., AnyField | PadField],
    ends: Sequence[WindowTokens],
    places: Sequence[tuple[float, float]],
    decoded: Sequence[Decoded],
    config: ModelConfig,
    seed: int,
) -> AnyField | PadField:
    """The field of one window of the loop; each part of a trio goes its own best way."""
    if config.part != "trio":
        return make(ends, places, decoded, config, seed)
    apart, rows = [unstreamed(end, config) for end in ends], [parts_of(row, config) for row in decoded]
    made = [
        make([end[part] for end in apart], places, [row[part] for row in rows], config.of_part(part), seed)
        for part in range(len(config.parts))
    ]
    return TrioField(tuple(field for field in made if isinstance(field, Field)))


def morph_at(model: CompiledModel, morph: Morph, x: float, y: float = 0.0) -> Bars:
    """The loop at (x, y), each 0 to 1. At a corner its notes come back exactly."""
    if is_corner(x, y):
        return at_corner(morph.corners, x, y)
    return _between(model, morph, x, y)


def _between(model: CompiledModel, morph: Morph, x: float, y: float = 0.0) -> Bars:
    """The loop at (x, y), decoded. Between loops of a few notes there are places at which the one's are gone and none
    of the other's has come: there it is what is struck first on the way to the nearest corner, never silence.
    """
    corner = (float(x >= 0.5), float(y >= 0.5))
    for step in range(_BACK + 1):
        there = tuple(place + (end - place) * step / _BACK for place, end in zip((x, y), corner, strict=True))
        made = to_bars(_windows_at(model, morph, *there), _frame_at(morph, *there), model.config, morph.length)
        if made.notes:
            return made
    return at_corner(morph.corners, *corner)  # of drums that the model does not know


def _windows_at(model: CompiledModel, morph: Morph, x: float, y: float = 0.0) -> list[WindowTokens]:
    ends = zip(*(encoded.windows for encoded in morph.encoded), strict=True)
    return [rested(field.at(x, y), model.config, own) for field, own in zip(morph.fields, ends, strict=True)]


def at_corner(corners: Sequence[Bars], x: float, y: float = 0.0) -> Bars:
    """The notes of the corner (x, y), going round as often as the loops between the corners are longer."""
    corner, length = corners[int(x) + 2 * int(y)], common_length(corners)
    rounds = length / corner.length
    return repeated_to(corner, length) if rounds > 1 and rounds == int(rounds) else corner


def interpolated(
    model: CompiledModel, a: Bars, b: Bars, steps: int, seed: int, temperature: float, steering: Steering = PLAIN
) -> list[Bars]:
    """`steps` loops at even distances from `a` to `b`. Nothing is verbatim: the ends are decoded like the rest, at the
    very points of the loops they stand for, and leaning on those.
    """
    morph = prepare_morph(model, (a, b), seed, temperature, steering)
    first, last = (_decoded_again(model, repeated_to(end, morph.length), seed, temperature, steering) for end in (a, b))
    between = (_between(model, morph, index / (steps - 1)) for index in range(1, steps - 1))
    return [first, *between, last]


def _decoded_again(model: CompiledModel, loop: Bars, seed: int, temperature: float, steering: Steering) -> Bars:
    """A loop as the decoder has it at the loop's own point, in the octaves that suit the loop alone: two that are far
    from one another do not both fit into the model's range.
    """
    config = model.config
    encoded = encode_bars(model, loop, octave_frame_of(loop, config))
    count, frame = len(encoded.windows), encoded.frame
    biases = [steered_bias(steering, (), config, frame, index * config.steps) for index in range(count)]
    rows = _decode(model, (encoded, encoded), _PLACES[:1], seed, temperature, biases)
    windows = [
        own if is_silent(own, config) else rested(row[0].window, config, encoded.windows)
        for own, row in zip(encoded.windows, rows, strict=True)
    ]
    return to_bars(windows, frame, config, loop.length)


def _on_the_way(config: ModelConfig, long: int) -> list[tuple[float, float]]:
    """Where windows are decoded between two corners, for a loop so many times two bars long."""
    count = max(7, _ON_THE_WAY[config.part] // long)
    x = np.linspace(0.0, 1.0, count + 2 + count % 2)[1:-1]
    long_line = config.bar_models and config.part in ("melody", "bass")
    middle = np.full(_IN_THE_MIDDLE if long_line else max(2, _IN_THE_MIDDLE // long), 0.5)
    return [(place, 0.0) for place in np.sort(np.concatenate([x[x != 0.5], middle])).tolist()]


def _is_short(config: ModelConfig, count: int) -> bool:
    """Whether a pad over so many windows is a lattice."""
    return config.stream_steps == _TWO_BARS and count <= _SHORT


def _decode(
    model: CompiledModel,
    encoded: Sequence[Encoded],
    places: Sequence[tuple[float, float]],
    seed: int,
    temperature: float,
    plain: Sequence[Tensor],
) -> list[list[Decoded]]:
    """For each window of the loop the windows decoded at each of the places, all in one batch."""
    config, count = model.config, len(encoded[0].windows)
    points, biases, seeds = [], [], []
    heat = temperature * MORPH_TEMPERATURE
    for index in range(count):
        row_seed = noise.derived(seed, index)
        on_the_way = _points(encoded, index, places, row_seed, config)
        if config.name in _MIDDLE_KEPT:
            on_the_way = _nearer(model, on_the_way, places, row_seed, heat)
        points.append(on_the_way)
        biases.append(_leaning(encoded, index, places, plain[index], config))
        seeds += [row_seed] * len(places)
    heard = round(encoded[0].bars.length * STEPS_PER_BEAT) if count == 1 else None
    rows = WindowDecode(model, torch.cat(points), seeds, heat, torch.cat(biases)).run(heard)
    made = [filled_row(row, config) for row in rows]
    return [made[index * len(places) : (index + 1) * len(places)] for index in range(count)]


def _points(
    encoded: Sequence[Encoded], index: int, places: Sequence[tuple[float, float]], seed: int, config: ModelConfig
) -> Tensor:
    """Points (P, Z) near where the knob stands: around the arc between the corners, by the spread with which they were
    found; at a corner itself the corner's own.
    """
    means = [e.means[index] for e in encoded]
    spreads = torch.stack([e.spreads[index] for e in encoded])
    x, y = torch.tensor(places).unbind(1)
    on_arc = slerp(means[0], means[1], x[:, None])
    if len(means) == 4:
        on_arc = slerp(on_arc, slerp(means[2], means[3], x[:, None]), y[:, None])
    shares = torch.tensor([_shares(len(means), *place) for place in places])
    middle_wander = _LONG_MIDDLE_WANDER if config.bar_models else _MIDDLE_WANDER
    wanders = {_MIDDLE: middle_wander, **dict.fromkeys(_PLACES, 0.0)}
    usual = _SHORT_WANDER if len(means) == 4 and _is_short(config, len(encoded[0].windows)) else _WANDER
    wander = torch.tensor([wanders.get(place, usual) for place in places])
    white = torch.from_numpy(noise.normal(seed, noise.LATENT, on_arc.numel())).view_as(on_arc)
    return (on_arc + wander[:, None] * (shares @ spreads) * white).float()


def _nearer(
    model: CompiledModel, points: Tensor, places: Sequence[tuple[float, float]], seed: int, temperature: float
) -> Tensor:
    """Points (P, Z), those in the middle of the way nearer to music."""
    middle = torch.tensor([place == _MIDDLE for place in places])
    if not middle.any():
        return points
    nearer = torch.lerp(model.prior_mean, points[middle], _MIDDLE_KEPT[model.config.name])
    if model.config.part == "drums":
        nearer = means_played(model, nearer, seed, temperature)
    points[middle] = nearer
    return points


def _leaning(
    encoded: Sequence[Encoded], index: int, places: Sequence[tuple[float, float]], bias: Tensor, config: ModelConfig
) -> Tensor:
    """The bias (P, T, C) at each place: the plain one, and a bonus on the tokens of the corners that are near."""
    leaning = bias.repeat(len(places), 1, 1)
    steps = torch.arange(config.stream_steps)
    lines = struck_steps(config)
    tokens = [torch.from_numpy(e.windows[index].tokens.astype(np.int64)) for e in encoded]
    for number, (x, y) in enumerate(places):
        for corner, row in enumerate(tokens):
            near = _tent(x, _PLACES[corner][0]) * (_tent(y, _PLACES[corner][1]) if len(tokens) == 4 else 1.0)
            leaning[number, steps, row] += _ANCHOR_NATS * near
        leaning[number, lines, :PITCHES] += _STRIKE_NATS[number % len(_STRIKE_NATS)]
    return leaning


def _tent(place: float, corner: float) -> float:
    """1 at a corner's place, falling to 0 half-way."""
    return max(0.0, 1.0 - 2.0 * abs(place - corner))


def _way(
    ends: Sequence[WindowTokens],
    places: Sequence[tuple[float, float]],
    decoded: Sequence[Decoded],
    config: ModelConfig,
    seed: int,
) -> AnyField:
    """The field of a knob: the best way from the first corner to the second."""
    windows = [ends[0], *(row.window for row in decoded), ends[1]]
    where = np.array([0.0, *(x for x, _ in places), 1.0])
    units = units_of(np.stack([window.tokens for window in windows]), config)
    fullness = ((units == 1) if config.part == "drums" else (units < PITCHES)).sum(1).astype(np.float64)
    surprise = np.array([0.0, *(row.surprise_nats for row in decoded), 0.0])
    way = chosen_way(units, where, fullness, surprise)
    columns = even_places(units, way, where)
    return field_of([[windows[i] for i in way]], columns, np.zeros(1), config, seed)


def _pad(
    corners: Sequence[WindowTokens],
    places: Sequence[tuple[float, float]],
    decoded: Sequence[Decoded],
    config: ModelConfig,
    seed: int,
) -> AnyField:
    """The field of a pad: a square of anchors with the corners in its corners."""
    found = {place: row.window for place, row in zip(places, decoded, strict=True)}
    found |= dict(zip(_PLACES, corners, strict=True))
    side = np.linspace(0.0, 1.0, math.isqrt(len(found)))
    rows = [[found[x, y] for x in side.tolist()] for y in side.tolist()]
    return field_of(rows, side, side, config, seed)


def _even_pad(
    corners: Sequence[WindowTokens],
    places: Sequence[tuple[float, float]],
    decoded: Sequence[Decoded],
    config: ModelConfig,
    seed: int,
) -> PadField:
    """The field of a pad of short loops: what lies between the anchors is spread evenly."""
    return evened(_pad(corners, places, decoded, config, seed))


def _allowed(window: WindowTokens, bias: Tensor, config: ModelConfig) -> WindowTokens:
    """A corner's window with every token that the bias rules out replaced by the nearest pitch that it does not."""
    if config.part == "trio":
        bars = bias.reshape(config.bars, len(config.parts), STEPS_PER_BAR, -1)
        parts = enumerate(unstreamed(window, config))
        return streamed([_allowed(w, bars[:, p].flatten(0, 1), config.of_part(p)) for p, w in parts])
    if config.part == "drums":
        return window
    open_to = (bias > FORBIDDEN / 2).numpy()
    tokens = window.tokens.copy()
    for step in np.flatnonzero(~open_to[np.arange(len(tokens)), tokens]).tolist():
        pitches = np.flatnonzero(open_to[step, :PITCHES])
        if tokens[step] < PITCHES and len(pitches):
            tokens[step] = pitches[np.abs(pitches - tokens[step]).argmin()]
        else:
            tokens[step] = int(bias[step].argmax())
    return WindowTokens(tokens)


def _shares(corners: int, x: float, y: float) -> list[float]:
    """How much each corner counts at (x, y)."""
    if corners == 2:
        return [1.0 - x, x]
    return [(1.0 - x) * (1.0 - y), x * (1.0 - y), (1.0 - x) * y, x * y]


def _frame_at(morph: Morph, x: float, y: float) -> Frame:
    """The common octave shift, and the corners' accents mixed."""
    return mixed_frame([encoded.frame for encoded in morph.encoded], _shares(len(morph.encoded), x, y))
