"""The page about the models says what their cards say."""

from bridge.model.nets import registry
from bridge.model.reporting.report import whole_page
from bridge.paths import models_folder

LICENCE = "CC BY 4.0 (the weights; every source allows it); what they play is yours"


def test_the_page_in_the_repository_is_the_one_the_cards_make() -> None:
    assert (models_folder() / "README.md").read_text(encoding="utf-8") == whole_page(models_folder())


def test_every_card_has_the_licence_and_every_source_its_credit() -> None:
    text = whole_page(models_folder())
    for card in registry.list_models():
        assert card["licence"] == LICENCE
        assert f"| {card['name']} |" in text
        assert all(": not stated" not in line for line in card["data"])
    for name in ("Groove MIDI Dataset", "EasyRPG", "Freedoom", "OpenEWLD", "OpenScore", "music21", "Open Hymnal"):
        assert name in text
