"""Bars in another metre than they were made for: each is cut or begins again, so that bars land on bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bridge.music.groove_settings import SIXTEENTHS
from bridge.music.notes import Bars, Note, in_order

_NEARLY = 1e-6


def fitted(bars: Bars, bar_beats: float, to_bar_beats: float, places: Sequence[float] | None = None) -> Bars:
    """`bars`, made of bars of `bar_beats`, with bars of `to_bar_beats`: what is too long is cut at the new bar line,
    what is too short goes on with its own beginning. As they are where they are no whole number of bars.

    A note that is struck ahead of where it belongs goes there, to the bar that it leads into, or away with what is cut:
    where that is `places` say for each note, in beats; without them, it is the nearest sixteenth. A note held over a
    bar line stays one note where nothing comes between.
    """
    if fitted_length(bars.length, bar_beats, to_bar_beats) == bars.length:
        return bars
    count = round(bars.length / bar_beats)
    if places is None:
        places = [SIXTEENTHS.place_of(note.start, bars.length) for note in bars.notes]
    placed = [_led(note, place, bars.length) for note, place in zip(bars.notes, places, strict=True)]
    rounds = max(1, math.ceil(to_bar_beats / bar_beats - 1e-9))
    notes: list[Note] = []
    for number in range(count):
        for begin in (turn * bar_beats for turn in range(rounds)):
            line, at = number * bar_beats, number * to_bar_beats + begin
            beats = min(bar_beats, to_bar_beats - begin)
            if begin == 0.0:
                _go_on(notes, _ringing(placed, line, beats), at)
            else:
                _add(notes, _ringing(placed, line, beats), at)
            _add(notes, [_closed(n, line, beats) for n, p in placed if line <= p + _NEARLY < line + beats], at)
    length = count * to_bar_beats
    round_it = [note for note in notes if note.start < 0.0]  # what leads into the first bar is at the loop's end
    notes = [note for note in notes if note.start >= 0.0]
    _add(notes, [Note(n.pitch, n.start, min(n.duration, -n.start), n.velocity, n.part) for n in round_it], length)
    return Bars(in_order(notes), length)


def _led(note: Note, place: float, length_beats: float) -> tuple[Note, float]:
    """A note and where it belongs: it is ahead of that, else where it starts; before the loop where it leads round."""
    if place < note.start - length_beats / 2:
        return Note(note.pitch, note.start - length_beats, note.duration, note.velocity, note.part), place
    return note, max(place, note.start)


def _closed(note: Note, line: float, beats: float) -> Note:
    """A note of a piece that is `beats` long, from its line on."""
    start = note.start - line
    return Note(note.pitch, start, min(note.duration, beats - start), note.velocity, note.part)


def _ringing(placed: Sequence[tuple[Note, float]], line: float, beats: float) -> list[Note]:
    """What is left at a line of notes that belong before it, of a piece that is `beats` long."""
    over = (n for n, place in placed if place < line - _NEARLY and n.end > line + _NEARLY)
    return [Note(n.pitch, 0.0, min(n.end - line, beats), n.velocity, n.part) for n in over]


def _add(notes: list[Note], more: Sequence[Note], at: float) -> None:
    """Add the notes of a piece that begins `at`; what ends there gives way to what is struck ahead of it."""
    for note in more:
        start = at + note.start
        if note.start < 0.0:
            for number, other in enumerate(notes):
                if other.part == note.part and other.start < start - _NEARLY < other.end <= at + _NEARLY:
                    before = start - other.start
                    notes[number] = Note(other.pitch, other.start, before, other.velocity, other.part)
        notes.append(Note(note.pitch, start, note.duration, note.velocity, note.part))


def _go_on(notes: list[Note], ringing: Sequence[Note], at: float) -> None:
    """What rings over a bar line goes on as one note where it reaches it; else it is struck again."""
    for note in ringing:
        before = _reaching(notes, note, at)
        if before is None:
            notes.append(Note(note.pitch, at, note.duration, note.velocity, note.part))
        else:
            whole = notes[before]
            notes[before] = Note(whole.pitch, whole.start, at + note.duration - whole.start, whole.velocity, whole.part)


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
