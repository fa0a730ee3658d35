"""Of several windows decoded in one batch, the one to play: plainer or bolder, as the `surprise` knob stands."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.nets.config import ModelConfig
from bridge.model.playing.decoding import Decoded
from bridge.model.playing.framing import is_heard, unstreamed
from bridge.music.grids import PITCHES, Ints

#: How many windows are decoded at a time where there is a choice: they share the reading of the weights.
CANDIDATES = 4


def chosen(
    rows: Sequence[Decoded],
    surprise: float | None,
    config: ModelConfig,
    steps: int,
    onsets: int | None = None,
    odds: Sequence[float] | None = None,
) -> int:
    """The index of the row to play.

    Rows in whose first `steps` fewer parts have a note come last, whatever else. With `onsets` those come first that
    strike nearest to so many steps. Of the rest, 0 is the likeliest a note and 1 the least likely; in between by rank.
    Without the knob it is the one with the best `odds`, one a row, or the first.
    """
    parts = [_parts_heard(row, config, steps) for row in rows]
    heard = [index for index, count in enumerate(parts) if count == max(parts)]
    if not any(parts):
        return len(rows) - 1
    if onsets is not None:
        return min(heard, key=lambda index: (abs(_struck(rows[index], config, steps) - onsets), index))
    if surprise is None:
        return max(heard, key=lambda index: odds[index]) if odds is not None else heard[0]
    ranked = sorted(heard, key=lambda index: (_nats_a_note(rows[index], config, steps), index))
    return ranked[min(len(ranked) - 1, int(surprise * len(ranked)))]


def _parts_heard(row: Decoded, config: ModelConfig, steps: int) -> int:
    windows = enumerate(unstreamed(row.window, config))
    return sum(is_heard(window, config.of_part(part), steps) for part, window in windows)


def _struck(row: Decoded, config: ModelConfig, steps: int) -> int:
    if config.part == "trio":
        parts = enumerate(unstreamed(row.window, config))
        return sum(_struck_in(window.tokens[:steps], config.of_part(part)) for part, window in parts)
    return _struck_in(row.window.tokens[:steps], config)


def _struck_in(tokens: Ints, config: ModelConfig) -> int:
    return int(((tokens > 0) if config.part == "drums" else (tokens < PITCHES)).sum())


def _nats_a_note(row: Decoded, config: ModelConfig, steps: int) -> float:
    """By the note and not by the step, else the plainest bars were always the emptiest."""
    return -float(row.log_probabilities[: steps * len(config.parts)].sum()) / max(1, _struck(row, config, steps))
