"""Ports that are not there, vanish and return; and what an earlier player left open on them."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from bridge import messages
from bridge.player.ledger import Ledger, OpenNote
from bridge.player.outputs import Outputs, layout_for
from bridge.player.port_keeper import LOOK_NS, REPEATS_NS, PortKeeper
from bridge.player.ports import MemoryPort, Port, PortError
from bridge.player.record import PlayedWriter
from bridge.timing.clocks import OfflineClock

S = 1_000_000_000


class System:
    """A MIDI system that comes, goes, and counts its listeners as a test wants it."""

    kind = "jack"
    grain_ms = 0.0
    readable = None

    def __init__(self) -> None:
        self.there = True
        self.gone = False
        self.news: str | None = None
        self.audience: int | None = 0
        self.ports: list[MemoryPort] = []
        self.opened = 0

    def make(self) -> System:
        if not self.there:
            raise PortError("jack: no JACK server runs")
        self.gone = False
        return self

    def attend(self) -> None: ...

    def open_all(self, client: str, names: Sequence[str], input_name: object, sink: object) -> list[Port]:
        self.opened += 1
        self.ports = [MemoryPort(f"{client} {name}") for name in names]
        return list(self.ports)

    def vanished(self) -> bool:
        return self.gone

    def input_change(self) -> str | None:
        news, self.news = self.news, None
        return news

    def listeners(self, port: Port) -> int | None:
        return self.audience

    def close(self) -> None: ...


class Bench:
    def __init__(self, folder: pathlib.Path, system: System) -> None:
        self.clock = OfflineClock(S)
        self.layout = layout_for("Barline", {"melody": {0: 0}, "drums": {0: 9}}, clock_out=False)
        self.ledger = Ledger(folder / "held.bin", self.layout.port_names)
        self.record = PlayedWriter(folder / "played.bin", self.layout.port_names, slots=64)
        self.outputs = Outputs(self.layout, self.ledger, self.record, self.clock.now_ns)
        self.told: list[Any] = []
        self.heard: list[tuple[int, ...]] = []
        self.keeper = PortKeeper(
            self.outputs, system.make, "Barline in", self.received, self.told.append, lambda *_: None, lambda _: None
        )
        self.keeper.start(self.clock.now_ns())

    def received(self, _stamp_ns: int, message: Sequence[int]) -> None:
        self.heard.append(tuple(message))

    def let(self, seconds: float) -> None:
        """Look whenever a look is due."""
        until_ns = self.clock.now_ns() + round(seconds * S)
        while self.keeper.next_look_ns <= until_ns:
            self.clock.move_to(self.keeper.next_look_ns)
            self.keeper.look(self.clock.now_ns())
        self.clock.move_to(until_ns)


@pytest.fixture
def system() -> System:
    return System()


def leave_open(folder: pathlib.Path) -> None:
    ledger = Ledger(folder / "held.bin", ["Barline melody", "Barline drums"])
    ledger.mark(OpenNote(0, 0, 60))
    ledger.mark(OpenNote(1, 9, 36))
    ledger.close()


def test_it_says_what_goes_where(tmp_path, system):
    bench = Bench(tmp_path, system)
    lines = ["melody: out to Barline melody", "drums: out to Barline drums", "in: Barline in"]
    assert bench.told == [messages.Ports("jack", lines)]


def test_without_a_system_it_says_so_once_and_finds_it_when_it_comes(tmp_path, system):
    system.there = False
    bench = Bench(tmp_path, system)
    bench.let(10)
    assert [ports.backend for ports in bench.told] == ["none"]
    assert "no JACK server runs" in bench.told[0].lines[0]
    bench.outputs.note_on(("melody", 0), 60, 100, 0)
    system.there = True
    bench.let(2)
    assert [ports.backend for ports in bench.told] == ["none", "jack"]
    bench.outputs.note_off(("melody", 0), 60, 0)  # begun where nobody could hear it: not closed where somebody may
    assert [list(port.sent) for port in system.ports] == [[], []]


def test_ports_that_vanish_are_opened_again_and_what_was_open_is_closed_first(tmp_path, system):
    bench = Bench(tmp_path, system)
    bench.outputs.note_on(("melody", 0), 60, 100, 0)
    system.gone = True
    bench.let(2 * LOOK_NS / S)
    assert system.opened == 2
    assert list(system.ports[0].sent) == [(0x80, 60, 0)]
    bench.outputs.note_on(("melody", 0), 64, 100, 0)
    assert list(system.ports[0].sent)[1:] == [(0x90, 64, 100)]


def test_a_port_that_refuses_a_message_counts_as_vanished(tmp_path, system):
    bench = Bench(tmp_path, system)

    def refuse(message: Sequence[int], intended_ns: int) -> bool:
        raise PortError("gone")

    bench.outputs.note_on(("melody", 0), 60, 100, 0)
    system.ports[0].send = refuse  # type: ignore[method-assign]
    bench.outputs.note_off(("melody", 0), 60, 0)
    bench.let(1)
    assert list(system.ports[0].sent) == [(0x80, 60, 0)]
    assert bench.outputs.sounding == 0


def test_what_was_left_open_is_closed_at_the_start_and_again_for_the_first_listener(tmp_path, system):
    leave_open(tmp_path)
    bench = Bench(tmp_path, system)
    assert [list(port.sent) for port in system.ports] == [[(0x80, 60, 0)], [(0x89, 36, 0)]]
    bench.let(20)
    assert [len(port.sent) for port in system.ports] == [1, 1]
    system.audience = 1
    bench.let(1)
    assert [list(port.sent) for port in system.ports] == [[(0x80, 60, 0)] * 2, [(0x89, 36, 0)] * 2]
    assert bench.ledger.owed == set()


def test_where_listeners_cannot_be_known_it_is_repeated_a_few_times(tmp_path, system):
    leave_open(tmp_path)
    system.audience = None
    bench = Bench(tmp_path, system)
    bench.let(30)
    assert [len(port.sent) for port in system.ports] == [1 + len(REPEATS_NS)] * 2
    assert bench.ledger.owed == set()


def test_a_note_that_sounds_meanwhile_is_left_alone(tmp_path, system):
    leave_open(tmp_path)
    bench = Bench(tmp_path, system)
    bench.outputs.note_on(("melody", 0), 60, 100, 0)
    system.audience = 1
    bench.let(1)
    assert list(system.ports[0].sent) == [(0x80, 60, 0), (0x90, 60, 100)]
    assert bench.ledger.sounding() == [OpenNote(0, 0, 60)]


def test_two_voices_on_one_port_and_channel_share_a_key_without_doubling(tmp_path, system):
    """Windows: one loopback port serves several voices."""
    bench = Bench(tmp_path, system)
    layout = layout_for("Barline", {"melody": {0: 0}, "bass": {0: 0}}, clock_out=False)
    outputs = Outputs(layout, bench.ledger, bench.record, bench.clock.now_ns)
    port = MemoryPort("loopMIDI")
    outputs.plug([port, port])
    outputs.note_on(("melody", 0), 60, 100, 0)
    outputs.note_on(("bass", 0), 60, 90, 0)
    outputs.note_off(("melody", 0), 60, 0)
    outputs.note_off(("bass", 0), 60, 0)
    assert list(port.sent) == [(0x90, 60, 100), (0x80, 60, 0), (0x90, 60, 90), (0x80, 60, 0)]


def test_a_message_ahead_of_its_moment_is_held_unless_another_process_does_that(tmp_path, system):
    bench = Bench(tmp_path, system)
    held: list[int] = []
    outputs = Outputs(bench.layout, bench.ledger, bench.record, bench.clock.now_ns, held.append)
    here, elsewhere = MemoryPort("here"), MemoryPort("elsewhere")
    elsewhere.lead_ns = 320_000
    outputs.plug([here, elsewhere])
    assert outputs.lead_ns == 320_000
    outputs.note_on(("melody", 0), 60, 100, 1_000)
    outputs.note_on(("drums", 0), 36, 100, 2_000)
    assert held == [1_000]
    assert (list(here.sent), list(elsewhere.sent)) == ([(0x90, 60, 100)], [(0x99, 36, 100)])


def test_an_input_that_comes_and_goes_is_told_once_and_remembered_for_the_next_bridge(tmp_path):
    system = System()
    bench = Bench(tmp_path, system)
    assert bench.keeper.said.lines[-1] == "in: Barline in"
    bench.told.clear()
    for news in ("in: KEYS:midi", "in: KEYS:midi has gone"):
        system.news = news
        bench.let(2.0)
        assert bench.told == [messages.Notice(news)]
        assert bench.keeper.said.lines[-1] == news
        assert len([line for line in bench.keeper.said.lines if line.startswith("in: ")]) == 1
        bench.told.clear()


def test_ports_that_are_opened_again_end_what_was_held_at_the_input(tmp_path):
    system = System()
    bench = Bench(tmp_path, system)
    system.gone = True
    bench.let(1.0)
    assert system.opened == 2
    assert bench.heard == [()]
