"""What a command on files may be told besides the files: seed, temperature, key, attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bridge import limits
from bridge.model.nets.config import ModelConfig
from bridge.model.playing.framing import transposed
from bridge.music.harmony import MODES, bound, class_weights, nearest_shift, scale_of
from bridge.music.notes import DRUM_PART, Bars, in_order

DEFAULT_TEMPERATURE: Final = 0.6
_LETTERS: Final = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SIGNS: Final = {"": 0, "#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}
_MINOR_BY_CASE: Final = "m"  # M is major to some: as it stands it says neither
#: What the modes are called besides their names: as in chords, in ABC notation, and in the order they are spoken.
_MODE_NAMES: Final = {
    **{mode: mode for mode in MODES},
    "": "major", "maj": "major", "ionian": "major", "ion": "major",
    _MINOR_BY_CASE: "minor", "min": "minor", "aeolian": "minor", "aeo": "minor", "natural_minor": "minor",
    "dor": "dorian", "phr": "phrygian", "lyd": "lydian", "mix": "mixolydian", "loc": "locrian",
    "major_pentatonic": "pentatonic_major", "minor_pentatonic": "pentatonic_minor",
}  # fmt: skip
_KEY: Final = re.compile(r"([a-g])(.*[^\s_-])?", re.IGNORECASE)


class RequestError(ValueError):
    """A number or name outside what a command takes; the message says which and what was expected."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How the bars of a command on files are made.

    `key` holds the pitch classes of the key that binds them: they are moved to it by the nearest way, and no note lies
    outside it. `attributes` are amounts, -1 to 1, by name. `own_models` is the folder looked in first for the model.
    """

    seed: int = 0
    temperature: float = DEFAULT_TEMPERATURE
    key: frozenset[int] | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)
    own_models: str | None = None

    def checked(self, config: ModelConfig) -> FileOptions:
        """The same options.

        Raises:
            RequestError: what this model has no key or attribute for, or a number out of range.
        """
        within("--temperature", self.temperature, limits.MIN_TEMPERATURE, limits.MAX_TEMPERATURE)
        if self.key is not None and config.part == "drums":
            raise RequestError(f"--key: expected a model with pitches, {config.name} has none")
        for name, amount in self.attributes.items():
            if name not in config.attributes:
                raise RequestError(f"--attribute {name}: expected one of {', '.join(config.attributes)}")
            within(f"--attribute {name}", amount, -1.0, 1.0)
        return self


def within(name: str, value: float, least: float, most: float) -> None:
    """Refuse a number out of range.

    Raises:
        RequestError: it is.
    """
    if not least <= value <= most:
        raise RequestError(f"{name} {value}: expected {least} to {most}")


def parse_key(text: str) -> frozenset[int]:
    """The pitch classes of a key by name: `A minor`, `Am`, `Bb`, `F# harmonic minor`, `E-flat major`; without a mode it
    is major, in small letters too.

    Raises:
        RequestError: no such key.
    """
    found = _KEY.fullmatch(text.strip())
    if found:
        letter, rest = found[1].lower(), found[2] or ""
        words = re.sub(r"[\s_-]+", "_", rest.lower()).lstrip("_")
        for sign, semitones in _SIGNS.items():
            mode = words[len(sign) :].lstrip("_")
            if words.startswith(sign) and mode in _MODE_NAMES and (mode != _MINOR_BY_CASE or rest.endswith(mode)):
                return scale_of((_LETTERS[letter] + semitones) % 12, _MODE_NAMES[mode])
    expected = "expected a key such as C (major), Am, 'F# minor', 'Eb major' or 'D dorian'"
    raise RequestError(f"--key {text}: {expected} (modes: {', '.join(MODES)})")


def parse_attributes(texts: Sequence[str]) -> dict[str, float]:
    """Amounts by name from `density=0.5` and the like; the last one of a name counts.

    Raises:
        RequestError: not of that form, or no amount from -1 to 1.
    """
    amounts = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            amount = float(value)
        except ValueError:
            amount = float("nan")
        if not equals or not -1.0 <= amount <= 1.0:
            raise RequestError(f"--attribute {text}: expected NAME=AMOUNT, an amount from -1 to 1 (density=0.5)")
        amounts[name.strip()] = amount
    return amounts


def moved_to(bars: Bars, key: frozenset[int] | None) -> Bars:
    """Bars transposed to a key by the nearest way, as they are where none is given; drums of a trio stay."""
    if key is None:
        return bars
    lines = Bars(tuple(note for note in bars.notes if note.part != DRUM_PART), bars.length)
    drums = [note for note in bars.notes if note.part == DRUM_PART]
    moved = transposed(lines, nearest_shift(class_weights(lines.notes), key))
    return Bars(in_order([*moved.notes, *drums]), bars.length)


def bound_to(bars: Bars, key: frozenset[int] | None) -> Bars:
    """Bars with no note outside a key: moved to it first, then each note that is still outside to the nearest inside;
    as they are where no key is given.
    """
    return bars if key is None else bound(moved_to(bars, key), key)
