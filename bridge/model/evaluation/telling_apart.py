"""Can a small classifier tell samples from songs? Logistic regression on what a window looks like, cross-validated."""

from __future__ import annotations

import numpy as np

from bridge.model.evaluation.realism import UNISON, NGram, symbols
from bridge.model.evaluation.statistics import area_under_curve
from bridge.music.grids import (
    DRUM_CLASSES,
    LOWEST_PITCH,
    NOTE_OFF,
    PITCHES,
    SILENT,
    Floats,
    Ints,
    drums_in,
    tokens_line,
)
from bridge.music.measures import density, key_shares
from bridge.music.notes import STEPS_PER_BAR

_FOLDS = 5
_RIDGE = 1.0
_ROUNDS = 30


def features(tokens: Ints, ngram: NGram) -> Floats:
    """What a window is described by (n, F): its cost and the spread of it over the steps, density, repetition, where in
    the bar it strikes; lines also by intervals, lengths, register and key; drums by what is struck where.
    """
    drums = ngram.drums
    costs = ngram.step_costs(tokens)
    columns = [costs.mean(1), costs.max(1), costs.std(1), density(tokens, drums=drums), *_repetition(tokens)]
    return np.column_stack(columns + (_of_drums(tokens) if drums else _of_lines(tokens)))


def _repetition(tokens: Ints) -> list[Floats]:
    """The share of steps that are as they were half a bar and a bar before."""
    back = (STEPS_PER_BAR // 2, STEPS_PER_BAR)
    return [(tokens[:, lag:] == tokens[:, :-lag]).mean(1) for lag in back if lag < tokens.shape[1]]


def _by_place(flags: Ints) -> list[Floats]:
    """How often (n,) something happens at each place of the bar; flags (n, T)."""
    bars = flags.reshape(len(flags), -1, STEPS_PER_BAR).mean(1)
    return list(bars.T)


def _of_lines(tokens: Ints) -> list[Floats]:
    struck = tokens < PITCHES
    notes = np.maximum(1, struck.sum(1))
    sounding, _ = tokens_line(tokens.astype(np.int64))
    pitches = tokens.astype(np.int64) + LOWEST_PITCH
    low = np.where(struck, pitches, 127).min(1)
    high = np.where(struck, pitches, 0).max(1)
    read = symbols(tokens, drums=False)
    intervals = [((read == symbol) & struck).sum(1) / notes for symbol in range(UNISON - 12, UNISON + 13)]
    silent = (sounding == SILENT).mean(1)
    share = np.nan_to_num(key_shares(tokens), nan=1.0)
    plain = [silent, low.astype(np.float64), high.astype(np.float64), share, (~struck & (tokens == NOTE_OFF)).mean(1)]
    return plain + intervals + _by_place(struck.astype(np.int64))


def _of_drums(tokens: Ints) -> list[Floats]:
    bits = drums_in(tokens.astype(np.int64))
    together = np.bitwise_count(tokens.astype(np.int64))
    kinds = np.array([len(set(row.tolist())) for row in tokens], dtype=np.float64)
    found = [kinds, (together > 2).mean(1), (tokens == 0).mean(1), *bits.mean(1).T]
    for drum in range(DRUM_CLASSES):
        found += [*_by_place(bits[:, :, drum])[::2]]
    return found


def classifier_auc(real: Ints, samples: Ints, ngram: NGram, songs: Ints | None = None, seed: int = 0) -> float:
    """How well real windows (n, T) and samples (m, T) are told apart by a classifier that has seen four fifths of
    both: 0.5 not at all, 1 always. `songs` (n,) keeps the windows of one song in one fifth.
    """
    rng = np.random.default_rng(seed)
    owners = np.arange(len(real)) if songs is None else np.unique(songs, return_inverse=True)[1]
    fold_of = rng.integers(0, _FOLDS, int(owners.max()) + 1)
    folds = np.concatenate([fold_of[owners], rng.integers(0, _FOLDS, len(samples))])
    labels = np.concatenate([np.ones(len(real)), np.zeros(len(samples))])
    table = np.concatenate([features(real, ngram), features(samples, ngram)])
    table = (table - table.mean(0)) / np.maximum(table.std(0), 1e-9)
    table = np.column_stack([table, np.ones(len(table))])
    scores = np.zeros(len(table))
    for fold in range(_FOLDS):
        held_out = folds == fold
        scores[held_out] = table[held_out] @ _fitted(table[~held_out], labels[~held_out])
    return area_under_curve(scores, labels > 0.5)


def _fitted(table: Floats, labels: Floats) -> Floats:
    """Ridge logistic regression by Newton's steps; both classes weigh the same. The last column is the constant."""
    share = labels.mean()
    weigh = np.where(labels > 0.5, 0.5 / max(share, 1e-9), 0.5 / max(1.0 - share, 1e-9))
    weights = np.zeros(table.shape[1])
    ridge = np.full(table.shape[1], _RIDGE)
    ridge[-1] = 1e-6
    for _ in range(_ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(table @ weights, -30.0, 30.0)))
        slope = table.T @ (weigh * (chance - labels)) + ridge * weights
        bend = (table * (weigh * chance * (1.0 - chance))[:, None]).T @ table + np.diag(ridge)
        step = np.linalg.solve(bend, slope)
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return weights
