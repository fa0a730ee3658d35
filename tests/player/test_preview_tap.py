"""What the player tells the preview voice: every note it sends, and a click on the beats of the metre."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator

import pytest

from bridge.player.outputs import layout_for
from bridge.player.preview_tap import PreviewTap, roles_of
from bridge.preview.wire import Sounded, unpack
from bridge.timing.changes import Change, Shift
from bridge.timing.tempo_map import TempoMap

TOKEN = "ff" * 16
LAYOUT = layout_for("Barline", {"lead": {0: 0}, "kit": {0: 9}, "band": {0: 0, 1: 1, 2: 9}}, clock_out=True)
ROLES = roles_of(LAYOUT, {"lead": "melody-2bar", "kit": "drums-16bar", "band": "trio-16bar"})


class Ear:
    """Where the datagrams arrive."""

    def __init__(self, *, click: bool = True) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.tap = PreviewTap(TOKEN, ROLES, click=click)
        self.tap.aim(self.socket.getsockname()[1])

    def heard(self) -> list[Sounded]:
        found = []
        while True:
            try:
                sounded = unpack(bytes.fromhex(TOKEN), self.socket.recv(64))
            except BlockingIOError:
                return found
            assert sounded is not None
            found.append(sounded)

    def close(self) -> None:
        self.tap._socket.close()
        self.socket.close()


@pytest.fixture
def ear() -> Iterator[Ear]:
    found = Ear()
    yield found
    found.close()


def test_a_voice_is_heard_as_what_its_model_plays(ear: Ear) -> None:
    for port, message in [(0, (0x90, 60, 90)), (1, (0x99, 36, 80)), (2, (0x91, 40, 70)), (2, (0x89, 38, 0)),
                          (0, (0xB0, 123, 0)), (0, (0xB0, 120, 0)), (3, (0xF8,))]:  # fmt: skip
        ear.tap.sent(port, message, 5)
    assert ear.heard() == [
        Sounded("strike", "melody", 60, 90, 5),
        Sounded("strike", "drums", 36, 80, 5),
        Sounded("strike", "bass", 40, 70, 5),
        Sounded("release", "drums", 38, 0, 5),
        Sounded("silence", "melody", 0, 0, 5),
    ]


def clicks(ear: Ear, tempo_map: TempoMap, until_beats: float) -> list[tuple[float, bool]]:
    """Position and accent of each click up to a position, the tap woken when it asks to be."""
    while (due_ns := ear.tap.next_due_ns(tempo_map)) is not None and due_ns < tempo_map.ns_at_beat(until_beats):
        ear.tap.advance(tempo_map, due_ns)
    return [(round(tempo_map.beat_at_ns(s.intended_ns), 6), s.pitch == 76) for s in ear.heard()]


@pytest.mark.parametrize(
    ("metre", "expected"),
    [
        ((4, 4), [(0.0, True), (1.0, False), (2.0, False), (3.0, False), (4.0, True)]),
        ((3, 4), [(0.0, True), (1.0, False), (2.0, False), (3.0, True), (4.0, False)]),
        ((7, 8), [(k / 2, k % 7 == 0) for k in range(9)]),
    ],
)
def test_the_click_is_the_metre(ear: Ear, metre: tuple[int, int], expected: list[tuple[float, bool]]) -> None:
    tempo_map = TempoMap(0, 0.0, 120.0, True, *metre)
    ear.tap.change(Change(Shift.START, 0.0), tempo_map)
    assert clicks(ear, tempo_map, 4.25) == expected


def test_after_a_leap_into_a_bar_the_click_goes_on_with_its_next_beat(ear: Ear) -> None:
    tempo_map = TempoMap(0, 9.5, 120.0, True)
    ear.tap.change(Change(Shift.LEAP, 9.5), tempo_map)
    assert clicks(ear, tempo_map, 12.5) == [(10.0, False), (11.0, False), (12.0, True)]


def test_a_new_metre_counts_from_its_own_bar_line(ear: Ear) -> None:
    tempo_map = TempoMap(0, 0.0, 120.0, True)
    ear.tap.change(Change(Shift.START, 0.0), tempo_map)
    assert len(clicks(ear, tempo_map, 3.5)) == 4
    other = dataclasses.replace(tempo_map, numerator=3, bar_origin_beats=4.0)
    ear.tap.change(Change(Shift.SLIDE), other)
    assert clicks(ear, other, 7.5) == [(4.0, True), (5.0, False), (6.0, False), (7.0, True)]


def test_a_stall_is_not_made_good_by_a_burst_and_the_click_can_be_off(ear: Ear) -> None:
    tempo_map = TempoMap(0, 0.0, 120.0, True)
    ear.tap.change(Change(Shift.START, 0.0), tempo_map)
    ear.tap.advance(tempo_map, tempo_map.ns_at_beat(7.01))
    assert len(ear.heard()) == 1
    silent = Ear(click=False)
    assert silent.tap.next_due_ns(tempo_map) is None
    silent.close()
