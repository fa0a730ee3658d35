"""Ports that are not there, vanish and return; and what an earlier player left open on them."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import pytest
from offline_player import OfflineClock

from bridge import messages
from bridge.player.ledger import Ledger, OpenNote, left_open
from bridge.player.outputs import Outputs, layout_for
from bridge.player.port_keeper import LOOK_NS, REPEATS_NS, PortKeeper
from bridge.player.ports import InputNews, MemoryPort, Port, PortError
from bridge.player.record import PlayedWriter

S = 1_000_000_000


class System:
    """A MIDI system that comes, goes, and counts its listeners as a test wants it."""

    kind = "jack"
    grain_ms = 0.0
    readable = None

    def __init__(self) -> None:
        self.there = True
        self.gone = False
        self.refuses = False
        self.news: InputNews | None = None
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
        self.ports = [MoodyPort(f"{client} {name}", self) for name in names]
        return list(self.ports)

    def vanished(self) -> bool:
        return self.gone

    def input_change(self) -> InputNews | None:
        news, self.news = self.news, None
        return news

    def listeners(self, port: Port) -> int | None:
        return self.audience

    def close(self) -> None: ...


class MoodyPort(MemoryPort):
    """Refuses what it is sent while its system does."""

    def __init__(self, name: str, system: System) -> None:
        super().__init__(name)
        self.system = system

    def send(self, message: Sequence[int], intended_ns: int) -> bool:
        if self.system.refuses:
            raise PortError(f"MIDI port {self.name}: gone")
        return super().send(message, intended_ns)


class Bench:
    def __init__(
        self, folder: pathlib.Path, system: System, *, clock_out: bool = False, input_name: str | None = "Barline in"
    ) -> None:
        self.clock = OfflineClock(S)
        self.layout = layout_for("Barline", {"melody": {0: 0}, "drums": {0: 9}}, clock_out)
        self.path = folder / "held.bin"
        self.ledger = Ledger(folder / "held.bin", self.layout.port_names)
        self.record = PlayedWriter(folder / "played.bin", self.layout.port_names, slots=64)
        self.outputs = Outputs(self.layout, self.ledger, self.record, self.clock.now_ns)
        self.told: list[Any] = []
        self.heard: list[tuple[int, ...]] = []
        self.keeper = PortKeeper(
            self.outputs, system.make, input_name, self.received, self.told.append, lambda *_: None, lambda _: None
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

    def left_open(self) -> int:
        """How many notes a successor would find open."""
        return sum(map(len, left_open(self.path).values()))


@pytest.fixture
def system() -> System:
    return System()


def leave_open(folder: pathlib.Path) -> None:
    ledger = Ledger(folder / "held.bin", ["Barline melody", "Barline drums"])
    ledger.mark(OpenNote(0, 0, 60))
    ledger.mark(OpenNote(1, 9, 36))


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
    bench.outputs.note_on(("melody", 0), 60, 100, 0)
    system.refuses = True
    bench.outputs.note_off(("melody", 0), 60, 0)
    system.refuses = False
    system.audience = 1
    bench.let(1)
    assert list(system.ports[0].sent) == [(0x80, 60, 0)]
    assert bench.left_open() == 0


@pytest.mark.parametrize(
    "send",
    [
        lambda outputs: outputs.realtime((0xF8,), 0),
        lambda outputs: outputs.silence_channels(0),
        lambda outputs: outputs.every_note_off(0, 0, 0),
    ],
    ids=["a tick", "silencing", "a sweep"],
)
def test_whatever_a_port_refuses_it_is_lost_and_that_is_said_once_and_not_while_sending(tmp_path, system, caplog, send):
    bench = Bench(tmp_path, system, clock_out=True)
    system.refuses = True
    caplog.clear()
    for _ in range(48):
        send(bench.outputs)
    assert bench.outputs.lost
    assert caplog.text == ""
    system.refuses = False
    bench.let(1)
    said = [record.getMessage() for record in caplog.records if "gone" in record.getMessage()]
    assert len(said) == len(set(said))
    assert "the MIDI ports have gone; opening them again" in said
    assert system.opened == 2
    send(bench.outputs)
    assert any(port.sent for port in system.ports)


def test_a_key_struck_again_on_a_port_that_has_gone_is_owed_and_not_open(tmp_path, system):
    bench = Bench(tmp_path, system)
    bench.outputs.note_on(("melody", 0), 60, 100, 0)
    system.refuses = True
    bench.outputs.note_on(("melody", 0), 60, 100, 0)
    assert bench.ledger.owed == {OpenNote(0, 0, 60)}
    assert bench.outputs.close_all(0) == 0


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


@pytest.mark.parametrize("audience", [1, None])
def test_what_could_not_be_closed_stays_owed(tmp_path, system, audience):
    """The ports go again while what was owed on them is closed: at once, or just when it would be settled."""
    leave_open(tmp_path)
    system.audience = audience
    system.refuses = True
    bench = Bench(tmp_path, system)
    bench.let(sum(REPEATS_NS) / S + 5)
    assert bench.left_open() == 2
    assert bench.ledger.owed == {OpenNote(0, 0, 60), OpenNote(1, 9, 36)}
    system.refuses = False
    bench.let(10)
    assert {port.sent[0] for port in system.ports} == {(0x80, 60, 0), (0x89, 36, 0)}
    assert bench.left_open() == 0


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
    assert left_open(bench.path) == {b"Barline melody": [(0, 60)], b"Barline drums": []}


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
    for news in (InputNews("KEYS:midi", here=True), InputNews("KEYS:midi has gone", here=False)):
        system.news = news
        bench.let(2.0)
        assert bench.told == [messages.Notice(f"in: {news.text}")]
        assert bench.keeper.said.lines[-1] == f"in: {news.text}"
        assert len(bench.keeper.said.lines) == 3
        assert bench.keeper.deaf == ("" if news.here else "KEYS:midi has gone")
        bench.told.clear()


def test_why_nothing_can_come_in(tmp_path, system):
    assert Bench(tmp_path, system, input_name=None).keeper.deaf == "midi.input is none"
    assert Bench(tmp_path, system).keeper.deaf == ""
    system.news = InputNews("no port called KEYS yet; still looking", here=False)
    assert Bench(tmp_path, system, input_name="KEYS").keeper.deaf == "no port called KEYS yet; still looking"
    system.there = False
    bench = Bench(tmp_path, system, input_name="KEYS")
    assert bench.keeper.deaf == "jack: no JACK server runs"
    system.there = True
    bench.let(2)
    assert bench.keeper.deaf == ""


def test_ports_that_are_opened_again_end_what_was_held_at_the_input(tmp_path):
    system = System()
    bench = Bench(tmp_path, system)
    system.gone = True
    bench.let(1.0)
    assert system.opened == 2
    assert bench.heard == [()]
