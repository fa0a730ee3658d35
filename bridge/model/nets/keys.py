"""The key that the prior works in: C major, or the minor of the same notes.

What a fit sees of songs is few enough without their being in twelve keys: lines are moved to C's notes before they are
read, and what is made there is moved back to where it came from. (Held-out windows of sixteen bars are 6 nats likelier
to a flow fitted so, and its samples keep to a scale as songs do.)
"""

from __future__ import annotations

import numpy as np

from bridge.music.grids import LOWEST_PITCH, SILENT, Floats, Ints, tokens_line
from bridge.music.harmony import scale_of

#: By how many semitones what is read can be moved, the nearest first: which of those fit equally well is taken.
SHIFTS = (0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6)
#: What a note counts that is in the scale, and one at either end of it on the line of fifths: lines of few notes, which
#: several scales hold, are taken to be in the middle of theirs.
_INSIDE, _AT_AN_END = 5, 4
_ENDS = (5, 11)  # F and B
#: How well each of the twelve pitch classes fits C major.
FIT = tuple((_AT_AN_END if c in _ENDS else _INSIDE) if c in scale_of(0, "major") else 0 for c in range(12))
#: The same (12, 12) of each class once it is moved by each of `SHIFTS`.
_FIT_MOVED = np.stack([np.roll(FIT, -shift) for shift in SHIFTS], axis=1)


def held_steps(tokens: Ints) -> Floats:
    """For how many steps each of the twelve pitch classes sounds (n, 12) in lines of tokens (n, T)."""
    sounding, _ = tokens_line(tokens.astype(np.int64))
    classes = np.where(sounding == SILENT, 12, (sounding + LOWEST_PITCH) % 12)
    counts = np.bincount((classes + 13 * np.arange(len(tokens))[:, None]).ravel(), minlength=13 * len(tokens))
    return counts.reshape(-1, 13)[:, :12].astype(np.float64)


def shifts_to_c(weights: Floats) -> Ints:
    """By how many semitones (n,), one of `SHIFTS`, to move what has these weights of pitch classes (n, 12) so that C
    major holds it best; 0 without any.
    """
    shifts: Ints = np.array(SHIFTS)[(weights @ _FIT_MOVED).argmax(1)]
    return shifts
