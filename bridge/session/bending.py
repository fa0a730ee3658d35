"""What bends the bars of a voice, gathered for the engine: plain JSON values, by name.

| key | value |
|---|---|
| `surprise` | 0 to 1: the plainer or the bolder of several candidates |
| `key` | `{classes, binding, mode}`; classes null while the session has no key yet |
| `chords` | `{length, chords: [[beat, root, quality] …]}` |
| `follow` | `{amount, line, rhythm}`: the notes to take the harmony from, and `{bars, kicks}` to strike together with |
| `hold` | `{what, bars}`: whose rhythm or pitches are kept |
| `lock` | `{bars, spans, played, groove_seed, feel}`: notes that stay, where and how: put into what is made |
| `beside` | the same, of what was locked when the bars were asked for: what is made is made to fit it |
| `attributes`, `latents` | amounts by name, and standard deviations by index (as a word): where bars are moved to |
| `fill` | `{start}`: of a fill alone, where its bar begins in the loop |

Two kinds of it: what the knobs say now (a knob that is turned makes bars again, with the same noise), and what was so
when the bars were asked for, which their recipe keeps, so that making them again gives the same notes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bridge.music.corners import BETWEEN
from bridge.music.locking import Lock, lock_from_json, lock_to_json, with_locked
from bridge.music.metre import fitted, fitted_length
from bridge.music.notes import DRUM_PART, Bars, Note, bars_to_json, in_order
from bridge.player.voice import KEEPS_START
from bridge.session.harmony import TAKEN, chords_to_json
from bridge.session.loops import Loop, Material, Recipe, feel_from_json, feel_to_json
from bridge.session.stage import Stage
from bridge.session.voice import Voice

NOBODY = "none"
NEW_BARS = ("next", "sample", "vary")


def bend_of(stage: Stage, voice: Voice, recipe: Recipe) -> dict[str, Any]:
    """The `bend` of the job that makes this recipe's bars with the knobs as they stand. A key that is absent bends
    nothing.
    """
    if recipe.op == "fill":
        return {"fill": recipe.bend["fill"]}
    knobs = voice.knobs
    bend: dict[str, Any] = {"hold": recipe.bend["hold"]} if "hold" in recipe.bend else {}
    if "lock" in recipe.bend:
        bend["beside"] = recipe.bend["lock"]
    if recipe.op in NEW_BARS:
        bend["surprise"] = knobs.surprise
    if knobs.scale != "off":
        bend["key"] = _key_of(stage, voice, recipe)
    bend |= {name: dict(turned) for name in ("attributes", "latents") if (turned := getattr(knobs, name))}
    if stage.harmony.chords is not None and not voice.is_drums:
        bend["chords"] = chords_to_json(stage.harmony.chords)
    followed = recipe.bend.get("followed")
    if knobs.follow != NOBODY and (followed is None or followed["voice"] != knobs.follow):
        followed = followed_now(stage, voice, voice.start_beats)
    if knobs.follow != NOBODY and followed is not None:
        bend["follow"] = {"amount": knobs.follow_amount, "line": followed["line"], "rhythm": followed["rhythm"]}
    lock = _locks_joined(recipe.bend.get("lock"), locked_now(voice, recipe.beats_per_bar))
    if lock is not None:
        bend["lock"] = lock
    return bend


def recipe_of(
    stage: Stage, voice: Voice, op: str, args: Mapping[str, Any], seed: int, asked_ns: int, boundary: str = ""
) -> Recipe:
    """What a request for bars is made of when its turn has come: `next` with nothing to follow is `sample`."""
    given = None if op == "sample" else voice.to_vary if op == "vary" else voice.newest
    material = () if given is None else (given,)
    what = "sample" if op == "next" and not material else op
    bend = kept_bend(stage, voice, start_expected(stage, voice, asked_ns, boundary))
    bars, amount = args.get("bars", 0), args.get("amount", 0.0)
    return Recipe(what, voice.model, material, bars, stage.clock.bar_beats, amount, seed, bend)


def _key_of(stage: Stage, voice: Voice, recipe: Recipe) -> dict[str, Any]:
    """The key that binds: one that was asked for, else the recipe's (a jam's answers are in the key of who plays), else
    the one that was taken. Not those that it was taken from: made again in it, what fits two keys would come in the
    other one, a fourth away.
    """
    harmony, classes = stage.harmony, stage.harmony.classes
    if harmony.tonic == TAKEN and "key" in recipe.bend:
        return {**recipe.bend["key"], "binding": voice.knobs.scale}
    own = harmony.tonic == TAKEN and harmony.source == voice.name
    if own and recipe.op in BETWEEN and voice.knobs.scale == "soft":
        classes = None  # what lies between its own loops leans on them, not on the key of one of them
    if own and harmony.giver == giver_of(voice, recipe):
        classes = None
    return {"classes": classes, "binding": voice.knobs.scale, "mode": harmony.mode}


def giver_of(voice: Voice, recipe: Recipe) -> list[str | int]:
    """What tells a recipe from the others that the session's key may have been taken from, in plain JSON values."""
    return [voice.name, recipe.op, recipe.seed]


def kept_bend(stage: Stage, voice: Voice, start_beats: float) -> dict[str, Any]:
    """What a recipe keeps of the moment its bars are asked for; they will begin at `start_beats` (-1: not known)."""
    kept: dict[str, Any] = {}
    present = voice.newest
    if voice.present is not None:
        present = None if voice.is_foreign(voice.present) else Material(voice.present.bars, voice.present.bar_beats)
    if voice.knobs.hold != "none" and present is not None:
        held = fitted(present.bars, present.bar_beats, stage.clock.bar_beats)
        kept["hold"] = {"what": voice.knobs.hold, "bars": bars_to_json(held)}
    if voice.knobs.follow != NOBODY:
        followed = followed_now(stage, voice, start_beats)
        if followed is not None:
            kept["followed"] = followed
    lock = locked_now(voice, stage.clock.bar_beats)
    if lock is not None:
        kept["lock"] = lock
    return kept


# -- locked bars -----------------------------------------------------------------------------------------------------


def locked_now(voice: Voice, bar_beats: float) -> dict[str, Any] | None:
    """The locked bars of the present loop, as `lock_of` has them, and how they are played."""
    loop = voice.present
    lock = None if loop is None else lock_of(voice, loop, bar_beats)
    if loop is None or lock is None:
        return None
    return lock_to_json(lock) | {"groove_seed": loop.groove_seed, "feel": feel_to_json(loop.feel)}


def lock_of(voice: Voice, loop: Loop, bar_beats: float) -> Lock | None:
    """The locked bars of a loop, fitted to bars of `bar_beats`, with no other notes than theirs: those that were heard
    to belong there when they were locked. None where none is.
    """
    length = fitted_length(loop.bars.length, loop.bar_beats, bar_beats)
    bars = [bar for bar in voice.knobs.locked if (bar + 1) * bar_beats <= length + 1e-6]
    if not bars or voice.is_foreign(loop):
        return None
    lock = loop.locked(bars, voice.knobs.groove()).with_its_notes()
    if length == loop.bars.length:
        return lock
    placed = []  # which bar a note is of is known before they are cut, and heard so
    for note, own in zip(lock.bars.notes, lock.owners(lock.bars), strict=True):
        place = note.start if own is None else own[1].place_of(note.start, loop.bars.length)
        is_on_grid = own is not None and own[1].quantize == 1.0
        placed.append((replace(note, start=place) if is_on_grid else note, place))
    placed.sort(key=lambda each: each[0].start)
    own_bars = Bars(tuple(note for note, _ in placed), loop.bars.length)
    fit = fitted(own_bars, loop.bar_beats, bar_beats, [place for _, place in placed])
    return replace(lock.in_bars_of(bar_beats, loop.bar_beats), bars=fit).with_its_notes()


def with_lock(loop: Loop, locked: dict[str, Any], kind: str) -> Loop:
    """A loop with what `locked_now` gave, played as that is. `kind`: drums, or with parts as a trio has them."""
    lock = lock_from_json(locked)
    there = [(round(span[0] / loop.bar_beats), played) for span, played in lock if span[1] <= loop.bars.length + 1e-6]
    made = replace(
        loop, bars=with_locked(loop.bars, lock, kind), groove_seed=locked["groove_seed"],
        unmoved=None if loop.unmoved is None else with_locked(loop.unmoved, lock, kind),
        feel=feel_from_json(locked["feel"]),
    )  # fmt: skip
    return made.keeping([*there, *(own for own in loop.keeps if own[0] not in dict(there))])


def with_locks_of(voice: Voice, loop: Loop) -> Loop:
    """Bars that are still to sound, with the locked ones of the present loop, played as those are."""
    locked = locked_now(voice, loop.bar_beats)
    return loop if locked is None else with_lock(loop, locked, "drums" if voice.is_drums else "trio")


def unlock_missing(stage: Stage, voice: Voice) -> None:
    """Bars that the loop which sounds does not have are not locked any more."""
    loop = voice.sounding
    if loop is not None and voice.knobs.locked:
        bars = stage.bars_in(loop)
        voice.knobs.locked = [bar for bar in voice.knobs.locked if bar < bars]


def _locks_joined(kept: dict[str, Any] | None, now: dict[str, Any] | None) -> dict[str, Any] | None:
    """What was locked when bars were made, under what is locked now."""
    if kept is None or now is None:
        return now or kept
    newer, older = lock_from_json(now), lock_from_json(kept)
    rest = [own for own in older if own[0] not in newer.spans]
    older = Lock(older.bars, tuple(span for span, _ in rest), tuple(played for _, played in rest))
    length = max(older.bars.length, newer.bars.length)
    notes = []
    for lock in (older, newer):
        longer = length - lock.bars.length  # what leads into the first bar is at the loop's end, wherever that is
        for note, own in zip(lock.bars.notes, lock.owners(lock.bars), strict=True):
            if own is not None:
                leads = own[1].leads_round(note.start, lock.bars.length)
                notes.append(replace(note, start=note.start + longer) if leads else note)
    joined = Lock(Bars(in_order(notes), length), newer.spans + older.spans, newer.played + older.played)
    return {**now, **lock_to_json(joined)}


# -- the voice that is followed --------------------------------------------------------------------------------------


def followed_now(stage: Stage, voice: Voice, start_beats: float) -> dict[str, Any] | None:
    """What the followed voice plays, in positions of a loop that begins at `start_beats`; None while it plays nothing.

    Its pitched part gives a pitched voice the harmony and drums their kicks; its drums give the rhythm. A bass on a
    melody takes its rhythm from whatever drums there are.
    """
    lead = stage.voices.get(voice.knobs.follow)
    if lead is None or lead is voice:
        return None
    bar_beats = stage.clock.bar_beats
    line, drums = _pitched(lead, start_beats, bar_beats), _drums(lead, start_beats, bar_beats)
    if line is not None and drums is None and voice.model.startswith("bass"):
        others = (other for other in stage.voices.values() if other is not voice and other is not lead)
        drums = next((found for other in others if (found := _drums(other, start_beats, bar_beats)) is not None), None)
    rhythm = None
    if drums is not None:
        rhythm = {"bars": bars_to_json(drums), "kicks": True}
    elif line is not None and voice.is_drums:
        rhythm = {"bars": bars_to_json(line), "kicks": False}
    if line is None and rhythm is None:
        return None
    harmony = None if line is None or voice.is_drums else bars_to_json(line)
    return {"voice": lead.name, "line": harmony, "rhythm": rhythm}


def _pitched(lead: Voice, start_beats: float, bar_beats: float) -> Bars | None:
    return _part_of(
        lead, start_beats, bar_beats, lambda part, drums: not drums and part != DRUM_PART, lead.knobs.transpose
    )


def _drums(lead: Voice, start_beats: float, bar_beats: float) -> Bars | None:
    return _part_of(lead, start_beats, bar_beats, lambda part, drums: drums or part == DRUM_PART, 0)


def _part_of(
    lead: Voice, start_beats: float, bar_beats: float, wanted: Callable[[int, bool], bool], semitones: int
) -> Bars | None:
    """The notes that are `wanted`, by their part and whether their loop is one of drums."""
    loop, lead_start = _heard_from(lead, start_beats)
    if loop is None:
        return None
    drums = lead.has_drums(loop)
    bars = fitted(loop.bars, loop.bar_beats, bar_beats)
    length = bars.length
    away = 0.0 if min(lead_start, start_beats) < 0 else (start_beats - lead_start) % length
    notes = [
        Note(max(0, min(127, n.pitch + semitones)), (n.start - away) % length, n.duration, n.velocity, 0)
        for n in bars.notes
        if wanted(n.part, drums)
    ]
    return Bars(in_order(notes), length) if notes else None


def _heard_from(lead: Voice, start_beats: float) -> tuple[Loop | None, float]:
    """The loop of a voice that sounds at a beat, and where it begins: bars that wait take over at their start."""
    if lead.pending is not None:
        handed = lead.handed.get(lead.pending.id)
        starts = -1.0 if handed is None else handed.start_beats
        if lead.sounding is None or 0 <= starts <= start_beats:
            return lead.pending, starts
    return lead.sounding, lead.start_beats


def start_expected(stage: Stage, voice: Voice, arrival_ns: int, boundary: str = "") -> float:
    """Where position 0 of bars that were asked for at a moment will fall, in beats; 0 while the clock stands."""
    clock, launch = stage.clock, boundary or voice.knobs.launch
    if not clock.running:
        return 0.0
    beat, sounding = clock.beat_at(arrival_ns), voice.sounding
    if launch in KEEPS_START:
        return clock.bar_line_at_or_before(beat) if sounding is None else voice.start_beats
    if launch == "loop" and sounding is not None:
        length = stage.length_of(sounding)
        return voice.start_beats + math.ceil((beat - voice.start_beats) / length - 1e-9) * length
    return clock.bar_line_at_or_after(beat)
