"""MIDI files as the models hear them: the notes of a part in whole bars, and what a file that is made of them keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bridge import limits
from bridge.model.data.corpus import COMMON_TIME
from bridge.model.nets.config import ModelConfig, Part
from bridge.model.reporting.held_out import grid_tokens
from bridge.music.grids import LOWEST_PITCH, PITCHES, TOP_PITCH
from bridge.music.midi_files import MidiFileError, MidiScore, MidiTrack, read_midi
from bridge.music.notes import BEATS_PER_BAR, STEP_BEATS, STEPS_PER_BAR, Bars, Note, cut, in_order, step_of
from bridge.music.roles import by_general_midi

#: Rests at the end of a file belong to it as far as they close a phrase of so many bars.
_PHRASE_BARS = 4
#: A note that ends so little after a bar line ends at it: half a step, which no model reads.
_LATE_BEATS = STEP_BEATS / 2
#: Beats are sums of ticks: what is nearer than this is the same.
_SAME_BEATS = 1e-6


@dataclass(frozen=True, slots=True)
class Source:
    """A file as a model hears it: the notes of its part in whole bars, its tempos, (beat, BPM) in order, its metres
    (numerator, denominator) in order, 4/4 or 2/2, and the program of each of the model's parts that has one.
    """

    bars: Bars
    tempos: tuple[tuple[float, float], ...]
    metres: tuple[tuple[int, int], ...]
    programs: Mapping[int, int]

    @property
    def at_its_start(self) -> Source:
        """With the tempo and metre that it begins in alone."""
        return replace(self, tempos=self.tempos[:1], metres=self.metres[:1])

    @property
    def at_its_end(self) -> Source:
        """With the tempo and metre that it ends in alone."""
        return replace(self, tempos=self.tempos[-1:], metres=self.metres[-1:])


def source_of(path: Path, config: ModelConfig) -> Source:
    """The notes of a file's tracks that play a model's part, in whole bars of four beats, and what goes with them.

    A file is as long as its notes, and the rests after them where these close a phrase of four bars. Silence that
    reaches on behind that is where a sequencer ended its tracks: the bars that come next follow the music.

    Raises:
        MidiFileError: not a MIDI file, not in 4/4, no such part in it or none of it in range, or longer than 1024 bars.
    """
    score = read_midi(path)
    _refuse_other_metres(path, score)
    parts = config.parts
    notes: list[Note] = []
    programs: dict[int, int] = {}
    for index, part in enumerate(parts):
        tracks = _tracks_of(score, part, alone=len(parts) == 1)
        given = [track.program for track in tracks if track.has_program]
        programs |= {index: given[0]} if given else {}
        notes += [note.in_part(index) for track in tracks for note in track.notes]
    wanted = ", ".join(parts)
    if not notes:
        raise MidiFileError(f"{path}: expected notes for {wanted}, found none (drums are channel 10)")
    whole_bars = _whole_bars(notes, score.length)
    if whole_bars > limits.MAX_FILE_BARS:
        raise MidiFileError(f"{path}: expected at most {limits.MAX_FILE_BARS} bars, found {whole_bars}")
    length = float(whole_bars * BEATS_PER_BAR)
    bars = cut(Bars(in_order(notes), length), 0.0, length)
    if not any(_in_range(bars, part, index if len(parts) > 1 else None) for index, part in enumerate(parts)):
        known = "General MIDI drum sounds" if config.part == "drums" else _piano()
        raise MidiFileError(f"{path}: expected notes for {wanted} among {known}, found none")
    tempos = ((0.0, score.tempo), *score.tempo_changes)
    return Source(bars, tuple(change for change in tempos if change[0] <= length), _metres(score, length), programs)


def _metres(score: MidiScore, length: float) -> tuple[tuple[int, int], ...]:
    """The metres of a file's bars, in order; without a signature they are in 4/4."""
    found = [COMMON_TIME[0]]
    for signature in score.time_signatures:
        metre = (signature.numerator, signature.denominator)
        if metre in COMMON_TIME and signature.beat < length:
            found = [metre] if signature.beat <= _LATE_BEATS else [*found, metre]
    return tuple(found)


def _whole_bars(notes: Sequence[Note], file_beats: float) -> int:
    """How many bars a file has that ends its notes here and its tracks there."""
    heard = max(max(_bars_to(note.end), _bar_begun(note) + 1) for note in notes)
    phrase = -(-heard // _PHRASE_BARS) * _PHRASE_BARS
    return max(heard, min(_bars_to(file_beats), phrase))


def _bar_begun(note: Note) -> int:
    """The bar that a note begins in, though it be played a little before its bar line, if it rings over that."""
    bar = step_of(note.start) // STEPS_PER_BAR
    return bar if note.end > bar * BEATS_PER_BAR + _SAME_BEATS else int((note.start + _SAME_BEATS) // BEATS_PER_BAR)


def _bars_to(beat: float) -> int:
    return math.ceil((beat - _LATE_BEATS) / BEATS_PER_BAR)


def _refuse_other_metres(path: Path, score: MidiScore) -> None:
    """The models know bars of four beats: a file in another metre would come out shifted against its own bar lines, and
    so would one in which a signature begins a bar before the one that it stands in is full.
    """
    last = max(note.start for track in score.tracks for note in track.notes)
    expected = f"{path}: expected 4/4 or 2/2 throughout, found"
    for signature in score.time_signatures:
        metre = f"{signature.numerator}/{signature.denominator}"
        if signature.beat > last:
            break
        if (signature.numerator, signature.denominator) not in COMMON_TIME:
            raise MidiFileError(f"{expected} {metre} at beat {signature.beat:g}")
        into = (signature.beat + _LATE_BEATS) % BEATS_PER_BAR - _LATE_BEATS
        if into > _LATE_BEATS:
            raise MidiFileError(f"{expected} a bar of {into:g} beats before the {metre} at beat {signature.beat:g}")


def _tracks_of(score: MidiScore, part: Part, *, alone: bool) -> Sequence[MidiTrack]:
    """The tracks that play a part: all the drums, or the one line with the most notes; a model of one line alone takes
    a melody for a bass and a bass for a melody where there is nothing else.
    """
    roles = by_general_midi(score)
    tracks = roles.of(part)
    if part == "drums":
        return tracks
    if alone:
        tracks = tracks or (*roles.melody, *roles.bass)
    return sorted(tracks, key=lambda track: -len(track.notes))[:1]


def _in_range(bars: Bars, part: Part, index: int | None) -> bool:
    tokens = grid_tokens(bars, part, index)
    return bool(((tokens > 0) if part == "drums" else (tokens < PITCHES)).any())


def _piano() -> str:
    return f"MIDI pitches {LOWEST_PITCH} to {TOP_PITCH}"
