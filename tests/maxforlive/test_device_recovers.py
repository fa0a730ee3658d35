"""The device when there is no bridge, when the bridge goes and comes, and when its port is taken."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from maxforlive.device_rig import FIRST_ID, Device, Rig, wait_until

from bridge.hosted import HostedBridge
from bridge.osc.client import OscClient

CLIP = 1


@pytest.fixture
def taken() -> Generator[int]:
    """The first port that a device of a fresh rig asks for, held by somebody else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        port = 9211 + FIRST_ID  # 9200 + the id of this_device in a fresh rig
        other.bind(("127.0.0.1", port))
        yield port


def test_midi_passes_with_no_bridge_and_the_line_says_what_to_do(rig: Rig, free_udp_port: int) -> None:
    device = Device(rig, free_udp_port)
    device.wait_for_status(f"No bridge on port {free_udp_port}. Start it: python3 run_bridge.py")
    rig.do("midiIn", device=device.index, bytes=[0x90, 60, 100, 0x80, 60, 0])
    assert [byte for _, byte in rig.do("midi", device=device.index)] == [0x90, 60, 100, 0x80, 60, 0]
    mark = device.mark()
    device.press("Generate")
    device.turn("Temperature", 1.2)
    time.sleep(1.2)
    assert {one["address"] for one in device.sent("", mark)} <= {"/bridge/subscribe", "/clock/live"}


def test_a_port_that_is_taken_is_passed_over(rig: Rig, free_udp_port: int, taken: int) -> None:
    device = Device(rig, free_udp_port)
    first = device.wait_sent("/barline/probe")[0]
    assert first["port"] == taken, "or this test proves nothing"
    subscribed = device.wait_sent("/bridge/subscribe")[0]["values"][0]
    assert subscribed == taken + 1
    assert any("EADDRINUSE" in line for line in rig.do("console", device=device.index))


def test_a_port_that_was_given_up_and_answers_late_says_nothing_of_the_next(still_rig: Rig, taken: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
        another.bind(("127.0.0.1", taken + 1))  # two that never answer: the test does
        device = Device(still_rig, 9)
        still_rig.do("advance", ms=700)
        first, second = device.sent("/barline/probe")
        assert (first["port"], second["port"]) == (taken, taken + 1)
        still_rig.do("inject", device=device.index, message=["/barline/probe", *first["values"]])
        assert not device.sent("/bridge/subscribe")
        still_rig.do("inject", device=device.index, message=["/barline/probe", *second["values"]])
        assert device.sent("/bridge/subscribe")[0]["values"] == [taken + 1]


def test_devices_that_begin_their_search_at_the_same_port_find_two(rig: Rig, free_udp_port: int) -> None:
    first = Device(rig, free_udp_port)
    second = Device(rig, free_udp_port, track=first.track)  # the same id stands behind this_device: the same first port
    ports = [device.wait_sent("/bridge/subscribe")[0]["values"][0] for device in (first, second)]
    assert abs(ports[0] - ports[1]) == 1


def test_saving_the_set_starts_nothing_anew(rig: Rig, free_udp_port: int) -> None:
    device = Device(rig, free_udp_port)
    device.wait_sent("/bridge/subscribe")
    device.turn("Temperature", 1.1)
    mark = device.mark()
    rig.do("saveAgain", device=device.index)
    rig.do("saveAgain", device=device.index)
    time.sleep(0.5)
    assert not device.sent("/barline/probe", mark)
    assert device.value("Temperature") == pytest.approx(1.1)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_computer_s_clock_that_is_set_stops_nothing(
    rig: Rig, free_udp_port: int, bridge: HostedBridge, witness: OscClient, hours: int
) -> None:
    lost, device = Device(rig, free_udp_port), Device(rig, bridge.osc[1])
    device.wait_ready()
    lost.wait_sent("/bridge/subscribe")
    device.turn("Swing", 55.0)
    rig.do("setClock", ms=hours * 3_600_000)
    marks = lost.mark(), device.mark()
    device.turn("Swing", 57.0)
    device.turn("Swing", 58.0)
    witness.wait_for("/melody/state", 5, where=lambda said: said.args[said.args.index("swing") + 1] == 58.0)
    lost.wait_sent("/bridge/subscribe", marks[0], 3.0)
    device.wait_sent("/bridge/ping", marks[1], 5.0)
    device.wait_ready()


def test_a_bridge_that_is_left_for_another_speaks_to_the_device_no_longer(
    rig: Rig, free_udp_port: int, bridge: HostedBridge, witness: OscClient
) -> None:
    device = Device(rig, bridge.osc[1])
    device.wait_ready()
    mark = device.mark()
    device.turn("Bridge Port", free_udp_port)
    (left,) = device.wait_sent("/bridge/unsubscribe", mark)
    assert left["port"] == bridge.osc[1]
    assert device.wait_sent("/bridge/subscribe", mark)[0]["port"] == free_udp_port
    device.wait_for_status(f"No bridge on port {free_udp_port}")
    swing = device.value("Swing")
    witness.send("/melody/swing", 71.0)
    witness.wait_for("/melody/state", 5, where=lambda said: said.args[said.args.index("swing") + 1] == 71.0)
    time.sleep(1.0)
    assert device.value("Swing") == swing
    witness.send("/melody/swing", 50.0)


def test_a_deleted_device_says_goodbye(rig: Rig, free_udp_port: int) -> None:
    device = Device(rig, free_udp_port)
    device.wait_sent("/bridge/subscribe")
    mark = device.mark()
    rig.do("close", device=device.index)
    device.wait_sent("/bridge/unsubscribe", mark)


@pytest.mark.timeout(300)
def test_the_bridge_killed_and_started_again_in_mid_set(rig: Rig, free_udp_port: int, folder: Path) -> None:
    """The device first; then a bridge; then none; then another; with knobs turned while there was none."""
    rig.do("song", name="is_playing", value=1)
    device = Device(rig, free_udp_port, Output=CLIP)
    player = Device(rig, free_udp_port, Voice=2)  # plays its loop itself
    device.wait_for_status("No bridge on port")
    settings = ["midi.backend=none", f"osc.port={free_udp_port}"]
    first = HostedBridge(folder, settings)
    first.start()
    try:
        device.wait_ready()
        player.wait_ready()
        player.press("Sample")
        wait_until(player.notes, bool, 20, "notes through the device")
        device.turn("Swing", 58.0)
        device.press("Generate")
        device.wait_clip(0)
        with first.client() as witness:  # what was turned has arrived
            witness.ask("/bridge/subscribe", witness.port, answer="/bridge/ready")
            witness.wait_for("/melody/state", 5, where=lambda said: said.args[said.args.index("swing") + 1] == 58.0)
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.end()
    since = len(device.statuses())
    device.wait_for_status("No bridge on port", since=since)
    device.turn("Humanise", 35.0)
    played = len(player.notes())
    wait_until(player.notes, lambda notes: len(notes) > played + 4, 10, "the loop plays on without a bridge")
    second = HostedBridge(folder, settings)
    try:
        _start_when_free(second)
        device.wait_ready()
        with second.client() as witness:
            witness.ask("/bridge/subscribe", witness.port, answer="/bridge/ready")
            witness.wait_for(
                "/melody/state",
                10,
                where=lambda said: (
                    said.args[said.args.index("swing") + 1] == 58.0
                    and abs(said.args[said.args.index("humanize") + 1] - 0.35) < 1e-4
                ),
            )
        player.wait_ready()
        wait_until(
            lambda: _held(player), lambda held: not held, 10, "the loop that the new bridge does not know, closed"
        )
        device.press("Generate")
        device.wait_clip(1)
        mark = device.mark()
        _kill_the_bridge_process_alone(second)
        wait_until(lambda: device.sent("/bridge/subscribe", mark), bool, 20, "subscribed again")
        device.wait_ready()
        device.press("Sample")
        device.wait_clip(2, 40)
        assert device.value("Swing") == pytest.approx(58.0)
        assert device.value("Humanise") == pytest.approx(35.0)
    finally:
        second.end()


def test_a_bridge_that_stands_still_for_a_moment_loses_no_click(device: Device, bridge: HostedBridge) -> None:
    with _standing_still(bridge):
        mark = device.mark()
        device.press("Sample")
        device.wait_sent("/bridge/subscribe", mark)  # it takes the bridge for gone
    device.wait_clip(0)


def test_a_click_that_died_with_its_bridge_is_said_and_no_other_bars_are_taken_for_its_answer(
    rig: Rig, free_udp_port: int, folder: Path
) -> None:
    with HostedBridge(folder, ["midi.backend=none", f"osc.port={free_udp_port}"]) as bridge:
        device = Device(rig, free_udp_port, Output=CLIP)
        device.wait_ready()
        with _standing_still(bridge):
            device.press("Sample")
            _kill_the_bridge_process_alone(bridge)
        device.wait_for_status("press again")
        device.wait_ready()
        with bridge.client() as other:
            other.ask("/bridge/subscribe", other.port, answer="/bridge/ready")
            other.ask("/melody/sample", 2, answer="/melody/bars/end")
        device.press("Generate")
        device.wait_clip(0)
        assert device.clips()[1] is None


@contextmanager
def _standing_still(bridge: HostedBridge) -> Generator[None]:
    """Its bridge process hears and says nothing meanwhile; what is sent to it waits in its socket."""
    pid = bridge.processes()["bridge.main"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _start_when_free(bridge: HostedBridge) -> None:
    """The killed bridge's other processes need a moment to see that their supervisor is dead."""
    deadline = time.monotonic() + 20
    reasons = []
    while True:
        try:
            bridge.start()
            return
        except Exception as fault:
            reasons.append(repr(fault))
            assert time.monotonic() < deadline, "\n".join(reasons)  # the first of them says what the others are due to
            time.sleep(0.5)


def _kill_the_bridge_process_alone(bridge: HostedBridge) -> None:
    before = bridge.processes()["bridge.main"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: bridge.processes()["bridge.main"], lambda pid: pid != before, 30, "another bridge process")


def _held(device: Device) -> set[int]:
    """Keys that are down."""
    held: set[int] = set()
    for _, _, pitch, velocity in device.notes():
        (held.add if velocity else held.discard)(pitch)
    return held


def test_what_is_turned_before_there_is_a_bridge_stands_when_there_is_one(
    rig: Rig, free_udp_port: int, folder: Path
) -> None:
    device = Device(rig, free_udp_port)
    device.wait_for_status("No bridge on port")
    assert device.value("Settings Saved") == 0
    device.turn("Temperature", 1.4)
    assert device.value("Settings Saved") == 1
    with HostedBridge(folder, ["midi.backend=none", f"osc.port={free_udp_port}"]):
        device.wait_sent("/melody/temperature", timeout_s=30)
        device.wait_ready()
        assert device.value("Temperature") == pytest.approx(1.4)
