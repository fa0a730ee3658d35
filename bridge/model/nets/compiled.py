"""The resident models: one scripted, frozen module per model.

Everything that does not change while a loop is decoded is worked out beforehand: token to gates as a table, place to
gates as a table, the latent's share of the gates once per loop, what is read as gates once per window. What is left per
step is one recurrent product (int8 where the machine has it: a fixed input scale, so that a row hardly depends on its
batch) and one output product: that of drums, for 512 sets of hits, in int8 too. As float32 it is 1 MB that every step
reads, and drives the recurrent weights out of a core's L2; a decode took twice as long.
Noise is always an argument; nothing in here is random, and nothing remembers.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bridge.model.nets.config import ModelConfig
from bridge.model.nets.flow import MEMORY, Flow
from bridge.model.nets.latent_maps import LatentMaps
from bridge.model.nets.recurrent import following, product, reader
from bridge.model.nets.scripting import exported, int8_works, kept, scripted
from bridge.model.nets.vae import DYNAMICS, NEUTRAL_VELOCITY, MusicVae, allowed_bias, weights_of
from bridge.music.grids import DRUM_CLASSES, OFFSET_BINS

WARM_UP_RUNS = 20


class DecodeState(NamedTuple):
    """Where a decode stands, to go on from: B rows.

    `hidden`, `cell` (B, H); `latent_gates` (B, 4H) and `latent_dynamics` (B, D or 0) are z's share of the sums;
    `token` (B,) was played last; `step` (1,) comes next.
    """

    hidden: Tensor
    cell: Tensor
    latent_gates: Tensor
    latent_dynamics: Tensor
    token: Tensor
    step: Tensor

    def of_row(self, row: int) -> DecodeState:
        """The state of one of the rows alone."""
        one = slice(row, row + 1)
        return DecodeState(
            self.hidden[one], self.cell[one], self.latent_gates[one], self.latent_dynamics[one], self.token[one],
            self.step,
        )  # fmt: skip


class Scripted(nn.Module):
    """What every scripted module does with the prior, which is its own from here on."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        flow.lay_out()
        self.flow = flow

    @exported
    def prior(self, choice: Tensor, noise: Tensor, context: Tensor, present: Tensor, near_last: float) -> Tensor:
        """Points (B, Z) of the prior: see `Flow.forward`."""
        z: Tensor = self.flow(choice, noise, context, present, near_last)
        return z

    @exported
    def between(self, first: Tensor, second: Tensor, towards: float) -> Tensor:
        """Points (B, Z) by exemplars (B,): see `Flow.between`."""
        z: Tensor = self.flow.between(first, second, towards)
        return z

    @exported
    def odds(self, z: Tensor) -> Tensor:
        """Log odds (B,) of points (B, Z): see `Flow.odds`."""
        odds: Tensor = self.flow.odds(z)
        return odds

    @exported
    def verdict(self, z: Tensor) -> Tensor:
        """Log odds (B,) of points (B, Z): see `Flow.verdict`."""
        odds: Tensor = self.flow.verdict(z)
        return odds


class _Resident(Scripted):
    """The scripted module; everything in float32 but the recurrent product."""

    def __init__(self, model: MusicVae, flow: Flow, int8: bool) -> None:
        super().__init__(flow)
        config, decoder, lstm = model.config, model.decoder, weights_of(model.decoder.lstm)
        wide = config.embedding_size
        token_weights, latent_weights = lstm.input[:, :wide], lstm.input[:, wide:]
        self.drums: bool = config.part == "drums"
        self.size: int = config.decoder_size
        self.classes: int = config.classes
        self.token_gates = kept(decoder.tokens.weight @ token_weights.T)
        self.place_gates = kept(decoder.places.weight @ token_weights.T + lstm.input_bias + lstm.recurrent_bias)
        self.latent_weights = kept(latent_weights.T)
        self.recurrent = product(lstm.recurrent, int8=int8)
        self.first_weight, self.first_bias = kept(decoder.first_state.weight.T), kept(decoder.first_state.bias)
        self.out = product(decoder.out.weight, int8=int8 and self.drums)
        self.out_bias = kept(decoder.out.bias + allowed_bias(config).to(decoder.out.bias.device))
        self.features = model.encoder.features
        self.reader = reader(model.encoder.lstm, int8=int8)
        self.mean, self.spread = model.encoder.mean, model.encoder.spread
        self._take_dynamics(model)

    def _take_dynamics(self, model: MusicVae) -> None:
        size, latent = model.config.decoder_size, model.config.latent_size
        if model.dynamics is None:
            like = model.decoder.out.weight
            self.dynamics_latent = self.dynamics_rest = self.dynamics_out = like.new_zeros(latent, 0)
            self.dynamics_bias = self.dynamics_out_bias = like.new_zeros(0)
            return
        weight = model.dynamics.hidden.weight
        self.dynamics_latent = kept(weight[:, size : size + latent].T)
        self.dynamics_rest = kept(torch.cat([weight[:, :size], weight[:, size + latent :]], 1).T)
        self.dynamics_bias = kept(model.dynamics.hidden.bias)
        self.dynamics_out = kept(model.dynamics.out.weight.T)
        self.dynamics_out_bias = kept(model.dynamics.out.bias)

    @exported
    def encode_features(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread (B, Z) from tokens (B, T) or drum features (B, T, 27)."""
        state = self.reader(self.features(features))
        return self.mean(state), torch.nn.functional.softplus(self.spread(state) + 0.5) + 1e-3

    @exported
    def start(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The state before step 0, from z (B, Z)."""
        both = torch.tanh(torch.addmm(self.first_bias, z, self.first_weight))
        token = torch.full([z.size(0)], self.classes, dtype=torch.long, device=z.device)
        step = torch.zeros([1], dtype=torch.long, device=z.device)
        hidden, cell = both[:, : self.size].contiguous(), both[:, self.size :].contiguous()
        return hidden, cell, torch.mm(z, self.latent_weights), torch.mm(z, self.dynamics_latent), token, step

    @exported
    def decode(
        self,
        state: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor],
        gumbel: Tensor,
        temperature: Tensor,
        bias: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]]:
        """Decode n steps: tokens (B, n), their log probabilities (B, n), hidden states (B, n, H), the next state.

        `gumbel` and `bias` (B, n, C), `temperature` (B,): the token is argmax((logits + bias) / temperature + gumbel).
        """
        h, c, latent_gates, latent_dynamics, token, step = state
        steps = gumbel.size(1)
        inverse = temperature.reciprocal().unsqueeze(1)
        leaning = bias * inverse.unsqueeze(1) + gumbel
        places = self.place_gates.index_select(0, step + torch.arange(steps, device=step.device))
        told = latent_gates.unsqueeze(0) + places.unsqueeze(1)
        tokens: list[Tensor] = []
        scores: list[Tensor] = []
        hidden: list[Tensor] = []
        for t in range(steps):
            gates = self.recurrent(told[t] + self.token_gates.index_select(0, token), h)
            h, c = following(gates, c)
            logits = self.out(self.out_bias, h)
            token = torch.addcmul(leaning[:, t], logits, inverse).argmax(1)
            tokens.append(token)
            scores.append(logits)
            hidden.append(h)
        played = torch.stack(tokens, 1)
        likely = torch.log_softmax(torch.stack(scores, 1) + bias, dim=2)
        chances = likely.gather(2, played.unsqueeze(2)).squeeze(2)
        after = (h, c, latent_gates, latent_dynamics, token, step + steps)
        return played, chances, torch.stack(hidden, 1), after

    @exported
    def dynamics(self, hidden: Tensor, latent: Tensor, bits: Tensor, gumbel: Tensor, temperature: Tensor) -> Tensor:
        """Velocity and offset bins (B, n, 9, 2) of hits `bits` (B, n, 9), given Gumbel noise (B, n, 9, 19)."""
        joined = torch.cat([hidden, bits], dim=2)
        inner = torch.relu(torch.matmul(joined, self.dynamics_rest) + (latent + self.dynamics_bias).unsqueeze(1))
        logits = torch.matmul(inner, self.dynamics_out) + self.dynamics_out_bias
        scores = logits.view(gumbel.size()) / temperature.view(-1, 1, 1, 1) + gumbel
        return torch.stack([scores[..., :8].argmax(3), scores[..., 8:].argmax(3)], dim=3)


PRIOR_METHODS = ["prior", "between", "odds", "verdict"]
_METHODS = ["encode_features", *PRIOR_METHODS, "start", "decode", "dynamics"]


class CompiledModel:
    """One model, compiled and resident on a device. How far a decode has come is its caller's to hold: any number of
    voices share one model.

    Thread: one at a time; on CUDA all decodes of one shape replay one graph, on the same buffers.
    """

    def __init__(
        self,
        model: MusicVae,
        flow: Flow,
        device: torch.device,
        *,
        maps: LatentMaps,
        int8: bool | None = None,
    ) -> None:
        self.config: ModelConfig = model.config
        self.device = device
        self.maps = maps
        self.int8 = int8_works(device) if int8 is None else int8
        self.prior_mean = flow.centre.detach().cpu()
        self.keys: list[float] = flow.keys.tolist()
        self.has_critic, self.has_judge, self.exemplars = flow.critic.speaks, flow.judge.speaks, len(flow.exemplars)
        model, flow = copy.deepcopy(model).to(device).float(), copy.deepcopy(flow).to(device).float()
        self._module = scripted(_Resident(model, flow, self.int8), _METHODS)
        self._graphs: dict[tuple[int, int], _DecodeGraph] = {}
        self._settled = False

    @torch.inference_mode()
    def encode(
        self, tokens: Tensor, velocities: Tensor | None = None, offsets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, Z) of windows: tokens (B, T); drums also velocities (0-127) and offset bins
        (B, T, 9).
        """
        if self.config.part != "drums":
            mean, spread = self._module.encode_features(tokens.to(self.device))
            return mean, spread
        assert velocities is not None
        assert offsets is not None
        mean, spread = self._module.encode_features(drum_features(tokens, velocities, offsets).to(self.device))
        return mean, spread

    @torch.inference_mode()
    def prior(self, choice: Tensor, noise: Tensor, context: Tensor | None = None, near_last: float = 0.0) -> Tensor:
        """Points (B, Z) of the fitted prior, from `choice` (B,) uniform in (0, 1) and normal `noise` (B, Z): of windows
        that come after those with posterior means `context` (n, Z), the nearest first; of more than four the nearest.
        New ones are drawn `near_last` (0 to 1) to the first of those.
        """
        before = torch.zeros(1, MEMORY, noise.shape[1])
        present = torch.zeros(1, MEMORY)
        if context is not None:
            count = min(MEMORY, len(context))
            before[0, :count], present[0, :count] = context[:count], 1.0
        z: Tensor = self._module.prior(*(x.to(self.device) for x in (choice, noise, before, present)), near_last)
        return z

    @torch.inference_mode()
    def between(self, first: Tensor, second: Tensor, towards: float) -> Tensor:
        """Points (B, Z) near one and a share of the way `towards` the other of two of its `exemplars`, by their
        numbers (B,).
        """
        z: Tensor = self._module.between(first.to(self.device), second.to(self.device), towards)
        return z

    @torch.inference_mode()
    def odds(self, z: Tensor) -> Tensor:
        """Log odds (B,) of draws (B, Z) of the prior, with nothing before them, to be music: see `Flow.odds`."""
        odds: Tensor = self._module.odds(z.to(self.device))
        return odds

    @torch.inference_mode()
    def verdict(self, z: Tensor) -> Tensor:
        """Log odds (B,) of what was played and read again as means (B, Z) to be music: see `Flow.verdict`."""
        odds: Tensor = self._module.verdict(z.to(self.device))
        return odds

    @torch.inference_mode()
    def start(self, z: Tensor) -> DecodeState:
        """The state before step 0 of the loops at z (B, Z)."""
        return DecodeState(*self._module.start(z.to(self.device)))

    @torch.inference_mode()
    def decode(
        self, state: DecodeState, gumbel: Tensor, temperature: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, DecodeState]:
        """Decode the next n steps from `state`: see `_Resident.decode`. Any chunking gives the same tokens.

        Returns tokens (B, n), log probabilities (B, n) at temperature 1 under `bias`, hidden states (B, n, H), and the
        state to go on from.
        """
        gumbel, bias, temperature = gumbel.to(self.device), bias.to(self.device), temperature.to(self.device)
        if self.device.type == "cuda":
            key = (gumbel.shape[0], gumbel.shape[1])
            if key not in self._graphs and not self._settled:
                self._graphs[key] = _DecodeGraph(self._module, state, gumbel, temperature, bias)
            if key in self._graphs:
                return self._graphs[key](state, gumbel, temperature, bias)
        tokens, chances, hidden, following = self._module.decode(tuple(state), gumbel, temperature, bias)
        return tokens, chances, hidden, DecodeState(*following)

    @torch.inference_mode()
    def dynamics(
        self, hidden: Tensor, state: DecodeState, tokens: Tensor, gumbel: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Velocity bins and offset bins (B, n, 9) for drum tokens (B, n) with the hidden states they came with;
        `gumbel` (B, n, 9, 19): 8 velocity bins, then 11 offset bins.
        """
        bits = (tokens.unsqueeze(-1) >> torch.arange(DRUM_CLASSES, device=self.device) & 1).float()
        noise, heat = gumbel.to(self.device), temperature.to(self.device)
        both = self._module.dynamics(hidden, state.latent_dynamics, bits, noise, heat)
        return both[..., 0], both[..., 1]

    def warm_up(self, shapes: tuple[tuple[int, int], ...]) -> None:
        """Run every (batch, steps) shape that will be used, `WARM_UP_RUNS` times, so that no click pays for it."""
        config = self.config
        for batch, steps in shapes:
            gumbel = torch.zeros(batch, steps, config.classes)
            bias, temperature = torch.zeros(batch, steps, config.classes), torch.ones(batch)
            for _ in range(WARM_UP_RUNS):
                tokens = torch.zeros(batch, config.steps, dtype=torch.long)
                dynamics = torch.zeros(batch, config.steps, DRUM_CLASSES, dtype=torch.long)
                self.encode(tokens, dynamics, dynamics)
                state = self.start(self.prior(torch.full((batch,), 0.5), torch.zeros(batch, config.latent_size)))
                played, _, hidden, after = self.decode(state, gumbel, temperature, bias)
                if config.part == "drums":
                    noise = torch.zeros(batch, steps, DRUM_CLASSES, DYNAMICS)
                    self.dynamics(hidden, after, played, noise, temperature)

    def settle(self) -> None:
        """It is warm: on CUDA no more graphs are captured, which takes longer than a click; a shape that has none is
        decoded step by step.
        """
        self._settled = True


class _DecodeGraph:
    """The whole decode of one (batch, steps) shape, captured once as a CUDA graph and replayed on its own buffers."""

    def __init__(self, module: Any, state: DecodeState, gumbel: Tensor, temperature: Tensor, bias: Tensor) -> None:
        self._inputs = [x.clone() for x in (*state, gumbel, temperature, bias)]
        with torch.cuda.device(gumbel.device):  # streams are of the current device, whatever tensors lie on
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    self._run(module)
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            # another thread plays meanwhile, and may need memory
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._outputs = self._run(module)

    def _run(self, module: Any) -> Any:
        gumbel, temperature, bias = self._inputs[6:]
        return module.decode(tuple(self._inputs[:6]), gumbel, temperature, bias)

    def __call__(
        self, state: DecodeState, gumbel: Tensor, temperature: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, DecodeState]:
        for buffer, value in zip(self._inputs, (*state, gumbel, temperature, bias), strict=True):
            buffer.copy_(value)
        self._graph.replay()
        tokens, chances, hidden, following = self._outputs
        return tokens.clone(), chances.clone(), hidden.clone(), DecodeState(*(x.clone() for x in following))


def drum_features(tokens: Tensor, velocities: Tensor, offsets: Tensor) -> Tensor:
    """What the drum encoder reads (B, T, 27): hits, velocities and offsets of the hits; 0 velocity = not known."""
    hits = (tokens.unsqueeze(-1) >> torch.arange(DRUM_CLASSES, device=tokens.device) & 1).float()
    loud = torch.where(velocities > 0, velocities, NEUTRAL_VELOCITY).float() / 127.0
    moved = (offsets.float() - OFFSET_BINS // 2) / (OFFSET_BINS // 2)
    return torch.cat([hits, loud * hits, moved * hits], dim=-1)
