"""The commands that read and write MIDI files: sample, continue, interpolate, reconstruct, evaluate, train, models.

Wrong input comes out as a `ValueError` with one line of text (`MidiFileError`, `CorpusError`, `ModelFileError`,
`UnknownModelError`, `RequestError`), and before anything is written.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from bridge.model import evaluation, registry
from bridge.model.compiled import CompiledModel
from bridge.model.config import ModelConfig, config_of
from bridge.model.exporting import export
from bridge.model.generation import continue_bars, reconstruct_bars, sample_bars
from bridge.model.morphing import interpolated
from bridge.model.noise import derived
from bridge.model.training import train
from bridge.music.midi_files import MidiFileError, read_midi, write_midi
from bridge.music.notes import BEATS_PER_BAR, Bars, Note, cut, in_order
from bridge.music.roles import by_general_midi
from bridge.paths import models_folder

log = logging.getLogger(__name__)

DEFAULT_TEMPERATURE: Final = 0.6
DEFAULT_MINUTES: Final = 60.0
_CHANNELS: Final = {"melody": 0, "bass": 1, "drums": 9}
_MAX_COUNT = 999
_MAX_BARS = 1024
_HEARD_BARS = 8
list_models = registry.list_models


class RequestError(ValueError):
    """A number outside what a command takes; the message says which and what was expected."""


def sample_files(model: str, count: int, seed: int, temperature: float, out_dir: Path) -> list[Path]:
    """Write `count` new loops of the model's length to OUT/MODEL-001.mid upward; returns the paths.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    _within("--count", count, 1, _MAX_COUNT)
    _within("--temperature", temperature, 0.05, 2.0)
    compiled = _compiled(model)
    config = compiled.config
    paths = []
    for index in range(count):
        bars = sample_bars(compiled, config.bars, derived(seed, index), temperature)
        paths.append(_write(out_dir / f"{model}-{index + 1:03d}.mid", bars, config))
    return paths


def continue_file(
    model: str, in_path: Path, bars: int, seed: int, out_path: Path, temperature: float = DEFAULT_TEMPERATURE
) -> Path:
    """Write the next `bars` bars after IN, alone.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    _within("--bars", bars, 1, _MAX_BARS)
    compiled = _compiled(model)
    source, tempo = bars_of_file(in_path, compiled.config)
    heard_beats = min(source.length, float(_HEARD_BARS * BEATS_PER_BAR))
    heard = cut(source, source.length - heard_beats, heard_beats)
    if not heard.notes:
        heard = source
    made = continue_bars(compiled, heard, bars, seed, temperature)
    return _write(out_path, made, compiled.config, tempo)


def interpolate_files(
    model: str, a: Path, b: Path, steps: int, out_dir: Path, seed: int = 0, temperature: float = DEFAULT_TEMPERATURE
) -> list[Path]:
    """Write `steps` loops from A to B, both ends included and decoded like the rest, to OUT/MODEL-001.mid upward.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    _within("--steps", steps, 2, _MAX_COUNT)
    compiled = _compiled(model)
    corners = [bars_of_file(path, compiled.config) for path in (a, b)]
    tempo = corners[0][1]
    made = interpolated(compiled, corners[0][0], corners[1][0], steps, seed, temperature)
    return [
        _write(out_dir / f"{model}-{index + 1:03d}.mid", bars, compiled.config, tempo)
        for index, bars in enumerate(made)
    ]


def reconstruct_file(model: str, in_path: Path, temperature: float, seed: int, out_path: Path) -> Path:
    """Write IN as it comes back through encoder and decoder.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    _within("--temperature", temperature, 0.05, 2.0)
    compiled = _compiled(model)
    source, tempo = bars_of_file(in_path, compiled.config)
    return _write(out_path, reconstruct_bars(compiled, source, seed, temperature), compiled.config, tempo)


def evaluate_path(model: str, path: Path, seed: int) -> dict[str, Any]:
    """The figures of `evaluate` on a folder or zip of MIDI files.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    return evaluation.evaluate_path(registry.load_model(model).model, path, seed)


def train_model(
    model: str, data_paths: Sequence[Path], minutes: float | None, *, resume: bool, device: str = "auto"
) -> Path:
    """Train a model; returns the folder with what came of it: weights.safetensors and card.json.

    That folder is models/.training/own/NAME/trained/NAME, or models/NAME where there is no such model yet: a short run
    on a few files never takes the place of the weights that came with Barline by itself.

    Raises:
        ValueError: one of this module's, with the reason.
    """
    config_of(model)
    models = models_folder()
    run_dir = models / ".training" / "own" / model
    train(model, data_paths, minutes or DEFAULT_MINUTES, resume=resume, out_dir=run_dir, device=device)
    target = run_dir / "trained" if (models / model / registry.CARD_FILE).is_file() else models
    export(model, run_dir, data_paths, models_dir=target)
    log.info("trained: %s", target / model)
    return target / model


def bars_of_file(path: Path, config: ModelConfig) -> tuple[Bars, float]:
    """The notes of a file's tracks that play a model's part, in whole bars of four beats, and the file's tempo.

    Raises:
        MidiFileError: not a MIDI file, no such part in it, or longer than 1024 bars.
    """
    score = read_midi(path)
    roles = by_general_midi(score)
    tracks = roles.of(config.part)
    if config.part != "drums":
        tracks = tracks or (*roles.melody, *roles.bass)
        tracks = tuple(sorted(tracks, key=lambda track: -len(track.notes))[:1])
    notes: list[Note] = [note for track in tracks for note in track.notes]
    if not notes:
        raise MidiFileError(f"{path}: expected notes for {config.part}, found none (drums are channel 10)")
    whole_bars = max(1, -int(-max(note.start + 1e-6 for note in notes) // BEATS_PER_BAR))
    if whole_bars > _MAX_BARS:
        raise MidiFileError(f"{path}: expected at most {_MAX_BARS} bars, found {whole_bars}")
    length = float(whole_bars * BEATS_PER_BAR)
    return cut(Bars(in_order(notes), length), 0.0, length), score.tempo


def _compiled(model: str) -> CompiledModel:
    """The model on one thread: a step is too small to share, and two threads on busy cores wait for each other."""
    torch.set_num_threads(1)
    return registry.load_compiled(model, "cpu")


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise RequestError(f"{name} {value}: expected {least} to {most}")


def _write(path: Path, bars: Bars, config: ModelConfig, tempo: float = 120.0) -> Path:
    write_midi(path, bars, channels={0: _CHANNELS[config.part]}, track_name=config.name, tempo=tempo)
    return path
