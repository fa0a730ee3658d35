"""The form of a window of many bars: which of its bars come back."""

from __future__ import annotations

import numpy as np

from bridge.music.grids import PITCHES, Floats, Ints
from bridge.music.notes import STEPS_PER_BAR

#: Bars with a note F1 like this are one bar and its return.
ALIKE = 0.9


def bars_alike(tokens: Ints, *, drums: bool) -> Floats:
    """The note F1 (n, U, U) of every two bars of windows (n, 16 U), by onset and pitch or drum; 0 with an empty one."""
    bars = tokens.astype(np.int64).reshape(len(tokens), -1, STEPS_PER_BAR)
    one, other = bars[:, :, None], bars[:, None]
    if drums:
        counts, shared = np.bitwise_count(bars).sum(2), np.bitwise_count(one & other).sum(3)
    else:
        counts, shared = (bars < PITCHES).sum(2), ((one == other) & (one < PITCHES)).sum(3)
    both = counts[:, :, None].astype(np.int64) + counts[:, None]
    f1: Floats = 2.0 * shared / np.maximum(1, both)
    return f1


def forms_of(tokens: Ints, *, drums: bool) -> Ints:
    """For every bar of windows (n, 16 U) the number (n, U) of the first one that it is the return of; its own where it
    is new or empty.
    """
    alike = bars_alike(tokens, drums=drums)
    count, bars, _ = alike.shape
    forms = np.tile(np.arange(bars), (count, 1))
    for bar in range(1, bars):
        is_new = forms[:, :bar] == np.arange(bar)
        before = np.where(is_new, alike[:, bar, :bar], 0.0)
        nearest = before.argmax(1)
        returns = before[np.arange(count), nearest] >= ALIKE
        forms[:, bar] = np.where(returns, nearest, bar)
    found: Ints = forms
    return found


def returning(tokens: Ints, *, drums: bool) -> float:
    """The share of the bars of windows (n, 16 U), the first of each and empty ones left out, that are the return of one
    before them; NaN where there are none.
    """
    alike = bars_alike(tokens, drums=drums)
    bars = alike.shape[1]
    before = np.tril(np.ones((bars, bars), dtype=bool), -1)
    nearest = np.where(before, alike, 0.0).max(2)[:, 1:]
    struck = alike[:, np.arange(bars), np.arange(bars)][:, 1:] > 0.0
    return float((nearest[struck] >= ALIKE).mean()) if struck.any() else float("nan")
