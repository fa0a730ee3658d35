"""Files that are there whole or not at all: written beside their place, then renamed; and whether they may be.

No reader ever sees half a file, and where writing fails what was there before is there still, and no folder that was
made for it. What is written at a symbolic link is written where it leads. Nothing is forced onto the disk: that a power
cut may cost the newest version is accepted everywhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

#: So much of a file's name stands in that of what is written beside it: the longest name that a disk takes has to do.
_NAME_CHARS: Final = 48


class UnwritableError(ValueError):
    """A place that the user named and that nothing can be written to; the message says why."""


@contextlib.contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to: it takes that place when the block ends well, and is removed when it fails. A
    symbolic link stays one: the place is where it leads.

    Raises:
        OSError: it cannot take that place; which one, it says.
    """
    path = _place_of(path)
    beside = path.with_name(f".{path.name[:_NAME_CHARS]}.{os.getpid()}.part")
    try:
        with named(path):
            yield beside
            beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # it may never have come to be; the fault to tell is the first
            beside.unlink()
        raise


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """A system's fault from within says which file it is about: that of opening one does, that of writing does not."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or type(error).__module__ != "builtins":
            raise
        if error.errno is None:  # numpy's, of fewer bytes written than there are
            raise OSError(f"{path}: not all of it could be written ({error})") from error
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def folders_for(path: Path) -> Iterator[None]:
    """The folders that `path` is to lie in are made where they are missing; where the block fails they go again.

    Raises:
        OSError: one of them cannot be made.
    """
    path = _place_of(path)
    made = [folder for folder in path.parents if not folder.exists()]  # the innermost first
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # somebody has put something there meanwhile
            for folder in made:
                if folder.exists():
                    folder.rmdir()
        raise


def _place_of(path: Path) -> Path:
    """Where a file at `path` really lies, be it there already or not: a link may lead to another."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def write(path: Path, content: bytes | memoryview | str) -> None:
    """Make `content`, text as UTF-8 with its line ends as they are, the whole of a file.

    Raises:
        OSError: it cannot be written.
    """
    with in_place_of(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Make each of them the whole of a file, in folders that are made where they are missing: all or, where one cannot
    be written, none.

    Raises:
        OSError: which one, it says.
    """
    with contextlib.ExitStack() as places:
        for path in contents:
            places.enter_context(folders_for(path))
        besides = [places.enter_context(in_place_of(path)) for path in contents]
        for beside, (path, content) in zip(besides, contents.items(), strict=True):
            with named(path):
                beside.write_bytes(content)


def refuse_unwritable(out: Path, paths: Sequence[Path], option: str = "--out") -> None:
    """Refuse an option by which files cannot be written at `paths`, before there is anything to write.

    Raises:
        UnwritableError: what should be a file is a folder, a device or write-protected, what should be a folder is a
            file, or nothing may be written there.
    """
    for path in paths:
        try:
            hindrance = _hindrance(path)
        except OSError as error:  # too long a name
            hindrance = error.strerror or str(error)
        if hindrance:
            raise UnwritableError(f"{option} {out}: expected a place to write to ({hindrance})")


def _hindrance(path: Path) -> str | None:
    """What keeps a file from being written at `path`."""
    if path.is_symlink():
        place = _place_of(path)
        return f"{path} is a link to itself" if place.is_symlink() else _hindrance(place)
    if not path.name or path.is_dir():
        return f"{path} is a folder"
    if path.exists():
        if not path.is_file():  # renamed over, /dev/null would be a file from then on, and for everyone
            return f"{path} is no ordinary file"
        if not os.access(path, os.W_OK):
            return f"{path} may not be written to"
    folder = path.parent
    while not folder.exists():
        if folder.is_symlink():  # no folder can be made in its place
            return f"{folder} is a link to nowhere"
        folder = folder.parent
    if not folder.is_dir():
        return f"{folder} is a file"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} may not be written to"
