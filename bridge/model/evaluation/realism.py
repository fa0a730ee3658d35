"""Could this be music? What windows cost under a 5-gram, and how much of a training song is in them.

Pure functions over tokens (n, T) as the model of a part reads them. `drums` says which part's tokens they are: hit sets
(0-511) or a line's 90 classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.model.nets.noise import mixed
from bridge.music.grids import HIT_SETS, NO_EVENT, PITCHES, SILENT, Floats, Ints, tokens_line

_Words = np.ndarray[Any, np.dtype[np.uint64]]
ORDER = 5
#: Symbols of a line: nothing, note-off, the first note, then the interval from the note before, two octaves each way.
_NOTHING, _OFF, FIRST, UNISON, _WIDEST = 0, 1, 2, 27, 24
_LINE_SYMBOLS = UNISON + _WIDEST + 1
_HASH_BASE = np.uint64(0x9E3779B97F4A7C15)


def symbols(tokens: Ints, *, drums: bool) -> Ints:
    """What the 5-gram reads (n, T): hit sets as they are; lines by intervals, so that no key is dearer than another."""
    if drums:
        return tokens.astype(np.int64)
    struck = tokens < PITCHES
    place = np.where(struck, np.arange(tokens.shape[1])[None], -1)
    before = np.full_like(place, -1)
    before[:, 1:] = np.maximum.accumulate(place, axis=1)[:, :-1]
    previous = np.take_along_axis(tokens.astype(np.int64), np.maximum(before, 0), 1)
    interval = np.clip(tokens.astype(np.int64) - previous, -_WIDEST, _WIDEST) + UNISON
    note = np.where(before < 0, FIRST, interval)
    return np.where(struck, note, np.where(tokens == NO_EVENT, _NOTHING, _OFF))


@dataclass(frozen=True, slots=True)
class _Level:
    """One order's counts: its n-grams (sorted codes) with their discounted counts, and its contexts (sorted codes) with
    their totals and the share of each that goes to the shorter context.
    """

    grams: Ints
    kept: Floats
    contexts: Ints
    totals: Floats
    passed_on: Floats


@dataclass(frozen=True, slots=True)
class NGram:
    """An interpolated Kneser-Ney model over the symbols of a part, from one symbol of context up to `ORDER` - 1."""

    levels: tuple[_Level, ...]
    size: int
    drums: bool

    def step_costs(self, tokens: Ints) -> Floats:
        """Nats of each step (n, T) given the four before it."""
        padded = _padded(symbols(tokens, drums=self.drums), self.size)
        flat = padded.reshape(len(padded), -1)
        steps = tokens.shape[1]
        likely: Floats = np.full(tokens.shape, 1.0 / self.size)
        for order, level in enumerate(self.levels, start=1):
            codes = _codes(flat, order, self.size + 1)[:, ORDER - order :][:, :steps]
            likely = _at(level, codes, likely, self.size + 1)
        costs: Floats = -np.log(likely)
        return costs

    def costs(self, tokens: Ints) -> Floats:
        """Nats of each window (n,)."""
        total: Floats = self.step_costs(tokens).sum(1)
        return total


def fit_ngram(tokens: Ints, *, drums: bool) -> NGram:
    """The 5-gram of windows (n, T) of training songs."""
    size = HIT_SETS if drums else _LINE_SYMBOLS
    padded = _padded(symbols(tokens, drums=drums), size)
    codes = _codes(padded, ORDER, size + 1).reshape(-1)
    grams, counts = np.unique(codes, return_counts=True)
    levels = [_level(grams, counts, size + 1)]
    for order in range(ORDER - 1, 0, -1):  # shorter ones count the different symbols they were seen after
        grams, counts = np.unique(grams % (size + 1) ** order, return_counts=True)
        levels.append(_level(grams, counts, size + 1))
    return NGram(tuple(reversed(levels)), size, drums)


def _padded(read: Ints, size: int) -> Ints:
    """Windows with what stands before their first step: four times a symbol of its own."""
    return np.concatenate([np.full((len(read), ORDER - 1), size, dtype=np.int64), read], axis=1)


def _codes(padded: Ints, order: int, radix: int) -> Ints:
    """The n-grams (n, T - order + 1) as numbers, the newest symbol in the lowest place."""
    steps = padded.shape[1] - order + 1
    codes = np.zeros((len(padded), steps), dtype=np.int64)
    for place in range(order):
        codes = codes * radix + padded[:, place : place + steps]
    return codes


def _level(grams: Ints, counts: Ints, radix: int) -> _Level:
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once and twice else 0.5
    contexts, first = np.unique(grams // radix, return_index=True)
    totals = np.add.reduceat(counts, first).astype(np.float64)
    kinds = np.diff(np.append(first, len(grams)))
    return _Level(grams, counts.astype(np.float64) - discount, contexts, totals, discount * kinds / totals)


def _at(level: _Level, codes: Ints, shorter: Floats, radix: int) -> Floats:
    """The chance of each n-gram's newest symbol, given its chance after the shorter context."""
    gram = np.minimum(np.searchsorted(level.grams, codes), len(level.grams) - 1)
    kept = np.where(level.grams[gram] == codes, level.kept[gram], 0.0)
    context = np.minimum(np.searchsorted(level.contexts, codes // radix), len(level.contexts) - 1)
    known = level.contexts[context] == codes // radix
    seen = kept / level.totals[context] + level.passed_on[context] * shorter
    chance: Floats = np.where(known, seen, shorter)
    return chance


@dataclass(frozen=True, slots=True)
class _Notes:
    """The notes of many windows in a row: what each is (interval to the next and duration), and in which window."""

    what: _Words
    window: Ints


def _notes_of(tokens: Ints, *, drums: bool) -> _Notes:
    """Lines: (interval to the next note, steps held); drums: (hit set, steps to the next one). The last note of a
    window has no next one and is left out.
    """
    struck = tokens > 0 if drums else tokens < PITCHES
    window, step = np.nonzero(struck)
    value = tokens[window, step].astype(np.int64)
    follows = window[1:] == window[:-1]
    if drums:
        what = value[:-1] * 1024 + (step[1:] - step[:-1])
    else:
        sounding, _ = tokens_line(tokens.astype(np.int64))
        silent_before = np.zeros((len(tokens), tokens.shape[1] + 1), dtype=np.int64)
        silent_before[:, 1:] = np.cumsum(sounding == SILENT, axis=1)
        gap = step[1:] - step[:-1]
        ends = np.where(follows, step[1:], step[:-1])
        rests = silent_before[window[:-1], ends] - silent_before[window[:-1], step[:-1]]
        what = (value[1:] - value[:-1] + PITCHES) * 1024 + gap - rests
    return _Notes(what[follows].astype(np.uint64), window[:-1][follows].astype(np.int64))


def longest_shared_runs(tokens: Ints, corpus: Ints, *, drums: bool) -> Ints:
    """How many notes in a row (n,) each window shares with one of the windows of the corpus (m, T'), transposition
    apart; 0 where not even one (interval, duration) is.
    """
    ours, theirs = _notes_of(tokens, drums=drums), _notes_of(corpus, drums=drums)
    longest = np.zeros(len(tokens), dtype=np.int64)
    mine, known = mixed(ours.what), mixed(theirs.what)
    here, there = np.arange(len(mine)), np.arange(len(known))
    for length in range(1, tokens.shape[1] + 1):
        shared = np.isin(mine, known)
        if not shared.any():
            break
        longest[ours.window[here[shared]]] = length
        here, mine = _longer(ours, here[shared], mine[shared], length)
        there, known = _longer(theirs, there, known, length)
    return longest


def _longer(notes: _Notes, begin: Ints, run: _Words, length: int) -> tuple[Ints, _Words]:
    """The runs that go on for one note more in the same window: where they begin, and what they are."""
    end = begin + length
    fits = end < len(notes.window)
    fits[fits] = notes.window[end[fits]] == notes.window[begin[fits]]
    return begin[fits], run[fits] * _HASH_BASE + mixed(notes.what[end[fits]])
