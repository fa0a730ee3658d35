"""All that is measured of a model besides its scores: realism, smoothness, what its knobs do, how it goes on.

The figures of a model are kept beside its weights (figures.json), with the hash of the weights they were measured on:
the report measures anew only what has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bridge import whole_file
from bridge.model.data.dataset import Dataset, load
from bridge.model.data.long_windows import music_of, plain_tokens
from bridge.model.evaluation.realism import NGram, fit_ngram, longest_shared_runs
from bridge.model.evaluation.telling_apart import classifier_auc
from bridge.model.nets import registry
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import SHORT_BARS, TEMPERATURES, ModelConfig, Part, config_of
from bridge.model.nets.noise import derived
from bridge.model.playing.generation import sample_bars
from bridge.model.playing.shaping import shape_of, shaped
from bridge.model.reporting.attribute_matrix import attribute_matrices
from bridge.model.reporting.continuation import continuation_figures
from bridge.model.reporting.held_out import drawn_rows, tokens_of_loops, unrelated_pairs
from bridge.model.reporting.smoothness import interpolation, small_moves
from bridge.music.form import returning
from bridge.music.grids import Ints
from bridge.music.measures import density, key_shares
from bridge.music.notes import STEPS_PER_BAR, Bars

FIGURES_FILE = "figures.json"
#: What stands among the temperatures for windows that nobody made.
OTHER_SONGS = "songs"
#: Raised whenever what is measured, or what it is measured of, changes; the page still tells of those from the oldest
#: on that have the same form.
_VERSION, _OLDEST = 10, 10
#: Windows that the 5-grams are fitted on, at most; long ones count as many.
_NGRAM_STEPS = 3_000_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: prior samples (and as many held-out windows), pairs of loops, those of them turned in small
    moves, loops whose attributes are turned, and chains of windows, those of them whose next window is ranked, and
    those gone on from.
    """

    samples: int = 1000
    pairs: int = 500
    moved_pairs: int = 100
    loops: int = 256
    chains: int = 1500
    ranked: int = 300
    continued: int = 1500


#: What fits into some minutes of one CPU core: long windows take longer, and trios longest.
SHORT, LONG, TRIO = Sizes(), Sizes(400, 500, 100, 64, 1500, 160, 600), Sizes(400, 500, 100, 40, 400, 300, 300)


def figures_of(
    name: str, data_paths: Sequence[Path], *, models_dir: Path, seed: int = 0, sizes: Sizes | None = None
) -> dict[str, Any]:
    """The figures of a model, from its folder where they are those of its weights; else measured and kept there.

    Raises:
        ModelFileError, CorpusError: no such model here, or no such data.
    """
    path = models_dir / name / FIGURES_FILE
    card = registry.read_card(name, models_dir)
    known = kept_figures(name, models_dir)
    if known is not None and known["sha256"] == card["sha256"] and known["version"] == _VERSION:
        return known
    found = {"version": _VERSION, "sha256": card["sha256"], **measured(name, data_paths, models_dir, seed, sizes)}
    whole_file.write(path, json.dumps(found, indent=1) + "\n")
    return found


def kept_figures(name: str, models_dir: Path) -> dict[str, Any] | None:
    """The figures in a model's folder; None where there are none of a form that is still told."""
    path = models_dir / name / FIGURES_FILE
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found if found.get("version", 0) >= _OLDEST else None


def measured(
    name: str, data_paths: Sequence[Path], models_dir: Path, seed: int, sizes: Sizes | None = None
) -> dict[str, Any]:
    """Everything, measured: test songs against what the model makes."""
    torch.set_num_threads(1)
    config = config_of(name)
    sizes = sizes or (TRIO if config.part == "trio" else LONG if config.bars > SHORT_BARS else SHORT)
    dataset = load(data_paths, config, models_dir / ".cache")
    model = registry.load_compiled(name, "cpu", models_dir)
    ngrams = ngrams_of(dataset, config, seed)
    temperature = TEMPERATURES[config.part]
    pairs = unrelated_pairs(dataset, sizes.pairs, config, seed)
    found: dict[str, Any] = {
        "seed": seed,
        "temperature": temperature,
        "realism": realism(model, dataset, ngrams, sizes.samples, seed, (temperature, 1.0)),
        "interpolation": interpolation(model, pairs, ngrams, seed, temperature),
        "small_moves": small_moves(model, pairs[: sizes.moved_pairs], seed, temperature),
    }
    loaded = registry.load_model(name, models_dir)
    found["continuation"] = continuation_figures(
        loaded,
        model,
        dataset,
        chains=sizes.chains,
        ranked=sizes.ranked,
        continued=sizes.continued,
        seed=seed,
        temperature=temperature,
    )
    found["attributes"] = _attributes(model, dataset, sizes.loops, seed, temperature)
    return found


def ngrams_of(dataset: Dataset, config: ModelConfig, seed: int) -> dict[Part, NGram]:
    """A 5-gram of every part, fitted to training songs."""
    rows = dataset.indices("train")
    most = _NGRAM_STEPS // config.steps
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    tokens = plain_tokens(dataset, rows, config)
    return {part: fit_ngram(of_part, drums=part == "drums") for part, of_part in tokens.items()}


def realism(
    model: CompiledModel,
    dataset: Dataset,
    ngrams: Mapping[Part, NGram],
    count: int,
    seed: int,
    temperatures: Sequence[float],
) -> dict[str, Any]:
    """By temperature and part: samples of the prior beside windows of test songs, drawn as the prior's own were. Under
    `OTHER_SONGS` the same of windows of validation songs, where there are any: so far songs are from one another.
    Beside each how dense the songs are that the model has learnt from, and how well those are told from test songs.
    """
    config = model.config
    rows = drawn_rows(dataset, "test", count, config.part, seed)
    songs = np.asarray(dataset.song)[rows]
    real = plain_tokens(dataset, rows, config)
    train = plain_tokens(dataset, music_of(dataset, "train", config), config)
    learnt = plain_tokens(dataset, drawn_rows(dataset, "train", count, config.part, seed), config)
    runs = {part: longest_shared_runs(real[part], train[part], drums=part == "drums") for part in config.parts}
    trained_on = {
        part: {
            "density_trained_on": round(float(density(learnt[part], drums=part == "drums").mean()), 4),
            "auc_trained_on": round(classifier_auc(real[part], learnt[part], ngrams[part], songs, seed), 4),
        }
        for part in config.parts
    }
    beside: dict[str, dict[Part, Ints]] = {}
    for heat in temperatures:
        loops = [sample_bars(model, config.bars, derived(seed, index), heat) for index in range(count)]
        beside[f"{heat:g}"] = tokens_of_loops(loops, config)
    if len(dataset.indices("validation")):
        others = drawn_rows(dataset, "validation", count, config.part, seed)
        beside[OTHER_SONGS] = plain_tokens(dataset, others, config)
    return {
        whose: {
            part: _beside(real[part], of_part, songs, ngrams[part], seed)
            | trained_on[part]
            | _copied(longest_shared_runs(of_part, train[part], drums=part == "drums"), runs[part])
            for part, of_part in tokens.items()
        }
        for whose, tokens in beside.items()
    }


def _copied(runs: Ints, real: Ints) -> dict[str, Any]:
    names = {"longest_run": runs, "longest_run_held_out": real}
    return {name: [round(float(np.quantile(of, q)), 1) for q in (0.5, 0.9, 1.0)] for name, of in names.items()}


def _beside(real: Ints, made: Ints, songs: Ints, ngram: NGram, seed: int) -> dict[str, Any]:
    drums = ngram.drums
    cost, cost_real = float(np.median(ngram.costs(made))), float(np.median(ngram.costs(real)))
    full, full_real = float(density(made, drums=drums).mean()), float(density(real, drums=drums).mean())
    found = {
        "samples": len(made),
        "held_out": len(real),
        "cost": round(cost, 2),
        "cost_held_out": round(cost_real, 2),
        "cost_ratio": round(cost / cost_real, 4),
        "density": round(full, 4),
        "density_held_out": round(full_real, 4),
        "density_ratio": round(full / full_real, 4),
        "auc": round(classifier_auc(real, made, ngram, songs, seed), 4),
    }
    if real.shape[1] > SHORT_BARS * STEPS_PER_BAR:
        shares = (returning(tokens, drums=drums) for tokens in (made, real))
        found["returning"], found["returning_held_out"] = (round(share, 4) for share in shares)
    if not drums:
        shares = (float(np.nanmean(key_shares(tokens))) for tokens in (made, real))
        found["key_share"], found["key_share_held_out"] = (round(share, 4) for share in shares)
    return found


def _attributes(model: CompiledModel, dataset: Dataset, loops: int, seed: int, temperature: float) -> dict[str, Any]:
    """The attribute knobs on samples of the prior; of a trio by part."""
    config = model.config
    made = [sample_bars(model, config.bars, derived(seed, 1, index), temperature) for index in range(loops)]
    held_out = plain_tokens(dataset, drawn_rows(dataset, "test", 2000, config.part, seed), config)

    def turned(index: int, name: str, amount: float) -> Bars:
        return shaped(model, made[index], shape_of({name: amount}, {}), temperature)

    by_part = attribute_matrices(turned, loops, held_out, config)
    return by_part[config.part] if len(config.parts) == 1 else {str(part): own for part, own in by_part.items()}
