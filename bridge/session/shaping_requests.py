"""Knobs that move bars along an attribute or a latent direction of the voice's model (contract 3.3)."""

from __future__ import annotations

from bridge.family import plays_drums
from bridge.session.gestures import Gestures
from bridge.session.loops import Recipe
from bridge.session.outside import NO_SUCH, RANGE, RefusedError, Request
from bridge.session.stage import Stage
from bridge.session.voice import Voice


class ShapingRequests:
    """Both are sticky: what sounds and what waits is moved at once, and so is all that comes later."""

    def __init__(self, stage: Stage, gestures: Gestures) -> None:
        """The other parts of the session."""
        self._stage = stage
        self._gestures = gestures

    def do_attribute(self, voice: Voice, request: Request) -> None:
        """More or less of an attribute that the voice's model has; 0: as it is."""
        from bridge.model.nets.config import (
            config_of,  # numpy is 100 ms of import that the first answer need not wait for
        )

        name, amount = request.args["name"], request.args["amount"]
        names = config_of(voice.model).attributes
        if name not in names:
            there = ", ".join(names) or "none"
            raise RefusedError(NO_SUCH, f"{voice.model} has no attribute {name}: there are {there}")
        voice.knobs.attributes = _turned(voice.knobs.attributes, name, amount)
        self.move(voice, request)

    def do_latent(self, voice: Voice, request: Request) -> None:
        """So many standard deviations along a latent direction; 0: where it was."""
        from bridge.model.nets.config import config_of

        index, value = request.args["index"], request.args["value"]
        size = config_of(voice.model).latent_size
        if index >= size:
            raise RefusedError(RANGE, f"index {index}: {voice.model} has latent directions 0 to {size - 1}")
        voice.knobs.latents = _turned(voice.knobs.latents, str(index), value)
        self.move(voice, request)

    def move(self, voice: Voice, request: Request) -> None:
        """Bars of any origin are moved: those that no recipe of this model can make again, from where they lie; but
        no line by a model of drums that the voice was given since, nor drums by one of lines.
        """
        if not voice.model_ready:
            voice.missed = request
            return
        loop = voice.sounding
        recipe = None if loop is None else loop.recipe
        if loop is not None and (recipe is None or plays_drums(recipe.model) == voice.is_drums):
            if recipe is None or recipe.model != voice.model:
                recipe = Recipe("keep", voice.model, (loop.source,), 0, loop.bar_beats, 0.0, loop.groove_seed)
            self._gestures.turn(voice, request, recipe)
        self._gestures.remake_pending(voice, request)


def _turned(knobs: dict[str, float], name: str, value: float) -> dict[str, float]:
    """The knobs with one of them turned; one at 0 is as good as none."""
    others = {key: old for key, old in knobs.items() if key != name}
    return {**others, name: value} if value else others
