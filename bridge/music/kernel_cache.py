"""Where Numba keeps the compiled groove kernels: decided here and nowhere else."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from pathlib import Path


def user_cache() -> Path:
    """The folder this system's programs keep what can be made again in."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def settle_cache() -> Path:
    """Set NUMBA_CACHE_DIR and return it; to be called before numba is imported.

    The user's own setting stands; else a folder in the user's cache; else, where that cannot be written (a sandbox, a
    system account without a home), one in the temporary folder. Numba un-pickles what it finds there, so a folder
    that someone else owns or may write to is never taken.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen)
    candidates = [_in_user_cache(), Path(tempfile.gettempdir()) / f"barline-numba-{_user_id()}"]
    folder = next((path for path in candidates if path is not None and _is_ours(path)), None)
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="barline-numba-"))
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return folder


def discard_cache() -> None:
    """Remove what is kept of the groove kernels; they are compiled again at the next import."""
    for kept in settle_cache().glob(f"{Path(__file__).parent.name}_*/kernels.*.nb?"):
        with contextlib.suppress(OSError):  # another process has just done the same
            kept.unlink()


def _in_user_cache() -> Path | None:
    try:
        return user_cache() / "barline" / "numba"
    except RuntimeError:  # pathlib found no home
        return None


def _user_id() -> int:
    return os.getuid() if sys.platform != "win32" else 0


def _is_ours(folder: Path) -> bool:
    """Whether `folder` exists (made if need be), can be written, and belongs to nobody but this user."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        status = folder.lstat()
    except OSError:
        return False
    if sys.platform == "win32":
        return True
    private = not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and private
