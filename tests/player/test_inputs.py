"""Somebody else's port as our input: it is waited for, taken when it comes, and missed when it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bridge.player import inputs
from bridge.player.inputs import InputPort
from bridge.player.ports import InputNews


class Machine:
    """What is plugged in, and which of it another program keeps to itself."""

    def __init__(self) -> None:
        self.ports: list[str] = []
        self.kept = False
        self.heard: list[tuple[int, ...]] = []

    def midi_in(self, _api: int, _name: str) -> Machine:
        """Stands in for `rtmidi.MidiIn`."""
        return self

    def get_ports(self) -> list[str]:
        return self.ports

    def open_port(self, _number: int) -> None:
        if self.kept:
            raise RuntimeError("in use")

    def midi_sources(self) -> list[str]:
        """Stands in for `JackWatch`, as `connect` does."""
        return self.ports

    def connect(self, _source: str, _target: str) -> bool:
        return not self.kept

    def __getattr__(self, _name: str) -> Any:
        return lambda *_, **__: None

    def sink(self, _stamp_ns: int, message: Sequence[int]) -> None:
        self.heard.append(tuple(message))

    def named_input(self, kind: str) -> InputPort:
        watch: Any = self if kind == "jack" else None
        return InputPort(kind, 0, "Barline", "keys", self.sink, watch)


@pytest.fixture
def machine(monkeypatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(inputs.rtmidi, "MidiIn", machine.midi_in)
    return machine


@pytest.mark.parametrize(("kind", "ours_stays"), [("alsa", False), ("winmm", False), ("jack", True)])
def test_a_named_port_comes_and_goes(machine, kind, ours_stays):
    """On JACK our own port is open all the while, and whoever connects to it is heard."""
    port = machine.named_input(kind)
    assert port.change() == InputNews("no port called keys yet; still looking", ours_stays)
    assert port.change() is None
    machine.ports = ["Synth", "KEYS 1"]
    assert port.change() == InputNews("KEYS 1", here=True)
    assert port.change() is None
    assert machine.heard == []
    machine.ports = ["Synth"]
    assert port.change() == InputNews("KEYS 1 has gone; it is listened to again when it is back", ours_stays)
    assert machine.heard == [()], "what was held is over"
    assert port.change() is None
    machine.ports = ["KEYS 2"]
    assert port.change() == InputNews("KEYS 2", here=True)


def test_a_port_that_another_program_keeps_to_itself_is_said_once_and_taken_when_it_is_free(machine):
    machine.ports, machine.kept = ["KEYS 1"], True
    port = machine.named_input("winmm")
    assert port.change() == InputNews("KEYS 1 cannot be opened yet; still looking", here=False)
    assert port.change() is None
    machine.kept = False
    assert port.change() == InputNews("KEYS 1", here=True)


def test_our_own_port_is_there_and_no_news(machine):
    port = InputPort("alsa", 0, "Barline", "Barline in", lambda *_: None, None)
    assert port.change() is None
