"""What one argument of an address may be, and the check that a message's arguments are that.

Numbers come as they come (``i f h d``): a whole-valued float is an integer, 0 and 1 are truth. Nothing is clamped: what
lies outside is refused, but for `NUMBER_SLACK`, within which a 32-bit float that missed its bound is set to it.
"""

from __future__ import annotations

import dataclasses
import math
import string
from collections.abc import Sequence
from typing import Any, Final

from bridge.limits import (
    MAX_CHORDS,
    MAX_LOOP_BEATS,
    MAX_NAME_CHARS,
    MAX_NOTES_PER_MESSAGE,
    NUMBER_SLACK,
)
from bridge.osc.requests import OUT_OF_RANGE, WRONG_ARGUMENTS, RequestError

NoteRow = tuple[int, float, float, int, int]
"""pitch 0-127, start in beats, duration in beats, velocity 1-127, part 0-2."""
ChordRow = tuple[float, int, str]
"""beat from the start of the chord loop, root 0-11, quality."""

QUALITIES: Final = ("maj", "min", "dim", "aug", "7", "maj7", "min7", "m7b5", "sus2", "sus4")
_NAME_CHARACTERS: Final = frozenset(string.ascii_letters + string.digits + "-_ ")
_SHOWN_CHARS: Final = 40  # of a sender's own text in an error message
_KIND_NAMES: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "0 or 1 (or T or F)",
    "choice": "a string",
    "name": "a string",
}
_ROWS: Final = {"notes": 5, "chords": 3}


@dataclasses.dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an address.

    `kind`: ``int``, ``float``, ``bool``, ``choice`` (one of `choices`), ``name`` (1 to `MAX_NAME_CHARS` letters,
    digits, ``-``, ``_`` and spaces, so never a path), or, last only, the runs ``notes`` and ``chords``.
    `low` and `high` are the range, of which only `values` are allowed where they are given; for runs `low` is how many there must be at least.
    `later`: the choices that are refused as not there yet (error 4); `code`: the error of a string not among `choices`.
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
    later: tuple[str, ...] = ()
    code: int = OUT_OF_RANGE

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


def check(arguments: Sequence[object], specs: Sequence[Argument], all_optional_together: bool = False) -> dict[str, Any]:
    """The arguments by name, typed, defaults filled in.

    Raises:
        RequestError: 2 for a wrong number or type, 3 out of range (5 where the argument says so).
    """
    run = specs[-1] if specs and specs[-1].is_run else None
    fixed = specs[:-1] if run else specs
    count = len(arguments)
    least = sum(not spec.optional for spec in fixed)
    most = len(fixed)
    if count < least or (count > most and run is None) or (all_optional_together and least < count < most):
        raise RequestError(WRONG_ARGUMENTS, f"takes {signature(specs) or 'no arguments'}; {count} came")
    values: dict[str, Any] = {}
    for index, spec in enumerate(fixed):
        values[spec.name] = _single(spec, arguments[index]) if index < count else spec.default
    if run is not None:
        if count < most:  # an optional argument before the run is missing: there is no run either
            values[run.name] = run.default
        else:
            length = values.get("length")
            rows = _notes if run.kind == "notes" else _chords
            values[run.name] = rows(run, arguments[most:], MAX_LOOP_BEATS if length is None else length)
    return values


def signature(specs: Sequence[Argument]) -> str:
    """The arguments as the contract writes them: ``[bars:i=2]``, ``slot:s [length:f notes...]``; what is in the one
    bracket may be left out."""
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
            raise RequestError(spec.code, f"{spec.name} is {_show(value)}, allowed {spec.allowed()}")
    elif not 0 < len(value) <= MAX_NAME_CHARS or not _NAME_CHARACTERS.issuperset(value):
        raise RequestError(OUT_OF_RANGE, f"{spec.name} is {_show(value)}, allowed {spec.allowed()}")
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


def _notes(run: Argument, flat: Sequence[object], length_beats: float) -> list[NoteRow]:
    if len(flat) > 5 * MAX_NOTES_PER_MESSAGE:
        raise RequestError(OUT_OF_RANGE, f"more than {MAX_NOTES_PER_MESSAGE} notes in one message; send the rest in others")
    _whole_rows(run, flat)
    notes: list[NoteRow] = []
    for at in range(0, len(flat), 5):
        try:
            pitch = _int("pitch", flat[at], 0, 127)
            start = _float("start", flat[at + 1], 0.0, length_beats)
            duration = _float("duration", flat[at + 2], 0.0, MAX_LOOP_BEATS)
            velocity = _int("velocity", flat[at + 3], 1, 127)
            part = _int("part", flat[at + 4], 0, 2)
            if start >= length_beats:
                raise RequestError(OUT_OF_RANGE, f"start is {start:g}, allowed 0 to below {length_beats:g} beats")
            if duration <= 0.0:
                raise RequestError(OUT_OF_RANGE, f"duration is {duration:g}, allowed above 0 beats")
        except RequestError as fault:
            raise RequestError(fault.code, f"note {at // 5 + 1}: {fault.message}") from None
        notes.append((pitch, start, duration, velocity, part))
    return notes


def _chords(run: Argument, flat: Sequence[object], length_beats: float) -> list[ChordRow]:
    if len(flat) > 3 * MAX_CHORDS:
        raise RequestError(OUT_OF_RANGE, f"more than {MAX_CHORDS} chords")
    _whole_rows(run, flat)
    chords: list[ChordRow] = []
    for at in range(0, len(flat), 3):
        try:
            beat = _float("beat", flat[at], 0.0, length_beats)
            root = _int("root", flat[at + 1], 0, 11)
            quality = flat[at + 2]
            if type(quality) is not str:
                raise _wrong_type("quality", quality, "a string")
            if quality not in QUALITIES:
                raise RequestError(OUT_OF_RANGE, f"quality is {_show(quality)}, allowed {', '.join(QUALITIES)}")
            if beat >= length_beats:
                raise RequestError(OUT_OF_RANGE, f"beat is {beat:g}, allowed 0 to below {length_beats:g} beats")
        except RequestError as fault:
            raise RequestError(fault.code, f"chord {at // 3 + 1}: {fault.message}") from None
        chords.append((beat, root, quality))
    return chords


def _whole_rows(run: Argument, flat: Sequence[object]) -> None:
    width = _ROWS[run.kind]
    if len(flat) % width or len(flat) < run.low * width:
        raise RequestError(
            WRONG_ARGUMENTS,
            f"{run.name} are runs of {width} ({run.allowed()}), at least {run.low:g}; {len(flat)} arguments came for them",
        )


def _wrong_type(name: str, value: object, wanted: str) -> RequestError:
    return RequestError(WRONG_ARGUMENTS, f"{name} is {_show(value)}, wanted {wanted}")


def _out_of_range(name: str, value: float, low: float, high: float, spec: Argument | None) -> RequestError:
    allowed = spec.allowed() if spec else f"{low:g} to {high:g}"
    return RequestError(OUT_OF_RANGE, f"{name} is {_show(value)}, allowed {allowed}")


def _show(value: object) -> str:
    """A value in an error message: short, and of printable ASCII, whatever the sender put in it."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int or type(value) is float:
        return f"{value:.7g}" if type(value) is float or abs(value) < 1 << 31 else f"{value:.3e}"
    if type(value) is str:
        return ascii(value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "...")
    return f"of OSC type {getattr(value, 'tag', '?')!r}"
