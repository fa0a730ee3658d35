"""The commands that read and write MIDI files: sample, continue, interpolate, reconstruct, evaluate, train, models.

Wrong input comes out as a `ValueError` with one line of text (`MidiFileError`, `CorpusError`, `ModelFileError`,
`UnknownModelError`, `RequestError`), and before anything is written.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Final

import torch

from bridge import limits, whole_file
from bridge.file_lock import alone_in
from bridge.model.data.corpus import open_collections
from bridge.model.evaluation import evaluate
from bridge.model.file_options import FileOptions, bound_to, moved_to, within
from bridge.model.file_sources import Source, source_of
from bridge.model.nets import registry
from bridge.model.nets.compiled import CompiledModel
from bridge.model.nets.config import ModelConfig, config_of
from bridge.model.nets.noise import derived
from bridge.model.playing.framing import window_beats, windows_needed
from bridge.model.playing.generation import continue_bars, reconstruct_bars, sample_bars
from bridge.model.playing.morphing import interpolated
from bridge.model.playing.shaping import shape_of, shaped
from bridge.model.playing.steering import Steering
from bridge.model.training import flat_baseline, left_out, ranks
from bridge.model.training.curves import draw_run
from bridge.model.training.exporting import export, refit
from bridge.model.training.train import train
from bridge.model.training.training_run import CHECKPOINT, Length
from bridge.music.midi_files import midi_bytes, write_midi_files
from bridge.music.notes import BEATS_PER_BAR, PART_CHANNELS, Bars
from bridge.music.splice import sounding_from
from bridge.paths import models_folder
from bridge.whole_file import refuse_unwritable

log = logging.getLogger(__name__)

DEFAULT_MINUTES: Final = 60.0
DEFAULT_FINE_MINUTES: Final = 5.0
#: What a training run's folder is called where it cannot be written to.
_RUN: Final = "the folder of the run"
_TRAINING: Final = "training"
_CURVES: Final = "curves.png"
_HEARD_BARS = 8


def sample_files(model: str, count: int, out_dir: Path, options: FileOptions) -> list[Path]:
    """Write `count` new loops of the model's length to OUT/MODEL-001.mid upward, all or none; returns the paths.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    within("--count", count, 1, limits.MAX_FILES)
    paths = _numbered(model, count, out_dir)
    compiled, steering = _compiled(model, options)
    config, made = compiled.config, []
    for index in range(count):
        seed = derived(options.seed, index)
        bars = sample_bars(compiled, config.bars, seed, options.temperature, steering)
        made.append(_as_asked(compiled, bars, options, steering))
    return _write(paths, made, config)


def continue_file(model: str, in_path: Path, bars: int, out_path: Path, options: FileOptions) -> Path:
    """Write the next `bars` bars after IN, alone, at the tempo and in the metre that it ends in, with its programs.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    within("--bars", bars, 1, limits.MAX_FILE_BARS)
    refuse_unwritable(out_path, [out_path])
    source = source_of(in_path, config_of(model))
    compiled, steering = _compiled(model, options)
    heard = _heard_last(source.bars, compiled.config)
    made = continue_bars(compiled, heard, bars, options.seed, options.temperature, steering)
    asked = _as_asked(compiled, made, options, steering)
    return _write([out_path], [asked], compiled.config, source.at_its_end)[0]


def interpolate_files(model: str, a: Path, b: Path, steps: int, out_dir: Path, options: FileOptions) -> list[Path]:
    """Write `steps` loops from A to B, both ends included and decoded like the rest, to OUT/MODEL-001.mid upward, at
    the tempo that A begins at and with its programs. With a key both are moved to it first.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    within("--steps", steps, 2, limits.MAX_FILES)
    paths = _numbered(model, steps, out_dir)
    corners = [source_of(path, config_of(model)) for path in (a, b)]
    compiled, steering = _compiled(model, options)
    one, other = (moved_to(corner.bars, options.key) for corner in corners)
    way = interpolated(compiled, one, other, steps, options.seed, options.temperature, steering)
    made = [_as_asked(compiled, bars, options, steering) for bars in way]
    return _write(paths, made, compiled.config, corners[0].at_its_start)


def reconstruct_file(model: str, in_path: Path, out_path: Path, options: FileOptions) -> Path:
    """Write IN as it comes back through encoder and decoder, with its tempos and programs, in another key where one is
    given.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    refuse_unwritable(out_path, [out_path])
    source = source_of(in_path, config_of(model))
    compiled, steering = _compiled(model, options)
    moved = moved_to(source.bars, options.key)
    made = reconstruct_bars(compiled, moved, options.seed, options.temperature, steering)
    return _write([out_path], [_as_asked(compiled, made, options, steering)], compiled.config, source)[0]


def evaluate_path(model: str, path: Path, seed: int, own_models: str | None = None) -> dict[str, Any]:
    """The figures of `evaluate` on a folder or zip of MIDI files.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    loaded = registry.load_model(model, registry.folder_of(model, own_models))
    return evaluate.evaluate_path(loaded.model, path, seed)


def train_model(
    model: str,
    data_paths: Sequence[Path],
    minutes: float | None,
    *,
    steps: int | None = None,
    resume: bool,
    fine_tune: bool = False,
    device: str = "auto",
    batch_size: int | None = None,
    seed: int = 0,
) -> Path:
    """Train a model for so many minutes, or `steps`; returns the folder with what came of it: weights.safetensors,
    card.json, and its curves, which the card has as a table, as a picture.

    That folder is models/.training/own/NAME/trained/NAME, or models/NAME where there is no such model yet: a short run
    on a few files never takes the place of the weights that came with Barline by itself. With `fine_tune` it goes on
    from those weights (some minutes will do) and is kept in models/.training/own/NAME-fine.

    Raises:
        ValueError: one of this module's, with the reason.
        FolderTakenError: another training is at work there.
    """
    config_of(model)
    models = models_folder()
    run_dir = models / ".training" / "own" / (f"{model}-fine" if fine_tune else model)
    refuse_unwritable(run_dir, [run_dir / CHECKPOINT], _RUN)
    base = registry.load_model(model) if fine_tune else None
    length = Length(60.0 * (minutes or (DEFAULT_FINE_MINUTES if fine_tune else DEFAULT_MINUTES)), steps)
    target = run_dir / "trained" if (models / model / registry.CARD_FILE).is_file() else models
    with alone_in(run_dir, _TRAINING) if ranks.is_first() else nullcontext():
        train(
            model, data_paths, length, resume=resume, out_dir=run_dir, device=device, batch_size=batch_size, seed=seed,
            start_from=None if base is None else base.model.state_dict(),
        )  # fmt: skip
        if not ranks.is_first():
            return target / model
        tuned_from = None if base is None else base.card
        card = export(model, run_dir, data_paths, models_dir=target, seed=seed, tuned_from=tuned_from)
        with suppress(ModuleNotFoundError):  # a machine that only trains need not have what draws
            draw_run(target / model / _CURVES, model, card["curves"])
    log.info("trained: %s (to play it: --set engine.own_models=%s)", target / model, target)
    return target / model


def train_prior(model: str, data_paths: Sequence[Path], seed: int) -> Path:
    """Fit a model's prior to songs, and nothing else of it: how bars are encoded and decoded stays as it is, but what
    `sample` and `next` draw is of these songs' manner. Returns the folder with what came of it,
    models/.training/own/NAME-prior/trained/NAME.

    Raises:
        ValueError: one of this module's, with the reason.
        FolderTakenError: another training is at work there.
    """
    models = models_folder()
    run_dir = models / ".training" / "own" / f"{model}-prior"
    target = run_dir / "trained"
    refuse_unwritable(run_dir, [target / model / registry.CARD_FILE], _RUN)
    with alone_in(run_dir, _TRAINING):
        refit(model, data_paths, models_dir=models, target_dir=target, cache=run_dir / "index", seed=seed)
    log.info("fitted: %s (to play it: --set engine.own_models=%s)", target / model, target)
    return target / model


def train_without(model: str, source: str, data_paths: Sequence[Path], minutes: float, seed: int) -> Path:
    """Train a model on all collections but one and score it on that one; returns the file with the scores, beside the
    model's own or, of other music than it learnt from, in models/.training/own.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    kept_in = _folder_of_comparisons(model, data_paths)
    return left_out.train_without(model, source, data_paths, minutes, models_folder(), seed, kept_in=kept_in)


def train_beside_flat(
    model: str, data_paths: Sequence[Path], minutes: float, batch_size: int | None, seed: int
) -> Path:
    """Train a flat decoder and the hierarchy's beside one another and score both; returns the file with the scores: the
    model's card or, of other music than it learnt from, flat_baseline.json in models/.training/own.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    models, folder = models_folder(), _folder_of_comparisons(model, data_paths)
    found = flat_baseline.compare_with_flat(
        model, data_paths, minutes, models_dir=models, cache=models / ".cache", seed=seed,
        batch_size=batch_size or flat_baseline.FLAT_BATCH,
    )  # fmt: skip
    if folder != models / model:
        path = folder / "flat_baseline.json"
        with whole_file.folders_for(path):
            whole_file.write(path, json.dumps(found, indent=1) + "\n")
        return path
    card = registry.read_card(model)
    card["scores"]["flat_baseline"] = found
    whole_file.write(folder / registry.CARD_FILE, registry.card_text(card))
    return folder / registry.CARD_FILE


def _folder_of_comparisons(model: str, data_paths: Sequence[Path]) -> Path:
    """Where the scores of a training for comparison alone are kept: beside the model's own where all of its music is
    among these songs, else apart: those of a few files never take the place of those that came with Barline.
    """
    models = models_folder()
    learnt = {line.partition(":")[0] for line in registry.read_card(model).get("data", ())}
    given = {collection.source for path in data_paths for collection in open_collections(path)}
    return models / model if learnt <= given else models / ".training" / "own" / f"{model}-compared"


def _heard_last(bars: Bars, config: ModelConfig) -> Bars:
    """What is gone on from: whole windows of a model, the last of which ends as the file does; before a file too short
    for them it is as if it had been round before. Read from its beginning on, and filled up from there, one of three
    bars makes what follows in songs 2 to 5 nats less likely (two-bar models, n = 300 each).
    """
    most = min(bars.length, float(max(_HEARD_BARS, config.bars) * BEATS_PER_BAR))
    wanted = windows_needed(most, config) * window_beats(config)
    rounds = math.ceil(wanted / bars.length)
    return sounding_from(bars, rounds * bars.length - wanted, wanted, config.part)


def _compiled(model: str, options: FileOptions) -> tuple[CompiledModel, Steering]:
    """The model on one thread (a step is too small to share, and two threads on busy cores wait for each other), and
    how it is to be steered.
    """
    options.checked(config_of(model))
    torch.set_num_threads(1)
    compiled = registry.load_compiled(model, "cpu", registry.folder_of(model, options.own_models))
    return compiled, Steering(options.key, "hard" if options.key is not None else "soft")


def _as_asked(model: CompiledModel, bars: Bars, options: FileOptions, steering: Steering) -> Bars:
    """Bars with the attributes turned and no note outside the key."""
    if options.attributes:
        bars = shaped(model, bars, shape_of(options.attributes, {}), options.temperature, steering)
    return bound_to(bars, options.key)


def _numbered(model: str, count: int, out_dir: Path) -> list[Path]:
    """OUT/MODEL-001.mid upward.

    Raises:
        RequestError: one of them cannot be written there.
    """
    paths = [out_dir / f"{model}-{index + 1:03d}.mid" for index in range(count)]
    refuse_unwritable(out_dir, paths)
    return paths


def _write(paths: list[Path], made: Sequence[Bars], config: ModelConfig, source: Source | None = None) -> list[Path]:
    """Write bars, each to its path, all or none, with what their source has besides notes: its tempos, its metre, and
    the programs of its parts.
    """
    channels = {index: PART_CHANNELS[part] for index, part in enumerate(config.parts)}
    how: dict[str, Any] = {"channels": channels, "track_name": config.name}
    if source is not None:
        (_, tempo), *changes = source.tempos
        how |= {"tempo": tempo, "tempo_changes": changes, "time_signature": source.metres[0]}
        how["programs"] = source.programs
    write_midi_files({path: midi_bytes(bars, **how) for path, bars in zip(paths, made, strict=True)})
    return paths
