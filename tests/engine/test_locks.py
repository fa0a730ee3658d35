"""Bars with a locked one among them, made again by a knob: locked since, or locked when they were asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge import paths
from bridge.engine.residents import Residents
from bridge.engine_messages import Generate

MODELS = ("melody-2bar", "drums-2bar")
CORNERS: list[Any] = [[8.0, [[48 + k % 5, float(k), 0.5, 90, 0] for k in range(8)]], [8.0, [[50, 1.0, 2.0, 90, 0]]]]


@pytest.fixture(scope="module")
def engine() -> Residents:
    residents = Residents(paths.models_folder(), "cpu", 1)
    for name in MODELS:
        assert residents.load(name)[0]
    return residents


def lock_of(rows: list[Any]) -> dict[str, Any]:
    """The first bar of two, as `bridge.session.bending` has it."""
    return {"bars": [8.0, [row for row in rows if row[1] < 4.0]], "spans": [[0.0, 4.0]], "groove_seed": 1}


@pytest.mark.parametrize("op", ["sample", "next", "morph"])
@pytest.mark.parametrize("model", MODELS)
def test_a_knob_turned_back_brings_back_the_bars_beside_one_that_was_locked_since(
    engine: Residents, model: str, op: str
) -> None:
    material = {"sample": [], "morph": CORNERS}.get(op, CORNERS[:1])
    job = Generate(1, "a", model, op, True, material, 2, 4.0, 0.4, 0.0, 0.5, 0.6, 5, {"surprise": 0.35})
    before = engine.make(job).notes
    bend = {**job.bend, "lock": lock_of(before)}
    turned = engine.make(replace(job, bend={**bend, "attributes": {"density": 0.8}})).notes
    assert [row for row in turned if row[1] < 4.0] == [row for row in before if row[1] < 4.0]
    assert engine.make(replace(job, bend=bend)).notes == before


@pytest.mark.parametrize("model", MODELS)
def test_density_fills_a_bar_of_rest_unless_that_is_locked(engine: Residents, model: str) -> None:
    pitches = (36, 42, 38, 42, 36) if model.startswith("drums") else (60, 64, 67, 65, 62)
    phrase = [[pitch, k * 0.5, 0.25, 90, 0] for k, pitch in enumerate(pitches)]
    job = Generate(1, "a", model, "keep", True, [[8.0, phrase]], 0, 4.0, 0.0, 0.0, 0.0, 0.6, 5)
    denser = {"attributes": {"density": 1.0}}
    rest = {"bars": [8.0, []], "spans": [[4.0, 8.0]], "groove_seed": 1}
    free, locked = (engine.make(replace(job, bend=bend)).notes for bend in (denser, {**denser, "lock": rest}))
    assert any(row[1] >= 4.0 for row in free)
    assert len(locked) > len(phrase)
    assert all(row[1] < 3.9 for row in locked)


def test_bars_asked_for_beside_a_locked_one_are_made_to_fit_it(engine: Residents) -> None:
    """They are others than those that are made without it."""
    job = Generate(1, "a", "melody-2bar", "sample", False, [], 2, 4.0, 0.0, 0.0, 0.0, 0.6, 5, {"surprise": 0.35})
    lock = lock_of([(60, float(k), 1.0, 90, 0) for k in range(4)])
    put_in, fitted = (
        engine.make(replace(job, bend={**job.bend, **locks})).notes
        for locks in ({"lock": lock}, {"lock": lock, "beside": lock})
    )
    assert [row[:3] for row in put_in if row[1] < 4.0] == [row[:3] for row in fitted if row[1] < 4.0]
    assert put_in != fitted
