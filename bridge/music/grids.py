"""The grid the models read and write: notes to tokens and back.

Melody and bass are one line: a token per sixteenth step, 90 classes (`PITCHES` piano keys, note-off, no event).
Drums are a set of nine classes per step as a bit mask (0-511), with a velocity bin and an offset bin per hit.

Seams: a window or loop stands by itself, so a note that sounds across its beginning is struck again at step 0, and
whatever sounds at its end is closed there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.limits import TICKS_PER_BEAT
from bridge.music.notes import STEP_BEATS, STEPS_PER_BAR, Bars, Note, in_order

LOWEST_PITCH = 21
PITCHES = 88
TOP_PITCH = LOWEST_PITCH + PITCHES - 1
#: Token ids of a line: 0-87 strike pitch 21-108, then these two.
NOTE_OFF = 88
NO_EVENT = 89
LINE_CLASSES = 90
SILENT = -1

DRUM_CLASSES = 9
HIT_SETS = 1 << DRUM_CLASSES
VELOCITY_BINS = 8
OFFSET_BINS = 11
ON_THE_GRID = 5
#: The middle of the last bin, in steps: half a step late is the next step's, where quantising and encoding put it.
_LATEST_STEPS = 0.475
KICK, SNARE, CLOSED_HAT = range(3)
DRUM_NAMES = ("kick", "snare", "closed hat", "open hat", "low tom", "mid tom", "high tom", "crash", "ride")
#: The General MIDI pitch that each class is played with.
DRUM_PITCHES = (36, 38, 42, 46, 43, 47, 50, 49, 51)
#: Which class a General MIDI (or Roland TD-11: 22, 26, 58) drum pitch belongs to; other percussion is left out.
_CLASS_PITCHES = (
    (35, 36),
    (37, 38, 39, 40),
    (22, 42, 44),
    (26, 46),
    (41, 43, 45, 58),
    (47, 48),
    (50,),
    (49, 52, 55, 57),
    (51, 53, 59),
)
DRUM_CLASS_OF_PITCH = {pitch: index for index, pitches in enumerate(_CLASS_PITCHES) for pitch in pitches}
_DRUM_NOTE_BEATS = STEP_BEATS / 2

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def drums_in(sets: Ints) -> Ints:
    """Which drums are struck by each set of hits (...), a bit mask: (..., `DRUM_CLASSES`) of 0 and 1."""
    return sets[..., None] >> np.arange(DRUM_CLASSES) & 1


@dataclass(frozen=True, slots=True)
class NoteArrays:
    """Notes as columns: starts and ends in steps (fractions kept), pitches and velocities; any order."""

    start_steps: Floats
    end_steps: Floats
    pitches: Ints
    velocities: Ints


@dataclass(frozen=True, slots=True)
class Line:
    """One voice on the grid: what sounds at each step (0-87, or -1), and where notes are struck."""

    sounding: Ints
    struck: NDArray[np.bool_]
    off_grid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DrumGrid:
    """Drums on the grid: hits (n,) bit masks, velocities (n, 9) 0-127, offsets (n, 9) bins 0-10."""

    hits: Ints
    velocities: Ints
    offsets: Ints


def note_arrays(notes: Sequence[Note], origin_beats: float = 0.0) -> NoteArrays:
    """Notes as columns, in steps from `origin_beats`."""
    table = np.array([(n.start, n.end, n.pitch, n.velocity) for n in notes], dtype=np.float64).reshape(-1, 4)
    steps = (table[:, :2] - origin_beats) / STEP_BEATS
    return NoteArrays(steps[:, 0], steps[:, 1], table[:, 2].astype(np.int64), table[:, 3].astype(np.int64))


def line_of(notes: NoteArrays, n_steps: int, *, top: bool, off_grid_steps: float = 0.2) -> Line:
    """One line from notes: the top (or bottom) note at equal onset, cut at the next; onsets and ends to the nearest
    step; pitches outside the piano are left out. `off_grid` marks the steps whose onset was further than
    `off_grid_steps` from the grid.
    """
    starts = np.floor(notes.start_steps + 0.5).astype(np.int64)
    ends = np.maximum(np.floor(notes.end_steps + 0.5).astype(np.int64), starts + 1)
    keys = notes.pitches - LOWEST_PITCH
    usable = (keys >= 0) & (keys < PITCHES) & (starts < n_steps) & (ends > 0)
    starts, ends, keys = starts[usable], ends[usable], keys[usable]
    away = np.abs(notes.start_steps[usable] - starts) > off_grid_steps
    order = np.lexsort((-keys if top else keys, starts))
    starts, ends, keys, away = starts[order], ends[order], keys[order], away[order]
    first = np.ones(len(starts), dtype=bool)
    first[1:] = starts[1:] != starts[:-1]
    starts, ends, keys, away = starts[first], ends[first], keys[first], away[first]
    ends[:-1] = np.minimum(ends[:-1], starts[1:])
    sounding = np.full(n_steps, SILENT, dtype=np.int64)
    struck = np.zeros(n_steps, dtype=bool)
    off_grid = np.zeros(n_steps, dtype=bool)
    for start, end, key in zip(starts.tolist(), ends.tolist(), keys.tolist(), strict=True):
        sounding[max(start, 0) : end] = key
    inside = starts >= 0
    struck[starts[inside]] = True
    off_grid[starts[inside]] = away[inside]
    return Line(sounding, struck, off_grid)


def line_tokens(sounding: Ints, struck: NDArray[np.bool_]) -> Ints:
    """Tokens (..., n) of lines (..., n) that stand by themselves: struck again at step 0, closed at the end."""
    before = np.concatenate([np.full_like(sounding[..., :1], SILENT), sounding[..., :-1]], axis=-1)
    strike = (sounding != SILENT) & (struck | (before != sounding))
    release = (sounding == SILENT) & (before != SILENT)
    return np.where(strike, sounding, np.where(release, NOTE_OFF, NO_EVENT))


def tokens_line(tokens: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """What sounds (..., n) and what is struck (..., n) when a line of tokens is played from silence."""
    n = tokens.shape[-1]
    event = tokens != NO_EVENT
    last = np.maximum.accumulate(np.where(event, np.arange(n), -1), axis=-1)
    held = np.take_along_axis(tokens, np.maximum(last, 0), axis=-1)
    sounding = np.where((last >= 0) & (held < PITCHES), held, SILENT)
    return sounding, tokens < PITCHES


def encode_line(bars: Bars, n_steps: int, *, top: bool = True) -> Ints:
    """Tokens (n_steps,) of `bars` as one line."""
    line = line_of(note_arrays(bars.notes), n_steps, top=top)
    return line_tokens(line.sounding, line.struck)


def held_notes(tokens: Ints) -> list[tuple[int, int]]:
    """Where the notes of a line of tokens (n,) are struck, and for how many steps each is held."""
    sounding, struck = tokens_line(tokens)
    onsets = np.flatnonzero(struck)
    following = np.append(onsets[1:], len(tokens))
    quiet = np.append(np.flatnonzero(sounding == SILENT), len(tokens))
    ends = np.minimum(following, quiet[np.searchsorted(quiet, onsets)])
    return list(zip(onsets.tolist(), (ends - onsets).tolist(), strict=True))


def decode_line(
    tokens: Ints, velocity_at: Callable[[int], int], *, length_beats: float | None = None, part: int = 0
) -> Bars:
    """The notes of a line of tokens (n,); `velocity_at` gives the velocity of a note struck at a step."""
    length = len(tokens) * STEP_BEATS if length_beats is None else length_beats
    notes = [
        Note(int(tokens[step]) + LOWEST_PITCH, step * STEP_BEATS, steps * STEP_BEATS, velocity_at(step), part)
        for step, steps in held_notes(tokens)
    ]
    return Bars(in_order(notes), length)


def drum_grid_of(notes: NoteArrays, n_steps: int) -> DrumGrid:
    """Drums on the grid: the loudest hit of a class at a step stands; offset bin = where it was in the step."""
    hits = np.zeros(n_steps, dtype=np.int64)
    velocities = np.zeros((n_steps, DRUM_CLASSES), dtype=np.int64)
    offsets = np.full((n_steps, DRUM_CLASSES), ON_THE_GRID, dtype=np.int64)
    steps = np.floor(notes.start_steps + 0.5).astype(np.int64)
    bins = offset_bins(notes.start_steps - steps)
    columns = (notes.pitches.tolist(), steps.tolist(), bins.tolist(), notes.velocities.tolist())
    for pitch, step, offset, velocity in zip(*columns, strict=True):
        drum = DRUM_CLASS_OF_PITCH.get(pitch)
        if drum is None or not 0 <= step < n_steps or velocity <= velocities[step, drum]:
            continue
        hits[step] |= 1 << drum
        velocities[step, drum] = velocity
        offsets[step, drum] = offset
    return DrumGrid(hits, velocities, offsets)


def encode_drums(bars: Bars, n_steps: int) -> DrumGrid:
    """`bars` on the drum grid; a hit just before the loop's end that rounds onto it belongs to step 0."""
    notes = note_arrays(bars.notes)
    wrapped = np.where(notes.start_steps >= n_steps - 0.5, notes.start_steps - n_steps, notes.start_steps)
    return drum_grid_of(NoteArrays(wrapped, notes.end_steps, notes.pitches, notes.velocities), n_steps)


def decode_drums(grid: DrumGrid, *, length_beats: float | None = None, part: int = 0) -> Bars:
    """The notes of a drum grid. A hit that lies before the loop's beginning is pulled up to it; each rings to the next
    of its drum at the latest, and of two in one moment the louder is played.
    """
    length = len(grid.hits) * STEP_BEATS if length_beats is None else length_beats
    notes = []
    for step in np.flatnonzero(grid.hits).tolist():
        for drum in range(DRUM_CLASSES):
            if int(grid.hits[step]) >> drum & 1:
                start = max(0.0, (step + offset_steps(int(grid.offsets[step, drum]))) * STEP_BEATS)
                velocity = max(1, min(127, int(grid.velocities[step, drum])))
                notes.append(Note(DRUM_PITCHES[drum], start, _DRUM_NOTE_BEATS, velocity, part))
    return Bars(in_order(struck_apart(notes)), length)


def struck_apart(notes: Sequence[Note]) -> list[Note]:
    """Notes of which none rings into the next of its pitch and part; of two in one moment the louder is left."""
    made: list[Note] = []
    last: dict[tuple[int, int], int] = {}
    for note in sorted(notes, key=lambda note: note.start):
        place = last.get((note.pitch, note.part))
        if place is not None and note.start - made[place].start < 1.0 / TICKS_PER_BEAT:
            made[place] = max(made[place], replace(note, start=made[place].start), key=lambda hit: hit.velocity)
            continue
        if place is not None and made[place].end > note.start:
            made[place] = replace(made[place], duration=note.start - made[place].start)
        last[note.pitch, note.part] = len(made)
        made.append(note)
    return made


def velocity_bins(velocities: Ints) -> Ints:
    """Velocities 0-127 to bins 0-7."""
    return np.clip(velocities // 16, 0, VELOCITY_BINS - 1)


def bin_velocity(velocity_bin: int) -> int:
    """The velocity in the middle of a bin."""
    return velocity_bin * 16 + 8


def offset_bins(steps: Floats) -> Ints:
    """Offsets from the grid in steps (-0.5 to 0.5) to bins 0-10; bin 5 is on the grid."""
    return np.clip(np.floor(steps * 10.0 + 5.5), 0, OFFSET_BINS - 1).astype(np.int64)


def offset_steps(offset_bin: int) -> float:
    """The offset in steps that a bin stands for; none takes a hit out of its step."""
    return min((offset_bin - ON_THE_GRID) / 10.0, _LATEST_STEPS)


def metric_velocity(step: int) -> int:
    """The accent of a step where nobody has said better: bar, half bar, beat, eighth, sixteenth."""
    place = step % STEPS_PER_BAR
    if place == 0:
        return 104
    if place == STEPS_PER_BAR // 2:
        return 98
    if place % 4 == 0:
        return 92
    return 84 if place % 2 == 0 else 76
