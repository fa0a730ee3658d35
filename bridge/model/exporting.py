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
from bridge.model.config import config_of
from bridge.model.corpus import open_collections
from bridge.model.dataset import Dataset, load
from bridge.model.evaluation import evaluate_split
from bridge.model.latent_maps import LatentMaps, fit_maps, following_gain_nats
from bridge.model.prior import Mixture, fit_mixture
from bridge.model.registry import ModelFileError, write_model
from bridge.model.training_data import group_chances, plain_batch
from bridge.model.vae import MusicVae
from bridge.music.grids import Ints

_POINTS = 20_000
_CHUNK = 512


def _posteriors(model: MusicVae, dataset: Dataset, rows: Ints, seed: int) -> tuple[Tensor, Tensor]:
    """Posterior means and samples (n, Z) of windows as they are."""
    generator = torch.Generator().manual_seed(seed)
    means, samples = [], []
    with torch.inference_mode():
        for begin in range(0, len(rows), _CHUNK):
            mean, spread = model.encoder(plain_batch(dataset, rows[begin : begin + _CHUNK], model.config))
            means.append(mean)
            samples.append(mean + spread * torch.randn(mean.shape, generator=generator))
    if not means:
        return torch.zeros(0, model.config.latent_size), torch.zeros(0, model.config.latent_size)
    return torch.cat(means), torch.cat(samples)


def _drawn(dataset: Dataset, split: str, count: int, part: str, seed: int) -> Ints:
    """Up to `count` windows of a split, drawn by the diet; of the training songs where a split is empty."""
    rows = dataset.indices(split)
    if not len(rows):
        rows = np.arange(len(dataset.tokens))
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


def fit_latent(model: MusicVae, dataset: Dataset, seed: int) -> tuple[Mixture, LatentMaps, dict[str, float]]:
    """The prior, the maps, and what they were worth on validation songs (nats a window)."""
    part = model.config.part
    train, held_out = (_drawn(dataset, s, n, part, seed) for s, n in (("train", _POINTS), ("validation", _POINTS // 8)))
    means, samples = _posteriors(model, dataset, train, seed)
    mixture = fit_mixture(samples, _posteriors(model, dataset, held_out, seed + 1)[1], seed)
    plain = plain_batch(dataset, train, model.config)
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

    The scores are of test songs, taken with the weights as shipped (rounded to fp16). `card` adds to or replaces what
    the card says about data and licence.

    Raises:
        ModelFileError: the run has left no weights.
    """
    config = config_of(name)
    path = run_dir / "best.safetensors"
    if not path.is_file():
        raise ModelFileError(f"{path}: expected the best weights of a training run")
    with safe_open(path, framework="pt") as file:
        facts = file.metadata() or {}
        weights = {key: file.get_tensor(key).half().float() for key in file.keys()}  # noqa: SIM118 - it is no dict
    model = MusicVae(config)
    model.load_state_dict(weights)
    model.eval()
    dataset = load(data_paths, config, cache or run_dir / "index")
    sources = {group.split(" ")[0] for group in dataset.groups}
    collections = [c for path in data_paths for c in open_collections(path) if c.source in sources]
    mixture, maps, worth = fit_latent(model, dataset, seed)
    has_test = len(dataset.indices("test")) > 0
    scores = evaluate_split(model, dataset, "test" if has_test else "train", seed, None)
    full = {
        "trained_on": "cpu",
        "steps": int(facts.get("steps", 0)),
        "minutes": float(facts.get("minutes", 0.0)),
        "windows_seen": int(facts.get("windows", 0)),
        "data": sorted(f"{c.source}: {c.licence}" for c in collections),
        "licence": "what its data allows: see data",
        "scores": {"songs_held_out": has_test, **scores},
        "prior": {"components": len(mixture.weights), "kind": "Gaussian mixture over posterior samples", **worth},
        **(card or {}),
    }
    return write_model(name, weights, mixture, maps, full, models_dir)
