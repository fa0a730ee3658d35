"""What torch finds on this machine, for `doctor`."""

from __future__ import annotations

import torch

from bridge.engine.residents import usable_device


def torch_device(wanted: str) -> tuple[bool, str]:
    """Whether the device that `engine.device` asks for is there, and in words what will be used.

    A matrix product is done on it: a driver that does not fit shows only then.
    """
    device = usable_device(wanted)
    version = f"torch {torch.__version__}"
    try:
        torch.ones(8, 8, device=device).matmul(torch.ones(8, 8, device=device)).sum().item()
    except RuntimeError as fault:
        return False, f"{version}, {device} does not work: {str(fault).splitlines()[0]}"
    name = f" ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else ""
    return wanted in ("auto", device), f"{version} on {device}{name}"
