"""Decoding of windows in chunks of any length, with noise that belongs to (seed, step, class).

The engine decodes a beat at a time and looks at its queue in between; a whole decode is one chunk. Either way, and for
a row alone or among others, the tokens are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets import noise
from bridge.model.nets.compiled import CompiledModel, DecodeState
from bridge.model.nets.config import ModelConfig
from bridge.model.nets.vae import DYNAMICS
from bridge.model.playing.framing import WindowTokens, drum_window, unstreamed
from bridge.music.grids import DRUM_CLASSES, VELOCITY_BINS
from bridge.music.notes import STEPS_PER_BAR, STEPS_PER_BEAT


@dataclass(frozen=True, slots=True)
class Decoded:
    """One row of a finished decode: its window, and the log probability of each step's token (T,)."""

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


class WindowDecode:
    """A decode of B windows that can be advanced step by step; a trio's windows are streams (see `ModelConfig`).

    `z` (B, Z); `seeds` one a row; `temperature` of all rows; `bias` (T, C) or (B, T, C) is added to the logits.
    """

    def __init__(
        self, model: CompiledModel, z: Tensor, seeds: Sequence[int], temperature: float, bias: Tensor | None = None
    ) -> None:
        config = model.config
        rows = len(seeds)
        self._model, self._seeds = model, list(seeds)
        self._temperature = torch.full((rows,), max(0.01, temperature))
        if bias is None:
            bias = torch.zeros(1, config.classes).expand(config.stream_steps, -1)
        self._bias = bias.expand(rows, config.stream_steps, config.classes) if bias.dim() == 2 else bias
        self._state: DecodeState = model.start(z)
        self.step = 0
        self._tokens: list[Tensor] = []
        self._chances: list[Tensor] = []
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
        gumbel = self._noise(noise.TOKENS, steps, config.classes)
        bias = self._bias[:, self.step : self.step + steps]
        tokens, chances, hidden, self._state = self._model.decode(self._state, gumbel, self._temperature, bias)
        if "drums" in config.parts:
            grain = self._noise(noise.DYNAMICS, steps, DRUM_CLASSES * DYNAMICS)
            grain = grain.view(-1, steps, DRUM_CLASSES, DYNAMICS)
            velocities, offsets = self._model.dynamics(hidden, self._state, tokens, grain, self._temperature)
            self._velocities.append(velocities.cpu())
            self._offsets.append(offsets.cpu())
        self._tokens.append(tokens.cpu())
        self._chances.append(chances.cpu())
        self.step += steps

    def _noise(self, stream: int, steps: int, classes: int) -> Tensor:
        rows = [noise.gumbel(seed, stream, self.step, steps, classes) for seed in self._seeds]
        return torch.from_numpy(np.stack(rows))

    def run(self, at_every_beat: Callable[[], None] | None = None) -> list[Decoded]:
        """Decode what is left, and return every row; `at_every_beat` is called after each beat but the last."""
        while at_every_beat is not None and self.step + STEPS_PER_BEAT < self._model.config.stream_steps:
            self.advance(STEPS_PER_BEAT)
            at_every_beat()
        self.advance(self._model.config.stream_steps)
        return self.rows()

    def rows(self) -> list[Decoded]:
        """What has been decoded so far, row by row."""
        tokens = torch.cat(self._tokens, 1).numpy()
        chances = torch.cat(self._chances, 1).numpy()
        if not self._velocities:
            return [Decoded(WindowTokens(t), c) for t, c in zip(tokens, chances, strict=True)]
        velocities, offsets = torch.cat(self._velocities, 1).numpy(), torch.cat(self._offsets, 1).numpy()
        assert int(velocities.max(initial=0)) < VELOCITY_BINS
        return [
            Decoded(drum_window(t, v, o), c) for t, v, o, c in zip(tokens, velocities, offsets, chances, strict=True)
        ]
