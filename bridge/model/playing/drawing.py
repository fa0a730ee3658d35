"""Points of the prior for windows to be decoded at: with bars before them or none, alone or several to choose from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets import noise
from bridge.model.nets.compiled import CompiledModel
from bridge.model.playing.candidates import CANDIDATES
from bridge.model.playing.decoding import Decoded, WindowDecode, look_about
from bridge.model.playing.encoding import means_of
from bridge.model.playing.steering import PLAIN, Steering

#: So much of the way from one exemplar to another a draw lies, where those are points of songs; made ones are taken as
#: they are. Nearer (.15) melodies share longer runs of notes with songs trained on than other songs do (in
#: the median: 8, not 7), farther (.25) they are told from songs more easily (with .73, not .70; draws of the flow were
#: with .83, and cost 1.14 times what songs do, not 1.08).
_TOWARDS_SECOND = {"melody-16bar": 0.2}
#: Where nothing comes before: how many draws of the flow there are to take one of, and how much their odds count.
#: Chosen, with the noise, so that samples are as dense as training songs (melodies whose odds count once: .93 of it).
DRAWS_ALONE = 32
_ODDS_WEIGHT = 1.5
#: So wide is the noise of a model's draws, where it isn't 1.
_NOISE_ALONE = {"melody-2bar": 1.045, "bass-2bar": 0.95, "drums-2bar": 0.875}


class _Reading(NamedTuple):
    """Draws, as wide as `noise`, go to where what is played at them, at this temperature, is read."""

    temperature: float
    noise: float


#: Whose draws are read again, where they aren't candidates: that is nearer to music, and more like songs. Two bars of
#: drums cost 1.12 times what songs do so, are .92 as dense and told from them with an AUC of .58. It takes time: with
#: their output product still in float32, four candidates, read, took a click from 17 to 38 ms.
_READ_AGAIN = {"drums-2bar": _Reading(0.3, 0.83)}
#: What follows a window is drawn so near to the last one (see `Flow.forward`). Fitted to few songs, the flow takes
#: next to nothing of sixteen bars for certain, and most of what it draws after them was anyone's: patterns of drums
#: were like those that they came after by .43, like those of other songs by .37; now by .71 and .38, as what really
#: came by .79 and .41. Melodies by .74, .71; .84, .73; .88, .73 (cosine of the onsets by place in the bar, validation
#: songs, n = 100 each). A trio's drums by .51, .49; .73, .52; .83, - (n = 107), its melodies were .62 as dense as what
#: really came, now .81. Nearer still, by .75, melodies stay where they were: 3.2 semitones from the mean pitch before,
#: what really came 4.7 (test). Of two bars the flow knows more, and yet their patterns were less like those before
#: than what really came: melodies .82 (truth .88), now .85; basses .77 (.85), now .79; drums .67 (.83), now .75
#: (validation, n = 600 each); and line after line grew thinner: after eight by a fifth, now by an eighth (test,
#: melodies and basses, n = 200 each).
_NEAR_LAST = {
    "melody-2bar": 0.25, "bass-2bar": 0.25, "drums-2bar": 0.35,
    "melody-16bar": 0.6, "drums-16bar": 0.8, "trio-16bar": 0.66,
}  # fmt: skip
#: Where bars are looked for again when there is not one note in them, by the path of their noise.
ANEW: tuple[tuple[int, ...], ...] = ((), (9, 1), (9, 2), (9, 3))


def prior_point(model: CompiledModel, seed: int, before: Tensor | None = None) -> Tensor:
    """A point (Z,) of the fitted prior, for a window that comes after those with posterior means `before` (n, Z), the
    nearest first; without them for a window alone.
    """
    return next(iter(points_of(model, seed, before, PLAIN)))


def points_of(model: CompiledModel, seed: int, before: Tensor | None, steering: Steering) -> Iterable[Tensor]:
    """The points (Z,) that a window is looked for at, in order: of candidates all at once, else as they are needed."""
    if before is None:
        reading = _READ_AGAIN.get(model.config.name)
        if reading is None or steering.surprise is not None:
            return _alone(model, seed)[: len(ANEW)]
        draws = _alone(model, seed, reading.noise)[: len(ANEW)]
        own = (noise.derived(noise.derived(seed, number), 0) for number in range(len(draws)))
        return (
            means_played(model, draw[None], each, reading.temperature)[0] for draw, each in zip(draws, own, strict=True)
        )
    seeds = [noise.derived(seed, *again) if again else seed for again in ANEW]
    if steering.surprise is None:
        return (_drawn(model, [each], before)[0] for each in seeds)
    return _drawn(model, seeds, before)


def _drawn(model: CompiledModel, seeds: Sequence[int], before: Tensor) -> Tensor:
    """Draws (n, Z) of the flow, one a seed."""
    choice = torch.tensor([noise.uniform(each, noise.MIXTURE) for each in seeds])
    white = np.stack([noise.normal(each, noise.LATENT, model.config.latent_size) for each in seeds])
    near = _NEAR_LAST.get(model.config.name, 0.0)
    return model.prior(choice, torch.from_numpy(white), before, near).cpu()


def _alone(model: CompiledModel, seed: int, wide: float | None = None) -> Tensor:
    """Draws (n, Z) for a window with nothing before it: at exemplars or between them, where there are any; else of the
    flow, so `wide` or as its model's are, put in order by chance and by their odds to be music, so that the first few
    are a sample without replacement.
    """
    if model.exemplars:
        count, words = model.exemplars, [noise.derived(seed, draw) for draw in range(len(ANEW))]
        first = torch.tensor([word % count for word in words])
        on = torch.tensor([1 + word // count % max(1, count - 1) for word in words])
        return model.between(first, (first + on) % count, _TOWARDS_SECOND.get(model.config.name, 0.0)).cpu()
    config, count = model.config, DRAWS_ALONE if model.has_critic else len(ANEW)
    white = torch.from_numpy(noise.normal(seed, noise.LATENT, count * config.latent_size)).view(count, -1)
    wide = _NOISE_ALONE.get(config.name, 1.0) if wide is None else wide
    draws = model.prior(torch.full((count,), 0.5), wide * white)
    chance = torch.from_numpy(noise.gumbel(seed, noise.DRAWS, 0, 1, count)[0].copy())
    scores = _ODDS_WEIGHT * model.odds(draws).cpu() + chance
    return draws.cpu()[scores.argsort(descending=True)]


def means_played(model: CompiledModel, points: Tensor, seed: int, temperature: float) -> Tensor:
    """The posterior means (n, Z) of what is played at points (n, Z)."""
    rows = played_at(model, points, seed, temperature)
    look_about()
    means = means_of(model, [row.window for row in rows])
    look_about()  # of sixteen bars of drums the reading takes as long as what comes before the next beat is decoded
    return means


def played_at(model: CompiledModel, points: Tensor, seed: int, temperature: float) -> list[Decoded]:
    """What is played at points (n, Z), each with noise of its own."""
    seeds = [noise.derived(seed, 1, row) for row in range(len(points))]
    return WindowDecode(model, points, seeds, temperature).run()


def played_again(model: CompiledModel, count: int, seed: int, temperature: float) -> Tensor:
    """Posterior means (count, Z) of windows as they are played with nothing before them, unjudged: for the judge to
    learn from.
    """
    means = []
    for number in range(-(-count // CANDIDATES)):
        own = noise.derived(seed, number)
        means.append(means_played(model, _alone(model, own)[:CANDIDATES], own, temperature))
    return torch.cat(means)[:count]


def towards_prior(model: CompiledModel, point: Tensor, keep: float, seed: int) -> Tensor:
    """A point (Z,) that keeps a share `keep` of where `point` is and takes the rest from the prior; the spread of the
    prior is kept whatever the share.
    """
    centre = model.prior_mean
    fresh = prior_point(model, seed)
    return centre + keep * (point - centre) + math.sqrt(max(0.0, 1.0 - keep * keep)) * (fresh - centre)
