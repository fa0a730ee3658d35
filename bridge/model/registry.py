"""The trained models: where they are, loading and checking their weights, and writing them with their cards."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bridge.model.compiled import CompiledModel
from bridge.model.compiled_hierarchy import CompiledHierarchy
from bridge.model.config import CONFIGS, config_of
from bridge.model.hierarchy import HierarchicalVae
from bridge.model.latent_maps import MAP_NAMES, LatentMaps
from bridge.model.prior import Mixture
from bridge.model.quantising import from_eight_bits, in_eight_bits
from bridge.model.vae import MusicVae
from bridge.paths import models_folder

WEIGHTS_FILE, CARD_FILE = "weights.safetensors", "card.json"
_PRIOR_KEYS = ("prior.weights", "prior.means", "prior.factors")
_MAP_KEYS = tuple(f"maps.{name}" for name in MAP_NAMES)


class ModelFileError(ValueError):
    """A model that is not there, is not whole, or is not what its card says; the message names the file."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model's modules with its prior and its card."""

    model: MusicVae | HierarchicalVae
    mixture: Mixture
    maps: LatentMaps
    card: Mapping[str, Any]


def read_card(name: str, folder: Path | None = None) -> dict[str, Any]:
    """The card of a model.

    Raises:
        UnknownModelError: no such name.
        ModelFileError: it has not been trained here, or its card cannot be read.
    """
    config_of(name)
    path = (folder or models_folder()) / name / CARD_FILE
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFileError(f"{path}: expected the card of {name}; this model has not been trained here") from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: expected a readable card.json ({error})") from error
    if not isinstance(card, dict) or "sha256" not in card:
        raise ModelFileError(f"{path}: expected a card with the weights' sha256")
    return card


def list_models(folder: Path | None = None) -> list[dict[str, Any]]:
    """The cards of every model that is there, in the order of the family."""
    where = folder or models_folder()
    return [read_card(name, where) for name in CONFIGS if (where / name / CARD_FILE).is_file()]


def load_model(name: str, folder: Path | None = None) -> Loaded:
    """A model's modules in float32 on the CPU, its weights checked against its card.

    Raises:
        UnknownModelError, ModelFileError: no such model, or weights that are missing, changed or of another shape.
    """
    card = read_card(name, folder)
    path = (folder or models_folder()) / name / WEIGHTS_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: expected the weights of {name} ({error.strerror or error})") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card["sha256"]:
        raise ModelFileError(f"{path}: expected sha256 {card['sha256']}, found {found}: the file is damaged or changed")
    try:
        tensors = from_eight_bits(load(data))
        model = HierarchicalVae(config_of(name)) if config_of(name).bar_models else MusicVae(config_of(name))
        prior = [tensors.pop(key) for key in _PRIOR_KEYS]
        maps = [tensors.pop(key) for key in _MAP_KEYS]
        if isinstance(model, HierarchicalVae):
            model.load_shipped(tensors)
        else:
            model.load_state_dict(tensors, strict=True)
    except (SafetensorError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path}: expected weights of {name} as this version builds it ({reason})") from error
    return Loaded(model.eval(), Mixture(*prior), LatentMaps(*maps), card)


def load_compiled(name: str, device: str = "auto", folder: Path | None = None) -> CompiledModel:
    """A model compiled for a device: auto (CUDA where there is one), cpu, cuda, cuda:N or mps.

    Raises:
        UnknownModelError, ModelFileError: as `load_model`.
    """
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return compiled_from(load_model(name, folder), torch.device(chosen))


def compiled_from(loaded: Loaded, device: torch.device) -> CompiledModel:
    """A loaded model compiled for a device."""
    if isinstance(loaded.model, HierarchicalVae):
        return CompiledHierarchy(loaded.model, loaded.mixture, device, maps=loaded.maps)
    return CompiledModel(loaded.model, loaded.mixture, device, maps=loaded.maps)


def write_model(
    name: str,
    weights: Mapping[str, Tensor],
    mixture: Mixture,
    maps: LatentMaps,
    card: Mapping[str, Any],
    folder: Path | None = None,
) -> dict[str, Any]:
    """Write weights (fp16; a hierarchical model's matrices in int8) and card atomically, weights first; returns the
    card as written, with sizes and hash.
    """
    config = config_of(name)
    parameters = sum(value.numel() for value in weights.values())
    tensors = in_eight_bits(weights) if config.bar_models else {key: _half(value) for key, value in weights.items()}
    for key, value in zip(_PRIOR_KEYS, (mixture.weights, mixture.means, mixture.factors), strict=True):
        tensors[key] = _half(value)
    tensors |= in_eight_bits(maps.tensors()) if config.bar_models else {k: _half(v) for k, v in maps.tensors().items()}
    data = save(tensors)
    full = {
        "name": name,
        "parts": list(config.parts),
        "bars": config.bars,
        "parameters": parameters,
        "latent_size": config.latent_size,
        "attributes": list(config.attributes),
        "sha256": hashlib.sha256(data).hexdigest(),
        **card,
    }
    where = (folder or models_folder()) / name
    where.mkdir(parents=True, exist_ok=True)
    _replace(where / WEIGHTS_FILE, data)
    _replace(where / CARD_FILE, (json.dumps(full, indent=2, ensure_ascii=False) + "\n").encode())
    return full


def _half(value: Tensor) -> Tensor:
    return value.detach().half().contiguous().cpu()


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.write_bytes(data)
    beside.replace(path)
