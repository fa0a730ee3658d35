"""New bars: sampling, going on, varying and reconstructing. Pure functions of (weights, request, seed).

Lengths: a loop is handled window by window (two bars each); a length that is no multiple of it is filled from the
loop's beginning for the encoder, and what is decoded is cut and closed at the length asked for.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, islice, repeat

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets import noise
from bridge.model.nets.compiled import WARM_UP_RUNS, CompiledModel
from bridge.model.nets.config import MORPH_TEMPERATURE, ModelConfig
from bridge.model.nets.keys import FIT, SHIFTS
from bridge.model.playing.candidates import CANDIDATES, chosen
from bridge.model.playing.decoding import Decoded, WindowDecode
from bridge.model.playing.drawing import ANEW, points_of, towards_prior
from bridge.model.playing.encoding import Encoded, encode_bars, means_of
from bridge.model.playing.forms import own_forms
from bridge.model.playing.framing import (
    Frame,
    WindowTokens,
    frame_of,
    in_stream,
    is_heard,
    is_silent,
    rested,
    to_bars,
    transposed,
    windows_needed,
)
from bridge.model.playing.keeping import onsets_wanted
from bridge.model.playing.steering import PLAIN, Steering, key_bias, steered_bias, token_bonus
from bridge.music.grids import Ints
from bridge.music.harmony import best_scale, class_weights, nearest_shift, scale_of
from bridge.music.notes import BEATS_PER_BAR, STEPS_PER_BAR, STEPS_PER_BEAT, Bars, in_order

_VARY_BONUS_NATS = 4.0
#: Shares of the amount that bars are varied by in turn, until anything is struck in them.
_VARY_NEARER = (1.0, 0.5, 0.25)
#: By so many of its first steps a window is chosen among candidates; those of the 2-bar models have no more.
_CHOSEN_BY_STEPS = 2 * STEPS_PER_BAR
#: How much the judge's odds count for what is played at `CANDIDATES` draws.
_VERDICT_WEIGHT = 2.0
#: What a trio's bass likes notes outside the key that its draw is in, where no other binds: .95 of its notes were
#: inside, of songs' .985, and samples were told from songs with an AUC of .90 (now .87).
_OUTSIDE_ALONE_NATS = -3.0
#: The share of a loop that may lie outside the session's key before it is moved: bars to go on from, bars to vary.
_STAY, _STAY_NEAR = 0.15, 0.25


def decode_point(model: CompiledModel, z: Tensor, seed: int, temperature: float, bias: Tensor | None = None) -> Decoded:
    """The window at one point (Z,)."""
    return WindowDecode(model, z[None], [seed], temperature, bias).run()[0]


def sample_bars(
    model: CompiledModel,
    bars: int,
    seed: int,
    temperature: float,
    steering: Steering = PLAIN,
    early: Callable[[Bars], None] | None = None,
) -> Bars:
    """New bars from the prior: the first window free, those after it going on from it. The first bars of a long window
    go to `early`, as a loop of the whole length with nothing behind them, while the others are decoded.
    """
    config = model.config
    length = float(bars * BEATS_PER_BAR)
    points = points_of(model, noise.derived(seed, 0), None, steering)
    frame = _first_frame(model, steering, seed)
    steering = _first_steering(steering, frame, config)
    bias, steps = steered_bias(steering, (), config, frame), _steps_left(length, 0, config)
    bias = bias + _bias_alone(model, steering, frame)
    row_seed = noise.derived(seed, 0, 1)
    told = None if early is None else lambda window: early(to_bars([window], frame, config, length))
    first = _best_of(model, points, steering, row_seed, temperature, bias, steps, judged=model.has_judge, early=told)
    windows, means = [rested(first, config)], torch.zeros(0, config.latent_size)
    while len(windows) < windows_needed(length, config):
        means = torch.cat([means_of(model, windows[-1:]), means])
        steps = _steps_left(length, len(windows), config)
        step_seed = noise.derived(seed, len(windows))
        windows.append(_following(model, means, (), windows, frame, step_seed, temperature, steering, steps))
    return to_bars(windows, frame, config, length)


def _first_frame(model: CompiledModel, steering: Steering, seed: int) -> Frame:
    """Where bars with nothing before them are to sound: in the key that binds, else in one as songs are. Bars of which
    something is kept stay in its frame.
    """
    config, classes = model.config, steering.pitch_classes
    if steering.lock is not None:
        return frame_of(steering.lock.bars, config).bare
    if config.part == "drums":
        return Frame()
    if classes is not None and steering.binding != "off" and len(classes) < len(FIT):
        key = -nearest_shift(FIT, classes, stay=0.0)
    else:
        drawn = noise.uniform(seed, noise.KEY)
        key = SHIFTS[min(bisect(list(accumulate(model.keys)), drawn), len(SHIFTS) - 1)]
    return Frame(key, key=key)


def _bias_alone(model: CompiledModel, steering: Steering, frame: Frame) -> Tensor:
    """A bias (T, C), of a trio (3T, C), that puts right what draws with nothing before them do otherwise than songs."""
    config, keyed = model.config, len(set(model.keys)) > 1
    if config.part == "trio" and keyed and steering.pitch_classes is None and steering.lock is None:
        part = config.parts.index("bass")
        mine, own = config.of_part(part), frame.of_part(part, config)
        drawn_in = frozenset(int(c) for c in np.flatnonzero(np.roll(FIT, -own.key)))
        outside = key_bias(drawn_in, steering.binding, mine, own.shift, _OUTSIDE_ALONE_NATS)
        none = torch.zeros(mine.steps, mine.classes)
        return in_stream([outside if each == part else none for each in range(len(config.parts))], config)
    return torch.zeros(config.stream_steps, config.classes)


def _first_steering(steering: Steering, frame: Frame, config: ModelConfig) -> Steering:
    """What bends bars with nothing before them: where a key binds hard and none is set, it is the one they come in."""
    if steering.binding != "hard" or steering.pitch_classes is not None or config.part == "drums":
        return steering
    of_frame = np.roll(FIT, -frame.of_part(0, config).key).tolist()
    return replace(steering, pitch_classes=best_scale(of_frame, steering.mode))


def continue_bars(
    model: CompiledModel,
    seed_bars: Bars,
    bars: int,
    seed: int,
    temperature: float,
    steering: Steering = PLAIN,
    early: Callable[[Bars], None] | None = None,
) -> Bars:
    """The next `bars` bars after `seed_bars`, alone: as bars like its last windows, and those made since, are gone on
    from; in its register and accents, and in its key or moved to the one that binds. `early`: see `sample_bars`.
    """
    config = model.config
    source = encode_bars(model, _in_key(seed_bars, steering, config))
    length = float(bars * BEATS_PER_BAR)
    means = source.means.flip(0)
    frame, windows = source.frame, list[WindowTokens]()
    told = None if early is None else lambda window: early(to_bars([window], frame, config, length))
    while len(windows) < windows_needed(length, config):
        if windows:
            means = torch.cat([means_of(model, windows[-1:]), means])
        step_seed = noise.derived(seed, len(windows))
        steps = _steps_left(length, len(windows), config)
        windows.append(
            _following(
                model, means, source.windows, windows, frame, step_seed, temperature, steering, steps,
                None if windows else told,
            )
        )  # fmt: skip
    return to_bars(windows, frame, config, length)


def _in_key(bars: Bars, steering: Steering, config: ModelConfig, stay: float = _STAY) -> Bars:
    """Bars to go on from, moved to the key that binds what follows by the nearest way."""
    classes = steering.pitch_classes
    if classes is None or config.part == "drums" or not steering.may_transpose:
        return bars
    moved = transposed(bars, nearest_shift(class_weights(bars.notes), classes, stay))
    if config.part != "trio":
        return moved
    kept = [note for note in bars.notes if config.parts[note.part] == "drums"]
    return Bars(in_order([*kept, *(n for n in moved.notes if config.parts[n.part] != "drums")]), bars.length)


def _following(
    model: CompiledModel,
    means: Tensor,
    source: Sequence[WindowTokens],
    made: Sequence[WindowTokens],
    frame: Frame,
    seed: int,
    temperature: float,
    steering: Steering,
    steps: int,
    early: Callable[[WindowTokens], None] | None = None,
) -> WindowTokens:
    """One more window after those of the source and those made since; the nearest of them have posterior `means`."""
    first_step = len(made) * model.config.steps
    bias = steered_bias(steering, [*source, *made], model.config, frame, first_step, heard=len(source))
    points = points_of(model, noise.derived(seed, 2), means, steering)
    row_seed = noise.derived(seed, 1)
    window = _best_of(model, points, steering, row_seed, temperature, bias, steps, first_step, early=early)
    return rested(window, model.config, [*source, *made])


def _steps_left(length_beats: float, windows: int, config: ModelConfig) -> int:
    """How many steps of the next window will be played: of the last one perhaps only a part."""
    return round(length_beats * STEPS_PER_BEAT) - windows * config.steps


def _best_of(
    model: CompiledModel,
    points: Iterable[Tensor],
    steering: Steering,
    seed: int,
    temperature: float,
    bias: Tensor,
    steps: int,
    first_step: int = 0,
    *,
    form: Ints | None = None,
    judged: bool = False,
    early: Callable[[WindowTokens], None] | None = None,
) -> WindowTokens:
    """One window at one of the points (Z,). With `surprise` it is the candidate that the knob takes; `judged`, the one
    that the judge does, which has to read them all first and takes as long as everything else; else the first at which
    the first `steps` have a note (the last one if none has). Where no more than those will be played, and nobody reads
    the window as a whole, it ends with their bar. Of a long window bars come back as in a `form` (U, P), else as in
    songs.

    Of a long window the first bars say which candidate it is to be, and the others are not decoded to their end; those
    first bars go to `early` before the rest is decoded.
    """
    seeds = (noise.derived(seed, attempt) for attempt in range(len(ANEW)))
    by = min(steps, _CHOSEN_BY_STEPS)
    judged = judged and steering.surprise is None

    def begun(at: Sequence[Tensor], row_seeds: Sequence[int]) -> WindowDecode:
        forms = None if form is None else np.stack([form] * len(at))
        return WindowDecode(model, torch.stack(list(at)), row_seeds, temperature, bias, new=form is None, forms=forms)

    if steering.surprise is not None or judged:
        decode = begun(list(islice(points, CANDIDATES)), list(islice(seeds, CANDIDATES)))
        rows = decode.run() if judged else decode.run_bare(by)
        onsets = onsets_wanted(steering.hold, first_step, min(by, model.config.steps))
        odds = _chances_to_be_taken(model, [row.window for row in rows], seed) if judged else None
        best = chosen(rows, steering.surprise, model.config, by, onsets, odds)
        decode.keep(best)
        return _to_the_end(decode, decode.rows()[0].window, by, steps, early)
    for point, row_seed in zip(points, seeds, strict=False):
        decode = begun([point], [row_seed])
        window = decode.run(by)[0].window
        window = _to_the_end(decode, window, by, steps, early if is_heard(window, model.config, by) else None)
        if is_heard(window, model.config, steps):
            break
    return window


def _to_the_end(
    decode: WindowDecode, begun: WindowTokens, by: int, steps: int, early: Callable[[WindowTokens], None] | None
) -> WindowTokens:
    """The window of a decode with one row whose first `by` steps are there."""
    if steps <= by or decode.done:
        return begun
    if early is not None:
        early(begun)
    return decode.run(steps)[0].window


def _chances_to_be_taken(model: CompiledModel, windows: Sequence[WindowTokens], seed: int) -> list[float]:
    """By chance and the judge's odds, so that the greatest is a draw by those."""
    chance = noise.gumbel(seed, noise.DRAWS, 0, 1, len(windows))[0]
    odds: list[float] = (_VERDICT_WEIGHT * model.verdict(means_of(model, windows)).cpu().numpy() + chance).tolist()
    return odds


def vary_bars(
    model: CompiledModel,
    present: Bars,
    amount: float,
    seed: int,
    temperature: float,
    steering: Steering = PLAIN,
) -> Bars:
    """Bars near `present`: 0 gives it back as it is (in the key that binds), 1 something that only shares its key,
    register and length. They are nearer than that where nothing would be struck so far away.
    """
    present = _in_key(present, steering, model.config, _STAY_NEAR)
    if amount <= 0.0 or not present.notes:
        return present
    source = encode_bars(model, present)
    ways = (_varied(model, source, amount * share, seed, temperature, steering) for share in _VARY_NEARER)
    return next((made for made in ways if made.notes), present)


def _varied(
    model: CompiledModel, source: Encoded, amount: float, seed: int, temperature: float, steering: Steering
) -> Bars:
    config, length = model.config, source.bars.length
    keep = math.cos(min(1.0, amount) * math.pi / 2.0)
    bonus = _VARY_BONUS_NATS * max(0.0, 1.0 - 2.0 * amount)
    heat = temperature * MORPH_TEMPERATURE
    forms, windows = own_forms(source.windows, config), []
    for index, window in enumerate(source.windows):
        bias = steered_bias(steering, source.windows, config, source.frame, index * config.steps)
        bias = bias + token_bonus(window.tokens, bonus, config)
        z = towards_prior(model, source.means[index], keep, noise.derived(seed, index, 2))
        row_seed = noise.derived(seed, index, 1)
        steps, first_step = min(config.steps, _steps_left(length, index, config)), index * config.steps
        form = None if forms is None else forms[index]
        made = _best_of(model, repeat(z), steering, row_seed, heat, bias, steps, first_step, form=form)
        windows.append(rested(made, config, source.windows))
    return to_bars(windows, source.frame, config, length)


def reconstruct_bars(
    model: CompiledModel, bars: Bars, seed: int, temperature: float, steering: Steering = PLAIN
) -> Bars:
    """Bars through encoder and decoder: each window at a point drawn from its posterior; where nothing is played
    nothing comes back.
    """
    source = encode_bars(model, bars)
    windows = []
    for index, heard in enumerate(source.windows):
        if is_silent(heard, model.config):
            windows.append(heard)
            continue
        row_seed = noise.derived(seed, index)
        white = torch.from_numpy(noise.normal(row_seed, noise.LATENT, model.config.latent_size))
        z = source.means[index] + source.spreads[index] * white
        bias = steered_bias(steering, (), model.config, source.frame, index * model.config.steps)
        windows.append(rested(decode_point(model, z, row_seed, temperature, bias).window, model.config, source.windows))
    return to_bars(windows, source.frame, model.config, bars.length)


def warm_up(model: CompiledModel) -> None:
    """Run everything a voice asks for, in the shapes it asks for it, until none of it is slow for being the first."""
    whole, beat = model.config.stream_steps, STEPS_PER_BEAT
    model.warm_up(((1, whole), (CANDIDATES, whole), (1, beat), (CANDIDATES, beat)))
    steering = Steering(scale_of(0, "major"), surprise=0.5)
    for seed in range(WARM_UP_RUNS):
        made = sample_bars(model, model.config.bars, seed, 1.0, steering)
        if made.notes:
            continue_bars(model, made, model.config.bars, seed, 1.0, steering)
    model.settle()
