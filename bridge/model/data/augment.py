"""Augmentation of training windows, in batches: the VAE sees these; the prior and the evaluation never do.

A line is handled as what sounds at each step and where it is struck (`bridge.music.grids.tokens_line`), so that
cutting and turning it can never leave a token that means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bridge.model.nets.config import ModelConfig
from bridge.music.grids import (
    DRUM_CLASSES,
    LOWEST_PITCH,
    PITCHES,
    SILENT,
    DrumGrid,
    Ints,
    drums_in,
    line_tokens,
    tokens_line,
)
from bridge.music.notes import STEPS_PER_BAR, STEPS_PER_BEAT

Flags = np.ndarray[Any, np.dtype[np.bool_]]
_TRANSPOSE = 6
_SHIFT_CHANCE = 0.3
_SPLICE_CHANCE = 0.1
_GATE_CHANCE = 0.2
_DROP_CLASS_CHANCE = 0.2
_HAT_RIDE_CHANCE = 0.1
_DRUM_SPLICE_CHANCE = 0.2
_DRUM_SHIFT_CHANCE = 0.2
#: The songs are few, and learnt by heart as they are (2 nats a window of drums in training, ten times that on others);
#: of what a loop of one and a loop of another make together there is no end.
_DRUM_EXCHANGE_CHANCE = 0.5
_PITCH_EXCHANGE_CHANCE = 0.3
_CLOSED_HAT, _RIDE = 2, 8


def octave_shift(tokens: Ints, config: ModelConfig) -> Ints:
    """The octaves, in semitones (B,), that bring the middle of each window nearest to the middle of the range."""
    onset = tokens < PITCHES
    low = np.where(onset, tokens, PITCHES).min(1) + LOWEST_PITCH
    high = np.where(onset, tokens, -1).max(1) + LOWEST_PITCH
    struck = onset.any(1)
    away = (config.lowest + config.highest) / 2 - (low + high) / 2
    fits = np.logical_and(low >= config.lowest, high <= config.highest)
    octaves: Ints = 12 * np.round(away / 12).astype(np.int64)
    octaves[np.logical_or(fits, ~struck)] = 0
    return octaves


def moved_lines(tokens: Ints, shift: Ints) -> Ints:
    """Lines (B, T) with their notes moved by semitones (B,), whatever the range."""
    return np.where(tokens < PITCHES, tokens + shift[:, None], tokens)


def folded(tokens: Ints, shift: Ints, config: ModelConfig) -> Ints:
    """Lines (B, T) transposed by `shift` semitones (B,); single notes left outside the range are folded by octaves."""
    onset = tokens < PITCHES
    pitch = tokens + LOWEST_PITCH + shift[:, None]
    pitch = pitch + 12 * np.maximum(0, -((pitch - config.lowest) // 12))
    pitch = pitch - 12 * np.maximum(0, -((config.highest - pitch) // 12))
    return np.where(onset, pitch - LOWEST_PITCH, tokens)


def augment_lines(tokens: Ints, other: Ints, config: ModelConfig, rng: np.random.Generator) -> Ints:
    """Copies of lines (B, T), transposed, turned, gated, spliced with `other` (B, T) or played on its pitches."""
    count, steps = tokens.shape
    tokens = folded(tokens, octave_shift(tokens, config) + _transposition(tokens, config, rng), config)
    sounding, struck = tokens_line(tokens)
    splice: Flags = np.asarray(rng.random(count) < _SPLICE_CHANCE)
    partner = folded(other, octave_shift(other, config), config)
    other_sounding, other_struck = tokens_line(partner)
    exchanged: Flags = np.asarray(rng.random(count) < _PITCH_EXCHANGE_CHANCE)
    sounding = np.where(exchanged[:, None], _on_pitches(sounding, struck, other_sounding, other_struck), sounding)
    half = np.arange(steps) >= steps // 2
    take = splice[:, None] & half[None]
    sounding, struck = np.where(take, other_sounding, sounding), np.where(take, other_struck, struck)
    index = _turned(count, steps, _SHIFT_CHANCE, rng)
    sounding, struck = np.take_along_axis(sounding, index, 1), np.take_along_axis(struck, index, 1)
    return line_tokens(_gated(sounding, struck, rng), struck)


def _on_pitches(sounding: Ints, struck: Flags, other_sounding: Ints, other_struck: Flags) -> Ints:
    """Lines that sound when they do, note by note at the pitches of others, begun again where those have fewer."""
    rows = np.arange(len(sounding))[:, None]
    notes = other_struck.sum(1)[:, None]
    in_order = np.argsort(~other_struck, axis=1, kind="stable")  # their struck steps come first
    index = np.maximum(np.cumsum(struck, axis=1) - 1, 0) % np.maximum(1, notes)
    theirs = other_sounding[rows, in_order[rows, index]]
    return np.where((sounding == SILENT) | (notes == 0), sounding, theirs)


def _turned(count: int, steps: int, chance: float, rng: np.random.Generator) -> Ints:
    """Where each step of a window comes from (count, steps): some windows begin later, and go on from their beginning.

    A short one is turned by beats; in a long one a bar stays a bar.
    """
    unit = STEPS_PER_BEAT if steps <= 2 * STEPS_PER_BAR else STEPS_PER_BAR
    turn = np.where(rng.random(count) < chance, rng.integers(1, steps // unit, count), 0)
    index: Ints = (np.arange(steps)[None] + turn[:, None] * unit) % steps
    return index


def _transposition(tokens: Ints, config: ModelConfig, rng: np.random.Generator) -> Ints:
    """A shift of up to 6 semitones either way, drawn from those that keep the window in range where there are any."""
    onset = tokens < PITCHES
    base = octave_shift(tokens, config)
    low = np.where(onset, tokens, PITCHES).min(1) + LOWEST_PITCH + base
    high = np.where(onset, tokens, -1).max(1) + LOWEST_PITCH + base
    down = np.clip(config.lowest - low, -_TRANSPOSE, 0)
    up = np.clip(config.highest - high, 0, _TRANSPOSE)
    shifts: Ints = rng.integers(down, up + 1)
    return shifts


def _gated(sounding: Ints, struck: Flags, rng: np.random.Generator) -> Ints:
    """Some lines played shorter: a share of every note's length is silenced."""
    count, steps = sounding.shape
    chosen: Flags = np.asarray(rng.random(count) < _GATE_CHANCE)
    share = rng.choice([0.25, 0.5, 0.75], count)
    place = np.arange(steps)[None]
    began = np.maximum.accumulate(np.where(struck, place, 0), axis=1)
    following = np.full((count, steps + 1), steps, dtype=np.int64)
    following[:, :-1] = np.where(struck | (sounding == SILENT), place, steps)
    ends = np.minimum.accumulate(following[:, ::-1], axis=1)[:, ::-1][:, 1:]
    length = ends - began
    keep = place - began < np.maximum(1, np.ceil(length * share[:, None]))
    return np.where(chosen[:, None] & ~keep, SILENT, sounding)


def augment_together(
    melody: Ints, bass: Ints, drums: DrumGrid, configs: Sequence[ModelConfig], rng: np.random.Generator
) -> tuple[Ints, Ints, DrumGrid]:
    """Copies of trios (B, T) that stay together: melody and bass transposed alike, all parts turned alike; lines gated
    each for itself.
    """
    count, steps = melody.shape
    index = _turned(count, steps, _SHIFT_CHANCE, rng)
    shift = rng.integers(-_TRANSPOSE, _TRANSPOSE + 1, count)
    lines = []
    for tokens, config in zip((melody, bass), configs, strict=True):
        moved = folded(tokens, octave_shift(tokens, config) + shift, config)
        sounding, struck = tokens_line(moved)
        sounding, struck = np.take_along_axis(sounding, index, 1), np.take_along_axis(struck, index, 1)
        lines.append(line_tokens(_gated(sounding, struck, rng), struck))
    hits = np.take_along_axis(drums.hits, index, 1)
    velocities, offsets = (np.take_along_axis(x, index[:, :, None], 1) for x in (drums.velocities, drums.offsets))
    return lines[0], lines[1], DrumGrid(hits, velocities, offsets)


def augment_drums(drums: DrumGrid, other: DrumGrid, rng: np.random.Generator, *, rearranged: bool = True) -> DrumGrid:
    """Copies of drum windows (B, T) turned by beats, spliced with `other` or with some of its drums in place of their
    own (if they may be rearranged), with a class dropped, hat and ride exchanged, or played softer or louder.
    """
    count = len(drums.hits)
    bits = drums_in(drums.hits)
    velocities, offsets = drums.velocities, drums.offsets
    if rearranged:
        bits, velocities, offsets = _rearranged((bits, velocities, offsets), other, rng)
    order = np.tile(np.arange(DRUM_CLASSES), (count, 1))
    exchanged = rng.random(count) < _HAT_RIDE_CHANCE
    order[exchanged, _CLOSED_HAT], order[exchanged, _RIDE] = _RIDE, _CLOSED_HAT
    bits, velocities, offsets = (np.take_along_axis(x, order[:, None], 2) for x in (bits, velocities, offsets))
    dropped = np.where(rng.random(count) < _DROP_CLASS_CHANCE, rng.integers(0, DRUM_CLASSES, count), -1)
    without = bits * (np.arange(DRUM_CLASSES)[None, None] != dropped[:, None, None])
    bits = np.where(without.any(axis=(1, 2))[:, None, None], without, bits)
    louder = np.clip(velocities * rng.uniform(0.8, 1.2, count)[:, None, None], 1, 127).astype(np.int64)
    return DrumGrid((bits << np.arange(DRUM_CLASSES)).sum(-1), louder * bits, offsets)


def _rearranged(columns: tuple[Ints, Ints, Ints], other: DrumGrid, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Hits, velocities and offsets (B, T, 9), some with their second half or half of their drums from `other`, some
    turned by beats.
    """
    count, steps, _ = columns[0].shape
    other_bits = drums_in(other.hits)
    half = np.arange(steps) >= steps // 2
    spliced: Flags = np.asarray(rng.random(count) < _DRUM_SPLICE_CHANCE)
    exchanged: Flags = np.asarray(rng.random(count) < _DRUM_EXCHANGE_CHANCE)
    drums = exchanged[:, None] & (rng.random((count, DRUM_CLASSES)) < 0.5)
    take = (spliced[:, None] & half[None])[:, :, None] | drums[:, None]
    index = _turned(count, steps, _DRUM_SHIFT_CHANCE, rng)[:, :, None]
    partners = (other_bits, other.velocities, other.offsets)
    bits, velocities, offsets = (
        np.take_along_axis(np.where(take, theirs, ours), index, 1)
        for ours, theirs in zip(columns, partners, strict=True)
    )
    return bits, velocities, offsets
