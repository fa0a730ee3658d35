"""What the player plays: loops, whose notes are in order of onset, loops that wait, and notes as they sound."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from bridge import limits
from bridge.timing.tempo_map import NEARLY_BEATS

SAME_ONSET_BEATS: Final = 1 / 96  # two onsets closer than this are the same stroke


class LoopNote(NamedTuple):
    """One note of a loop; start and duration in beats."""

    start: float
    pitch: int
    part: int
    duration: float
    velocity: int


@dataclasses.dataclass(frozen=True, slots=True)
class Loop:
    """Bars that go round. Position 0 is wherever the voice that plays them puts it."""

    id: int
    length_beats: float
    notes: tuple[LoopNote, ...]
    starts: tuple[float, ...]

    def pass_at(self, start_beats: float, at_beats: float) -> int:
        """Which time round it is at `at_beats` (0 is the first, negative before it)."""
        return math.floor((at_beats - start_beats + NEARLY_BEATS) / self.length_beats)

    def pass_end(self, start_beats: float, number: int) -> float:
        """Where a time round ends."""
        return start_beats + (number + 1) * self.length_beats

    def onset(self, start_beats: float, number: int, index: int) -> float:
        """Where note `index` begins, the `number`-th time round."""
        return start_beats + number * self.length_beats + self.starts[index]

    def instance_end(self, start_beats: float, number: int, index: int) -> float:
        """Where it ends: a note that crosses the end of the loop is cut there."""
        until = self.onset(start_beats, number, index) + self.notes[index].duration
        return min(until, self.pass_end(start_beats, number))

    def seek(self, start_beats: float, at_beats: float) -> tuple[int, int]:
        """(pass, index) of the first note whose onset is not before `at_beats`; index may equal the number of notes."""
        number = self.pass_at(start_beats, at_beats)
        position = at_beats - start_beats - number * self.length_beats
        return number, bisect.bisect_left(self.starts, position - NEARLY_BEATS)

    def rows(self) -> list[tuple[int, float, float, int, int]]:
        """The notes as `messages.NoteRow`."""
        return [(note.pitch, note.start, note.duration, note.velocity, note.part) for note in self.notes]


def loop_from_rows(loop_id: int, length_beats: float, rows: Iterable[Sequence[float]]) -> Loop:
    """A playable loop of note rows (pitch, start, duration, velocity, part).

    Onsets outside the loop are taken modulo its length; of notes of one pitch and part that start together the last
    is played, so that nothing sounds twice.

    Raises:
        ValueError: length, pitch, velocity or part out of range, or a number that is none.
    """
    length = max(float(length_beats), limits.MIN_LOOP_BEATS)
    if not math.isfinite(length):
        raise ValueError(f"loop length {length_beats}")
    by_key: dict[tuple[int, int, int], LoopNote] = {}
    for pitch, start, duration, velocity, part in rows:
        if not (math.isfinite(start) and math.isfinite(duration) and 0 <= pitch <= 127 and 1 <= velocity <= 127):
            raise ValueError(f"note {(pitch, start, duration, velocity, part)}")
        begins = start % length
        if length - begins < NEARLY_BEATS * 4:
            begins = 0.0
        note = LoopNote(begins, int(pitch), int(part), max(duration, limits.MIN_NOTE_BEATS), int(velocity))
        by_key[(note.pitch, note.part, round(begins / (NEARLY_BEATS * 4)))] = note
    notes = tuple(sorted(by_key.values()))
    return Loop(loop_id, length, notes, tuple(note.start for note in notes))


class Sound(NamedTuple):
    """A note to switch on or off, meant for `due_beats`."""

    due_beats: float
    on: bool
    voice: str
    part: int
    pitch: int
    velocity: int


@dataclasses.dataclass(slots=True)
class Held:
    """A note that sounds: its stroke and its end in absolute beats."""

    pitch: int
    part: int
    onset_beats: float
    end_beats: float


@dataclasses.dataclass(slots=True)
class Pending:
    """Bars that wait. `target_beats` is where they take over, `start_beats` their position 0; None, -1: not known.
    Those that are `for_this_place` wait no longer where the song moves.
    """

    loop: Loop
    launch: str
    target_beats: float | None = None
    start_beats: float = -1.0
    for_this_place: bool = False
