"""The `bend` of a job, as the model's steering. `bridge.session.bending` says what its keys are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bridge.model.nets.compiled import CompiledModel
from bridge.model.playing.keeping import Hold, finished
from bridge.model.playing.leaning import Lean
from bridge.model.playing.shaping import Shape, shape_of
from bridge.model.playing.steering import Steering
from bridge.music.grids import DRUM_CLASS_OF_PITCH, KICK
from bridge.music.harmony import Chord, ChordLoop, best_scale, class_weights, harmony_of
from bridge.music.locking import Lock, lock_from_json
from bridge.music.notes import STEP_BEATS, Bars, bars_from_json, step_of

_CHORDS_AMOUNT = 1.0  # how firmly a chord loop of the session is leant on


def steering_of(model: CompiledModel, bend: Mapping[str, Any]) -> Steering:
    """How the model is to be steered for what `bridge.session.bending` gathered, as bars are made: locks that are newer
    than they are would make others of them, however little a knob is turned (see `with_locks`).
    """
    key = bend.get("key")
    classes = None if key is None or key["classes"] is None else frozenset(key["classes"])
    hold = bend.get("hold")
    return Steering(
        pitch_classes=classes,
        binding="off" if key is None else key["binding"],
        mode="major" if key is None else key["mode"],
        lean=_lean(bend, None if model.config.part == "drums" else bend.get("chords"), classes),
        hold=None if hold is None else Hold(hold["what"], bars_from_json(hold["bars"])),
        lock=_lock(bend.get("beside")),
        surprise=bend.get("surprise"),
    )


def with_locks(steering: Steering, bend: Mapping[str, Any]) -> Steering:
    """The steering with all that is locked: for what becomes of bars once they are made."""
    return replace(steering, lock=_lock(bend.get("lock")))


def _lock(lock: Mapping[str, Any] | None) -> Lock | None:
    return None if lock is None else lock_from_json(lock)


def shape_in(model: CompiledModel, bend: Mapping[str, Any]) -> Shape:
    """Where the attribute and latent knobs stand, as far as the model has what they turn."""
    config = model.config
    attributes, latents = bend.get("attributes", {}), bend.get("latents", {})
    return shape_of(
        {name: amount for name, amount in attributes.items() if name in config.attributes},
        {int(index): value for index, value in latents.items() if int(index) < config.latent_ways},
    )


def _lean(bend: Mapping[str, Any], chords: Mapping[str, Any] | None, classes: frozenset[int] | None) -> Lean | None:
    follow = bend.get("follow")
    if chords is None and follow is None:
        return None
    lean = Lean()
    if follow is not None and follow["line"] is not None:
        lean = Lean(harmony_of(bars_from_json(follow["line"]), classes), follow["amount"])
    if chords is not None:
        loop = ChordLoop(tuple(Chord(*row) for row in chords["chords"]), chords["length"])
        lean = Lean(loop, _CHORDS_AMOUNT)
    if follow is None or follow["rhythm"] is None:
        return lean
    rhythm = follow["rhythm"]
    bars = bars_from_json(rhythm["bars"])
    steps = max(1, round(bars.length / STEP_BEATS))
    struck = [note for note in bars.notes if not rhythm["kicks"] or DRUM_CLASS_OF_PITCH.get(note.pitch) == KICK]
    onsets = frozenset(step_of(note.start) % steps for note in struck)
    return Lean(lean.harmony, lean.harmony_amount, onsets, steps if onsets else 0, follow["amount"])


def kept_exactly(bars: Bars, steering: Steering, kind: str, *, verbatim: bool) -> Bars:
    """The bars a job has made, with what is held and locked put back exactly and nothing outside a key that binds
    hard; `verbatim` bars (a stored corner) are bound to nothing but what is locked.
    """
    scale = None
    if steering.binding == "hard" and not verbatim:
        scale = steering.pitch_classes
        if scale is None and bars.notes:
            scale = best_scale(class_weights(bars.notes), steering.mode)
    return finished(bars, None if verbatim else steering.hold, steering.lock, scale, kind)
