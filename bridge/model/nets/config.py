"""The models by name: what each reads and writes, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bridge.limits import MAX_LATENT_WAYS
from bridge.music.grids import HIT_SETS, LINE_CLASSES
from bridge.music.notes import PART_NAMES, STEPS_PER_BAR

Part = Literal["melody", "bass", "drums", "trio"]
#: The parts of a trio, in the order of `Note.part`.
TRIO_PARTS: tuple[Part, ...] = PART_NAMES
#: The temperatures at which voices play by default (bridge/config.py): they are what is heard.
TEMPERATURES: dict[Part, float] = {"melody": 0.6, "bass": 0.6, "drums": 0.7, "trio": 0.6}
#: The contract's: while morphing and varying, a voice's temperature is scaled by this.
MORPH_TEMPERATURE = 0.4
_LINE_ATTRIBUTES = ("density", "syncopation", "interval", "diatonic", "register")
_DRUM_ATTRIBUTES = ("density", "syncopation", "fill")
#: Windows of more bars are long: written bar by bar, and begun at every bar of a song.
SHORT_BARS = 2


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model of the family. `free_nats` is the rate that costs nothing in training (free bits, Kingma et al. 2016);
    `lowest` and `highest` bound the MIDI pitches of a line (both 0 for drums).

    A hierarchical model has `bar_models`, one a part: the 1-bar models that read and write its bars, whose latent is
    the embedding of a bar; its own encoder reads embeddings and its decoder (the conductor) writes them. On the linear
    way past its LSTMs a part's bar is `narrow_size` numbers.
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
    bar_models: tuple[ModelConfig, ...] = ()
    narrow_size: int = 48

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts it plays: one, or a trio's three."""
        return TRIO_PARTS if self.part == "trio" else (self.part,)

    def of_part(self, index: int) -> ModelConfig:
        """The configuration as one of its parts alone sees it: that part's range and classes."""
        if self.part != "trio":
            return self
        bar = self.bar_models[index]
        return replace(self, part=bar.part, lowest=bar.lowest, highest=bar.highest, bar_models=(bar,))

    @property
    def latent_ways(self) -> int:
        """How many latent directions there are knobs for, the most important first."""
        return min(self.latent_size, MAX_LATENT_WAYS)

    @property
    def steps(self) -> int:
        """Length of a window in sixteenth steps."""
        return self.bars * STEPS_PER_BAR

    @property
    def stream_steps(self) -> int:
        """Length of a window as it is decoded: a trio's is a stream, in which a bar of the melody, that bar of the bass
        and that of the drums come one after the other.
        """
        return self.steps * len(self.parts)

    @property
    def classes(self) -> int:
        """Size of the decoder's softmax: 90 for a line, 512 for drums (and for a trio, whose widest part is drums)."""
        return HIT_SETS if self.part in ("drums", "trio") else LINE_CLASSES

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attribute knobs that the contract gives its parts: a trio those that any of them has."""
        own = [_DRUM_ATTRIBUTES if part == "drums" else _LINE_ATTRIBUTES for part in self.parts]
        return tuple(dict.fromkeys(name for names in own for name in names))

    @property
    def mapped(self) -> tuple[str, ...]:
        """The attributes that have a direction in the latent space (see `nets.latent_maps`). A trio has none: what its
        knobs ask of one part would move the others, which stay as they are.
        """
        return () if self.part == "trio" else self.attributes


def _bar(part: Part, encoder: int, decoder: int, free_nats: float, lowest: int = 0, highest: int = 0) -> ModelConfig:
    name = f"{part}-1bar"
    return ModelConfig(name, part, 1, 192, encoder, decoder, free_nats, lowest, highest, 96, 192)


_MELODY_BAR = _bar("melody", 192, 320, 36.0, 48, 88)
_BASS_BAR = _bar("bass", 160, 256, 34.0, 28, 55)
_DRUMS_BAR = _bar("drums", 192, 320, 75.0)
_TRIO_BARS = (_MELODY_BAR, _BASS_BAR, _DRUMS_BAR)
#: The 1-bar models of the hierarchical ones: trained by name as the others are, never played by themselves.
BAR_CONFIGS: dict[str, ModelConfig] = {config.name: config for config in _TRIO_BARS}

#: Sixteen bars take a latent as large as the paper's, and a trio's as much for each part. (With the bars of a trio told
#: by so many principal components a part the 1-bar models play them with a note F1 of .70: 171, .76: 256, .81: 341 and
#: .87: 512; validation songs. A trio's are narrowed less, for its drums: over 48 numbers a bar they have .92, over 56
#: .94.)
CONFIGS: dict[str, ModelConfig] = {
    config.name: config
    for config in (
        ModelConfig("melody-2bar", "melody", 2, 128, 384, 512, free_nats=65.0, lowest=48, highest=88),
        ModelConfig("bass-2bar", "bass", 2, 96, 256, 384, free_nats=66.0, lowest=28, highest=55),
        ModelConfig("drums-2bar", "drums", 2, 128, 384, 512, free_nats=150.0),
        ModelConfig("melody-16bar", "melody", 16, 512, 256, 320, 500.0, 48, 88, bar_models=(_MELODY_BAR,)),
        ModelConfig("drums-16bar", "drums", 16, 512, 128, 320, 700.0, bar_models=(_DRUMS_BAR,), narrow_size=64),
        ModelConfig("trio-16bar", "trio", 16, 1536, 96, 192, 2000.0, bar_models=_TRIO_BARS, narrow_size=56),
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
