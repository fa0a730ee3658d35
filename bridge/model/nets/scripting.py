"""TorchScript and packed int8 products. THE ONLY file that touches torch.jit, which is on its way out of torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

#: Marks a method of a module that is to be scripted with it.
exported = torch.jit.export


def scripted(module: nn.Module, methods: Sequence[str]) -> Any:
    """A module scripted and frozen, its named methods kept."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`?torch\.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r"`?torch\.jit.*", category=FutureWarning)
        return torch.jit.freeze(torch.jit.script(module.eval()), preserved_attrs=list(methods))


def kept(weight: Tensor) -> Tensor:
    """A weight as the compiled modules keep it: float32, contiguous, a copy."""
    return weight.detach().float().contiguous().clone()


def packed(weight: Tensor) -> Any:
    """A recurrent weight in int8, one scale a row, packed for the machine's own instructions."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*quantize_per_channel.*", category=UserWarning)
        rows = weight.detach().float().cpu()
        scales = rows.abs().amax(1).clamp_min(1e-8) / 127.0
        quantised = torch.quantize_per_channel(rows, scales, torch.zeros(len(rows), dtype=torch.long), 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(quantised, None)


def int8_works(device: torch.device) -> bool:
    """Whether the int8 product exists here and is exact: x86 with VNNI (older chips saturate in 16 bits)."""
    vnni = getattr(torch.cpu, "_is_vnni_supported", None)
    return device.type == "cpu" and "x86" in torch.backends.quantized.supported_engines and bool(vnni and vnni())
