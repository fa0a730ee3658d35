"""What the hierarchy is worth: a flat decoder over all steps of a window against conductor and bottom decoder.

The encoder of the shipped model stays as it is and gives both the same posterior samples of the same windows. Both
begin with the shipped bottom decoder, which knows bars already, and with random weights above it, about as many: a
conductor that tells every bar apart, at which the decoder's state starts anew; or two layers that tell it once what all
256 steps are to be, and no new start. All weights of both learn, teacher-forced, by the same updates. Then both play
what held-out songs' points say. Scores only: no weights are kept.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bridge.model.data.corpus import CorpusError
from bridge.model.data.dataset import load
from bridge.model.data.long_windows import SingleSource
from bridge.model.data.training_data import evaluation_rows, plain_batch
from bridge.model.evaluation.comparison import compared
from bridge.model.evaluation.scoring import Readings, gumbel, normal
from bridge.model.nets.config import config_of
from bridge.model.nets.hierarchy import HierarchicalVae
from bridge.model.nets.registry import load_model
from bridge.model.nets.vae import Batch, MusicVae, bars_of, decode_eagerly, decoding_losses
from bridge.model.training.training_run import DROPOUT, DYNAMICS_SHARE, FROM_SCRATCH, Optimiser, fast_bfloat16

log = logging.getLogger(__name__)

_TEST_PER_GROUP = 60
_CHUNK = 64
_WARMS_UP_TIMES_FASTER = 4  # there are few updates
_TOLD_EVERY_S = 60.0
FLAT_BATCH = 32


class _Told(nn.Module):
    """The flat decoder: from z what the bottom decoder is told, and the bottom decoder over all steps."""

    def __init__(self, shipped: HierarchicalVae) -> None:
        super().__init__()
        config, bar = shipped.config, shipped.config.bar_models[0]
        conductor = sum(p.numel() for p in shipped.conductor.parameters())
        size = conductor // (config.latent_size + bar.latent_size)
        self.inner, self.out = nn.Linear(config.latent_size, size), nn.Linear(size, bar.latent_size)
        self.over_all = MusicVae(replace(bar, bars=config.bars, encoder_size=1))
        known = {name: value for name, value in shipped.bar_model(0).state_dict().items() if "encoder." not in name}
        known["decoder.places.weight"] = known["decoder.places.weight"].repeat(config.bars, 1)
        self.over_all.load_state_dict(known, strict=False)

    def forward(self, z: Tensor) -> Tensor:
        """What the decoder is told (B, E)."""
        told: Tensor = self.out(torch.tanh(self.inner(z)))
        return told

    def to_compute(self, dtype: torch.dtype) -> None:
        """Put the heavy layers, and only those, into `dtype`."""
        self.over_all.to_compute(dtype)


class _Flat:
    """A decoder over all steps, from z alone."""

    def __init__(self, shipped: HierarchicalVae) -> None:
        self.model = _Told(shipped)

    def nats(self, batch: Batch, z: Tensor) -> Tensor:
        tokens, dynamics = decoding_losses(self.model.over_all, batch, self.model(z), mix=0.0, dropout=DROPOUT)
        return tokens + DYNAMICS_SHARE * dynamics

    def played(self, batch: Batch, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, T) forced, sampled and likeliest."""
        model, told = self.model.over_all, self.model(z)
        hidden = model.decoder.states(model.shifted(batch.tokens), told, 0.0)
        forced = (model.decoder.logits(hidden) + model.allowed).argmax(-1)
        return forced, *decode_eagerly(model, told, noise, 1.0)[:2]


class _Hierarchical:
    """A conductor and a bottom decoder, its state reset at every bar."""

    def __init__(self, shipped: HierarchicalVae) -> None:
        self.model = HierarchicalVae(shipped.config)
        self.model.bars.load_state_dict(shipped.bars.state_dict())

    def nats(self, batch: Batch, z: Tensor) -> Tensor:
        told = self.model.conductor(z)[:, :, 0].flatten(0, 1)
        tokens, dynamics = decoding_losses(self.model.bar_model(0), bars_of(batch), told, mix=0.0, dropout=DROPOUT)
        return self.model.config.bars * (tokens + DYNAMICS_SHARE * dynamics)

    def played(self, batch: Batch, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, T) forced, sampled and likeliest."""
        bar_model, bars = self.model.bar_model(0), bars_of(batch).tokens
        told = self.model.conductor(z)[:, :, 0].flatten(0, 1)
        logits = bar_model.decoder.logits(bar_model.decoder.states(bar_model.shifted(bars), told, 0.0))
        forced = (logits + bar_model.allowed).argmax(-1)
        sampled, best, _ = decode_eagerly(bar_model, told, noise.reshape(*bars.shape, -1), 1.0)
        forced, sampled, best = (x.reshape(batch.tokens.shape) for x in (forced, sampled, best))
        return forced, sampled, best


_Decoder = _Flat | _Hierarchical


def compare_with_flat(
    name: str, data_paths: Sequence[Path], minutes: float, *, models_dir: Path, cache: Path,
    batch_size: int = FLAT_BATCH, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Train both decoders side by side for `minutes` on the CPU and score them on test songs (`songs_held_out`; where
    there are none, on those they learnt from).

    Raises:
        UnknownModelError, ModelFileError: no such model, or not trained here.
        CorpusError: no data; a model that is not hierarchical, or has several parts.
    """
    config = config_of(name)
    if len(config.bar_models) != 1:
        raise CorpusError(f"--beside-flat: expected a hierarchical model of one part, {name} is none")
    encoder = load_model(name, models_dir).model
    assert isinstance(encoder, HierarchicalVae)
    dataset = load(data_paths, config, cache)
    torch.manual_seed(seed)
    pair: tuple[_Decoder, _Decoder] = (_Hierarchical(encoder), _Flat(encoder))
    steps = _train(pair, encoder, SingleSource(dataset, config, seed), minutes * 60.0, batch_size)
    rows = evaluation_rows(dataset, "test", _TEST_PER_GROUP)
    held_out = len(rows) > 0
    if not held_out:
        rows = evaluation_rows(dataset, "train", _TEST_PER_GROUP)
    hierarchical, flat = _read(pair, encoder, plain_batch(dataset, rows, config), seed)
    songs = np.asarray(dataset.song)[rows]
    return {
        "protocol": "posterior samples of the shipped encoder, held fixed; both from the shipped bottom decoder and "
        "random weights above it (a conductor; two layers, no new start at the bars), all learnt, teacher-forced, by "
        "the same updates; 'ours' is the hierarchical one, 'theirs' the flat one",
        "updates": steps,
        "songs_held_out": held_out,
        "windows_seen": steps * batch_size,
        "weights": {"hierarchical": _size(pair[0], ("conductor.", ".decoder.", ".dynamics.")),
                    "flat": _size(pair[1], ("inner.", "out.", ".decoder.", ".dynamics."))},
        "teacher_forced": {"ours": _forced(hierarchical), "theirs": _forced(flat)},
        **compared(hierarchical, flat, songs, seed),
    }  # fmt: skip


def _size(decoder: _Decoder, names: tuple[str, ...]) -> int:
    """How many weights take part in decoding."""
    return sum(p.numel() for name, p in decoder.model.named_parameters() if any(part in name for part in names))


def _forced(readings: Readings) -> float:
    return round(float((readings.forced == readings.truth).float().mean()), 4)


def _train(
    pair: tuple[_Decoder, _Decoder], encoder: HierarchicalVae, source: SingleSource, total_s: float, batch_size: int
) -> int:
    """Train both on the same batches until the time is up; their averaged weights are left in them."""
    optimisers = [Optimiser(decoder.model) for decoder in pair]
    quick = fast_bfloat16(torch.device("cpu"))
    reader = copy.deepcopy(encoder)
    for model in (reader, *(decoder.model for decoder in pair)):
        if quick:
            model.to_compute(torch.bfloat16)
    began = told = time.monotonic()
    steps, fraction = 0, 0.0
    while fraction < 1.0:
        windows = source.batch(batch_size)
        with torch.no_grad():
            mean, spread = reader.encode(windows)
            z = mean + spread * torch.randn_like(mean)
        rate = FROM_SCRATCH.at(fraction, _WARMS_UP_TIMES_FASTER * steps)[0]
        nats = []
        for decoder, optimiser in zip(pair, optimisers, strict=True):
            loss = decoder.nats(windows[0], z)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step(rate, steps)
            nats.append(float(loss.detach()))
        steps += 1
        now = time.monotonic()
        fraction = (now - began) / total_s
        if now - told > _TOLD_EVERY_S:
            told = now
            log.info("%d updates, %.0f %%: hierarchical %.1f, flat %.1f nats", steps, 100 * fraction, *nats)
    for decoder, optimiser in zip(pair, optimisers, strict=True):
        decoder.model.float()
        decoder.model.load_state_dict(optimiser.averaged(), strict=False)
        decoder.model.eval()
    return steps


@torch.inference_mode()
def _read(
    pair: tuple[_Decoder, _Decoder], encoder: HierarchicalVae, batch: Batch, seed: int
) -> tuple[Readings, Readings]:
    """What both play from the posterior samples of the same windows."""
    generator = torch.Generator().manual_seed(seed)
    found: tuple[list[tuple[Tensor, ...]], list[tuple[Tensor, ...]]] = ([], [])
    for begin in range(0, len(batch.tokens), _CHUNK):
        rows = batch.rows(slice(begin, begin + _CHUNK))
        mean, spread = encoder.encode([rows])
        z = mean + spread * normal(mean, generator)
        for into, decoder in zip(found, pair, strict=True):
            into.append(decoder.played(rows, z, gumbel((*rows.tokens.shape, encoder.config.classes), generator)))
    nothing = torch.zeros(0)
    made = []
    for pieces in found:
        forced, sampled, best = (torch.cat([piece[i] for piece in pieces]) for i in range(3))
        made.append(Readings(batch.tokens, forced, sampled, best, nothing, nothing, nothing))
    return made[0], made[1]
