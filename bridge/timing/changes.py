"""What happens to a clock, as the player must know it: the position slid, leapt, started or stopped."""

from __future__ import annotations

import dataclasses
import enum


class Shift(enum.Enum):
    """How a new tempo map follows on the old one."""

    SLIDE = "slide"
    """The position goes on from where it was: tempo, metre, a small correction of the phase."""
    LEAP = "leap"
    """The song position is somewhere else from now on."""
    START = "start"
    """The clock stood and runs."""
    STOP = "stop"
    """The clock ran and stands."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A change of the map. After a start or leap the music counts from `from_beats`, which may lie a little before the
    position of now: the clock that is followed tells of its moves some milliseconds after they happened.
    """

    shift: Shift
    from_beats: float = 0.0
