"""The bridge's connections to the player and the engine: made anew whenever the supervisor names a new port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from bridge.channel import Channel, ChannelClosedError, connect
from bridge.wire import MalformedRecordError

log = logging.getLogger(__name__)


class PeerLink:
    """One peer. While it is being restarted `connected` is False and what is sent is dropped: it is told anew later."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        token: str,
        *,
        on_record: Callable[[object], None],
        on_open: Callable[[], None],
        on_gone: Callable[[], None],
    ) -> None:
        """`on_record` gets every record, `on_open` and `on_gone` mark the connection's life."""
        self._loop = loop
        self._token = token
        self._on_record = on_record
        self._on_open = on_open
        self._on_gone = on_gone
        self._channel: Channel | None = None
        self._writing = False

    @property
    def connected(self) -> bool:
        """Whether the peer is there."""
        return self._channel is not None

    def open(self, port: int) -> None:
        """Connect to the peer that now listens on `port`; a peer that has gone again meanwhile is waited for."""
        self._close()
        try:
            channel = connect(port, self._token, "bridge")
        except (OSError, ChannelClosedError) as fault:
            log.warning("port %d: %s", port, fault)
            return
        self._channel = channel
        self._loop.add_reader(channel.fileno(), self._readable)
        self._on_open()

    def send(self, record: object) -> None:
        """Send a record; dropped while the peer is away."""
        channel = self._channel
        if channel is None:
            return
        try:
            channel.send(record)
        except ChannelClosedError:
            self._close()
            return
        if channel.wants_write and not self._writing:
            self._writing = True
            self._loop.add_writer(channel.fileno(), self._writable)

    def _writable(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            channel.flush()
        except ChannelClosedError:
            self._close()
            return
        if not channel.wants_write:
            self._writing = False
            self._loop.remove_writer(channel.fileno())

    def _readable(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            records = channel.receive()
        except (ChannelClosedError, MalformedRecordError) as fault:
            log.debug("a peer is gone: %s", fault)
            self._close()
            return
        for record in records:
            if channel is self._channel:  # what it had said counts no more once its end has been told
                self._on_record(record)

    def _close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self._loop.remove_reader(channel.fileno())
        if self._writing:
            self._writing = False
            self._loop.remove_writer(channel.fileno())
        channel.close()
        self._on_gone()

    def close(self) -> None:
        """End the connection."""
        self._close()
