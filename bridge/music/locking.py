"""Locked bars of a loop, put into another one: exactly what is heard in them. Pure Python: the session locks too."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.limits import MIN_NOTE_BEATS
from bridge.music.groove_settings import GrooveSettings, quantising_from_json, quantising_to_json
from bridge.music.notes import DRUM_PART, STEP_BEATS, Bars, Note, bars_from_json, bars_to_json, in_order

_SIXTEENTHS = GrooveSettings()  # the models' own grid


@dataclass(frozen=True, slots=True)
class Lock:
    """The notes of `bars` that belong inside one of the `spans` (start, end in beats) stay: each span has those that
    were heard in it as it was `played` when it was locked, with that quantising (the models', where that is not told).
    Of two spans in which a note was heard the first has it.
    """

    bars: Bars
    spans: tuple[tuple[float, float], ...]
    played: tuple[GrooveSettings, ...] = ()

    def __iter__(self) -> Iterator[tuple[tuple[float, float], GrooveSettings]]:
        """The spans, each with how it was played."""
        return zip(self.spans, self.played or (_SIXTEENTHS,) * len(self.spans), strict=True)

    def owner(self, start_beats: float, length_beats: float) -> tuple[tuple[float, float], GrooveSettings] | None:
        """The span that a note belongs to which starts there in a loop of that length, and how that was played."""
        owners = (own for own in self if own[1].is_inside(start_beats, own[:1], length_beats))
        return next(owners, None)

    def in_bars_of(self, to_bar_beats: float, bar_beats: float) -> Lock:
        """The same bars of a loop whose bars have another length."""
        spans = (tuple(round(beats / bar_beats) * to_bar_beats for beats in span) for span in self.spans)
        return replace(self, spans=tuple((start, end) for start, end in spans))

    def leads_round(self, note: Note) -> bool:
        """Whether a note of its bars lies at their end and belongs to their beginning."""
        owner = self.owner(note.start, self.bars.length)
        return owner is not None and owner[1].leads_round(note.start, self.bars.length)


def lock_to_json(lock: Lock) -> dict[str, Any]:
    """A lock as plain JSON."""
    return {
        "bars": bars_to_json(lock.bars),
        "spans": [list(span) for span in lock.spans],
        "played": [quantising_to_json(played) for _, played in lock],
    }


def lock_from_json(value: Mapping[str, Any]) -> Lock:
    """What `lock_to_json` gave, among other values; of before spans had a quantising each, that of all of them."""
    spans = tuple((start, end) for start, end in value["spans"])
    played = value.get("played", [value] * len(spans))
    return Lock(bars_from_json(value["bars"]), spans, tuple(map(quantising_from_json, played)))


def with_locked(bars: Bars, lock: Lock, kind: str) -> Bars:
    """`bars` with what is locked, and nothing else where that is heard. `kind` is what the voice plays: melody, bass,
    drums, or all as a trio.
    """
    length = lock.bars.length
    ends_by = min(bars.length, length) + 1e-6
    there = [(span, played) for span, played in lock if span[1] <= ends_by]
    lock = replace(lock, spans=tuple(span for span, _ in there), played=tuple(played for _, played in there))
    stay = [note for note in lock.bars.notes if lock.owner(note.start, length) is not None]
    lock = replace(lock, bars=Bars(in_order(stay), length))
    stay = _in_a_loop_of(bars.length, stay, lock, kind)
    notes = list(stay)
    for part in {note.part for note in bars.notes}:
        taken, rests = _taken(replace(lock, bars=Bars(in_order(stay), bars.length)), part), is_drums(kind, part)
        for note in bars.notes:
            if note.part != part or lock.owner(note.start, bars.length) is not None:
                continue  # it is heard there
            left: Note | None = note
            for start, end in taken:
                left = None if left is None else _beside(left, start, start if rests else end)
            if left is not None:
                notes.append(left)
    return Bars(in_order(notes), bars.length)


def kept_apart(bars: Bars, lock: Lock, played: GrooveSettings) -> Bars:
    """`bars` as they are to be `played` with a quantising that may be another than what they were locked with: what is
    locked stays inside its span, at the nearest place of the grid there, and nothing else comes into it.
    """
    now = quantising_to_json(played)
    if not lock.spans or all(quantising_to_json(own) == now for own in lock.played):
        return bars
    notes = []
    for note in bars.notes:
        owner, place = lock.owner(note.start, bars.length), played.place_of(note.start, bars.length)
        if owner is None:
            notes += [note] if not any(start <= place < end for start, end in lock.spans) else []
        elif owner[0][0] <= place < owner[0][1]:
            notes.append(note)
        else:
            start = _nearest_inside(owner[0], owner[1].place_of(note.start, bars.length), played.steps_per_beat)
            notes.append(replace(note, start=start, duration=min(note.duration, bars.length - start)))
    return Bars(in_order(notes), bars.length)


def _nearest_inside(span: tuple[float, float], beats: float, steps_per_beat: int) -> float:
    """The step of a grid that is nearest to a place and inside a span; the place itself where there is none."""
    first = math.ceil(span[0] * steps_per_beat - 1e-6)
    last = math.ceil(span[1] * steps_per_beat - 1e-6) - 1
    return beats if last < first else min(max(round(beats * steps_per_beat), first), last) / steps_per_beat


def is_drums(kind: str, part: int) -> bool:
    """Whether a part of what a voice plays is drums."""
    return kind == "drums" or part == DRUM_PART


def _in_a_loop_of(length_beats: float, stay: Sequence[Note], lock: Lock, kind: str) -> list[Note]:
    """What is locked, in a loop of another length: what leads into the first bar is at its end, and what rings is
    closed there, or where a line goes on with that.
    """
    longer = length_beats - lock.bars.length
    if not longer:
        return list(stay)
    ends, moved = dict[int, float](), []
    for note in stay:
        if lock.leads_round(note):
            moved.append(replace(note, start=note.start + longer))
            ends[note.part] = min(moved[-1].start, ends.get(note.part, length_beats))
    for note in stay:
        owner = lock.owner(note.start, lock.bars.length)
        if owner is not None and not lock.leads_round(note):
            end = min(note.end, length_beats if is_drums(kind, note.part) else ends.get(note.part, length_beats))
            start = note.start  # where a grid's steps and the bars do not agree, it may lie past the line
            start = start if start < length_beats else owner[1].place_of(start, lock.bars.length)
            moved.append(replace(note, start=start, duration=max(MIN_NOTE_BEATS, end - start)))
    return moved


def _taken(lock: Lock, part: int) -> list[tuple[float, float]]:
    """From where to where, in beats, what is locked of a part is all that sounds of it: from the line of each span, or
    what is struck ahead of it, for as long as that rings.
    """
    length = lock.bars.length
    mine = [note for note in lock.bars.notes if note.part == part]
    round_it = [note for note in mine if lock.leads_round(note)]
    found = [(note.start, length) for note in round_it]
    for span in lock.spans:
        owners = [(note, lock.owner(note.start, length)) for note in mine if note not in round_it]
        inside = [note for note, owner in owners if owner is not None and owner[0] == span]
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
