"""A fill: one bar of a drum loop, or of a trio's drums, played otherwise, everything round it as it is.

The bar is decoded as the last of its window, after the bars that sound before it: from the loop's own point, moved
along the model's `fill` direction, with a growing lean on snare and toms. Of several candidates the fullest is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets import noise
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import ModelConfig
from bridge.model.playing.candidates import CANDIDATES
from bridge.model.playing.decoding import Decoded, WindowDecode
from bridge.model.playing.encoding import encode_bars
from bridge.model.playing.framing import Frame, WindowTokens, in_stream, part_of, to_bars, to_windows, window_beats
from bridge.model.playing.keeping import FORBIDDEN
from bridge.music.grids import Ints, drums_in
from bridge.music.notes import STEP_BEATS, STEPS_PER_BAR, STEPS_PER_BEAT, Bars, in_order
from bridge.music.splice import sounding_from, with_bar

_FILL_CLASSES = (1, 4, 5, 6)  # snare and toms
_TIME_CLASSES = (2, 8)  # closed hat and ride keep the time that a fill breaks
_AMOUNT = 1.0  # of the `fill` attribute's knob
_BEAT_NATS = 2.0  # for the loop's own hits on the bar's first beat
_FILL_NATS = 5.0
_TIME_NATS = -3.0
_REST_NATS = -2.5
_NATS_WORTH_A_HIT = 12.0
_ALONE = 3.0  # so many times as hard where no direction goes beside the push
_PUSHES = (1.0, 2.0, 4.0)  # how hard, until something is played otherwise: a bare bar likes to stay as it is


def with_fill(
    model: CompiledModel, loop: Bars, start_beats: float, bar_beats: float, seed: int, temperature: float
) -> Bars:
    """The loop with a fill in the bar that begins at `start_beats`; of a trio's in the drums alone.

    Raises:
        ValueError: a model without drums.
    """
    config = model.config
    if "drums" not in config.parts:
        raise ValueError(f"{config.name} plays no drums")
    part = config.parts.index("drums")
    mine, beats = config.of_part(part), window_beats(config)
    window = sounding_from(loop, start_beats + bar_beats - beats, beats, config.part)
    tokens = to_windows(_drums_in(window, config), Frame(), mine)[0]
    first = max(0, config.steps - round(bar_beats / STEP_BEATS))
    point, hardness = encode_bars(model, window).means[0], _ALONE
    if "fill" in config.mapped:
        point, hardness = point + model.maps.offset(config.mapped, {"fill": _AMOUNT}), 1.0
    seeds = [noise.derived(seed, row) for row in range(CANDIDATES)]
    for push in _PUSHES:
        bias = _fill_bias(tokens, first, mine, hardness * push)
        rows = _decoded(model, point, seeds, temperature, tokens, first, bias)
        best = max(rows, key=lambda row: _fullness(row, first))
        if (best.window.tokens[first:] != tokens.tokens[first:]).any():
            break
    played = to_bars([best.window], Frame(), mine, beats)
    filled = with_bar(_drums_in(loop, config), played, start_beats, bar_beats, first * STEP_BEATS - start_beats)
    if len(config.parts) == 1:
        return filled
    others = (note for note in loop.notes if note.part != part)
    return Bars(in_order([*others, *(note.in_part(part) for note in filled.notes)]), loop.length)


def _drums_in(bars: Bars, config: ModelConfig) -> Bars:
    """The drums of bars, as a loop of their own."""
    return bars if len(config.parts) == 1 else part_of(bars, config.parts.index("drums"))


def _decoded(
    model: CompiledModel,
    point: Tensor,
    seeds: Sequence[int],
    temperature: float,
    tokens: WindowTokens,
    first: int,
    bias: Tensor,
) -> list[Decoded]:
    """Candidates for drums like `tokens` but from step `first` on, with a bias (T, C). Of bars that are decoded each
    from its own point, whatever comes before, those are not that come before.
    """
    config, parts = model.config, len(model.config.parts)
    begin = first - first % STEPS_PER_BAR if config.bar_models else 0
    at = begin * parts + STEPS_PER_BAR * (parts - 1)  # in the stream the drums' bar is the last of its parts'
    pulls = in_stream([torch.zeros_like(bias)] * (parts - 1) + [bias], config)
    rows = WindowDecode(model, point.expand(len(seeds), -1), seeds, temperature, pulls, first=at).run()

    def drums(column: Any) -> Any:
        return column.reshape(-1, STEPS_PER_BAR, *column.shape[1:])[::parts].reshape(-1, *column.shape[1:])

    def whole(before: Ints | None, made: Ints | None) -> Ints | None:
        return None if before is None or made is None else np.concatenate([before[:begin], drums(made)])

    found = []
    for row in rows:
        made = row.window
        columns = whole(tokens.velocities, made.velocities), whole(tokens.offsets, made.offsets)
        window = WindowTokens(np.concatenate([tokens.tokens[:begin], drums(made.tokens)]), *columns)
        found.append(Decoded(window, drums(row.log_probabilities)))
    return found


def _fill_bias(window: WindowTokens, first: int, config: ModelConfig, push: float) -> Tensor:
    """The bias (T, C): what comes before the bar is forced, the bar itself is pushed to turn into a fill."""
    tokens = torch.from_numpy(window.tokens.astype(np.int64))
    steps = torch.arange(config.steps)
    bias = torch.zeros(config.steps, config.classes)
    bias[:first] = FORBIDDEN
    bias[steps[:first], tokens[:first]] = 0.0
    ramp = torch.linspace(0.0, 1.0, max(1, config.steps - first))[:, None]
    sets = torch.arange(config.classes)
    hits = _any_of(sets, _FILL_CLASSES) * _FILL_NATS + _any_of(sets, _TIME_CLASSES) * _TIME_NATS
    hits[0] = _REST_NATS
    bias[first:] = push * ramp * hits
    on_the_one = slice(first, min(first + STEPS_PER_BEAT, config.steps))
    bias[steps[on_the_one], tokens[on_the_one]] += _BEAT_NATS
    return bias


def _any_of(sets: Tensor, classes: tuple[int, ...]) -> Tensor:
    """1 for the sets of hits that hold one of the classes, 0 for the others."""
    mask = sum(1 << drum for drum in classes)
    return ((sets & mask) > 0).float()


def _fullness(row: Decoded, first: int) -> float:
    """How much of a fill a candidate is, unlikely hits counting for less."""
    bits: Ints = drums_in(row.window.tokens[first:])
    return float(bits[:, _FILL_CLASSES].sum()) - row.surprise_nats / _NATS_WORTH_A_HIT
