"""Bars in the latent space: the posterior of every window of a loop."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from bridge.model.nets.compiled import CompiledModel
from bridge.model.playing.framing import Frame, WindowTokens, as_tensors, frame_of, to_windows
from bridge.music.notes import Bars

_ENCODED_KEPT = 64


@dataclass(frozen=True, slots=True)
class Encoded:
    """Bars in the latent space: W windows with means and spreads (W, Z), and what decoding gives back."""

    bars: Bars
    windows: tuple[WindowTokens, ...]
    means: Tensor
    spreads: Tensor
    frame: Frame


_encoded_lately: weakref.WeakKeyDictionary[CompiledModel, dict[tuple[Bars, Frame | None], Encoded]] = (
    weakref.WeakKeyDictionary()
)


def encode_bars(model: CompiledModel, bars: Bars, frame: Frame | None = None) -> Encoded:
    """The posterior of every window of `bars`; in a frame other than their own where one is given.

    What was encoded lately is kept: a request goes on from bars that were encoded when they were made.
    """
    lately = _encoded_lately.setdefault(model, {})
    encoded = lately.pop((bars, frame), None)
    if encoded is None:
        held = frame or frame_of(bars, model.config)
        windows = to_windows(bars, held, model.config)
        means, spreads = model.encode(*as_tensors(windows))
        encoded = Encoded(bars, tuple(windows), means.cpu(), spreads.cpu(), held)
    lately[bars, frame] = encoded
    while len(lately) > _ENCODED_KEPT:
        del lately[next(iter(lately))]
    return encoded


def means_of(model: CompiledModel, windows: Sequence[WindowTokens]) -> Tensor:
    """The posterior means (n, Z) of windows."""
    return model.encode(*as_tensors(windows))[0].cpu()
