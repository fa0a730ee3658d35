"""The form of new long bars: which of them come back.

In songs a third of a melody's bars and half of the drums' are returns of one before them, note for note; of what a
conductor tells of a point of the prior no two bars are quite alike, and each is played with noise of its own: of long
samples .05 to .17 of the bars came back. So the prior has the forms of training windows beside its points, and new
bars are given one: a bar that is to come back is told what the first was, and played with its noise. A key, chords or
a rhythm that bind it there do so as they do anywhere. Bars that come back are told and played as one also when a loop
is varied, and go on coming back; when a knob is turned, about half of them or more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bridge.model.nets import noise
from bridge.model.nets.config import ModelConfig
from bridge.model.playing.framing import WindowTokens, unstreamed
from bridge.music.form import forms_of
from bridge.music.grids import Floats, Ints
from bridge.music.notes import STEPS_PER_BAR

#: Of so many forms with as many returns as one drawn for it, a window has the one by which those bars come back that
#: are nearest to one another. (Of as many drawn anyhow it had those with more: melodies .45 of their bars, songs .29.)
_TRIED = 8


def drawn_forms(forms: Ints, told: Tensor, seeds: Sequence[int]) -> Ints:
    """A form (U, P) for each of B windows whose bars are to be `told` (B, U, P, E): for every bar of every part the
    number of the bar that it is the return of, or its own. `forms` (M, P, U) are in the order of their returns.
    """
    far = torch.cdist(*(told.transpose(1, 2).float(),) * 2).cpu().numpy()
    chosen = []
    for distances, seed in zip(far, seeds, strict=True):
        first = noise.derived(seed, 0) % len(forms) - _TRIED // 2
        tried = forms[max(0, min(first, len(forms) - _TRIED)) :][:_TRIED]
        chosen.append(tried[int(_strains(tried, distances).argmin())].T)
    return np.stack(chosen)


def _strains(forms: Ints, distances: Floats) -> Floats:
    """How far apart, of bars at `distances` (P, U, U), those are that forms (F, P, U) make one: a return by as many of
    the part's standard deviations as it is farther than two bars of that part are.
    """
    parts, bars, _ = distances.shape
    part, bar = np.arange(parts)[:, None], np.arange(bars)
    pairs = distances[:, *np.tril_indices(bars, -1)]
    middle, spread = pairs.mean(1)[:, None, None], pairs.std(1)[:, None, None]
    strains = (distances - middle) / np.maximum(spread, 1e-6)
    strains[:, bar, bar] = 0.0
    found: Floats = strains[part, bar, forms].sum((1, 2))
    return found


def own_forms(windows: Sequence[WindowTokens], config: ModelConfig) -> Ints | None:
    """The forms (W, U, P) that windows of many bars have; None of short ones, which are decoded without."""
    if not config.bar_models:
        return None
    parts = zip(*(unstreamed(window, config) for window in windows), strict=True)
    tokens = [np.stack([window.tokens for window in own]) for own in parts]
    return np.stack([forms_of(of, drums=p == "drums") for of, p in zip(tokens, config.parts, strict=True)], axis=2)


def formed(told: Tensor, forms: Ints) -> Tensor:
    """What each bar is to be (B, U, P, E), with returns told what the first was, by forms (B, U, P)."""
    first = torch.from_numpy(forms).to(told.device)[..., None].expand_as(told)
    return told.gather(1, first)


def steps_of(form: Ints, first: int, steps: int) -> list[tuple[int, int]]:
    """The steps of a stream from `first` on as (first, count) of those whose noise they are played with: in a form
    (U, P), a bar that comes back is played with the first one's.
    """
    parts, pieces, at = form.shape[1], [], first
    while at < first + steps:
        inside = at % STEPS_PER_BAR
        bar, part = divmod(at // STEPS_PER_BAR, parts)
        count = min(first + steps - at, STEPS_PER_BAR - inside)
        pieces.append(((int(form[bar, part]) * parts + part) * STEPS_PER_BAR + inside, count))
        at += count
    return pieces
