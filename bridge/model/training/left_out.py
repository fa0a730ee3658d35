"""What a model learns that is not of its own corpus: trained without a whole collection, and scored on all of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from bridge import whole_file
from bridge.model.data.corpus import Collection, CorpusError, open_collections
from bridge.model.data.dataset import build
from bridge.model.evaluation.evaluate import score_rows
from bridge.model.nets.config import ModelConfig, config_of
from bridge.model.nets.vae import MusicVae
from bridge.model.training.train import train
from bridge.model.training.training_run import Length

LEFT_OUT_FILE = "left_out.json"
#: Windows of the collection that are scored, at most: enough for a figure of three digits.
_SCORED = 4000


def train_without(
    name: str,
    source: str,
    data_paths: Sequence[Path],
    minutes: float,
    models_dir: Path,
    seed: int = 0,
    *,
    kept_in: Path,
) -> Path:
    """Train a 2-bar model on all collections but `source`, score it on that one, and keep the scores in a folder, as
    left_out.json; returns that path. The weights stay in models/.training/left-out.

    Raises:
        CorpusError: no such collection, or nothing else beside it; a hierarchical model.
    """
    config = config_of(name)
    if config.bar_models:
        raise CorpusError(f"--leave-out: expected a 2-bar model, {name} stands on others")
    inside, outside = divided(data_paths, source)
    run_dir = models_dir / ".training" / "left-out" / f"{name}-{source}"
    made = train(
        name, inside, Length(60.0 * minutes), resume=False, out_dir=run_dir, cache=models_dir / ".cache", seed=seed
    )
    found = {
        "source": source,
        "minutes": round(made.minutes, 1),
        "steps": made.steps,
        "windows_seen": made.windows,
        "scores": _scores(config, made.weights, outside, seed),
    }
    path = kept_in / LEFT_OUT_FILE
    with whole_file.folders_for(path):
        whole_file.write(path, json.dumps(found, indent=1) + "\n")
    return path


def divided(data_paths: Sequence[Path], source: str) -> tuple[list[Path], list[Collection]]:
    """The paths of all collections but those of `source`, and those.

    Raises:
        CorpusError: no such collection, nothing else beside it, or loose files in its folder, which cannot be taken
            without it.
    """
    collections = [collection for path in data_paths for collection in open_collections(path)]
    outside = [collection for collection in collections if collection.source == source]
    inside = [collection.path for collection in collections if collection.source != source]
    if not outside or not inside:
        names = ", ".join(sorted({collection.source for collection in collections}))
        raise CorpusError(f"--leave-out {source}: expected one of several collections, there are {names}")
    inner = {folder for collection in outside for folder in collection.path.resolve().parents}
    around = [path for path in inside if path.resolve() in inner]
    if around:
        raise CorpusError(f"--leave-out {source}: expected it apart from other files, it is among those of {around[0]}")
    return inside, outside


def _scores(config: ModelConfig, weights: Path, collections: Sequence[Collection], seed: int) -> dict[str, Any]:
    model = MusicVae(config)
    model.load_state_dict(load_file(weights))
    dataset = build(collections, config)
    rows = np.arange(len(dataset.tokens))
    if len(rows) > _SCORED:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _SCORED, replace=False))
    with torch.inference_mode():
        return score_rows(model.eval(), dataset, rows, seed)
