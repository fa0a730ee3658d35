"""The report: measured on a small corpus for real, kept by the hash of the weights, told and drawn."""

import json
import shutil

import pytest
from small_songs import write_songs

from bridge.model.nets.noise import derived
from bridge.model.reporting import figures, report, report_page, showcase
from bridge.model.reporting.figures import Sizes
from bridge.model.reporting.report_tables import markdown
from bridge.model.training.curves import curves_of
from bridge.paths import models_folder

FEW = Sizes(samples=20, pairs=3, moved_pairs=1, loops=2, chains=40, ranked=5, continued=5)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(models folder with one model, songs, its figures)."""
    root = tmp_path_factory.mktemp("report")
    for name in ("weights.safetensors", "card.json"):
        (root / "models" / "melody-2bar").mkdir(parents=True, exist_ok=True)
        shutil.copy(models_folder() / "melody-2bar" / name, root / "models" / "melody-2bar" / name)
    songs = write_songs(root / "songs", count=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "SHORT", FEW)
        found = figures.figures_of("melody-2bar", [songs], models_dir=root / "models")
    return root / "models", songs, found


def test_everything_asked_for_is_measured(measured):
    _, _, found = measured
    real = found["realism"]["0.6"]["melody"]
    assert real["samples"] == 20
    assert 0.0 <= real["auc"] <= 1.0
    assert 0.05 < real["density_trained_on"] < 1.0
    assert 0.0 <= real["auc_trained_on"] <= 1.0
    assert real["cost_ratio"] == pytest.approx(real["cost"] / real["cost_held_out"], abs=0.01)
    songs = found["realism"][figures.OTHER_SONGS]["melody"]
    assert 0 < songs["samples"] <= 20
    assert songs["cost_held_out"] == real["cost_held_out"]
    assert songs["longest_run_held_out"] == real["longest_run_held_out"]
    assert songs["cost"] != real["cost"]
    assert found["interpolation"]["pairs"] == 3
    assert found["small_moves"]["moves"] == 50
    assert set(found["attributes"]["knobs"]) == {"density", "syncopation", "interval", "diatonic", "register"}
    assert found["continuation"]["gone_on_from"] <= 5
    assert json.loads(json.dumps(found)) == found


def test_what_was_measured_is_kept_until_the_weights_change(measured, monkeypatch):
    models, songs, found = measured
    monkeypatch.setattr(figures, "measured", lambda *_: pytest.fail("measured again"))
    assert figures.figures_of("melody-2bar", [songs], models_dir=models) == found
    assert report.known_figures(models) == {"melody-2bar": found}
    card = models / "melody-2bar" / "card.json"
    text = card.read_text()
    card.write_text(text.replace(found["sha256"], "0" * 64))
    assert report.known_figures(models) == {}
    card.write_text(text)


def test_the_knobs_of_a_trio_are_told_part_by_part(measured):
    models, _, found = measured
    cards = [json.loads((models / "melody-2bar" / "card.json").read_text())]
    by_part = {"attributes": {"melody": found["attributes"], "bass": found["attributes"]}}
    text = report_page.page(cards, {"trio-16bar": found | by_part}, {})
    assert "**trio-16bar melody**, 2 loops" in text
    assert "**trio-16bar bass**, 2 loops" in text
    assert "**melody-2bar**, 2 loops" in report_page.page(cards, {"melody-2bar": found}, {})


def test_the_page_and_its_pictures_are_written(measured, tmp_path, monkeypatch):
    models, _, found = measured
    for name in ("SAMPLES", "MORPHS", "CONTINUATIONS"):
        monkeypatch.setattr(showcase, name, 2)
    left_out = {
        "source": "quartets", "minutes": 12.0, "windows_seen": 1234,
        "scores": json.loads((models / "melody-2bar" / "card.json").read_text())["scores"],
    }  # fmt: skip
    (models / "melody-2bar" / "left_out.json").write_text(json.dumps(left_out))
    written = report.write_report(models, tmp_path / "out", [])
    (models / "melody-2bar" / "left_out.json").unlink()
    names = {path.name for path in written}
    assert names - {"melody-2bar-run.png"} == {"README.md", "melody-2bar.png", "interpolation.png"}
    text = (tmp_path / "out" / "README.md").read_text()
    for path in written[:-1]:
        assert f"](pictures/{path.name})" in text
        assert path.stat().st_size < 100_000
    assert f"= {found['realism']['0.6']['melody']['cost_ratio']:.2f}" in text
    assert "1,234" in text
    assert "0.951" in text  # the paper's
    assert not [line for line in text.splitlines() if line.startswith("|") and line.count("|") < 3]


def test_what_is_shown_is_what_the_commands_play(melody):
    from bridge.model.playing.generation import sample_bars

    shown = showcase.samples(melody, 0.6)
    assert [one.name for one in shown] == [f"sample-{seed:02d}" for seed in range(1, 13)]
    assert shown[2].bars == sample_bars(melody, 2, derived(3, 0), 0.6)
    for way in showcase.morphs(melody, 0.6)[:2]:
        assert [len(way), way[0].caption[-5:], way[-1].caption[-5:]] == [5, "x = 0", "x = 1"]
    assert showcase.morphs(melody, 0.6)[0][-1].bars == shown[1].bars
    going_on = showcase.continuations(melody, 0.6)[0]
    assert going_on.marks == (8.0,)
    assert going_on.bars.length == 32.0
    assert tuple(note for note in going_on.bars.notes if note.start < 8.0) == shown[0].bars.notes


def test_a_card_keeps_few_rows_of_a_run_and_the_last_one(tmp_path):
    assert curves_of(tmp_path) == []
    lines = ["fraction,steps,elapsed_s,note_f1", *(f"{n / 99},{n},{n * 60.0},{n / 200}" for n in range(100))]
    (tmp_path / "curves.csv").write_text("\n".join(lines))
    rows = curves_of(tmp_path)
    assert len(rows) <= 24
    assert rows[-1] == {"fraction": 1.0, "steps": 99.0, "elapsed_s": 5940.0, "note_f1": 0.495}


def test_tables_have_a_dash_for_what_there_is_not():
    assert markdown(("a", "b"), [[1, None]]) == "| a | b |\n|---|---|\n| 1 | – |"


def test_trios_and_flat_baselines_have_their_rows():
    from bridge.model.reporting.report_page import page

    steps = {"sampled": 0.7, "sampled_argmax": 0.75, "teacher_forced": 0.8, "chance": 0.6, "shuffled_z": 0.5}
    part = {
        "note_f1": 0.5, "note_f1_shuffled_z": 0.1, "note_f1_other_window": 0.12, "note_f1_by_source": {"lieder": 0.5},
        "step_accuracy": steps,
    }  # fmt: skip
    parts = dict.fromkeys(("melody", "bass", "drums"), part)
    apart = {"ours": 0.71, "theirs": 0.62, "above": 0.09, "interval": [0.071, 0.109]}
    flat = {
        "protocol": "the same updates",
        "windows": 90,
        "songs": 30,
        "seed": 0,
        "sampled": apart,
        "sampled_argmax": apart,
    }
    scores = {
        "model": "trio-16bar",
        "songs": 30,
        "windows": 90,
        "kl_bits": 100.0,
        "active_dims": 9,
        **part,
        "parts": parts,
    }
    card = {
        "name": "trio-16bar", "parameters": 5, "latent_size": 256, "trained_on": "cpu", "minutes": 3.0, "steps": 7,
        "windows_seen": 9, "prior": {}, "data": ["lieder: CC0"], "scores": {**scores, "flat_baseline": flat},
    }  # fmt: skip
    text = page([card], {}, {})
    for name, paper in (("melody", 0.753), ("bass", 0.773), ("drums", 0.863)):
        assert f"| trio-16bar {name} | 30 | 90 | 0.500 | 0.100 | 0.120 | 0.700" in text
        assert f"| trio-16bar {name} | 0.700 | 0.750 | {paper}" in text
    assert "trio-16bar: the same updates." in text
    assert "| trio-16bar | sampled | 30 | 90 | 0.710 | 0.620 | +0.090 | +0.071 to +0.109 |" in text
