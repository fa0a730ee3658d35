"""What may be asked for next is made when nothing else waits, and is what would have been made."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge import paths
from bridge.engine.queue import JobQueue
from bridge.engine.residents import JobError, Made, Residents
from bridge.engine_messages import Generate
from bridge.model.playing.decoding import between_beats


def job(number: int, voice: str = "melody", *, knob: bool = False, **changes: Any) -> Generate:
    plain = Generate(
        number, voice, "melody-2bar", "sample", knob, [], 2, 4.0, 0.0, 0.0, 0.0, 0.6, 5, {"surprise": 0.35}
    )
    return replace(plain, **changes)


def test_what_nobody_asked_for_waits_for_all_else_and_only_the_newest_of_a_voice() -> None:
    queue = JobQueue()
    queue.put_ahead(job(0, seed=1))
    queue.put_ahead(job(0, seed=2))
    queue.put(job(1, knob=True))
    assert queue.take_ahead() is None
    assert queue.take() == job(1, knob=True)
    assert queue.take() is None
    assert len(queue) == 1
    assert queue.take_ahead() == job(0, seed=2)
    assert queue.take_ahead() is None
    queue.put_ahead(job(0))
    queue.clear()
    assert not len(queue)


@pytest.fixture(scope="module")
def engine() -> Residents:
    residents = Residents(paths.models_folder(), "cpu", 1)
    assert residents.load("melody-2bar")[0]
    return residents


def test_whose_model_is_ready_is_told(tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(paths.models_folder() / "melody-2bar", own / "melody-2bar")
    residents = Residents(paths.models_folder(), "cpu", 1, str(own))
    came = residents.load("bass-2bar")
    assert (came[0], "your own" in came[1]) == (True, False)
    told = residents.load("melody-2bar")
    assert (told[0], told[1].endswith(f", your own from {own}")) == (True, True)


def test_what_was_made_ready_is_what_would_have_been_made(engine: Residents) -> None:
    engine.make_ready(job(0))
    ready = engine.made_ready(job(7))
    assert ready is not None
    assert ready == engine.make(job(7))
    assert engine.made_ready(job(8)) is None, "it is answered once"


@pytest.mark.parametrize(
    "changes", [{"seed": 6}, {"temperature": 0.7}, {"bars": 4}, {"bend": {"surprise": 0.9}}, {"op": "next"}]
)
def test_any_other_request_is_made_itself(engine: Residents, changes: dict[str, Any]) -> None:
    engine.make_ready(job(0))
    assert engine.made_ready(job(7, **changes)) is None


def test_what_is_made_before_somebody_asks_for_something_else_is_kept_and_not_made_again(
    engine: Residents, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Made] = []

    def in_the_middle() -> None:
        if engine._ready:
            looks.append(*engine._ready.values())
            raise InterruptedError

    remembered: list[Made] = []
    engine._ready.clear()
    with monkeypatch.context() as patched:
        patched.setattr(engine, "remember", lambda _job, made: remembered.append(made))
        with pytest.raises(InterruptedError), between_beats(in_the_middle):
            engine.make_ready(job(0, seed=90))
        assert (len(looks), remembered) == (1, [])
        patched.setattr(engine, "make", None)
        engine.make_ready(job(0, seed=90))
        assert remembered == looks
    assert engine.made_ready(job(3, seed=90)) is looks[0]


def test_only_so_much_is_kept(engine: Residents) -> None:
    for seed in range(40, 76):
        engine.make_ready(job(0, seed=seed))
    kept = [engine.made_ready(job(1, seed=seed)) is not None for seed in range(40, 76)]
    assert kept == [False] * 4 + [True] * 32
    for seed in (*range(40, 72), 40, 72):
        engine.make_ready(job(0, seed=seed))
    kept = [engine.made_ready(job(1, seed=seed)) is not None for seed in (40, 41, 72)]
    assert kept == [True, False, True], "what is thought of again stays"
    with pytest.raises(JobError):
        engine.make_ready(job(0, model="nobody-has-it"))
