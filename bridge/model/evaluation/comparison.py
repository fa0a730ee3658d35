"""Two models on the same windows: by how much one is better, and how sure that is."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.model.evaluation.scoring import Readings
from bridge.model.evaluation.statistics import song_bootstrap
from bridge.music.grids import Ints


def compared(ours: Readings, theirs: Readings, songs: Ints, seed: int = 0) -> dict[str, Any]:
    """By how much the step accuracy of `ours` is above that of `theirs`, as sampled and as argmax: each with the 95 %
    interval of a bootstrap over `songs` (n,), the song of each window. Both must have read the same windows.

    Raises:
        ValueError: they have not.
    """
    if not bool((ours.truth == theirs.truth).all()):
        raise ValueError("expected two readings of the same windows")
    found: dict[str, Any] = {"windows": len(songs), "songs": len(np.unique(songs)), "seed": seed}
    for name in ("sampled", "best"):
        right = [(getattr(r, name) == r.truth).double().mean(1).numpy() for r in (ours, theirs)]
        above, low, high = song_bootstrap(right[0], right[1], songs, seed)
        found["sampled_argmax" if name == "best" else name] = {
            "ours": round(float(right[0].mean()), 4),
            "theirs": round(float(right[1].mean()), 4),
            "above": round(above, 4),
            "interval": [round(low, 4), round(high, 4)],
        }
    return found
