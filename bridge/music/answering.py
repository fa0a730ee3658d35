"""From what somebody has played to a phrase for the models, and from what a model makes of it to an answer that fits.

Pure. A model's bars follow a phrase in the large; what a partner would notice at once (a note outside the key, another
octave, twice as many notes, another loudness) is put right here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Final

from bridge.limits import MIN_NOTE_BEATS
from bridge.music.feel import Feel, straight_length, straight_step
from bridge.music.grids import DRUM_CLASS_OF_PITCH, DRUM_PITCHES, metric_velocity
from bridge.music.groove_settings import GrooveSettings
from bridge.music.harmony import MODES, class_weights, snapped
from bridge.music.notes import DRUM_CHANNEL, DRUM_PART, STEP_BEATS, Bars, Note, in_order, octave_within_midi, step_of

#: How much each degree belongs to a key, from the tonic up (Krumhansl and Kessler 1982, probe tones).
_MAJOR: Final = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR: Final = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
#: So little less a key may suit what was played and still be the one meant: of the notes that answers to a bar of a
#: melody may use 1.1 % are outside the key that it was in, in place of 2.7 %.
_NEARLY: Final = 0.4
_PLAYED_SHARE: Final = 0.08  # a pitch class that has so much of the time belongs, whatever the key
_ROOM: Final = 5  # semitones that an answer may go beyond the phrase's lowest and highest note
_MOST_NOTES: Final = 1.5  # times as many as the phrase has
_LEAST_NOTES: Final = 0.5
_KEY_MEMORY: Final = 0.75
_STILL_INSIDE: Final = 0.8
_LOUDEST: Final = 127
_INSIDE_WEIGHT: Final = 8.0  # that a scale holds all that was played says more than which of its notes were played most


@dataclass(frozen=True, slots=True)
class Played:
    """A note as it was played: absolute beats, channel 0-15; `end_beats` infinite while it is held; `ours`: the voice
    of our own that came back this way.
    """

    pitch: int
    velocity: int
    channel: int
    start_beats: float
    end_beats: float
    ours: str = ""


def phrase_of(
    played: Iterable[Played], from_beats: float, length_beats: float, grid: GrooveSettings, feel: Feel, part: int = 0
) -> Bars:
    """What was played, on the straight grid of a line model, as a loop of `length_beats` that begins at `from_beats`.

    What came a little before the beginning belongs to it, what rounds onto the end to the last step; of several notes
    of one pitch at one step the last stays.
    """
    last = max(0, math.ceil(length_beats * grid.steps_per_beat - 1e-9) - 1)
    by_place: dict[tuple[int, int], Note] = {}
    for note in played:
        onset = note.start_beats - from_beats
        step = min(max(straight_step(onset, grid, feel), 0), last)
        start = step / grid.steps_per_beat
        duration = min(straight_length(onset, note.end_beats - from_beats, feel), length_beats - start)
        by_place[step, note.pitch] = Note(note.pitch, start, max(duration, MIN_NOTE_BEATS), note.velocity, part)
    return Bars(in_order(by_place.values()), length_beats)


def drum_phrase_of(played: Sequence[Played], from_beats: float, length_beats: float, part: int = 0) -> Bars:
    """What was played, as drums, with its own timing: drum pitches as they are; the notes of a melody by their place
    in its range: low ones on the kick, middle ones on the snare, high ones on the hat.
    """
    drums = all(note.channel == DRUM_CHANNEL or note.pitch in DRUM_CLASS_OF_PITCH for note in played)
    low = min((note.pitch for note in played), default=0)
    third = max(1.0, (max((note.pitch for note in played), default=0) - low + 1) / 3)
    notes = []
    for note in played:
        if drums and note.pitch not in DRUM_CLASS_OF_PITCH:
            continue
        pitch = note.pitch if drums else DRUM_PITCHES[min(2, int((note.pitch - low) / third))]
        start = min(max(note.start_beats - from_beats, 0.0), length_beats - MIN_NOTE_BEATS)
        notes.append(Note(pitch, start, min(STEP_BEATS / 2, length_beats - start), note.velocity, part))
    return Bars(in_order(notes), length_beats)


class KeySense:
    """The key of what is played: a memory of how long each pitch class was held, in which older phrases fade. A phrase
    that the key so far does not hold is in another: what was before it is forgotten.
    """

    def __init__(self) -> None:
        """Nothing was played."""
        self._weights = [0.0] * 12

    def hear(self, phrase: Bars) -> None:
        """One more phrase."""
        self._weights = self._with(phrase)

    def classes_with(self, phrase: Bars) -> frozenset[int]:
        """The pitch classes that belong, by all that was heard and a phrase that is still being played."""
        weights = self._with(phrase)
        total = sum(weights)
        if total == 0.0:
            return frozenset(range(12))
        played = {pitch_class for pitch_class, weight in enumerate(weights) if weight >= _PLAYED_SHARE * total}
        likely = _likely_keys(weights)
        heard = {pitch_class for pitch_class in likely[0] if weights[pitch_class] > 0.0}
        return frozenset.intersection(*likely) | heard | played

    def _with(self, phrase: Bars) -> list[float]:
        fresh = class_weights(phrase.notes)
        weights = [_KEY_MEMORY * old + new for old, new in zip(self._weights, fresh, strict=True)]
        if sum(fresh) and _share_inside(fresh, _key_of(weights)) < _STILL_INSIDE:
            return fresh
        return weights


def _key_of(weights: Sequence[float]) -> frozenset[int]:
    """The scale that holds the most of what was played; of several the one whose notes were played most."""
    return _likely_keys(weights)[0]


def _likely_keys(weights: Sequence[float]) -> list[frozenset[int]]:
    """That scale, and those that suit what was played nearly as well, the best first."""
    suits = {
        (tonic, minor): _INSIDE_WEIGHT * _share_inside(weights, _scale(tonic, minor))
        + _agreement(weights, tonic, minor)
        for minor in (False, True)
        for tonic in range(12)
    }
    best = max(suits.values())
    likely = [key for key in sorted(suits, key=lambda key: -suits[key]) if suits[key] >= best - _NEARLY]
    return [_scale(*key) for key in likely]


def _share_inside(weights: Sequence[float], classes: frozenset[int]) -> float:
    return sum(weights[pitch_class] for pitch_class in classes) / sum(weights)


def _scale(tonic: int, minor: bool) -> frozenset[int]:
    return frozenset((tonic + degree) % 12 for degree in MODES["minor" if minor else "major"])


def _agreement(weights: Sequence[float], tonic: int, minor: bool) -> float:
    """Correlation of what was played with a key's profile."""
    profile = [(_MINOR if minor else _MAJOR)[(pitch_class - tonic) % 12] for pitch_class in range(12)]
    mean_w, mean_p = fmean(weights), fmean(profile)
    pairs = [(w - mean_w, p - mean_p) for w, p in zip(weights, profile, strict=True)]
    spread = math.sqrt(sum(w * w for w, _ in pairs) * sum(p * p for _, p in pairs))
    return sum(w * p for w, p in pairs) / spread if spread else 0.0


def misfit(answer: Bars, phrase: Bars, classes: frozenset[int]) -> float:
    """How little an answer suits a phrase, before anything is put right: 0 is as one would like it. One that begins
    after its line is late by so many beats.
    """
    density = abs(math.log2((len(answer.notes) + 0.5) / (len(phrase.notes) + 0.5)))
    pitched = _pitched(answer.notes)
    outside = fmean(note.pitch % 12 not in classes for note in pitched) if pitched else 0.0
    theirs = _pitched(phrase.notes)
    apart = abs(median(n.pitch for n in pitched) - median(n.pitch for n in theirs)) if pitched and theirs else 0.0
    late = min((note.start for note in answer.notes), default=answer.length)
    return density + 2.0 * outside + apart / 12.0 + late


def put_right(answer: Bars, phrase: Bars, classes: frozenset[int], *, drums: bool, from_the_line: bool = True) -> Bars:
    """The answer in the key, the register, the density and at the loudness of the phrase, and where it is to be
    `from_the_line`, from that on.
    """
    if not answer.notes or not phrase.notes:
        return answer
    notes = _thinned(answer.notes, math.ceil(_MOST_NOTES * len(phrase.notes)))
    if from_the_line:
        notes = _from_the_line(notes)
    notes = _quoting(notes, phrase.notes, math.ceil(_LEAST_NOTES * len(phrase.notes)))
    if not drums:
        notes = _in_register([_in_key(note, classes) for note in notes], _pitched(phrase.notes))
    return Bars(in_order(_at_loudness(notes, fmean(n.velocity for n in phrase.notes))), answer.length)


def in_key(bars: Bars, classes: frozenset[int]) -> Bars:
    """The same bars with every pitched note in a key: those outside it on the nearest note of it."""
    return Bars(in_order(_in_key(note, classes) for note in bars.notes), bars.length)


def softer(bars: Bars, factor: float) -> Bars:
    """The same notes, their velocities times `factor`."""
    return Bars(tuple(replace(note, velocity=_loud(note.velocity * factor)) for note in bars.notes), bars.length)


def _at_loudness(notes: Sequence[Note], mean_velocity: float) -> list[Note]:
    """The notes as loud on average; where accents or ghost notes would leave 1-127 all stand out so much less: cut off
    there, a very soft phrase had a far louder answer.
    """
    own = fmean(note.velocity for note in notes)
    contrast = 1.0
    for note in notes:
        room = (_LOUDEST if note.velocity > own else 1) - mean_velocity
        if abs(note.velocity - own) > abs(room):
            contrast = min(contrast, room / (note.velocity - own))
    return [replace(note, velocity=_loud(mean_velocity + contrast * (note.velocity - own))) for note in notes]


def _loud(velocity: float) -> int:
    return min(_LOUDEST, max(1, round(velocity)))


def _pitched(notes: Iterable[Note]) -> list[Note]:
    return [note for note in notes if note.part != DRUM_PART]


def _thinned(notes: Sequence[Note], most: int) -> list[Note]:
    """At most so many notes: those on weak steps, and the softer of them, go first."""
    keep = sorted(notes, key=lambda n: (metric_velocity(step_of(n.start)), n.velocity), reverse=True)
    return list(in_order(keep[:most]))


def _quoting(notes: list[Note], phrase: Sequence[Note], least: int) -> list[Note]:
    """At least so many notes: where the answer says too little it quotes the phrase, on its strongest steps first."""
    free = [note for note in phrase if all(abs(note.start - own.start) >= STEP_BEATS for own in notes)]
    free.sort(key=lambda note: metric_velocity(step_of(note.start)), reverse=True)
    quoted = free[: max(0, least - len(notes))]
    if not quoted:
        return notes
    together = in_order([*notes, *quoted])
    ends = {}
    for note in together:  # nothing of a part lasts into what is struck after it
        later = [other.start for other in together if other.part == note.part and other.start > note.start]
        ends[note] = min(note.end, *later) if later else note.end
    return [replace(note, duration=ends[note] - note.start) for note in together]


def _from_the_line(notes: Sequence[Note]) -> list[Note]:
    """What is struck first is struck on the line, and lasts as long as it did, or until where it was struck."""
    first = min(note.start for note in notes)

    def moved(note: Note) -> Note:
        return replace(note, start=0.0, duration=max(note.duration, min(first, 1.0)))

    return [moved(note) if note.start == first and first > 0.0 else note for note in notes]


def _in_key(note: Note, classes: frozenset[int]) -> Note:
    return note if note.part == DRUM_PART else replace(note, pitch=snapped(note.pitch, classes))


def _in_register(notes: Sequence[Note], theirs: Sequence[Note]) -> list[Note]:
    """By octaves to where the phrase is: the whole of it first, then what still lies outside its range."""
    ours = _pitched(notes)
    if not ours or not theirs:
        return list(notes)
    octaves = round((median(n.pitch for n in theirs) - median(n.pitch for n in ours)) / 12)
    low, high = min(n.pitch for n in theirs) - _ROOM, max(n.pitch for n in theirs) + _ROOM
    moved: Mapping[Note, int] = {note: _folded(note.pitch + 12 * octaves, low, high) for note in ours}
    return [replace(note, pitch=moved.get(note, note.pitch)) for note in notes]


def _folded(pitch: int, low: int, high: int) -> int:
    while pitch < low and pitch + 12 <= high:
        pitch += 12
    while pitch > high and pitch - 12 >= low:
        pitch -= 12
    return octave_within_midi(pitch)
