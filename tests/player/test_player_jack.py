"""The real player on a real JACK server: names, notes that arrive, a killed player, a server that comes and goes."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest
from jack_room import NO_ANSWER
from needs import need
from player_rig import PlayerProcess, player_process
from whole_bridge import eventually

from bridge import messages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jackd is tested on Linux")
PORTS = ["Barline melody", "Barline bass", "Barline drums"]
ROWS = [(60, 0.0, 0.25, 100, 0), (64, 0.5, 0.25, 90, 0)]
LISTENER = """
import os, sys, time, rtmidi
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
listener.set_callback(lambda event, data: os.write(1, (" ".join(map(str, event[0])) + "\\n").encode()))
listener.open_port(found[0])
os.write(1, b"listening\\n")
sys.stdin.read()
time.sleep(0.5)  # for what is still on its way
os._exit(0)  # a JACK client that closes may wait for a server that has died
"""


class Server:
    """A JACK server of the test's own, by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.environment = {"JACK_DEFAULT_SERVER": name}
        self.process: subprocess.Popen[bytes] | None = None
        self.listeners: list[Listener] = []

    def start(self) -> None:
        self.process = subprocess.Popen(
            [need("jackd"), "-n", self.name, "-R", "-d", "dummy", "-r", "48000", "-p", "1024"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 10
        while not self.ports():
            if time.monotonic() > until:
                self.stop(signal.SIGKILL)
                raise AssertionError(NO_ANSWER)
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
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
        )  # fmt: skip
        server.listeners.append(self)
        assert self.process.stdout is not None
        self._first = b""  # what came while it was still being connected
        while (line := self.process.stdout.readline()) != b"listening\n":
            assert line, f"no port {name}"
            self._first += line

    def stop(self) -> list[tuple[int, ...]]:
        """Tell it to end, and hear it out: all it has received."""
        out, _ = self.process.communicate(timeout=20.0)
        return [tuple(int(byte) for byte in line.split()) for line in (self._first + out).decode().split("\n")[:-1]]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(f"barline-{os.getpid()}")
    server.start()
    yield server
    for listener in server.listeners:
        if listener.process.poll() is None:
            listener.stop()
    until = time.monotonic() + 3.0
    while any("listener" in port for port in server.ports()) and time.monotonic() < until:
        time.sleep(0.05)  # a server told to end while it misses a client takes six seconds
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


def offs_sent(player: PlayerProcess) -> int:
    return sum(sent.status >> 4 == 8 for sent in player.played())


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
        server.wait_for_ports(4.0)
        busy = os.getloadavg()[0] > (os.cpu_count() or 1)
        assert time.monotonic() - began < (4.0 if busy else 2.0)
        time.sleep(0.5)  # nobody listened to what was closed at the start
        closed = offs_sent(player)
        listener = Listener(server, "Barline melody")
        eventually(lambda: offs_sent(player) == closed + 2, what="they are not closed again for the first listener")
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
        player.forget()  # beats that went by while it was connected
        for _ in range(7):
            player.wait_for(messages.Beat)
        player.process.send_signal(signal.SIGTERM)
        assert player.process.wait(5.0) == 0
        received = listener.stop()
    balance = sum(1 if m[0] == 0x90 else -1 for m in received if m[0] in (0x90, 0x80))
    assert (0x90, 48, 100) in received
    assert balance <= 0, "a note hangs"


def children_of(pid: int) -> list[int]:
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Whether a process is there and more than a zombie that nobody has waited for."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_player_s_notes_are_closed_at_once_on_the_ports_that_still_stand(tmp_path, server):
    with player_process(tmp_path, "jack", env=server.environment) as player:
        player.wait_for(messages.Ports, backend="jack")
        listener = Listener(server, "Barline melody")
        play(player, [(48, 0.0, 64.0, 100, 0), (55, 0.0, 64.0, 100, 0)], 64.0)
        player.wait_for(messages.Beat, beat=1)
        (holder,) = children_of(player.process.pid)
        player.process.kill()
        player.process.wait()
        until = time.monotonic() + 3.0
        while runs(holder) and time.monotonic() < until:
            time.sleep(0.02)
        assert not runs(holder), "the ports' process outlives the player"
        received = listener.stop()
    assert sorted(received) == [(0x80, 48, 0), (0x80, 55, 0), (0x90, 48, 100), (0x90, 55, 100)]


def test_the_ports_process_killed_is_replaced_and_the_music_goes_on(tmp_path, server):
    with player_process(tmp_path, "jack", env=server.environment) as player:
        player.wait_for(messages.Ports, backend="jack")
        play(player)
        player.wait_for(messages.Beat, beat=1)
        (holder,) = children_of(player.process.pid)
        os.kill(holder, signal.SIGKILL)
        player.wait_for(messages.Ports, 8.0, backend="jack")
        listener = Listener(server, "Barline melody")
        player.forget()
        for _ in range(4):
            player.wait_for(messages.Beat)
        assert {message[0] for message in listener.stop()} >= {0x90, 0x80}


def test_a_named_input_that_is_not_there_is_said_at_the_start_and_ours_is_heard_all_the_same(tmp_path, server):
    with player_process(tmp_path, "jack", env=server.environment, input="KEYS") as player:
        assert "midi" not in player.wait_for(messages.ClockState).missing
        assert player.wait_for(messages.Ports).lines[-1] == "in: no port called KEYS yet; still looking"
        assert "Barline in:Barline in" in server.ports()


FIFTY_NOTES = """
for k in range(50): out.send_message((0x90, 60, 100)); time.sleep(0.005)
time.sleep(0.2)
"""


def test_played_into_the_input_is_received(tmp_path, server):
    """Through the input port and the ports' process back to the player's loop, which it must not disturb."""
    code = (
        "import sys, time, rtmidi\n"
        "out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, 'keys')\n"
        "out.open_port([k for k, p in enumerate(out.get_ports()) if 'Barline in' in p][0])\n"
        "time.sleep(0.2)\n" + FIFTY_NOTES
    )
    with player_process(tmp_path, "jack", env=server.environment) as player:
        player.wait_for(messages.Ports, backend="jack")
        environment = {**os.environ, **server.environment}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=20)
        play(player)
        player.wait_for(messages.Beat, beat=2)
        player.process.send_signal(signal.SIGTERM)
        assert player.process.wait(5.0) == 0
        assert "50 MIDI messages received" in player.log()


def test_no_voice_s_port_is_called_as_another_port_of_ours(tmp_path, server):
    """A voice `in` beside the input `Barline in`, and those that are called as the clients that only look."""
    code = (
        "import sys, time, rtmidi\n"
        "out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, 'keys')\n"
        "out.open_virtual_port('keys')\n"
        "sys.stdin.readline()\n" + FIFTY_NOTES
    )
    environment = {**os.environ, **server.environment}
    voices = ("in", "watch", "look")
    with player_process(tmp_path, "jack", env=environment, more_voices=voices, input="keys") as player:
        player.wait_for(messages.Ports, backend="jack")
        assert {f"Barline {name}:Barline {name}" for name in voices} <= set(server.ports())
        assert "Barline in (input):Barline in" in server.ports()
        keys = subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE)
        try:
            eventually(lambda: "in: keys:keys\n" in player.log(), what="the input finds no keys")
            keys.communicate(b"\n", timeout=20)
            assert keys.returncode == 0
        finally:
            keys.kill()
        listener = Listener(server, "Barline in")
        player.send(messages.Launch("in", 1, time.perf_counter_ns(), "bar", 1.0, ROWS), messages.MoveTransport("play"))
        player.wait_for(messages.Beat, beat=4)
        player.process.send_signal(signal.SIGTERM)
        assert player.process.wait(5.0) == 0
        assert {message[1] for message in listener.stop()} >= {60, 64}
        assert "50 MIDI messages received" in player.log()
