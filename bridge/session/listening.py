"""What was played at the MIDI input lately, and the phrases that a jamming voice makes of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bridge import limits
from bridge.messages import HeardRow
from bridge.music.answering import Played, drum_phrase_of, phrase_of
from bridge.music.feel import STRAIGHT, Feel, feel_of
from bridge.music.notes import DRUM_CHANNEL, DRUM_PART, STEP_BEATS, Bars, in_order
from bridge.session.voice import Voice

PICK_UP_BEATS: Final = 0.25
"""What is played up to a sixteenth before a bar line belongs to the bar that begins there."""
_ONSETS_KEPT: Final = 48


class Listening:
    """The notes of the last bars, in absolute beats, whoever they are for."""

    def __init__(self) -> None:
        """Nothing heard yet."""
        self._notes: dict[tuple[int, int, float], Played] = {}

    def hear(self, rows: Iterable[HeardRow]) -> list[Played]:
        """Take in what the player tells; the notes that somebody has begun."""
        begun = []
        for pitch, velocity, channel, start_beats, duration_beats, ours in rows:
            key = (channel, pitch, start_beats)
            end_beats = math.inf if duration_beats < 0 else start_beats + duration_beats
            note = Played(pitch, velocity, channel, start_beats, end_beats, ours)
            if key not in self._notes and not ours:
                begun.append(note)
            self._notes[key] = note
            oldest = next(iter(self._notes.values()))
            if len(self._notes) > limits.MAX_HEARD_NOTES or start_beats - oldest.start_beats > limits.MAX_LOOP_BEATS:
                del self._notes[next(iter(self._notes))]
        return begun

    def forget(self) -> None:
        """The clock has stopped or leapt: what was played belongs to no bars any more."""
        self._notes.clear()

    def between(self, voice: Voice, from_beats: float, to_beats: float) -> list[Played]:
        """The notes for a voice that began there, a pick-up included; not what was meant for the bar after: what lies
        nearer to it than to the last step of the voice's grid, or, of drums, which keep their timing, of sixteenths. No
        grid makes that more than the pick-up that is heard there.
        """
        first, grid_beats = from_beats - PICK_UP_BEATS, 1.0 / voice.knobs.groove().steps_per_beat

        def is_inside(note: Played) -> bool:
            step_beats = STEP_BEATS if _is_heard_as_drum(voice, note) else grid_beats
            return first <= note.start_beats < to_beats - min(0.5 * step_beats, PICK_UP_BEATS)

        notes = [note for note in self._notes.values() if is_inside(note) and hears(voice, note)]
        if voice.is_drums and any(note.channel == DRUM_CHANNEL for note in notes):
            return [note for note in notes if note.channel == DRUM_CHANNEL]
        return notes


def _is_heard_as_drum(voice: Voice, note: Played) -> bool:
    """Whether a note that a voice hears is of its drums: a trio has some, and lines beside them."""
    return voice.is_drums or (len(voice.channels) > 1 and note.channel == DRUM_CHANNEL)


def hears(voice: Voice, note: Played) -> bool:
    """Whether a note is for a voice: one channel where the config names it, else all, but drums only for drums. What
    is looped back to us is for nobody; but a voice that follows and has arrived sounds like one that is looped back.
    """
    if note.ours and (note.ours != voice.name or voice.jam != "follow"):
        return False
    if voice.listen:
        return note.channel == voice.listen - 1
    return voice.is_drums or len(voice.channels) > 1 or note.channel != DRUM_CHANNEL


@dataclass(frozen=True, slots=True)
class Phrase:
    """What somebody played in some bars: straight notes for the models, and the feel that was taken off them."""

    bars: Bars
    feel: Feel = STRAIGHT


class Phrases:
    """Makes phrases for one voice; the feel is judged by the last phrases together."""

    def __init__(self, voice: Voice, listening: Listening) -> None:
        """`listening` is shared by all voices."""
        self._voice = voice
        self._listening = listening
        self._onsets: deque[float] = deque(maxlen=_ONSETS_KEPT)

    def heard(self, from_beats: float, to_beats: float) -> Phrase:
        """The phrase that was played there, up to now; without notes where nothing was."""
        notes = self._listening.between(self._voice, from_beats, to_beats)
        return self._phrase(notes, from_beats, to_beats - from_beats)

    def remember(self, from_beats: float, to_beats: float) -> None:
        """The phrase is over: the next ones' feel is judged with it."""
        notes = self._listening.between(self._voice, from_beats, to_beats)
        self._onsets.extend(note.start_beats - from_beats for note in notes)

    def _phrase(self, notes: Sequence[Played], from_beats: float, length_beats: float) -> Phrase:
        voice = self._voice
        if voice.is_drums:
            return Phrase(drum_phrase_of(notes, from_beats, length_beats))
        grid = voice.knobs.groove()
        feel = feel_of([*self._onsets, *(note.start_beats - from_beats for note in notes)], grid)
        if len(voice.channels) == 1:
            return Phrase(phrase_of(notes, from_beats, length_beats, grid, feel), feel)
        drums = [note for note in notes if _is_heard_as_drum(voice, note)]
        line = [note for note in notes if not _is_heard_as_drum(voice, note)]
        parts = (
            phrase_of(line, from_beats, length_beats, grid, feel),
            drum_phrase_of(drums, from_beats, length_beats, DRUM_PART),
        )
        return Phrase(Bars(in_order(note for bars in parts for note in bars.notes), length_beats), feel)
