"""Noise as a pure function of where it is used: (seed, what for, step, class).

A counter-based generator (splitmix64's finaliser over the coordinates), so that the noise of step 5 is the same
whatever the chunks a loop is decoded in, on whatever device, and however often a knob asks for it again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

#: What noise is for: one stream each, so that no two uses of a seed are correlated.
TOKENS, DYNAMICS, LATENT, MIXTURE, TURNS, DRAWS, KEY, ROTATIONS = range(8)

Floats = np.ndarray[Any, np.dtype[np.float32]]
_Words = np.ndarray[Any, np.dtype[np.uint64]]
_GOLDEN = 0x9E3779B97F4A7C15
_WORD = 0xFFFFFFFFFFFFFFFF


def mixed(words: _Words) -> _Words:
    """Words in which every bit of the given ones has a say (splitmix64's finaliser)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _mixed_word(word: int) -> int:
    """What `mixed` makes of a single word: ten times as fast without an array round it."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & _WORD
    return word ^ (word >> 31)


def _word(value: int) -> int:
    return (value + 1) * _GOLDEN & _WORD


def derived(seed: int, *path: int) -> int:
    """A seed of its own for a sub-task (the third candidate, the second window …), 63 bits."""
    word = _mixed_word(_word(seed))
    for index in path:
        word = _mixed_word(word ^ _word(index))
    return word >> 1


@lru_cache(maxsize=64)
def _columns(columns: int) -> _Words:
    return mixed(np.arange(1, columns + 1, dtype=np.uint64) * np.uint64(_GOLDEN))


def _uniform(seed: int, stream: int, first: int, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Uniform numbers inside (0, 1), indexed by `first` + row and column."""
    rows, columns = shape
    root = _mixed_word(_mixed_word(_word(seed)) ^ _word(stream))
    row = mixed(np.uint64(root) ^ (np.arange(first + 1, first + rows + 1, dtype=np.uint64) * np.uint64(_GOLDEN)))
    words = mixed(row[:, None] ^ _columns(columns)[None, :])
    return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


@lru_cache(maxsize=256)
def gumbel(seed: int, stream: int, first_step: int, steps: int, classes: int) -> Floats:
    """Gumbel noise (steps, classes) of the steps from `first_step` on; kept for the next turn of the same knob."""
    uniform = _uniform(seed, stream, first_step, (steps, classes))
    values: Floats = np.negative(np.log(uniform, out=uniform), out=uniform).astype(np.float32)
    np.negative(np.log(values, out=values), out=values)  # where 1 is near, only the first logarithm needs 64 bits
    values.flags.writeable = False
    return values


def normal(seed: int, stream: int, size: int) -> Floats:
    """Standard normal noise (size,), by Box-Muller."""
    uniform = _uniform(seed, stream, 0, (2, size))
    values: Floats = (np.sqrt(-2.0 * np.log(uniform[0])) * np.cos(2.0 * np.pi * uniform[1])).astype(np.float32)
    return values


def uniform(seed: int, stream: int) -> float:
    """One number inside (0, 1)."""
    return float(_uniform(seed, stream, 0, (1, 1))[0, 0])
