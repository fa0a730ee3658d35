"""Training really trains: on songs made up here the loss falls, a stopped run goes on, and the result plays."""

import math

import pytest
import torch
from small_models import SMALL_DRUMS, SMALL_LINE
from tests_model_songs import write_songs

from bridge.model.data.corpus import CorpusError, open_collections
from bridge.model.data.dataset import build
from bridge.model.data.training_data import BatchSource, evaluation_rows, group_chances, plain_batch
from bridge.model.evaluation.scoring import read_windows
from bridge.model.nets.config import CONFIGS
from bridge.model.nets.registry import load_compiled
from bridge.model.nets.vae import MusicVae, decode_eagerly, training_losses
from bridge.model.playing.generation import sample_bars
from bridge.model.training import training_run
from bridge.model.training.exporting import export
from bridge.model.training.train import train


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
    first = train(name, [data], 0.03, resume=False, out_dir=run, device="cpu", progress=False, batch_size=32)
    assert first.steps > 3
    assert {p.name for p in run.iterdir()} >= {"checkpoint.pt", "best.safetensors", "curves.csv"}
    assert not list(run.glob(".*.part"))
    second = train(name, [data], 0.1, resume=True, out_dir=run, device="cpu", progress=False, batch_size=32)
    assert second.steps > first.steps
    assert second.minutes >= 0.1
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
    made = train("melody-2bar", [data], 0.02, resume=True, out_dir=tmp_path / "run", progress=False)
    assert made.steps > 0


def test_an_interrupt_keeps_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("bridge.model.training.train.config_of", lambda name: SMALL_LINE)
    data = write_songs(tmp_path / "data", count=3)
    original = training_run.Run.train_step

    def interrupted(self, batch_size, fraction):
        if self.steps == 2:
            raise KeyboardInterrupt
        return original(self, batch_size, fraction)

    monkeypatch.setattr(training_run.Run, "train_step", interrupted)
    made = train("melody-2bar", [data], 5, resume=False, out_dir=tmp_path / "run", progress=False)
    assert made.steps == 2
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["steps"] == 2


def test_nothing_to_train_on_is_told(tmp_path):
    with pytest.raises(CorpusError, match="expected"):
        train("melody-2bar", [tmp_path], 1, resume=False, out_dir=tmp_path / "run", progress=False)


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
