"""The report about the models, made by one command: the page, and the pictures in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge import whole_file
from bridge.model.nets import registry
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import TEMPERATURES
from bridge.model.reporting.figures import figures_of, kept_figures
from bridge.model.reporting.report_page import page
from bridge.model.reporting.showcase import Shown, continuations, morphs, samples
from bridge.model.training.curves import draw_run
from bridge.model.training.left_out import LEFT_OUT_FILE
from bridge.music.sheets import Curve, Roll, Section, draw_curves, draw_sheet

log = logging.getLogger(__name__)
PAGE = "README.md"
_PICTURES = "pictures"


def write_report(
    models_dir: Path, out_dir: Path, data_paths: Sequence[Path], *, seed: int = 0, names: Sequence[str] = ()
) -> list[Path]:
    """Write README.md and pictures/ about the models in `models_dir` to `out_dir`; returns what was written.

    With `data_paths` what has changed since is measured first (`names`: of these models alone), else the figures are
    those kept beside the weights.

    Raises:
        ModelFileError, CorpusError: weights that are not what their card says; no such data.
        OSError: `out_dir` cannot be written.
    """
    written = []
    for card in registry.list_models(models_dir):
        name = card["name"]
        wanted = not names or name in names
        if data_paths and wanted:
            log.info("measuring %s", name)
            figures_of(name, data_paths, models_dir=models_dir, seed=seed)
        if wanted or not (out_dir / _PICTURES / f"{name}.png").is_file():
            log.info("drawing %s", name)
            written += _pictures_of(card, models_dir, out_dir / _PICTURES)
    figures = known_figures(models_dir)
    if figures:
        written.append(out_dir / _PICTURES / "interpolation.png")
        _draw_interpolation(written[-1], figures)
    return [*written, write_page(models_dir, out_dir)]


def write_page(models_dir: Path, out_dir: Path) -> Path:
    """Write README.md alone, from the cards and the figures there are."""
    path = out_dir / PAGE
    with whole_file.folders_for(path):
        whole_file.write(path, whole_page(models_dir))
    return path


def whole_page(models_dir: Path) -> str:
    """The text of README.md, from the cards and the figures there are."""
    cards = registry.list_models(models_dir)
    left_out = {}
    for card in cards:
        kept = models_dir / card["name"] / LEFT_OUT_FILE
        if kept.is_file():
            left_out[card["name"]] = json.loads(kept.read_text(encoding="utf-8"))
    return page(cards, known_figures(models_dir), left_out)


def known_figures(models_dir: Path) -> dict[str, dict[str, Any]]:
    """By model the figures that were measured of its present weights."""
    found = {}
    for card in registry.list_models(models_dir):
        known = kept_figures(card["name"], models_dir)
        if known is not None and known["sha256"] == card["sha256"]:
            found[card["name"]] = known
    return found


def _pictures_of(card: Mapping[str, Any], models_dir: Path, folder: Path) -> list[Path]:
    name = card["name"]
    written = [folder / f"{name}.png"]
    _draw_showcase(written[0], registry.load_compiled(name, "cpu", models_dir))
    if card.get("curves"):
        written.append(folder / f"{name}-run.png")
        draw_run(written[-1], name, card["curves"])
    return written


def _draw_showcase(path: Path, model: CompiledModel) -> None:
    config = model.config
    temperature = TEMPERATURES[config.part]
    long = config.bars > 2
    drums = tuple(part == "drums" for part in config.parts)

    def roll(shown: Shown) -> Roll:
        return Roll(shown.caption, shown.bars, drums, shown.marks)

    way = [shown for row in morphs(model, temperature) for shown in row]
    sections = [
        Section("Samples: seeds 1 to 12", tuple(map(roll, samples(model, temperature))), 2 if long else 4),
        Section("Morphs: from sample 2k - 1 to sample 2k", tuple(map(roll, way)), 5, one_range=True),
        Section("Continuations", tuple(map(roll, continuations(model, temperature))), 1 if long else 2),
    ]
    draw_sheet(path, f"{config.name}: chosen by seed, T = {temperature:g}", sections)


def _draw_interpolation(path: Path, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """How far from A, and how dear, along the way: all models in two panels, naive mixing beside the first."""
    far, dear = [], []
    for number, (name, found) in enumerate(figures.items()):
        way = found["interpolation"]
        apart = max(1e-9, way["hamming"][-1])
        away = tuple((x, y / apart) for x, y in zip(way["places"], way["hamming"], strict=True))
        far.append(Curve(name, away, number))
        dear.append(Curve(name, tuple(zip(way["places"], way["cost"], strict=True)), number))
        dear.append(Curve("", tuple(zip(way["places"], way["cost_mixed"], strict=True)), number, dotted=True))
    panels = {"distance to A (B = 1)": far, "n-gram cost (ends = 1); dotted: naive mixing": dear}
    draw_curves(path, "Between unrelated loops", panels, "morph x", height=330)
