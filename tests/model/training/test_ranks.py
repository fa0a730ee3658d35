"""Several processes that `torchrun` started, of which one or all cannot go on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("data", "steps", "expected"),
    [
        ("songs", "2", r"barline: songs: expected MIDI files \(\.mid, \.midi\) or zips of them, found none"),
        ("songs", "none", r"barline train: argument --steps: none: expected a whole number .*"),
    ],
    ids=["rank 0 alone finds it, the other waits for it", "each finds it"],
)
def test_what_is_wrong_is_told_once_and_all_end_with_it(tmp_path: Path, data: str, steps: str, expected: str) -> None:
    (tmp_path / "songs").mkdir()
    script = tmp_path / "rank.py"
    script.write_text(
        "import sys; from pathlib import Path\n"
        "from bridge.cli import main\n"
        "from bridge.model import file_commands\n"
        "file_commands.models_folder = lambda: Path('models')\n"
        f"sys.exit(main(['train', 'melody-2bar', '--data', {data!r}, '--steps', {steps!r}, '--device', 'cpu']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True,
        text=True, timeout=110,
    )  # fmt: skip
    ours = re.split(r"^[EW]\d{4} ", done.stderr, maxsplit=1, flags=re.MULTILINE)[0]
    assert re.fullmatch(expected, ours.strip()), done.stderr
    assert done.stderr.count("Traceback") == 1, "torchrun's own"
    assert re.findall(r"exitcode +: (-?\d+)", done.stderr) == ["2", "2"], done.stderr
    assert not (tmp_path / "models").exists()
