"""Weights in eight bits for the file: matrices with one scale a row, everything else in sixteen."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_SCALE = ".scale"
_LEAST_NUMBERS = 1024
_MOST = 127.0


def in_eight_bits(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors for a file: a matrix as int8 beside `NAME.scale`, one fp16 a row; the small and the flat as fp16."""
    made: dict[str, Tensor] = {}
    for name, value in tensors.items():
        rows = value.detach().float().cpu()
        if rows.dim() != 2 or rows.numel() < _LEAST_NUMBERS:
            made[name] = rows.half().contiguous()
            continue
        scales = (rows.abs().amax(1) / _MOST).clamp_min(1e-6).half()
        whole = (rows / scales.float()[:, None]).round().clamp(-_MOST, _MOST)
        made[name] = whole.to(torch.int8).contiguous()
        made[name + _SCALE] = scales
    return made


def from_eight_bits(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file in float32; what was never in eight bits is only made wider."""
    made = {}
    for name, value in tensors.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in tensors:
            continue
        scales = tensors.get(name + _SCALE)
        made[name] = value.float() if scales is None else value.float() * scales.float()[:, None]
    return made
