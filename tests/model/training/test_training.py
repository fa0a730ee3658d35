"""Training really trains: on songs made up here the loss falls, a stopped run goes on, and the result plays."""

import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import SMALL_DRUMS, SMALL_LINE
from small_songs import tune, write_songs

from bridge.model.data.corpus import CorpusError, open_collections
from bridge.model.data.dataset import SPLITS, build, load, split_of
from bridge.model.data.training_data import BatchSource, evaluation_rows, group_chances, plain_batch
from bridge.model.evaluation.scoring import read_windows
from bridge.model.nets.config import CONFIGS
from bridge.model.nets.registry import ModelFileError, load_compiled
from bridge.model.nets.vae import MusicVae, decode_eagerly, training_losses
from bridge.model.playing.generation import sample_bars
from bridge.model.training import ranks, training_run
from bridge.model.training.curves import curves_of
from bridge.model.training.exporting import export
from bridge.model.training.train import train
from bridge.model.training.training_run import CheckpointError, Length
from bridge.music.midi_files import midi_bytes

ROOT = Path(__file__).resolve().parents[3]


def losses_of(curves):
    rows = [line.split(",") for line in curves.read_text().splitlines()]
    column = rows[0].index("token_nats")
    return [float(row[column]) for row in rows[1:]]


@pytest.mark.parametrize(("name", "small"), [("melody-2bar", SMALL_LINE), ("drums-2bar", SMALL_DRUMS)])
def test_a_short_run_learns_resumes_and_plays(name, small, tmp_path, monkeypatch):
    for module in ("training.train", "training.exporting", "nets.registry"):
        monkeypatch.setattr(f"bridge.model.{module}.config_of", lambda name: small)
    data = write_songs(tmp_path / "data", count=12, part=small.part, manifest=True)
    run = tmp_path / "run"
    how = {"out_dir": run, "device": "cpu", "progress": False, "batch_size": 32}
    first = train(name, [data], Length(steps=10), resume=False, **how)
    assert first.steps == 10
    assert {p.name for p in run.iterdir()} >= {"checkpoint.pt", "best.safetensors", "curves.csv"}
    assert not list(run.glob(".*.part"))
    second = train(name, [data], Length(steps=120), resume=True, **how)
    assert second.steps == 120
    by_the_clock = Length(60.0 * second.minutes + 1.0)
    third = train(name, [data], by_the_clock, resume=True, **how)
    assert third.steps > 120
    assert third.minutes >= second.minutes + 1.0 / 60.0
    curve = losses_of(run / "curves.csv")
    assert curve[-1] < curve[0]
    card = export(name, run, [data], models_dir=tmp_path / "models")
    assert card["data"] == ["made-up: not stated"]
    assert 0.0 <= card["scores"]["note_f1"] <= 1.0
    compiled = load_compiled(name, "cpu", tmp_path / "models")
    assert sample_bars(compiled, 2, 1, 1.0).length == 8.0


def test_a_run_without_a_checkpoint_starts_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("bridge.model.training.train.config_of", lambda name: SMALL_LINE)
    data = write_songs(tmp_path / "data", count=3)
    made = train("melody-2bar", [data], Length(steps=1), resume=True, out_dir=tmp_path / "run", progress=False)
    assert made.steps == 1


def test_with_its_index_carried_along_the_command_needs_torch_numpy_and_safetensors_alone(tmp_path):
    songs = write_songs(tmp_path / "songs", count=6)
    load([songs], CONFIGS["melody-2bar"], tmp_path / "models" / ".training" / "own" / "melody-2bar" / "index")
    there = shutil.copytree(songs, tmp_path / "elsewhere" / "songs")
    code = (
        "import sys; from pathlib import Path\n"
        "for name in ('mido', 'yaml', 'numba', 'pythonosc', 'pydantic', 'PIL', 'tqdm', 'psutil', 'rtmidi'):\n"
        "    sys.modules[name] = None\n"
        "from bridge.cli import main\n"
        "from bridge.model import file_commands\n"
        "file_commands.models_folder = lambda: Path('models')\n"
        f"given = ['--data', {str(there)!r}, '--steps', '1', '--batch', '4', '--device', 'cpu']\n"
        "sys.exit(main(['train', 'melody-2bar', *given]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=240)
    assert load_compiled("melody-2bar", "cpu", tmp_path / "models").config.bars == 2


@pytest.fixture
def small_run(tmp_path, monkeypatch):
    """Train a small model on three songs, or on `data`, in one folder."""
    monkeypatch.setattr("bridge.model.training.train.config_of", lambda name: SMALL_LINE)
    songs = write_songs(tmp_path / "songs", count=3)

    def go(steps, *, resume=False, data=songs, seed=0, folder="run", device="cpu", name="melody-2bar"):
        out = tmp_path / folder
        return train(
            name, [data], Length(steps=steps), resume=resume, out_dir=out, progress=False, batch_size=16, seed=seed,
            device=device,
        )  # fmt: skip

    return go


def interrupt_at(step, monkeypatch):
    """The user's Ctrl-C before the step of that number."""
    original = training_run.Run.train_step

    def interrupted(self, batch_size, fraction):
        if self.steps == step:
            raise KeyboardInterrupt
        return original(self, batch_size, fraction)

    monkeypatch.setattr(training_run.Run, "train_step", interrupted)


def test_an_interrupt_keeps_the_checkpoint_and_ends_the_command(small_run, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt_at(2, patched)
        with pytest.raises(KeyboardInterrupt):
            small_run(50)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["steps"] == 2
    assert small_run(5, resume=True).steps == 5


@pytest.mark.parametrize("first", [True, False])
def test_of_several_that_are_interrupted_one_tells(small_run, monkeypatch, caplog, first):
    caplog.set_level("INFO")
    monkeypatch.setattr(ranks, "is_first", lambda: first)
    interrupt_at(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        small_run(50)
    assert ("stopped after 2 steps: --resume goes on" in caplog.text) == first


def test_what_a_killed_run_did_after_its_checkpoint_is_not_told_twice(small_run, tmp_path):
    """Its curve does not go back in time, and weights that were better stay."""
    small_run(3)
    run = tmp_path / "run"
    checkpoint = (run / "checkpoint.pt").read_bytes()
    small_run(8, resume=True)
    (run / "checkpoint.pt").write_bytes(checkpoint)  # as if it had been killed
    save_file(load_file(run / "best.safetensors"), run / "best.safetensors", metadata={"note_f1": "0.99"})
    best = (run / "best.safetensors").read_bytes()
    assert small_run(6, resume=True).note_f1 == pytest.approx(0.99)
    assert (run / "best.safetensors").read_bytes() == best
    steps = [row["steps"] for row in curves_of(run)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 6


@pytest.mark.parametrize("left", [b"", b"fraction,st", b"\0" * 40, b"a,b\n1,2\n", None])
def test_a_run_goes_on_whatever_is_left_of_its_curves(small_run, tmp_path, left):
    """Those rows are lost, and those to come are noted; of a row that was cut short, that row alone."""
    small_run(3)
    path = tmp_path / "run" / "curves.csv"
    path.write_bytes(path.read_bytes()[:-30] if left is None else left)
    small_run(5, resume=True)
    assert [row["steps"] for row in curves_of(tmp_path / "run")] == [*([1, 2] if left is None else []), 4, 5]


def test_a_run_that_was_stopped_before_it_was_ever_validated_can_be_ended(small_run, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt_at(2, patched)
        patched.setattr(training_run.Length, "between_validations", 1.0)
        with pytest.raises(KeyboardInterrupt):
            small_run(50)
    run = tmp_path / "run"
    assert not (run / "best.safetensors").exists()
    made = small_run(1, resume=True)
    assert made.steps == 2
    assert made.note_f1 >= 0.0
    assert made.weights.is_file()
    assert curves_of(run) == []


def test_a_request_to_end_keeps_the_checkpoint_too(small_run, tmp_path, monkeypatch):
    original = training_run.Run.train_step

    def ended(self, batch_size, fraction):
        if self.steps == 2:
            signal.raise_signal(signal.SIGTERM)
        return original(self, batch_size, fraction)

    def unheeded(*_):
        raise RuntimeError("SIGTERM would have ended the run at once")

    before = signal.signal(signal.SIGTERM, unheeded)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(training_run.Run, "train_step", ended)
            with pytest.raises(KeyboardInterrupt):
                small_run(50)
        assert signal.getsignal(signal.SIGTERM) is unheeded
    finally:
        signal.signal(signal.SIGTERM, before)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["steps"] == 2


@pytest.mark.parametrize("left", [None, b"", b"weights?" * 40, 5000])
def test_weights_that_are_none_are_named(small_run, tmp_path, monkeypatch, left):
    monkeypatch.setattr("bridge.model.training.exporting.config_of", lambda name: SMALL_LINE)
    small_run(2)
    path = tmp_path / "run" / "best.safetensors"
    whole = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(whole[:left] if isinstance(left, int) else left)
    with pytest.raises(ModelFileError, match=r"best\.safetensors: expected the best weights of a") as told:
        export("melody-2bar", tmp_path / "run", [tmp_path / "songs"], models_dir=tmp_path / "models")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "models").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="its files cannot be kept from growing")
@pytest.mark.parametrize("lacking", ["best.safetensors", "checkpoint.pt"])
def test_a_disk_that_is_full_is_told_and_costs_no_checkpoint(small_run, tmp_path, monkeypatch, lacking):
    """Told as such, not as whatever torch and safetensors say of it, and the run goes on from where it was."""
    import resource

    small_run(3)
    run = tmp_path / "run"
    kept = {name: (run / name).read_bytes() for name in ("best.safetensors", "checkpoint.pt")}
    if lacking == "checkpoint.pt":
        monkeypatch.setattr(training_run.Run, "validate", lambda *_: None)
    else:
        monkeypatch.setattr(training_run, "macro_note_f1", lambda *_, **__: 1.0)  # better than what is there
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept[lacking]) // 2, before[1]))
    try:
        with pytest.raises(OSError, match=lacking):
            small_run(5, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {name: (run / name).read_bytes() for name in kept} == kept
    assert not [path for path in run.iterdir() if path.name.endswith(".part")]
    monkeypatch.undo()
    assert torch.load(run / "checkpoint.pt", weights_only=True)["steps"] == 3


def test_a_run_that_begins_anew_never_ends_with_a_former_one_s_weights(small_run, tmp_path, monkeypatch, caplog):
    former = small_run(5).weights.read_bytes()
    interrupt_at(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        small_run(50, seed=3)
    assert "beginning anew" in caplog.text
    assert not (tmp_path / "run" / "best.safetensors").exists()
    assert (tmp_path / "run" / "before" / "best.safetensors").read_bytes() == former


def test_by_steps_what_comes_is_the_seed_s(small_run):
    made = [load_file(small_run(6, seed=seed, folder=str(i)).weights) for i, seed in enumerate((1, 1, 2))]
    assert all(torch.equal(value, made[1][name]) for name, value in made[0].items())
    assert not all(torch.equal(value, made[2][name]) for name, value in made[0].items())


def test_a_run_goes_on_with_the_music_it_has_learnt_from_and_no_other(small_run, tmp_path):
    small_run(2)
    other = write_songs(tmp_path / "other", count=5)
    with pytest.raises(CheckpointError, match=r"it has learnt from \d+ windows of songs; found \d+ windows of other"):
        small_run(4, resume=True, data=other)


@pytest.mark.parametrize("content", [b"", b"PK", None])
def test_a_checkpoint_that_is_none_is_named(small_run, tmp_path, content):
    small_run(2)
    path = tmp_path / "run" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: expected a checkpoint of a training run"):
        small_run(4, resume=True)


def test_a_checkpoint_of_another_model_is_named(small_run, tmp_path, monkeypatch):
    small_run(2)
    monkeypatch.setattr("bridge.model.training.train.config_of", lambda name: replace(SMALL_LINE, name="bass-2bar"))
    with pytest.raises(CheckpointError, match="expected a checkpoint of bass-2bar, found one of melody-2bar"):
        small_run(4, resume=True, name="bass-2bar")


def test_a_checkpoint_with_weights_of_another_shape_is_named(small_run, tmp_path, monkeypatch):
    small_run(2)
    larger = replace(SMALL_LINE, latent_size=SMALL_LINE.latent_size + 3)
    monkeypatch.setattr("bridge.model.training.train.config_of", lambda name: larger)
    words = r"checkpoint\.pt: expected weights of melody-2bar as it is now: [a-z_.]+ of [\d by]+, found [\d by]+: begin"
    with pytest.raises(CheckpointError, match=words):
        small_run(4, resume=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_told(small_run):
    with pytest.raises(ranks.DeviceError, match=r"device cuda: .* expected cpu"):
        small_run(2, device="cuda")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_one_song_is_enough_wherever_its_name_would_put_it(small_run, tmp_path, monkeypatch, split):
    for module in ("training.exporting", "nets.registry"):
        monkeypatch.setattr(f"bridge.model.{module}.config_of", lambda name: SMALL_LINE)
    song = next(f"{n}.mid" for n in range(1000) if SPLITS[split_of("one", f"{n}.mid")] == split)
    data = tmp_path / "one"
    data.mkdir()
    (data / song).write_bytes(midi_bytes(tune(1, 24), channels={0: 0}, track_name="melody"))
    small_run(3, data=data)
    card = export("melody-2bar", tmp_path / "run", [data], models_dir=tmp_path / "models")
    assert card["scores"]["songs_held_out"] is False
    assert card["trained_on"] == "cpu"


def test_nothing_to_train_on_is_told(tmp_path):
    with pytest.raises(CorpusError, match="expected"):
        train("melody-2bar", [tmp_path], Length(60.0), resume=False, out_dir=tmp_path / "run", progress=False)


def test_schedules_are_fractions_of_the_run():
    rate, beta, mix = training_run.FROM_SCRATCH.at(0.0, 10_000)
    assert (rate, beta, mix) == (pytest.approx(1.5e-3), pytest.approx(0.02), 0.0)
    rate, beta, mix = training_run.FROM_SCRATCH.at(1.0, 10_000)
    assert (rate, beta, mix) == (pytest.approx(2e-5), pytest.approx(1.0), pytest.approx(0.5))
    assert training_run.FROM_SCRATCH.at(0.55, 10_000)[2] == pytest.approx(0.25)
    assert training_run.FROM_SCRATCH.at(0.2, 10_000)[1] == pytest.approx(0.51)
    assert training_run.FROM_SCRATCH.at(0.0, 0)[0] < 1e-4


def test_the_diet_is_by_style_and_one_s_own_files_count():
    groups = ("trad-m21", "freedoom", "easyrpg", "mine")
    chances = group_chances(groups, torch.tensor([30_000, 300, 100, 10]).numpy(), "melody")
    assert chances.sum() == pytest.approx(1.0)
    assert chances[1] / chances[2] == pytest.approx(3.0)
    assert (chances[1] + chances[2]) / chances[0] == pytest.approx(30 / 22)
    assert chances[3] / chances[0] == pytest.approx(40 / 22)
    assert group_chances(("mine",), torch.tensor([5]).numpy(), "drums").tolist() == [1.0]


def test_fills_are_learnt_but_are_no_loops():
    groups, sizes = ("gmd beat", "gmd fill", "easyrpg"), torch.tensor([90, 30, 40]).numpy()
    assert group_chances(groups, sizes, "drums")[1] > 0
    loops = group_chances(groups, sizes, "drums", loops=True)
    assert loops[1] == 0
    assert loops.sum() == pytest.approx(1.0)
    assert group_chances(("mine fill",), torch.tensor([5]).numpy(), "drums", loops=True).tolist() == [1.0]


def test_losses_are_those_of_a_plain_decode(tmp_path):
    """The parallel pass scores a window as the step-by-step decoder does, fed with the truth."""
    torch.manual_seed(0)
    model = MusicVae(SMALL_LINE).eval()
    dataset = build(open_collections(write_songs(tmp_path, count=2)), SMALL_LINE)
    batch = plain_batch(dataset, evaluation_rows(dataset, "train", 8), SMALL_LINE)
    with torch.no_grad():
        mean, _ = model.encoder(batch)
        logits = model.decoder.logits(model.decoder.states(model.shifted(batch.tokens), mean, 0.0)) + model.allowed
    noise = torch.zeros(*batch.tokens.shape, SMALL_LINE.classes)
    _, best, _ = decode_eagerly(model, mean, noise, 1.0, feed=batch.tokens)
    assert torch.equal(best, logits.argmax(-1))


def test_mixing_feeds_the_model_its_own_tokens(tmp_path):
    torch.manual_seed(0)
    model = MusicVae(SMALL_LINE)
    dataset = build(open_collections(write_songs(tmp_path, count=2)), SMALL_LINE)
    batch = plain_batch(dataset, evaluation_rows(dataset, "train", 8), SMALL_LINE)
    plain = training_losses(model, batch, mix=0.0, dropout=0.0).tokens.item()
    mixed = training_losses(model, batch, mix=1.0, dropout=0.0).tokens.item()
    assert math.isfinite(mixed)
    assert mixed != pytest.approx(plain, abs=1e-4)


def test_batches_are_the_seed_s(tmp_path):
    dataset = build(open_collections(write_songs(tmp_path, count=4)), CONFIGS["melody-2bar"])
    first, again, other = (BatchSource(dataset, CONFIGS["melody-2bar"], seed).batch(16).tokens for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_readings_do_not_depend_on_the_caller_s_random_state(tmp_path):
    torch.manual_seed(0)
    model = MusicVae(SMALL_DRUMS).eval()
    dataset = build(open_collections(write_songs(tmp_path, count=2, part="drums")), SMALL_DRUMS)
    batch = plain_batch(dataset, evaluation_rows(dataset, "train", 8), SMALL_DRUMS)
    first = read_windows(model, batch, 3)
    torch.rand(7)
    assert torch.equal(first.sampled, read_windows(model, batch, 3).sampled)
