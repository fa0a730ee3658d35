"""Framed records over a loopback socket: how the processes of one bridge talk.

A frame is a 4-byte big-endian length and one record of `messages`. Non-blocking, so that a poll loop (the player, the
engine) and an asyncio loop (the bridge) can both own it: call `receive` when the socket is readable, `flush` when it is
writable and `wants_write` is true. A peer that closed, or that does not read, ends in `ChannelClosedError`: a closed
pipe is the other's death.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from bridge import limits, messages

_LENGTH = struct.Struct(">I")


class ChannelClosedError(ConnectionError):
    """The peer is gone (or no longer reads, which for us is the same)."""


class Channel:
    """One non-blocking connection that carries records both ways."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected stream socket."""
        connection.setblocking(False)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
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
        frame = messages.encode(record)
        self._outgoing += _LENGTH.pack(len(frame)) + frame
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
        """All records that have arrived in full, oldest first; an empty list when there is none yet.

        Raises:
            ChannelClosedError: the peer is gone; what had arrived in full before was returned by earlier calls.
            bridge.messages.MalformedRecordError: the peer speaks something else.
        """
        closed = False
        while True:
            try:
                chunk = self._socket.recv(65536)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                chunk = b""
            if not chunk:
                closed = True
                break
            self._incoming += chunk
            if len(chunk) < 65536:
                break
        records = self._take_frames()
        if closed and not records:
            raise ChannelClosedError("the peer closed the connection")
        return records

    def _take_frames(self) -> list[Any]:
        records = []
        offset = 0
        while len(self._incoming) - offset >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._incoming, offset)
            if length > limits.MAX_FRAME_BYTES:
                raise messages.MalformedRecordError(f"a frame of {length} bytes; at most {limits.MAX_FRAME_BYTES}")
            end = offset + _LENGTH.size + length
            if len(self._incoming) < end:
                break
            records.append(messages.decode(self._incoming[offset + _LENGTH.size : end]))
            offset = end
        del self._incoming[:offset]
        return records

    def close(self) -> None:
        """Close the connection; the peer sees it as our end."""
        self._socket.close()


def listen() -> tuple[socket.socket, int]:
    """A listening socket on a free loopback port, and that port."""
    server = socket.create_server(("127.0.0.1", 0), backlog=8)
    server.setblocking(False)
    return server, server.getsockname()[1]


def connect(port: int, token: str, role: str) -> Channel:
    """Connect to a process of the same bridge and say who we are.

    Raises:
        OSError: nobody listens there.
    """
    connection = socket.create_connection(("127.0.0.1", port), timeout=limits.CONNECT_TIMEOUT_S)
    channel = Channel(connection)
    channel.send(messages.Hello(token, role))
    return channel
