"""The indexed corpus: unique windows, songs merged where they share music, split once by hash, kept as arrays."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bridge.model.data.corpus import (
    MANIFEST,
    Collection,
    CorpusError,
    Piece,
    Windows,
    longest_rest_steps,
    open_collections,
    open_in,
    windows_of,
)
from bridge.model.data.passed_over import PassedOver
from bridge.model.data.trio_corpus import trio_windows
from bridge.model.nets.config import ModelConfig
from bridge.music.grids import PITCHES
from bridge.music.midi_files import MAX_FILE_BYTES
from bridge.music.notes import STEP_BEATS
from bridge.whole_file import named

log = logging.getLogger(__name__)
#: Raised whenever what is indexed changes, so that old caches are not taken for new ones.
_INDEX_VERSION = 3
#: Songs are told apart, and split, by their windows of this many bars, whatever the model's own windows are: a song
#: that one model is tested on is in no other's training.
_SPLIT_BARS = 2
_MAX_OFF_GRID = 0.15
_SAME_SONG_SHARE = 0.3
_COMMON_PHRASE_SONGS = 30
#: Hymns repeat themselves across songs, and so do drum patterns: never used to evaluate.
NOT_EVALUATED = ("openhymnal", "drumpat-dmp")
SPLITS = ("train", "validation", "test")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Windows as arrays over n windows; `groups` names sources by style ("gmd fill"), `split` indexes `SPLITS`.

    tokens (n, steps) uint8 (lines) or uint16 (drums), of a trio (n, 3, steps) uint16; group, song (n,); `follows` (n,)
    is the window that comes right after in the same track, `precedes` (n, 3) those one, two and three windows before
    it, -1 where there is none; a window that was kept in another transposition counts, and `moved` (n, 4) int8 says by
    how many semitones it has to be moved to stand as it stood there (the three before, then the one after). Drums
    also velocities and offsets (n, steps, 9) uint8 and has_velocity (n,) bool.
    """

    groups: tuple[str, ...]
    tokens: Array
    group: Array
    song: Array
    split: Array
    follows: Array
    velocities: Array
    offsets: Array
    has_velocity: Array
    precedes: Array
    moved: Array

    def indices(self, split: str) -> Array:
        """The windows of a split."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def window_keys(tokens: Array) -> list[bytes]:
    """What makes a window the same as another: its tokens, transposition apart (drums: the hits)."""
    if tokens.dtype == np.uint16:
        return [row.tobytes() for row in tokens]
    onset = tokens < PITCHES
    first = _first_pitch(tokens)[:, None].astype(np.int16)
    relative = np.where(onset, tokens.astype(np.int16) - first, tokens.astype(np.int16) + 200)
    return [row.tobytes() for row in relative]


class _Gathering:
    """Windows as they come in, before songs are merged."""

    def __init__(self, songs: dict[tuple[str, str], int]) -> None:
        self.songs = songs
        self.groups: dict[str, int] = {}
        self.rows: list[tuple[Windows, int, int]] = []

    def add(self, piece: Piece, config: ModelConfig, keep_off_grid: bool) -> int:
        """Take in a piece's windows; how many it has."""
        found = 0
        for windows in trio_windows(piece, config) if config.part == "trio" else windows_of(piece, config):
            song = self.songs.setdefault((piece.source, piece.song), len(self.songs))
            group = self.groups.setdefault(
                f"{piece.source} {windows.kind.strip() or piece.style}".strip(), len(self.groups)
            )
            self.rows.append((_slim(windows, config, keep_off_grid), song, group))
            found += len(self.rows[-1][0].tokens)
        return found

    def keys_by_song(self) -> list[list[bytes]]:
        """The keys of every song's windows."""
        keys: list[list[bytes]] = [[] for _ in self.songs]
        for windows, song, _ in self.rows:
            keys[song].extend(window_keys(windows.tokens))
        return keys


def _slim(windows: Windows, config: ModelConfig, keep_off_grid: bool) -> Windows:
    keep = windows.off_grid <= (1.0 if keep_off_grid else _MAX_OFF_GRID)
    tokens = windows.tokens[keep].astype(np.uint16 if "drums" in config.parts else np.uint8)
    velocities = windows.velocities[keep].astype(np.uint8) if windows.velocities is not None else None
    offsets = windows.offsets[keep].astype(np.uint8) if windows.offsets is not None else None
    return Windows(tokens, windows.off_grid[keep], windows.start_beats[keep], velocities, offsets, windows.kind)


def merged_songs(keys_by_song: Sequence[Sequence[bytes]]) -> list[int]:
    """The song each song counts as: songs sharing 30 % or more of their windows (of the smaller one's) are one.

    Phrases that stand in more than 30 songs are commonplaces and join nothing.
    """
    holders: dict[bytes, list[int]] = defaultdict(list)
    for song, keys in enumerate(keys_by_song):
        for key in set(keys):
            holders[key].append(song)
    shared: Counter[tuple[int, int]] = Counter()
    for songs in holders.values():
        if 1 < len(songs) <= _COMMON_PHRASE_SONGS:
            shared.update((a, b) for i, a in enumerate(songs) for b in songs[i + 1 :])
    parent = list(range(len(keys_by_song)))

    def root(song: int) -> int:
        while parent[song] != song:
            parent[song] = parent[parent[song]]
            song = parent[song]
        return song

    sizes = [len(set(keys)) for keys in keys_by_song]
    for (a, b), count in shared.items():
        if count >= _SAME_SONG_SHARE * min(sizes[a], sizes[b]):
            low, high = sorted((root(a), root(b)))
            parent[high] = low
    return [root(song) for song in range(len(keys_by_song))]


def split_of(source: str, song: str) -> int:
    """Train (90 %), validation (5 %) or test (5 %), by the song's hash, for ever."""
    if source in NOT_EVALUATED:
        return 0
    name = song.encode(errors="surrogatepass")  # a file may be called what is no UTF-8
    place = int.from_bytes(hashlib.sha256(name).digest()[:4], "big") % 100
    return 0 if place < 90 else 1 if place < 95 else 2


def build(collections: Sequence[Collection], config: ModelConfig, *, keep_off_grid: bool = False) -> Dataset:
    """Index collections for a model: every unique window once, in the first song that has it. Windows with more than
    15 % of their onsets off the grid (triplets) are left out unless they are to be kept. Files that cannot be read, or
    have no such window in them, are passed over and logged.

    Raises:
        CorpusError: no useful window in any of the files.
    """
    passed_over = PassedOver()
    songs: dict[tuple[str, str], int] = {}
    gathering, shorts = _Gathering(songs), [_Gathering(songs) for _ in config.parts]
    for collection in collections:
        for piece in collection.pieces(passed_over.faults):
            if not gathering.add(piece, config, keep_off_grid):
                passed_over.add(collection.path, piece, config)
            if config.bars != _SPLIT_BARS:
                for part, short in enumerate(shorts):
                    short.add(piece, replace(config.of_part(part), bars=_SPLIT_BARS), keep_off_grid)
    rows = [row for row in gathering.rows if len(row[0].tokens)]
    if not rows:
        raise CorpusError(_nothing_found(collections, config, passed_over))
    passed_over.tell()
    tokens = np.concatenate([w.tokens for w, _, _ in rows])
    song = np.concatenate([np.full(len(w.tokens), s, dtype=np.int32) for w, s, _ in rows])
    group = np.concatenate([np.full(len(w.tokens), g, dtype=np.int16) for w, _, g in rows])
    keys = window_keys(tokens)
    by_windows = [gathering] if config.bars == _SPLIT_BARS else shorts
    merged, splits = _split(list(songs), [gathered.keys_by_song() for gathered in by_windows])
    first: dict[bytes, int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    kept = np.array(sorted(first.values()))
    velocities, offsets = _dynamics(rows, kept, config)
    played = np.array([len(set(v[v > 0].tolist())) > 1 for v in velocities]) if velocities.size else np.zeros(0, bool)
    near, moved = _neighbours([w for w, _, _ in rows], tokens, keys, kept, config)
    split = splits[song[kept]]
    if split.all():  # a handful of songs can all hash elsewhere: then they are all there is to train on
        split[:] = SPLITS.index("train")
    return Dataset(
        tuple(gathering.groups), tokens[kept], group[kept], merged[song[kept]], split,
        near[:, -1].copy(), velocities, offsets, played, near[:, :-1].copy(), moved,
    )  # fmt: skip


def _nothing_found(collections: Sequence[Collection], config: ModelConfig, passed_over: PassedOver) -> str:
    """What to say where there is no window: what is wrong with the files may be why."""
    where = ", ".join(str(c.path) for c in collections)
    why = passed_over.why_nothing(sum(len(c.files) + len(c.beside) for c in collections))
    told = f" ({why})" if why else ""
    return f"{where}: expected {config.part} in 4/4, at least {config.bars} bars of it, found none{told}"


def _split(names: Sequence[tuple[str, str]], keys_of_parts: Sequence[Sequence[Sequence[bytes]]]) -> tuple[Array, Array]:
    """For each song the song it counts as, and its split. A trio's song is held out where it is in all of its parts,
    so that no part of a trio is tested on what the part's own model was trained on.
    """
    evaluated_never = np.array([source in NOT_EVALUATED for source, _ in names])
    counted, found = [], []
    for keys_by_song in keys_of_parts:
        merged = np.array(merged_songs(keys_by_song), dtype=np.int32)
        splits = np.array([split_of(*names[song]) for song in merged], dtype=np.uint8)
        splits[np.isin(merged, merged[evaluated_never])] = 0
        counted.append(merged)
        found.append(splits)
    same = np.all([splits == found[0] for splits in found], axis=0)
    return counted[0], np.where(same, found[0], 0).astype(np.uint8)


#: Where a window's neighbours begin, in windows: the three before it, the nearest first, then the one after.
_PLACES = (-1, -2, -3, 1)


def _neighbours(
    rows: Sequence[Windows], tokens: Array, keys: Sequence[bytes], kept: Array, config: ModelConfig
) -> tuple[Array, Array]:
    """For each kept window the kept windows like its neighbours in the track it was kept from (n, 4), and how many
    semitones those have to be moved to be its neighbours (n, 4).
    """
    place_of = {keys[index]: place for place, index in enumerate(kept.tolist())}
    first = _first_pitch(tokens)
    near = np.full((len(kept), len(_PLACES)), -1, dtype=np.int32)
    moved = np.zeros((len(kept), len(_PLACES)), dtype=np.int8)
    begin = 0
    for windows in rows:
        at = {beat: begin + i for i, beat in enumerate(windows.start_beats.tolist())}
        for beat, index in at.items():
            mine = place_of[keys[index]]
            if kept[mine] != index:
                continue
            for column, away in enumerate(_PLACES):
                neighbour = at.get(beat + away * config.steps * STEP_BEATS)
                if neighbour is not None:
                    near[mine, column] = place = place_of[keys[neighbour]]
                    moved[mine, column] = first[neighbour] - first[kept[place]]
        begin += len(windows.tokens)
    return near, moved


def _first_pitch(tokens: Array) -> Array:
    """The token of each line's first onset (n,); 0 for drums."""
    if tokens.dtype == np.uint16:
        return np.zeros(len(tokens), dtype=np.int64)
    onset = tokens < PITCHES
    first: Array = np.take_along_axis(tokens, onset.argmax(1)[:, None], axis=1)[:, 0].astype(np.int64)
    return first


def _dynamics(rows: Sequence[tuple[Windows, int, int]], kept: Array, config: ModelConfig) -> tuple[Array, Array]:
    if "drums" not in config.parts:
        return np.zeros((0, 0, 0), np.uint8), np.zeros((0, 0, 0), np.uint8)
    velocities = np.concatenate([w.velocities for w, _, _ in rows if w.velocities is not None])
    offsets = np.concatenate([w.offsets for w, _, _ in rows if w.offsets is not None])
    return velocities[kept], offsets[kept]


_FIELDS = ("tokens", "group", "song", "split", "follows", "velocities", "offsets", "has_velocity", "precedes", "moved")


def load(paths: Sequence[Path], config: ModelConfig, cache: Path) -> Dataset:
    """The dataset of `paths` for a model, from the cache folder when it is there, memory-mapped. What lies among the
    files and cannot be used is told of either way.

    Raises:
        CorpusError: a path that is not there or holds nothing useful.
    """
    collections = [collection for path in paths for collection in open_collections(path)]
    stamp = [(c.source, _signs_of(c)) for c in collections]
    rest = [longest_rest_steps(config)] if config.bars > _SPLIT_BARS and config.part != "drums" else []
    text = json.dumps([_INDEX_VERSION, config.part, config.bars, *rest, stamp])
    folder = cache / f"{config.part}-{config.bars}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    kept = _kept(folder)
    if kept is None:
        _save(build(collections, config), folder)
        return _opened(folder)
    PassedOver([fault for collection in collections for fault in collection.beside]).tell()
    return kept


def _kept(folder: Path) -> Dataset | None:
    """The index that is in a folder; None where there is none, or one that has lost something (on a disk whose power
    was cut, or on its way to another machine) and is to be made anew.
    """
    if not folder.is_dir():
        return None
    try:
        return _opened(folder)
    except (OSError, ValueError, EOFError) as fault:
        log.warning("%s: expected a whole index of the music (%s): it is made anew", folder, fault)
        return None


def _opened(folder: Path) -> Dataset:
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _FIELDS}
    return Dataset(groups=tuple(json.loads((folder / "groups.json").read_text())), **arrays)


def _signs_of(collection: Collection) -> list[tuple[str, int, int] | None]:
    """Name, size and checksum of every file that counts: an index holds wherever the music lies, and whenever it came
    there, so that it can be carried to another machine.
    """
    path = collection.path
    if path.is_dir():
        return [_sign_of(path, name) for name in sorted({*collection.files, MANIFEST})]
    with zipfile.ZipFile(path) as archive:
        return [(entry.filename, entry.file_size, entry.CRC) for entry in archive.infolist()]


def _sign_of(folder: Path, name: str) -> tuple[str, int, int] | None:
    """None where there is no such file: a link to nowhere, a pipe, no manifest."""
    try:
        with open_in(folder, name) as file:
            data = file.read(MAX_FILE_BYTES + 1)  # no more of a file is ever read
    except OSError:
        return None
    return name, len(data), zlib.crc32(data)


def _save(dataset: Dataset, folder: Path) -> None:
    beside = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    try:
        beside.mkdir(parents=True, exist_ok=True)
        for name in _FIELDS:
            with named(beside / f"{name}.npy"):
                np.save(beside / f"{name}.npy", getattr(dataset, name))
        (beside / "groups.json").write_text(json.dumps(dataset.groups))
        shutil.rmtree(folder, ignore_errors=True)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
