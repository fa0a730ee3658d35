"""Held-out windows as loops: drawn by the diet the prior was fitted on, and in pairs that have nothing in common."""

from __future__ import annotations

import numpy as np

from bridge.model.config import ModelConfig, Part
from bridge.model.dataset import Dataset
from bridge.model.framing import Frame, WindowTokens, to_bars, window_beats
from bridge.model.training_data import group_chances, plain_batch
from bridge.music.grids import Ints, encode_drums, encode_line
from bridge.music.notes import STEP_BEATS, Bars


def drawn_rows(dataset: Dataset, split: str, count: int, part: str, seed: int) -> Ints:
    """Up to `count` different windows of a split, drawn by the diet."""
    rows = dataset.indices(split)
    group = np.asarray(dataset.group)[rows]
    sizes = np.bincount(group, minlength=len(dataset.groups))
    chances = group_chances(dataset.groups, sizes, part)[group] / np.maximum(1, sizes[group])
    possible = int((chances > 0.0).sum())
    rng = np.random.default_rng(seed)
    drawn: Ints = rng.choice(rows, min(count, possible), replace=False, p=chances / chances.sum())
    return drawn


def loops_of(dataset: Dataset, rows: Ints, config: ModelConfig) -> list[Bars]:
    """Windows as loops, in the model's range."""
    batch = plain_batch(dataset, rows, config)
    loops = []
    for index in range(len(rows)):
        velocities = offsets = None
        if batch.velocities is not None and batch.offsets is not None:
            known = batch.velocities[index].numpy()
            velocities, offsets = np.where(known > 0, known, 80), batch.offsets[index].numpy()
        window = WindowTokens(batch.tokens[index].numpy(), velocities, offsets)
        loops.append(to_bars([window], Frame(), config, window_beats(config)))
    return loops


def unrelated_pairs(dataset: Dataset, count: int, config: ModelConfig, seed: int) -> list[tuple[Bars, Bars]]:
    """`count` pairs of loops of test songs, never two of one song."""
    song = np.asarray(dataset.song)
    rng = np.random.default_rng(seed)
    rows = drawn_rows(dataset, "test", 4 * count, config.part, seed)
    pairs: list[tuple[int, int]] = []
    while len(pairs) < count:
        a, b = rng.choice(rows, 2, replace=False).tolist()
        if song[a] != song[b]:
            pairs.append((a, b))
    loops = loops_of(dataset, np.array(pairs).reshape(-1), config)
    return list(zip(loops[::2], loops[1::2], strict=True))


def grid_tokens(bars: Bars, part: Part, index: int | None = None) -> Ints:
    """The tokens (T,) of a loop's notes, or of those of one part of a trio, as they are: no octave is folded."""
    steps = round(bars.length / STEP_BEATS)
    if index is not None:
        bars = Bars(tuple(note for note in bars.notes if note.part == index), bars.length)
    return encode_drums(bars, steps).hits if part == "drums" else encode_line(bars, steps, top=part == "melody")


def tokens_of_loops(loops: list[Bars], config: ModelConfig) -> dict[Part, Ints]:
    """The tokens (n, T) of loops of one length, by part."""
    parts = config.parts
    return {
        part: np.stack([grid_tokens(loop, part, index if len(parts) > 1 else None) for loop in loops])
        for index, part in enumerate(parts)
    }
