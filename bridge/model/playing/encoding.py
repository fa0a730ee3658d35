"""Bars in the latent space: the posterior of every window of a loop, and the way from one point to another."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bridge.model.nets.compiled import CompiledModel
from bridge.model.playing.decoding import look_about
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

    What was encoded lately is kept: a request goes on from bars that were encoded when they were made. What waits is
    looked for before and after the model reads them: of a trio's sixteen bars either takes some milliseconds.
    """
    lately = _encoded_lately.setdefault(model, {})
    encoded = lately.pop((bars, frame), None)
    if encoded is None:
        held = frame or frame_of(bars, model.config)
        windows = to_windows(bars, held, model.config)
        look_about()
        means, spreads = model.encode(*as_tensors(windows))
        look_about()
        encoded = Encoded(bars, tuple(windows), means.cpu(), spreads.cpu(), held)
    lately[bars, frame] = encoded
    while len(lately) > _ENCODED_KEPT:
        del lately[next(iter(lately))]
    return encoded


def means_of(model: CompiledModel, windows: Sequence[WindowTokens]) -> Tensor:
    """The posterior means (n, Z) of windows."""
    return model.encode(*as_tensors(windows))[0].cpu()


def slerp(a: Tensor, b: Tensor, share: float | Tensor) -> Tensor:
    """Along the arc from a to b (..., Z), lengths interpolated; straight where they point the same or opposite way."""
    lengths_a, lengths_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / lengths_a.clamp_min(1e-9), b / lengths_b.clamp_min(1e-9)
    cosine = (unit_a * unit_b).sum(-1, keepdim=True).clamp(-1.0, 1.0)
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    arc = (torch.sin((1.0 - share) * angle) * unit_a + torch.sin(share * angle) * unit_b) / sine.clamp_min(1e-9)
    length = (1.0 - share) * lengths_a + share * lengths_b
    return torch.where(sine < 1e-4, (1.0 - share) * a + share * b, arc * length)
