"""Locked bars of a loop, put into another one: exactly what is heard in them. Pure Python: the session locks too."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.limits import MIN_NOTE_BEATS
from bridge.music.groove_settings import SIXTEENTHS, GrooveSettings, quantising_from_json, quantising_to_json
from bridge.music.notes import DRUM_PART, STEP_BEATS, Bars, Note, bars_from_json, bars_to_json, in_order

_Span = tuple[float, float]
_Own = tuple[_Span, GrooveSettings]


@dataclass(frozen=True, slots=True)
class Lock:
    """The notes of `bars` that belong inside one of the `spans` (start, end in beats) stay: each span has those that
    were heard in it as it was `played` when it was locked, with that quantising (the models', where that is not told).
    Of two spans in which a note was heard the first has it.
    """

    bars: Bars
    spans: tuple[_Span, ...]
    played: tuple[GrooveSettings, ...] = ()

    def __iter__(self) -> Iterator[_Own]:
        """The spans, each with how it was played."""
        return zip(self.spans, self.played or (SIXTEENTHS,) * len(self.spans), strict=True)

    def owners(self, bars: Bars) -> list[_Own | None]:
        """For each note of a loop the span that it belongs to, and how that was played; None where it is free."""
        alike: list[tuple[GrooveSettings, list[_Own]]] = []  # most locks are of one grid: a note has one place on it
        for own in self:
            if not alike or alike[-1][0].quantising != own[1].quantising:
                alike.append((own[1], []))
            alike[-1][1].append(own)
        return [_owner(note.start, bars.length, alike) for note in bars.notes]

    def in_bars_of(self, to_bar_beats: float, bar_beats: float) -> Lock:
        """The same bars of a loop whose bars have another length."""
        spans = (tuple(round(beats / bar_beats) * to_bar_beats for beats in span) for span in self.spans)
        return replace(self, spans=tuple((start, end) for start, end in spans))

    def with_its_notes(self) -> Lock:
        """The same with no other notes than those that stay."""
        kept = (note for note, owner in zip(self.bars.notes, self.owners(self.bars), strict=True) if owner is not None)
        return replace(self, bars=Bars(tuple(kept), self.bars.length))


def _owner(start_beats: float, length_beats: float, alike: list[tuple[GrooveSettings, list[_Own]]]) -> _Own | None:
    for played, owns in alike:
        place = played.place_of(start_beats, length_beats)
        for own in owns:
            if own[0][0] <= place < own[0][1]:
                return own
    return None


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
    ends_by = min(bars.length, lock.bars.length) + 1e-6
    there = [own for own in lock if own[0][1] <= ends_by]
    lock = replace(lock, spans=tuple(span for span, _ in there), played=tuple(played for _, played in there))
    stay = _in_a_loop_of(bars.length, lock, kind)
    notes = [note for note, _ in stay]
    free = [note for note, owner in zip(bars.notes, lock.owners(bars), strict=True) if owner is None]
    for part in {note.part for note in free}:
        mine = [(note, span) for note, span in stay if note.part == part]
        taken, rests = _taken(mine, lock.spans, bars.length), is_drums(kind, part)
        for note in free:
            left: Note | None = note if note.part == part else None
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
    for note, owner in zip(bars.notes, lock.owners(bars), strict=True):
        place = played.place_of(note.start, bars.length)
        if owner is None:
            notes += [note] if not any(start <= place < end for start, end in lock.spans) else []
        elif owner[0][0] <= place < owner[0][1]:
            notes.append(note)
        else:
            start = _nearest_inside(owner[0], owner[1].place_of(note.start, bars.length), played.steps_per_beat)
            notes.append(replace(note, start=start, duration=min(note.duration, bars.length - start)))
    return Bars(in_order(notes), bars.length)


def _nearest_inside(span: _Span, beats: float, steps_per_beat: int) -> float:
    """The step of a grid that is nearest to a place and inside a span; the place itself where there is none."""
    first = math.ceil(span[0] * steps_per_beat - 1e-6)
    last = math.ceil(span[1] * steps_per_beat - 1e-6) - 1
    return beats if last < first else min(max(round(beats * steps_per_beat), first), last) / steps_per_beat


def is_drums(kind: str, part: int) -> bool:
    """Whether a part of what a voice plays is drums."""
    return kind == "drums" or part == DRUM_PART


def _in_a_loop_of(length_beats: float, lock: Lock, kind: str) -> list[tuple[Note, _Span | None]]:
    """What is locked, each note with its span, in a loop of another length: what leads into the first bar (of no span)
    is at its end, and what rings is closed there, or where a line goes on with that.
    """
    own_beats = lock.bars.length
    longer = length_beats - own_beats
    held = [(note, own) for note, own in zip(lock.bars.notes, lock.owners(lock.bars), strict=True) if own is not None]
    moved: list[tuple[Note, _Span | None]] = []
    inside, ends = [], dict[int, float]()
    for note, own in held:
        if own[1].leads_round(note.start, own_beats):
            start = note.start + longer
            moved.append((replace(note, start=start), None))
            ends[note.part] = min(start, ends.get(note.part, length_beats))
        else:
            inside.append((note, own))
    for note, (span, played) in inside:
        if longer:
            end = min(note.end, length_beats if is_drums(kind, note.part) else ends.get(note.part, length_beats))
            start = note.start  # where a grid's steps and the bars do not agree, it may lie past the line
            start = start if start < length_beats else played.place_of(start, own_beats)
            note = replace(note, start=start, duration=max(MIN_NOTE_BEATS, end - start))  # noqa: PLW2901
        moved.append((note, span))
    return moved


def _taken(
    mine: Sequence[tuple[Note, _Span | None]], spans: Sequence[_Span], length_beats: float
) -> list[tuple[float, float]]:
    """From where to where, in beats, what is locked of a part is all that sounds of it: from the line of each span, or
    what is struck ahead of it, for as long as that rings.
    """
    found = [(note.start, length_beats) for note, span in mine if span is None]
    for span in spans:
        inside = [note for note, own in mine if own == span]
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
