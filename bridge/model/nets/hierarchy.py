"""The hierarchical modules: bars are read and written by 1-bar models, and a conductor says what each bar is to be.

Shapes: B windows, U bars in a window, P parts, E size of a bar's embedding, S numbers that a part's bar is narrowed to,
Z latent size. A bottom decoder knows of the rest of the window what stands in its bar's embedding and nothing else: its
state starts anew at every bar.

Encoder and conductor are LSTMs over the bars, each with a linear way past it: what recurs and develops is the LSTM's,
but where a bar's own shape lies is told straight. Of two matrices over all bars at once (the principal components, were
there no LSTM) it is the low-rank kind: what is in a bar is narrowed to a few numbers first, the same for every bar.
Without it the conductor told half of what bars differ by, where as many principal components tell two thirds (melody).

On the linear way every part of a trio has a third of z of its own. Songs with three parts are few, and a matrix from
all parts to all of z learnt them by heart: of songs it had not seen it told less (note F1 .66) than the principal
components of each part by itself do with as many numbers (.70). What the parts have to do with each other is the LSTMs'
to say, and the prior's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from bridge.model.nets.config import ModelConfig
from bridge.model.nets.vae import Batch, MusicVae, bars_of, decoding_losses, rate_nats, weights_of


class Embeddings(NamedTuple):
    """The bars of B windows as the 1-bar encoders read them: means and spreads (B, U, P, E)."""

    means: Tensor
    spreads: Tensor


#: At most so many numbers of z the conductor's LSTM hears; all of them go on the linear way.
_HEARD = 256


def _is_for_training(name: str) -> bool:
    return name == "doubt" or ".encoder.spread." in name


def narrowed(embedded: Tensor, weight: Tensor) -> list[Tensor]:
    """The bars (B, U, P, E) as few numbers each, (B, U S) a part; `weight` (P S, E) has a matrix a part."""
    own = weight.chunk(embedded.size(2))
    return [functional.linear(embedded[:, :, part], own[part]).flatten(1) for part in range(len(own))]


def told_straight(narrow: list[Tensor], weight: Tensor) -> Tensor:
    """Each part's share of z from its bars (B, U S), side by side (B, Z); `weight` (Z, U S) has a matrix a part."""
    own = weight.chunk(len(narrow))
    return torch.cat([functional.linear(narrow[part], own[part]) for part in range(len(own))], dim=1)


def widened(z: Tensor, weight: Tensor, widen: Tensor, parts: int, bars: int) -> Tensor:
    """What each part's share of z (B, Z) says of its bars: (B, U, P, E). `weight` (P U S, Z / P) and `widen` (P E, S)
    have a matrix a part.
    """
    shares, straight, wide = z.chunk(parts, 1), weight.chunk(parts), widen.chunk(parts)
    found: list[Tensor] = []
    for part in range(parts):
        narrow = functional.linear(shares[part], straight[part]).view(z.size(0), bars, -1)
        found.append(functional.linear(narrow, wide[part]))
    return torch.stack(found, dim=2)


class UpperEncoder(nn.Module):
    """A bidirectional LSTM over the embedded bars of all parts; its last states give the posterior, whose mean a linear
    reading of all bars moves.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        wide = config.bar_models[0].latent_size
        self.join = nn.Linear(len(config.bar_models) * wide, wide) if len(config.bar_models) > 1 else None
        self.lstm = nn.LSTM(wide, config.encoder_size, batch_first=True, bidirectional=True)
        self.mean = nn.Linear(2 * config.encoder_size, config.latent_size)
        self.spread = nn.Linear(2 * config.encoder_size, config.latent_size)
        self.narrow = nn.Linear(wide, len(config.bar_models) * config.narrow_size, bias=False)
        self.straight = nn.Linear(config.bars * config.narrow_size, config.latent_size, bias=False)
        nn.init.zeros_(self.straight.weight)

    def forward(self, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, Z) of windows given as embeddings (B, U, P, E), in float32."""
        x = embedded.flatten(2)
        straight = told_straight(narrowed(embedded, self.narrow.weight), self.straight.weight)
        if self.join is not None:
            x = torch.tanh(self.join(x))
        _, (last, _) = self.lstm(x.to(weights_of(self.lstm).recurrent.dtype))
        state = torch.cat([last[0], last[1]], dim=-1).float()
        return self.mean(state) + straight, functional.softplus(self.spread(state) + 0.5) + 1e-3


class Conductor(nn.Module):
    """An LSTM over the bars: z, with the place, in; an embedding a part out. A linear reading of z is added to them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size, heard = config.decoder_size, min(config.latent_size, _HEARD)
        self.parts = len(config.bar_models)
        self.hear = nn.Linear(config.latent_size, heard, bias=False) if heard < config.latent_size else None
        self.places = nn.Embedding(config.bars, heard)
        self.first_state = nn.Linear(heard, 2 * size)
        self.lstm = nn.LSTM(heard, size, batch_first=True)
        self.out = nn.Linear(size, self.parts * config.bar_models[0].latent_size)
        told = self.parts * config.bars * config.narrow_size
        self.straight = nn.Linear(config.latent_size // self.parts, told, bias=False)
        self.widen = nn.Linear(config.narrow_size, self.parts * config.bar_models[0].latent_size, bias=False)
        nn.init.zeros_(self.widen.weight)
        with torch.no_grad():  # gates that remember at first
            weights_of(self.lstm).input_bias[size : 2 * size] = 1.0

    def forward(self, z: Tensor) -> Tensor:
        """Embeddings (B, U, P, E), in float32."""
        dtype = weights_of(self.lstm).recurrent.dtype
        heard = z if self.hear is None else self.hear(z)
        h, c = torch.tanh(self.first_state(heard)).to(dtype).chunk(2, dim=-1)
        x = (heard[:, None] + self.places.weight[None]).to(dtype)
        hidden, _ = self.lstm(x, (h[None].contiguous(), c[None].contiguous()))
        told: Tensor = self.out(hidden.float()).unflatten(-1, (self.parts, -1))
        straight: Tensor = widened(z, self.straight.weight, self.widen.weight, self.parts, len(self.places.weight))
        return straight + told


class HierarchicalVae(nn.Module):
    """A model of the family whose windows are made of bars: one 1-bar model a part, an encoder and a conductor.

    `doubt` (P, E) is, as a logarithm, how far a bar's embedding lies from what the conductor says; training uses it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.bars = nn.ModuleList(MusicVae(bar) for bar in config.bar_models)
        self.upper = UpperEncoder(config)
        self.conductor = Conductor(config)
        wide = config.bar_models[0].latent_size
        self.doubt = nn.Parameter(torch.zeros(len(config.bar_models), wide))

    def shipped(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of a training run's weights that playing needs: not how sure a bar's reading is, nor `doubt`."""
        return {name: value for name, value in weights.items() if not _is_for_training(name)}

    def load_shipped(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights as `shipped` gives them.

        Raises:
            RuntimeError: some are missing, superfluous or of another shape.
        """
        rest = {name: torch.zeros_like(value) for name, value in self.state_dict().items() if _is_for_training(name)}
        self.load_state_dict({**rest, **weights}, strict=True)

    def bar_model(self, part: int) -> MusicVae:
        """The 1-bar model of a part."""
        model = self.bars[part]
        assert isinstance(model, MusicVae)
        return model

    def to_compute(self, dtype: torch.dtype) -> None:
        """Put the heavy layers, and only those, into `dtype`."""
        for part in range(len(self.bars)):
            self.bar_model(part).to_compute(dtype)
        self.upper.lstm.to(dtype)
        self.conductor.lstm.to(dtype)

    def embed(self, windows: Sequence[Batch]) -> Embeddings:
        """The bars of B windows, given as one batch (B, T) a part."""
        count = len(windows[0].tokens)
        read = [self.bar_model(part).encoder(bars_of(batch)) for part, batch in enumerate(windows)]
        means, spreads = (torch.stack([pair[i].unflatten(0, (count, -1)) for pair in read], dim=2) for i in (0, 1))
        return Embeddings(means, spreads)

    def encode(self, windows: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, Z) of the posterior of windows, one batch (B, T) a part."""
        mean, spread = self.upper(self.embed(windows).means)
        return mean, spread


def upper_losses(
    model: HierarchicalVae, windows: Sequence[Batch], embedded: Embeddings, bars: int, dropout: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What the upper levels lose in nats a window: of the bars, of their dynamics, and the rate.

    The bars count twice, half each time. As embeddings: a bar's code (its own posterior) told through a normal
    distribution around the conductor's embedding costs their divergence; that distribution's spread (`doubt`) is
    learnt, so that what z cannot tell is not pressed for. And as what the bottom decoders, which stay as they are, make
    of the conductor's embeddings: the cross-entropy of `bars` bars drawn from each window, scaled to all of them. With
    `bars` 0 the embeddings are all that counts.
    """
    mean, spread = model.upper(embedded.means)
    z = mean + spread * torch.randn_like(mean)
    conducted = model.conductor(z)
    rate = rate_nats(mean, spread).sum(-1).mean()
    away = (embedded.means - conducted).square() + embedded.spreads.square()
    codes = model.doubt - embedded.spreads.log() + 0.5 * (away * torch.exp(-2.0 * model.doubt) - 1.0)
    nats = codes.sum() / len(mean)
    if not bars:
        return nats, nats.new_zeros(()), rate
    count, inside = conducted.shape[:2]
    picks = torch.rand(count, inside, device=z.device).argsort(1)[:, :bars]
    rows = (torch.arange(count, device=z.device)[:, None] * inside + picks).flatten()
    dynamics = z.new_zeros(())
    for part, batch in enumerate(windows):
        told = conducted[:, :, part].flatten(0, 1)[rows]
        played = decoding_losses(model.bar_model(part), bars_of(batch).rows(rows), told, mix=0.0, dropout=dropout)
        nats, dynamics = nats + inside * played[0], dynamics + inside * played[1]
    return 0.5 * nats, 0.5 * dynamics, rate
