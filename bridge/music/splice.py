"""One bar of a loop in the place of another's. A note belongs to the step it is nearest to, so what is pushed before a
bar line goes with the bar it leads into.
"""

from __future__ import annotations

from bridge.music.notes import STEP_BEATS, Bars, Note, in_order, step_of


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
