"""From a finished training run to a model folder: the prior fitted, the scores taken, weights and card written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bridge.model.data.chains import Chains, Posteriors, chains_of
from bridge.model.data.corpus import open_collections
from bridge.model.data.dataset import Dataset, load
from bridge.model.data.long_windows import plain_parts, whole_rows
from bridge.model.data.training_data import drawn_by_diet, evaluation_rows
from bridge.model.evaluation.evaluate import evaluate_split
from bridge.model.nets.config import SHORT_BARS, TEMPERATURES, ModelConfig, config_of
from bridge.model.nets.flow import Flow
from bridge.model.nets.hierarchy import HierarchicalVae
from bridge.model.nets.latent_maps import LatentMaps, fit_maps
from bridge.model.nets.noise import derived
from bridge.model.nets.quantising import from_eight_bits, in_eight_bits
from bridge.model.nets.registry import Loaded, ModelFileError, compiled_from, stored_model, write_model
from bridge.model.nets.vae import MusicVae
from bridge.model.playing.attributes import measure
from bridge.model.playing.drawing import played_again
from bridge.model.training.adversarial import sharpen
from bridge.model.training.critic_training import fit_critic, fit_judge
from bridge.model.training.curves import curves_of
from bridge.model.training.exemplars import exemplars_made, exemplars_taken
from bridge.model.training.flow_training import context_gains, fit_flow
from bridge.model.training.train import warn_of_too_little
from bridge.music.form import forms_of
from bridge.music.grids import Ints

#: How many windows the prior is fitted on, with those before and after them, and how many the maps.
_CHAINS, _LONG_CHAINS, _POINTS = 60_000, 36_000, 20_000
_PRIOR_KIND = "normalising flow over posterior samples, told of up to four windows before"
_SHARPENED = "; trained further against a discriminator of its draws"
_RESAMPLED = "; of its draws with nothing before them one is taken by the odds that a critic gives them"
_JUDGED = "; of what is played at four of them one is taken by the odds that a judge gives it"
_FORMED = "; new windows have one of the forms of {} training windows: which of their bars come back"
_BETWEEN = "; windows with nothing before them lie between two of {} exemplars, points of training windows"
_AT = "; windows with nothing before them lie at one of {} exemplars, points made of training windows"
#: So many exemplars there are at most.
_EXEMPLARS = {"melody": 2_000, "drums": 1_200, "trio": 1_000}
#: So many training windows have their forms kept.
_FORMS = 512
#: How many windows played by the model the judge learns from, and how many more it is checked with.
_PLAYED, _CHECKED = 12_000, 2_000
#: Long windows overlap their neighbours by fifteen bars: so many of each source, evenly spaced, say what all would.
_LONG_SCORED = 320


def _is_sharpened(config: ModelConfig) -> bool:
    """Whether a model's flow is: that of long melodies, which then knows better what comes next (a mean reciprocal
    rank of .38, not .33). That of long drums knew no better (.50, .51), and trios are too few.
    """
    return config.bars > SHORT_BARS and config.part == "melody"


def _kind_of_prior(flow: Flow, config: ModelConfig) -> str:
    """What a card says about a prior."""
    sharpened = _SHARPENED if _is_sharpened(config) else ""
    resampled, judged = (_RESAMPLED if flow.critic.speaks else ""), (_JUDGED if flow.judge.speaks else "")
    kind = _BETWEEN if config.part == "melody" else _AT
    between = kind.format(len(flow.exemplars)) if len(flow.exemplars) else ""
    formed = _FORMED.format(len(flow.forms)) if len(flow.forms) else ""
    return _PRIOR_KIND + sharpened + resampled + judged + between + formed


def posteriors_of(model: MusicVae | HierarchicalVae, dataset: Dataset) -> Posteriors:
    """The model's reading of windows of a dataset."""

    def posteriors(rows: Ints, moved: Ints) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            return model.encode(plain_parts(dataset, rows, model.config, moved))

    return posteriors


def forms_drawn(dataset: Dataset, config: ModelConfig, seed: int) -> Tensor:
    """The forms (M, P, U) of windows of training songs, drawn by the diet, in the order of how many bars come back."""
    rows = np.intersect1d(dataset.indices("train"), whole_rows(dataset))
    drawn = drawn_by_diet(dataset, rows if len(rows) else whole_rows(dataset), _FORMS, config.part, seed)
    parts = zip(plain_parts(dataset, drawn, config), config.parts, strict=True)
    found = [forms_of(batch.tokens.numpy(), drums=part == "drums") for batch, part in parts]
    forms = np.stack(found, axis=1)
    returns = (forms != np.arange(config.bars)).sum((1, 2))
    return torch.from_numpy(forms[np.argsort(returns, kind="stable")])


def drawn_chains(model: MusicVae | HierarchicalVae, dataset: Dataset, split: str, count: int, seed: int) -> Chains:
    """Chains that end at up to `count` different windows of a split, drawn by the diet; of all songs where a split is
    empty.
    """
    rows = np.intersect1d(dataset.indices(split), whole_rows(dataset))
    if not len(rows):
        rows = whole_rows(dataset)
    drawn = drawn_by_diet(dataset, rows, count, model.config.part, seed)
    return chains_of(dataset, drawn, model.config, posteriors_of(model, dataset))


def fit_latent(
    model: MusicVae | HierarchicalVae, dataset: Dataset, seed: int
) -> tuple[Flow, LatentMaps, dict[str, float]]:
    """The prior, the maps, and what the prior was worth on validation songs (nats a window)."""
    config = model.config
    most = _CHAINS if config.bars <= SHORT_BARS else _LONG_CHAINS
    train = drawn_chains(model, dataset, "train", most, seed)
    held_out = drawn_chains(model, dataset, "validation", most // 16, seed)
    flow = fit_flow(train, held_out, seed)
    if not train.long:
        fit_critic(flow, train, held_out, seed)
    elif _is_sharpened(config):
        sharpen(flow, train, seed)
    if train.long:
        flow.set_forms(forms_drawn(dataset, config, derived(seed, 3)))
    own = train.drawn_by_diet(_POINTS, seed)
    measured = torch.zeros(len(own), 0)
    if config.mapped:
        plain = plain_parts(dataset, train.rows[own], config, train.moved[own, 0])[0]
        measured = torch.from_numpy(measure(plain.tokens.numpy(), config)).float()
    maps = fit_maps(train.means[train.before[torch.from_numpy(own), 0]], measured, config.latent_ways)
    if train.long and config.part == "melody":
        flow.set_exemplars(exemplars_taken(train, _EXEMPLARS[config.part], derived(seed, 2)))
    elif train.long:
        resident = compiled_from(Loaded(model, flow, maps, {}), torch.device("cpu"))
        count = _EXEMPLARS[config.part]
        flow.set_exemplars(exemplars_made(resident, flow, train, dataset, count, derived(seed, 2)))
    elif config.part != "drums":  # those it made no better
        resident = compiled_from(Loaded(model, flow, maps, {}), torch.device("cpu"))
        heat, windows = TEMPERATURES[config.part], len(train.rows)
        played = played_again(resident, min(_PLAYED, windows), derived(seed, 0), heat)
        besides = played_again(resident, min(_CHECKED, windows), derived(seed, 1), heat)
        fit_judge(flow, train, held_out, played, besides, seed)
    worth = {}
    if len(held_out.followed()):
        worth["context_gain_nats"] = round(float(context_gains(flow, held_out, seed).mean()), 2)
    return flow, maps, worth


def _as_shipped(
    config: ModelConfig, found: Mapping[str, Tensor]
) -> tuple[MusicVae | HierarchicalVae, dict[str, Tensor]]:
    """The model with its weights as coarse as they will be in the file, and those weights."""
    if config.bar_models:
        long = HierarchicalVae(config)
        weights = from_eight_bits(in_eight_bits(long.shipped(found)))
        long.load_shipped(weights)
        return long.eval(), weights
    model = MusicVae(config)
    weights = from_eight_bits(in_eight_bits(found))
    model.load_state_dict(weights)
    return model.eval(), weights


def _scores(model: MusicVae | HierarchicalVae, dataset: Dataset, seed: int) -> dict[str, Any]:
    """What the card says the weights score: on test songs, or on those they learnt from where none were held out."""
    split = next((split for split in ("test", "validation") if len(evaluation_rows(dataset, split, 1))), "train")
    few = _LONG_SCORED if isinstance(model, HierarchicalVae) else None
    return {"songs_held_out": split == "test", **evaluate_split(model, dataset, split, seed, few)}


def export(
    name: str,
    run_dir: Path,
    data_paths: Sequence[Path],
    *,
    models_dir: Path | None = None,
    cache: Path | None = None,
    seed: int = 0,
    card: Mapping[str, Any] | None = None,
    tuned_from: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write models/NAME from the best weights of a training run; returns the card.

    The scores are of test songs, taken with the weights as shipped (rounded to fp16 or int8). `card` adds to or
    replaces what the card says about data and licence. `tuned_from` is the card of the weights that the run went on
    from: their songs are in these too.

    Raises:
        ModelFileError: the run has left no weights.
    """
    config = config_of(name)
    path = run_dir / "best.safetensors"
    expected = f"{path}: expected the best weights of a training run of {name}"
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
        model, weights = _as_shipped(config, found)
    except (OSError, SafetensorError, RuntimeError, KeyError) as fault:  # none, damaged, or another model's
        reason = "there are none" if isinstance(fault, FileNotFoundError) else " ".join(str(fault).split())[:120]
        raise ModelFileError(f"{expected} ({reason})") from fault
    dataset = load(data_paths, config, cache or run_dir / "index")
    flow, maps, worth = fit_latent(model, dataset, seed)
    full = {
        "trained_on": facts.get("device", "cpu"),  # weights of before it was noted are all a CPU's
        "steps": int(facts.get("steps", 0)),
        "minutes": float(facts.get("minutes", 0.0)),
        "windows_seen": int(facts.get("windows", 0)),
        "data": sorted({*_credits(dataset, data_paths), *(tuned_from or {}).get("data", ())}),
        "licence": "what its data allows: see data",
        **({"made": f"fine-tuned from weights with sha256 {tuned_from['sha256']}"} if tuned_from else {}),
        "scores": _scores(model, dataset, seed),
        "curves": curves_of(run_dir),
        "prior": {"kind": _kind_of_prior(flow, config), "ways": flow.ways, **worth},
        **(card or {}),
    }
    return write_model(name, weights, flow, maps, full, models_dir)


def refit(
    name: str,
    data_paths: Sequence[Path],
    *,
    models_dir: Path | None = None,
    target_dir: Path | None = None,
    cache: Path,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit the prior and the maps of models/NAME anew to songs and to the weights that are there, and score those again;
    written where it was, or into `target_dir`. Returns the card, which keeps all else.

    Raises:
        ModelFileError, CorpusError: no such model here, or no such data.
    """
    config = config_of(name)
    stored, card = stored_model(name, models_dir)
    own = stored.shipped(stored.state_dict()) if isinstance(stored, HierarchicalVae) else stored.state_dict()
    model, weights = _as_shipped(config, own)
    dataset = load(data_paths, config, cache)
    warn_of_too_little(dataset, config, remedy="more files")
    flow, maps, worth = fit_latent(model, dataset, seed)
    kept = {key: value for key, value in card.items() if key != "sha256"}
    full = {
        **kept,
        "data": sorted({*card["data"], *_credits(dataset, data_paths)}),
        "scores": {**kept["scores"], **_scores(model, dataset, seed)},
        "prior": {"kind": _kind_of_prior(flow, config), "ways": flow.ways, **worth},
    }
    return write_model(name, weights, flow, maps, full, target_dir or models_dir)


def _credits(dataset: Dataset, data_paths: Sequence[Path]) -> list[str]:
    """The sources of a dataset, each with its licence."""
    sources = {group.split(" ")[0] for group in dataset.groups}
    collections = [c for path in data_paths for c in open_collections(path) if c.source in sources]
    return sorted(f"{c.source}: {c.licence}" for c in collections)
