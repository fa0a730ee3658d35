"""Pictures for reports: many small piano rolls on one sheet, and curves; small files of a few dozen colours.

Pillow is imported when a picture is drawn, not before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from bridge.music.grids import DRUM_CLASS_OF_PITCH, DRUM_CLASSES
from bridge.music.notes import BEATS_PER_BAR, Bars, Note
from bridge.music.palette import BACKGROUND, BAR_LINE, FAINT, PLOT, TEXT, VOICES, Colour
from bridge.whole_file import folders_for, in_place_of

_BEAT_LINE: Final[Colour] = (39, 45, 58)
_LOUDNESS: Final = 4  # how many brightnesses of a colour there are
_COLOURS: Final = 32
_WIDTH: Final = 1200
_MARGIN: Final = 14
_GAP: Final = 10
_CAPTION: Final = 15
_TITLE: Final = 30
_HEADING: Final = 26
_LINE_HEIGHT, _DRUMS_HEIGHT = 62, 56
_LEAST_KEYS: Final = 14
_HIGH_FLOOR: Final = 0.55  # curves that stay above this share of their highest are not drawn from 0


@dataclass(frozen=True, slots=True)
class Roll:
    """One small piano roll; `parts` says of each part of its notes whether it is drums, `marks` are beats to mark."""

    caption: str
    bars: Bars
    parts: tuple[bool, ...]
    marks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Rolls under a heading, so many side by side; those of one row may share their range of pitches."""

    heading: str
    rolls: tuple[Roll, ...]
    columns: int
    one_range: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """A row of (x, y); `colour` is its number among the voices' colours, without a name it is not in the legend."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: int = 0
    dotted: bool = False


def draw_sheet(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write one PNG with all the sections' rolls, 1200 pixels wide.

    Raises:
        OSError: the file cannot be written.
    """
    heights = [_HEADING + sum(_row_height(row) for row in _rows(section)) for section in sections]
    image, pen = _canvas(_WIDTH, _TITLE + sum(heights) + _MARGIN)
    _write(pen, _MARGIN, 8, title, 17, TEXT)
    top = _TITLE
    for section in sections:
        _write(pen, _MARGIN, top + 6, section.heading, 14, TEXT)
        top += _HEADING
        width = (_WIDTH - 2 * _MARGIN - (section.columns - 1) * _GAP) / section.columns
        for row in _rows(section):
            for column, roll in enumerate(row):
                like = row if section.one_range else (roll,)
                _roll(pen, roll, _MARGIN + column * (width + _GAP), top, width, like)
            top += _row_height(row)
    _save(image, path)


def _rows(section: Section) -> list[tuple[Roll, ...]]:
    starts = range(0, len(section.rolls), section.columns)
    return [section.rolls[start : start + section.columns] for start in starts]


def _row_height(row: Iterable[Roll]) -> int:
    return _CAPTION + _GAP + max(sum(_height(drums) for drums in roll.parts) for roll in row)


def _height(drums: bool) -> int:
    return _DRUMS_HEIGHT if drums else _LINE_HEIGHT


def _roll(pen: Any, roll: Roll, left: float, top: float, width: float, like: Sequence[Roll]) -> None:
    _write(pen, left, top, roll.caption, 11, FAINT)
    top += _CAPTION
    beat = width / roll.bars.length
    for part, drums in enumerate(roll.parts):
        bottom = top + _height(drums) - 2
        pen.rectangle((left, top, left + width - 1, bottom), PLOT)
        bar_wide = beat * BEATS_PER_BAR
        for place in range(round(roll.bars.length) + 1):
            on_bar = place % BEATS_PER_BAR == 0
            if on_bar or bar_wide > 40:
                x = min(left + width - 1, left + place * beat)
                pen.line((x, top, x, bottom), BAR_LINE if on_bar else _BEAT_LINE)
        for mark in roll.marks:
            pen.line((left + mark * beat, top, left + mark * beat, bottom), VOICES[4], width=2)
        notes = _of_part(roll, part)
        if drums:
            _hits(pen, notes, left, top, beat, bottom - top)
        elif notes:
            span = _span([note.pitch for other in like for note in _of_part(other, part)])
            _line(pen, notes, span, (left, top, beat, bottom - top), VOICES[part])
        top += _height(drums)


def _of_part(roll: Roll, part: int) -> list[Note]:
    return [note for note in roll.bars.notes if len(roll.parts) == 1 or note.part == part]


def _span(pitches: Sequence[int]) -> tuple[int, int]:
    low, high = min(pitches), max(pitches)
    missing = max(2, _LEAST_KEYS - (high - low + 1))
    return low - missing // 2, high + missing - missing // 2


def _line(
    pen: Any, notes: Sequence[Note], span: tuple[int, int], at: tuple[float, float, float, float], colour: Colour
) -> None:
    left, top, beat, height = at
    low, high = span
    key = height / (high - low + 1)
    for note in notes:
        y = top + (high - note.pitch) * key
        end = left + note.end * beat - 2
        pen.rectangle((left + note.start * beat, y, max(end, left + note.start * beat + 1), y + max(2, key - 1)),
                      _shade(colour, note.velocity))  # fmt: skip


def _hits(pen: Any, notes: Sequence[Note], left: float, top: float, beat: float, height: float) -> None:
    row = height / DRUM_CLASSES
    wide = max(2.0, min(5.0, 0.14 * beat))
    for note in notes:
        drum = DRUM_CLASS_OF_PITCH.get(note.pitch)
        if drum is not None:
            x, y = left + note.start * beat, top + (DRUM_CLASSES - 1 - drum) * row
            pen.rectangle((x, y + 1, x + wide, y + row - 1), _shade(VOICES[2], note.velocity))


def _shade(colour: Colour, velocity: int) -> Colour:
    share = 0.4 + 0.6 * (velocity * _LOUDNESS // 128 + 1) / _LOUDNESS
    red, green, blue = (round(low + (high - low) * share) for low, high in zip(PLOT, colour, strict=True))
    return red, green, blue


def draw_curves(
    path: Path, title: str, panels: Mapping[str, Sequence[Curve]], x_name: str, *, width: int = 1200, height: int = 300
) -> None:
    """Write one PNG with a panel of curves for each entry of `panels`, side by side.

    Raises:
        OSError: the file cannot be written.
    """
    image, pen = _canvas(width, height)
    _write(pen, _MARGIN, 8, title, 17, TEXT)
    each = (width - 2 * _MARGIN) / len(panels)
    for index, (name, curves) in enumerate(panels.items()):
        box = (_MARGIN + index * each + 44, _TITLE + 34, _MARGIN + (index + 1) * each - 16, height - 34)
        _write(pen, box[0], _TITLE + 2, name, 13, TEXT)
        _panel(pen, box, curves, x_name)
    _save(image, path)


def _panel(pen: Any, box: tuple[float, float, float, float], curves: Sequence[Curve], x_name: str) -> None:
    left, top, right, bottom = box
    points = [point for curve in curves for point in curve.points]
    pen.rectangle(box, PLOT)
    if not points:
        return
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = min(y for _, y in points), max(y for _, y in points)
    y_low = 0.95 * y_low if y_low > _HIGH_FLOOR * y_high else min(0.0, y_low)
    x_span, y_span = max(1e-9, x_high - x_low), max(1e-9, 1.06 * (y_high - y_low))

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (x - x_low) / x_span * (right - left), bottom - (y - y_low) / y_span * (bottom - top)

    for mark in range(5):
        value = y_low + y_span * mark / 4
        y = place(x_low, value)[1]
        pen.line((left, y, right, y), _BEAT_LINE)
        _write(pen, left - 4, y - 6, f"{value:.3g}", 10, FAINT, right=True)
    for x in (x_low, x_high):
        _write(pen, place(x, y_low)[0], bottom + 5, f"{x:.3g}", 10, FAINT, right=x == x_high)
    _write(pen, (left + right) / 2 - 20, bottom + 16, x_name, 10, FAINT)
    at = left
    for curve in curves:
        colour = VOICES[curve.colour % len(VOICES)]
        line = [place(x, y) for x, y in curve.points]
        if curve.dotted:
            _dots(pen, line, colour)
        elif len(line) > 1:
            pen.line(line, colour, width=2)
        if curve.name:
            _write(pen, at, top - 16, curve.name, 11, colour)
            at += 12 + 6.4 * len(curve.name)


def _dots(pen: Any, line: Sequence[tuple[float, float]], colour: Colour) -> None:
    for (x, y), (to_x, to_y) in pairwise(line):
        count = max(1, round(max(abs(to_x - x), abs(to_y - y)) / 6))
        for part in range(count):
            at = x + (to_x - x) * part / count, y + (to_y - y) * part / count
            pen.rectangle((*at, at[0] + 1, at[1] + 1), colour)


def _canvas(width: int, height: int) -> tuple[Any, Any]:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), BACKGROUND)
    return image, ImageDraw.Draw(image)


def _write(pen: Any, x: float, y: float, text: str, size: float, colour: Colour, *, right: bool = False) -> None:
    from PIL import ImageFont

    pen.text((x, y), text, colour, ImageFont.load_default(size), anchor="ra" if right else "la")


def _save(image: Any, path: Path) -> None:
    with folders_for(path), in_place_of(path) as beside:
        image.quantize(_COLOURS).save(beside, "PNG", optimize=True)
