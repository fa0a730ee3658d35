"""Stored corners: where the morph's knob and the pad play them as they are."""

from __future__ import annotations

from typing import Final

BETWEEN: Final = ("morph", "xy")
"""What makes bars between stored corners: the knob between two, the pad between four."""


def is_corner(x: float, y: float = 0.0) -> bool:
    """Whether a place, 0 to 1 each way, is one of the corners."""
    return x in (0.0, 1.0) and y in (0.0, 1.0)


def are_stored(op: str, x: float, y: float) -> bool:
    """Whether the bars that `op` makes there are notes that were stored; the knob knows no `y`."""
    return op in BETWEEN and is_corner(x, y if op == "xy" else 0.0)
