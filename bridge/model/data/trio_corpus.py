"""Windows of melody, bass and drums together: the parts of one file, aligned, for the trio."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.model.data.corpus import Piece, Windows, common_time_sections, longest_silence, window_index
from bridge.model.nets.config import ModelConfig
from bridge.music.grids import PITCHES, Ints, drum_grid_of, drums_in, line_of, line_tokens, note_arrays
from bridge.music.midi_files import MidiTrack
from bridge.music.notes import STEPS_PER_BAR

Array = np.ndarray[Any, Any]
#: What each part has to play in a window, at least, and how much of it a line may rest at a stretch.
_MIN_EVENTS = 8
_LONGEST_REST = 0.5
#: Windows without drums stand in for trios over other drums: every fourth bar's is plenty.
_PAIRS_EVERY_BARS = 4
PAIRS = " pairs"  # follows the name of the source, as every kind of windows does


def trio_windows(piece: Piece, config: ModelConfig) -> list[Windows]:
    """Every useful window of a piece, hop one bar: tokens (n, 3, T), velocities and offsets of the drums (n, T, 9).

    Of several melodies (or basses) the one that plays most in a window is taken. Windows whose drums rest are given
    apart, as `PAIRS`.
    """
    found = []
    for start_beats, bars in common_time_sections(piece.score):
        if bars >= config.bars and piece.roles.melody and piece.roles.bass:
            found += _of_section(piece, start_beats, bars * STEPS_PER_BAR, config)
    return [windows for windows in found if len(windows.tokens)]


def _of_section(piece: Piece, start_beats: float, n_steps: int, config: ModelConfig) -> list[Windows]:
    index = window_index(n_steps, config)
    melody, melody_off, melody_fits = _line(piece.roles.melody, start_beats, n_steps, index, top=True)
    bass, bass_off, bass_fits = _line(piece.roles.bass, start_beats, n_steps, index, top=False)
    notes = [note for track in piece.roles.drums for note in track.notes]
    grid = drum_grid_of(note_arrays(notes, start_beats), n_steps)
    hits = grid.hits[index]
    per_class = drums_in(hits).sum(1)
    driven = (per_class.sum(1) >= _MIN_EVENTS) & ((per_class > 0).sum(1) >= 2)
    fits = melody_fits & bass_fits
    tokens = np.stack([melody, bass, hits], 1)
    off_grid = np.maximum(melody_off, bass_off)
    pairs = fits & (hits == 0).all(1) & (np.arange(len(index)) % _PAIRS_EVERY_BARS == 0)
    return [
        Windows(
            tokens[keep], off_grid[keep], start_beats + index[keep, 0] / 4.0,
            grid.velocities[index[keep]], grid.offsets[index[keep]], kind,
        )
        for keep, kind in ((fits & driven, ""), (pairs, PAIRS))
    ]  # fmt: skip


def _line(
    tracks: tuple[MidiTrack, ...], start_beats: float, n_steps: int, index: Ints, *, top: bool
) -> tuple[Ints, Array, Array]:
    """The busiest line in each window (n, T), its share of onsets off the grid and whether it is of use (n,)."""
    lines = [line_of(note_arrays(track.notes, start_beats), n_steps, top=top) for track in tracks]
    onsets = np.stack([line.struck[index].sum(1) for line in lines])
    best, places = onsets.argmax(0), np.arange(len(index))
    sounding = np.stack([line.sounding[index] for line in lines])[best, places]
    struck = np.stack([line.struck[index] for line in lines])[best, places]
    away = np.stack([(line.off_grid & line.struck)[index].sum(1) for line in lines])[best, places]
    tokens = line_tokens(sounding, struck)
    high = np.where(tokens < PITCHES, tokens, -1).max(1)
    low = np.where(tokens < PITCHES, tokens, PITCHES).min(1)
    count = onsets.max(0)
    rests = longest_silence(sounding) <= _LONGEST_REST * index.shape[1]
    return tokens, away / np.maximum(count, 1), (count >= _MIN_EVENTS) & (high > low) & rests
