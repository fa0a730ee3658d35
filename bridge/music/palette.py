"""The colours that all pictures share: piano rolls of a session and sheets for reports, for dark pages."""

from __future__ import annotations

from typing import Final

Colour = tuple[int, int, int]

BACKGROUND: Final[Colour] = (15, 17, 23)
PLOT: Final[Colour] = (27, 31, 41)
BAR_LINE: Final[Colour] = (76, 84, 106)
TEXT: Final[Colour] = (236, 239, 245)
FAINT: Final[Colour] = (134, 143, 163)
VOICES: Final[tuple[Colour, ...]] = ((88, 200, 245), (182, 141, 250), (250, 166, 92), (122, 220, 140), (246, 124, 164))
