"""Files that are there whole or not at all: written beside their place, then renamed.

No reader ever sees half a file, and where writing fails what was there before is there still. Nothing is forced onto
the disk: that a power cut may cost the newest version is accepted everywhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: So much of a file's name stands in that of what is written beside it: the longest name that a disk takes has to do.
_NAME_CHARS: Final = 48


@contextlib.contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to: it takes that place when the block ends well, and is removed when it fails.

    Raises:
        OSError: it cannot take that place.
    """
    beside = path.with_name(f".{path.name[:_NAME_CHARS]}.{os.getpid()}.part")
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # it may never have come to be; the fault to tell is the first
            beside.unlink()
        raise


def write(path: Path, content: bytes | str) -> None:
    """Make `content`, text as UTF-8 with its line ends as they are, the whole of a file.

    Raises:
        OSError: it cannot be written.
    """
    with in_place_of(path) as beside:
        beside.write_bytes(content if isinstance(content, bytes) else content.encode())
