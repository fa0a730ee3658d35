"""The family of models by name, for all who speak of models and need none.

`bridge.model.nets.config` says what each is made of; a test holds the two to the same names and parts.
"""

from __future__ import annotations

from typing import Final

#: The parts of each, in the order of their numbers in note lists.
MODEL_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "melody-2bar": ("melody",),
    "bass-2bar": ("bass",),
    "drums-2bar": ("drums",),
    "melody-16bar": ("melody",),
    "drums-16bar": ("drums",),
    "trio-16bar": ("melody", "bass", "drums"),
}


def takes_fills(model: str) -> bool:
    """Whether a model has drums among its parts, alone or beside lines."""
    return "drums" in MODEL_PARTS.get(model, ())


def plays_drums(model: str) -> bool:
    """Whether a model plays drums and nothing else: its pitches are sounds, and mean nothing to one of lines."""
    return model.startswith("drums")
