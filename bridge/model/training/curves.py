"""How a training run went: the rows of its curves.csv, for the card and for a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bridge import whole_file
from bridge.music.sheets import Curve, draw_curves

#: What a run notes its rows in.
CURVES: Final = "curves.csv"
#: How many rows of a run a card keeps.
_ROWS = 24


def curves_of(run_dir: Path) -> list[dict[str, float]]:
    """The rows of a run, as many as a card keeps, the last one among them; none where it has left no curves.csv."""
    rows = [{key: round(value, 4) for key, value in row.items()} for row in _rows_of(run_dir)]
    every = max(1, -(-len(rows) // _ROWS))
    return rows[(len(rows) - 1) % every :: every]


def note_row(run_dir: Path, row: Mapping[str, float]) -> None:
    """Add a row to those of a run.

    Raises:
        OSError: it cannot be written; those before it are there still.
    """
    _write(run_dir, [*_rows_of(run_dir), row])


def forget_rows_after(run_dir: Path, steps: int) -> None:
    """Leave out the rows of later steps: they are done again."""
    if (run_dir / CURVES).is_file():
        _write(run_dir, [row for row in _rows_of(run_dir) if row["steps"] <= steps])


def _rows_of(run_dir: Path) -> list[dict[str, float]]:
    """Every whole row: a disk may have kept a part of the file, or nothing of it."""
    path = run_dir / CURVES
    if not path.is_file():
        return []
    rows = []
    with suppress(csv.Error), path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file, restval="cut short"):
            with suppress(TypeError, ValueError):  # not all of it is there, or more than that
                rows.append({key: float(value) for key, value in row.items() if value})
    return [row for row in rows if "steps" in row]


def _write(run_dir: Path, rows: Sequence[Mapping[str, float]]) -> None:
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    whole_file.write(run_dir / CURVES, text.getvalue())


def _plain(value: float) -> float:
    """Steps and windows are counted: without a point."""
    return int(value) if float(value).is_integer() else value


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
