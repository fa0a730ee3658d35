"""The models that ship: exported from their training runs, scored on test songs, and told in models/README.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.model.reporting.report import write_page
from bridge.model.training.exporting import export
from bridge.paths import models_folder

LICENCE = "CC BY 4.0 (the weights; every source allows it); what they play is yours"


def release(
    names: Sequence[str], data_paths: Sequence[Path], *, models_dir: Path | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Export the named models from models/.training/NAME, and write the page about all that are there; what is to be
    measured of the new weights is not on it before `models --report --data` has measured it.

    Returns the cards of the exported models.

    Raises:
        ModelFileError: a run that has left no weights.
    """
    models = models_dir or models_folder()
    cards = [
        export(
            name, models / ".training" / name, data_paths,
            models_dir=models, cache=models / ".cache", seed=seed, card={"licence": LICENCE},
        )
        for name in names
    ]  # fmt: skip
    write_page(models, models)
    return cards
