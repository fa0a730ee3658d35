"""Bars in another metre than they were made for: each is cut or begins again, so that bars land on bars."""

from __future__ import annotations

import math

from bridge.music.notes import Bars, Note, cut, in_order, repeated_to

_NEARLY = 1e-6


def fitted(bars: Bars, bar_beats: float, to_bar_beats: float) -> Bars:
    """`bars`, made of bars of `bar_beats`, with bars of `to_bar_beats`: what is too long is cut at the new bar line,
    what is too short goes on with its own beginning. As they are where they are no whole number of bars.

    A note held over a bar line stays one note where nothing comes between.
    """
    if fitted_length(bars.length, bar_beats, to_bar_beats) == bars.length:
        return bars
    count = round(bars.length / bar_beats)
    notes: list[Note] = []
    for number in range(count):
        line, at = number * bar_beats, number * to_bar_beats
        held = {(n.pitch, n.part) for n in bars.notes if n.start < line - _NEARLY and n.end > line + _NEARLY}
        bar = repeated_to(cut(bars, line, bar_beats), to_bar_beats)
        for note in bar.notes:
            before = _reaching(notes, note, at) if note.start < _NEARLY and (note.pitch, note.part) in held else None
            if before is not None:
                whole = notes[before]
                notes[before] = Note(whole.pitch, whole.start, at + note.end - whole.start, whole.velocity, whole.part)
            else:
                notes.append(Note(note.pitch, at + note.start, note.duration, note.velocity, note.part))
    return Bars(in_order(notes), count * to_bar_beats)


def fitted_length(length_beats: float, bar_beats: float, to_bar_beats: float) -> float:
    """How long `fitted` makes bars of that length."""
    count = round(length_beats / bar_beats)
    same = math.isclose(bar_beats, to_bar_beats, abs_tol=_NEARLY)
    return length_beats if same or not is_whole(length_beats, bar_beats) else count * to_bar_beats


def is_whole(length_beats: float, bar_beats: float) -> bool:
    """Whether a length is a whole number of bars."""
    return math.isclose(round(length_beats / bar_beats) * bar_beats, length_beats, abs_tol=_NEARLY)


def _reaching(notes: list[Note], note: Note, line: float) -> int | None:
    """Which of `notes` is the one that `note` goes on with at a bar line; None where it ended before."""
    for place, other in enumerate(notes):
        if (other.pitch, other.part) == (note.pitch, note.part) and abs(other.end - line) < _NEARLY:
            return place
    return None
