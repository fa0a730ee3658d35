"""The small pictures of the report: notes where they belong, small files."""

import numpy as np
import pytest
from PIL import Image

from bridge.music.notes import Bars, Note
from bridge.music.sheets import Curve, Roll, Section, draw_curves, draw_sheet

LINE = Bars(tuple(Note(60 + step, float(step), 1.0, 100) for step in range(8)), 8.0)
TRIO = Bars((*LINE.notes, Note(40, 0.0, 4.0, 90, 1), Note(36, 0.0, 0.1, 120, 2), Note(38, 4.0, 0.1, 30, 2)), 8.0)
MELODY, DRUMS = (88, 200, 245), (250, 166, 92)


def near(image, colour, *, within=90):
    """Where pixels have a colour, or a darker shade of it."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    return np.abs(pixels - colour).sum(2) < within


def test_a_sheet_shows_every_part_and_stays_small(tmp_path):
    path = tmp_path / "deep" / "sheet.png"
    rolls = tuple(Roll(f"seed {n}", TRIO, (False, False, True), (4.0,)) for n in range(12))
    draw_sheet(path, "trio", [Section("Samples", rolls, 4), Section("More", (Roll("one", LINE, (False,)),), 1)])
    image = Image.open(path)
    assert image.width == 1200
    assert path.stat().st_size < 30_000
    assert near(image, MELODY).any()
    assert near(image, DRUMS).any()
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]


def test_a_rising_line_rises(tmp_path):
    draw_sheet(tmp_path / "line.png", "", [Section("", (Roll("", LINE, (False,)),), 1)])
    rows, columns = np.nonzero(near(Image.open(tmp_path / "line.png"), MELODY))
    assert np.corrcoef(columns, rows)[0, 1] < -0.98


@pytest.mark.parametrize("one_range", [False, True])
def test_rolls_of_a_row_may_share_their_range(tmp_path, one_range):
    low = Bars((Note(48, 0.0, 4.0, 100),), 4.0)
    high = Bars((Note(84, 0.0, 4.0, 100),), 4.0)
    rolls = (Roll("", low, (False,)), Roll("", high, (False,)))
    draw_sheet(tmp_path / "two.png", "", [Section("", rolls, 2, one_range)])
    found = near(Image.open(tmp_path / "two.png"), MELODY)
    left, right = (np.nonzero(half)[0].mean() for half in (found[:, :600], found[:, 600:]))
    assert (left - right > 15) == one_range


def test_loops_without_notes_are_drawn_too(tmp_path):
    draw_sheet(tmp_path / "none.png", "", [Section("", (Roll("silence", Bars((), 8.0), (False,)),), 1)])
    assert not near(Image.open(tmp_path / "none.png"), MELODY).any()


def test_curves_lie_where_their_points_do(tmp_path):
    rising = Curve("up", tuple((float(x), float(x)) for x in range(10)))
    dotted = Curve("", tuple((float(x), 9.0 - x) for x in range(10)), 2, dotted=True)
    draw_curves(tmp_path / "c.png", "curves", {"one": [rising, dotted], "none": []}, "x")
    image = Image.open(tmp_path / "c.png")
    inside = np.asarray(image)[70:260, 65:590]
    rows, columns = np.nonzero(near(Image.fromarray(np.asarray(image.convert("RGB"))[70:260, 65:590]), MELODY))
    assert inside.size
    assert np.corrcoef(columns, rows)[0, 1] < -0.98
    rows, columns = np.nonzero(
        near(Image.fromarray(np.asarray(image.convert("RGB"))[70:260, 65:590]), DRUMS, within=60)
    )
    assert np.corrcoef(columns, rows)[0, 1] > 0.95
