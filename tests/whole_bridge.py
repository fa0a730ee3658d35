"""What the end-to-end tests share: a user of a running bridge, and a listener's view of what the player sent.

Everything here looks from outside: OSC messages, the player's own record of what it sent, process ids from run.json.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from bridge.hosted import HostedBridge
from bridge.limits import MAX_DATAGRAM_BYTES
from bridge.osc.client import OscClient, Said
from bridge.osc.encoder import encode
from bridge.player.record import Played, PlayedReader

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 20.0
"""How long anything may take on a machine that is busy with something else: never a claim about speed."""
BPM = 400.0
"""The tempo of the tests: a bar of four beats is 0.6 s."""
BEAT_NS = 60e9 / BPM
PORTS = ("melody", "bass", "drums")
#: A model of which there is no more than its name: its voice stays, says so, and answers code 4 (contract section 2).
MISSING_MODEL = "melody-16bar"
_SECONDS_1900_TO_1970 = 2208988800


class Row(NamedTuple):
    """A note as the contract lists it."""

    pitch: int
    start: float
    duration: float
    velocity: int
    part: int


@dataclass(frozen=True)
class Heard:
    """A set of bars as its three kinds of events told it."""

    id: int
    start: float
    bars: int
    notes: tuple[Row, ...]
    latency_ms: float


class Stroke(NamedTuple):
    """A note-on or note-off in the record; `beat` by the origin given."""

    beat: float
    pitch: int
    velocity: int
    channel: int


def rows(flat: Sequence[Any]) -> tuple[Row, ...]:
    """A flat run of five numbers a note."""
    assert len(flat) % 5 == 0, flat
    return tuple(Row(*flat[at : at + 5]) for at in range(0, len(flat), 5))


def flat(notes: Iterable[Row]) -> list[int | float]:
    """The inverse of `rows`."""
    return [value for note in notes for value in note]


def bars_said(said: Sequence[Said], voice: str, since: int = 0) -> list[Heard]:
    """Every complete set of bars among messages that ended after a mark, in the order of their ends; asserts what
    contract 3.3 says of their form.
    """
    found: list[Heard] = []
    begun: dict[int, tuple[int, float, int]] = {}
    notes: dict[int, list[Row]] = {}
    for at, message in enumerate(said):
        if message.address == f"/{voice}/bars/begin":
            number, count, start, bars = message.args
            begun[number], notes[number] = (count, start, bars), []
        elif message.address == f"/{voice}/bars/notes":
            number, *values = message.args
            assert number in begun, "notes without their begin"
            assert 1 <= len(values) // 5 <= 30
            notes[number] += rows(values)
        elif message.address == f"/{voice}/bars/end":
            number, latency_ms = message.args
            assert number in begun, "an end without its begin"
            count, start, bars = begun.pop(number)
            assert len(notes[number]) == count
            heard = Heard(number, start, bars, tuple(notes.pop(number)), latency_ms)
            found += [heard] if at >= since else []
    return found


class User(OscClient):
    """An OSC client with a musician's requests."""

    is_subscribed = False

    def __exit__(self, *_: object) -> None:
        if self.is_subscribed:
            self.send("/bridge/unsubscribe")
        super().__exit__()

    def bars(self, address: str, *args: Any, timeout_s: float = PATIENCE_S) -> Heard:
        """Ask for bars and hear them out."""
        voice = address.split("/")[1]
        since = self.mark()
        self.send(address, *args)
        return self.bars_since(voice, since, timeout_s)

    def bars_since(self, voice: str, since: int, timeout_s: float = PATIENCE_S) -> Heard:
        """The first set of bars that was complete after a mark; an error in its place fails."""
        self.wait_for(f"/{voice}/bars/end", timeout_s, since)
        # The mark may lie within a telling: a knob that was turned just before tells the bars again.
        return bars_said(self.said(), voice, since)[0]

    def settle(self) -> None:
        """Wait until all that was sent so far has been acted upon (or, in a flood, dropped by the system, as this ping
        may be: it is repeated): loopback datagrams keep their order.
        """
        since = self.mark()
        token = since + 1_000_000
        for patience_s in (1.0, 3.0, PATIENCE_S):
            self.send("/bridge/ping", token)
            with contextlib.suppress(TimeoutError):
                self.wait_for("/bridge/pong", patience_s, since, lambda said: said.args[0] == token)
                return
        raise TimeoutError("the bridge does not answer")

    def launched(self, heard: Heard, voice: str, since: int = 0) -> float:
        """Wait until bars have begun to sound; at which beat."""
        return float(
            self.wait_for(f"/{voice}/launched", PATIENCE_S, since, lambda said: said.args[0] == heard.id).args[1]
        )

    def state(self, voice: str) -> dict[str, Any]:
        """The voice's state after all that was sent so far, asked for."""
        self.settle()
        return state_of(self.ask("/bridge/state", answer=f"/{voice}/state", timeout_s=PATIENCE_S))

    def state_when(self, voice: str, true_of: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The voice's state as soon as something holds of it."""
        deadline = time.monotonic() + PATIENCE_S
        while not true_of(state := self.state(voice)):
            assert time.monotonic() < deadline, state
            time.sleep(0.05)
        return state

    def beat_heard(self, beat: int, since: int = 0) -> Said:
        """Wait for a beat of the clock (or a later one)."""
        return self.wait_for("/clock/beat", PATIENCE_S, since, lambda said: said.args[0] >= beat and said.args[2] == 1)

    def refused(self, address: str, *args: Any) -> tuple[int, str]:
        """Send what will be refused: the code and the words."""
        error = self.ask(address, *args, answer="/error", timeout_s=PATIENCE_S)
        code, where, message = error.args
        assert where == address
        assert message
        return code, message

    def errors(self, since: int = 0) -> list[tuple[Any, ...]]:
        """Every error since a mark."""
        return [said.args for said in self.said(since) if said.address == "/error"]


class StampedEar:
    """A subscriber whose messages bear the system's own moments of arrival: no pause of this process bunches them."""

    _STAMPS = 35  # Linux: SO_TIMESTAMPNS, for which Python has no name

    def __init__(self, bridge: HostedBridge) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, self._STAMPS, 1)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._socket.connect(bridge.osc)
        self._socket.send(encode("/bridge/subscribe", ()))
        eventually(lambda: self.arrivals("/bridge/ready"), what="no welcome")

    def arrivals(self, address: str) -> list[int]:
        """When each message to an address came that has come by now, in ns; all that came is forgotten."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                datagram, ((_, _, stamp), *_), *_ = self._socket.recvmsg(MAX_DATAGRAM_BYTES, 64)
                seconds, nanoseconds = struct.unpack("qq", stamp)
                found += [seconds * 10**9 + nanoseconds] if datagram.startswith(f"{address}\0".encode()) else []
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.send(encode("/bridge/unsubscribe", ()))
        self._socket.close()


def state_of(said: Said) -> dict[str, Any]:
    """Alternating keys and values as a dict, in their order."""
    keys, values = said.args[::2], said.args[1::2]
    assert len(keys) == len(values)
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, values, strict=True))


def user_of(bridge: HostedBridge) -> User:
    """A user of a bridge, not subscribed."""
    return User(*bridge.osc)


def subscribed(bridge: HostedBridge) -> User:
    """A user of a bridge that hears everything."""
    user = user_of(bridge)
    user.ask("/bridge/subscribe", answer="/bridge/welcome", timeout_s=PATIENCE_S)
    user.is_subscribed = True
    return user


def wait_ready(user: User) -> None:
    """Wait until the bridge says that it can play."""
    deadline = time.monotonic() + 60.0
    while not user.ask("/bridge/ping", 1, answer="/bridge/pong", timeout_s=PATIENCE_S).args[3]:
        assert time.monotonic() < deadline, "never ready"
        time.sleep(0.1)


def eventually(condition: Callable[[], Any], timeout_s: float = PATIENCE_S, what: str = "") -> Any:
    """The first true value of a condition."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, what or f"not within {timeout_s} s"
        time.sleep(0.02)
    return value


# -- the song ---------------------------------------------------------------------------------------------------------


class Song:
    """Beats and nanoseconds of a stretch of constant tempo, as a listener to `/clock/beat` has them.

    A beat is told late by a little and never early, so the earliest of them is right within milliseconds.
    """

    def __init__(self, user: User, since: int = 0, bpm: float = BPM) -> None:
        """From all beats that a user has heard since a mark, which the song must have begun after."""
        self.beat_ns = 60e9 / bpm
        told = [
            said.arrival_ns - said.args[0] * self.beat_ns
            for said in user.said(since)
            if said.address == "/clock/beat" and said.args[2] == 1
        ]
        self.origin_ns = min(told)

    def beat_at(self, time_ns: float) -> float:
        """The beat at a moment."""
        return (time_ns - self.origin_ns) / self.beat_ns

    def ons(self, played: Iterable[Played], voice: str) -> list[Stroke]:
        """The note-ons of a voice, at the beats they were meant for."""
        return [self._stroke(item) for item in played if item.port == PORTS.index(voice) and _is_on(item)]

    def _stroke(self, item: Played) -> Stroke:
        return Stroke(self.beat_at(item.intended_ns), item.data1, item.data2, item.status & 0x0F)


def start_song(user: User, bpm: float = BPM) -> int:
    """Play from beat 0; the mark to count the song from."""
    user.send("/clock/tempo", bpm)
    user.settle()
    since = user.mark()
    user.send("/clock/play")
    user.beat_heard(0, since)
    return since


def _is_on(item: Played) -> bool:
    return item.status & 0xF0 == 0x90 and item.data2 > 0


def _is_off(item: Played) -> bool:
    return item.status & 0xF0 == 0x80 or (item.status & 0xF0 == 0x90 and item.data2 == 0)


def open_notes(played: Iterable[Played]) -> set[tuple[int, int, int]]:
    """(port, channel, pitch) of the notes that are open at the end; a doubled one or an off without its on fails."""
    found: set[tuple[int, int, int]] = set()
    for item in played:
        key = (item.port, item.status & 0x0F, item.data1)
        if _is_on(item):
            assert key not in found, f"doubled: {item}"
            found.add(key)
        elif _is_off(item):
            assert key in found, f"closed what was not open: {item}"
            found.discard(key)
    return found


def expected_ons(notes: Sequence[Row], length: float, start: float, first: float, last: float) -> list[Stroke]:
    """What a loop that goes round from `start` strikes from beat `first` up to (not at) beat `last`, channel 0."""
    strokes = []
    for turn in range(math.floor((first - start) / length), math.ceil((last - start) / length) + 1):
        for note in notes:
            beat = start + turn * length + note.start
            if first - 1e-6 <= beat < last - 1e-6:
                strokes.append(Stroke(beat, note.pitch, note.velocity, 0))
    return sorted(strokes)


def assert_same_strokes(heard: Sequence[Stroke], wanted: Sequence[Stroke], tolerance_beats: float = 0.1) -> None:
    """The same pitches, velocities and channels, each within the tolerance of its beat."""
    ours, theirs = (sorted(s, key=lambda stroke: (round(stroke.beat * 4), stroke.pitch)) for s in (heard, wanted))
    assert [stroke[1:] for stroke in ours] == [stroke[1:] for stroke in theirs], f"{ours}\n{theirs}"
    for our, their in zip(ours, theirs, strict=True):
        assert abs(our.beat - their.beat) < tolerance_beats, (our, their)


class Recorder:
    """Reads the player's record from a moment on."""

    def __init__(self, bridge: HostedBridge) -> None:
        """From now on."""
        self._reader: PlayedReader = bridge.played()
        self.first = self._reader.count

    def played(self) -> list[Played]:
        """All that was sent since."""
        return self._reader.since(self.first)[0]

    def from_start(self) -> list[Played]:
        """All that was ever sent and is still in the ring."""
        return self._reader.since(0)[0]

    def close(self) -> None:
        """Unmap."""
        self._reader.close()


# -- packets and processes --------------------------------------------------------------------------------------------


def bundle(due_unix_s: float | None, *messages: bytes) -> bytes:
    """An OSC bundle; None stands for "immediately"."""
    if due_unix_s is None:
        tag = 1
    else:
        whole = math.floor(due_unix_s)
        tag = (whole + _SECONDS_1900_TO_1970 << 32) + int((due_unix_s - whole) * 2**32)
    return b"#bundle\0" + struct.pack(">Q", tag) + b"".join(struct.pack(">i", len(m)) + m for m in messages)


def message(address: str, *args: Any) -> bytes:
    """An OSC message."""
    return encode(address, args)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def resident_bytes(pid: int) -> int:
    """Memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
