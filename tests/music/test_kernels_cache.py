"""Where compiled kernels are kept, and that a cache is used."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bridge.music import kernel_cache

ROOT = Path(__file__).resolve().parents[2]


def settle(monkeypatch: pytest.MonkeyPatch, home_cache: Path, temp: Path) -> Path:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(kernel_cache, "user_cache", lambda: home_cache)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(temp))
    chosen = kernel_cache.settle_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == str(chosen)
    return chosen


def test_the_user_cache_is_taken_when_it_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen = settle(monkeypatch, tmp_path / "cache", tmp_path)
    assert chosen == tmp_path / "cache" / "barline" / "numba"
    assert chosen.is_dir()


def test_a_cache_that_cannot_be_made_gives_way_to_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    temp = tmp_path / "temp"
    temp.mkdir()
    chosen = settle(monkeypatch, tmp_path / "file", temp)
    assert chosen.parent == temp
    assert chosen.is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_folder_that_others_may_write_to_is_never_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    trap = tmp_path / f"barline-numba-{os.getuid()}"
    trap.mkdir()
    trap.chmod(0o777)
    chosen = settle(monkeypatch, tmp_path / "file", tmp_path)
    assert chosen != trap
    assert chosen.stat().st_mode & 0o022 == 0


def test_the_users_own_setting_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    assert kernel_cache.settle_cache() == tmp_path / "mine"


def warmed_up(cache: Path) -> int:
    """Warm up in a process of its own, with `cache`; how many of the repair kernel's signatures came from there."""
    script = (
        "import sys; from bridge.music import groove\n"
        "assert 'numba' not in sys.modules\n"
        "assert groove.warm_up()\n"
        "from bridge.music import kernels\n"
        "print(sum(kernels.repair.stats.cache_hits.values()))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "NUMBA_DISABLE_JIT": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_kernels_are_kept_on_disk_and_made_anew_when_what_is_kept_was_cut_short(tmp_path: Path) -> None:
    assert warmed_up(tmp_path) == 0
    (damaged,) = tmp_path.rglob("kernels.repair*.nbi")
    damaged.write_bytes(damaged.read_bytes()[:40])
    assert warmed_up(tmp_path) == 0
    assert warmed_up(tmp_path) == 1
