"""What one argument of an address may be, and the check that a message's arguments are that.

Numbers come as they come (``i f h d``): a whole-valued float is an integer, 0 and 1 are truth. Nothing is clamped: what
lies outside is refused, but for `NUMBER_SLACK`, within which a 32-bit float that missed its bound is set to it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from bridge.limits import (
    MAX_CHORDS,
    MAX_LOOP_BEATS,
    MAX_NAME_CHARS,
    MAX_NOTES_PER_MESSAGE,
    NUMBER_SLACK,
)
from bridge.music.harmony import CHORDS
from bridge.music.notes import NoteRow
from bridge.osc.decoder import NOT_UTF8
from bridge.session.outside import RANGE, RefusedError

ChordRow = tuple[float, int, str]
"""beat from the start of the chord loop, root 0-11, quality."""

WRONG_ARGUMENTS: Final = 2
"""The code of contract 3.5 for a wrong number or type of arguments."""
QUALITIES: Final = tuple(CHORDS)
_NAME_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_ ")
_SHOWN_CHARS: Final = 40  # of a sender's own text in an error message
_KIND_NAMES: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "0 or 1 (or T or F)",
    "choice": "a string",
    "name": "a string",
}
_ROWS: Final = {"notes": (5, MAX_NOTES_PER_MESSAGE), "chords": (3, MAX_CHORDS)}  # width, how many at most


@dataclasses.dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an address.

    `kind`: ``int``, ``float``, ``bool``, ``choice`` (one of `choices`), ``name`` (1 to `MAX_NAME_CHARS` letters,
    digits, ``-``, ``_`` and spaces, so never a path), or, last only, the runs ``notes`` and ``chords``.
    `low` to `high` is the range, of which only `values` are allowed where they are given; for runs `low` is how many
    there must be at least. `code`: the error of a string that is not among `choices`.
    """

    name: str
    kind: str
    low: float = 0
    high: float = 0
    unit: str = ""
    optional: bool = False
    default: Any = None
    values: tuple[int, ...] = ()
    choices: tuple[str, ...] = ()
    code: int = RANGE

    @property
    def is_run(self) -> bool:
        """Whether the argument takes all that is left of the message."""
        return self.kind in _ROWS

    def allowed(self) -> str:
        """What is allowed, in words."""
        unit = f" {self.unit}" if self.unit else ""
        if self.kind == "choice":
            return ", ".join(self.choices)
        if self.kind == "bool":
            return "0 or 1"
        if self.kind == "name":
            return f"1 to {MAX_NAME_CHARS} letters, digits, '-', '_' or spaces"
        if self.kind == "notes":
            return "pitch start duration velocity part, again and again"
        if self.kind == "chords":
            return "beat root quality, again and again"
        if self.values:
            return ", ".join(map(str, self.values))
        return f"{_show(self.low)} to {_show(self.high)}{unit}"


def check(arguments: Sequence[object], specs: Sequence[Argument], together: bool = False) -> dict[str, Any]:
    """The arguments by name, typed, defaults filled in; `together`: the optional ones come all or none.

    Raises:
        RefusedError: 2 for a wrong number or type, 3 out of range (5 where the argument says so).
    """
    run = specs[-1] if specs and specs[-1].is_run else None
    fixed = specs[:-1] if run else specs
    count = len(arguments)
    least = sum(not spec.optional for spec in fixed)
    most = len(fixed)
    if count < least or (count > most and run is None) or (together and least < count < most):
        raise RefusedError(WRONG_ARGUMENTS, f"takes {signature(specs) or 'no arguments'}; {count} came")
    if run is not None:  # first, for of a message with very many arguments the decoder keeps only their number
        width, rows = _ROWS[run.kind]
        if count - most > width * rows:
            raise RefusedError(RANGE, f"more than {rows} {run.name} in one message")
    values: dict[str, Any] = {}
    for index, spec in enumerate(fixed):
        values[spec.name] = _single(spec, arguments[index]) if index < count else spec.default
    if run is not None:
        if count < most:  # an optional argument before the run is missing: there is no run either
            values[run.name] = run.default
        else:
            length = values.get("length")
            values[run.name] = _rows(run, arguments[most:], MAX_LOOP_BEATS if length is None else length)
    return values


def signature(specs: Sequence[Argument]) -> str:
    """The arguments as the contract writes them, ``slot:s [length:f notes...]``; the bracket may be left out."""
    words: list[str] = []
    bracket = ""
    for spec in specs:
        letter = {"int": "i", "bool": "i", "float": "f"}.get(spec.kind, "s")
        word = f"{spec.name}..." if spec.is_run else f"{spec.name}:{letter}"
        if spec.optional and not bracket:
            word, bracket = f"[{word}", "]"
        words.append(word if spec.default is None else f"{word}={_show(spec.default)}")
    return " ".join(words) + bracket


def _single(spec: Argument, value: object) -> Any:
    kind = spec.kind
    if kind == "float":
        return _float(spec.name, value, spec.low, spec.high, spec)
    if kind == "int":
        return _int(spec.name, value, spec.low, spec.high, spec)
    if kind == "bool":
        return value if type(value) is bool else bool(_int(spec.name, value, 0, 1, spec))
    if type(value) is not str:
        raise _wrong_type(spec.name, value, _KIND_NAMES[kind])
    if kind == "choice":
        if value not in spec.choices:
            raise RefusedError(spec.code, f"{spec.name} is {_show(value)}, allowed {spec.allowed()}")
    elif not 0 < len(value) <= MAX_NAME_CHARS or not _NAME_CHARACTERS.issuperset(value):
        raise RefusedError(RANGE, f"{spec.name} is {_show(value)}, allowed {spec.allowed()}")
    return value


def _float(name: str, value: object, low: float, high: float, spec: Argument | None = None) -> float:
    if type(value) is not float and type(value) is not int:
        raise _wrong_type(name, value, _KIND_NAMES["float"])
    if low <= value <= high:
        return float(value)
    if low - NUMBER_SLACK <= value < low:
        return float(low)
    if high < value <= high + NUMBER_SLACK:
        return float(high)
    raise _out_of_range(name, value, low, high, spec)


def _int(name: str, value: object, low: float, high: float, spec: Argument | None = None) -> int:
    if type(value) is float:
        if not math.isfinite(value):
            raise _out_of_range(name, value, low, high, spec)
        whole = round(value)
        if abs(value - whole) > NUMBER_SLACK:
            raise _wrong_type(name, value, _KIND_NAMES["bool" if spec and spec.kind == "bool" else "int"])
        value = whole
    elif type(value) is not int:
        raise _wrong_type(name, value, _KIND_NAMES["bool" if spec and spec.kind == "bool" else "int"])
    if low <= value <= high and (spec is None or not spec.values or value in spec.values):
        return value
    raise _out_of_range(name, value, low, high, spec)


def _rows(run: Argument, flat: Sequence[object], length_beats: float) -> list[NoteRow] | list[ChordRow]:
    width = _ROWS[run.kind][0]
    parse: Callable[[Sequence[object], float], Any] = _note if run.kind == "notes" else _chord
    if len(flat) % width or len(flat) < run.low * width:
        least = f", at least {run.low:g} of them" if run.low else ""
        wanted = f"{run.name} are runs of {width} ({run.allowed()}){least}"
        raise RefusedError(WRONG_ARGUMENTS, f"{wanted}; {len(flat)} values came")
    rows: list[Any] = []
    at = 0
    try:
        while at < len(flat):
            rows.append(parse(flat[at : at + width], length_beats))
            at += width
    except RefusedError as fault:
        raise RefusedError(fault.code, f"{run.name[:-1]} {len(rows) + 1}: {fault.message}") from None
    return rows


def _note(row: Sequence[object], length_beats: float) -> NoteRow:
    pitch = _int("pitch", row[0], 0, 127)
    start_beats = _float("start", row[1], 0.0, length_beats)
    duration_beats = _float("duration", row[2], 0.0, MAX_LOOP_BEATS)
    velocity = _int("velocity", row[3], 1, 127)
    part = _int("part", row[4], 0, 2)
    if start_beats >= length_beats:
        raise RefusedError(RANGE, f"start is {start_beats:g}, allowed 0 to below {length_beats:g} beats")
    if duration_beats <= 0.0:
        raise RefusedError(RANGE, f"duration is {duration_beats:g}, allowed above 0 beats")
    return pitch, start_beats, duration_beats, velocity, part


def _chord(row: Sequence[object], length_beats: float) -> ChordRow:
    beat = _float("beat", row[0], 0.0, length_beats)
    root = _int("root", row[1], 0, 11)
    quality = "7" if type(row[2]) is int and row[2] == 7 else row[2]  # that is how Max sends a bare 7
    if type(quality) is not str:
        raise _wrong_type("quality", quality, "a string")
    if quality not in QUALITIES:
        raise RefusedError(RANGE, f"quality is {_show(quality)}, allowed {', '.join(QUALITIES)}")
    if beat >= length_beats:
        raise RefusedError(RANGE, f"beat is {beat:g}, allowed 0 to below {length_beats:g} beats")
    return beat, root, quality


def _wrong_type(name: str, value: object, wanted: str) -> RefusedError:
    return RefusedError(WRONG_ARGUMENTS, f"{name} is {_show(value)}, wanted {wanted}")


def _out_of_range(name: str, value: float, low: float, high: float, spec: Argument | None) -> RefusedError:
    allowed = spec.allowed() if spec else f"{low:g} to {high:g}"
    return RefusedError(RANGE, f"{name} is {_show(value)}, allowed {allowed}")


def _show(value: object) -> str:
    """A value in an error message: short, and of printable ASCII, whatever the sender put in it."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        return f"{value:.7g}"
    if type(value) is int:
        return str(value) if abs(value) < 1 << 40 else f"{value:.3e}"
    if type(value) is str:
        return ascii(value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "...")
    if value == NOT_UTF8:
        return "a string that is not UTF-8"
    return f"of OSC type {getattr(value, 'tag', '?')!r}"
