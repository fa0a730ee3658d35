"""One bar of a loop in the place of another's, and what is heard of a loop from some beat on. A note belongs to the
step it is nearest to, so what is pushed before a bar line goes with the bar it leads into.
"""

from __future__ import annotations

import math
from dataclasses import replace

from bridge.music.locking import is_drums
from bridge.music.notes import STEP_BEATS, Bars, Note, in_order, step_of

_NEARLY = 1e-9


def with_bar(loop: Bars, other: Bars, start_beats: float, bar_beats: float, ahead_beats: float = 0.0) -> Bars:
    """`loop` with the bar that begins at `start_beats` out of `other`, where the same bar lies `ahead_beats` later."""
    steps = max(1, round(loop.length / STEP_BEATS))
    first, count = step_of(start_beats), round(bar_beats / STEP_BEATS)

    def inside(beats: float) -> bool:
        return (step_of(beats) - first) % steps < count

    notes = [note for note in loop.notes if not inside(note.start)]
    for note in other.notes:
        if 0 <= step_of(note.start - ahead_beats) - first < count:
            start = (note.start - ahead_beats) % loop.length
            notes.append(Note(note.pitch, start, min(note.duration, loop.length - start), note.velocity, note.part))
    return Bars(in_order(notes), loop.length)


def sounding_from(loop: Bars, from_beats: float, length_beats: float, kind: str) -> Bars:
    """What is heard of a loop that goes round, from a beat on for so long, as a loop of its own. `kind` is what the
    voice plays: melody, bass, drums, or all as a trio.

    A drum that is struck a little early for the first step lies at the end, as in every loop; a line has that note on
    its first step, and what rings there is struck again. What is early for a step after the end is left out.
    """
    notes = []
    first_round = math.floor(from_beats / loop.length) - 1
    for number in range(first_round, math.ceil((from_beats + length_beats) / loop.length - _NEARLY)):
        for note in loop.notes:
            start = number * loop.length - from_beats + note.start
            end, step, drum = start + note.duration, step_of(start), is_drums(kind, note.part)
            if step >= step_of(length_beats) or (step < 0 and (drum or end < STEP_BEATS / 2)):
                continue
            if start < -_NEARLY and drum:
                start, end = start + length_beats, length_beats
            elif start < 0.0:
                start, end = 0.0, end if end > _NEARLY else note.duration
            notes.append(replace(note, start=start, duration=min(end, length_beats) - start))
    return Bars(in_order(notes), length_beats)
