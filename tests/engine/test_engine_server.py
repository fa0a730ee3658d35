"""The engine's server over real sockets: strangers, bridges that go in the middle of it, models that do not load."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bridge import limits
from bridge.channel import connect, listen
from bridge.engine import residents, server
from bridge.engine.residents import JobError, Made, Residents
from bridge.engine.server import EngineServer
from bridge.engine_messages import Begun, Generate, Generated, LoadModel, ModelState
from bridge.model.playing.decoding import look_about


class Caller:
    """A bridge, as the engine sees one."""

    def __init__(self, port: int) -> None:
        self.channel = connect(port, "secret", "bridge")
        self._heard: list[Any] = []

    def send(self, *records: Any) -> None:
        for record in records:
            self.channel.send(record)

    def hear(self, seconds: float = 5.0) -> Any:
        """The next record, or None where none comes in time."""
        if not self._heard and select.select([self.channel], [], [], seconds)[0]:
            self._heard += self.channel.receive()
        return self._heard.pop(0) if self._heard else None

    def reset(self) -> None:
        """End as a process does that is killed before it has read everything: what is sent to it from now on fails."""
        with socket.socket(fileno=os.dup(self.channel.fileno())) as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.channel.close()


class Engine:
    """A server at work, on a thread of its own."""

    def __init__(self, models: Path) -> None:
        listening, self.port = listen()
        init = {"token": "secret", "models_folder": models, "own_models": None, "models": []}
        self._server = EngineServer(listening, {**init, "device": "cpu", "threads": 1})
        self.thread = threading.Thread(target=self._server.run, name="engine")
        self.thread.start()
        self._callers: list[Caller] = []

    def bridge(self) -> Caller:
        self._callers.append(Caller(self.port))
        return self._callers[-1]

    def stranger(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5.0)

    def serves(self, bridge: Caller) -> bool:
        """Whether it still does what this bridge says."""
        bridge.send(LoadModel("nobody-has-it"))
        answer = bridge.hear()
        return isinstance(answer, ModelState) and not answer.ready

    def close(self) -> None:
        self.thread.join(5.0)
        for thread in threading.enumerate():  # the one that has woken the loop for its end may still do so
            if thread.name == "lifeline":
                thread.join(5.0)
        for caller in self._callers:
            caller.channel.close()
        for end in (self._server._selector, self._server._wake_in, self._server._wake_out):
            end.close()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    reading, lifeline = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        running = Engine(tmp_path)
        try:
            yield running
        finally:
            os.close(lifeline)
            running.close()
            gc.unfreeze()
        assert not running.thread.is_alive()


class Work:
    """A job in the hands of a test: it looks about at every beat until it may end, and ends as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ends: Callable[[], Made]) -> None:
        self._began, self._may_end = threading.Event(), threading.Event()
        self._ends = ends
        monkeypatch.setattr(Residents, "make", lambda _residents, job, early=None: self._make(job, early))
        self.jobs: list[Generate] = []

    def _make(self, job: Generate, early: Callable[[Made], None] | None) -> Made:
        self.jobs.append(job)
        if early is not None and job.bars == 16:
            early(Made(64.0, [(60, 0.0, 1.0, 100, 0)], None))
        self._began.set()
        while not self._may_end.wait(0.001):
            look_about()
        return self._ends()

    def wait(self) -> None:
        assert self._began.wait(5.0)

    def end(self) -> None:
        self._may_end.set()


def job(number: int, *, knob: bool) -> Generate:
    return Generate(number, "melody", "melody-2bar", "sample", knob, [], 2, 4.0, 0.0, 0.0, 0.0, 0.6, 5)


def made() -> Made:
    return Made(8.0, [(60, 0.0, 1.0, 100, 0)], None)


def refused() -> Made:
    raise JobError(4, "not now")


def broken() -> Made:
    raise ZeroDivisionError("provoked")


def is_sent_away(caller: socket.socket) -> bool:
    try:
        return caller.recv(100) == b""
    except ConnectionError:
        return True


# -- strangers ---------------------------------------------------------------------------------------------------------


def test_a_crowd_of_strangers_is_bounded_and_does_not_keep_a_bridge_out(engine: Engine) -> None:
    with contextlib.ExitStack() as callers:
        crowd = [callers.enter_context(engine.stranger()) for _ in range(5 * limits.MAX_STRANGERS)]
        assert all(is_sent_away(stranger) for stranger in crowd[: -limits.MAX_STRANGERS])
        assert engine.serves(engine.bridge())


def test_a_stranger_that_says_nothing_is_sent_away_in_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECT_TIMEOUT_S", 0.05)
    with engine.stranger() as stranger:
        assert is_sent_away(stranger)
    assert engine.thread.is_alive()


@pytest.mark.parametrize(
    "said", ['["Hello","\\ud800","bridge"]', '["Hello","wrong!","bridge"]', '["LoadModel","x"]', "[" * 100_000]
)
def test_nothing_that_a_stranger_says_ends_the_engine(engine: Engine, said: str) -> None:
    with contextlib.suppress(ConnectionError), engine.stranger() as stranger:
        stranger.sendall(struct.pack(">I", len(said)) + said.encode())
        assert is_sent_away(stranger)
    assert engine.serves(engine.bridge())


# -- bridges that go ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "half closed"])
def test_a_bridge_that_goes_in_the_middle_of_a_batch(engine: Engine, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(Residents, "load", lambda _residents, _name: (True, "ready"))
    work = Work(monkeypatch, made)
    bridge = engine.bridge()
    bridge.send(LoadModel("melody-2bar"))
    assert bridge.hear() == ModelState("melody-2bar", True, "ready")
    bridge.send(job(0, knob=False))  # it is not answered: the first that fails to be told is one of a batch
    work.wait()
    bridge.send(LoadModel("melody-2bar"), LoadModel("melody-2bar"))
    if how == "reset":
        bridge.reset()
    else:
        with socket.socket(fileno=os.dup(bridge.channel.fileno())) as plain:
            plain.shutdown(socket.SHUT_WR)
    work.end()
    successor = engine.bridge()
    assert successor.hear() == ModelState("melody-2bar", True, "ready")
    successor.send(LoadModel("melody-2bar"))
    assert successor.hear() == ModelState("melody-2bar", True, "ready")


@pytest.mark.parametrize("ends", [made, refused, broken])
def test_what_an_earlier_bridge_asked_for_is_not_told_to_its_successor(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, ends: Callable[[], Made]
) -> None:
    work = Work(monkeypatch, ends)
    engine.bridge().send(job(1, knob=True), job(2, knob=True))
    work.wait()
    successor = engine.bridge()
    assert engine.serves(successor), "it is let in while the job is still being done"
    work.end()
    assert successor.hear(0.2) is None
    assert engine.serves(successor)


@pytest.mark.parametrize(
    ("ends", "answer"),
    [
        (made, {"length_beats": 8.0, "notes": [[60, 0.0, 1.0, 100, 0]]}),
        (refused, {"code": 4, "reason": "not now"}),
        (broken, {"code": 7, "reason": "ZeroDivisionError: provoked"}),
    ],
)
def test_who_asked_is_answered(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, ends: Callable[[], Made], answer: dict[str, Any]
) -> None:
    Work(monkeypatch, ends).end()
    bridge = engine.bridge()
    bridge.send(job(7, knob=True))
    assert {"job": 7, **answer}.items() <= asdict(bridge.hear()).items()


def test_the_first_of_long_bars_are_told_before_the_others_are_made(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(monkeypatch, made)
    bridge = engine.bridge()
    bridge.send(replace(job(3, knob=False), bars=16))
    assert bridge.hear() == Begun(3, 64.0, [[60, 0.0, 1.0, 100, 0]])  # type: ignore[list-item]
    work.end()
    assert isinstance(bridge.hear(), Generated)


def test_what_nobody_has_asked_for_gives_way_and_is_made_afterwards(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(monkeypatch, made)
    bridge = engine.bridge()
    bridge.send(job(0, knob=False))
    work.wait()
    bridge.send(job(1, knob=False))
    while len(work.jobs) < 2:
        time.sleep(0.001)
    assert work.jobs[1].job == 1
    work.end()
    assert bridge.hear().job == 1
    while len(work.jobs) < 3:
        time.sleep(0.001)
    assert [each.job for each in work.jobs] == [0, 1, 0]


def test_what_nobody_has_asked_for_is_not_begun_between_turns_of_a_knob(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn would wait for its beat, or for what it reads."""
    monkeypatch.setattr(server, "_QUIET_S", 0.5)
    work = Work(monkeypatch, made)
    work.end()
    bridge = engine.bridge()
    bridge.send(job(1, knob=True), job(0, knob=False))
    for number in (2, 3, 4):
        assert bridge.hear().job == number - 1
        bridge.send(job(number, knob=True))
    assert bridge.hear().job == 4
    answered_s = time.monotonic()
    while len(work.jobs) < 5:
        time.sleep(0.001)
    assert [each.job for each in work.jobs] == [1, 2, 3, 4, 0]
    assert time.monotonic() - answered_s > 0.4


# -- models that do not load -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("load_compiled", OSError("the disk is gone")),
        ("load_compiled", KeyError("config")),
        ("load_compiled", MemoryError()),
        ("warm_up", RuntimeError("CUDA out of memory")),
        ("warm_up", ValueError("provoked")),
    ],
    ids=repr,
)
def test_a_model_that_cannot_be_loaded_is_told_and_the_next_one_is_loaded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, step: str, fault: Exception
) -> None:
    def fails(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(residents, "load_compiled", lambda *_: object())
    monkeypatch.setattr(residents if step == "load_compiled" else residents.generation, step, fails)
    bridge = engine.bridge()
    for _ in range(2):  # whoever asks again is answered again
        bridge.send(LoadModel("melody-2bar"))
        state = bridge.hear()
        assert (state.model, state.ready) == ("melody-2bar", False)
        assert str(fault) in state.detail
        assert "melody-2bar cannot be loaded" in state.detail
    monkeypatch.setattr(Residents, "load", lambda _residents, _name: (True, "ready"))
    bridge.send(LoadModel("melody-2bar"))
    assert bridge.hear() == ModelState("melody-2bar", True, "ready")
