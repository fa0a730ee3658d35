"""How a training run went: the rows of its curves.csv, for the card and for a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge.music.sheets import Curve, draw_curves

#: How many rows of a run a card keeps.
_ROWS = 24


def curves_of(run_dir: Path) -> list[dict[str, float]]:
    """The rows of a run, as many as a card keeps, the last one among them; none where it has left no curves.csv."""
    path = run_dir / "curves.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{key: round(float(value), 4) for key, value in row.items() if value} for row in csv.DictReader(file)]
    every = max(1, -(-len(rows) // _ROWS))
    return rows[(len(rows) - 1) % every :: every]


def draw_run(path: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the picture of a run: what a window costs, and how well validation windows come back.

    Raises:
        OSError: the file cannot be written.
    """
    panels = {
        "nats a window": [_curve(rows, "token_nats", "tokens", 0), _curve(rows, "rate_nats", "rate", 1)],
        "validation songs": [
            _curve(rows, "note_f1", "note F1", 0),
            _curve(rows, "sampled", "steps, sampled", 1),
            _curve(rows, "forced", "steps, forced", 2),
        ],
    }
    if any(row.get("dynamics_nats") for row in rows):
        panels["nats a window"].append(_curve(rows, "dynamics_nats", "velocity and time", 2))
    draw_curves(path, f"{name}: the training run", panels, "minutes", height=280)


def _curve(rows: Sequence[Mapping[str, Any]], key: str, name: str, colour: int) -> Curve:
    points = [(float(row.get("elapsed_s", 0.0)) / 60.0, float(row[key])) for row in rows if key in row]
    return Curve(name, tuple(points), colour)
