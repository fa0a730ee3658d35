"""From a finished training run to a model folder: the prior fitted, the scores taken, weights and card written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from bridge.model.attributes import measure
from bridge.model.config import ModelConfig, config_of
from bridge.model.corpus import open_collections
from bridge.model.curves import curves_of
from bridge.model.dataset import Dataset, load
from bridge.model.evaluation import evaluate_split
from bridge.model.hierarchy import HierarchicalVae
from bridge.model.latent_maps import LatentMaps, fit_maps, following_gain_nats
from bridge.model.long_windows import plain_parts, whole_rows
from bridge.model.prior import Mixture, fit_mixture
from bridge.model.quantising import from_eight_bits, in_eight_bits
from bridge.model.registry import ModelFileError, write_model
from bridge.model.training_data import group_chances
from bridge.model.vae import MusicVae
from bridge.music.grids import Ints

_POINTS = 20_000
_LONG_POINTS = 8_000
_CHUNK = 512
#: Long windows overlap their neighbours by fifteen bars: so many of each source, evenly spaced, say what all would.
_LONG_SCORED = 320


def _posteriors(model: MusicVae | HierarchicalVae, dataset: Dataset, rows: Ints, seed: int) -> tuple[Tensor, Tensor]:
    """Posterior means and samples (n, Z) of windows as they are."""
    generator = torch.Generator().manual_seed(seed)
    means, samples = [], []
    with torch.inference_mode():
        for begin in range(0, len(rows), _CHUNK):
            mean, spread = model.encode(plain_parts(dataset, rows[begin : begin + _CHUNK], model.config))
            means.append(mean)
            samples.append(mean + spread * torch.randn(mean.shape, generator=generator))
    if not means:
        return torch.zeros(0, model.config.latent_size), torch.zeros(0, model.config.latent_size)
    return torch.cat(means), torch.cat(samples)


def _drawn(dataset: Dataset, split: str, count: int, part: str, seed: int) -> Ints:
    """Up to `count` windows of a split, drawn by the diet; of the training songs where a split is empty."""
    rows = np.intersect1d(dataset.indices(split), whole_rows(dataset))
    if not len(rows):
        rows = whole_rows(dataset)
    group = np.asarray(dataset.group)[rows]
    sizes = np.bincount(group, minlength=len(dataset.groups))
    weights = group_chances(dataset.groups, sizes, part)[group] / np.maximum(1, sizes[group])
    rng = np.random.default_rng(seed)
    drawn: Ints = rng.choice(rows, min(count, len(rows)), replace=True, p=weights / weights.sum())
    return drawn


def _pairs(dataset: Dataset, rows: Ints) -> tuple[Ints, Ints]:
    """Those of `rows` that something follows, and what does."""
    follows = np.asarray(dataset.follows)[rows]
    return rows[follows >= 0], follows[follows >= 0].astype(np.int64)


def fit_latent(
    model: MusicVae | HierarchicalVae, dataset: Dataset, seed: int
) -> tuple[Mixture, LatentMaps, dict[str, float]]:
    """The prior, the maps, and what they were worth on validation songs (nats a window)."""
    part, most = model.config.part, _POINTS if model.config.bars <= 2 else _LONG_POINTS
    train, held_out = (_drawn(dataset, s, n, part, seed) for s, n in (("train", most), ("validation", most // 8)))
    means, samples = _posteriors(model, dataset, train, seed)
    mixture = fit_mixture(samples, _posteriors(model, dataset, held_out, seed + 1)[1], seed)
    measured = torch.zeros(len(train), 0)
    if model.config.attributes:
        plain = plain_parts(dataset, train, model.config)[0]
        measured = torch.from_numpy(measure(plain.tokens.numpy(), model.config)).float()
    before, after = _pairs(dataset, train)
    maps = fit_maps(
        means, measured, _posteriors(model, dataset, before, seed)[0], _posteriors(model, dataset, after, seed)[1]
    )
    worth: dict[str, float] = {}
    earlier, later = _pairs(dataset, held_out)
    if len(earlier) > 1:
        told = (_posteriors(model, dataset, earlier, seed)[0], _posteriors(model, dataset, later, seed)[1])
        worth["following_gain_nats"] = round(following_gain_nats(maps, *told, samples), 2)
    return mixture, maps, worth


def _as_shipped(
    config: ModelConfig, found: Mapping[str, Tensor]
) -> tuple[MusicVae | HierarchicalVae, dict[str, Tensor]]:
    """The model with its weights as coarse as they will be in the file, and those weights."""
    if config.bar_models:
        long = HierarchicalVae(config)
        weights = from_eight_bits(in_eight_bits(long.shipped(found)))
        long.load_shipped(weights)
        return long.eval(), weights
    model = MusicVae(config)
    weights = {key: value.half().float() for key, value in found.items()}
    model.load_state_dict(weights)
    return model.eval(), weights


def export(
    name: str,
    run_dir: Path,
    data_paths: Sequence[Path],
    *,
    models_dir: Path | None = None,
    cache: Path | None = None,
    seed: int = 0,
    card: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write models/NAME from the best weights of a training run; returns the card.

    The scores are of test songs, taken with the weights as shipped (rounded to fp16 or int8). `card` adds to or
    replaces what the card says about data and licence.

    Raises:
        ModelFileError: the run has left no weights.
    """
    config = config_of(name)
    path = run_dir / "best.safetensors"
    if not path.is_file():
        raise ModelFileError(f"{path}: expected the best weights of a training run")
    with safe_open(path, framework="pt") as file:
        facts = file.metadata() or {}
        found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
    model, weights = _as_shipped(config, found)
    long = isinstance(model, HierarchicalVae)
    dataset = load(data_paths, config, cache or run_dir / "index")
    sources = {group.split(" ")[0] for group in dataset.groups}
    collections = [c for path in data_paths for c in open_collections(path) if c.source in sources]
    mixture, maps, worth = fit_latent(model, dataset, seed)
    has_test = len(dataset.indices("test")) > 0
    scores = evaluate_split(model, dataset, "test" if has_test else "train", seed, _LONG_SCORED if long else None)
    full = {
        "trained_on": "cpu",
        "steps": int(facts.get("steps", 0)),
        "minutes": float(facts.get("minutes", 0.0)),
        "windows_seen": int(facts.get("windows", 0)),
        "data": sorted(f"{c.source}: {c.licence}" for c in collections),
        "licence": "what its data allows: see data",
        "scores": {"songs_held_out": has_test, **scores},
        "curves": curves_of(run_dir),
        "prior": {"components": len(mixture.weights), "kind": "Gaussian mixture over posterior samples", **worth},
        **(card or {}),
    }
    return write_model(name, weights, mixture, maps, full, models_dir)
