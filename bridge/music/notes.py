"""Notes and bars: the plain values in which models, engine and session speak of music.

Pure Python on purpose: who speaks of notes need not have numpy. (The player has loops of its own, of the same rows.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

#: One step of the grid that the models read and write, in beats: a sixteenth note.
STEP_BEATS = 0.25
STEPS_PER_BEAT = 4
BEATS_PER_BAR = 4
STEPS_PER_BAR = STEPS_PER_BEAT * BEATS_PER_BAR
#: The parts of a trio's notes by number (contract section 3), and the one whose pitches are instruments.
PART_NAMES: Final = ("melody", "bass", "drums")
DRUM_PART = 2
#: Where General MIDI has them: the tenth channel, counted from 0.
DRUM_CHANNEL = 9
#: The MIDI channel (0-15) of each part in the files that Barline writes.
PART_CHANNELS: Final = {"melody": 0, "bass": 1, "drums": DRUM_CHANNEL}


NoteRow = tuple[int, float, float, int, int]
"""A note as it is in messages and files: pitch, start and duration in beats, velocity, part."""


@dataclass(frozen=True, slots=True)
class Note:
    """One note of a loop or a track.

    `start` and `duration` are in beats (quarter notes) from the beginning of what holds the note; `pitch` is a MIDI
    note number, `velocity` 1-127; `part` is 0 except in a trio (0 melody, 1 bass, 2 drums).
    """

    pitch: int
    start: float
    duration: float
    velocity: int
    part: int = 0

    @property
    def end(self) -> float:
        """Where the note ends, in beats."""
        return self.start + self.duration

    def in_part(self, part: int) -> Note:
        """The same note, of another part: made as it is, for a trio's loops are hundreds of them, on every click."""
        return self if part == self.part else Note(self.pitch, self.start, self.duration, self.velocity, part)


@dataclass(frozen=True, slots=True)
class Bars:
    """A loop: its notes, ordered by start, and its length in beats."""

    notes: tuple[Note, ...]
    length: float


def note_fault(note: Note) -> str | None:
    """What is wrong with `note`, in words that give the allowed range; None when it is sound."""
    if not 0 <= note.pitch <= 127:
        return f"pitch {note.pitch}: expected 0 to 127"
    if not 1 <= note.velocity <= 127:
        return f"velocity {note.velocity}: expected 1 to 127"
    if not math.isfinite(note.start) or note.start < 0:
        return f"start {note.start}: expected 0 or more beats"
    if not math.isfinite(note.duration) or note.duration <= 0:
        return f"duration {note.duration}: expected more than 0 beats"
    if note.part < 0:
        return f"part {note.part}: expected 0 or more"
    return None


def bars_fault(bars: Bars) -> str | None:
    """What is wrong with `bars`, in words; None when every note is sound and starts inside the loop."""
    if not math.isfinite(bars.length) or bars.length <= 0:
        return f"length {bars.length}: expected more than 0 beats"
    for note in bars.notes:
        fault = note_fault(note)
        if fault is not None:
            return fault
        if note.start >= bars.length:
            return f"start {note.start}: expected less than the length, {bars.length} beats"
    return None


def step_of(beats: float) -> int:
    """The step of the grid that is nearest to a place; what lies half-way between two belongs to the later one."""
    return math.floor(beats / STEP_BEATS + 0.5)


def in_order(notes: Iterable[Note]) -> tuple[Note, ...]:
    """The notes by start, then part, then pitch: the order in which `Bars` keeps them."""
    return tuple(sorted(notes, key=lambda note: (note.start, note.part, note.pitch)))


def rows_of(bars: Bars) -> list[NoteRow]:
    """The notes as rows ``(pitch, start, duration, velocity, part)``."""
    return [(n.pitch, n.start, n.duration, n.velocity, n.part) for n in bars.notes]


def bars_of(length_beats: float, rows: Iterable[Sequence[Any]]) -> Bars:
    """Bars from rows as `rows_of` gives them, put in order.

    Raises:
        ValueError, TypeError, IndexError: something that is no such row.
    """
    return Bars(
        in_order(Note(int(r[0]), float(r[1]), float(r[2]), int(r[3]), int(r[4])) for r in rows), float(length_beats)
    )


def bars_to_json(bars: Bars) -> list[Any]:
    """``[length, rows]``, exact: Python's floats survive JSON unchanged."""
    return [bars.length, rows_of(bars)]


def bars_from_json(value: Sequence[Any]) -> Bars:
    """The inverse of `bars_to_json`; what is behind the rows says nothing of the bars themselves."""
    return bars_of(value[0], value[1])


def octave_within_midi(pitch: int) -> int:
    """The pitch itself, or its nearest octave from 0 to 127."""
    if pitch > 127:
        return pitch - 12 * math.ceil((pitch - 127) / 12)
    return pitch + 12 * math.ceil(-pitch / 12) if pitch < 0 else pitch


def cut(bars: Bars, start_beats: float, length_beats: float) -> Bars:
    """The part of `bars` from `start_beats`, as a loop of its own.

    Notes that sound across the beginning are struck again there; notes that reach over the end are closed at it.
    """
    end_beats = start_beats + length_beats
    kept = []
    for note in bars.notes:
        first, last = max(note.start, start_beats), min(note.end, end_beats)
        if last - first > 1e-9:
            kept.append(Note(note.pitch, first - start_beats, last - first, note.velocity, note.part))
    return Bars(in_order(kept), length_beats)


def join(pieces: Iterable[Bars]) -> Bars:
    """Loops played one after the other, as one loop."""
    notes: list[Note] = []
    length = 0.0
    for piece in pieces:
        notes.extend(Note(n.pitch, n.start + length, n.duration, n.velocity, n.part) for n in piece.notes)
        length += piece.length
    return Bars(in_order(notes), length)


def repeated_to(bars: Bars, length_beats: float) -> Bars:
    """`bars` played round and round until `length_beats` are filled. The last round is cut there, and goes without what
    is struck a little early for a step after that: round the loop it would be the first step's.
    """
    rounds = max(1, math.ceil(length_beats / bars.length - 1e-9))
    filled = cut(join([bars] * rounds), 0.0, length_beats)
    if math.isclose(rounds * bars.length, length_beats, abs_tol=1e-9):
        return filled
    return without_early(filled)


def without_early(bars: Bars) -> Bars:
    """`bars` that were cut, without what is struck a little early for a step after their end."""
    inside = (note for note in bars.notes if step_of(note.start) * STEP_BEATS < bars.length - 1e-9)
    return Bars(tuple(inside), bars.length)
