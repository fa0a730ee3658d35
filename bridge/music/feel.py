"""The feel of somebody who plays: how far they swing, and whether they sit before or behind the beat.

Pure functions of onsets in beats. What is estimated from a phrase (`feel_of`) can be taken off it, so that the models
see a straight grid (`straight_step`), and put onto the bars that answer it (`with_feel`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Final

from bridge.limits import MIN_NOTE_BEATS
from bridge.music.groove import place_played
from bridge.music.groove_settings import STRAIGHT_SWING, GrooveSettings
from bridge.music.notes import Bars, in_order

_SWINGS: Final = range(50, 71, 2)  # per cent; a triplet is 67, and a dotted pair (75) is written as one
_SWING_COST_STEPS: Final = 0.002  # per per cent: straight unless the onsets say otherwise
_MIN_OFFBEATS: Final = 2  # fewer notes between the beats of the grid say nothing about swing
_MAX_OFFSET_STEPS: Final = 0.3
_MOST_HEARD_BEATS: Final = 0.05  # 25 ms at 120 BPM: what is further off is the way in, and no feel


@dataclass(frozen=True, slots=True)
class Feel:
    """`swing` in per cent as the knob has it (50 straight); `offset_beats`: positive is behind the beat."""

    swing: float = STRAIGHT_SWING
    offset_beats: float = 0.0


STRAIGHT: Final = Feel()


def feel_of(onset_beats: Sequence[float], grid: GrooveSettings) -> Feel:
    """The swing and the offset that bring the onsets nearest to a grid; straight where there are none."""
    if not onset_beats:
        return STRAIGHT
    best, least = STRAIGHT, math.inf
    for swing in _SWINGS if grid.steps_per_beat % 3 else _SWINGS[:1]:
        settings = replace(grid, quantize=1.0, swing=float(swing))
        targets = [place_played(onset, settings) for onset in onset_beats]
        if swing > STRAIGHT_SWING and _offbeats(targets, settings) < _MIN_OFFBEATS:
            continue
        apart = [onset - target for onset, target in zip(onset_beats, targets, strict=True)]
        offset = median(apart)
        cost = fmean(abs(each - offset) for each in apart) * grid.steps_per_beat
        cost += _SWING_COST_STEPS * (swing - STRAIGHT_SWING)
        if cost < least - 1e-9:
            bound = _MAX_OFFSET_STEPS / grid.steps_per_beat
            best, least = Feel(float(swing), min(max(offset, -bound), bound)), cost
    return best


def straight_step(onset_beats: float, grid: GrooveSettings, feel: Feel) -> int:
    """The step of the grid that a note played with a feel belongs to; negative before the beginning."""
    settings = replace(grid, quantize=1.0, swing=feel.swing)
    return _step_of(place_played(onset_beats, settings, latency_beats=feel.offset_beats), settings)


def with_feel(bars: Bars, offset_beats: float) -> Bars:
    """The bars moved off the beat by as much as somebody sits there. What begins on the first line stays on it, and
    nothing leaves the loop.
    """
    if offset_beats == 0.0 or not bars.notes:
        return bars
    offset_beats = min(max(offset_beats, -_MOST_HEARD_BEATS), _MOST_HEARD_BEATS)
    last = bars.length - MIN_NOTE_BEATS
    notes = []
    for note in bars.notes:
        start = min(max(note.start + offset_beats, 0.0), last) if note.start > 0.0 else 0.0
        end = min(max(note.end + offset_beats, start + MIN_NOTE_BEATS), bars.length)
        notes.append(replace(note, start=start, duration=end - start))
    return Bars(in_order(notes), bars.length)


def _step_of(placed_beats: float, settings: GrooveSettings) -> int:
    """The number of a swung grid point: the second of a pair is wherever it has been swung to."""
    if not settings.swings:
        return round(placed_beats * settings.steps_per_beat)
    pairs = placed_beats * settings.steps_per_beat / 2
    whole = math.floor(pairs + 1e-6)
    return 2 * whole + (pairs - whole > 0.25)


def _offbeats(placed_beats: Sequence[float], settings: GrooveSettings) -> int:
    return sum(_step_of(placed, settings) % 2 for placed in placed_beats)
