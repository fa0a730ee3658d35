"""Decoding of windows in chunks of any length, with noise that belongs to (seed, step, class).

The engine decodes a beat at a time and looks at its queue in between; a whole decode is one chunk. Either way the
tokens are the same; those of a row among others are too, but for sums that a batch rounds otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets import noise
from bridge.model.nets.compiled import CompiledModel, DecodeState
from bridge.model.nets.compiled_hierarchy import CompiledHierarchy
from bridge.model.nets.config import ModelConfig
from bridge.model.nets.vae import DYNAMICS
from bridge.model.playing.forms import drawn_forms, formed, steps_of
from bridge.model.playing.framing import WindowTokens, drum_window, unstreamed
from bridge.music.grids import DRUM_CLASSES, VELOCITY_BINS, Ints
from bridge.music.notes import STEPS_PER_BAR, STEPS_PER_BEAT

_pause: ContextVar[Callable[[], None] | None] = ContextVar("pause", default=None)


@contextmanager
def between_beats(pause: Callable[[], None] | None) -> Iterator[None]:
    """Whatever is decoded in here is decoded a beat at a time (of a trio, whose stream is three times as long, a bar of
    one of its parts), with a call of `pause` after each but the last; what that decodes itself, and with None
    everything, in one go. What it raises ends the decode.
    """
    token = _pause.set(pause)
    try:
        yield
    finally:
        _pause.reset(token)


def look_about() -> None:
    """Do now what `between_beats` was given, if anything."""
    pause = _pause.get()
    if pause is not None:
        with between_beats(None):
            pause()


@dataclass(frozen=True, slots=True)
class Decoded:
    """One row of a decode: its window as far as it is decoded, whole bars of it, and the log probability of each step's
    token (T,).
    """

    window: WindowTokens
    log_probabilities: np.ndarray[Any, np.dtype[np.float32]]

    @property
    def surprise_nats(self) -> float:
        """How unlikely the model finds what it played."""
        return -float(self.log_probabilities.sum())


def parts_of(row: Decoded, config: ModelConfig) -> list[Decoded]:
    """A row of a trio, of as many whole bars as are decoded, part by part; of a model with one part, the row."""
    if len(config.parts) == 1:
        return [row]
    bars = row.log_probabilities.reshape(-1, len(config.parts), STEPS_PER_BAR)
    windows = unstreamed(row.window, config)
    return [Decoded(window, bars[:, part].reshape(-1)) for part, window in enumerate(windows)]


def filled_row(row: Decoded, config: ModelConfig) -> Decoded:
    """A row of which only the first bars are decoded, filled from its beginning as a short loop is."""
    if len(row.log_probabilities) == config.stream_steps:
        return row

    def whole(column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.resize(column, (config.stream_steps, *column.shape[1:]))

    tokens, *dynamics = row.window.tokens, row.window.velocities, row.window.offsets
    velocities, offsets = (None if column is None else whole(column) for column in dynamics)
    return Decoded(WindowTokens(whole(tokens), velocities, offsets), whole(row.log_probabilities))


class _Struck(NamedTuple):
    """Steps of B rows from step `first` on whose tokens (B, n) are known, but not how hard and early they are struck:
    that follows from the hidden states (B, n, H) they came with, and the state `after` them.
    """

    first: int
    tokens: Tensor
    hidden: Tensor
    after: DecodeState

    def of_row(self, row: int) -> _Struck:
        """One of the rows alone."""
        one = slice(row, row + 1)
        return _Struck(self.first, self.tokens[one], self.hidden[one], self.after.of_row(row))


class WindowDecode:
    """A decode of B windows that can be advanced step by step; a trio's windows are streams (see `ModelConfig`).

    `z` (B, Z); `seeds` one a row; `temperature` of all rows; `bias` (T, C) or (B, T, C) is added to the logits.
    Some bars of long windows come back: of `new` ones by a form that songs have, where the model knows any, else by
    `forms` (B, U, P), where they are given. Of a long window what comes before the bar that begins at step `first` can
    be left out, and is not among what comes of it.
    """

    def __init__(
        self,
        model: CompiledModel,
        z: Tensor,
        seeds: Sequence[int],
        temperature: float,
        bias: Tensor | None = None,
        *,
        new: bool = False,
        forms: Ints | None = None,
        first: int = 0,
    ) -> None:
        config = model.config
        rows = len(seeds)
        self._model, self._seeds = model, list(seeds)
        self._temperature = torch.full((rows,), max(0.01, temperature))
        if bias is None:
            bias = torch.zeros(1, config.classes).expand(config.stream_steps, -1)
        self._bias = bias.expand(rows, config.stream_steps, config.classes) if bias.dim() == 2 else bias
        self._forms: Ints | None = None
        if isinstance(model, CompiledHierarchy) and (forms is not None or (new and len(model.forms))):
            told = model.conduct(z)
            self._forms = drawn_forms(model.forms, told, seeds) if forms is None else forms
            self._state: DecodeState = model.begin(formed(told, self._forms))  # type: ignore[assignment]
        else:
            self._state = model.start(z)
        self.step = first
        if first:
            self._state = self._state._replace(step=first)  # type: ignore[arg-type]
        self._tokens: list[Tensor] = []
        self._chances: list[Tensor] = []
        self._struck: list[_Struck] = []
        self._velocities: list[Tensor] = []
        self._offsets: list[Tensor] = []

    @property
    def done(self) -> bool:
        """Whether the whole window is decoded."""
        return self.step >= self._model.config.stream_steps

    def advance(self, steps: int) -> None:
        """Decode up to `steps` more steps."""
        config = self._model.config
        steps = min(steps, config.stream_steps - self.step)
        if steps <= 0:
            return
        gumbel = self._noise(noise.TOKENS, self.step, steps, config.classes)
        bias = self._bias[:, self.step : self.step + steps]
        tokens, chances, hidden, self._state = self._model.decode(self._state, gumbel, self._temperature, bias)
        if "drums" in config.parts:
            self._struck.append(_Struck(self.step, tokens, hidden, self._state))
        self._tokens.append(tokens.cpu())
        self._chances.append(chances.cpu())
        self.step += steps

    def keep(self, row: int) -> None:
        """Go on with one of the rows alone."""
        one = slice(row, row + 1)
        self._seeds, self._temperature, self._bias = self._seeds[one], self._temperature[one], self._bias[one]
        self._forms = None if self._forms is None else self._forms[one]
        self._state = self._state.of_row(row)
        self._struck = [struck.of_row(row) for struck in self._struck]
        for made in (self._tokens, self._chances, self._velocities, self._offsets):
            made[:] = [values[one] for values in made]

    def _noise(self, stream: int, first: int, steps: int, classes: int) -> Tensor:
        pieces = [[(first, steps)]] * len(self._seeds)
        if self._forms is not None:
            pieces = [steps_of(form, first, steps) for form in self._forms]
        rows = [
            np.concatenate([noise.gumbel(seed, stream, at, count, classes) for at, count in own])
            for seed, own in zip(self._seeds, pieces, strict=True)
        ]
        return torch.from_numpy(np.stack(rows))

    def _give_dynamics(self) -> None:
        """Work out how hard and how early what was struck is struck, where that is not known yet."""
        for first, tokens, hidden, after in self._struck:
            steps = tokens.shape[1]
            if not self._is_of_drums(first, steps):
                nothing = torch.zeros(*tokens.shape, DRUM_CLASSES, dtype=torch.long)
                self._velocities.append(nothing)
                self._offsets.append(nothing)
                continue
            grain = self._noise(noise.DYNAMICS, first, steps, DRUM_CLASSES * DYNAMICS)
            grain = grain.view(-1, steps, DRUM_CLASSES, DYNAMICS)
            velocities, offsets = self._model.dynamics(hidden, after, tokens, grain, self._temperature)
            self._velocities.append(velocities.cpu())
            self._offsets.append(offsets.cpu())
        self._struck.clear()

    def _is_of_drums(self, first: int, steps: int) -> bool:
        """Whether any of so many steps from `first` on are the drums'; in a trio's stream two bars of three are not."""
        parts = self._model.config.parts
        bars = range(first // STEPS_PER_BAR, -(-(first + steps) // STEPS_PER_BAR))
        return any(parts[bar % len(parts)] == "drums" for bar in bars)

    def run(self, steps: int | None = None) -> list[Decoded]:
        """Decode what is left, or on to the end of the bar in which the window's first `steps` end, and return every
        row. Between beats what `between_beats` was given is called.
        """
        self._go_on_to(steps, self._give_dynamics)
        return self.rows()

    def run_bare(self, steps: int | None = None) -> list[Decoded]:
        """The same, of drums without how hard and how early they are struck: to choose a row by, and `keep` it. What
        is not kept is spared that work.
        """
        self._go_on_to(steps, lambda: None)
        return self._bare_rows()

    def _go_on_to(self, steps: int | None, after_each: Callable[[], None]) -> None:
        config = self._model.config
        bars = config.bars if steps is None else min(config.bars, max(1, math.ceil(steps / STEPS_PER_BAR)))
        end = bars * STEPS_PER_BAR * len(config.parts)
        chunk = STEPS_PER_BEAT if len(config.parts) == 1 else STEPS_PER_BAR
        while _pause.get() is not None and self.step + chunk < end:
            self.advance(chunk)
            after_each()
            look_about()
        self.advance(end - self.step)
        after_each()

    def _bare_rows(self) -> list[Decoded]:
        tokens, chances = torch.cat(self._tokens, 1).numpy(), torch.cat(self._chances, 1).numpy()
        return [Decoded(WindowTokens(t), c) for t, c in zip(tokens, chances, strict=True)]

    def rows(self) -> list[Decoded]:
        """What has been decoded so far, row by row."""
        self._give_dynamics()
        rows = self._bare_rows()
        if not self._velocities:
            return rows
        velocities, offsets = torch.cat(self._velocities, 1).numpy(), torch.cat(self._offsets, 1).numpy()
        assert int(velocities.max(initial=0)) < VELOCITY_BINS
        return [
            Decoded(drum_window(row.window.tokens, v, o), row.log_probabilities)
            for row, v, o in zip(rows, velocities, offsets, strict=True)
        ]
