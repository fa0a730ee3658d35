"""What bends the bars of a voice, gathered for the engine: plain JSON values, by name.

Two kinds of it: what the knobs say now (a knob that is turned makes bars again, with the same noise), and what was so
when the bars were asked for, which their recipe keeps, so that making them again gives the same notes.
"""

from __future__ import annotations

from typing import Any

from bridge.session.loops import Recipe
from bridge.session.stage import Stage
from bridge.session.voice import Voice


def bend_of(stage: Stage, voice: Voice, recipe: Recipe) -> dict[str, Any]:
    """The `bend` of the job that makes this recipe's bars with the knobs as they stand. A key that is absent bends
    nothing.
    """
    return {**recipe.bend}
