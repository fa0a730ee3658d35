"""Several processes that train one model together, as `torchrun` starts them; alone, all of it does nothing.

Each rank draws batches of its own; gradients are averaged, so that all hold the same weights. Rank 0 alone validates,
writes and tells, and its clock is everybody's. Where it comes to nothing the rank that failed first tells, whichever
that is, and all end as it does.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, distributed

Result = TypeVar("Result")

#: So long a rank that has failed waits for the others to come to their ends: they may be loading torch still.
_END_TOGETHER_S: Final = 20.0
_TOLD_WITHIN: Final = timedelta(seconds=5)
_BY_ITSELF: Final = 1


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
        distributed.barrier()  # one that still connects to one that has failed, and left, tells of that in gloo's words
        yield chosen
        distributed.barrier()  # nobody leaves while another still waits for a word from it
    except BaseException:
        _fails_first()  # noted before the others miss this one, and fail too
        raise
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


@cache
def _fails_first() -> bool:
    """Note that this rank has failed; whether it is the first, or cannot know."""
    with suppress(RuntimeError):
        return bool(_common_store().add("failed", 1) == 1)
    return True


@cache
def _common_store() -> Any:
    """What all ranks can read and write (a `Store`), as long as `torchrun` lives, or else rank 0.

    Raises:
        RuntimeError: it is gone.
    """
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://", timeout=_TOLD_WITHIN))
    return PrefixStore("barline", store)


def failed_together(tell: Callable[[], int]) -> int:
    """The exit code of ranks of which one has failed: that which the first to fail `tell`s, and no other says a word.
    It is given when all have come so far, or some seconds later: `torchrun` ends the others when one has ended.
    """
    code = _BY_ITSELF
    if _fails_first():
        code = tell()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # on the way out, with a code of our own
    with suppress(RuntimeError):
        if _fails_first():
            _common_store().set("code", str(code))
        else:
            code = int(_common_store().get("code"))
        waits_until = time.monotonic() + _END_TOGETHER_S
        at_the_end = _common_store().add("at the end", 1)
        while at_the_end < count() and time.monotonic() < waits_until:
            time.sleep(0.05)
            at_the_end = _common_store().add("at the end", 0)
    return code
