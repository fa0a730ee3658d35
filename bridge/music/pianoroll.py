"""Piano-roll pictures: voices in lanes under one ruler, with captions for what happened, as a PNG for dark pages.

Pillow is imported when a picture is drawn, not before. Pitches are named as Live names them: 60 is C3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.music.grids import DRUM_CLASS_OF_PITCH, DRUM_NAMES
from bridge.music.notes import Note
from bridge.music.palette import BACKGROUND, BAR_LINE, FAINT, PLOT, TEXT, VOICES, Colour
from bridge.whole_file import in_place_of

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Box = tuple[float, float, float, float]

_BLACK_KEY: Final[Colour] = (22, 25, 33)
_STEP_LINE: Final[Colour] = (33, 38, 50)
_BEAT_LINE: Final[Colour] = (43, 49, 63)
_MARKER: Final[Colour] = (246, 214, 118)

# Everything below is in points; the picture has `_DENSITY` pixels a point and is drawn `_OVERSAMPLE` finer than that.
_DENSITY: Final = 2
_OVERSAMPLE: Final = 2
_GUTTER: Final = 112.0
_MARGIN: Final = 20.0
_TITLE_HEIGHT: Final = 44.0
_RULER_HEIGHT: Final = 20.0
_CAPTION_HEIGHT: Final = 22.0
_LANE_GAP: Final = 10.0
_KEY_HEIGHT: Final = 7.0
_DRUM_HEIGHT: Final = 15.0
_MIN_KEYS: Final = 15
_PLOT_POINTS: Final = 1120.0
_BEAT_POINTS: Final = (12.0, 56.0)  # least and most width of a beat
_MAX_PLOT_POINTS: Final = 6000.0  # a picture of a whole evening would not fit into memory
_ARROW: Final = "\u2192"
_BLACK_KEYS: Final = frozenset({1, 3, 6, 8, 10})


@dataclass(frozen=True, slots=True)
class Lane:
    """One voice of the picture: its name and its notes, starts in beats from the beginning of the song."""

    name: str
    notes: Sequence[Note]
    drums: bool = False


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a lane, top to bottom: what each stands for (pitch, or drum class) and its label, if it has one."""

    keys: tuple[int, ...]
    labels: dict[int, str]
    height: float
    drums: bool

    def row_of(self, pitch: int) -> int | None:
        key = DRUM_CLASS_OF_PITCH.get(pitch) if self.drums else pitch
        return self.keys.index(key) if key in self.keys else None

    @property
    def total_height(self) -> float:
        return len(self.keys) * self.height


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where beats are on the picture, in points."""

    first_beat: float
    last_beat: float
    beat_points: float

    def x(self, beat: float) -> float:
        return _GUTTER + (beat - self.first_beat) * self.beat_points

    @property
    def right(self) -> float:
        return self.x(self.last_beat)


class _Pen:
    """Pillow's drawing calls, in points."""

    def __init__(self, image_draw: ImageDraw) -> None:
        from PIL import ImageFont

        self._draw = image_draw
        self._scale = _DENSITY * _OVERSAMPLE
        self._font: Any = ImageFont.load_default
        self._fonts: dict[float, Any] = {}

    def _sized(self, points: float) -> Any:
        if points not in self._fonts:
            self._fonts[points] = self._font(points * self._scale)
        return self._fonts[points]

    def box(self, box: Box, fill: Colour, radius: float = 0.0, outline: Colour | None = None) -> None:
        x0, y0, x1, y1 = (round(value * self._scale) for value in box)
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        if outline is None:
            self._draw.rounded_rectangle(corners, radius * self._scale, fill)
        else:
            self._draw.rounded_rectangle(corners, radius * self._scale, fill, outline, self._scale // 2)

    def text(self, x: float, y: float, text: str, points: float, fill: Colour, anchor: str = "lm") -> None:
        """Text with arrows, which the built-in font has not; an arrow needs an anchor to the left."""
        for index, piece in enumerate(text.split(_ARROW)):
            if index:
                self._arrow(x, y, points, fill)
                x += points
            self._draw.text((x * self._scale, y * self._scale), piece, fill, self._sized(points), anchor)
            x += self.width(piece, points)

    def width(self, text: str, points: float) -> float:
        plain = text.replace(_ARROW, "")
        return float(self._sized(points).getlength(plain)) / self._scale + (len(text) - len(plain)) * points

    def _arrow(self, x: float, y: float, points: float, fill: Colour) -> None:
        tip, wing = x + 0.92 * points, 0.26 * points
        self.box((x + 0.08 * points, y - 0.045 * points, tip - wing, y + 0.045 * points), fill)
        head = ((tip, y), (tip - 1.3 * wing, y - wing), (tip - 1.3 * wing, y + wing))
        self._draw.polygon([(a * self._scale, b * self._scale) for a, b in head], fill)


def draw(
    lanes: Sequence[Lane],
    path: Path,
    *,
    title: str,
    beats: tuple[float, float],
    markers: Sequence[tuple[float, str]] = (),
    beats_per_bar: float = 4.0,
) -> None:
    """Write a picture of `lanes` from `beats[0]` to `beats[1]` to `path`, a PNG, beside it first and then renamed.

    `markers` are (beat, caption) pairs. Louder notes are brighter. Raises ValueError where the beats do not go upwards,
    OSError where the file cannot be written.
    """
    from PIL import Image, ImageDraw

    first, last = beats
    if not (math.isfinite(first) and math.isfinite(last) and first < last):
        raise ValueError(f"beats {first} to {last}: expected two numbers, the second greater")
    least, most = _BEAT_POINTS
    points = min(max(_PLOT_POINTS / (last - first), least), most, _MAX_PLOT_POINTS / (last - first))
    plot = _Plot(first, last, points)
    rows = [_rows_of(lane, plot) for lane in lanes]
    shown = [marker for marker in markers if first <= marker[0] <= last]
    scale = _DENSITY * _OVERSAMPLE
    measure = _Pen(ImageDraw.Draw(Image.new("RGB", (1, 1))))
    width = max(plot.right, _GUTTER + measure.width(title, 17) + 140) + _MARGIN
    width = max(width, *(plot.x(beat) + _flag(measure, caption) + 8 for beat, caption in shown), 0.0)
    tiers = _tiers(shown, plot, measure)
    top = _TITLE_HEIGHT + max(tiers, default=-1) * _CAPTION_HEIGHT + (_CAPTION_HEIGHT if tiers else 0) + _RULER_HEIGHT
    bottom = top + sum(row.total_height + _LANE_GAP for row in rows) - _LANE_GAP * bool(rows)
    size = (math.ceil(width) * scale, math.ceil(bottom + _MARGIN) * scale)
    image = Image.new("RGB", size, BACKGROUND)
    pen = _Pen(ImageDraw.Draw(image))

    pen.text(_MARGIN, _TITLE_HEIGHT / 2 + 2, title, 17, TEXT)
    _ruler(pen, plot, top, beats_per_bar)
    tops = list(accumulate((row.total_height + _LANE_GAP for row in rows), initial=top))
    voices = list(zip(lanes, rows, tops, cycle(VOICES), strict=False))
    for lane, lane_rows, y, colour in voices:
        _ground(pen, plot, lane, lane_rows, y, colour, beats_per_bar)
    for (beat, caption), tier in zip(shown, tiers, strict=True):
        _marker(pen, plot, beat, caption, _TITLE_HEIGHT + tier * _CAPTION_HEIGHT, bottom)
    for lane, lane_rows, y, colour in voices:
        _notes(pen, plot, lane, lane_rows, y, colour)
    picture = image.resize((size[0] // _OVERSAMPLE, size[1] // _OVERSAMPLE), Image.Resampling.BOX)
    with in_place_of(path) as beside:
        picture.save(beside, "PNG", optimize=True, dpi=(72 * _DENSITY, 72 * _DENSITY))


def _rows_of(lane: Lane, plot: _Plot) -> _Rows:
    seen = [note for note in lane.notes if note.end > plot.first_beat and note.start < plot.last_beat]
    if lane.drums:
        found = {DRUM_CLASS_OF_PITCH[note.pitch] for note in seen if note.pitch in DRUM_CLASS_OF_PITCH}
        kinds = tuple(sorted(found or {0}, reverse=True))
        return _Rows(kinds, {kind: DRUM_NAMES[kind] for kind in kinds}, _DRUM_HEIGHT, True)
    low = min((note.pitch for note in seen), default=60) - 2
    high = max((note.pitch for note in seen), default=71) + 2
    missing = max(0, _MIN_KEYS - (high - low + 1))
    low, high = max(0, low - missing // 2), min(127, high + missing - missing // 2)
    keys = tuple(range(high, low - 1, -1))
    return _Rows(keys, {key: pitch_name(key) for key in keys if key % 12 == 0}, _KEY_HEIGHT, False)


def pitch_name(pitch: int) -> str:
    """The name of a MIDI pitch as Live shows it: 60 is C3."""
    names = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
    return f"{names[pitch % 12]}{pitch // 12 - 2}"


def _tiers(markers: Sequence[tuple[float, str]], plot: _Plot, pen: _Pen) -> list[int]:
    """For each caption the line it stands on, from the top, so that none covers another."""
    ends: list[float] = []
    tiers = []
    for beat, caption in markers:
        x = plot.x(beat)
        tier = next((line for line, end in enumerate(ends) if end <= x), len(ends))
        ends[tier : tier + 1] = [x + _flag(pen, caption) + 6]
        tiers.append(tier)
    return tiers


def _flag(pen: _Pen, caption: str) -> float:
    return pen.width(caption, 11) + 12


def _lines(plot: _Plot, every_beats: float) -> list[float]:
    first = math.ceil(plot.first_beat / every_beats - 1e-9)
    last = math.floor(plot.last_beat / every_beats + 1e-9)
    return [index * every_beats for index in range(first, last + 1)]


def _ruler(pen: _Pen, plot: _Plot, top: float, beats_per_bar: float) -> None:
    pen.text(_MARGIN, top - 10, "bar", 10, FAINT)
    every = 2 ** max(0, math.ceil(math.log2(26 / (beats_per_bar * plot.beat_points))))
    for beat in _lines(plot, beats_per_bar * every):
        if beat < plot.last_beat:
            pen.text(plot.x(beat) + 3, top - 10, str(round(beat / beats_per_bar) + 1), 10, FAINT)


def _ground(pen: _Pen, plot: _Plot, lane: Lane, rows: _Rows, top: float, colour: Colour, beats_per_bar: float) -> None:
    bottom = top + rows.total_height
    pen.box((_GUTTER, top, plot.right, bottom), PLOT)
    pen.box((_MARGIN, top, _MARGIN + 3, bottom), colour, 1.5)
    for index, key in enumerate(rows.keys):
        y = top + index * rows.height
        if index % 2 if rows.drums else key % 12 in _BLACK_KEYS:
            pen.box((_GUTTER, y, plot.right, y + rows.height), _BLACK_KEY)
    for every, colour_of in ((0.25, _STEP_LINE), (1.0, _BEAT_LINE), (beats_per_bar, BAR_LINE)):
        if every * plot.beat_points < 5:
            continue
        for beat in _lines(plot, every):
            x = plot.x(beat)
            pen.box((x - 0.25, top, x + 0.25, bottom), colour_of)
    pen.text(_MARGIN + 11, top + 9, lane.name, 13, colour)
    for index, key in enumerate(rows.keys):
        if key in rows.labels:
            pen.text(_GUTTER - 6, top + (index + 0.5) * rows.height, rows.labels[key], 9, FAINT, "rm")


def _notes(pen: _Pen, plot: _Plot, lane: Lane, rows: _Rows, top: float, colour: Colour) -> None:
    for note in lane.notes:
        row = rows.row_of(note.pitch)
        if row is not None and note.end > plot.first_beat and note.start < plot.last_beat:
            _note(pen, plot, note, rows, top + row * rows.height, colour)


def _note(pen: _Pen, plot: _Plot, note: Note, rows: _Rows, y: float, colour: Colour) -> None:
    left = max(plot.x(note.start), _GUTTER)
    fill = _mix(PLOT, colour, 0.28 + 0.72 * note.velocity / 127)
    if rows.drums:  # a stroke has no length: a mark that is taller the louder it is
        tall = (rows.height - 3) * (0.45 + 0.55 * note.velocity / 127)
        middle = y + rows.height / 2
        pen.box(
            (left, middle - tall / 2, left + max(3.0, min(5.0, 0.17 * plot.beat_points)), middle + tall / 2), fill, 1.2
        )
        return
    right = min(max(plot.x(note.end) - 0.6, left + 2.0), plot.right)
    pen.box((left, y + 0.4, right, y + rows.height - 0.4), fill, 1.8, _mix(fill, TEXT, 0.25))


def _marker(pen: _Pen, plot: _Plot, beat: float, caption: str, y: float, bottom: float) -> None:
    x = plot.x(beat)
    pen.box((x - 0.4, y, x + 0.4, bottom), _mix(BACKGROUND, _MARKER, 0.75))
    pen.box((x, y, x + _flag(pen, caption), y + 17), _MARKER, 3)
    pen.text(x + 6, y + 8.5, caption, 11, BACKGROUND)


def _mix(low: Colour, high: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return red, green, blue
