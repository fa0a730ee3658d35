"""Several processes that train one model together, as `torchrun` starts them; alone, all of it does nothing.

Each rank draws batches of its own; gradients are averaged, so that all hold the same weights. Rank 0 alone validates,
writes and tells, and its clock is everybody's.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed

Result = TypeVar("Result")


class DeviceError(ValueError):
    """A device to train on that is not there."""


def rank() -> int:
    """Which of the processes this is, before and after they are joined too; 0 when it is the only one."""
    return int(os.environ.get("RANK", "0")) if _several() else 0


def count() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes and tells."""
    return rank() == 0


def _several() -> bool:
    return count() > 1


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


@contextmanager
def joined(device: str) -> Iterator[torch.device]:
    """Join the other ranks if `torchrun` started this process; gives the device to train on ("auto": CUDA if there is
    any), each rank its own GPU.

    Raises:
        DeviceError: CUDA was asked for and is not there.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(f"device {device}: there is no CUDA in this machine's torch; expected cpu (or auto)")
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    chosen = torch.device(kind)
    if kind == "cuda" and _several():
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    if not _several():
        yield chosen
        return
    if _together():  # a run within a run: what rank 0 leaves at its end the others go on from
        yield chosen
        distributed.barrier()
        return
    distributed.init_process_group("nccl" if kind.startswith("cuda") else "gloo")
    try:
        yield chosen
        distributed.barrier()  # nobody leaves while another still waits for a word from it
    finally:
        distributed.destroy_process_group()
        gc.collect()  # a group that a cycle keeps alive is taken down with the interpreter, and its threads abort that


def first_alone(work: Callable[[], Result]) -> Result:
    """What `work` gives, done by rank 0 before the others: it leaves files that they then find."""
    made = work() if is_first() else None
    if _together():
        distributed.barrier()
    return work() if made is None else made


def average(gradients: Iterable[Tensor]) -> None:
    """Replace every rank's gradients by their mean, in place, in one message."""
    if not _together():
        return
    tensors = list(gradients)
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)])


def first_says(value: float, device: torch.device) -> float:
    """What rank 0 has for `value`: clocks differ, and all must end with the same step."""
    if not _together():
        return value
    told = torch.tensor([value], dtype=torch.float64, device=device)
    distributed.broadcast(told, 0)
    return float(told)


def first_has(tensor: Tensor) -> Tensor:
    """What rank 0 has for a tensor, in place."""
    if _together():
        distributed.broadcast(tensor, 0)
    return tensor
