"""The groove knobs of a voice and the grids they know. Pure Python: configuration and the route table read it too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.music.notes import STEPS_PER_BEAT

#: Steps to a beat (quarter note) of each grid that contract 3.3 names.
GRIDS: Final[dict[str, int]] = {"1/4": 1, "1/8": 2, "1/8T": 3, "1/16": 4, "1/16T": 6, "1/32": 8}
STRAIGHT_SWING: Final = 50.0
#: The gate at which notes last as long as they are written.
NEUTRAL_GATE: Final = 0.9
_NEARLY = 1e-6  # a 32-bit 0.9 is not a 64-bit one


@dataclass(frozen=True, slots=True)
class GrooveSettings:
    """How a voice's plain bars are played; the defaults are those of contract section 2.

    `quantize` and `humanize` are 0-1, `swing` is the MPC's per cent (50-75), `transpose` is in semitones, `velocity`
    a factor 0-2; `gate` 0.1-1.1 is how long notes last, at `NEUTRAL_GATE` as long as they are written. `scale` holds
    the pitch classes that transposed notes are bound to (with `binds_all`, all notes), None where they are not, and
    `spared` the spans (start, end in beats of the plain bars) where none is. With `swing_eighths` pairs of eighths
    swing on a finer grid, in place of pairs of its steps. Raises ValueError for what is outside; the
    route table refuses it long before.
    """

    quantize: float = 1.0
    swing: float = STRAIGHT_SWING
    humanize: float = 0.0
    grid: str = "1/16"
    transpose: int = 0
    velocity: float = 1.0
    gate: float = NEUTRAL_GATE
    scale: frozenset[int] | None = None
    binds_all: bool = False
    spared: tuple[tuple[float, float], ...] = ()
    swing_eighths: bool = False

    def __post_init__(self) -> None:
        if self.grid not in GRIDS:
            raise ValueError(f"grid {self.grid!r}: expected one of {' '.join(GRIDS)}")
        bounds = (("quantize", 0, 1), ("swing", 50, 75), ("humanize", 0, 1), ("velocity", 0, 2), ("gate", 0.1, 1.1))
        for name, low, high in bounds:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} {value}: expected {low} to {high}")

    def place_of(self, start_beats: float, length_beats: float) -> float:
        """Where on the grid a note that starts there in a plain loop of that length is heard to belong, in beats: at
        what it is quantised to, or what is nearest to where it is played, be it of this grid or of sixteenths. What is
        pushed before a bar line is on that line, and on the loop's first one where it lies at its end.
        """
        on_grid = _nearest(start_beats, self.steps_per_beat)
        place = on_grid
        if self.quantize < 1.0:
            played = start_beats + self.quantize * (on_grid - start_beats)
            places = (_nearest(played, steps) for steps in (STEPS_PER_BEAT, self.steps_per_beat))
            place = min(places, key=lambda near: abs(near - played))
        return 0.0 if place >= length_beats else place

    def is_inside(self, start_beats: float, spans: Iterable[Sequence[float]], length_beats: float) -> bool:
        """Whether such a note belongs inside one of the `spans` (start, end in beats; the end is outside)."""
        place = self.place_of(start_beats, length_beats)
        return any(start <= place < end for start, end in spans)

    def leads_round(self, start_beats: float, length_beats: float) -> bool:
        """Whether such a note lies at the loop's end and belongs to its beginning."""
        return self.place_of(start_beats, length_beats) < start_beats - length_beats / 2

    def spares(self, start_beats: float, length_beats: float) -> bool:
        """Whether such a note is bound to no scale."""
        return self.is_inside(start_beats, self.spared, length_beats)

    @property
    def quantising(self) -> GrooveSettings:
        """Where notes are heard to belong, and nothing else."""
        return GrooveSettings(quantize=self.quantize, grid=self.grid)

    @property
    def steps_per_beat(self) -> int:
        """Steps of the grid in a quarter note."""
        return GRIDS[self.grid]

    @property
    def swing_steps(self) -> int:
        """Steps in a quarter note of the grid whose pairs swing."""
        return min(2, self.steps_per_beat) if self.swing_eighths else self.steps_per_beat

    @property
    def length_factor(self) -> float:
        """What the gate multiplies lengths by: 1 at its neutral place."""
        return 1.0 if abs(self.gate - NEUTRAL_GATE) < _NEARLY else self.gate / NEUTRAL_GATE

    @property
    def swings(self) -> bool:
        """Whether the swing does anything: not when straight, and never on a triplet grid."""
        return self.swing != STRAIGHT_SWING and self.steps_per_beat % 3 != 0


#: The models' own grid.
SIXTEENTHS: Final = GrooveSettings()


def quantising_to_json(settings: GrooveSettings) -> dict[str, Any]:
    """Where notes are heard to belong, as plain JSON values."""
    return {"quantize": settings.quantize, "grid": settings.grid}


def quantising_from_json(value: Mapping[str, Any]) -> GrooveSettings:
    """What `quantising_to_json` gave, among other values; on the models' grid where it is not among them."""
    return GrooveSettings(quantize=value.get("quantize", 1.0), grid=value.get("grid", "1/16"))


def _nearest(beats: float, steps_per_beat: int) -> float:
    """The grid point that is nearest, half way the later: as the kernels have it."""
    return math.floor(beats * steps_per_beat + 0.5) / steps_per_beat
