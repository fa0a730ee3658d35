"""The feel of somebody who plays: how far they swing, and whether they sit before or behind the beat.

Pure functions of onsets in beats. What is estimated from a phrase (`feel_of`) can be taken off it, so that the models
see a straight grid (`straight_step`), and put onto the bars that answer it (`felt`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Final

from bridge.limits import MIN_NOTE_BEATS
from bridge.music.groove import place_played
from bridge.music.groove_settings import STRAIGHT_SWING, GrooveSettings
from bridge.music.notes import Note

_SWINGS: Final = (*range(50, 74, 2), 75)  # per cent, as far as the knob goes; a triplet is 67
_LEAST_OF_EIGHTHS: Final = 56  # hands that are uneven on straight eighths come to less
_MOST_OF_EIGHTHS: Final = (
    70  # on a finer grid a dotted pair (75) has steps of its own, and no onset tells it from swing
)
_FINER_THAN_EIGHTHS: Final = (4, 8)  # steps to a beat of the straight grids on which pairs of eighths can swing too
_SWING_COST_STEPS: Final = 0.002  # per per cent: straight unless the onsets say otherwise
_MIN_OFFBEATS: Final = 2  # fewer notes between the beats of the grid say nothing about swing
_MAX_OFFSET_STEPS: Final = 0.3
_MOST_HEARD_BEATS: Final = 0.05  # 25 ms at 120 BPM: what is further off is the way in, and no feel


@dataclass(frozen=True, slots=True)
class Feel:
    """`swing` in per cent as the knob has it (50 straight), of pairs of the grid's steps or, on a finer grid, of
    `eighths`; `offset_beats`: positive is behind the beat.
    """

    swing: float = STRAIGHT_SWING
    offset_beats: float = 0.0
    eighths: bool = False


STRAIGHT: Final = Feel()


def feel_of(onset_beats: Sequence[float], grid: GrooveSettings) -> Feel:
    """The swing and the offset that bring the onsets nearest to a grid; straight where there are none."""
    if not onset_beats:
        return STRAIGHT
    best, least = STRAIGHT, math.inf
    for feel in _feels(grid.steps_per_beat):
        places = [_place(onset, grid, feel) for onset in onset_beats]
        if feel.swing > STRAIGHT_SWING and _offbeats(places, grid.steps_per_beat, feel) < _MIN_OFFBEATS:
            continue
        apart = [onset - target for onset, (_, target) in zip(onset_beats, places, strict=True)]
        offset = median(apart)
        cost = fmean(abs(each - offset) for each in apart) * grid.steps_per_beat
        cost += _SWING_COST_STEPS * (feel.swing - STRAIGHT_SWING)
        if cost < least - 1e-9:
            bound = _MAX_OFFSET_STEPS / grid.steps_per_beat
            best, least = replace(feel, offset_beats=min(max(offset, -bound), bound)), cost
    return best


def straight_step(onset_beats: float, grid: GrooveSettings, feel: Feel) -> int:
    """The step of the grid that a note played with a feel belongs to; negative before the beginning."""
    return _place(onset_beats, grid, feel)[0]


def straight_length(start_beats: float, end_beats: float, feel: Feel) -> float:
    """How long a note that was played with a feel is without it: what was legato stays so where eighths swing."""
    if not feel.eighths or math.isinf(end_beats):
        return end_beats - start_beats
    share = feel.swing / 100.0
    start, end = (_bent(beats - feel.offset_beats, share, 0.5) for beats in (start_beats, end_beats))
    return end - start


def felt(notes: Iterable[Note], offset_beats: float, length_beats: float) -> list[Note]:
    """The notes of a loop of that length, in their order, moved off the beat by as much as somebody sits there. What
    begins on the first line stays on it, and nothing leaves the loop.
    """
    if offset_beats == 0.0:
        return list(notes)
    offset_beats = min(max(offset_beats, -_MOST_HEARD_BEATS), _MOST_HEARD_BEATS)
    last, moved = length_beats - MIN_NOTE_BEATS, []
    for note in notes:
        start = min(max(note.start + offset_beats, 0.0), last) if note.start > 0.0 else 0.0
        end = min(max(note.end + offset_beats, start + MIN_NOTE_BEATS), length_beats)
        moved.append(replace(note, start=start, duration=end - start))
    return moved


def _feels(steps_per_beat: int) -> list[Feel]:
    """What is thought of, the plainest first: no swing on triplet grids."""
    if steps_per_beat % 3 == 0:
        return [STRAIGHT]
    feels = [Feel(float(swing)) for swing in _SWINGS]
    if steps_per_beat in _FINER_THAN_EIGHTHS:
        feels += [replace(feel, eighths=True) for feel in feels if _LEAST_OF_EIGHTHS <= feel.swing <= _MOST_OF_EIGHTHS]
    return feels


def _place(onset_beats: float, grid: GrooveSettings, feel: Feel) -> tuple[int, float]:
    """The step of the grid that is nearest to an onset, and where that is, in beats, with this swing."""
    if feel.eighths:
        share = feel.swing / 100.0
        step = math.floor(_bent(onset_beats - feel.offset_beats, share, 0.5) * grid.steps_per_beat + 0.5)
        return step, _bent(step / grid.steps_per_beat, 0.5, share)
    settings = replace(grid, quantize=1.0, swing=feel.swing)
    placed = place_played(onset_beats, settings, latency_beats=feel.offset_beats)
    return _step_of(placed, settings), placed


def _bent(beats: float, share: float, to_share: float) -> float:
    """A time in beats whose second eighth is at a share of the beat, where that is at another one."""
    beat = math.floor(beats)
    inside = beats - beat
    if inside < share:
        return beat + inside * to_share / share
    return beat + to_share + (inside - share) * (1.0 - to_share) / (1.0 - share)


def _step_of(placed_beats: float, settings: GrooveSettings) -> int:
    """The number of a swung grid point: the second of a pair is wherever it has been swung to."""
    if not settings.swings:
        return round(placed_beats * settings.steps_per_beat)
    pairs = placed_beats * settings.steps_per_beat / 2
    whole = math.floor(pairs + 1e-6)
    return 2 * whole + (pairs - whole > 0.25)


def _offbeats(places: Sequence[tuple[int, float]], steps_per_beat: int, feel: Feel) -> int:
    """How many notes are the second of a pair."""
    pair = steps_per_beat if feel.eighths else 2
    return sum(step % pair == pair // 2 for step, _ in places)
