"""A trio through the engine: a fill and the attribute knobs change what they are of, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge import paths
from bridge.engine.residents import Residents
from bridge.engine_messages import Generate

Rows = list[Any]


@pytest.fixture(scope="module")
def engine() -> Residents:
    residents = Residents(paths.models_folder(), "cpu", 1)
    assert residents.load("trio-16bar")[0]
    return residents


@pytest.fixture(scope="module")
def loop(engine: Residents) -> Rows:
    job = Generate(1, "trio", "trio-16bar", "sample", False, [], 16, 4.0, 0.0, 0.0, 0.0, 0.6, 5, {"surprise": 0.35})
    return engine.make(job).notes


def kept(loop: Rows, **bend: Any) -> Generate:
    """The loop as it is, but for what bends it."""
    return Generate(1, "trio", "trio-16bar", "keep", True, [[64.0, loop]], 0, 4.0, 0.0, 0.0, 0.0, 0.6, 5, bend)


def of_part(rows: Rows, *parts: int) -> Rows:
    return [row for row in rows if row[4] in parts]


def test_a_fill_in_a_hard_key_changes_the_drums_of_its_bar_alone(engine: Residents, loop: Rows) -> None:
    job = replace(kept(loop), op="fill", knob=False, bend={"fill": {"start": 28.0}})
    made = engine.make(job)
    assert (made.length_beats, made.source) == (64.0, None)
    assert of_part(made.notes, 0, 1) == of_part(loop, 0, 1)
    was, now = of_part(loop, 2), of_part(made.notes, 2)
    assert [row for row in now if not 27.875 <= row[1] < 31.875] == [
        row for row in was if not 27.875 <= row[1] < 31.875
    ]
    assert now != was


def test_knobs_move_their_parts_keep_what_is_locked_and_turned_back_bring_back(engine: Residents, loop: Rows) -> None:
    lock = {"bars": [64.0, [row for row in loop if row[1] < 3.8]], "spans": [[0.0, 4.0]], "groove_seed": 1}
    higher = engine.make(kept(loop, attributes={"register": -0.5}))
    assert of_part(higher.notes, 2) == of_part(loop, 2)
    assert of_part(higher.notes, 0) != of_part(loop, 0)
    assert of_part(higher.notes, 1) != of_part(loop, 1)
    assert higher.source == loop
    filled = engine.make(kept(loop, attributes={"fill": 1.0}))
    assert of_part(filled.notes, 0, 1) == of_part(loop, 0, 1)
    denser = engine.make(kept(loop, attributes={"density": 0.7}, lock=lock)).notes
    assert [row for row in denser if row[1] < 3.8] == [row for row in loop if row[1] < 3.8]
    assert all(len(of_part(denser, part)) > len(of_part(loop, part)) for part in range(3))
    assert engine.make(kept(loop)).notes == loop
