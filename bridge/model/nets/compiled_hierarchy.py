"""The resident hierarchical models: a bar can be decoded, and heard, long before the others are.

From outside it is a `CompiledModel` whose windows have many bars. Inside, z is turned into an embedding a bar and part
once (`start`), and each bar is decoded from its own by the compiled 1-bar model: in order, when a few steps are asked
for; all at once, as so many rows, when whole bars are. A bar's tokens do not depend on which of the two it was.

A trio's windows are streams: bar by bar, and in each bar the steps of the melody, of the bass and of the drums. Its
classes are as many as the drums have; those that a line has not are ruled out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bridge.model.nets.compiled import PRIOR_METHODS, WARM_UP_RUNS, CompiledModel, DecodeState, Scripted
from bridge.model.nets.config import ModelConfig
from bridge.model.nets.flow import Flow
from bridge.model.nets.hierarchy import HierarchicalVae, narrowed, told_straight, widened
from bridge.model.nets.latent_maps import LatentMaps
from bridge.model.nets.recurrent import reader, runner
from bridge.model.nets.scripting import exported, scripted
from bridge.model.nets.vae import DYNAMICS
from bridge.music.grids import DRUM_CLASSES, Ints
from bridge.music.notes import STEPS_PER_BAR


class _Begun(NamedTuple):
    """The states before every bar of one part: hidden and cell (B, U, H), z's share of the sums, tokens (B, U)."""

    tensors: tuple[Tensor, ...]
    step: Tensor

    @classmethod
    def of(cls, model: CompiledModel, told: Tensor) -> _Begun:
        """From what each bar is to be (B, U, E)."""
        *states, step = model.start(told.flatten(0, 1))
        return cls(tuple(x.reshape(*told.shape[:2], *x.shape[1:]) for x in states), step)

    def of_row(self, row: int) -> _Begun:
        """Those of one of the rows alone."""
        return self._replace(tensors=tuple(x[row : row + 1] for x in self.tensors))

    def of_bars(self, bars: slice) -> DecodeState:
        """Those of some of the bars, (B x bars) rows of one decode."""
        return DecodeState._make([*(x[:, bars].flatten(0, 1) for x in self.tensors), self.step])


class LongState(NamedTuple):
    """Where a decode of a long window stands, to go on from: B rows.

    `begun` has the states before the U bars of each part, (B, U) rows each; `inner` is the state inside the bar (of one
    part) that `step`, the next one of the stream, lies in, None where a bar begins there.
    """

    begun: tuple[_Begun, ...]
    inner: DecodeState | None
    step: int

    def of_row(self, row: int) -> LongState:
        """The state of one of the rows alone."""
        begun = tuple(part.of_row(row) for part in self.begun)
        return LongState(begun, self.inner and self.inner.of_row(row), self.step)


class _Upper(Scripted):
    """The scripted upper levels: the encoder over bars, the conductor, and the prior of z."""

    def __init__(self, model: HierarchicalVae, flow: Flow, int8: bool) -> None:
        super().__init__(flow)
        config = model.config
        self.joins: bool = model.upper.join is not None
        self.join: nn.Module = nn.Identity() if model.upper.join is None else model.upper.join
        self.reader, self.mean, self.spread = reader(model.upper.lstm, int8=int8), model.upper.mean, model.upper.spread
        self.narrow, self.read_straight = model.upper.narrow.weight, model.upper.straight.weight
        self.hears: bool = model.conductor.hear is not None
        self.hear: nn.Module = nn.Identity() if model.conductor.hear is None else model.conductor.hear
        self.places, self.first_state = model.conductor.places.weight, model.conductor.first_state
        self.conductor, self.out = runner(model.conductor.lstm, int8=int8), model.conductor.out
        self.tell_straight, self.widen = model.conductor.straight.weight, model.conductor.widen.weight
        self.parts: int = len(config.bar_models)

    @exported
    def read(self, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread (B, Z) from embeddings (B, U, P, E)."""
        x = embedded.flatten(2)
        straight = told_straight(narrowed(embedded, self.narrow), self.read_straight)
        if self.joins:
            x = torch.tanh(self.join(x))
        state = self.reader(x)
        return self.mean(state) + straight, torch.nn.functional.softplus(self.spread(state) + 0.5) + 1e-3

    @exported
    def conduct(self, z: Tensor) -> Tensor:
        """Embeddings (B, U, P, E) from z (B, Z)."""
        heard = z
        if self.hears:
            heard = self.hear(z)
        both = torch.tanh(self.first_state(heard))
        half = both.size(1) // 2
        hidden = self.conductor(heard.unsqueeze(1) + self.places.unsqueeze(0), both[:, :half], both[:, half:])
        told = self.out(hidden).view(z.size(0), hidden.size(1), self.parts, -1)
        embeddings: Tensor = told + widened(z, self.tell_straight, self.widen, self.parts, hidden.size(1))
        return embeddings


class CompiledHierarchy(CompiledModel):
    """A hierarchical model, compiled and resident on a device; shared, and by one thread, as `CompiledModel` is."""

    def __init__(
        self,
        model: HierarchicalVae,
        flow: Flow,
        device: torch.device,
        *,
        maps: LatentMaps,
        int8: bool | None = None,
    ) -> None:
        config = model.config
        wide = config.bar_models[0].latent_size
        nowhere = Flow(wide, 2)
        self.bars = [
            CompiledModel(model.bar_model(part), nowhere, device, maps=maps, int8=int8)
            for part in range(len(config.bar_models))
        ]
        self.config: ModelConfig = config
        self.device, self.maps, self.int8 = device, maps, self.bars[0].int8
        self.prior_mean = flow.centre.detach().cpu()
        self.keys: list[float] = flow.keys.tolist()
        self.has_critic, self.has_judge, self.exemplars = flow.critic.speaks, flow.judge.speaks, len(flow.exemplars)
        self.forms: Ints = flow.forms.cpu().numpy().astype(np.int64)
        model, flow = copy.deepcopy(model).to(device).float(), copy.deepcopy(flow).to(device).float()
        upper = _Upper(model, flow, self.int8)
        self._module: Any = scripted(upper, ["read", "conduct", *PRIOR_METHODS])

    @torch.inference_mode()
    def encode(
        self, tokens: Tensor, velocities: Tensor | None = None, offsets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, Z) of windows: tokens (B, T), of a trio the stream (B, 3T); with drums also
        velocities (0-127) and offset bins (B, T, 9), of a trio (B, 3T, 9).
        """
        count, parts = len(tokens), len(self.bars)
        read = []
        for part, bar in enumerate(self.bars):
            pieces = [
                None if x is None else x.reshape(count * self.config.bars, parts, STEPS_PER_BAR, *x.shape[2:])[:, part]
                for x in (tokens, velocities, offsets)
            ]
            assert pieces[0] is not None
            mean, _ = bar.encode(pieces[0], pieces[1], pieces[2])
            read.append(mean.reshape(count, self.config.bars, -1))
        mean, spread = self._module.read(torch.stack(read, dim=2))
        return mean, spread

    @torch.inference_mode()
    def conduct(self, z: Tensor) -> Tensor:
        """What each bar is to be: embeddings (B, U, P, E) from z (B, Z)."""
        embeddings: Tensor = self._module.conduct(z.to(self.device))
        return embeddings

    def start(self, z: Tensor) -> LongState:  # type: ignore[override]
        """The state before step 0 of the windows at z (B, Z)."""
        return self.begin(self.conduct(z))

    def begin(self, told: Tensor) -> LongState:
        """The state before step 0 of windows whose bars are to be `told` (B, U, P, E)."""
        return LongState(tuple(_Begun.of(bar, told[:, :, part]) for part, bar in enumerate(self.bars)), None, 0)

    def decode(  # type: ignore[override]
        self, state: LongState, gumbel: Tensor, temperature: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, LongState]:
        """Decode the next n steps of the stream: see `CompiledModel.decode`. Any chunking gives the same tokens."""
        pieces: list[tuple[Tensor, Tensor, Tensor]] = []
        for piece in _pieces(state.step, gumbel.shape[1]):
            decode = self._whole_bars if piece.stop - piece.start > STEPS_PER_BAR else self._in_one_bar
            made, state = decode(state, gumbel[:, piece], temperature, bias[:, piece])
            pieces.append(made)
        tokens, chances, hidden = (torch.cat([piece[i] for piece in pieces], 1) for i in range(3))
        return tokens, chances, hidden, state

    def _in_one_bar(
        self, state: LongState, gumbel: Tensor, temperature: Tensor, bias: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], LongState]:
        bar, part = divmod(state.step // STEPS_PER_BAR, len(self.bars))
        model, classes = self.bars[part], self.bars[part].config.classes
        inner = state.inner or state.begun[part].of_bars(slice(bar, bar + 1))
        tokens, chances, hidden, inner = _decoded(model, inner, gumbel[..., :classes], temperature, bias[..., :classes])
        step = state.step + gumbel.shape[1]
        after = LongState(state.begun, None if step % STEPS_PER_BAR == 0 else inner, step)
        return (tokens, chances, self._widened(hidden)), after

    def _whole_bars(
        self, state: LongState, gumbel: Tensor, temperature: Tensor, bias: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], LongState]:
        """Whole bars from the beginning of one, as rows of one decode a part."""
        rows, count, parts = len(gumbel), gumbel.shape[1] // STEPS_PER_BAR, len(self.bars)
        first = state.step // STEPS_PER_BAR
        whose = (first + torch.arange(count)) % parts
        made: list[list[Tensor]] = [[torch.empty(0)] * count for _ in range(3)]
        for part, model in enumerate(self.bars):
            mine = (whose == part).nonzero().flatten()
            if not len(mine):
                continue
            classes = model.config.classes
            grain, lean = (
                x.reshape(rows, count, STEPS_PER_BAR, -1)[:, mine, :, :classes].flatten(0, 1) for x in (gumbel, bias)
            )
            first_bar = (first + int(mine[0])) // parts
            begun = state.begun[part].of_bars(slice(first_bar, first_bar + len(mine)))
            played = _decoded(model, begun, grain, temperature.repeat_interleave(len(mine)), lean)
            for into, values in zip(made, (played[0], played[1], self._widened(played[2])), strict=True):
                by_bar = values.reshape(rows, len(mine), *values.shape[1:]).unbind(1)
                for place, bar in zip(mine.tolist(), by_bar, strict=True):
                    into[place] = bar
        tokens, chances, hidden = (torch.cat(bars, 1) for bars in made)
        return (tokens, chances, hidden), LongState(state.begun, None, state.step + gumbel.shape[1])

    def _widened(self, hidden: Tensor) -> Tensor:
        """Hidden states as wide as the widest part's."""
        widest = max(model.config.decoder_size for model in self.bars)
        return torch.nn.functional.pad(hidden, (0, widest - hidden.shape[-1]))

    def dynamics(  # type: ignore[override]
        self, hidden: Tensor, state: LongState, tokens: Tensor, gumbel: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Velocity bins and offset bins (B, n, 9) for the n steps of the stream before `state`, with the hidden states
        they came with; 0 in the steps of lines.
        """
        rows, parts, model = len(tokens), len(self.bars), self.bars[-1]
        first = state.step - tokens.shape[1]
        made = torch.zeros(2, *tokens.shape, DRUM_CLASSES, dtype=torch.long, device=self.device)
        for piece in _pieces(first, tokens.shape[1]):
            begun, end = (first + piece.start) // STEPS_PER_BAR, -(-(first + piece.stop) // STEPS_PER_BAR)
            mine = slice((parts - 1 - begun) % parts, None, parts)  # the drums' of the bars that it lies in
            first_bar, count = begun // parts, len(range(begun, end)[mine])
            if not count:
                continue
            inner = state.begun[-1].of_bars(slice(first_bar, first_bar + count))

            def bars(x: Tensor, piece: slice = piece, count: int = end - begun) -> Tensor:
                return x[:, piece].reshape(rows, count, -1, *x.shape[2:])

            own = hidden[..., : model.config.decoder_size]
            states, played, grain = (bars(x)[:, mine].flatten(0, 1) for x in (own, tokens, gumbel))
            heat = temperature.repeat_interleave(count)
            for into, found in zip(made, model.dynamics(states, inner, played, grain, heat), strict=True):
                bars(into)[:, mine] = found.reshape(rows, -1, *found.shape[1:])
        return made[0], made[1]

    def warm_up(self, shapes: tuple[tuple[int, int], ...]) -> None:
        """Run every (batch, steps) shape that will be used, `WARM_UP_RUNS` times, so that no click pays for it."""
        config, parts = self.config, len(self.bars)
        stream, drums = config.steps * parts, config.parts[-1] == "drums"
        for batch, steps in shapes:
            gumbel = torch.zeros(batch, steps, config.classes)
            for _ in range(WARM_UP_RUNS):
                tokens = torch.zeros(batch, stream, dtype=torch.long)
                dynamics = torch.zeros(batch, stream, DRUM_CLASSES, dtype=torch.long) if drums else None
                self.encode(tokens, dynamics, dynamics)
                z = self.prior(torch.full((batch,), 0.5), torch.zeros(batch, config.latent_size))
                played, _, hidden, after = self.decode(
                    self.start(z), gumbel, torch.ones(batch), torch.zeros_like(gumbel)
                )
                if drums:
                    grain = torch.zeros(batch, steps, DRUM_CLASSES, DYNAMICS)
                    self.dynamics(hidden, after, played, grain, torch.ones(batch))

    def settle(self) -> None:
        """It is warm: see `CompiledModel.settle`."""
        for bar in self.bars:
            bar.settle()


def _decoded(
    model: CompiledModel, state: DecodeState, gumbel: Tensor, temperature: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor, DecodeState]:
    """Steps of rows, each as it is among others: a single one is decoded twice."""
    if len(gumbel) > 1:
        return model.decode(state, gumbel, temperature, bias)
    *states, step = state
    rows = DecodeState._make([*(x.expand(2, *x.shape[1:]) for x in states), step])
    grain, heat, lean = (x.expand(2, *x.shape[1:]) for x in (gumbel, temperature, bias))
    tokens, chances, hidden, after = model.decode(rows, grain, heat, lean)
    return tokens[:1], chances[:1], hidden[:1], after.of_row(0)


def _pieces(first: int, steps: int) -> Iterator[slice]:
    """So many steps from `first` on in as few pieces as there can be of which none lies in one bar and a part of
    another: what is left of the bar, whole bars, and the beginning of one.
    """
    done = 0
    while done < steps:
        inside = (first + done) % STEPS_PER_BAR
        whole = (steps - done) // STEPS_PER_BAR if inside == 0 else 0
        take = whole * STEPS_PER_BAR or min(steps - done, STEPS_PER_BAR - inside)
        yield slice(done, done + take)
        done += take
