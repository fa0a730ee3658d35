"""How well bars go on: what the windows before are worth to the prior, and what continuations keep of them.

"Before" are up to four windows; a "chain" is those and the one that really came next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bridge.model.data.augment import moved_lines, octave_shift
from bridge.model.data.chains import Chains, Posteriors, turns_to_c
from bridge.model.data.dataset import Dataset
from bridge.model.data.long_windows import part_of
from bridge.model.data.training_data import plain_batch
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import ModelConfig, Part
from bridge.model.nets.flow import MEMORY, Flow
from bridge.model.nets.noise import derived
from bridge.model.nets.registry import Loaded
from bridge.model.nets.vae import Batch
from bridge.model.playing.generation import continue_bars
from bridge.model.reporting.held_out import played, tokens_of_loops
from bridge.model.training.exporting import drawn_chains, posteriors_of
from bridge.model.training.flow_training import context_gains
from bridge.music.grids import LOWEST_PITCH, PITCHES, Floats, Ints, drums_in
from bridge.music.measures import key_shares
from bridge.music.notes import STEPS_PER_BAR

RANKED_AMONG = 64
#: From so many windows of a source on it says something about that source alone.
_FEWEST = 20


def gain_figures(flow: Flow, chains: Chains, seed: int) -> dict[str, Any]:
    """Nats a window that knowing what came before is worth to the flow: on the narrowed posterior samples that it was
    fitted to, and on whole ones.
    """
    whole = replace(chains, spreads=chains.spreads / chains.spread_kept)
    gains = context_gains(flow, chains, seed)
    return {
        "windows": len(gains),
        "context_gain_nats": round(float(gains.mean()), 2),
        "context_gain_nats_median": round(float(gains.median()), 2),
        "context_gain_nats_whole_posterior": round(float(context_gains(flow, whole, seed).mean()), 2),
    }


def reciprocal_ranks(
    flow: Flow, posteriors: Posteriors, dataset: Dataset, chains: Chains, config: ModelConfig, count: int, seed: int
) -> Floats:
    """Where the true next window stands among 64 (n,), as one over its rank, 1 the best: the other 63 are other windows
    of the same source among the chains' own split that share no bar with it, lines moved to its key and to the octave
    nearest to it. Windows are ranked by how much likelier what came before makes them. Chains of sources with fewer
    windows are left out.
    """
    rng = np.random.default_rng(seed)
    split, group = np.asarray(dataset.split), np.asarray(dataset.group)
    inside = np.flatnonzero(split == split[chains.rows[0]])
    enough = RANKED_AMONG + MEMORY + 2 * config.bars
    going_on = [i for i in chains.followed().tolist() if (group[inside] == group[chains.rows[i]]).sum() > enough]
    chosen = rng.permutation(going_on)[:count]
    found = []
    for chain in chosen.tolist():
        row = int(chains.rows[chain])
        truth = int(dataset.follows[row])
        near = {row, *np.asarray(dataset.precedes[row]).tolist()}
        near |= set(range(truth - config.bars + 1, truth + config.bars))  # windows begin at every bar, in order
        others = np.array([x for x in inside[group[inside] == group[row]].tolist() if x not in near])
        rows = np.concatenate([[truth], rng.choice(others, RANKED_AMONG - 1, replace=False)])
        moved = _beside_truth(dataset, rows, int(chains.moved[chain, MEMORY]), config)
        means, _ = posteriors(rows, moved)
        found.append(1.0 / _rank_of_first(flow, means, chains, chain))
    return np.array(found)


@torch.no_grad()
def _rank_of_first(flow: Flow, means: Tensor, chains: Chains, chain: int) -> int:
    which = torch.full((len(means),), chain)
    told, alone = (flow.log_density(means, *chains.context(which, longest)) for longest in (MEMORY, 0))
    scores = told - alone
    return 1 + int((scores[1:] >= scores[0]).sum())


def _beside_truth(dataset: Dataset, rows: Ints, moved: int, config: ModelConfig) -> Ints:
    """By how many semitones windows (n,) are moved to be in the key and octave of the first, which is by `moved`: into
    the prior's key, each by what it and those before it are in, and as near to the first as octaves bring it (a trio's
    lines come into their ranges by octaves anyhow).
    """
    windows = np.column_stack([rows, np.asarray(dataset.precedes)[rows]])
    before = np.column_stack([np.zeros(len(rows), dtype=np.int64), np.asarray(dataset.moved)[rows, : MEMORY - 1]])
    shifts = turns_to_c(dataset, windows, before.astype(np.int64), config)
    if config.part in ("melody", "bass"):
        tokens = np.asarray(dataset.tokens)[rows].astype(np.int64)
        struck = tokens < PITCHES
        heights = np.where(struck, tokens, 0).sum(1) / np.maximum(1, struck.sum(1))
        shifts = shifts + 12 * np.round((heights[0] + moved - heights - shifts) / 12.0).astype(np.int64)
    shifts[0] = moved
    return shifts


def _keeping_figures(
    model: CompiledModel, dataset: Dataset, chains: Chains, count: int, seed: int, temperature: float
) -> dict[str, Any]:
    """Continuations of what came before, beside the window that really came next: how often the window is one of those
    before it again, how like the pattern of the last of them its own is, and how like that of a window that another
    one came after; for lines by source the share of notes in the best diatonic set of what came before, and how far, in
    semitones, the mean pitch is from its last window's. Of a trio each of them part by part.
    """
    config = model.config
    chosen = np.random.default_rng(seed).permutation(chains.followed().numpy())[:count]
    kept: dict[Part, list[_Kept]] = {part: [] for part in config.parts}
    for index, chain in enumerate(chosen.tolist()):
        batches = _windows(dataset, chains, chain, config)
        heard = played([_in_a_row(batch.rows(slice(-1))) for batch in batches], 0)
        after = continue_bars(model, heard, config.bars, derived(seed, index), temperature)
        made = tokens_of_loops([after], config)
        for part, batch in zip(config.parts, batches, strict=True):
            tokens = batch.tokens.numpy()
            kept[part].append(_Kept(tokens[:-1], tokens[-1], made[part][0]))
    groups, songs = (np.asarray(of)[chains.rows[chosen]] for of in (dataset.group, dataset.song))
    names = [dataset.groups[group] for group in groups.tolist()]
    found: dict[str, Any] = {"gone_on_from": len(chosen), "at_temperature": temperature}
    for part, of_part in kept.items():
        prefix = f"{part} " if len(kept) > 1 else ""
        figures = _beside(of_part, names, songs, drums=part == "drums")
        found |= {prefix + key: value for key, value in figures.items()}
    return found


class _Kept(NamedTuple):
    """Tokens of one part of the windows before (w, T), of the one that came next and of the one that was made (T,)."""

    before: Ints
    truth: Ints
    made: Ints


def _windows(dataset: Dataset, chains: Chains, chain: int, config: ModelConfig) -> list[Batch]:
    """The windows of a chain from the first to the one that came next, a batch a part, in their own key; lines brought
    into their ranges by the octaves that suit what came before.
    """
    row = int(chains.rows[chain])
    near = [row, *np.asarray(dataset.precedes[row]).tolist()]
    places = [place for place in reversed(range(MEMORY)) if near[place] >= 0]
    rows = np.array([*(near[place] for place in places), int(dataset.follows[row])])
    moved = chains.moved[chain][[*places, MEMORY]] - chains.turned[chain]
    batches = []
    for number, part in enumerate(config.parts):
        own, own_config = (
            (dataset, config) if len(config.parts) == 1 else (part_of(dataset, number), config.of_part(number))
        )
        shift = None
        if part != "drums":
            before = moved_lines(np.asarray(own.tokens)[rows].astype(np.int64), moved)[:-1]
            shift = moved + octave_shift(before.reshape(1, -1), own_config)
        batches.append(plain_batch(own, rows, own_config, shift))
    return batches


def _in_a_row(batch: Batch) -> Batch:
    """Windows one after the other as one long one."""
    velocities, offsets = (None if x is None else x.flatten(0, 1)[None] for x in (batch.velocities, batch.offsets))
    return Batch(batch.tokens.flatten()[None], velocities, offsets)


def _beside(kept: Sequence[_Kept], sources: Sequence[str], songs: Ints, *, drums: bool) -> dict[str, Any]:
    truth, made = np.stack([one.truth for one in kept]), np.stack([one.made for one in kept])
    repeats = [
        np.array([_is_among(tokens, one.before, drums) for one, tokens in zip(kept, of, strict=True)])
        for of in (made, truth)
    ]
    found: dict[str, Any] = dict(
        zip(("repeats", "repeats_truth"), (round(float(x.mean()), 4) for x in repeats), strict=True)
    )
    last = np.stack([one.before[-1] for one in kept])
    unrelated = np.roll(last, len(kept) // 2, axis=0)
    likened = {
        "pattern_kept": (made, last),
        "pattern_kept_truth": (truth, last),
        "pattern_of_others": (made, unrelated),
    }
    found |= {key: round(_likeness(one, other, drums=drums), 3) for key, (one, other) in likened.items()}
    if drums:
        return found
    joined = [one.before.reshape(1, -1) for one in kept]
    shares = [np.array([key_shares(w[None], j)[0] for w, j in zip(of, joined, strict=True)]) for of in (made, truth)]
    away = [np.abs(_height(of) - _height(last)) for of in (made, truth)]
    of_source = {name: np.array([name == other for other in sources]) for name in sorted(set(sources))}
    for name, rows in of_source.items():
        if rows.sum() >= _FEWEST:
            ours, theirs = (float(np.nanmean(share[rows])) for share in shares)
            found[f"key_share {name}"] = f"{ours:.3f}, truth {theirs:.3f}; songs: {len(np.unique(songs[rows]))}"
    register = (round(float(np.nanmean(distance)), 2) for distance in away)
    found["register_semitones"], found["register_semitones_truth"] = register
    return found


def _likeness(one: Ints, other: Ints, *, drums: bool) -> float:
    """How like one another the patterns of windows (n, T) are on average: the cosine of how often each place in the bar
    is struck, drums by class.
    """
    a, b = (_pattern(tokens, drums=drums) for tokens in (one, other))
    cosines = (a * b).sum(1) / np.maximum(1e-9, np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float(cosines.mean())


def _pattern(tokens: Ints, *, drums: bool) -> Floats:
    bars = tokens.astype(np.int64).reshape(len(tokens), -1, STEPS_PER_BAR)
    struck = drums_in(bars) if drums else bars[..., None] < PITCHES
    pattern: Floats = struck.mean(1).reshape(len(tokens), -1)
    return pattern


def _is_among(one: Ints, windows: Ints, drums: bool) -> bool:
    return bool((_onsets(windows, drums) == _onsets(one, drums)).all(1).any())


def _onsets(tokens: Ints, drums: bool) -> Ints:
    """Tokens with what is struck alone: how long a last note is held does not make bars different."""
    return tokens if drums else np.where(tokens < PITCHES, tokens, PITCHES)


def _height(tokens: Ints) -> Floats:
    """The mean pitch (n,) of windows; NaN without notes."""
    struck = tokens < PITCHES
    total = np.where(struck, tokens + LOWEST_PITCH, 0).sum(1)
    height: Floats = np.where(struck.any(1), total / np.maximum(1, struck.sum(1)), np.nan)
    return height


def continuation_figures(
    loaded: Loaded,
    model: CompiledModel,
    dataset: Dataset,
    *,
    chains: int,
    ranked: int,
    continued: int,
    seed: int,
    temperature: float,
) -> dict[str, Any]:
    """All of it on up to `chains` chains of test songs, of which so many are ranked, and gone on from."""
    found = drawn_chains(loaded.model, dataset, "test", chains, seed)
    flow, posteriors = loaded.flow, posteriors_of(loaded.model, dataset)
    figures = gain_figures(flow, found, seed)
    ranks = reciprocal_ranks(flow, posteriors, dataset, found, model.config, ranked, seed)
    if len(ranks):
        figures |= {"ranked_among_64": len(ranks), "mean_reciprocal_rank": round(float(ranks.mean()), 4)}
    return figures | _keeping_figures(model, dataset, found, continued, seed, temperature)
