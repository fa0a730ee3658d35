"""Where things are, in a checkout and after `pip install .`.

A checkout keeps `models/` beside the package; a wheel carries it as data in `bridge/_data/` (pyproject.toml puts it
there, and config.yaml for those who want to read it).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
_DATA: Final = _PACKAGE / "_data"
_FILES_OF_A_MODEL: Final = ("card.json", "weights.safetensors")


class OwnModelsError(ValueError):
    """A folder that models of one's own cannot be taken from; the message says which and what was expected."""


def checkout() -> Path | None:
    """The checkout that this package runs from; None when it is installed."""
    root = _PACKAGE.parent
    return root if (root / "run_bridge.py").is_file() and (root / "pyproject.toml").is_file() else None


def models_folder() -> Path:
    """The folder with one folder a model (weights and card)."""
    root = checkout()
    return root / "models" if root else _DATA / "models"


def check_own_models(own_models: str | None) -> None:
    """Refuse a folder for models of one's own (`engine.own_models`) that cannot hold any: those that came with Barline
    would play in their place.

    Raises:
        OwnModelsError: there is no such folder, or it is a model's own.
    """
    if own_models is None:
        return
    folder = Path(own_models)
    expected = f"engine.own_models = {own_models}: expected a folder of models"
    if not folder.is_dir():
        raise OwnModelsError(f"{expected}, there is none")
    if any((folder / name).is_file() for name in _FILES_OF_A_MODEL):
        raise OwnModelsError(f"{expected}, found one model's own: give {folder.parent}")


def folder_with(model: str, own_models: str | None, others: Path) -> Path:
    """The folder to take a model from: the user's own where it has one of that name, else `others`."""
    return Path(own_models) if own_models and (Path(own_models) / model).is_dir() else others


def tests_folder() -> Path | None:
    """The tests, which only a checkout has."""
    root = checkout()
    return root / "tests" if root else None


def child_environment() -> dict[str, str]:
    """The environment for a child `python -P -m bridge.X`: it must find this very package.

    Only a checkout needs help for that; an installed package is found by the same interpreter anyway.
    """
    environment = dict(os.environ)
    root = checkout()
    if root:
        others = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(root), others]) if others else str(root)
    return environment
