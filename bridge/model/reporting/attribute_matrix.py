"""What the attribute knobs do: each turned through its whole range on many loops, and everything measured.

In the paper's form: a matrix of what happens to every attribute when one of them is turned, here in standard deviations
of held-out songs, from one end of the knob to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bridge.model.evaluation.statistics import spearman
from bridge.model.nets.config import ModelConfig, Part
from bridge.model.playing.attributes import least_diatonic_share, measure
from bridge.model.reporting.held_out import tokens_of_loops
from bridge.music.grids import PITCHES, Floats, Ints, drums_in
from bridge.music.measures import Flags
from bridge.music.notes import Bars

#: A loop with one attribute knob turned: (which of the loops, attribute, amount -1 to 1) to the loop that plays.
Turned = Callable[[int, str, float], Bars]
AMOUNTS = tuple(np.linspace(-1.0, 1.0, 9).tolist())
_REST, _DOWN, _UP, _HALVES = 4, 0, 8, (2, 6)
_CLEARLY = 0.9
#: A loop is at the end of an attribute's range where fewer than one in fifty held-out windows have more (or less), and
#: where its few notes cannot be less diatonic than they are.
_EDGE = 0.02


def attribute_matrices(
    turned: Turned, loops: int, held_out: Mapping[Part, Ints], config: ModelConfig
) -> dict[Part, dict[str, Any]]:
    """The figures of every part of a model by itself, on `loops` loops: what its notes do when the knobs of the
    attributes that it has are turned. `held_out` tokens (m, T) say how far apart songs are.

    By attribute: `spearman` (of amount and own measure over 9 amounts: median, and the share of loops with >= .9; a
    loop that is at the end of the range at both ends of the knob is left out), `up` and `down` (share of the loops not
    at that end already in which the knob moves it so), `both` (of those at neither end), `kept` (share of notes that
    are still there half way up or down), `curve` (mean measure by amount). `matrix`: the change of each
    attribute (column) from one end of the knob (row) to the other, in SD; `side_effect` by knob: the largest of the
    others' changes over its own.
    """
    tokens: dict[Part, list[Ints]] = {part: [] for part in config.parts}
    for name in config.attributes:
        places = [[turned(i, name, a) for a in AMOUNTS] for i in range(loops)]
        read = [tokens_of_loops(of_loop, config) for of_loop in places]
        for index, part in enumerate(config.parts):
            if name in config.of_part(index).attributes:
                tokens[part].append(np.stack([of_loop[part] for of_loop in read]))
    return {
        part: _figures(tokens[part], held_out[part], config.of_part(index)) for index, part in enumerate(config.parts)
    }


def _figures(turns: Sequence[Ints], held_out: Ints, config: ModelConfig) -> dict[str, Any]:
    """The figures of one part from its tokens (n, 9, T) by attribute."""
    spread = measure(held_out, config).std(0)
    low, high = np.quantile(measure(held_out, config), [_EDGE, 1.0 - _EDGE], axis=0)
    knobs, matrix = {}, []
    for column, (name, tokens) in enumerate(zip(config.attributes, turns, strict=True)):
        loops = len(tokens)
        found = measure(tokens.reshape(loops * len(AMOUNTS), -1), config).reshape(loops, len(AMOUNTS), -1)
        matrix.append((found[:, _UP] - found[:, _DOWN]).mean(0) / spread)
        own = found[:, :, column]
        bottom, top = own[:, _REST] <= low[column] + 1e-9, own[:, _REST] >= high[column] - 1e-9
        if name == "diatonic":
            notes = (tokens[:, _REST] < PITCHES).sum(1)
            bottom |= own[:, _REST] <= np.array([least_diatonic_share(n) for n in notes.tolist()]) + 1e-9
        knobs[name] = _knob(own, bottom, top) | {"kept": round(_kept(tokens, config), 4)}
    changes = np.stack(matrix)
    return {
        "loops": len(turns[0]),
        "amounts": list(AMOUNTS),
        "attributes": list(config.attributes),
        "knobs": knobs,
        "matrix": changes.round(3).tolist(),
        "side_effect": {name: _side_effect(changes[row], row) for row, name in enumerate(config.attributes)},
    }


def _knob(own: Floats, bottom: Flags, top: Flags) -> dict[str, Any]:
    """The figures of one knob from its own measure (n, 9), and which loops were at an end before it was turned."""
    rank = np.array([spearman(np.array(AMOUNTS), row) for row in own])
    alive = ~(bottom & top)
    rank = np.nan_to_num(rank[alive])
    higher, lower = own[:, _UP] > own[:, _REST], own[:, _DOWN] < own[:, _REST]
    free = ~bottom & ~top
    return {
        "spearman": round(float(np.median(rank)), 4),
        "spearman_share": round(float((rank >= _CLEARLY).mean()), 4),
        "up": _share(higher, ~top),
        "down": _share(lower, ~bottom),
        "both": _share(higher & lower, free),
        "loops_free": int(free.sum()),
        "curve": own.mean(0).round(4).tolist(),
    }


def _share(flags: Flags, among: Flags) -> float | None:
    return round(float(flags[among].mean()), 4) if among.any() else None


def _kept(tokens: Ints, config: ModelConfig) -> float:
    """The share of a loop's notes that are still there half way up or down: tokens (n, 9, T)."""
    rest = tokens[:, _REST]
    shares = []
    for half in _HALVES:
        there = tokens[:, half]
        if config.part == "drums":
            bits = drums_in(rest & there)
            notes = drums_in(rest).sum((1, 2))
            same = bits.sum((1, 2))
        else:
            struck = rest < PITCHES
            same = (struck & (there == rest)).sum(1)
            notes = struck.sum(1)
        shares.append(same / np.maximum(1, notes))
    return float(np.mean(shares))


def _side_effect(changes: Sequence[float] | Floats, row: int) -> float:
    others = np.abs(np.delete(np.asarray(changes), row)).max(initial=0.0)
    return round(float(others / max(1e-9, abs(float(changes[row])))), 3)
