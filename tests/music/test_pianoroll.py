"""Piano-roll pictures: what is on them, and that they are written whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bridge.music import palette, pianoroll
from bridge.music.notes import Note
from bridge.music.pianoroll import Lane, draw, pitch_name

MELODY, BASS = palette.VOICES[:2]
ROOT = Path(__file__).resolve().parents[2]


def picture(path: Path) -> NDArray[np.int64]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.asarray(image).astype(np.int64)


def near(pixels: NDArray[np.int64], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    close: NDArray[np.bool_] = np.abs(pixels - np.array(colour)).max(axis=-1) <= 3
    return close


def plot_x(beat: float, beats: float) -> int:
    return round((pianoroll._GUTTER + beat * max(12.0, min(56.0, 1120.0 / beats))) * pianoroll._DENSITY)


def test_notes_stand_where_and_as_long_as_they_sound(tmp_path: Path) -> None:
    path = tmp_path / "roll.png"
    draw([Lane("", [Note(60, 4.0, 2.0, 127), Note(67, 8.0, 1.0, 127)])], path, title="", beats=(0.0, 16.0))
    found = near(picture(path)[:, round(pianoroll._GUTTER) * 2 :], MELODY)
    columns = np.flatnonzero(found.any(axis=0)) + round(pianoroll._GUTTER) * 2
    assert columns.min() == pytest.approx(plot_x(4, 16), abs=4)
    assert columns.max() == pytest.approx(plot_x(9, 16), abs=5)
    assert not np.any((columns > plot_x(6, 16) + 4) & (columns < plot_x(8, 16) - 4))
    low = np.flatnonzero(found[:, plot_x(5, 16) - 224]).mean()
    high = np.flatnonzero(found[:, plot_x(8.5, 16) - 224]).mean()
    assert low - high == pytest.approx(7 * pianoroll._KEY_HEIGHT * 2, abs=1)


def test_louder_is_brighter_and_each_voice_has_its_colour(tmp_path: Path) -> None:
    path = tmp_path / "roll.png"
    soft, loud = Note(60, 0.0, 4.0, 20), Note(60, 4.0, 4.0, 127)
    draw([Lane("", [soft, loud]), Lane("", [loud])], path, title="", beats=(0.0, 8.0))
    pixels = picture(path)
    assert near(pixels, BASS).any()
    row = np.flatnonzero(near(pixels[:, plot_x(6, 8)], MELODY))[0] + 4
    assert pixels[row, plot_x(6, 8)].sum() > pixels[row, plot_x(2, 8)].sum() + 100


def test_drums_have_a_row_for_each_kind_that_is_played(tmp_path: Path) -> None:
    hits = [Note(36, 0.0, 0.1, 127), Note(38, 1.0, 0.1, 127), Note(42, 2.0, 0.1, 127), Note(35, 3.0, 0.1, 127)]
    rows = pianoroll._rows_of(Lane("drums", hits, drums=True), pianoroll._Plot(0.0, 4.0, 20.0))
    assert [rows.labels[key] for key in rows.keys] == ["closed hat", "snare", "kick"]
    assert [rows.row_of(note.pitch) for note in hits] == [2, 1, 0, 2]
    draw([Lane("drums", hits, drums=True)], tmp_path / "roll.png", title="t", beats=(0.0, 4.0))
    found = near(picture(tmp_path / "roll.png"), MELODY)[:, plot_x(0.05, 4) :]
    assert len(np.unique(np.flatnonzero(found.any(axis=1)) // 30)) >= 3


def test_captions_do_not_cover_each_other_and_stay_on_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "roll.png"
    lanes = [Lane("melody", [Note(60, 0.0, 1.0, 90)])]
    draw(lanes, path, title="", beats=(0.0, 32.0), markers=[(0, "one of them")])
    one = picture(path)
    crowd = [
        (0.0, "one of them"),
        (0.5, "120 \N{RIGHTWARDS ARROW} 140 BPM"),
        (32.0, "at the very end"),
        (99.0, "beyond"),
    ]
    draw(lanes, path, title="", beats=(0.0, 32.0), markers=crowd)
    many = picture(path)
    assert many.shape[0] == one.shape[0] + 2 * pianoroll._CAPTION_HEIGHT
    assert not near(many[:, -4:], pianoroll._MARKER).any()
    assert many.shape[1] > one.shape[1]


def test_a_window_cuts_what_is_outside(tmp_path: Path) -> None:
    path = tmp_path / "roll.png"
    notes = [Note(60, 0.0, 1.0, 127), Note(62, 15.0, 4.0, 127), Note(30, 40.0, 1.0, 127)]
    draw([Lane("", notes)], path, title="", beats=(16.0, 24.0))
    found = near(picture(path)[:, round(pianoroll._GUTTER) * 2 - 8 :], MELODY)
    assert np.flatnonzero(found.any(axis=0)).min() >= 8
    assert found.any(axis=0).sum() == pytest.approx(3 * 56 * 2, abs=8)


def test_a_whole_evening_still_fits_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "roll.png"
    draw([Lane("", [Note(60, 9e5, 5e4, 127)])], path, title="", beats=(0.0, 1e6))
    assert picture(path).shape[1] < 13_000


def test_no_voices_and_no_notes_still_make_a_picture(tmp_path: Path) -> None:
    draw([], tmp_path / "none.png", title="nothing", beats=(0.0, 4.0))
    draw([Lane("a", []), Lane("d", [], drums=True)], tmp_path / "empty.png", title="", beats=(0.0, 4.0))
    assert picture(tmp_path / "none.png").size
    assert picture(tmp_path / "empty.png").size


@pytest.mark.parametrize("beats", [(4.0, 4.0), (4.0, 0.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_beats_that_do_not_go_upwards_are_refused(tmp_path: Path, beats: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected two numbers"):
        draw([], tmp_path / "roll.png", title="", beats=beats)


def test_a_write_that_fails_leaves_the_old_picture_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "roll.png"
    path.write_bytes(b"the old one")

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        draw([], path, title="", beats=(0.0, 4.0))
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_pitches_are_named_as_live_names_them() -> None:
    assert [pitch_name(pitch) for pitch in (0, 36, 60, 61, 127)] == ["C-2", "C1", "C3", "C#3", "G8"]


def test_importing_the_module_does_not_import_pillow() -> None:
    code = "import sys, bridge.music.pianoroll; assert 'PIL' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
