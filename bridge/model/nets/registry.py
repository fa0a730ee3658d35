"""The trained models: where they are, loading and checking their weights, and writing them with their cards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bridge import whole_file
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.compiled_hierarchy import CompiledHierarchy
from bridge.model.nets.config import CONFIGS, config_of
from bridge.model.nets.flow import Flow, flow_from, tensors_of
from bridge.model.nets.hierarchy import HierarchicalVae
from bridge.model.nets.latent_maps import MAP_NAMES, LatentMaps
from bridge.model.nets.quantising import from_eight_bits, in_eight_bits
from bridge.model.nets.vae import MusicVae
from bridge.paths import check_own_models, folder_with, models_folder

WEIGHTS_FILE, CARD_FILE = "weights.safetensors", "card.json"
#: What is in a weights file besides the weights of the model.
_BESIDE_THE_MODEL = ("prior.", "maps.")
_MAP_KEYS = tuple(f"maps.{name}" for name in MAP_NAMES)
#: What every card has, and of what kind.
_CARD_FIELDS: Final[dict[str, type]] = {
    "name": str, "parts": list, "bars": int, "parameters": int, "latent_size": int, "attributes": list, "sha256": str,
}  # fmt: skip
_KINDS: Final = {int: "a number", str: "a text", list: "a list of texts", dict: "a mapping", bool: "true or false"}
_NUMBER: Final = (int, float)
#: What is told of models besides, where a card has it, and of what kind it is; below a mapping its leaves are figures.
_TOLD_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "steps": _NUMBER, "minutes": _NUMBER, "windows_seen": _NUMBER, "trained_on": (str,), "data": (list,),
    "scores": (dict,), "scores.songs_held_out": (bool,), "scores.songs": _NUMBER, "scores.windows": _NUMBER,
    "scores.note_f1": _NUMBER, "scores.note_f1_shuffled_z": _NUMBER, "scores.note_f1_other_window": _NUMBER,
    "scores.note_f1_by_source": (dict,), "scores.kl_bits": _NUMBER, "scores.kl_nats": _NUMBER,
    "scores.active_dims": _NUMBER, "scores.step_accuracy": (dict,), "scores.parts": (dict,),
}  # fmt: skip
_OF_FIGURES: Final = ("scores.step_accuracy", "scores.note_f1_by_source")


class ModelFileError(ValueError):
    """A model that is not there, is not whole, or is not what its card says; the message names the file. Of several
    models, `faults` has a line each.
    """

    def __init__(self, *faults: str) -> None:
        """`faults`: lines for the user, at least one."""
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model's modules with its prior and its card."""

    model: MusicVae | HierarchicalVae
    flow: Flow
    maps: LatentMaps
    card: Mapping[str, Any]


def read_card(name: str, folder: Path | None = None) -> dict[str, Any]:
    """The card of a model.

    Raises:
        UnknownModelError: no such name.
        ModelFileError: it has not been trained here, or its card cannot be read or is another model's.
    """
    config_of(name)
    path = (folder or models_folder()) / name / CARD_FILE
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFileError(f"{path}: expected the card of {name}; this model has not been trained here") from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: expected a readable card.json ({error})") from error
    fields = card if isinstance(card, dict) else {}
    wrong = ", ".join(key for key, kind in _CARD_FIELDS.items() if not _is_a(fields.get(key), (kind,)))
    if wrong:
        raise ModelFileError(f"{path}: expected a card with {', '.join(_CARD_FIELDS)}; missing or wrong: {wrong}")
    if fields["name"] != name:
        raise ModelFileError(f"{path}: expected a card of {name}, found one of {fields['name']}")
    return fields


def _is_a(value: object, kinds: tuple[type, ...]) -> bool:
    """Whether a field of a card is of a kind: a number is no truth value, a list is one of words."""
    if isinstance(value, bool) and bool not in kinds:
        return False
    words = all(isinstance(word, str) for word in value) if isinstance(value, list) else True
    return isinstance(value, kinds) and words


def _told_card(name: str, folder: Path) -> dict[str, Any]:
    """A card of which every field that is told of a model is what it should be; to play a model it need not be.

    Raises:
        ModelFileError: one is not, or as `read_card`.
    """
    card = read_card(name, folder)
    for place, kinds in _TOLD_FIELDS.items():
        found = _at(card, place)
        leaves = found if place in _OF_FIGURES and isinstance(found, dict) else {}
        fields = [(place, found, kinds), *((f"{place}.{key}", value, _NUMBER) for key, value in leaves.items())]
        for at, value, expected in fields:
            if value is not None and not _is_a(value, expected):
                kind = " or ".join(_KINDS[it] for it in expected if it is not float)
                raise ModelFileError(
                    f"{folder / name / CARD_FILE}: expected {kind} as {at} of {name}, found {json.dumps(value)[:60]}"
                )
    return card


def _at(card: Mapping[str, Any], place: str) -> Any:
    """What stands in a card at a place, None where there is none."""
    found: Any = card
    for key in place.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def folder_of(name: str, own_models: str | None) -> Path:
    """The folder that a model is taken from where the user may have models of their own (`engine.own_models`).

    Raises:
        OwnModelsError: the user's own cannot be in that folder.
    """
    check_own_models(own_models)
    return folder_with(name, own_models, models_folder())


def cards_and_faults(own_models: str | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """The cards of every model that is there, the user's own before those that came with Barline, in the order of the
    family; and what is wrong with those that cannot be read.

    Raises:
        OwnModelsError: as `folder_of`.
    """
    cards, faults = [], []
    for name in CONFIGS:
        folder = folder_of(name, own_models)
        if folder == models_folder() and not any((folder / name / it).is_file() for it in (CARD_FILE, WEIGHTS_FILE)):
            continue  # not trained here
        try:
            cards.append(_told_card(name, folder))
        except ModelFileError as fault:
            faults.append(str(fault))
    return cards, faults


def list_models(folder: Path | None = None) -> list[dict[str, Any]]:
    """The cards of every model that is there, in the order of the family.

    Raises:
        ModelFileError: one of them cannot be read.
    """
    where = folder or models_folder()
    return [_told_card(name, where) for name in CONFIGS if (where / name / CARD_FILE).is_file()]


def load_model(name: str, folder: Path | None = None) -> Loaded:
    """A model's modules in float32 on the CPU, its weights checked against its card.

    Raises:
        UnknownModelError, ModelFileError: no such model, or weights that are missing, changed or of another shape.
    """
    tensors, card = _checked(name, folder)
    with _told_of(name, folder):
        flow = flow_from(tensors)
        maps = LatentMaps(*(tensors.pop(key) for key in _MAP_KEYS))
        return Loaded(_model_of(name, tensors), flow, maps, card)


def stored_model(name: str, folder: Path | None = None) -> tuple[MusicVae | HierarchicalVae, dict[str, Any]]:
    """A model's modules without its prior and maps, whatever version wrote those, and its card.

    Raises:
        UnknownModelError, ModelFileError: as `load_model`.
    """
    tensors, card = _checked(name, folder)
    own = {key: value for key, value in tensors.items() if not key.startswith(_BESIDE_THE_MODEL)}
    with _told_of(name, folder):
        return _model_of(name, own), card


def _checked(name: str, folder: Path | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What is in a weights file, in float32, and the card whose hash it has."""
    card = read_card(name, folder)
    path = (folder or models_folder()) / name / WEIGHTS_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: expected the weights of {name} ({error.strerror or error})") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card["sha256"]:
        raise ModelFileError(f"{path}: expected sha256 {card['sha256']}, found {found}: the file is damaged or changed")
    with _told_of(name, folder):
        tensors = from_eight_bits(load(data))
    no_number = next((key for key, values in tensors.items() if not torch.isfinite(values).all()), None)
    if no_number is not None:  # as a training that went astray leaves them: they play, and it is nothing
        raise ModelFileError(f"{path}: expected numbers as weights of {name}, found NaN or infinity in {no_number}")
    return tensors, card


@contextmanager
def _told_of(name: str, folder: Path | None) -> Iterator[None]:
    """What goes wrong with the tensors of a weights file, told with its name."""
    try:
        yield
    except (SafetensorError, RuntimeError, KeyError) as error:
        path = (folder or models_folder()) / name / WEIGHTS_FILE
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path}: expected weights of {name} as this version builds it ({reason})") from error


def _model_of(name: str, tensors: dict[str, Tensor]) -> MusicVae | HierarchicalVae:
    config = config_of(name)
    if config.bar_models:
        long = HierarchicalVae(config)
        long.load_shipped(tensors)
        return long.eval()
    model = MusicVae(config)
    model.load_state_dict(tensors, strict=True)
    return model.eval()


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
        return CompiledHierarchy(loaded.model, loaded.flow, device, maps=loaded.maps)
    return CompiledModel(loaded.model, loaded.flow, device, maps=loaded.maps)


def write_model(
    name: str,
    weights: Mapping[str, Tensor],
    flow: Flow,
    maps: LatentMaps,
    card: Mapping[str, Any],
    folder: Path | None = None,
) -> dict[str, Any]:
    """Write weights (matrices in int8, the rest in fp16) and card atomically, weights first; returns the card as
    written, with sizes and hash.
    """
    config = config_of(name)
    parameters = sum(value.numel() for value in weights.values())
    data = save(in_eight_bits({**weights, **tensors_of(flow), **maps.tensors()}))
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
    with whole_file.folders_for(where / WEIGHTS_FILE):
        whole_file.write(where / WEIGHTS_FILE, data)
    whole_file.write(where / CARD_FILE, card_text(full))
    return full


def card_text(card: Mapping[str, Any]) -> str:
    """A card as its file has it."""
    return json.dumps(card, indent=2, ensure_ascii=False) + "\n"
