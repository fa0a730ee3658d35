"""The models that are resident, and what each operation of a job does with them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bridge.engine.bending import kept_exactly, shape_in, steering_of, with_locks
from bridge.engine_messages import Generate
from bridge.messages import NoteRow
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import UnknownModelError
from bridge.model.nets.registry import ModelFileError, load_compiled
from bridge.model.playing import generation, morphing
from bridge.model.playing.decoding import look_about
from bridge.model.playing.encoding import encode_bars
from bridge.model.playing.fills import with_fill
from bridge.model.playing.shaping import UNSHAPED, shaped
from bridge.model.playing.steering import Steering
from bridge.music.corners import BETWEEN, are_stored
from bridge.music.metre import fitted
from bridge.music.notes import BEATS_PER_BAR, Bars, bars_from_json, rows_of
from bridge.paths import folder_with

log = logging.getLogger(__name__)

_NOT_NOW = 4
_NEAR_A_CORNER = 0.15
_READY_KEPT = 32  # two for every voice there may be
_MORPHS_KEPT = 8  # one for every voice that is being morphed, and a few to come back to


@dataclass(frozen=True, slots=True)
class Made:
    """Bars as rows; `source`: where attributes or latent directions have moved them, what they were before."""

    length_beats: float
    notes: list[NoteRow]
    source: list[NoteRow] | None


class JobError(Exception):
    """A job that cannot be done, with its code of contract 3.5."""

    def __init__(self, code: int, reason: str) -> None:
        """`reason` in plain words."""
        super().__init__(reason)
        self.code = code


class Residents:
    """Every model that is loaded and warmed up, on one device."""

    def __init__(self, folder: Path, device: str, threads: int, own_models: str | None = None) -> None:
        """Models are those of `own_models` first, then of `folder`. `threads` is for torch: one never stalled a decode
        here, two on two busy cores did, for seconds.
        """
        self._folder, self._own_models = folder, own_models
        self._device = usable_device(device)
        self._models: dict[str, CompiledModel] = {}
        self._morphs: dict[Any, morphing.Morph] = {}
        self._ready: dict[str, Made] = {}
        torch.set_num_threads(threads)
        if torch.get_num_interop_threads() != 1:  # it may be set once in a process
            torch.set_num_interop_threads(1)

    def load(self, name: str) -> tuple[bool, str]:
        """Make a model resident and warm it up; whether it is ready, and what the user should know."""
        try:
            folder = folder_with(name, self._own_models, self._folder)
            model = load_compiled(name, self._device, folder)
            generation.warm_up(model)
        except (ModelFileError, UnknownModelError) as fault:
            return False, str(fault)
        except RuntimeError as fault:  # torch: out of memory, no such device
            log.exception("loading %s", name)
            return False, f"{name} cannot be loaded on {self._device}: {fault}"
        self._models[name] = model
        precision = "int8" if model.int8 else "float32"
        own = "" if folder == self._folder else f", your own from {folder}"
        return True, f"ready on {self._device} ({precision}, {torch.get_num_threads()} thread){own}"

    def make_ready(self, job: Generate) -> None:
        """Do a job that may be asked for soon, and keep what comes of it; what nobody has thought of for longest gives
        way. Whoever asks for something else before it is remembered does not wait for that, and it is not made again.

        Raises:
            JobError: as `make` does.
        """
        key = _what_counts(job)
        made = self._ready.pop(key, None) or self.make(job)
        self._ready[key] = made
        while len(self._ready) > _READY_KEPT:
            del self._ready[next(iter(self._ready))]
        look_about()
        self.remember(job, made)

    def made_ready(self, job: Generate) -> Made | None:
        """What was made for exactly this job before it was asked for."""
        return self._ready.pop(_what_counts(job), None)

    def make(self, job: Generate, early: Callable[[Made], None] | None = None) -> Made:
        """Do a job: the plain bars, moved along attributes and latent directions last, and what they were before that.
        The first of long bars that nothing moves go to `early` while the others are decoded.

        Raises:
            JobError: the model is not resident.
        """
        model = self._models.get(job.model)
        if model is None:
            raise JobError(_NOT_NOW, f"the model {job.model} is not ready")
        steering = steering_of(model, job.bend)
        keeping = with_locks(steering, job.bend)
        shape = shape_in(model, job.bend).scaled(_share_of_the_shape(job))
        at_a_corner = are_stored(job.op, job.x, job.y)
        if job.op in BETWEEN:
            y = job.y if job.op == "xy" else 0.0
            bars = fitted(self._morphed(model, job, y, steering), BEATS_PER_BAR, job.beats_per_bar)
            if at_a_corner:
                bars = morphing.at_corner(_in_bars_of(job.beats_per_bar, job), job.x, y)
        else:
            plain = shape == UNSHAPED and steering.hold is None and keeping.lock is None
            bars = _bars_for(model, job, steering, early if plain else None)
        kind = model.config.part
        source = kept_exactly(bars, keeping, kind, verbatim=at_a_corner)
        moved = shaped(model, source, shape, job.temperature, keeping)
        if moved is source:
            return _plain(source)
        return Made(source.length, rows_of(kept_exactly(moved, keeping, kind, verbatim=False)), rows_of(source))

    def _morphed(self, model: CompiledModel, job: Generate, y: float, steering: Steering) -> Bars:
        """The loop between the corners; what does not depend on the knob's place is worked out once and kept."""
        corners = _in_bars_of(BEATS_PER_BAR, job)
        if not all(corner.notes for corner in corners):
            raise JobError(_NOT_NOW, "a corner holds no notes: there is nothing to morph to")
        key = (job.model, corners, job.seed, job.temperature, json.dumps(_bend_of_a_morph(job), sort_keys=True))
        morph = self._morphs.pop(key, None)
        if morph is None:
            morph = morphing.prepare_morph(model, corners, job.seed, job.temperature, steering)
        self._morphs[key] = morph
        while len(self._morphs) > _MORPHS_KEPT:
            del self._morphs[next(iter(self._morphs))]
        return morphing.morph_at(model, morph, job.x, y)

    def remember(self, job: Generate, made: Made) -> None:
        """Work out, while nothing else waits, where these bars lie: the next request will go on from there."""
        model = self._models.get(job.model)
        notes = made.notes if made.source is None else made.source
        if model is not None and notes and job.op != "fill":
            encode_bars(model, fitted(bars_from_json([made.length_beats, notes]), job.beats_per_bar, BEATS_PER_BAR))


def _bars_for(
    model: CompiledModel,
    job: Generate,
    steering: Steering,
    early: Callable[[Made], None] | None,
) -> Bars:
    told = None if early is None else lambda begun: early(_plain(fitted(begun, BEATS_PER_BAR, job.beats_per_bar)))
    match job.op:
        case "sample":
            made = generation.sample_bars(model, job.bars, job.seed, job.temperature, steering, told)
        case "next":
            heard = _in_bars_of(BEATS_PER_BAR, job)[0]
            made = generation.continue_bars(model, heard, job.bars, job.seed, job.temperature, steering, told)
        case "fill":
            fill, loop = job.bend["fill"], _in_bars_of(job.beats_per_bar, job)[0]
            return with_fill(model, loop, fill["start"], job.beats_per_bar, job.seed, job.temperature)
        case "keep":
            return _in_bars_of(job.beats_per_bar, job)[0]
        case "vary":  # by nothing: in bars of the song's, which are not to go through others and back
            given = _in_bars_of(BEATS_PER_BAR if job.amount > 0.0 else job.beats_per_bar, job)[0]
            made = generation.vary_bars(model, given, job.amount, job.seed, job.temperature, steering)
            if job.amount <= 0.0:
                return made
        case _:
            raise JobError(_NOT_NOW, f"no operation {job.op}")
    return fitted(made, BEATS_PER_BAR, job.beats_per_bar)  # the models think in bars of four beats


def _in_bars_of(bar_beats: float, job: Generate) -> tuple[Bars, ...]:
    """The material of a job, fitted to bars of that length: the models', or the song's."""
    given = ((bars_from_json(value), value[2] if len(value) > 2 else BEATS_PER_BAR) for value in job.material)
    return tuple(fitted(bars, own, bar_beats) for bars, own in given)


def _what_counts(job: Generate) -> str:
    """All of a job that its bars are a function of."""
    values = [job.model, job.op, job.material, job.bars, job.beats_per_bar, job.amount, job.temperature, job.seed]
    return json.dumps([*values, job.bend], sort_keys=True)


def _plain(bars: Bars) -> Made:
    return Made(bars.length, rows_of(bars), None)


def _bend_of_a_morph(job: Generate) -> dict[str, Any]:
    """What bends the way between corners: attributes, latent directions and locks change what is found on it."""
    return {key: value for key, value in job.bend.items() if key not in ("attributes", "latents", "lock")}


def _share_of_the_shape(job: Generate) -> float:
    """How much attributes and latent directions count, 0 to 1: nothing at a corner, whose notes sound as they were
    stored, and all of it from a little way off; a fill goes into bars that have been moved already.
    """
    if job.op == "fill":
        return 0.0
    if job.op not in BETWEEN:
        return 1.0
    along = min(job.x, 1.0 - job.x)
    across = min(job.y, 1.0 - job.y) if job.op == "xy" else 0.0
    return min(1.0, max(along, across) / _NEAR_A_CORNER)


def usable_device(device: str) -> str:
    """The device to use: what was asked for, or the CPU where it is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(kind, 1)
    if int(number or 0) >= there:
        log.warning("engine.device %s is not there: using the CPU", device)
        return "cpu"
    return device
