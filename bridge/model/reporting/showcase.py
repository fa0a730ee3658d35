"""What is listened to and looked at of every model: samples, morphs and continuations of the seeds 1 to n.

Nobody chooses: seed k is what `sample MODEL --count 1 --seed k` plays. Morphs and continuations start from samples too,
so that all of it can be made again from the weights alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.noise import derived
from bridge.model.playing.generation import continue_bars, sample_bars
from bridge.model.playing.morphing import morph_at, prepare_morph
from bridge.music.notes import Bars, join

SAMPLES, MORPHS, CONTINUATIONS = 12, 6, 6
MORPH_PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)
#: How far a continuation goes on: three windows of a 2-bar model, one of a long one.
_WINDOWS_ON = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing to listen to: a name for its file, what it is, its bars, and the beats at which something begins."""

    name: str
    caption: str
    bars: Bars
    marks: tuple[float, ...] = ()


def samples(model: CompiledModel, temperature: float) -> list[Shown]:
    """New loops of the seeds 1 to `SAMPLES`."""
    return [Shown(f"sample-{seed:02d}", f"seed {seed}", _sample(model, seed, temperature)) for seed in _seeds(SAMPLES)]


def morphs(model: CompiledModel, temperature: float) -> list[list[Shown]]:
    """For the seeds 1 to `MORPHS`: the way from the sample of seed 2k-1 to that of seed 2k, by place."""
    found = []
    for seed in _seeds(MORPHS):
        pair = _sample(model, 2 * seed - 1, temperature), _sample(model, 2 * seed, temperature)
        morph = prepare_morph(model, pair, seed, temperature)
        found.append(
            [
                Shown(f"morph-{seed:02d}-{round(100 * x):03d}", f"seed {seed}: x = {x:g}", morph_at(model, morph, x))
                for x in MORPH_PLACES
            ]
        )
    return found


def continuations(model: CompiledModel, temperature: float) -> list[Shown]:
    """For the seeds 1 to `CONTINUATIONS`: the sample of that seed, and what the model goes on with."""
    config = model.config
    bars = config.bars * (_WINDOWS_ON if config.bars * _WINDOWS_ON <= 16 else 1)
    found = []
    for seed in _seeds(CONTINUATIONS):
        begun = _sample(model, seed, temperature)
        following = continue_bars(model, begun, bars, seed, temperature)
        caption = f"seed {seed}: {config.bars} bars, and {bars} that follow"
        found.append(Shown(f"continuation-{seed:02d}", caption, join([begun, following]), (begun.length,)))
    return found


def _seeds(count: int) -> range:
    return range(1, count + 1)


def _sample(model: CompiledModel, seed: int, temperature: float) -> Bars:
    return sample_bars(model, model.config.bars, derived(seed, 0), temperature)
