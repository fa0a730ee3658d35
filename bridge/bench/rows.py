"""The form of a result: percentiles of what was measured, beside something else measured in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]


def row(name: str, unit: str, readings: Sequence[float], baseline: float | None = None, *, of: str = "p50") -> Row:
    """A row of `bench`: `ratio` is the percentile `of` over `baseline`; each reading stands for one measurement."""
    p50, p95, p99 = (round(float(value), 4) for value in np.percentile(readings, (50, 95, 99)))
    result: Row = {"name": name, "unit": unit, "n": len(readings), "p50": p50, "p95": p95, "p99": p99}
    ratio = None if not baseline else round(result[of] / baseline, 4)
    return {**result, "baseline": None if baseline is None else round(baseline, 4), "ratio": ratio}
