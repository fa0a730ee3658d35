"""Bars as the model's windows and back: what the grid takes away (register, velocities, length) is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from bridge.model.data.augment import folded, moved_lines, octave_shift
from bridge.model.nets.config import ModelConfig
from bridge.model.nets.keys import held_steps, shifts_to_c
from bridge.music.grids import (
    LOWEST_PITCH,
    NOTE_OFF,
    PITCHES,
    TOP_PITCH,
    VELOCITY_BINS,
    DrumGrid,
    Ints,
    bin_velocity,
    decode_drums,
    decode_line,
    encode_drums,
    encode_line,
    held_notes,
    line_of,
    line_tokens,
    metric_velocity,
    note_arrays,
)
from bridge.music.notes import (
    STEP_BEATS,
    STEPS_PER_BAR,
    Bars,
    Note,
    cut,
    in_order,
    join,
    repeated_to,
    step_of,
    without_early,
)

#: So long the lines of trios hold a note.
_LONGEST_HELD_STEPS = 2 * STEPS_PER_BAR


@dataclass(frozen=True, slots=True)
class WindowTokens:
    """One decoded or encoded window: tokens (T,), and for drums velocities 0-127 and offset bins (T, 9); of a trio all
    of it as a stream (3T), see `streamed`.
    """

    tokens: Ints
    velocities: Ints | None = None
    offsets: Ints | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What decoded bars take over from those they come from.

    `shift` is how many semitones the source was brought up to fit the model: `key` of them into the prior's key (see
    `nets.keys`), the rest octaves; `accents` are its velocities by place in the bar (16), None where it had no
    notes. A trio has a frame for each of its `parts`; where it has none, `shift` is that of its lines.
    """

    shift: int = 0
    accents: tuple[int, ...] | None = None
    parts: tuple[Frame, ...] = ()
    key: int = 0

    def of_part(self, part: int, config: ModelConfig) -> Frame:
        """The frame of one part of a model."""
        if self.parts:
            return self.parts[part]
        return Frame() if config.parts[part] == "drums" else self

    @property
    def bare(self) -> Frame:
        """The frame without its accents."""
        return replace(self, accents=None, parts=tuple(part.bare for part in self.parts))


def window_beats(config: ModelConfig) -> float:
    """How long a window of the model is, in beats."""
    return config.steps * STEP_BEATS


def windows_needed(length_beats: float, config: ModelConfig) -> int:
    """How many windows fill a length."""
    return max(1, math.ceil(length_beats / window_beats(config) - 1e-9))


def accents_of(notes: Sequence[Note]) -> tuple[int, ...] | None:
    """Velocities by place in the bar: the mean of the notes there, else the metric accent at the notes' level."""
    if not notes:
        return None
    by_place: dict[int, list[int]] = {}
    for note in notes:
        by_place.setdefault(step_of(note.start) % STEPS_PER_BAR, []).append(note.velocity)
    level = fmean(n.velocity for n in notes) - fmean(metric_velocity(step_of(n.start)) for n in notes)
    guess = [max(1, min(127, round(metric_velocity(place) + level))) for place in range(STEPS_PER_BAR)]
    return tuple(round(fmean(by_place[p])) if p in by_place else guess[p] for p in range(STEPS_PER_BAR))


def frame_of(bars: Bars, config: ModelConfig) -> Frame:
    """The frame of bars: one shift for the whole of them (of each part), into the prior's key and by octaves into the
    model's range, and their accents. Bars that fit into the range only as they are keep their key.
    """
    lines = _lines_of(bars, config)
    key = int(shifts_to_c(sum((held_steps(line[None]) for line in lines.values()), np.zeros((1, 12))))[0])
    shifts, at_home = _shifts(lines, config, key), _shifts(lines, config, 0)
    for part, line in lines.items():
        own = config.of_part(part)
        if _fits(line, at_home[part], own) and not _fits(line, shifts[part], own):
            return _framed(bars, config, at_home, 0)
    return _framed(bars, config, shifts, key)


def octave_frame_of(bars: Bars, config: ModelConfig) -> Frame:
    """The frame of bars in the key that they are in."""
    return _framed(bars, config, _shifts(_lines_of(bars, config), config, 0), 0)


def _lines_of(bars: Bars, config: ModelConfig) -> dict[int, Ints]:
    """The tokens (T,) of bars by part, drums apart."""
    steps = max(1, round(bars.length / STEP_BEATS))
    many = len(config.parts) > 1
    return {
        part: encode_line(part_of(bars, part) if many else bars, steps, top=name == "melody")
        for part, name in enumerate(config.parts)
        if name != "drums"
    }


def _shifts(lines: Mapping[int, Ints], config: ModelConfig, key: int) -> dict[int, int]:
    """By how many semitones each line comes into its range: those of the key, and octaves."""
    move = np.array([key])
    return {
        part: key + int(octave_shift(moved_lines(line[None], move), config.of_part(part))[0])
        for part, line in lines.items()
    }


def _fits(line: Ints, shift: int, config: ModelConfig) -> bool:
    pitches = line[line < PITCHES] + LOWEST_PITCH + shift
    return bool(((pitches >= config.lowest) & (pitches <= config.highest)).all())


def _framed(bars: Bars, config: ModelConfig, shifts: Mapping[int, int], key: int) -> Frame:
    def own(notes: Sequence[Note], part: int) -> Frame:
        return Frame(shifts[part], accents_of(notes), key=key) if part in shifts else Frame()

    if len(config.parts) == 1:
        return own(bars.notes, 0)
    return Frame(parts=tuple(own(part_of(bars, part).notes, part) for part in range(len(config.parts))))


def common_frames(loops: Sequence[Bars], config: ModelConfig) -> list[Frame]:
    """The frames of loops that are to be mixed: the octave shift of all of them together, each with its own accents."""
    whole = octave_frame_of(join(loops), config)
    own = [octave_frame_of(loop, config) for loop in loops]
    return [_shifted_as(whole, frame) for frame in own]


def _shifted_as(whole: Frame, own: Frame) -> Frame:
    parts = tuple(_shifted_as(a, b) for a, b in zip(whole.parts, own.parts, strict=True))
    return replace(whole, accents=own.accents, parts=parts)


def mixed_frame(frames: Sequence[Frame], shares: Sequence[float]) -> Frame:
    """The accents of frames with one common shift, mixed by `shares`; none where one of them has none."""
    parts = tuple(mixed_frame(each, shares) for each in zip(*(frame.parts for frame in frames), strict=True))
    mixed = [0.0] * STEPS_PER_BAR
    for frame, share in zip(frames, shares, strict=True):
        if frame.accents is None:
            return replace(frames[0], accents=None, parts=parts)
        mixed = [m + share * accent for m, accent in zip(mixed, frame.accents, strict=True)]
    return replace(frames[0], accents=tuple(round(m) for m in mixed), parts=parts)


def to_windows(bars: Bars, frame: Frame, config: ModelConfig) -> list[WindowTokens]:
    """The windows of bars, one after the other; a last one that is not full is filled from the loop's beginning."""
    if config.part == "trio":
        by_part = [
            to_windows(part_of(bars, part), frame.of_part(part, config), config.of_part(part))
            for part in range(len(config.parts))
        ]
        return [streamed(parts) for parts in zip(*by_part, strict=True)]
    count = windows_needed(bars.length, config)
    filled = repeated_to(bars, count * window_beats(config))
    steps = count * config.steps
    places = [slice(begin, begin + config.steps) for begin in range(0, steps, config.steps)]
    # All of it onto the grid before it is divided: what is played a little early or late belongs to its step.
    if config.part == "drums":
        grid = encode_drums(filled, steps)
        return [WindowTokens(grid.hits[at], grid.velocities[at], grid.offsets[at]) for at in places]
    line = line_of(note_arrays(filled.notes), steps, top=config.part == "melody")
    tokens = np.stack([line_tokens(line.sounding[at], line.struck[at]) for at in places])
    return [WindowTokens(row) for row in folded(tokens, np.full(count, frame.shift), config)]


def to_bars(windows: Sequence[WindowTokens], frame: Frame, config: ModelConfig, length_beats: float) -> Bars:
    """The bars of decoded windows, cut to `length_beats`: notes that reach over the end are closed there, and of drums
    those are left out that are early for a step after it.
    """
    if config.part == "trio":
        apart = [unstreamed(window, config) for window in windows]
        notes: list[Note] = []
        for part in range(len(config.parts)):
            mine = [parts[part] for parts in apart]
            made = to_bars(mine, frame.of_part(part, config), config.of_part(part), length_beats)
            notes += [note.in_part(part) for note in made.notes]
        return Bars(in_order(notes), length_beats)
    if config.part == "drums":  # all of it off the grid at once: a window's first hits may come before its line
        return without_early(cut(decode_drums(_whole_grid(windows)), 0.0, length_beats))
    pieces = (decode_line(window.tokens, frame_velocity(frame)) for window in windows)
    return transposed(cut(join(pieces), 0.0, length_beats), -frame.shift)


def _whole_grid(windows: Sequence[WindowTokens]) -> DrumGrid:
    velocities = [window.velocities for window in windows if window.velocities is not None]
    offsets = [window.offsets for window in windows if window.offsets is not None]
    tokens = np.concatenate([window.tokens for window in windows])
    return DrumGrid(tokens, np.concatenate(velocities), np.concatenate(offsets))


def frame_velocity(frame: Frame) -> Velocity:
    """The velocity of a note struck at a step, by the frame's accents."""
    return Velocity(frame.accents)


@dataclass(frozen=True, slots=True)
class Velocity:
    """Velocity by step: the accents given, else the metric ones."""

    accents: tuple[int, ...] | None

    def __call__(self, step: int) -> int:
        """The velocity at a step."""
        return metric_velocity(step) if self.accents is None else self.accents[step % STEPS_PER_BAR]


def transposed(bars: Bars, semitones: int) -> Bars:
    """Bars moved by semitones; a note that would leave the piano stays inside it, octaves away."""
    if semitones == 0:
        return bars
    notes = []
    for note in bars.notes:
        pitch = note.pitch + semitones
        pitch += 12 * max(0, math.ceil((LOWEST_PITCH - pitch) / 12)) - 12 * max(0, math.ceil((pitch - TOP_PITCH) / 12))
        notes.append(Note(pitch, note.start, note.duration, note.velocity, note.part))
    return Bars(in_order(notes), bars.length)


def part_of(bars: Bars, part: int) -> Bars:
    """The notes of one part, as a loop of their own."""
    return Bars(tuple(note.in_part(0) for note in bars.notes if note.part == part), bars.length)


def streamed(parts: Sequence[WindowTokens]) -> WindowTokens:
    """The windows of a trio's parts as one: a bar of the melody, that bar of the bass, that of the drums, and so on."""
    count = len(parts)

    def joined(columns: Sequence[Ints]) -> Ints:
        bars = np.stack([column.reshape(-1, STEPS_PER_BAR, *column.shape[1:]) for column in columns], 1)
        return bars.reshape(count * len(columns[0]), *columns[0].shape[1:])

    drums = parts[-1]
    assert drums.velocities is not None
    assert drums.offsets is not None
    nothing = [np.zeros_like(drums.velocities)] * (count - 1)
    velocities, offsets = joined([*nothing, drums.velocities]), joined([*nothing, drums.offsets])
    return WindowTokens(joined([part.tokens for part in parts]), velocities, offsets)


def in_stream(biases: Sequence[Tensor], config: ModelConfig) -> Tensor:
    """Biases (T, C) on the parts of a trio as one on its stream (3T, C); of a model with one part, that part's."""
    if len(biases) == 1:
        return biases[0]
    stream = torch.zeros(config.bars, len(biases), STEPS_PER_BAR, config.classes)
    for part, bias in enumerate(biases):
        stream[:, part, :, : bias.shape[1]] = bias.reshape(config.bars, STEPS_PER_BAR, -1)
    return stream.reshape(config.stream_steps, config.classes)


def unstreamed(window: WindowTokens, config: ModelConfig) -> list[WindowTokens]:
    """A window part by part: the inverse of `streamed`, also of one whose drums do not know how hard they are struck
    yet; of a model with one part, the window.
    """
    count = len(config.parts)
    if count == 1:
        return [window]

    def split(column: Ints, part: int) -> Ints:
        bars = column.reshape(-1, count, STEPS_PER_BAR, *column.shape[1:])[:, part]
        return bars.reshape(len(column) // count, *column.shape[1:])

    made = [WindowTokens(split(window.tokens, part)) for part in range(count)]
    if window.velocities is not None and window.offsets is not None:
        dynamics = (split(column, count - 1) for column in (window.velocities, window.offsets))
        made[-1] = WindowTokens(made[-1].tokens, *dynamics)
    return made


def struck_steps(config: ModelConfig) -> Ints:
    """The places in a window (of a trio: in the stream) that belong to lines, which strike pitches."""
    lines = np.array([part != "drums" for part in config.parts]).repeat(STEPS_PER_BAR)
    found: Ints = np.flatnonzero(np.tile(lines, config.bars))
    return found


def rested(window: WindowTokens, config: ModelConfig, before: Sequence[WindowTokens] = ()) -> WindowTokens:
    """A trio's window in which a line rests, from the bar line after a note on, where it would hold that for longer
    than two bars, and than any in the windows `before`; the window of another model as it is.

    A bar without events is one that rests or one in which a note is held: which, only the note-off in an earlier bar
    says, and a trio's point tells bars too roughly for all of those. Melodies so held a note of more than two bars for
    .12 of the time, basses for .05; those of songs for .01 and .004.
    """
    if config.part != "trio":
        return window
    earlier = [unstreamed(each, config) for each in before]
    parts = unstreamed(window, config)
    for part, name in enumerate(config.parts):
        if name != "drums":
            held_before = (length for each in earlier for _, length in held_notes(each[part].tokens))
            longest = max([_LONGEST_HELD_STEPS, *held_before])
            tokens = parts[part].tokens.copy()
            for onset, length in held_notes(tokens):
                if length > longest:
                    tokens[(onset // STEPS_PER_BAR + 1) * STEPS_PER_BAR] = NOTE_OFF
            parts[part] = WindowTokens(tokens)
    return streamed(parts)


def is_heard(window: WindowTokens, config: ModelConfig, steps: int) -> bool:
    """Whether anything is struck in the first `steps` of a window; in a trio's, by every part."""
    if config.part == "trio":
        return all(
            is_heard(part, config.of_part(index), steps) for index, part in enumerate(unstreamed(window, config))
        )
    tokens = window.tokens[:steps]
    struck = tokens > 0 if config.part == "drums" else tokens < PITCHES
    return bool(struck.any())


def is_silent(window: WindowTokens, config: ModelConfig) -> bool:
    """Whether nothing at all is struck in a window, by any of its parts. No model has learnt from such: from their
    points it may play a note that is held, or two.
    """
    parts = unstreamed(window, config)
    return not any(is_heard(part, config.of_part(index), config.steps) for index, part in enumerate(parts))


def as_tensors(windows: Sequence[WindowTokens]) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Windows as a batch: tokens (W, T), velocities and offsets (W, T, 9) or None."""
    tokens = torch.from_numpy(np.stack([w.tokens for w in windows]).astype(np.int64))
    if windows[0].velocities is None:
        return tokens, None, None
    velocities = np.stack([w.velocities for w in windows if w.velocities is not None])
    offsets = np.stack([w.offsets for w in windows if w.offsets is not None])
    return tokens, torch.from_numpy(velocities), torch.from_numpy(offsets)


def drum_window(tokens: Ints, velocity_bins: Ints, offsets: Ints) -> WindowTokens:
    """A window from decoded classes: velocity bins (T, 9) become velocities."""
    table = np.array([bin_velocity(b) for b in range(VELOCITY_BINS)])
    return WindowTokens(tokens, table[velocity_bins], offsets)
