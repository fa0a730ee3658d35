"""What is measured on windows of tokens (n, T): how dense they are, and how well one major scale holds them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.music.grids import LOWEST_PITCH, PITCHES, Floats, Ints
from bridge.music.harmony import scale_of

Flags = NDArray[np.bool_]
#: Which pitch classes each of the twelve major scales holds (12, 12).
SCALES = np.array([[c in scale_of(tonic, "major") for c in range(12)] for tonic in range(12)])


def density(tokens: Ints, *, drums: bool) -> Floats:
    """Onsets a step (n,); for drums hits a step."""
    if drums:
        count: Floats = np.bitwise_count(tokens.astype(np.int64)).mean(1)
        return count
    share: Floats = (tokens < PITCHES).mean(1)
    return share


def pitch_classes(tokens: Ints) -> Ints:
    """The pitch class of what each step of a line is about to strike; of steps that strike nothing it means nothing."""
    classes: Ints = (tokens.astype(np.int64) + LOWEST_PITCH) % 12
    return classes


def diatonic_sets(tokens: Ints) -> Flags:
    """For each line the pitch classes (n, 12) of the major scale that holds most of its notes."""
    struck, played = tokens < PITCHES, pitch_classes(tokens)
    counts = np.stack([(struck & (played == pitch_class)).sum(1) for pitch_class in range(12)], axis=1)
    chosen: Flags = SCALES[(counts @ SCALES.T.astype(np.int64)).argmax(1)]
    return chosen


def key_shares(tokens: Ints, of: Ints | None = None) -> Floats:
    """The share of notes (n,) within the best diatonic set of the same window, or of another one in `of` (n, T).

    NaN where there are no notes.
    """
    inside = diatonic_sets(tokens if of is None else of)
    struck = tokens < PITCHES
    notes = struck.sum(1)
    held = (np.take_along_axis(inside, np.where(struck, pitch_classes(tokens), 0), 1) & struck).sum(1)
    share: Floats = np.where(notes > 0, held / np.maximum(1, notes), np.nan)
    return share
