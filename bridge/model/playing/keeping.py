"""Keeping: the rhythm or the pitches of a loop, or whole bars of it, exactly, whatever else is generated.

While a model decodes, what is kept is forced on it by masks, so that what is new fits to it; afterwards it is put back
note by note, because the grid that a model knows rounds starts, ends and velocities.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from bridge.limits import MIN_NOTE_BEATS
from bridge.model.nets.config import TRIO_PARTS, ModelConfig
from bridge.model.playing.framing import Frame, to_windows
from bridge.music.grids import DRUM_CLASS_OF_PITCH, PITCHES, Ints
from bridge.music.groove_settings import GrooveSettings
from bridge.music.harmony import bound
from bridge.music.notes import (
    DRUM_PART,
    STEP_BEATS,
    Bars,
    Note,
    in_order,
    octave_within_midi,
    repeated_to,
    step_of,
)

FORBIDDEN = -1e9
_SIXTEENTHS = GrooveSettings()  # the models' own grid
_Group = list[Note]


@dataclass(frozen=True, slots=True)
class Hold:
    """New bars keep the `rhythm` (onsets and durations) or the `pitch`es, in their order, of `bars`."""

    what: Literal["rhythm", "pitch"]
    bars: Bars


@dataclass(frozen=True, slots=True)
class Lock:
    """The notes of `bars` that belong inside one of the `spans` (start, end in beats) stay: as they are `played`, with
    that quantising on that grid.
    """

    bars: Bars
    spans: tuple[tuple[float, float], ...]
    played: GrooveSettings = _SIXTEENTHS


def forced_bias(
    hold: Hold | None, lock: Lock | None, config: ModelConfig, frame: Frame, first_step: int
) -> Tensor | None:
    """A mask (T, C) for the window that begins at `first_step`; None where nothing is forced."""
    if lock is None and (hold is None or hold.what != "rhythm"):
        return None
    bias = torch.zeros(config.steps, config.classes)
    if hold is not None and hold.what == "rhythm" and hold.bars.notes:
        tokens = _tokens_at(hold.bars, config, frame, first_step)
        struck = tokens > 0 if config.part == "drums" else tokens < PITCHES
        for step, token in enumerate(tokens.tolist()):
            if struck[step] and config.part == "drums":
                bias[step, 0] = FORBIDDEN
            elif struck[step]:
                bias[step, PITCHES:] = FORBIDDEN
            else:
                _only(bias[step], token)
    for start, end in () if lock is None else lock.spans:
        first, last = (round(beats / STEP_BEATS) - first_step for beats in (start, end))
        if lock is not None and first < config.steps and last > 0:
            tokens = _tokens_at(lock.bars, config, frame, first_step)
            for step in range(max(0, first), min(config.steps, last)):
                bias[step] = 0.0
                _only(bias[step], int(tokens[step]))
    return bias


def _only(row: Tensor, token: int) -> None:
    row += FORBIDDEN
    row[token] = 0.0


def _tokens_at(bars: Bars, config: ModelConfig, frame: Frame, first_step: int) -> Ints:
    end_beats = (first_step + config.steps) * STEP_BEATS
    return to_windows(_filled(bars, end_beats), frame, config)[first_step // config.steps].tokens


def _filled(bars: Bars, length_beats: float) -> Bars:
    return bars if bars.length == length_beats else repeated_to(bars, length_beats)


def onsets_wanted(hold: Hold | None, first_step: int, steps: int) -> int | None:
    """How many steps of a stretch are to be struck so that held pitches last exactly; None where none are held."""
    if hold is None or hold.what != "pitch" or not hold.bars.notes:
        return None
    filled = _filled(hold.bars, (first_step + steps) * STEP_BEATS)
    return sum(1 for step in _groups(filled) if first_step <= step < first_step + steps)


def finished(bars: Bars, hold: Hold | None, lock: Lock | None, scale: frozenset[int] | None, kind: str) -> Bars:
    """The bars with what is held, bound to `scale` (None: not bound), with what is locked: each exactly, the later
    winning where they contradict each other. Where a part has nothing new for what is held, that stays as it was.
    `kind` is what the voice plays: melody, bass, drums, or all as a trio.
    """
    if hold is not None:
        held = _filled(hold.bars, bars.length)
        notes: list[Note] = []
        for part in {note.part for note in bars.notes} | {note.part for note in held.notes}:
            plays = TRIO_PARTS[part] if kind == "trio" else kind
            mine, kept = _of_part(bars, part), _of_part(held, part)
            if hold.what == "pitch" and not kept.notes:  # it rests as long as the bars last: what it plays after that
                kept = _first_groups(_of_part(hold.bars, part), len(_groups(mine)))
            if mine.notes and kept.notes and mine != kept:  # else there is nothing to put back
                mine = (_with_rhythm if hold.what == "rhythm" else _with_pitches)(mine, kept, plays)
            elif kept.notes:
                mine = kept
            notes += mine.notes
        bars = Bars(in_order(notes), bars.length)
    if scale is not None and kind != "drums":
        bars = bound(bars, scale)
    return bars if lock is None else _with_locked(bars, lock, kind)


def _of_part(bars: Bars, part: int) -> Bars:
    return Bars(tuple(note for note in bars.notes if note.part == part), bars.length)


def _groups(bars: Bars) -> dict[int, _Group]:
    """The notes by the step they are struck on, steps in order."""
    steps = max(1, round(bars.length / STEP_BEATS))
    found: dict[int, _Group] = defaultdict(list)
    for note in bars.notes:
        found[step_of(note.start) % steps].append(note)
    return dict(sorted(found.items()))


def _first_groups(bars: Bars, count: int) -> Bars:
    """The first notes, as many struck together or alone."""
    return Bars(tuple(note for group in list(_groups(bars).values())[:count] for note in group), bars.length)


def _with_rhythm(bars: Bars, held: Bars, kind: str) -> Bars:
    new = _groups(bars)
    notes: list[Note] = []
    for step, group in _groups(held).items():
        if kind == "drums":
            notes += _struck_together(new.get(step, group), group)
            continue
        at = _nearest(new, step)
        pick = min if kind == "bass" else max
        lead = pick(note.pitch for note in group)
        fresh = pick(new[at], key=lambda note: note.pitch)
        for note in group:
            notes.append(
                replace(note, pitch=octave_within_midi(note.pitch + fresh.pitch - lead), velocity=fresh.velocity)
            )
    return Bars(in_order(_once(notes)), bars.length)


def _struck_together(new: _Group, held: _Group) -> list[Note]:
    """Drum hits of one step at the moments of the held ones: each at its own drum's, else at the first's."""
    own = {DRUM_CLASS_OF_PITCH.get(note.pitch): note for note in held}
    first = min(held, key=lambda note: note.start)
    like = [own.get(DRUM_CLASS_OF_PITCH.get(note.pitch), first) for note in new]
    return [replace(note, start=at.start, duration=at.duration) for note, at in zip(new, like, strict=True)]


def _nearest(groups: dict[int, _Group], step: int) -> int:
    return min(groups, key=lambda other: (abs(other - step), other))


def _once(notes: list[Note]) -> list[Note]:
    """Of notes of one pitch that start together, the longest."""
    kept: dict[tuple[float, int, int], Note] = {}
    for note in notes:
        key = (note.start, note.part, note.pitch)
        if key not in kept or kept[key].duration < note.duration:
            kept[key] = note
    return list(kept.values())


def _with_pitches(bars: Bars, held: Bars, kind: str) -> Bars:
    """The held pitches in their order, on the onsets of `bars`: as many as there are pitches."""
    new, order = _groups(bars), list(_groups(held).values())
    steps = round(bars.length / STEP_BEATS)
    onsets = _as_many(sorted(new), len(order), steps)
    sounding = {s for n in bars.notes for s in range(step_of(n.start), step_of(n.end))}
    notes: list[Note] = []
    for (step, limit), group in zip(pairwise([*onsets, steps]), order, strict=False):
        like = new.get(step) or new[_nearest(new, step)]
        start = min(note.start for note in like) if step in new else step * STEP_BEATS
        if kind == "drums":
            notes += [replace(note, start=start) for note in group]
            continue
        end = next((s for s in range(step + 1, limit) if s not in sounding), limit)
        for note in group:
            notes.append(Note(note.pitch, start, end * STEP_BEATS - start, like[0].velocity, note.part))
    return Bars(in_order(_once(notes)), bars.length)


def _as_many(onsets: list[int], wanted: int, steps: int) -> list[int]:
    """`wanted` of `steps` onsets: the weakest of too many go; of too few, the strongest free steps are added, far from
    the others.
    """
    chosen = set(onsets)
    while len(chosen) > wanted:
        chosen.remove(min(chosen, key=lambda step: (_strength(step), -step)))
    while len(chosen) < min(wanted, steps):
        free = [step for step in range(steps) if step not in chosen]
        chosen.add(max(free, key=lambda step: (_strength(step), min((abs(step - c) for c in chosen), default=0))))
    return sorted(chosen)


def _strength(step: int) -> int:
    """How strong a step of the bar is: the largest power of two that divides it, 16 on the bar line."""
    return min(16, step & -step) if step else 16


def _with_locked(bars: Bars, lock: Lock, kind: str) -> Bars:
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
