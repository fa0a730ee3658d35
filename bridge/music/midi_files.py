"""MIDI files: reading them into notes in beats, and writing bars to them.

Reading never trusts the file: whatever is wrong with it comes out as one `MidiFileError` with one line of text.
Writing is atomic: the file is written beside its place and then renamed.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from bridge import whole_file
from bridge.limits import TICKS_PER_BEAT
from bridge.music.notes import PART_NAMES, Bars, Note, in_order

if TYPE_CHECKING:  # else where it is used: it is 100 ms of import, and training on indexed music does without it
    import mido

MAX_FILE_BYTES = 16 * 1024 * 1024
_MOST_TRACKS: Final = 0x7FFF  # that mido reads of a header: to it, more are fewer than none
#: The tempo of a file as long as it says none, by the standard: beats a minute.
_TEMPO_WITHOUT = 120.0


class MidiFileError(ValueError):
    """A MIDI file that cannot be read or written; the message names the file and what was expected."""


@dataclass(frozen=True, slots=True)
class MidiTrack:
    """The notes of one channel of one track of a file, with its last program before the first note: 0 too where there
    is none, which `has_program` tells.
    """

    name: str
    channel: int
    program: int
    notes: tuple[Note, ...]
    has_program: bool = False


@dataclass(frozen=True, slots=True)
class TimeSignature:
    """A time signature and the beat (quarter note from the beginning of the file) from which it holds."""

    beat: float
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class MidiScore:
    """A file as notes: one `MidiTrack` per sounding (track, channel) pair, in the order of the file.

    `tempo_changes` are (beat, BPM) after the first `tempo`, in order; `length` is the last end of a track.
    """

    tracks: tuple[MidiTrack, ...]
    time_signatures: tuple[TimeSignature, ...]
    tempo: float
    length: float
    remarks: tuple[str, ...] = ()
    tempo_changes: tuple[tuple[float, float], ...] = ()


def read_midi(path: Path, *, may_be_silent: bool = False) -> MidiScore:
    """Read a MIDI file from disk; a file without notes is one only where it `may_be_silent`.

    Raises:
        MidiFileError: not there, not MIDI, empty or corrupt.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise MidiFileError(f"{path}: expected a readable MIDI file ({error.strerror or error})") from error
    return parse_midi(data, str(path), may_be_silent=may_be_silent)


def parse_midi(data: bytes, name: str, *, may_be_silent: bool = False, every_stroke: bool = True) -> MidiScore:
    """Parse the bytes of a MIDI file; `name` is what error messages call it. Without `every_stroke`, notes with
    a note-off at their very tick are left out.

    Raises:
        MidiFileError: not MIDI, no notes in it, corrupt, or more than `MAX_FILE_BYTES` (of which nobody need read more
            than one too many).
    """
    if len(data) > MAX_FILE_BYTES:
        raise MidiFileError(f"{name}: expected a MIDI file of at most {MAX_FILE_BYTES // 1024 // 1024} MiB")
    if data[:4] not in (b"MThd", b"RIFF"):
        raise MidiFileError(f"{name}: expected a Standard MIDI File (it does not begin with MThd)")
    if data[:4] == b"RIFF":
        data = data[data.find(b"MThd") :] if b"MThd" in data[:256] else b""
    data = _header_and_tracks(data)
    import mido

    faults = (OSError, EOFError, ValueError, LookupError, TypeError, struct.error, mido.KeySignatureError)
    try:
        midi = mido.MidiFile(file=io.BytesIO(data), clip=True)
    except faults as error:
        reason = _reason(error)
        raise MidiFileError(f"{name}: expected a whole Standard MIDI File ({reason})") from error
    if midi.ticks_per_beat <= 0:
        found = "SMPTE frames" if midi.ticks_per_beat else "0"
        raise MidiFileError(f"{name}: expected time in ticks per quarter note, found {found}")
    score = _score(midi, every_stroke=every_stroke)
    if not score.tracks and not may_be_silent:
        raise MidiFileError(f"{name}: expected notes, found none")
    return score


def _reason(error: Exception) -> str:
    """What is wrong with a file that mido cannot read, for its user."""
    if isinstance(error, EOFError):
        return "it ends too early"
    inside = (LookupError, TypeError, struct.error)  # of what reads an event, about its own variables
    return "an event in it is damaged" if isinstance(error, inside) or not str(error) else str(error)


def _header_and_tracks(data: bytes) -> bytes:
    """A file without its other chunks, which the standard allows anywhere and asks to pass over. Where there are more
    tracks than its header names, it names them all: a program that counts them wrongly has written them all the same.
    """
    place = 8 + int.from_bytes(data[4:8], "big")
    head = data[:place]
    kept = [head]
    while place + 8 <= len(data) and data[place : place + 4] != b"MThd":  # another file, which has a time of its own
        end = place + 8 + int.from_bytes(data[place + 4 : place + 8], "big")
        if data[place : place + 4] == b"MTrk":
            kept.append(data[place:end])
        place = end
    named = int.from_bytes(head[10:12], "big")
    count = min(max(named, len(kept) - 1), _MOST_TRACKS)
    if count != named and len(head) >= 12:
        kept[0] = head[:10] + count.to_bytes(2, "big") + head[12:]
    return b"".join(kept)


def _score(midi: mido.MidiFile, *, every_stroke: bool) -> MidiScore:
    from mido import tempo2bpm

    per_tick = 1.0 / midi.ticks_per_beat
    tracks: list[MidiTrack] = []
    signatures: dict[float, TimeSignature] = {}
    remarks: list[str] = []
    tempos: dict[float, float] = {}
    length_ticks = 0
    offset = 0
    for track in midi.tracks:
        now = offset
        reader = _TrackReader(per_tick, every_stroke=every_stroke)
        for message in track:
            now += message.time
            kind = message.type
            if kind in ("note_on", "note_off"):
                reader.note(message.channel, message.note, message.velocity if kind == "note_on" else 0, now)
            elif kind == "program_change":
                reader.program(message.channel, message.program)
            elif kind == "time_signature":
                beat = now * per_tick
                signatures[beat] = TimeSignature(beat, message.numerator, message.denominator)
            elif kind == "set_tempo" and message.tempo > 0:
                tempos[now * per_tick] = tempo2bpm(message.tempo)
            elif kind == "text":
                remarks.append(message.text)
        tracks.extend(reader.finish(track.name, now))
        length_ticks = max(length_ticks, now)
        if midi.type == 2:  # independent patterns: one after the other
            offset = now
    if midi.type == 2:
        tracks = _one_per_channel(tracks)
    ordered = tuple(signatures[beat] for beat in sorted(signatures))
    (_, tempo), *changes = _tempos_heard(tempos, min((track.notes[0].start for track in tracks), default=0.0))
    return MidiScore(tuple(tracks), ordered, tempo, length_ticks * per_tick, tuple(remarks), tuple(changes))


def _tempos_heard(tempos: Mapping[float, float], first_note: float) -> list[tuple[float, float]]:
    """Tempos by beat, in order. Until the first the standard has 120 BPM; where nothing has sounded by then, that one
    holds from the beginning.
    """
    found = sorted(tempos.items())
    if not found or found[0][0] > first_note:
        found.insert(0, (0.0, _TEMPO_WITHOUT))
    return found


def _one_per_channel(patterns: Iterable[MidiTrack]) -> list[MidiTrack]:
    """Patterns that follow one another, as one track a channel: a line goes on from one to the next."""
    joined: dict[int, MidiTrack] = {}
    for pattern in patterns:
        before = joined.get(pattern.channel)
        joined[pattern.channel] = replace(before, notes=before.notes + pattern.notes) if before else pattern
    return list(joined.values())


def bars_of_score(score: MidiScore, parts: Mapping[int, int]) -> Bars:
    """All notes of a file as one loop; `parts` gives the part of every channel (0 where it does not name one)."""
    notes = [
        Note(note.pitch, note.start, note.duration, note.velocity, parts.get(track.channel, 0))
        for track in score.tracks
        for note in track.notes
    ]
    return Bars(in_order(notes), score.length)


@dataclass(slots=True)
class _Struck:
    """A note that has begun: at a tick, how hard, whether it ended another at that very tick, and whether its own end
    came at once.
    """

    tick: int
    velocity: int
    cuts: bool
    over: bool = False


class _TrackReader:
    """Pairs note-ons with note-offs, channel by channel; a new note-on ends the one of the same pitch.

    A note-off at the tick of a note-on is that of the note which that one ended (drummers' pads and some programs write
    it after), or, where there was none, that of a note without length: it is a stroke all the same, and has a tick.
    """

    def __init__(self, per_tick: float, *, every_stroke: bool) -> None:
        self._programs: dict[int, int] = {}
        self._per_tick, self._every_stroke = per_tick, every_stroke
        self._open: dict[tuple[int, int], _Struck] = {}
        self._notes: dict[int, list[Note]] = {}

    def program(self, channel: int, program: int) -> None:
        if channel not in self._notes:  # a file that is set to order first (all to the piano) says more than one
            self._programs[channel] = program

    def note(self, channel: int, pitch: int, velocity: int, now: int) -> None:
        key = (channel, pitch)
        sounding = self._open.get(key)
        earlier = sounding is not None and now > sounding.tick
        if velocity > 0:
            if sounding is not None and earlier:
                self._close(key, sounding, now)
            self._notes.setdefault(channel, [])
            self._open[key] = _Struck(now, velocity, cuts=earlier)
        elif sounding is not None and earlier:
            self._close(key, self._open.pop(key), now)
        elif sounding is not None and self._every_stroke:
            sounding.cuts, sounding.over = False, not sounding.cuts
        elif sounding is not None:
            del self._open[key]

    def _close(self, key: tuple[int, int], note: _Struck, now: int) -> None:
        channel, pitch = key
        ticks = 1 if note.over else max(1, now - note.tick)
        self._notes[channel].append(Note(pitch, note.tick * self._per_tick, ticks * self._per_tick, note.velocity))

    def finish(self, name: str, now: int) -> list[MidiTrack]:
        for key, note in self._open.items():
            self._close(key, note, now)
        return [
            MidiTrack(name, channel, self._programs.get(channel, 0), in_order(notes), channel in self._programs)
            for channel, notes in self._notes.items()
            if notes
        ]


def midi_bytes(
    bars: Bars,
    *,
    channels: Mapping[int, int],
    track_name: str,
    tempo: float = 120.0,
    time_signature: tuple[int, int] = (4, 4),
    tempo_changes: Sequence[tuple[float, float]] = (),
    remark: str = "",
    programs: Mapping[int, int] = MappingProxyType({}),
) -> bytes:
    """The bytes of a 480-ppq MIDI file that holds `bars`: one track per part, named after it where there are several
    (a high bass is known by that).

    `channels` gives the MIDI channel (0-15) of every part; parts it does not name go to channel 0. `programs` gives the
    program (0-127) of those parts that are to have one. `tempo_changes` are (beat, BPM) after the first `tempo`, in
    order; `remark`, when not empty, goes in as a text event.
    """
    import mido

    midi = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT)
    head = mido.MidiTrack()
    head.append(mido.MetaMessage("track_name", name=track_name, time=0))
    if remark:
        head.append(mido.MetaMessage("text", text=remark, time=0))
    numerator, denominator = time_signature
    head.append(mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator, time=0))
    head.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo), time=0))
    length_ticks = round(bars.length * TICKS_PER_BEAT)
    now = 0
    for beat, bpm in tempo_changes:
        tick = max(now, round(beat * TICKS_PER_BEAT))
        head.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm), time=tick - now))
        now = tick
    head.append(mido.MetaMessage("end_of_track", time=max(0, length_ticks - now)))
    midi.tracks.append(head)
    for part in sorted({note.part for note in bars.notes} | set(channels)):
        notes = [note for note in bars.notes if note.part == part]
        name = track_name if len(channels) < 2 else f"{track_name} {PART_NAMES[part]}"
        midi.tracks.append(_note_track(notes, channels.get(part, 0), name, length_ticks, programs.get(part)))
    out = io.BytesIO()
    midi.save(file=out)
    return out.getvalue()


def _note_track(
    notes: Iterable[Note], channel: int, name: str, length_ticks: int, program: int | None
) -> mido.MidiTrack:
    """Note-offs before note-ons at the same tick, so that a repeated note is never cut by its own past; and every
    note-on has its own note-off before the next of its pitch: of notes that begin together the longest is left.
    """
    import mido

    spans: dict[int, dict[int, tuple[int, int]]] = {}
    for note in notes:
        start = round(note.start * TICKS_PER_BEAT)
        span = (max(start + 1, round(note.end * TICKS_PER_BEAT)), note.velocity)
        of_pitch = spans.setdefault(note.pitch, {})
        of_pitch[start] = max(span, of_pitch.get(start, span))
    events: list[tuple[int, int, int, int]] = []
    for pitch, of_pitch in spans.items():
        starts = sorted(of_pitch)
        for start, following in zip(starts, [*starts[1:], math.inf], strict=True):
            end, velocity = of_pitch[start]
            events.append((start, 1, pitch, velocity))
            events.append((int(min(end, following)), 0, pitch, 0))
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("track_name", name=name, time=0))
    if program is not None:
        track.append(mido.Message("program_change", channel=channel, program=program, time=0))
    now = 0
    for tick, on, pitch, velocity in sorted(events):
        kind = "note_on" if on else "note_off"
        track.append(mido.Message(kind, channel=channel, note=pitch, velocity=velocity, time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=max(0, length_ticks - now)))
    return track


def write_midi(
    path: Path,
    bars: Bars,
    *,
    channels: Mapping[int, int],
    track_name: str,
    tempo: float = 120.0,
    time_signature: tuple[int, int] = (4, 4),
    tempo_changes: Sequence[tuple[float, float]] = (),
    remark: str = "",
    programs: Mapping[int, int] = MappingProxyType({}),
) -> None:
    """Write `bars` to `path` atomically; the folder is made when it is missing.

    Raises:
        MidiFileError: the file cannot be written there.
    """
    data = midi_bytes(
        bars,
        channels=channels,
        track_name=track_name,
        tempo=tempo,
        time_signature=time_signature,
        tempo_changes=tempo_changes,
        remark=remark,
        programs=programs,
    )
    write_midi_files({path: data})


def write_midi_files(contents: Mapping[Path, bytes]) -> None:
    """Write the bytes of MIDI files, all of them or none; folders are made where they are missing.

    Raises:
        MidiFileError: one of them cannot be written there.
    """
    try:
        whole_file.write_all(contents)
    except OSError as error:
        place = error.filename or next(iter(contents))
        raise MidiFileError(f"{place}: expected a place to write to ({error.strerror or error})") from error
