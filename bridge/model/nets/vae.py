"""The MusicVAE modules: what training differentiates, and the plain eager reference that the compiled form is held to.

Shapes: B windows, T steps, Z latent size, C classes. Parameters may be in bfloat16 (the LSTMs and the wide output
layer, in training); embeddings, latent heads and every loss stay in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from bridge.model.nets.config import ModelConfig
from bridge.music.grids import DRUM_CLASSES, LOWEST_PITCH, OFFSET_BINS, PITCHES, VELOCITY_BINS
from bridge.music.notes import STEPS_PER_BAR

#: Every third feature set of a drum step: hit, velocity (0 to 1), offset (-1 to 1), nine of each.
DRUM_FEATURES = 3 * DRUM_CLASSES
NEUTRAL_VELOCITY = 88
DYNAMICS = VELOCITY_BINS + OFFSET_BINS


@dataclass(slots=True)
class Batch:
    """Windows as tensors: tokens (B, T) int64; for drums velocities 0-127 and offset bins (B, T, 9), and which
    windows have real dynamics (B,).
    """

    tokens: Tensor
    velocities: Tensor | None = None
    offsets: Tensor | None = None
    has_dynamics: Tensor | None = None

    def dynamics(self) -> tuple[Tensor, Tensor, Tensor]:
        """Velocities and offset bins (B, T, 9), and which windows have real ones as 0 or 1 (B, 1, 1); drums only."""
        assert self.velocities is not None
        assert self.offsets is not None
        assert self.has_dynamics is not None
        return self.velocities, self.offsets, self.has_dynamics.view(-1, 1, 1).long()

    def rows(self, index: Tensor | slice) -> Batch:
        """Some of the windows."""
        pick = [x if x is None else x[index] for x in (self.velocities, self.offsets, self.has_dynamics)]
        return Batch(self.tokens[index], *pick)

    def put(self, places: Tensor, other: Batch) -> None:
        """Overwrite some of the windows."""
        ours = (self.tokens, self.velocities, self.offsets, self.has_dynamics)
        for mine, theirs in zip(ours, (other.tokens, other.velocities, other.offsets, other.has_dynamics), strict=True):
            if mine is not None and theirs is not None:
                mine[places] = theirs

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """All windows of several batches."""

        def cat(columns: Sequence[Tensor | None]) -> Tensor | None:
            there = [x for x in columns if x is not None]
            return torch.cat(there) if there else None

        return Batch(
            torch.cat([b.tokens for b in batches]), cat([b.velocities for b in batches]),
            cat([b.offsets for b in batches]), cat([b.has_dynamics for b in batches]),
        )  # fmt: skip

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        moved = [x if x is None else x.to(device) for x in (self.velocities, self.offsets, self.has_dynamics)]
        return Batch(self.tokens.to(device), *moved)


def bars_of(batch: Batch) -> Batch:
    """Windows (B, T) as their bars (B * T / 16, 16), the bars of a window one after the other."""
    inside = batch.tokens.shape[1] // STEPS_PER_BAR
    flat = [x if x is None else x.reshape(-1, STEPS_PER_BAR, x.shape[-1]) for x in (batch.velocities, batch.offsets)]
    known = None if batch.has_dynamics is None else batch.has_dynamics.repeat_interleave(inside)
    return Batch(batch.tokens.reshape(-1, STEPS_PER_BAR), flat[0], flat[1], known)


def hit_bits(tokens: Tensor) -> Tensor:
    """Hit masks (...) to nine flags (..., 9)."""
    return tokens.unsqueeze(-1) >> torch.arange(DRUM_CLASSES, device=tokens.device) & 1


class LstmWeights(NamedTuple):
    """The weights of the first layer of an LSTM: (4H, E), (4H, H), (4H,), (4H,)."""

    input: Tensor
    recurrent: Tensor
    input_bias: Tensor
    recurrent_bias: Tensor


def weights_of(lstm: nn.LSTM, suffix: str = "") -> LstmWeights:
    """The weights of an LSTM by name, `suffix` "" or, of its way back, "_reverse"."""
    named = dict(lstm.named_parameters())
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return LstmWeights(*(named[name + suffix] for name in names))


class Encoder(nn.Module):
    """A bidirectional LSTM over a window; its last states give the posterior."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.drums = config.part == "drums"
        if self.drums:
            self.features: nn.Module = nn.Linear(DRUM_FEATURES, config.embedding_size)
        else:
            self.features = nn.Embedding(config.classes, config.embedding_size)
        self.lstm = nn.LSTM(config.embedding_size, config.encoder_size, batch_first=True, bidirectional=True)
        self.mean = nn.Linear(2 * config.encoder_size, config.latent_size)
        self.spread = nn.Linear(2 * config.encoder_size, config.latent_size)

    def inputs(self, batch: Batch) -> Tensor:
        """The embedded window (B, T, E)."""
        if not self.drums:
            embedded: Tensor = self.features(batch.tokens)
            return embedded
        velocities, offsets, known = batch.dynamics()
        hits = hit_bits(batch.tokens).float()
        loud = (velocities.float() * known + NEUTRAL_VELOCITY * (1 - known)) / 127.0
        moved = (offsets.float() - 5.0) / 5.0 * known
        joined: Tensor = self.features(torch.cat([hits, loud * hits, moved * hits], dim=-1))
        return joined

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, Z) of the posterior, in float32."""
        x = self.inputs(batch)
        _, (last, _) = self.lstm(x.to(weights_of(self.lstm).recurrent.dtype))
        state = torch.cat([last[0], last[1]], dim=-1).float()
        return self.mean(state), functional.softplus(self.spread(state) + 0.5) + 1e-3


class Decoder(nn.Module):
    """An LSTM over the steps; z sets its first state and joins every input, with the token before and the place."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size, embedding = config.decoder_size, config.embedding_size
        self.size, self.classes, self.start_token = size, config.classes, config.classes
        self.tokens = nn.Embedding(config.classes + 1, embedding)
        self.places = nn.Embedding(config.steps, embedding)
        self.first_state = nn.Linear(config.latent_size, 2 * size)
        self.lstm = nn.LSTM(embedding + config.latent_size, size, batch_first=True)
        self.out = nn.Linear(size, config.classes)
        with torch.no_grad():  # gates that remember at first
            weights_of(self.lstm).input_bias[size : 2 * size] = 1.0

    def states(self, previous: Tensor, z: Tensor, dropout: float) -> Tensor:
        """Hidden states (B, T, H) given the tokens before each step (B, T)."""
        embedded = self.tokens(previous)
        if dropout > 0:
            embedded = embedded * (torch.rand_like(embedded[..., :1]) >= dropout)
        embedded = embedded + self.places.weight[None, : previous.shape[1]]
        joined = torch.cat([embedded, z[:, None].expand(-1, previous.shape[1], -1)], dim=-1)
        dtype = weights_of(self.lstm).recurrent.dtype
        h, c = torch.tanh(self.first_state(z)).to(dtype).chunk(2, dim=-1)
        hidden, _ = self.lstm(joined.to(dtype), (h[None].contiguous(), c[None].contiguous()))
        result: Tensor = hidden
        return result

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (B, T, C) in float32."""
        result: Tensor = self.out(hidden.to(self.out.weight.dtype)).float()
        return result


class Dynamics(nn.Module):
    """Velocity and offset of every hit, from the decoder's state and the hits that are played there."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.decoder_size + config.latent_size + DRUM_CLASSES, config.dynamics_size)
        self.out = nn.Linear(config.dynamics_size, DRUM_CLASSES * DYNAMICS)

    def forward(self, hidden: Tensor, z: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, T, 9, 8) of velocity bins and (B, T, 9, 11) of offset bins, in float32."""
        dtype = self.hidden.weight.dtype
        wide_z = z[:, None].expand(-1, tokens.shape[1], -1).to(dtype)
        joined = torch.cat([hidden.to(dtype), wide_z, hit_bits(tokens).to(dtype)], dim=-1)
        both = self.out(torch.relu(self.hidden(joined))).float().unflatten(-1, (DRUM_CLASSES, DYNAMICS))
        return both[..., :VELOCITY_BINS], both[..., VELOCITY_BINS:]


class MusicVae(nn.Module):
    """One model of the family: encoder, decoder and, for drums, dynamics."""

    allowed: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.dynamics = Dynamics(config) if config.part == "drums" else None
        self.register_buffer("allowed", allowed_bias(config), persistent=False)

    def to_compute(self, dtype: torch.dtype) -> None:
        """Put the heavy layers, and only those, into `dtype`."""
        for module in (self.encoder.lstm, self.decoder.lstm, self.decoder.out, self.dynamics):
            if module is not None:
                module.to(dtype)

    def encode(self, windows: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, Z) of the posterior of windows, a batch a part: there is one part."""
        mean, spread = self.encoder(windows[0])
        return mean, spread

    def shifted(self, tokens: Tensor) -> Tensor:
        """The token before each step: the start token, then tokens[:, :-1]."""
        start = torch.full_like(tokens[:, :1], self.decoder.start_token)
        return torch.cat([start, tokens[:, :-1]], dim=1)


def allowed_bias(config: ModelConfig) -> Tensor:
    """Added to logits (C,): 0 for what the model may play, -1e9 for pitches outside its range."""
    bias = torch.zeros(config.classes)
    if config.part != "drums":
        pitches = torch.arange(PITCHES) + LOWEST_PITCH
        bias[:PITCHES] = torch.where((pitches < config.lowest) | (pitches > config.highest), -1e9, 0.0)
    return bias


@dataclass(slots=True)
class Losses:
    """Means over a batch, in nats a window: cross-entropy of tokens and of dynamics, and the rate."""

    tokens: Tensor
    dynamics: Tensor
    rate: Tensor


def rate_nats(mean: Tensor, spread: Tensor) -> Tensor:
    """KL of the posterior from N(0, 1), per dimension (B, Z), in nats."""
    return 0.5 * (mean.square() + spread.square() - 1.0) - spread.log()


def training_losses(model: MusicVae, batch: Batch, *, mix: float, dropout: float) -> Losses:
    """The two-pass losses: with probability `mix` an input token is one the model itself would have played."""
    mean, spread = model.encoder(batch)
    z = mean + spread * torch.randn_like(mean)
    tokens, dynamics = decoding_losses(model, batch, z, mix=mix, dropout=dropout)
    return Losses(tokens, dynamics, rate_nats(mean, spread).sum(-1).mean())


def decoding_losses(model: MusicVae, batch: Batch, z: Tensor, *, mix: float, dropout: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of tokens and of dynamics given z (B, Z), in nats a window."""
    previous = model.shifted(batch.tokens)
    if mix > 0:
        previous = _with_own_tokens(model, previous, z.detach(), mix, dropout)
    hidden = model.decoder.states(previous, z, dropout)
    logits = model.decoder.logits(hidden)
    windows = batch.tokens.shape[0]
    tokens = functional.cross_entropy(logits.flatten(0, 1), batch.tokens.flatten(), reduction="sum") / windows
    dynamics = tokens.new_zeros(())
    if model.dynamics is not None:
        dynamics = _dynamics_loss(model.dynamics, hidden, z, batch)
    return tokens, dynamics


_ROWS_A_CHUNK = 512


@torch.no_grad()
def _with_own_tokens(model: MusicVae, previous: Tensor, z: Tensor, mix: float, dropout: float) -> Tensor:
    """Input tokens (B, T) of which a share `mix` is what the model would have sampled, given the true ones."""
    hidden = model.decoder.states(previous, z, dropout)
    chosen = torch.rand(previous.shape, device=previous.device) < mix
    chosen[:, 0] = False
    rows = hidden[:, :-1][chosen[:, 1:]]
    count = len(rows)
    # A whole number of chunks: oneDNN makes, and keeps, a kernel for every size it meets, which cost half of all time.
    logits = model.decoder.logits(functional.pad(rows, (0, 0, 0, -count % _ROWS_A_CHUNK)))[:count]
    noise = torch.empty_like(logits).exponential_().log_()
    mixed = previous.clone()
    mixed[chosen] = (logits - noise).argmax(-1)
    return mixed


def _dynamics_loss(dynamics: Dynamics, hidden: Tensor, z: Tensor, batch: Batch) -> Tensor:
    velocities, offsets, known = batch.dynamics()
    velocity_logits, offset_logits = dynamics(hidden, z, batch.tokens)
    played = (hit_bits(batch.tokens) * known).bool()
    velocity_bins = (velocities[played] // 16).clamp(0, VELOCITY_BINS - 1)
    velocity = functional.cross_entropy(velocity_logits[played], velocity_bins, reduction="sum")
    offset = functional.cross_entropy(offset_logits[played], offsets[played], reduction="sum")
    return (velocity + offset) / batch.tokens.shape[0]


@torch.inference_mode()
def decode_eagerly(
    model: MusicVae, z: Tensor, noise: Tensor, temperature: float, feed: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode step by step in plain eager float32: the reference for the compiled form.

    `noise` (B, T, C) is Gumbel; `feed` (B, T), if given, is what is fed back in place of the model's own tokens.
    Returns sampled tokens, argmax of the logits (both (B, T)), and hidden states (B, T, H).
    """
    decoder = model.decoder
    h, c = torch.tanh(decoder.first_state(z)).chunk(2, dim=-1)
    token = torch.full((z.shape[0],), decoder.start_token, device=z.device)
    weights = weights_of(decoder.lstm)
    sampled, best, states = [], [], []
    for step in range(noise.shape[1]):
        x = torch.cat([decoder.tokens(token) + decoder.places.weight[step], z], dim=-1)
        gates = functional.linear(x, weights.input, weights.input_bias)
        gates = gates + functional.linear(h, weights.recurrent, weights.recurrent_bias)
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        logits = decoder.out(h) + model.allowed
        token = (logits / temperature + noise[:, step]).argmax(-1)
        sampled.append(token)
        best.append(logits.argmax(-1))
        states.append(h)
        if feed is not None:
            token = feed[:, step]
    return torch.stack(sampled, 1), torch.stack(best, 1), torch.stack(states, 1)
