"""Locked bars of a loop, put into another one: exactly what is heard in them. Pure Python: the session locks too."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.limits import MIN_NOTE_BEATS
from bridge.music.groove_settings import GrooveSettings
from bridge.music.notes import DRUM_PART, STEP_BEATS, Bars, Note, in_order

_SIXTEENTHS = GrooveSettings()  # the models' own grid


@dataclass(frozen=True, slots=True)
class Lock:
    """The notes of `bars` that belong inside one of the `spans` (start, end in beats) stay: as they are `played`, with
    that quantising on that grid.
    """

    bars: Bars
    spans: tuple[tuple[float, float], ...]
    played: GrooveSettings = _SIXTEENTHS


def with_locked(bars: Bars, lock: Lock, kind: str) -> Bars:
    """`bars` with what is locked, and nothing else where that is heard. `kind` is what the voice plays: melody, bass,
    drums, or all as a trio.
    """
    played, length = lock.played, lock.bars.length
    spans = [span for span in lock.spans if span[1] <= min(bars.length, length) + 1e-6]
    stay = [note for note in lock.bars.notes if played.is_inside(note.start, spans, length)]
    stay = _in_a_loop_of(bars.length, stay, lock, kind)
    lock = replace(lock, bars=Bars(in_order(stay), bars.length), spans=tuple(spans))
    notes = list(stay)
    for part in {note.part for note in bars.notes}:
        taken, rests = _taken(lock, part), kind == "drums" or part == DRUM_PART
        for note in bars.notes:
            if note.part != part or any(g.is_inside(note.start, spans, bars.length) for g in (played, _SIXTEENTHS)):
                continue  # it is heard there, or was made in the place of what is locked
            left: Note | None = note
            for start, end in taken:
                left = None if left is None else _beside(left, start, start if rests else end)
            if left is not None:
                notes.append(left)
    return Bars(in_order(notes), bars.length)


def _in_a_loop_of(length_beats: float, stay: list[Note], lock: Lock, kind: str) -> list[Note]:
    """What is locked, in a loop of another length: what leads into the first bar is at its end, and what rings is
    closed there, or where a line goes on with that.
    """
    longer = length_beats - lock.bars.length
    if not longer:
        return stay
    ends, moved = dict[int, float](), []
    for note in stay:
        if lock.played.leads_round(note.start, lock.bars.length):
            moved.append(replace(note, start=note.start + longer))
            ends[note.part] = min(moved[-1].start, ends.get(note.part, length_beats))
    for note in stay:
        if not lock.played.leads_round(note.start, lock.bars.length):
            drums = kind == "drums" or note.part == DRUM_PART
            end = min(note.end, length_beats if drums else ends.get(note.part, length_beats))
            start = note.start  # where a grid's steps and the bars do not agree, it may lie past the line
            start = start if start < length_beats else lock.played.place_of(start, lock.bars.length)
            moved.append(replace(note, start=start, duration=max(MIN_NOTE_BEATS, end - start)))
    return moved


def _taken(lock: Lock, part: int) -> list[tuple[float, float]]:
    """From where to where, in beats, what is locked of a part is all that sounds of it: from the line of each span, or
    what is struck ahead of it, for as long as that rings.
    """
    length = lock.bars.length
    mine = [note for note in lock.bars.notes if note.part == part]
    round_it = [note for note in mine if lock.played.leads_round(note.start, length)]
    found = [(note.start, length) for note in round_it]
    for span in lock.spans:
        inside = [n for n in mine if n not in round_it and lock.played.is_inside(n.start, [span], length)]
        start = min([span[0], *(note.start for note in inside)])
        found.append((start, max([start, *(note.end for note in inside)])))
    return found


def _beside(note: Note, start: float, ringing: float) -> Note | None:
    """What is left of a note next to what is locked from `start` on and rings until `ringing`."""
    if note.start < start:
        return note if note.end <= start else replace(note, duration=start - note.start)
    if note.start >= ringing:
        return note
    return None if note.end - ringing < STEP_BEATS / 2 else replace(note, start=ringing, duration=note.end - ringing)
