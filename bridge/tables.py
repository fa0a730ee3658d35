"""The commands' results as text for people; `--json` has the same as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under a head, the columns lined up: numbers to the right, words to the left."""
    body = [[_text(cell) for cell in row] for row in rows]
    numeric = [bool(body) and all(row[at][-1:].isdigit() or row[at] == "-" for row in body) for at in range(len(head))]
    widths = [max(len(row[at]) for row in [list(head), *body]) for at in range(len(head))]
    lines = []
    for row in [list(head), *body]:
        laid = zip(row, widths, numeric, strict=True)
        cells = [cell.rjust(width) if right else cell.ljust(width) for cell, width, right in laid]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def of_models(cards: Sequence[Mapping[str, Any]]) -> str:
    """One line a model, and the scores of all below."""
    if not cards:
        return "no models have been trained here: see `train --help`"
    head = ("model", "parts", "bars", "parameters", "latent", "steps", "trained on")
    keys = ("name", "parts", "bars", "parameters", "latent_size", "steps", "trained_on")
    rows = [[", ".join(card["parts"]) if key == "parts" else _inline(card.get(key)) for key in keys] for card in cards]
    learnt_from = [card["name"] for card in cards if not (card.get("scores") or {}).get("songs_held_out", True)]
    remark = f" ({', '.join(learnt_from)}: on those it learnt from, none were)" if learnt_from else ""
    return f"{columns(head, rows)}\n\non songs held out from training{remark}, z sampled, T = 1:\n{_scores(cards)}"


def _scores(cards: Sequence[Mapping[str, Any]]) -> str:
    """The held-out figures that belong together: accuracy without rate and chance would prove nothing."""
    head = ("model", "windows", "sampled", "forced", "chance", "shuffled z", "note F1", "KL bits", "active")
    steps = ("sampled", "teacher_forced", "chance", "shuffled_z")
    rows = []
    for card in cards:
        scores = card.get("scores") or {}
        accuracy = scores.get("step_accuracy") or {}
        others = [scores.get(key) for key in ("kl_bits", "active_dims")]
        shares = [_share(accuracy.get(key)) for key in steps] + [_share(scores.get("note_f1"))]
        rows.append([card["name"], scores.get("windows"), *shares, *others])
    return columns(head, rows)


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def of_checks(report: Mapping[str, Any]) -> str:
    """One line a check, with what to do below those that are not well."""
    lines = []
    for check in report["checks"]:
        lines.append(f"{'ok  ' if check['ok'] else 'look'}  {check['name']}: {check['value']}")
        if check["advice"]:
            lines.append(f"      {check['advice']}")
    lines.append("\nBarline can work here." if report["ok"] else "\nBarline cannot work here until this is mended.")
    return "\n".join(lines)


def of_evaluation(scores: Mapping[str, Any]) -> str:
    """The scores of a model on somebody's songs, one a line."""
    return _flat(scores)


def of_bench(report: Mapping[str, Any]) -> str:
    """One line a measurement, under the machine it was made on."""
    head = ("measured", "unit", "n", "p50", "p95", "p99", "baseline", "ratio")
    rows = [[result.get(key) for key in ("name", *head[1:])] for result in report["results"]]
    return f"{_inline(report['machine'])}\n\n{columns(head, rows)}"


def _inline(value: object) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_inline(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_inline(inner)) for inner in value)
    return value


def _flat(value: object, path: str = "") -> str:
    """A tree of figures, one leaf a line, named by its path."""
    if isinstance(value, Mapping):
        return "\n".join(_flat(inner, f"{path} {key}".strip()) for key, inner in value.items())
    return f"  {path.replace('_', ' ')}: {_text(_inline(value))}"
