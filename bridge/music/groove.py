"""Groove: a voice's plain bars as they will sound. Pure, and always from the plain bars, never from its own result.

The order is fixed: quantise, swing, humanise, gate, repair. Notes are never lost: one that quantising moves onto the
loop's end belongs to its beginning, and where two meet on one key, or on one line, they are set a tick apart.

Humanise at 1 moves onsets by 10 ms (one standard deviation, at 120 BPM; 0.02 beats at any tempo), at most by 35 ms, a
quarter of a grid step, or nearly half the way to a neighbour, whichever is least; and velocities by 3.5, at most 12.

Until `warm_up` has brought the compiled kernels in, their plain twins do the work, with the same result.
"""

from __future__ import annotations

import itertools
import logging
import math
import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.limits import MIN_NOTE_BEATS, TICKS_PER_BEAT
from bridge.music import kernels_plain
from bridge.music.groove_settings import GrooveSettings
from bridge.music.harmony import snapped
from bridge.music.kernel_cache import discard_cache
from bridge.music.notes import DRUM_PART, Bars, Note, in_order, octave_within_midi

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOG = logging.getLogger(__name__)
#: Half the sum of two triangular noises has a standard deviation of its range over the root of 12: 0.02 beats here.
_TIMING_RANGE_BEATS: Final = 0.02 * math.sqrt(12.0)
_VELOCITY_RANGE: Final = 12.0
_CLIP_STEPS: Final = 0.25
#: What a cache that was cut short shows as: a pickle that does not load, or machine code that does not.
_DAMAGE: Final = (pickle.UnpicklingError, EOFError, OSError, ValueError, TypeError, LookupError, RuntimeError)
_TOUCH_BEATS: Final = MIN_NOTE_BEATS / 2  # two notes of a line that are nearer than this are played legato


class _Kernels(Protocol):
    """What `kernels` and `kernels_plain` both are."""

    def quantize(self, start_beats: Floats, steps_per_beat: int, strength: float, /) -> Floats: ...

    def swing(self, beats: Floats, steps_per_beat: int, share: float, length_beats: float, /) -> Floats: ...

    def humanize(
        self,
        start_beats: Floats,
        velocities: Ints,
        lines: Ints,
        onset_keys: Ints,
        note_keys: Ints,
        seed: int,
        timing_beats: float,
        clip_beats: float,
        velocity_range: float,
        length_beats: float,
        /,
    ) -> tuple[Floats, Ints]: ...

    def repair(
        self,
        start_beats: Floats,
        duration_beats: Floats,
        lines: Ints,
        tied: Ints,
        length_beats: float,
        least_beats: float,
        /,
    ) -> tuple[Floats, Floats]: ...

    def played_onset(
        self,
        onset_beats: float,
        steps_per_beat: int,
        strength: float,
        share: float,
        latency_beats: float,
        earliest_beats: float,
        /,
    ) -> float: ...


_kernels: _Kernels = kernels_plain


def warm_up() -> bool:
    """Bring the compiled kernels in (seconds the first time ever, half a second after): True when they are.

    Thread: any, once at the start; `apply_groove` works before, during and after. Files of the cache that
    were cut short (a full disk, a power failure) are made anew. Where numba cannot work at all, the plain twins go on
    and the log says so.
    """
    global _kernels  # noqa: PLW0603 - the one switch of this module, thrown once
    for attempt in ("kept", "fresh"):
        try:
            from bridge.music import kernels
        except ImportError as fault:
            _LOG.warning("groove: no compiled kernels, the plain ones stay: %s", fault)
            return False
        except _DAMAGE as fault:
            _LOG.warning("groove: the %s compiled kernels cannot be read: %r", attempt, fault)
            discard_cache()
        else:
            _kernels = kernels
            return True
    return False


def apply_groove(bars: Bars, settings: GrooveSettings, seed: int, drums: bool) -> Bars:
    """`bars` as they will sound with these knobs: as many notes, each start in [0, length), each end within the loop.

    - `quantize` moves onsets and keeps durations; at 0 micro-timing stays as it is.
    - `swing` bends time between grid points, so ends swing too and what was legato stays legato.
    - `humanize` depends on `seed` and on the plain note alone, not on which other notes there are.
    - `transpose`: a note pushed out of 0-127 comes back by octaves. Drums (`drums`, and part 2 of a trio) stay: their
      pitches are instruments.
    - `gate` makes notes shorter or longer than they are written, drums not; the next note of a line ends one before.
    - `velocity` scales, then clips to 1-127: factor 0 gives 1, since velocity 0 would be a note-off in MIDI.
    - Notes of one pitch and part never overlap; a part that is one line in the plain bars stays one line.

    On-grid notes that do not overlap come back bit by bit with quantize 1, swing 50, humanize 0.
    """
    return Bars(in_order(played_notes(bars, settings, seed, drums)), bars.length) if bars.notes else bars


def played_notes(bars: Bars, settings: GrooveSettings, seed: int, drums: bool) -> list[Note]:
    """The notes of `apply_groove` in the order of those that they are in plain bars."""
    if not bars.notes:
        return []
    plain = in_order(bars.notes)
    steps, length = settings.steps_per_beat, bars.length
    starts = np.array([note.start for note in plain], dtype=np.float64)
    durations = np.array([note.duration for note in plain], dtype=np.float64)
    velocities = np.array([note.velocity for note in plain], dtype=np.int64)
    pitches = [_transposed(note, settings, length, drums) for note in plain]
    lines, tied = _lines(plain, pitches, drums)

    starts = _kernels.quantize(starts, steps, settings.quantize)
    wrapped = starts >= length
    starts[wrapped] = 0.0
    if settings.swings:
        share = settings.swing / 100.0
        ends = _kernels.swing(starts + durations, settings.swing_steps, share, length)
        starts = _kernels.swing(starts, settings.swing_steps, share, length)
        durations = ends - starts
    order = np.lexsort((~wrapped, starts))  # round the loop, what came over the end is before what was there
    starts, durations, velocities = starts[order], durations[order], velocities[order]
    if settings.humanize > 0.0:
        starts, velocities = _humanized(plain, lines, order, starts, velocities, settings, seed, length)
        again = np.argsort(starts, kind="stable")
        order, starts, durations, velocities = order[again], starts[again], durations[again], velocities[again]
    if settings.length_factor != 1.0:
        gated = np.array([not drums and note.part != DRUM_PART for note in plain])
        durations = np.where(gated[order], durations * settings.length_factor, durations)
        if settings.length_factor < 1.0:
            tied = np.where(gated, 0, tied)
    starts, durations = _kernels.repair(starts, durations, lines[order], tied[order], length, MIN_NOTE_BEATS)
    loud = np.clip(np.floor(velocities * settings.velocity + 0.5), 1, 127).astype(np.int64)
    columns = zip(order.tolist(), starts.tolist(), durations.tolist(), loud.tolist(), strict=True)
    return [Note(pitches[i], s, d, v, plain[i].part) for i, s, d, v in sorted(columns)]


def place_played(
    onset_beats: float,
    settings: GrooveSettings,
    *,
    latency_beats: float = 0.0,
    earliest_beats: float = -math.inf,
) -> float:
    """Where a note that was just played at `onset_beats` belongs under these knobs, in beats; may be before 0.

    `latency_beats` is taken off first. With `earliest_beats` (now, plus what it takes to send), the answer is never
    before that: a note whose grid point is past goes towards the next one, and with quantize 0 sounds at once.
    """
    share = settings.swing / 100.0
    return _kernels.played_onset(
        onset_beats, settings.steps_per_beat, settings.quantize, share, latency_beats, earliest_beats
    )


def _humanized(
    plain: Sequence[Note],
    lines: Ints,
    order: NDArray[np.int64],
    starts: Floats,
    velocities: Ints,
    settings: GrooveSettings,
    seed: int,
    length_beats: float,
) -> tuple[Floats, Ints]:
    """Noise is drawn by what a plain note is (tick, pitch, part), so a morph that adds one leaves the others alone."""
    ticks = np.array([round(note.start * TICKS_PER_BEAT) for note in plain], dtype=np.int64)[order]
    names = np.array([note.pitch + 128 * note.part for note in plain], dtype=np.int64)[order]
    return _kernels.humanize(
        starts,
        velocities,
        lines[order],
        ticks,
        ticks * 512 + names,
        seed & 0xFFFFFFFF,
        settings.humanize * _TIMING_RANGE_BEATS,
        _CLIP_STEPS / settings.steps_per_beat,
        settings.humanize * _VELOCITY_RANGE,
        length_beats,
    )


def _transposed(note: Note, settings: GrooveSettings, length_beats: float, drums: bool) -> int:
    if drums or note.part == DRUM_PART or not (settings.transpose or settings.binds_all):
        return note.pitch
    pitch = octave_within_midi(note.pitch + settings.transpose)
    if settings.scale is None or settings.spares(note.start, length_beats):
        return pitch
    return snapped(pitch, settings.scale)


def bound_as_played(note: Note, settings: GrooveSettings, length_beats: float) -> Note:
    """A plain note of a line, of a loop of that length, as these knobs bind it to their scale, less their
    transposition.
    """
    free = _transposed(note, replace(settings, scale=None), length_beats, drums=False)
    moved = note.pitch + _transposed(note, settings, length_beats, drums=False) - free
    return replace(note, pitch=moved) if 0 <= moved <= 127 else note


def _lines(plain: Sequence[Note], pitches: Sequence[int], drums: bool) -> tuple[Ints, Ints]:
    """For each note the line that it may not overlap with, and whether it lasts until the next of its line.

    A line is a whole part where the plain bars never have two of its notes at once, else one key of it.
    """
    lines = np.array([128 * note.part + pitch for note, pitch in zip(plain, pitches, strict=True)], dtype=np.int64)
    tied = np.zeros(len(plain), dtype=np.int64)
    for part in {note.part for note in plain}:
        members = [index for index, note in enumerate(plain) if note.part == part]
        pairs = list(itertools.pairwise(members))
        gaps = [plain[after].start - plain[before].end for before, after in pairs]
        if drums or part == DRUM_PART or any(gap < -_TOUCH_BEATS for gap in gaps):
            continue
        lines[members] = 128 * part
        for (before, _), gap in zip(pairs, gaps, strict=True):
            tied[before] = abs(gap) < _TOUCH_BEATS
    return lines, tied
