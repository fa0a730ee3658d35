"""The real player on a real JACK server: names, notes that arrive, a killed player, a server that comes and goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest
from needs import need
from player_rig import player_process

from bridge import messages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jackd is tested on Linux")
PORTS = ["Barline melody", "Barline bass", "Barline drums"]
ROWS = [(60, 0.0, 0.25, 100, 0), (64, 0.5, 0.25, 90, 0)]
LISTENER = """
import sys, time, rtmidi
name, wait_for = sys.argv[1], float(sys.argv[2])
listener = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, "listener")
deadline = time.monotonic() + wait_for
while True:
    found = [k for k, port in enumerate(listener.get_ports()) if port == f"{name}:{name}"]
    if found:
        break
    if time.monotonic() > deadline:
        sys.exit("no port")
    time.sleep(0.01)
listener.ignore_types(timing=False)
listener.set_callback(lambda event, data: print(*event[0], flush=True))
listener.open_port(found[0])
print("listening", flush=True)
sys.stdin.read()
"""


class Server:
    """A JACK server of the test's own, by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.environment = {"JACK_DEFAULT_SERVER": name}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [need("jackd"), "-n", self.name, "-r", "-d", "dummy", "-r", "48000", "-p", "1024"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 10
        while not self.ports():
            assert time.monotonic() < until, "jackd does not answer"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None

    def ports(self) -> list[str]:
        command = [need("jack_lsp"), "-s", self.name]
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **self.environment}
        )
        return [line for line in result.stdout.splitlines() if ":" in line and result.returncode == 0]

    def wait_for_ports(self, seconds: float) -> float:
        """How long it took until the player's ports were there."""
        began = time.monotonic()
        while not {f"{name}:{name}" for name in PORTS} <= set(self.ports()):
            assert time.monotonic() - began < seconds, self.ports()
            time.sleep(0.02)
        return time.monotonic() - began


class Listener:
    """Another JACK client, a process of its own, that writes down what it receives."""

    def __init__(self, server: Server, name: str, wait_s: float = 5.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(LISTENER), name, str(wait_s)],
            env={**os.environ, **server.environment},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "listening\n"

    def stop(self) -> list[tuple[int, ...]]:
        """End it; all it has received. RtMidi's JACK input ends by being killed: closing may wait for a dead server."""
        time.sleep(0.1)
        self.process.kill()
        out, _ = self.process.communicate()
        return [tuple(int(byte) for byte in line.split()) for line in out.splitlines()]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(f"barline-{os.getpid()}")
    server.start()
    yield server
    server.stop()


def play(player, rows=ROWS, length=1.0):
    player.send(
        messages.Launch("melody", 1, time.perf_counter_ns(), "bar", length, rows), messages.MoveTransport("play")
    )


def test_ports_have_their_names_and_notes_arrive(tmp_path, server):
    with player_process(tmp_path, "jack", env=server.environment, clock_out=True) as player:
        player.wait_for(messages.Ports, backend="jack")
        names = [*PORTS, "Barline in", "Barline clock"]
        assert {f"{name}:{name}" for name in names} <= set(server.ports())
        listener = Listener(server, "Barline melody")
        clock = Listener(server, "Barline clock")
        play(player)
        player.wait_for(messages.Beat, beat=8)
        player.send(messages.MoveTransport("stop"))
        player.wait_for(messages.ClockState, playing=False)
        received, ticks = listener.stop(), clock.stop()
    ons = [message for message in received if message[0] == 0x90]
    offs = [message for message in received if message[0] == 0x80]
    assert len(ons) == len(offs) >= 16
    assert {message[1] for message in ons} == {60, 64}
    assert ticks[0] == (0xFA,)
    assert ticks[-1] == (0xFC,)
    assert 192 <= ticks.count((0xF8,)) <= 216


def test_killed_the_ports_are_back_within_2_s_and_a_listener_gets_the_offs_first(tmp_path, server):
    pad = [(48, 0.0, 64.0, 100, 0), (55, 0.0, 64.0, 100, 0)]
    with player_process(tmp_path, "jack", env=server.environment) as player:
        player.wait_for(messages.Ports, backend="jack")
        play(player, pad, 64.0)
        player.wait_for(messages.Beat, beat=1)
        player.process.kill()
        player.process.wait()
    began = time.monotonic()
    with player_process(tmp_path, "jack", env=server.environment) as player:
        server.wait_for_ports(2.0)
        assert time.monotonic() - began < 2.0
        time.sleep(0.5)  # nobody listened to what was closed at the start
        listener = Listener(server, "Barline melody")
        time.sleep(0.4)
        play(player)
        player.wait_for(messages.Beat, beat=2)
        player.process.send_signal(signal.SIGTERM)
        assert player.process.wait(5.0) == 0
        received = listener.stop()
    first_on = [message[0] for message in received].index(0x90)
    assert {message[1] for message in received[:first_on]} == {48, 55}
    assert all(message[0] == 0x80 for message in received[:first_on])
    tail = received[first_on:]
    assert sum(m[0] == 0x90 for m in tail) == sum(m[0] == 0x80 for m in tail)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_goes_and_comes_back_is_noticed_and_used_again(tmp_path, server, how):
    with player_process(tmp_path, "auto" if how == signal.SIGTERM else "jack", env=server.environment) as player:
        player.wait_for(messages.Ports, backend="jack")
        play(player, [(48, 0.0, 4.0, 100, 0)], 4.0)
        player.wait_for(messages.Beat, beat=1)
        gone = time.monotonic()
        server.stop(how)
        said = player.wait_for(messages.Ports, 3.0, backend="none")
        assert time.monotonic() - gone < 2.0
        assert said.lines[0].startswith("no MIDI output: jack: no JACK server runs")
        player.wait_for(messages.Beat)  # the music goes on
        server.start()
        player.wait_for(messages.Ports, 3.0, backend="jack")
        server.wait_for_ports(2.0)
        listener = Listener(server, "Barline melody")
        player.wait_for(messages.Beat)
        for _ in range(6):
            player.wait_for(messages.Beat)
        player.process.send_signal(signal.SIGTERM)
        assert player.process.wait(5.0) == 0
        received = listener.stop()
    balance = sum(1 if m[0] == 0x90 else -1 for m in received if m[0] in (0x90, 0x80))
    assert (0x90, 48, 100) in received
    assert balance <= 0, "a note hangs"
