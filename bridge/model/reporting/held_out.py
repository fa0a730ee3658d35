"""Held-out windows as loops: drawn by the diet the prior was fitted on, and in pairs that have nothing in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge.model.data.corpus import CorpusError
from bridge.model.data.dataset import Dataset
from bridge.model.data.long_windows import plain_parts
from bridge.model.data.training_data import drawn_by_diet
from bridge.model.nets.config import ModelConfig, Part
from bridge.model.nets.vae import NEUTRAL_VELOCITY, Batch
from bridge.music.grids import DrumGrid, Ints, decode_drums, decode_line, encode_drums, encode_line, metric_velocity
from bridge.music.notes import STEP_BEATS, Bars, Note, in_order


def drawn_rows(dataset: Dataset, split: str, count: int, part: Part, seed: int) -> Ints:
    """Up to `count` different windows of a split, drawn by the diet."""
    rows = dataset.indices(split)
    return drawn_by_diet(dataset, rows, count, part, seed) if len(rows) else rows


def loops_of(dataset: Dataset, rows: Ints, config: ModelConfig) -> list[Bars]:
    """Windows as loops, lines in the model's range."""
    batches = plain_parts(dataset, rows, config)
    return [played(batches, index) for index in range(len(rows))]


def played(batches: Sequence[Batch], index: int) -> Bars:
    """One of the windows of batches, a batch a part, as bars."""
    notes = [note for number, batch in enumerate(batches) for note in _notes(batch, index, number)]
    return Bars(in_order(notes), batches[0].tokens.shape[1] * STEP_BEATS)


def _notes(batch: Batch, index: int, part: int) -> tuple[Note, ...]:
    """The notes of one window of a part."""
    tokens = batch.tokens[index].numpy()
    if batch.velocities is None or batch.offsets is None:
        return decode_line(tokens, metric_velocity, part=part).notes
    known = batch.velocities[index].numpy()
    grid = DrumGrid(tokens, np.where(known > 0, known, NEUTRAL_VELOCITY), batch.offsets[index].numpy())
    return decode_drums(grid, part=part).notes


def unrelated_pairs(dataset: Dataset, count: int, config: ModelConfig, seed: int) -> list[tuple[Bars, Bars]]:
    """`count` pairs of loops of test songs, never two of one song.

    Raises:
        CorpusError: there are no two test songs.
    """
    song = np.asarray(dataset.song)
    rng = np.random.default_rng(seed)
    rows = drawn_rows(dataset, "test", 4 * count, config.part, seed)
    songs = len(np.unique(song[rows]))
    if songs < 2:
        sources = ", ".join(dataset.groups)
        raise CorpusError(f"{sources}: expected test songs (a twentieth of them), two or more, found {songs}")
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
