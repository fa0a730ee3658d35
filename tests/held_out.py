"""A few held-out windows kept in the repository, and what the shipped weights scored on them.

`python tests/held_out.py CORPUS_DIR` takes the windows (test songs only, up to 8 of each source) and records the scores
of the weights in models/; run it after every export. Sources and licences are those of the corpus: CC0, public domain,
CC BY 4.0 (Groove MIDI Dataset, EasyRPG), BSD (Freedoom), MIT (OpenEWLD).
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bridge.model.data.dataset import Dataset, load
from bridge.model.data.training_data import evaluation_rows
from bridge.model.evaluation.evaluate import score_rows
from bridge.model.nets import registry
from bridge.model.nets.config import CONFIGS

FOLDER = Path(__file__).parent / "model" / "held_out"
SCORES = FOLDER / "scores.json"
SEED = 1
_ARRAYS = ("tokens", "group", "song", "split", "velocities", "offsets", "has_velocity")


def windows(name: str) -> Dataset:
    """The kept windows of a model's part."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = {key: file[key] for key in _ARRAYS}
        count = len(arrays["tokens"])
        alone = {"follows": np.full(count, -1), "precedes": np.full((count, 3), -1), "moved": np.zeros((count, 4))}
        return Dataset(groups=tuple(file["groups"].tolist()), **alone, **arrays)


def scores(name: str) -> dict[str, float]:
    """What the shipped weights score on the kept windows."""
    dataset = windows(name)
    found = score_rows(registry.load_model(name).model, dataset, np.arange(len(dataset.tokens)), SEED)
    steps = {key: found["step_accuracy"][key] for key in ("teacher_forced", "sampled", "shuffled_z")}
    others = ("note_f1", "note_f1_shuffled_z", "note_f1_other_window", "kl_bits")
    return steps | {key: found[key] for key in others}


def keep(name: str, corpus: Path) -> None:
    """Take the windows out of the corpus, once."""
    config = CONFIGS[name]
    dataset = load([corpus], config, registry.models_folder() / ".cache")
    rows = evaluation_rows(dataset, "test", 12 if config.part == "trio" else 8)
    arrays = {key: getattr(dataset, key)[rows] for key in _ARRAYS if len(getattr(dataset, key))}
    empty = {key: getattr(dataset, key) for key in _ARRAYS if not len(getattr(dataset, key))}
    np.savez_compressed(FOLDER / f"{name}.npz", groups=np.array(dataset.groups), **arrays, **empty)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    names = [card["name"] for card in registry.list_models()]
    for name in names:
        if not (FOLDER / f"{name}.npz").is_file():
            keep(name, Path(sys.argv[1]))
    SCORES.write_text(json.dumps({name: scores(name) for name in names}, indent=2) + "\n")
