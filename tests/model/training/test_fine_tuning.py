"""Going on from trained weights on a user's own files, and several processes that train together."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_songs import write_songs

from bridge.model.nets.registry import load_model
from bridge.model.training.train import train
from bridge.model.training.training_run import FINE_TUNING, FROM_SCRATCH, Length

ROOT = Path(__file__).resolve().parents[3]


def test_it_begins_where_the_weights_are_and_takes_small_steps() -> None:
    assert FINE_TUNING.at(0.0, 1000)[0] < FROM_SCRATCH.at(0.0, 1000)[0] / 5
    assert FINE_TUNING.at(0.0, 0)[1:] == (1.0, 0.5)


def test_shipped_weights_learn_a_user_s_files_and_few_of_them_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = write_songs(tmp_path / "mine", count=3)
    with caplog.at_level(logging.WARNING):
        made = train(
            "melody-2bar", [data], Length(steps=2), resume=False, out_dir=tmp_path / "run", progress=False,
            batch_size=16, start_from=load_model("melody-2bar").model.state_dict(),
        )  # fmt: skip
    assert "3 songs are few" in caplog.text
    assert "learn them by heart" in caplog.text
    assert made.steps == 2
    assert made.weights.is_file()
    first = (tmp_path / "run" / "curves.csv").read_text().splitlines()
    f1 = float(dict(zip(first[0].split(","), first[-1].split(","), strict=True))["note_f1"])
    assert f1 > 0.3, "weights that know music read simple tunes at once"


def test_two_processes_train_one_model_and_one_of_them_writes(tmp_path: Path) -> None:
    data = write_songs(tmp_path / "songs", count=6)
    script = tmp_path / "rank.py"
    script.write_text(
        f"""
import hashlib, sys, torch
from pathlib import Path
sys.path.insert(0, {str(ROOT / "tests")!r})
from small_models import SMALL_LINE
from bridge.model.nets import config
from bridge.model.training import ranks
from bridge.model.training.train import train
from bridge.model.training import training_run
torch.set_num_threads(1)
config.CONFIGS["melody-2bar"] = SMALL_LINE
kept = {{}}
original = training_run.Run.save
def save(self):
    sums = hashlib.sha256(b"".join(m.detach().numpy().tobytes() for m in self.optimiser.master)).hexdigest()
    Path({str(tmp_path)!r}, f"rank{{ranks.rank()}}").write_text(f"{{self.steps}} {{sums}}")
    original(self)
training_run.Run.save = save
train("melody-2bar", [Path({str(data)!r})], training_run.Length(steps=4), resume=False,
      out_dir=Path({str(tmp_path / "run")!r}), device="cpu", progress=False, batch_size=8)
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [(tmp_path / f"rank{number}").read_text() for number in range(2)]
    assert ranks[0] == ranks[1], "the same steps, the same weights"
    assert int(ranks[0].split()[0]) == 4
    assert (tmp_path / "run" / "best.safetensors").is_file()
