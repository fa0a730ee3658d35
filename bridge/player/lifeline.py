"""Standard input as lifeline: the supervisor's first line says how to begin, its end says that it is over."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any


class LifelineError(ValueError):
    """The first line is not the object it should be."""


def read_init(descriptor: int) -> dict[str, Any]:
    """The JSON object on the first line.

    Raises:
        LifelineError: no such line.
    """
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            break
        line += byte
    try:
        value = json.loads(line)
    except ValueError as fault:
        raise LifelineError(f"the first line on standard input is no JSON object: {bytes(line[:80])!r}") from fault
    if not isinstance(value, dict):
        raise LifelineError("the first line on standard input is no JSON object")
    return value


def has_ended(descriptor: int) -> bool:
    """Read what there is; True at the end of file. Further lines mean nothing to the player."""
    try:
        return not os.read(descriptor, 65536)
    except BlockingIOError:
        return False
    except OSError:
        return True


def watchable(descriptor: int, wake: socket.socket) -> int | None:
    """The descriptor to watch for the end of standard input; on Windows, where a pipe cannot be watched, None, and a
    thread closes `wake` when it ends.
    """
    if sys.platform == "win32":
        threading.Thread(target=_close_at_end, args=(descriptor, wake), daemon=True, name="lifeline").start()
        return None
    os.set_blocking(descriptor, False)
    return descriptor


def _close_at_end(descriptor: int, wake: socket.socket) -> None:
    while os.read(descriptor, 4096):
        pass
    wake.close()
