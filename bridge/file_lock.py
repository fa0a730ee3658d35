"""A folder for one process at a time: a lock on a file in it, which the system releases with its process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from bridge import whole_file

_LOCK_FILE: Final = "run.lock"
_LOCK_OFFSET: Final = 1 << 20  # Windows locks byte ranges: one beyond the text, so that others can read that


class FolderTakenError(RuntimeError):
    """A folder that another process is at work in; the message names it."""


def try_lock(file: IO[str]) -> bool:
    """Lock an open file for this process as long as it is open; False where another has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_LOCK_OFFSET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def alone_in(folder: Path, work: str) -> Iterator[None]:
    """Within, no other process has `folder` in this way; it is made where it is missing, and goes again where the block
    fails with nothing in it. `work` is what the message calls what the other does.

    Raises:
        FolderTakenError: another process has it.
        OSError: it cannot be written.
    """
    made = not folder.exists()
    path = folder / _LOCK_FILE
    with whole_file.folders_for(path):
        try:
            with path.open("a+", encoding="utf-8") as file:
                if not try_lock(file):
                    raise FolderTakenError(f"{folder}: another {work} is at work there; wait for its end, or stop it")
                yield
        except FolderTakenError:  # both may have made the folder just now: the file is the other's
            raise
        except BaseException:
            if made:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise
