"""The desk where a process lets its bridge in, and the channel: turn by turn, over real sockets and with no clock."""

from __future__ import annotations

import errno
import selectors
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from bridge import limits, messages, wire
from bridge.channel import Channel, ChannelClosedError, FrontDesk, connect, listen

HELLO = wire.encode(wire.Hello("secret", "bridge"))
GREETING = struct.pack(">I", len(HELLO)) + HELLO


class Lobby:
    """A process with a desk, whose loop turns when a test says so."""

    def __init__(self) -> None:
        self.server, self.port = listen()
        self.selector = selectors.DefaultSelector()
        self.handled: list[Any] = []
        self.desk = FrontDesk(self.server, self.selector, "secret", self.handle, lambda: [messages.SnapshotEnd(True)])
        self.callers: list[socket.socket | Channel] = []

    def handle(self, record: Any) -> None:
        self.handled.append(record)

    def turn(self, wait_s: float = 0.05) -> None:
        """Until nothing more happens."""
        while events := self.selector.select(wait_s):
            for key, mask in events:
                key.data(mask)

    def stranger(self, said: bytes = b"") -> socket.socket:
        """Somebody who has called and been answered."""
        caller = socket.create_connection(("127.0.0.1", self.port), timeout=2.0)
        self.callers.append(caller)
        caller.sendall(said)
        self.turn()
        return caller

    def bridge(self) -> Channel:
        bridge = connect(self.port, "secret", "bridge")
        self.callers.append(bridge)
        self.turn()
        assert bridge.receive() == [messages.SnapshotEnd(True)]
        return bridge


@pytest.fixture
def lobby() -> Iterator[Lobby]:
    lobby = Lobby()
    yield lobby
    lobby.desk.close()
    assert not lobby.selector.get_map(), "what the desk has opened it closes"
    lobby.selector.close()
    for caller in lobby.callers:
        caller.close()


def is_sent_away(caller: socket.socket) -> bool:
    caller.setblocking(False)
    try:
        return caller.recv(100) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_the_oldest_stranger_gives_way(lobby: Lobby) -> None:
    strangers = [lobby.stranger() for _ in range(limits.MAX_STRANGERS + 2)]
    assert [is_sent_away(stranger) for stranger in strangers] == [True] * 2 + [False] * limits.MAX_STRANGERS


def test_a_stranger_that_gave_way_may_have_spoken_in_the_same_turn(lobby: Lobby) -> None:
    strangers = [lobby.stranger() for _ in range(limits.MAX_STRANGERS)]
    strangers[0].sendall(GREETING)
    with socket.create_connection(("127.0.0.1", lobby.port)):
        events = lobby.selector.select(1.0)
        for key, mask in sorted(events, key=lambda event: event[0].fileobj is not lobby.server):
            key.data(mask)
        assert len(events) == 2
        assert lobby.desk.bridge is None
        assert is_sent_away(strangers[0])


def test_a_stranger_has_its_time_from_the_first_look_on(lobby: Lobby) -> None:
    stranger = lobby.stranger()
    for now_s in (1000.0, 1000.0 + limits.CONNECT_TIMEOUT_S):
        lobby.desk.look(now_s)
        assert not is_sent_away(stranger)
    lobby.desk.look(1000.1 + limits.CONNECT_TIMEOUT_S)
    assert is_sent_away(stranger)


def test_a_greeting_may_come_byte_by_byte_and_with_what_follows_it(lobby: Lobby) -> None:
    bridge = lobby.stranger()
    for byte in GREETING[:-1]:
        bridge.sendall(bytes([byte]))
        lobby.turn(0.0)
    record = wire.encode(messages.Panic(False))
    bridge.sendall(GREETING[-1:] + struct.pack(">I", len(record)) + record)
    lobby.turn()
    assert lobby.desk.bridge is not None
    assert lobby.handled == [messages.Panic(False)]


def test_a_token_cannot_be_guessed_byte_by_byte(lobby: Lobby) -> None:
    wrong = GREETING.replace(b"secret", b"Secret")
    stranger = lobby.stranger(wrong[:-1])
    assert not is_sent_away(stranger)
    stranger.setblocking(True)
    stranger.sendall(wrong[-1:])
    lobby.turn()
    assert is_sent_away(stranger)
    assert is_sent_away(lobby.stranger(b"\xff")), "that no greeting begins so is no secret"


def test_without_a_file_left_the_desk_is_closed_until_the_next_look(lobby: Lobby) -> None:
    class Exhausted:
        def accept(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        def __getattr__(self, name: str) -> Any:
            return getattr(lobby.server, name)

    lobby.selector.unregister(lobby.server)
    lobby.desk._server = Exhausted()
    lobby.desk.look(0.0)
    lobby.stranger()
    assert lobby.selector.select(0.05) == [], "or the loop would spin"
    lobby.desk._server = lobby.server
    lobby.desk.look(0.0)
    lobby.bridge()


def test_a_newer_bridge_takes_the_place_of_one_that_speaks_in_the_same_turn(lobby: Lobby) -> None:
    older = lobby.bridge()
    newer = lobby.stranger()
    newer.sendall(GREETING)
    older.send(messages.Panic(False))
    events = lobby.selector.select(1.0)
    for key, mask in sorted(events, key=lambda event: event[0].fileobj is lobby.desk.bridge):
        key.data(mask)
    assert len(events) == 2
    assert lobby.handled == []
    lobby.desk.tell([messages.Notice("you")])
    lobby.turn()
    assert b"you" in newer.recv(1000)
    with pytest.raises(ChannelClosedError):
        older.receive()


def test_what_a_bridge_does_not_read_at_once_it_gets_later(lobby: Lobby) -> None:
    bridge = lobby.bridge()
    notices = [messages.Notice(f"{number} {'x' * 500_000}") for number in range(10)]
    lobby.desk.tell(notices)
    heard: list[Any] = []
    while len(heard) < len(notices):
        heard += bridge.receive()
        lobby.turn(0.0)
    assert heard == notices


def test_a_bridge_that_speaks_nonsense_is_dropped(lobby: Lobby) -> None:
    bridge = lobby.stranger(GREETING + b"\x00\x00\x00\x05hello")
    lobby.turn()
    assert lobby.desk.bridge is None
    bridge.setblocking(True)
    while bridge.recv(1000):
        pass
    lobby.bridge()


def test_however_much_a_peer_says_it_is_read_in_portions() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = Channel(ours), Channel(theirs)
    notice = messages.Notice("x" * 1000)
    count = 4 * limits.MAX_READ_BYTES // 1000
    for _ in range(count):
        writer.send(notice)
    first = len(reader.receive())
    assert 0 < first <= limits.MAX_READ_BYTES / 1000
    heard = first
    while heard < count:
        writer.flush()
        heard += len(reader.receive())
    writer.close()
    with pytest.raises(ChannelClosedError):
        reader.receive()
    reader.close()
