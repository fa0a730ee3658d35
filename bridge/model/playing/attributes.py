"""What the attribute knobs measure, on windows of tokens. The names and their order are the contract's."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np

from bridge.model.nets.config import ModelConfig
from bridge.music.grids import LOWEST_PITCH, PITCHES, SILENT, Floats, Ints, drums_in, tokens_line
from bridge.music.measures import density, key_shares
from bridge.music.notes import STEPS_PER_BAR

_FEW_NOTES = 6
#: What a beat is made of, kick and snare, and what a fill is: toms and crash.
BEAT_CLASSES = (0, 1)
FILL_CLASSES = (4, 5, 6, 7)
#: How far apart songs are: the standard deviation of each attribute over the windows of the training songs (73058 of
#: melody, 26754 of bass, 21172 of drums), in the order of `config.attributes`.
SPREADS: dict[str, tuple[float, ...]] = {
    "melody": (0.158, 0.083, 1.72, 0.068, 4.99),
    "bass": (0.144, 0.066, 2.97, 0.082, 4.73),
    "drums": (0.382, 0.209, 0.162),
}


def measure(tokens: Ints, config: ModelConfig) -> Floats:
    """The attributes (n, A) of windows (n, T), in the order of `config.attributes`."""
    return _of_drums(tokens) if config.part == "drums" else _of_lines(tokens)


def _of_lines(tokens: Ints) -> Floats:
    struck = tokens < PITCHES
    onsets = np.maximum(1, struck.sum(1))
    pitches = tokens + LOWEST_PITCH
    return np.stack(
        [
            density(tokens, drums=False),
            _syncopation(tokens),
            _mean_interval(tokens),
            _diatonic_share(tokens),
            np.where(struck, pitches, 0).sum(1) / onsets,
        ],
        axis=1,
    )


def _syncopation(tokens: Ints) -> Floats:
    """The share of onsets on a weak step that sound on over the next stronger one (Longuet-Higgins and Lee's idea)."""
    sounding, struck = tokens_line(tokens)
    steps = tokens.shape[1]
    weak = np.zeros_like(struck)
    for step in range(1, steps - 1):
        stride = step & -step  # 1: a sixteenth off, 2: an eighth off
        if stride < 4:
            over = step + stride
            if over < steps:
                held = ~struck[:, step + 1 : over + 1].any(1) & (sounding[:, over] != SILENT)
                weak[:, step] = struck[:, step] & held
    share: Floats = weak.sum(1) / np.maximum(1, struck.sum(1))
    return share


def _mean_interval(tokens: Ints) -> Floats:
    """The mean distance in semitones from one note to the next."""
    struck = tokens < PITCHES
    place = np.maximum.accumulate(np.where(struck, np.arange(tokens.shape[1]), -1), axis=1)
    before = np.concatenate([np.full((len(tokens), 1), -1), place[:, :-1]], axis=1)
    follows = struck & (before >= 0)
    previous = np.take_along_axis(tokens, np.maximum(before, 0), 1)
    moved = np.where(follows, np.abs(tokens - previous), 0)
    mean: Floats = moved.sum(1) / np.maximum(1, follows.sum(1))
    return mean


def _diatonic_share(tokens: Ints) -> Floats:
    """The share of notes inside the major scale that holds most of them; 0 without notes."""
    return np.nan_to_num(key_shares(tokens), nan=0.0)


@lru_cache(maxsize=32)
def least_diatonic_share(notes: int) -> float:
    """How little of so many notes the major scale that holds most of them can hold: of one or two all, of three two, of
    four three. 0 where there are more than `_FEW_NOTES`: those can go lower than anybody asks for.
    """
    if notes > _FEW_NOTES:
        return 0.0
    tokens = np.array(list(combinations_with_replacement(range(12), max(1, notes))))
    return float(_diatonic_share(tokens).min())


def _of_drums(tokens: Ints) -> Floats:
    bits = drums_in(tokens)
    beat = bits[:, :, BEAT_CLASSES].sum(2)
    off_beat = np.arange(tokens.shape[1]) % 4 != 0
    last_bar = bits[:, -STEPS_PER_BAR:, FILL_CLASSES].sum((1, 2))
    return np.stack(
        [
            density(tokens, drums=True),
            (beat * off_beat).sum(1) / np.maximum(1, beat.sum(1)),
            last_bar / np.maximum(1, bits[:, -STEPS_PER_BAR:].sum((1, 2))),
        ],
        axis=1,
    )
