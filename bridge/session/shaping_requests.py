"""Knobs that move bars along an attribute or a latent direction of the voice's model (contract 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.session.gestures import Gestures
from bridge.session.outside import NO_SUCH, RANGE, RefusedError, Request
from bridge.session.voice import Voice

if TYPE_CHECKING:
    from bridge.model.nets.config import ModelConfig


class ShapingRequests:
    """Both are sticky: what sounds and what waits is moved at once, and so is all that comes later."""

    def __init__(self, gestures: Gestures) -> None:
        """What makes bars again."""
        self._gestures = gestures

    def do_attribute(self, voice: Voice, request: Request) -> None:
        """More or less of an attribute that the voice's model has; 0: as it is."""
        name, amount = request.args["name"], request.args["amount"]
        names = _config_of(voice).attributes
        if name not in names:
            raise RefusedError(NO_SUCH, f"{voice.model} has no attribute {name}: there are {', '.join(names)}")
        voice.knobs.attributes = _turned(voice.knobs.attributes, name, amount)
        self._gestures.remake(voice, request, moved=True)

    def do_latent(self, voice: Voice, request: Request) -> None:
        """So many standard deviations along a latent direction; 0: where it was."""
        index, value = request.args["index"], request.args["value"]
        size = _config_of(voice).latent_ways
        if index >= size:
            raise RefusedError(RANGE, f"index {index}: {voice.model} has latent directions 0 to {size - 1}")
        voice.knobs.latents = _turned(voice.knobs.latents, str(index), value)
        self._gestures.remake(voice, request, moved=True)


def _config_of(voice: Voice) -> ModelConfig:
    from bridge.model.nets.config import config_of  # numpy is 100 ms that the first answer need not wait for

    return config_of(voice.model)


def _turned(knobs: dict[str, float], name: str, value: float) -> dict[str, float]:
    """The knobs with one of them turned; one at 0 is as good as none."""
    others = {key: old for key, old in knobs.items() if key != name}
    return {**others, name: value} if value else others
