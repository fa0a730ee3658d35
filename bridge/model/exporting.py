"""From a finished training run to a model folder: the prior fitted, the scores taken, weights and card written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from bridge.model.config import config_of
from bridge.model.corpus import open_collections
from bridge.model.dataset import Dataset, load
from bridge.model.evaluation import evaluate_split
from bridge.model.prior import Mixture, fit_mixture
from bridge.model.registry import ModelFileError, write_model
from bridge.model.training_data import group_chances, plain_batch
from bridge.model.vae import MusicVae

_PRIOR_POINTS = 20_000
_CHUNK = 512


def posterior_samples(model: MusicVae, dataset: Dataset, split: str, count: int, seed: int) -> Tensor:
    """Up to `count` points (n, Z) sampled from the posteriors of plain windows of a split, drawn by the diet."""
    rows = dataset.indices(split)
    group = np.asarray(dataset.group)[rows]
    sizes = np.bincount(group, minlength=len(dataset.groups))
    chances = group_chances(dataset.groups, sizes, model.config.part)
    rng = np.random.default_rng(seed)
    weights = chances[group] / np.maximum(1, sizes[group])
    drawn = rng.choice(rows, min(count, len(rows)), replace=True, p=weights / weights.sum())
    generator = torch.Generator().manual_seed(seed)
    points = []
    with torch.inference_mode():
        for begin in range(0, len(drawn), _CHUNK):
            mean, spread = model.encoder(plain_batch(dataset, drawn[begin : begin + _CHUNK], model.config))
            points.append(mean + spread * torch.randn(mean.shape, generator=generator))
    return torch.cat(points)


def fit_prior(model: MusicVae, dataset: Dataset, seed: int) -> Mixture:
    """The second-stage prior of a trained model."""
    train = posterior_samples(model, dataset, "train", _PRIOR_POINTS, seed)
    held_out = posterior_samples(model, dataset, "validation", _PRIOR_POINTS // 10, seed + 1)
    return fit_mixture(train, held_out, seed)


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
    mixture = fit_prior(model, dataset, seed)
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
        "prior": {"components": len(mixture.weights), "kind": "Gaussian mixture over posterior samples"},
        **(card or {}),
    }
    return write_model(name, weights, mixture, full, models_dir)
