"""`evaluate`: one set of figures for a model on any folder or zip of MIDI files, or on the corpus's own test songs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from bridge.model.data.corpus import CorpusError, open_collections
from bridge.model.data.dataset import Dataset, build
from bridge.model.data.long_windows import plain_parts, whole_rows
from bridge.model.data.training_data import evaluation_rows, plain_batch
from bridge.model.evaluation.hierarchy_scoring import read_long_windows
from bridge.model.evaluation.scoring import (
    ACTIVE_NATS,
    Readings,
    chance_accuracy,
    macro_note_f1,
    note_f1,
    read_windows,
    step_accuracy,
)
from bridge.model.nets.config import ModelConfig
from bridge.model.nets.hierarchy import HierarchicalVae
from bridge.model.nets.vae import MusicVae
from bridge.music.grids import Ints
from bridge.music.roles import GENERAL_MIDI_RULES

_NATS_TO_BITS = 1.0 / float(np.log(2.0))


def score_rows(
    model: MusicVae | HierarchicalVae, dataset: Dataset, rows: Ints, seed: int, temperature: float = 1.0
) -> dict[str, Any]:
    """The figures of `evaluate` for some windows of a dataset. A trio's are means over its parts, each of which has its
    own under `parts`.
    """
    config: ModelConfig = model.config
    if isinstance(model, HierarchicalVae):
        readings = read_long_windows(model, plain_parts(dataset, rows, config), seed, temperature)
    else:
        readings = [read_windows(model, plain_batch(dataset, rows, config), seed, temperature)]
    sources = np.asarray(dataset.group)[rows]
    by_part = {
        part: part_scores(read, sources, dataset.groups, drums=part == "drums")
        for part, read in zip(config.parts, readings, strict=True)
    }
    scores = next(iter(by_part.values()))
    if len(by_part) > 1:
        scores = {**_means(list(by_part.values())), "parts": by_part}
    return {
        "model": config.name,
        "songs": len(np.unique(np.asarray(dataset.song)[rows])),
        "windows": len(rows),
        "seed": seed,
        "temperature": temperature,
        **scores,
        **rate_scores(readings[0]),
    }


def _means(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of the same form, averaged one by one; None where there are none."""
    return {
        key: _means([each[key] for each in scores]) if isinstance(value, dict)
        else None if value is None else round(fmean(each[key] for each in scores), 4)
        for key, value in scores[0].items()
    }  # fmt: skip


def part_scores(readings: Readings, sources: Ints, groups: Sequence[str], *, drums: bool) -> dict[str, Any]:
    """The figures of one part: note F1 (macro-averaged over `sources` (n,), indices of `groups`), then the steps.

    `step_accuracy.sampled` counts tokens as played at the given temperature; `sampled_argmax` the most likely token
    under that same history, which is how the MusicVAE code scores. `chance` always plays the commonest token. What is
    played from another window's z is None where there is no other; `note_f1_other_window` is what that window itself
    scores, and what a model would that played nothing but z: drums share their kicks and hats.
    """
    truth = readings.truth
    shuffled_f1 = other_f1 = shuffled_steps = None
    if len(truth) > 1:
        shuffled_f1 = round(macro_note_f1(readings.shuffled, truth, sources, drums=drums), 4)
        other_f1 = round(macro_note_f1(readings.other, truth, sources, drums=drums), 4)
        shuffled_steps = round(step_accuracy(readings.shuffled, truth), 4)
    by_source = {
        groups[source]: round(note_f1(readings.sampled[sources == source], truth[sources == source], drums=drums), 4)
        for source in np.unique(sources).tolist()
    }
    return {
        "note_f1": round(macro_note_f1(readings.sampled, truth, sources, drums=drums), 4),
        "note_f1_shuffled_z": shuffled_f1,
        "note_f1_other_window": other_f1,
        "note_f1_by_source": by_source,
        "step_accuracy": {
            "sampled": round(step_accuracy(readings.sampled, truth), 4),
            "sampled_argmax": round(step_accuracy(readings.best, truth), 4),
            "teacher_forced": round(step_accuracy(readings.forced, truth), 4),
            "chance": round(chance_accuracy(truth), 4),
            "shuffled_z": shuffled_steps,
        },
    }


def rate_scores(readings: Readings) -> dict[str, Any]:
    """How much z tells: the mean rate over windows, and how many dimensions carry it."""
    mean_rate = readings.rate.mean(0)
    nats = float(mean_rate.sum())
    return {
        "kl_bits": round(nats * _NATS_TO_BITS, 2),
        "kl_nats": round(nats, 2),
        "active_dims": int((mean_rate > ACTIVE_NATS).sum()),
    }


def evaluate_path(model: MusicVae | HierarchicalVae, path: Path, seed: int) -> dict[str, Any]:
    """Score a model on every window of a folder or zip of MIDI files (each distinct window once).

    The result's `roles` says how melody, bass and drums were told apart.

    Raises:
        CorpusError: nothing there, or no window of the model's part in it.
    """
    collections = open_collections(path)
    dataset = build(collections, model.config, keep_off_grid=True)
    rows = whole_rows(dataset)
    if not len(rows):
        raise CorpusError(f"{path}: expected melody, bass and drums together, found none")
    scores = score_rows(model, dataset, rows, seed)
    by_rules = [c for c in collections if c.manifest is None]
    scores["roles"] = GENERAL_MIDI_RULES if by_rules else "manifest.json"
    return scores


def evaluate_split(
    model: MusicVae | HierarchicalVae, dataset: Dataset, split: str, seed: int, per_group: int | None
) -> dict[str, Any]:
    """Score a model on a split of an indexed corpus, at most `per_group` windows of each source.

    Raises:
        CorpusError: no window of that split.
    """
    rows = evaluation_rows(dataset, split, per_group or len(dataset.tokens))
    if not len(rows):
        raise CorpusError(f"{split}: expected songs to evaluate on, found none")
    with torch.inference_mode():
        return score_rows(model, dataset, rows, seed)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Scores as a Markdown table, one model a line; a trio has a line for each of its parts."""
    head = (
        "| model | songs | windows | note F1 | shuffled z | other window | sampled | argmax | forced | shuffled z "
        "| chance | rate, bits | nats | active |"
    )
    lines = [head, "|---" * 14 + "|"]
    for row in rows:
        for part, scores in (row.get("parts") or {"": row}).items():
            steps = scores["step_accuracy"]
            cells = [
                f"{row['model']} {part}".strip(), row["songs"], row["windows"], scores["note_f1"],
                scores["note_f1_shuffled_z"], scores.get("note_f1_other_window"), steps["sampled"],
                steps["sampled_argmax"], steps["teacher_forced"], steps["shuffled_z"], steps["chance"], row["kl_bits"],
                round(row["kl_bits"] / _NATS_TO_BITS, 1), row["active_dims"],
            ]  # fmt: skip
            lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) and value < 2 else str(value)
