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

from bridge.model.nets.config import TRIO_PARTS, ModelConfig
from bridge.model.playing.framing import Frame, to_windows
from bridge.music.grids import DRUM_CLASS_OF_PITCH, PITCHES, Ints
from bridge.music.harmony import bound
from bridge.music.locking import Lock, with_locked
from bridge.music.notes import (
    STEP_BEATS,
    Bars,
    Note,
    in_order,
    octave_within_midi,
    repeated_to,
    step_of,
)

FORBIDDEN = -1e9
_Group = list[Note]


@dataclass(frozen=True, slots=True)
class Hold:
    """New bars keep the `rhythm` (onsets and durations) or the `pitch`es, in their order, of `bars`."""

    what: Literal["rhythm", "pitch"]
    bars: Bars


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
    return bars if lock is None else with_locked(bars, lock, kind)


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
