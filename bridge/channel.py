"""Framed records over a loopback socket: how the processes of one bridge talk.

A frame is a 4-byte big-endian length and one record of `messages`. Non-blocking, so that a poll loop (the player, the
engine) and an asyncio loop (the bridge) can both own it: call `receive` when the socket is readable, `flush` when it is
writable and `wants_write` is true. A peer that closed, or that does not read, ends in `ChannelClosedError`: a closed
pipe is the other's death.

The player and the engine listen, the bridge connects: `FrontDesk` is where they let it in, and nobody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hmac
import logging
import math
import selectors
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any

from bridge import limits, wire

log = logging.getLogger(__name__)

_LENGTH = struct.Struct(">I")


class ChannelClosedError(ConnectionError):
    """The peer is gone (or no longer reads, which for us is the same)."""


class Channel:
    """One non-blocking connection that carries records both ways."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected stream socket."""
        connection.setblocking(False)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):  # macOS: the peer has gone again; reading will tell
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._incoming = bytearray()
        self._outgoing = bytearray()

    def fileno(self) -> int:
        """The socket's file number, for selectors."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """True while bytes wait to be sent."""
        return bool(self._outgoing)

    def send(self, record: object) -> None:
        """Queue a record and send what the socket takes at once.

        Raises:
            ChannelClosedError: the peer is gone or has not read for too long.
        """
        self._outgoing += _frame(record)
        if len(self._outgoing) > limits.MAX_BACKLOG_BYTES:
            raise ChannelClosedError("the peer does not read")
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it now.

        Raises:
            ChannelClosedError: the peer is gone.
        """
        while self._outgoing:
            try:
                sent = self._socket.send(self._outgoing)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as fault:
                raise ChannelClosedError(str(fault)) from fault
            del self._outgoing[:sent]

    def receive(self) -> list[Any]:
        """The records that are complete with what one read brings, oldest first; an empty list when there is none yet.

        One read and no more: however fast a peer speaks, the loop comes back to what is due.

        Raises:
            ChannelClosedError: the peer is gone; what had arrived in full before was returned by earlier calls.
            bridge.wire.MalformedRecordError: the peer speaks something else.
        """
        try:
            chunk = self._socket.recv(limits.MAX_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as fault:
            raise ChannelClosedError(str(fault)) from fault
        if not chunk:
            raise ChannelClosedError("the peer closed the connection")
        self._incoming += chunk
        return self._take_frames()

    def _take_frames(self) -> list[Any]:
        records = []
        offset = 0
        while len(self._incoming) - offset >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._incoming, offset)
            if length > limits.MAX_FRAME_BYTES:
                raise wire.MalformedRecordError(f"a frame of {length} bytes; at most {limits.MAX_FRAME_BYTES}")
            end = offset + _LENGTH.size + length
            if len(self._incoming) < end:
                break
            records.append(wire.decode(self._incoming[offset + _LENGTH.size : end]))
            offset = end
        del self._incoming[:offset]
        return records

    def close(self) -> None:
        """Close the connection; the peer sees it as our end."""
        self._socket.close()


@dataclasses.dataclass(slots=True)
class _Stranger:
    """A connection that has not said who it is: what it has said so far, and when it was first looked at."""

    said: bytes = b""
    since_s: float = math.inf


class FrontDesk:
    """One listening socket and at most one bridge; a newer one takes the place of an older one.

    A connection is a stranger until it has said the Hello of our supervisor's bridge. No more is read of it than that
    has bytes, none of it is parsed, and there are few strangers, for a short time: whatever runs on this machine may
    call here. A bridge that is gone, does not read, or speaks nonsense is dropped.
    """

    def __init__(
        self,
        server: socket.socket,
        selector: selectors.BaseSelector,
        token: str,
        handle: Callable[[Any], None],
        welcome: Callable[[], Iterable[object]],
    ) -> None:
        """Open the desk.

        Args:
            server: listens; from `listen`.
            selector: the loop's; sockets are registered there with a callback as data, to be called with the mask.
            token: what a bridge must know.
            handle: called with each record of the bridge.
            welcome: called when a bridge has come; the records that it is sent first.
        """
        self._server = server
        self._selector = selector
        self._hello = _frame(wire.Hello(token, "bridge"))
        self._handle = handle
        self._welcome = welcome
        self._strangers: dict[socket.socket, _Stranger] = {}
        self.bridge: Channel | None = None
        self._listen_again()

    def tell(self, records: Iterable[object]) -> None:
        """Send records to the bridge, if there is one."""
        bridge = self.bridge
        if bridge is None:
            return
        try:
            for record in records:
                bridge.send(record)
        except ChannelClosedError as fault:
            self._drop(str(fault))
            return
        self._watch(bridge)

    def look(self, now_s: float) -> None:
        """Send away who has not said in time who it is; to be called about every second."""
        for connection, stranger in list(self._strangers.items()):
            stranger.since_s = min(stranger.since_s, now_s)
            if now_s - stranger.since_s > limits.CONNECT_TIMEOUT_S:
                self._part_from(connection).close()
        self._listen_again()

    def close(self) -> None:
        """Close everything."""
        for connection in list(self._strangers):
            self._part_from(connection).close()
        self._drop("we end")
        if self._server in self._selector.get_map():
            self._selector.unregister(self._server)
        self._server.close()

    # -- strangers ---------------------------------------------------------------------------------------------------

    def _listen_again(self) -> None:
        if self._server not in self._selector.get_map():
            self._selector.register(self._server, selectors.EVENT_READ, self._accept)

    def _accept(self, _mask: int) -> None:
        try:
            connection, _ = self._server.accept()
        except (BlockingIOError, ConnectionError):  # it has gone again
            return
        except OSError as fault:  # no file number is left: until the next look, or the loop would spin on who waits
            log.warning("nobody can be let in: %s", fault)
            self._selector.unregister(self._server)
            return
        if len(self._strangers) >= limits.MAX_STRANGERS:  # the oldest goes: a bridge says at once who it is
            self._part_from(next(iter(self._strangers))).close()
        connection.setblocking(False)
        self._strangers[connection] = _Stranger()
        self._selector.register(connection, selectors.EVENT_READ, lambda _mask: self._listen_to(connection))

    def _listen_to(self, connection: socket.socket) -> None:
        stranger = self._strangers.get(connection)
        if stranger is None:  # sent away by what came before it in the same batch of events
            return
        try:
            heard = connection.recv(len(self._hello) - len(stranger.said))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            heard = b""
        stranger.said += heard
        # A wrong length is told at once; the token never byte by byte, or it could be guessed so.
        wrong = not heard or not self._hello.startswith(stranger.said[: _LENGTH.size])
        if not wrong and len(stranger.said) < len(self._hello):
            return
        self._part_from(connection)
        if wrong or not hmac.compare_digest(stranger.said, self._hello):
            log.debug("somebody who is not a bridge of ours was sent away")
            connection.close()
            return
        self._let_in(Channel(connection))

    def _part_from(self, connection: socket.socket) -> socket.socket:
        del self._strangers[connection]
        self._selector.unregister(connection)
        return connection

    # -- the bridge --------------------------------------------------------------------------------------------------

    def _let_in(self, bridge: Channel) -> None:
        self._drop("a newer bridge has come")
        self.bridge = bridge
        self._selector.register(bridge, selectors.EVENT_READ, lambda mask: self._serve(bridge, mask))
        self.tell(self._welcome())

    def _serve(self, bridge: Channel, mask: int) -> None:
        if bridge is not self.bridge:  # dropped by what came before it in the same batch of events
            return
        try:
            if mask & selectors.EVENT_WRITE:
                bridge.flush()
                self._watch(bridge)
            if mask & selectors.EVENT_READ:
                for record in bridge.receive():
                    self._handle(record)
        except ChannelClosedError as fault:
            self._drop(str(fault))
        except wire.MalformedRecordError as fault:
            log.warning("%s", fault)
            self._drop("it speaks something else")

    def _watch(self, bridge: Channel) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if bridge.wants_write else 0)
        key = self._selector.get_key(bridge)
        if key.events != wanted:
            self._selector.modify(bridge, wanted, key.data)

    def _drop(self, why: str) -> None:
        bridge, self.bridge = self.bridge, None
        if bridge is not None:
            log.info("the connection of the bridge is closed: %s", why)
            self._selector.unregister(bridge)
            bridge.close()


def listen() -> tuple[socket.socket, int]:
    """A listening socket on a free loopback port, and that port."""
    server = socket.create_server(("127.0.0.1", 0), backlog=32)
    server.setblocking(False)
    return server, server.getsockname()[1]


def connect(port: int, token: str, role: str) -> Channel:
    """Connect to a process of the same bridge and say who we are.

    Raises:
        OSError: nobody listens there.
    """
    connection = socket.create_connection(("127.0.0.1", port), timeout=limits.CONNECT_TIMEOUT_S)
    channel = Channel(connection)
    channel.send(wire.Hello(token, role))
    return channel


def wake_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a non-blocking pair: a byte written to the second wakes a loop that watches the first."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    return reader, writer


def _frame(record: object) -> bytes:
    frame = wire.encode(record)
    return _LENGTH.pack(len(frame)) + frame
