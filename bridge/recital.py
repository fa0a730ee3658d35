"""The models heard: what the report shows of each, as WAVs of the built-in preview voice and as MIDI files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bridge.model.nets import registry
from bridge.model.nets.config import TEMPERATURES, Part
from bridge.model.reporting.showcase import Shown, continuations, morphs, samples
from bridge.music.midi_files import write_midi
from bridge.music.notes import PART_CHANNELS, Bars, join
from bridge.paths import models_folder
from bridge.preview import synth
from bridge.preview.wire import Role
from bridge.whole_file import folders_for

_TEMPO = 110.0
_ROLES: dict[Part, Role] = {"melody": "melody", "bass": "bass", "drums": "drums"}
_TIMES = 2  # a loop is heard so many times round


def perform(out_dir: Path, names: Sequence[str] = (), models_dir: Path | None = None) -> list[Path]:
    """Write OUT/MODEL/sample-01.wav and .mid and so on, for every model that is here or those named; returns the WAVs.

    A morph is one file: its loops one after the other.

    Raises:
        ModelFileError, UnknownModelError: no such model, or not the weights its card tells of.
        OSError: `out_dir` cannot be written.
    """
    folder = models_dir or models_folder()
    written = []
    for name in names or [card["name"] for card in registry.list_models(folder)]:
        model = registry.load_compiled(name, "cpu", folder)
        heat, parts = TEMPERATURES[model.config.part], model.config.parts
        ways = [_one_after_the_other(row) for row in morphs(model, heat)]
        for shown in (*map(_again, samples(model, heat)), *ways, *continuations(model, heat)):
            path = out_dir / name / f"{shown.name}.wav"
            with folders_for(path):
                synth.write_wav(path, synth.render(_timed(shown.bars, parts)))
            channels = {index: PART_CHANNELS[part] for index, part in enumerate(parts)}
            write_midi(path.with_suffix(".mid"), shown.bars, channels=channels, track_name=name, tempo=_TEMPO)
            written.append(path)
    return written


def _again(shown: Shown) -> Shown:
    return Shown(shown.name, shown.caption, join([shown.bars] * _TIMES), shown.marks)


def _one_after_the_other(way: Sequence[Shown]) -> Shown:
    name = way[0].name.rpartition("-")[0]
    return Shown(name, way[0].caption, join([shown.bars for shown in way]))


def _timed(bars: Bars, parts: Sequence[Part]) -> list[synth.TimedNote]:
    seconds = 60.0 / _TEMPO
    return [
        synth.TimedNote(
            note.start * seconds, note.duration * seconds, note.pitch, note.velocity,
            _ROLES[parts[note.part if len(parts) > 1 else 0]],
        )
        for note in bars.notes
    ]  # fmt: skip
