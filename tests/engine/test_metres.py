"""What loops of another metre become: bars of the song's, one for one, and themselves where the song is in theirs."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import paths
from bridge.engine.residents import Made, Residents
from bridge.engine_messages import Generate
from bridge.music.metre import fitted
from bridge.music.notes import Bars, bars_from_json

_TUNE = ((60, 0.0), (64, 1.0), (67, 2.5), (72, 4.0), (71, 6.0), (69, 7.0), (67, 9.0), (65, 10.0))
#: Four bars of three beats; the last note of the first sounds on into the second.
WALTZ: list[Any] = [12.0, [[pitch, start, 1.0, 90, 0] for pitch, start in _TUNE], 3.0]
MARCH: list[Any] = [8.0, [[72 - beat, float(beat), 0.5, 90, 0] for beat in range(8)]]


@pytest.fixture(scope="module")
def engine() -> Residents:
    residents = Residents(paths.models_folder(), "cpu", 1)
    assert residents.load("melody-2bar")[0]
    return residents


def made(engine: Residents, op: str, material: list[Any], bar_beats: float, **changes: Any) -> Bars:
    values: dict[str, Any] = {"bars": 2, "x": 0.0, "amount": 0.0, **changes}
    job = Generate(
        1, "melody", "melody-2bar", op, False, material, values["bars"], bar_beats, values["x"], 0.0,
        values["amount"], 0.6, 5, {},
    )  # fmt: skip
    found: Made = engine.make(job)
    return bars_from_json([found.length_beats, found.notes])


@pytest.mark.parametrize("bar_beats", [3.0, 3.5, 4.0, 5.0])
def test_nothing_but_the_metre_changes_at_a_corner_and_where_nothing_is_varied(
    engine: Residents, bar_beats: float
) -> None:
    expected = fitted(bars_from_json(WALTZ), 3.0, bar_beats)
    assert made(engine, "vary", [WALTZ], bar_beats) == expected
    assert made(engine, "morph", [WALTZ, WALTZ], bar_beats) == expected
    assert made(engine, "keep", [WALTZ], bar_beats) == expected
    other = fitted(bars_from_json(MARCH), 4.0, bar_beats)
    assert made(engine, "morph", [MARCH, MARCH], bar_beats, x=1.0) == other


@pytest.mark.parametrize("bar_beats", [3.0, 3.5, 4.0, 5.0])
def test_whatever_is_made_of_it_has_whole_bars_of_the_song(engine: Residents, bar_beats: float) -> None:
    for op, changes, bars in (("vary", {"amount": 0.5}, 4), ("morph", {"x": 0.5}, 4), ("next", {}, 2)):
        material = [WALTZ, MARCH] if op == "morph" else [WALTZ]
        assert made(engine, op, material, bar_beats, **changes).length == bars * bar_beats, op
