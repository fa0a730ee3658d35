"""The whole way of the hierarchical models with small ones: from MIDI files to a folder that plays."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import SMALL_BARS, SMALL_LONG_LINE, SMALL_TRIO, small_hierarchy
from small_songs import tune, write_songs, write_trios

from bridge.model.data.corpus import open_collections
from bridge.model.data.dataset import build
from bridge.model.data.long_windows import TrioSource, plain_parts, whole_rows
from bridge.model.evaluation.evaluate import evaluate_path
from bridge.model.nets import registry
from bridge.model.playing.generation import sample_bars
from bridge.model.training import exporting, flat_baseline, hierarchy_training, train
from bridge.model.training.training_run import CheckpointError, Length
from bridge.music.grids import PITCHES
from bridge.music.midi_files import midi_bytes
from bridge.music.notes import Bars, Note

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def small_family(monkeypatch):
    """The family with small models, and quick runs."""
    bars = {config.name: config for config in SMALL_BARS}
    monkeypatch.setattr("bridge.model.training.train.BAR_CONFIGS", bars)
    monkeypatch.setattr(hierarchy_training, "_POOL_WINDOWS", 128)
    configs = {config.name: config for config in (SMALL_LONG_LINE, SMALL_TRIO)}
    for module in (train, exporting, registry, flat_baseline):
        monkeypatch.setattr(module, "config_of", configs.__getitem__)


def test_a_long_line_is_trained_resumed_exported_and_plays(small_family, tmp_path):
    data = tmp_path / "data"
    write_songs(data, count=3)
    for seed in range(3):
        (data / f"long-{seed}.mid").write_bytes(midi_bytes(tune(seed, 20), channels={0: 0}, track_name="melody"))
    run = tmp_path / "melody-16bar"
    how = {"out_dir": run, "device": "cpu", "progress": False, "batch_size": 8}
    first = train.train("melody-16bar", [data], Length(steps=3), resume=False, **how)
    assert (run / "melody-1bar" / "best.safetensors").is_file()
    assert first.steps > 0
    beneath = (run / "melody-1bar" / "checkpoint.pt").read_bytes()
    again = train.train("melody-16bar", [data], Length(steps=10), resume=True, **how)
    assert again.steps > first.steps
    assert (run / "melody-1bar" / "checkpoint.pt").read_bytes() == beneath, "what it stands on stays as it is"
    bar, long = (load_file(folder / "best.safetensors") for folder in (run / "melody-1bar", run))
    for name, value in bar.items():
        assert torch.equal(long[f"bars.0.{name}"], value), name
    models = tmp_path / "models"
    card = exporting.export("melody-16bar", run, [data], models_dir=models)
    assert 0.0 <= card["scores"]["step_accuracy"]["sampled"] <= 1.0
    model = registry.load_compiled("melody-16bar", "cpu", models)
    assert sample_bars(model, 16, 1, 1.0).length == 64.0
    found = flat_baseline.compare_with_flat(
        "melody-16bar", [data], 0.01, models_dir=models, cache=tmp_path / "cache", batch_size=4
    )
    assert found["updates"] > 0
    assert -1.0 <= found["sampled"]["above"] <= 1.0
    assert registry.read_card("melody-16bar", models)["sha256"] == card["sha256"]


def test_an_interrupt_in_the_bars_is_the_whole_command_s(small_family, tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    (data / "long.mid").write_bytes(midi_bytes(tune(1, 20), channels={0: 0}, track_name="melody"))

    def interrupted(self, batch_size, fraction):
        raise KeyboardInterrupt

    monkeypatch.setattr(train.WindowRun, "train_step", interrupted)
    run = tmp_path / "melody-16bar"
    with pytest.raises(KeyboardInterrupt):
        train.train("melody-16bar", [data], Length(steps=5), resume=False, out_dir=run, device="cpu", progress=False)
    assert (run / "melody-1bar" / "checkpoint.pt").is_file()
    assert not (run / "checkpoint.pt").exists()


def test_a_trio_is_trained_evaluated_and_plays(small_family, tmp_path):
    data = write_trios(tmp_path / "data")
    run = tmp_path / "trio-16bar"
    length = Length(steps=12)
    train.train("trio-16bar", [data], length, resume=False, out_dir=run, device="cpu", progress=False, batch_size=8)
    models = tmp_path / "models"
    exporting.export("trio-16bar", run, [data], models_dir=models)
    scores = evaluate_path(registry.load_model("trio-16bar", models).model, data, 0)
    assert set(scores["parts"]) == {"melody", "bass", "drums"}
    assert scores["windows"] == 15
    model = registry.load_compiled("trio-16bar", "cpu", models)
    assert {note.part for note in sample_bars(model, 16, 1, 1.0).notes} == {0, 1, 2}


def test_a_trio_s_former_run_of_other_shapes_is_named(small_family, tmp_path, monkeypatch):
    data, run = write_trios(tmp_path / "data"), tmp_path / "trio-16bar"
    how = {"out_dir": run, "device": "cpu", "progress": False, "batch_size": 8}
    train.train("trio-16bar", [data], Length(steps=4), resume=False, **how)
    with monkeypatch.context() as patched:
        patched.setattr(train, "config_of", lambda name: replace(SMALL_TRIO, latent_size=6))
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt: expected weights of trio-16bar .* of 6.*, found 9"):
            train.train("trio-16bar", [data], Length(steps=8), resume=True, **how)
    bar = run / "bass-1bar" / "best.safetensors"
    for damaged in ({"encoder.mean.bias": torch.zeros(2)}, None):
        if damaged is None:
            bar.write_bytes(b"none")
        else:
            save_file(damaged, bar)
        with pytest.raises(
            CheckpointError, match=r"bass-1bar/best\.safetensors: expected weights of bass-1bar as it is"
        ):
            train.train("trio-16bar", [data], Length(steps=8), resume=True, **how)


_RANK = """
import hashlib, sys, time, torch
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from small_models import SMALL_BARS, SMALL_TRIO
from bridge.model.training import hierarchy_training, ranks, train, training_run
torch.set_num_threads(1)
train.BAR_CONFIGS = {{config.name: config for config in SMALL_BARS}}
train.config_of = lambda name: SMALL_TRIO
hierarchy_training._POOL_WINDOWS = 128
told = Path({told!r} + str(ranks.rank()))
def tell(what, optimiser):
    weights = b"".join(p.detach().numpy().tobytes() for p in (*optimiser.master, *optimiser.ema))
    with told.open("a") as file:
        print(what, hashlib.sha256(weights).hexdigest(), file=file)
class Watched(training_run.Optimiser):
    def begin_at(self, weights):
        super().begin_at(weights)
        tell("begins", self)
training_run.Optimiser = Watched
save, validate = training_run.Run.save, training_run.Run.validate
def saved(self):
    tell(f"{{self.config.name}} {{self.steps}}", self.optimiser)
    save(self)
def slowly(self, progress):
    time.sleep(0.5 * ranks.is_first())
    validate(self, progress)
training_run.Run.save, training_run.Run.validate = saved, slowly
train.train("trio-16bar", [Path({data!r})], training_run.Length(steps=6), resume=False, out_dir=Path({run!r}),
            device="cpu", progress=False, batch_size=8)
"""


def test_two_processes_begin_a_trio_at_the_same_components_over_the_same_bars(tmp_path):
    """Each reads windows of its own, and the first is slow to leave the weights of the bars."""
    data, run, script = write_trios(tmp_path / "data"), tmp_path / "trio-16bar", tmp_path / "rank.py"
    script.write_text(
        _RANK.format(root=str(ROOT), tests=str(ROOT / "tests"), told=f"{tmp_path}/rank", data=str(data), run=str(run))
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = ((tmp_path / f"rank{number}").read_text().splitlines() for number in range(2))
    assert [line.split()[0] for line in first] == ["melody-1bar", "bass-1bar", "drums-1bar", "begins", "trio-16bar"]
    assert first == second, "the same beginnings, the same steps, the same weights"
    assert (run / "best.safetensors").is_file()


def test_trios_are_windows_of_one_file_and_stay_together_when_augmented(tmp_path):
    collections = open_collections(write_trios(tmp_path / "data"))
    trios = build(collections, SMALL_TRIO)
    assert trios.tokens.shape == (15, 3, 256)
    assert len(whole_rows(trios)) == 15
    melody, bass, drums = plain_parts(trios, np.arange(15), SMALL_TRIO)
    assert (melody.tokens < PITCHES).sum(1).min() >= 8
    assert (bass.tokens < PITCHES).sum(1).min() >= 8
    assert bool(drums.has_dynamics.all())
    parts = [build(collections, SMALL_TRIO.of_part(part)) for part in range(3)]
    source, same = (TrioSource(trios, parts, SMALL_TRIO, 1) for _ in range(2))
    for one, other in zip(source.batch(32), same.batch(32), strict=True):
        assert torch.equal(one.tokens, other.tokens)
        assert one.tokens.shape == (32, 256)


def test_lines_of_trios_that_are_made_up_can_be_of_different_files(tmp_path):
    """A melody of long notes stands in a file of its own: it is heard over the lines and drums of others."""
    folder = write_trios(tmp_path / "data")
    slow = Bars(tuple(Note(65 + half % 7, 2.0 * half, 2.0, 90, 0) for half in range(40)), 80.0)
    (folder / "slow.mid").write_bytes(midi_bytes(slow, channels={0: 0}, track_name="melody"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["slow.mid"] = {"song": "slow", "roles": {"melody": [0]}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    collections = open_collections(folder)
    parts = [build(collections, SMALL_TRIO.of_part(part)) for part in range(3)]
    source = TrioSource(build(collections, SMALL_TRIO), parts, SMALL_TRIO, 1)
    melody, bass, _ = source.batch(300)
    onsets = (melody.tokens < PITCHES).sum(1)
    is_slow = (onsets > 0) & (onsets <= 40)
    assert 10 < int(is_slow.sum()) < 150
    assert int((bass.tokens[is_slow] < PITCHES).sum(1).max()) > 60


def test_parts_of_different_windows_are_read_together_with_their_own_embeddings(tmp_path, monkeypatch):
    monkeypatch.setitem(hierarchy_training._SHUFFLED, 3, 0.5)
    trios = build(open_collections(write_trios(tmp_path / "data")), SMALL_TRIO)
    source = TrioSource(trios, [None, None, None], SMALL_TRIO, 1)
    model = small_hierarchy(SMALL_TRIO)[0]
    pool = hierarchy_training.Pool(model, source, torch.device("cpu"), 3, 128)
    windows, embedded = pool.batch(64)
    with torch.no_grad():
        again = model.embed(windows)
    assert torch.allclose(embedded.means, again.means, atol=1e-5)
    assert torch.allclose(embedded.spreads, again.spreads, atol=1e-5)
    whole = torch.stack([batch.tokens for batch in pool._windows], 1)  # as they were read
    made = torch.stack([batch.tokens for batch in windows], 1)
    together = [(row == whole).flatten(1).all(1).any().item() for row in made]
    assert 15 <= sum(together) <= 49
    for part in range(3):
        assert all((row == whole[:, part]).all(1).any() for row in made[:, part])


def test_a_song_is_held_out_by_every_model_or_by_none(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    files = {}
    for seed in range(40):
        (data / f"{seed}.mid").write_bytes(midi_bytes(tune(seed, 20), channels={0: 0}, track_name="melody"))
        files[f"{seed}.mid"] = {"song": f"song {seed}", "roles": {"melody": [0]}}
    (data / "manifest.json").write_text(json.dumps({"source": "made-up", "files": files}))
    long = build(open_collections(data), SMALL_LONG_LINE)
    short = build(open_collections(data), replace(SMALL_LONG_LINE, bars=2))
    splits = [{int(s): int(x) for s, x in zip(d.song, d.split, strict=True)} for d in (long, short)]
    assert splits[0] == splits[1]
    assert set(splits[0].values()) == {0, 1, 2}
