"""Weights and cards: what is written is what is loaded, and what was changed is refused."""

import json

import pytest
import torch
from small_models import SMALL_LINE, small_model

from bridge.model.nets import registry
from bridge.model.nets.config import CONFIGS, UnknownModelError
from bridge.model.nets.hierarchy import HierarchicalVae
from bridge.model.nets.quantising import from_eight_bits, in_eight_bits
from bridge.model.nets.registry import ModelFileError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models folder with a small melody model in it."""
    monkeypatch.setattr("bridge.model.nets.registry.config_of", lambda name: SMALL_LINE)
    model, flow, maps = small_model(SMALL_LINE)
    registry.write_model("melody-2bar", model.state_dict(), flow, maps, {"steps": 7}, tmp_path)
    return tmp_path


def test_the_cards_of_the_shipped_models_name_the_knobs_that_they_have():
    assert [card["attributes"] for card in registry.list_models()] == [
        list(config.attributes) for config in CONFIGS.values()
    ]


def test_what_is_written_is_loaded_as_coarse_as_the_file(folder):
    model, flow, maps = small_model(SMALL_LINE)
    loaded = registry.load_model("melody-2bar", folder)
    for ours, theirs in ((loaded.model, model), (loaded.flow, flow)):
        for key, value in from_eight_bits(in_eight_bits(theirs.state_dict())).items():
            if key != "unwhitening":  # that follows from the whitening
                room = 0.01 if key.endswith("rotation") else 1e-8  # that is made one again
                assert torch.allclose(ours.state_dict()[key], value, rtol=1e-6, atol=room), key
    assert torch.equal(loaded.maps.attributes, maps.attributes.half().float())
    assert loaded.card["steps"] == 7
    assert loaded.card["parameters"] == sum(p.numel() for p in model.parameters())
    assert [card["name"] for card in registry.list_models(folder)] == ["melody-2bar"]


def test_nothing_half_written_is_left(folder):
    assert {p.name for p in (folder / "melody-2bar").iterdir()} == {"weights.safetensors", "card.json"}


def test_a_changed_byte_is_refused_by_hash(folder):
    path = folder / "melody-2bar" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"weights\.safetensors: expected sha256 .*damaged or changed"):
        registry.load_model("melody-2bar", folder)


def test_weights_of_another_shape_are_refused(folder, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match="expected weights of melody-2bar as this version builds it") as caught:
        registry.load_model("melody-2bar", folder)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(folder, tmp_path):
    (folder / "melody-2bar" / "weights.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"weights\.safetensors: expected the weights"):
        registry.load_model("melody-2bar", folder)
    with pytest.raises(ModelFileError, match=r"card\.json: expected the card of melody-2bar"):
        registry.load_model("melody-2bar", tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json"])
def test_broken_cards_are_refused(folder, text):
    (folder / "melody-2bar" / "card.json").write_text(text)
    with pytest.raises(ModelFileError, match=r"card\.json: expected a"):
        registry.load_model("melody-2bar", folder)


def test_unknown_names_are_told_the_names():
    with pytest.raises(UnknownModelError, match="tuba-2bar: expected one of melody-2bar"):
        registry.load_model("tuba-2bar")


def test_every_shipped_card_is_whole_and_its_weights_match():
    cards = registry.list_models()
    assert {card["name"] for card in cards} >= {"melody-2bar", "drums-2bar"}
    wanted = {
        "name", "parts", "bars", "parameters", "latent_size", "attributes", "sha256", "trained_on", "steps", "data",
        "licence", "scores",
    }  # fmt: skip
    for card in cards:
        assert wanted <= card.keys()
        loaded = registry.load_model(card["name"])
        weights = loaded.model.state_dict()
        if isinstance(loaded.model, HierarchicalVae):
            weights = loaded.model.shipped(weights)
        assert sum(p.numel() for p in weights.values()) == card["parameters"]
        assert json.dumps(loaded.card) == json.dumps(card)


def test_weights_without_their_card_are_told_of_and_a_model_that_is_not_there_is_not(folder, monkeypatch):
    monkeypatch.setattr(registry, "models_folder", lambda: folder)
    cards, faults = registry.cards_and_faults()
    assert ([card["name"] for card in cards], faults) == (["melody-2bar"], [])
    (folder / "melody-2bar" / "card.json").unlink()
    cards, faults = registry.cards_and_faults()
    assert not cards
    assert len(faults) == 1
    assert "expected the card of melody-2bar" in faults[0]
