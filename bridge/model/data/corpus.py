"""From MIDI files to windows of 2 bars, or 16: zips or folders, with a manifest.json or by General MIDI rules."""

from __future__ import annotations

import contextlib
import errno
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from bridge.model.nets.config import ModelConfig
from bridge.music.grids import (
    PITCHES,
    SILENT,
    DrumGrid,
    Ints,
    drum_grid_of,
    drums_in,
    line_of,
    line_tokens,
    note_arrays,
)
from bridge.music.midi_files import MAX_FILE_BYTES, MidiFileError, MidiScore, MidiTrack, parse_midi
from bridge.music.notes import BEATS_PER_BAR, STEPS_PER_BAR
from bridge.music.roles import Roles, roles_of

Array = np.ndarray[Any, Any]
COMMON_TIME = ((4, 4), (2, 2))
MIDI_SUFFIXES = (".mid", ".midi")
MANIFEST = "manifest.json"
#: How macOS calls what it keeps beside a file in archives and on foreign disks: no music.
_BESIDE_A_FILE = "._"
_MIN_LINE_ONSETS = 3
_MIN_DRUM_HITS = 4


class CorpusError(ValueError):
    """Training or evaluation data that cannot be used; the message names the path and what was expected."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a collection: where it came from and the notes in it."""

    file: str
    source: str
    song: str
    style: str
    score: MidiScore
    roles: Roles


@dataclass(frozen=True, slots=True)
class Collection:
    """A zip or folder of MIDI files. There is no space in the name of its `source`. `beside` says what is wrong with
    each of the zips that lie in one folder with it and cannot be used.
    """

    source: str
    path: Path
    files: tuple[str, ...]
    manifest: Mapping[str, Mapping[str, Any]] | None
    licence: str = "not stated"
    beside: tuple[str, ...] = ()

    def pieces(self, faults: list[str]) -> Iterator[Piece]:
        """The files that could be read, one by one; the faults of the others, and of what lies beside them, are added
        to `faults`.
        """
        faults.extend(self.beside)
        with self._opened() as open_file:
            for name in self.files:
                entry = self.manifest.get(name) if self.manifest is not None else None
                if self.manifest is not None and entry is None:
                    continue
                try:
                    # As what the weights have learnt from, and are scored on, was read: strokes of e-drums that
                    # end the one before are mostly pads that ring with others (of kicks the median velocity is 11)
                    score = parse_midi(_bytes_of(open_file, name), name, every_stroke=False)
                except MidiFileError as error:
                    faults.append(f"{self.path}: {error}")
                    continue
                given = entry.get("roles") if entry is not None else None
                roles = roles_of(score, given, named=entry is not None and given is None)
                song = str(entry.get("song", name)) if entry is not None else name
                style = str(entry.get("beat_type", "")) if entry is not None else ""
                yield Piece(name, self.source, song, style, score, roles)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Callable[[str], IO[bytes]]]:
        """What opens a file by its name."""
        if self.path.is_dir():
            yield lambda name: open_in(self.path, name)
        else:
            with zipfile.ZipFile(self.path) as archive:
                yield archive.open


def open_in(folder: Path, name: str) -> IO[bytes]:
    """Open a file of a folder to read.

    Raises:
        OSError: it cannot be read, or is no file: whoever opens a pipe waits until somebody writes into it.
    """
    path = folder / name
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no ordinary file", str(path))
    return path.open("rb")


def _bytes_of(open_file: Callable[[str], IO[bytes]], name: str) -> bytes:
    """A file's bytes; of one that is too large, enough for that to be seen.

    Raises:
        MidiFileError: it cannot be read.
    """
    try:
        with open_file(name) as file:
            return file.read(MAX_FILE_BYTES + 1)
    except Exception as error:  # of an archive: whatever its parts and what they are packed with have to say
        raise MidiFileError(f"{name}: expected a readable MIDI file ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """What is wrong, in one line."""
    said = error.strerror if isinstance(error, OSError) else None
    return " ".join((said or str(error) or type(error).__name__).split())


def open_collections(path: Path) -> list[Collection]:
    """The collections at `path`: a zip, a folder of MIDI files, or a folder of zips (with or without MIDI files). Of a
    folder's zips those that cannot be used are passed over, and told of by the first collection.

    Raises:
        CorpusError: nothing there, nothing in it that is MIDI, or a zip or manifest that cannot be read and is what was
            asked for or all there is.
    """
    if path.is_file():
        return [_open_zip(path)]
    if not path.is_dir():
        raise CorpusError(f"{path}: expected a folder or .zip of MIDI files")
    found, faults = _open_zips(path)
    inside = (p.relative_to(path).as_posix() for p in path.rglob("*") if not p.is_dir())
    loose = sorted(name for name in inside if _is_midi(name))
    if loose:
        manifest = path / MANIFEST
        text = manifest.read_bytes() if manifest.is_file() else None
        # `.` is called what it is called from outside
        name = path.name if path.name.strip(".") else path.resolve().name
        found.append(_collection(name, path, loose, text))
    if not found:
        told = f" ({len(faults)} of {len(faults)} zips cannot be used: {faults[0]})" if len(faults) > 1 else ""
        only = faults[0] if len(faults) == 1 else ""
        raise CorpusError(only or f"{path}: expected MIDI files (.mid, .midi) or zips of them, found none{told}")
    return [replace(found[0], beside=tuple(faults)), *found[1:]]


def _open_zips(folder: Path) -> tuple[list[Collection], list[str]]:
    """The zips in a folder, and what is wrong with those that cannot be used."""
    found, faults = [], []
    for path in sorted(folder.glob("*.zip")):
        if path.is_file():
            try:
                found.append(_open_zip(path))
            except CorpusError as fault:
                faults.append(str(fault))
    return found, faults


def _is_midi(name: str) -> bool:
    """Whether a file is MIDI by its name."""
    return name.lower().endswith(MIDI_SUFFIXES) and not name.rpartition("/")[2].startswith(_BESIDE_A_FILE)


def _open_zip(path: Path) -> Collection:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            text = archive.read(MANIFEST) if MANIFEST in names else None
    except Exception as error:  # whatever the parts of an archive and what they are packed with have to say
        raise CorpusError(f"{path}: expected a folder or .zip of MIDI files ({_reason(error)})") from error
    files = sorted(filter(_is_midi, names))
    if not files:
        raise CorpusError(f"{path}: expected MIDI files (.mid, .midi) in it, found none")
    return _collection(path.stem, path, files, text)


def _collection(name: str, path: Path, files: list[str], manifest: bytes | None) -> Collection:
    if manifest is None:
        return Collection(_in_one_word(name), path, tuple(files), None)
    try:
        document = json.loads(manifest)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path}: expected a {MANIFEST} that is JSON ({_reason(error)})") from error
    entries = document.get("files") if isinstance(document, dict) else None
    if not isinstance(entries, dict):
        raise CorpusError(f'{path}: expected a {MANIFEST} with the files by name: {{"files": {{"a.mid": {{}}}}}}')
    for file, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("roles", {}), dict | None):
            expected = '{"song": "a", "roles": {"melody": [0]}} or {}'
            raise CorpusError(f"{path}: {MANIFEST}: {file}: expected {expected}, found {json.dumps(entry)[:80]}")
    source, licence = str(document.get("source", name)), str(document.get("licence", "not stated"))
    return Collection(_in_one_word(source), path, tuple(files), entries, licence)


def _in_one_word(name: str) -> str:
    """A name without spaces (what follows the name of a source is a kind of its windows) that can be written down,
    whatever a disk has in its place.
    """
    return "-".join(name.encode(errors="replace").decode().split()) or "unnamed"


def common_time_sections(score: MidiScore) -> list[tuple[float, int]]:
    """The stretches in 4/4 or 2/2: (first beat, number of bars); a file without a signature is in 4/4."""
    changes = [(s.beat, (s.numerator, s.denominator) in COMMON_TIME) for s in score.time_signatures]
    if not changes or changes[0][0] > 0:
        changes.insert(0, (0.0, True))
    ends = [beat for beat, _ in changes[1:]] + [score.length]
    sections: list[tuple[float, float]] = []
    for (start, common), end in zip(changes, ends, strict=True):
        if not common or end <= start:
            continue
        joins = bool(sections) and sections[-1][1] == start and (start - sections[-1][0]) % BEATS_PER_BAR == 0
        if joins:
            sections[-1] = (sections[-1][0], end)
        else:
            sections.append((start, end))
    bars = []
    for start, end in sections:
        whole = (end - start) / BEATS_PER_BAR
        count = int(np.ceil(whole - 1e-6)) if end == score.length else int(whole + 1e-6)
        bars.append((start, count))
    return bars


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one piece: tokens (n, steps) (drums: hit masks), the share of onsets off the grid (n,), where each
    begins in beats (n,), and for drums the velocities and offset bins (n, steps, 9). `kind` sets them apart from the
    other windows of their source.
    """

    tokens: Array
    off_grid: Array
    start_beats: Array
    velocities: Array | None = None
    offsets: Array | None = None
    kind: str = ""


def windows_of(piece: Piece, config: ModelConfig) -> list[Windows]:
    """Every useful window of a piece's tracks for a model's part, hop one bar, one `Windows` per track and section."""
    found = []
    for start, bars in common_time_sections(piece.score):
        if bars < config.bars:
            continue
        tracks = piece.roles.of(config.part)
        if config.part == "drums":
            merged = [note for track in tracks for note in track.notes]
            tracks = (MidiTrack("drums", 9, 0, tuple(merged)),) if merged else ()
        for track in tracks:
            section = (start, bars * STEPS_PER_BAR)
            windows = (
                _drum_windows(track, section, config)
                if config.part == "drums"
                else _line_windows(track, section, config)
            )
            if len(windows.tokens):
                found.append(windows)
    return found


def window_index(n_steps: int, config: ModelConfig) -> Ints:
    """The steps (n, T) of every window of a section, hop one bar."""
    first = np.arange(0, n_steps - config.steps + 1, STEPS_PER_BAR)
    return first[:, None] + np.arange(config.steps)[None, :]


def _line_windows(track: MidiTrack, section: tuple[float, int], config: ModelConfig) -> Windows:
    start_beats, n_steps = section
    line = line_of(note_arrays(track.notes, start_beats), n_steps, top=config.part == "melody")
    index = window_index(n_steps, config)
    tokens = line_tokens(line.sounding[index], line.struck[index])
    onset = tokens < PITCHES
    onsets = onset.sum(1)
    distinct = np.array([len(set(row[mask].tolist())) for row, mask in zip(tokens, onset, strict=True)], dtype=np.int64)
    silence = longest_silence(line.sounding[index])
    keep = (onsets >= _MIN_LINE_ONSETS) & (distinct.reshape(-1) >= 2) & (silence <= longest_rest_steps(config))
    off_grid = (line.off_grid[index] & line.struck[index]).sum(1) / np.maximum(onsets, 1)
    return Windows(tokens[keep], off_grid[keep], start_beats + index[keep, 0] / 4.0)


def longest_rest_steps(config: ModelConfig) -> int:
    """How long a line may rest in a window: a bar, or a quarter of a long window."""
    return max(STEPS_PER_BAR, config.steps // 4)


def longest_silence(sounding: Ints) -> Ints:
    """The longest run of silent steps (n,) of lines (n, steps)."""
    longest = np.zeros(len(sounding), dtype=np.int64)
    run = np.zeros(len(sounding), dtype=np.int64)
    for step in range(sounding.shape[1]):
        run = np.where(sounding[:, step] == SILENT, run + 1, 0)
        longest = np.maximum(longest, run)
    return longest


def _drum_windows(track: MidiTrack, section: tuple[float, int], config: ModelConfig) -> Windows:
    start_beats, n_steps = section
    grid: DrumGrid = drum_grid_of(note_arrays(track.notes, start_beats), n_steps)
    index = window_index(n_steps, config)
    hits = grid.hits[index]
    bits = drums_in(hits)
    per_class = bits.sum(1)
    keep = (per_class.sum(1) >= _MIN_DRUM_HITS) & ((per_class > 0).sum(1) >= 2)
    kept = index[keep]
    nothing = np.zeros(len(kept), dtype=np.float64)
    return Windows(hits[keep], nothing, start_beats + kept[:, 0] / 4.0, grid.velocities[kept], grid.offsets[kept])
