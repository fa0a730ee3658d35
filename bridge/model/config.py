"""The models by name: what each reads and writes, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.music.grids import HIT_SETS, LINE_CLASSES
from bridge.music.notes import STEPS_PER_BAR

Part = Literal["melody", "bass", "drums"]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model of the family. `free_nats` is the rate that costs nothing in training (C of model.md);
    `lowest` and `highest` bound the MIDI pitches of a line (both 0 for drums).
    """

    name: str
    part: Part
    bars: int
    latent_size: int
    encoder_size: int
    decoder_size: int
    free_nats: float
    lowest: int = 0
    highest: int = 0
    embedding_size: int = 128
    dynamics_size: int = 256

    @property
    def steps(self) -> int:
        """Length of a window in sixteenth steps."""
        return self.bars * STEPS_PER_BAR

    @property
    def classes(self) -> int:
        """Size of the decoder's softmax: 90 for a line, 512 for drums."""
        return HIT_SETS if self.part == "drums" else LINE_CLASSES

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attribute knobs that the contract gives this part."""
        if self.part == "drums":
            return ("density", "syncopation", "fill")
        return ("density", "syncopation", "interval", "diatonic", "register")


CONFIGS: dict[str, ModelConfig] = {
    config.name: config
    for config in (
        ModelConfig("melody-2bar", "melody", 2, 128, 384, 512, free_nats=55.0, lowest=48, highest=88),
        ModelConfig("bass-2bar", "bass", 2, 96, 256, 384, free_nats=35.0, lowest=28, highest=55),
        ModelConfig("drums-2bar", "drums", 2, 128, 384, 512, free_nats=60.0),
    )
}


class UnknownModelError(ValueError):
    """A model name that is not in the family."""


def config_of(name: str) -> ModelConfig:
    """The configuration of a model.

    Raises:
        UnknownModelError: no such model; the message lists those there are.
    """
    try:
        return CONFIGS[name]
    except KeyError:
        raise UnknownModelError(f"{name}: expected one of {', '.join(CONFIGS)}") from None
