"""Keys and chords: what the contract's names mean, and what notes say of the key and the harmony they are in.

Pure Python: the session reads it too. Pitch classes are 0-11, 0 is C; a key's or chord's pitch classes are those that
sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from bridge.music.notes import DRUM_PART, Bars, Note, in_order

#: Degrees of each mode above its tonic, in semitones, in the contract's order.
MODES: Final[dict[str, tuple[int, ...]]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
    "harmonic_minor": (0, 2, 3, 5, 7, 8, 11),
    "melodic_minor": (0, 2, 3, 5, 7, 9, 11),
    "pentatonic_major": (0, 2, 4, 7, 9),
    "pentatonic_minor": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "chromatic": tuple(range(12)),
}
#: Notes of each quality of chord above its root, in semitones, in the contract's order.
CHORDS: Final[dict[str, tuple[int, ...]]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
}
_TONIC_WEIGHT = 0.10  # what the tonic and its fifth count beyond being in the scale, when a key is looked for
_FIFTH_WEIGHT = 0.05
_AWAY_WEIGHT = 0.004  # a semitone of transposition costs as much as this share of the notes outside
_STAY_WEIGHT = 0.06
_HALF_BAR_BEATS = 2.0
_AS_WELL = 0.01  # so small a share of the notes says nothing for one scale and against another
_TRIADS = ("maj", "min", "dim")
_ROOT_WEIGHT = 0.35
_DIM_COST = 0.25


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord that begins at `beat` of its loop; root 0-11, `quality` one of `CHORDS`."""

    beat: float
    root: int
    quality: str

    @property
    def classes(self) -> frozenset[int]:
        """Its pitch classes."""
        return frozenset((self.root + step) % 12 for step in CHORDS[self.quality])


@dataclass(frozen=True, slots=True)
class ChordLoop:
    """Chords in order of their beats, going round every `length` beats."""

    chords: tuple[Chord, ...]
    length: float

    def at(self, beat: float) -> Chord:
        """The chord at a beat: the last that has begun; before the first, the last one still sounds."""
        place = beat % self.length
        begun = [chord for chord in self.chords if chord.beat <= place + 1e-6]
        return begun[-1] if begun else self.chords[-1]


@cache
def scale_of(tonic: int, mode: str) -> frozenset[int]:
    """The pitch classes of a key."""
    return frozenset((tonic + degree) % 12 for degree in MODES[mode])


def class_weights(notes: Iterable[Note]) -> list[float]:
    """For how many beats each of the twelve pitch classes sounds; drums of a trio do not count."""
    weights = [0.0] * 12
    for note in notes:
        if note.part != DRUM_PART:
            weights[note.pitch % 12] += note.duration
    return weights


def best_scale(weights: Sequence[float], mode: str) -> frozenset[int]:
    """The scale of a mode that holds most of what has these weights (12,)."""
    return max((scale_of(tonic, mode) for tonic in range(12)), key=lambda scale: sum(weights[c] for c in scale))


def fitting_classes(weights: Sequence[float], mode: str) -> frozenset[int]:
    """The pitch classes of all scales of a mode that hold what has these weights (12,) as well as the best one does: of
    few notes it isn't known which of several they are in.
    """
    scales = [scale_of(tonic, mode) for tonic in range(12)]
    held = [sum(weights[c] for c in scale) for scale in scales]
    least = max(held) - _AS_WELL * sum(weights)
    return frozenset[int]().union(*(scale for scale, inside in zip(scales, held, strict=True) if inside >= least))


def tonic_of(bars: Bars, mode: str) -> int | None:
    """The tonic at which `mode` holds the notes best, the tonic and its fifth counting a little more; None without
    notes.
    """
    weights = class_weights(bars.notes)
    total = sum(weights)
    if total <= 0.0:
        return None
    last = max((note for note in bars.notes if note.part != DRUM_PART), key=lambda note: (note.end, -note.pitch))

    def score(tonic: int) -> float:
        inside = sum(weights[c] for c in scale_of(tonic, mode))
        stressed = _TONIC_WEIGHT * weights[tonic] + _FIFTH_WEIGHT * weights[(tonic + 7) % 12]
        return (inside + stressed) / total + (_FIFTH_WEIGHT if last.pitch % 12 == tonic else 0.0)

    return max(range(12), key=score)


def nearest_shift(weights: Sequence[float], classes: frozenset[int], stay: float = _STAY_WEIGHT) -> int:
    """By how many semitones (-6 to 6) to move what has these weights (12,) so that a scale holds it: the nearest way
    among those that hold it about equally well. 0 where no way holds a share of more than `stay` of it that is outside
    now: a few notes beside the key are no other key.
    """
    total = sum(weights)
    if total <= 0.0 or len(classes) == 12:
        return 0

    def score(shift: int) -> float:
        cost = _AWAY_WEIGHT * abs(shift) + stay if shift else 0.0
        return sum(weights[(c - shift) % 12] for c in classes) / total - cost

    return max(sorted(range(-6, 7), key=abs), key=score)


def snapped(pitch: int, classes: frozenset[int]) -> int:
    """The pitch (0-127) of a scale that is nearest, the lower of two."""
    for away in range(12):
        for moved in (pitch - away, pitch + away):
            if moved % 12 in classes and 0 <= moved <= 127:
                return moved
    return pitch


def bound(bars: Bars, classes: frozenset[int]) -> Bars:
    """The bars with no note outside a scale: each that is goes to the nearest inside; two that meet are one."""
    notes: dict[tuple[float, int, int], Note] = {}
    for note in bars.notes:
        pitch = note.pitch if note.part == DRUM_PART else snapped(note.pitch, classes)
        kept = notes.get((note.start, note.part, pitch))
        if kept is None or kept.duration < note.duration:
            notes[note.start, note.part, pitch] = Note(pitch, note.start, note.duration, note.velocity, note.part)
    return Bars(in_order(notes.values()), bars.length)


def harmony_of(bars: Bars, classes: frozenset[int] | None = None) -> ChordLoop | None:
    """The triads a loop implies, one every half bar; None without notes. A half bar of silence keeps the chord before.

    A chord is chosen by how much of what sounds it holds, weighted by time and by how strong the beat is that a note is
    struck on; the lowest note and the chord's root count more. `classes`: triads of this scale are preferred.
    """
    lines = [note for note in bars.notes if note.part != DRUM_PART]
    if not lines:
        return None
    chords: list[Chord] = []
    beat = 0.0
    while beat < bars.length - 1e-6:
        inside = [note for note in lines if note.start < beat + _HALF_BAR_BEATS and note.end > beat + 1e-6]
        if inside:
            root, quality = _triad(inside, beat, classes)
            chords.append(Chord(beat, root, quality))
        elif chords:
            chords.append(Chord(beat, chords[-1].root, chords[-1].quality))
        beat += _HALF_BAR_BEATS
    return ChordLoop(tuple(chords), bars.length)


def _triad(notes: Sequence[Note], beat: float, classes: frozenset[int] | None) -> tuple[int, str]:
    weights = [0.0] * 12
    for note in notes:
        first, last = max(note.start, beat), min(note.end, beat + _HALF_BAR_BEATS)
        strong = note.start <= beat + 1e-6 or note.start == int(note.start)
        weights[note.pitch % 12] += (last - first) * (2.0 if strong else 1.0)
    total = sum(weights)
    lowest = min(notes, key=lambda note: note.pitch).pitch % 12

    def score(candidate: tuple[int, str]) -> float:
        root, quality = candidate
        chord = Chord(0.0, root, quality).classes
        held = sum(weights[c] for c in chord) / total + _ROOT_WEIGHT * weights[root] / total
        held += 0.1 * (root == lowest)
        outside = 0.0 if classes is None else 0.5 * len(chord - classes)
        return held - outside - _DIM_COST * (quality == "dim")

    return max(((root, quality) for quality in _TRIADS for root in range(12)), key=score)
