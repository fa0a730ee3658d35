"""The tables of the report: figures of the models as Markdown, each with what it is to be held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Card = Mapping[str, Any]
#: The paper's table (its data, T = 1): step accuracy, "no event" counted, forced and sampled, by model and part.
PAPER: dict[tuple[str, str], tuple[float, float]] = {
    ("drums-2bar", ""): (0.979, 0.917),
    ("melody-2bar", ""): (0.986, 0.951),
    ("melody-16bar", ""): (0.919, 0.812),
    ("drums-16bar", ""): (0.928, 0.879),
    ("trio-16bar", "melody"): (0.848, 0.753),
    ("trio-16bar", "bass"): (0.880, 0.773),
    ("trio-16bar", "drums"): (0.912, 0.863),
}


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers as they are, None as a dash."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join("–" if cell is None else str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def beside_the_paper(cards: Sequence[Card]) -> str:
    """Step accuracies beside the paper's, chance and shuffled z."""
    rows = []
    for card in cards:
        scores = card["scores"]
        for part, found in (scores.get("parts") or {"": scores}).items():
            steps = found["step_accuracy"]
            forced, sampled = PAPER.get((card["name"], part), (None, None))
            ours = [
                _three(steps[key]) for key in ("sampled", "sampled_argmax", "teacher_forced", "chance", "shuffled_z")
            ]
            rows.append([f"{card['name']} {part}".strip(), *ours[:2], sampled, ours[2], forced, *ours[3:]])
    head = ("model", "sampled", "argmax", "paper", "forced", "paper's forced", "chance", "shuffled z")
    return markdown(head, rows)


def _three(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def flat(comparisons: Mapping[str, Mapping[str, Any]]) -> str:
    """Hierarchical minus flat, by model: the tokens sampled, and the likeliest under that past."""
    rows = []
    for name, found in comparisons.items():
        for key, words in (("sampled", "sampled"), ("sampled_argmax", "argmax")):
            one = found[key]
            low, high = one["interval"]
            rows.append(
                [
                    name, words, found["songs"], found["windows"], _three(one["ours"]), _three(one["theirs"]),
                    f"{one['above']:+.3f}", f"{low:+.3f} to {high:+.3f}",
                ]
            )  # fmt: skip
    head = ("model", "steps", "songs", "windows", "hierarchical", "flat", "above by", "95 % interval")
    return markdown(head, rows)


def left_out(found: Mapping[str, Mapping[str, Any]], cards: Mapping[str, Card]) -> str:
    """A training without one collection, beside the shipped model on the same collection's test songs."""
    rows = []
    for name, one in found.items():
        scores, steps = one["scores"], one["scores"]["step_accuracy"]
        shipped = cards[name]["scores"]["note_f1_by_source"].get(one["source"])
        rows.append(
            [
                name, one["source"], f"{one['minutes']:.0f}", f"{one['windows_seen']:,}", scores["songs"],
                scores["windows"], _three(scores["note_f1"]), None if shipped is None else _three(shipped),
                _three(steps["sampled"]), _three(steps["teacher_forced"]), _three(steps["chance"]),
            ]
        )  # fmt: skip
    head = (
        "model", "without", "minutes", "windows seen", "songs", "windows", "note F1", "shipped model's",
        "sampled", "forced", "chance",
    )  # fmt: skip
    return markdown(head, rows)


def realism(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Samples of the prior, and other songs, beside test songs."""
    rows = []
    for name, found in figures.items():
        for heat, by_part in found["realism"].items():
            for part, one in by_part.items():
                rows.append(
                    [
                        _of_part(name, part, by_part), heat, one["samples"],
                        f"{one['cost']} / {one['cost_held_out']} = {one['cost_ratio']:.2f}",
                        _density(one),
                        f"{one['auc']:.2f}; {one['auc_trained_on']:.2f}",
                        _pair(one.get("returning"), one.get("returning_held_out"), 2),
                        _runs(one["longest_run"]), _runs(one["longest_run_held_out"]),
                        _pair(one.get("key_share"), one.get("key_share_held_out")),
                    ]
                )  # fmt: skip
    head = (
        "model", "T", "n", "n-gram cost, median nats: ours / songs", "density: ours / songs; songs trained on",
        "AUC; songs trained on", "bars that come back: ours / songs",
        "longest shared run: median, 90 %, most", "of songs", "key share: ours / songs",
    )  # fmt: skip
    return markdown(head, rows)


def _of_part(name: str, part: str, parts: Mapping[str, Any]) -> str:
    return f"{name} {part}" if len(parts) > 1 else name


def _density(one: Mapping[str, Any]) -> str:
    beside = f"{one['density']:.3f} / {one['density_held_out']:.3f} = {one['density_ratio']:.2f}"
    return f"{beside}; {one['density_trained_on']:.3f}"


def _runs(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _pair(one: float | None, other: float | None, places: int = 3) -> str | None:
    return None if one is None else f"{one:.{places}f} / {other:.{places}f}"


def interpolation(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The way between unrelated loops, by model."""
    rows = []
    for name, found in figures.items():
        way = found["interpolation"]
        middle = len(way["cost"]) // 2
        rows.append(
            [
                name, way["pairs"], f"{100 * way['monotone_share']:.0f} %", f"{way['cost'][middle]:.2f}",
                f"{way['cost_mixed'][middle]:.2f}", f"{way['excess']:.1f} / {way['excess_mixed']:.1f}",
                f"{way['excess_ratio']:.2f}", f"{way['density_middle']:.2f}",
            ]
        )  # fmt: skip
    head = (
        "model", "pairs", "Spearman ≥ .9", "cost at the middle (ends = 1)", "mixed",
        "excess, nats: ours / mixed", "ratio", "density at the middle (ends = 1)",
    )  # fmt: skip
    return markdown(head, rows)


def small_moves(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """What a turn of the knob by 2 % changes, by model."""
    rows = []
    for name, found in figures.items():
        moves = found["small_moves"]
        shares = [f"{100 * moves[key]:.1f} %" for key in ("mean", "p99", "most", "nothing_share", "ends_apart")]
        rows.append([name, moves["pairs"], moves["moves"], *shares])
    head = (
        "model",
        "pairs",
        "moves",
        "steps changed: mean",
        "99 %",
        "most",
        "moves that change nothing",
        "ends differ in",
    )
    return markdown(head, rows)


def knobs(found: Mapping[str, Any]) -> str:
    """What the attribute knobs of one model do."""
    rows = []
    for name, knob in found["knobs"].items():
        share = [None if knob[key] is None else f"{100 * knob[key]:.0f} %" for key in ("up", "down", "both")]
        curve = knob["curve"]
        rows.append(
            [
                name, f"{knob['spearman']:.2f}", f"{100 * knob['spearman_share']:.0f} %", *share, knob["loops_free"],
                f"{found['side_effect'][name]:.2f}", f"{100 * knob['kept']:.0f} %",
                f"{curve[0]:.3g} – {curve[len(curve) // 2]:.3g} – {curve[-1]:.3g}",
            ]
        )  # fmt: skip
    head = (
        "knob", "Spearman, median", "≥ .9 in", "up", "down", "both ways", "loops free", "side effect",
        "notes kept half way", "mean at −1, 0, 1",
    )  # fmt: skip
    return markdown(head, rows)


def matrix(found: Mapping[str, Any]) -> str:
    """The change of every attribute (columns) from one end of each knob (rows) to the other, in SD."""
    names = found["attributes"]
    rows = [
        [f"**{name}**", *(f"{value:+.2f}" for value in row)] for name, row in zip(names, found["matrix"], strict=True)
    ]
    return markdown(("knob \\ measured", *names), rows)


def run_table(rows: Sequence[Mapping[str, float]]) -> str:
    """Some rows of a training run's curves."""
    keys = [key for key in rows[-1] if key not in ("fraction", "windows")]
    every = max(1, -(-len(rows) // 8))
    picked = rows[(len(rows) - 1) % every :: every]
    head = [key.replace("_s", ", s").replace("_", " ") for key in keys]
    return markdown(head, [[f"{row[key]:g}" if key in row else None for key in keys] for row in picked])
