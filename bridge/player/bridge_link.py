"""The player's end of the line to the bridge process: one listening socket, at most one bridge, others sent away.

A bridge that is gone, does not read, or speaks nonsense is dropped; the music does not depend on it.
"""

from __future__ import annotations

import hmac
import logging
import selectors
import socket
from collections.abc import Callable, Iterable
from typing import Any

from bridge import channel, limits, messages

log = logging.getLogger(__name__)


class BridgeLink:
    """Accepts the bridge, gives its records to `handle`, and sends it events."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        token: str,
        handle: Callable[[Any], None],
        snapshot: Callable[[], Iterable[object]],
    ) -> None:
        """Listen on a free loopback port.

        Args:
            selector: the loop's; connections are registered there with a callback as data.
            token: what a caller must know.
            handle: called with each record of the bridge.
            snapshot: the records a bridge that has just come is sent first.
        """
        self._selector = selector
        self._token = token
        self._handle = handle
        self._snapshot = snapshot
        self._server, self.port = channel.listen()
        self._bridge: channel.Channel | None = None
        self._strangers: dict[channel.Channel, float] = {}
        self._now_s = 0.0
        selector.register(self._server, selectors.EVENT_READ, self._accept)

    def tell(self, records: Iterable[object]) -> None:
        """Send events to the bridge, if there is one."""
        bridge = self._bridge
        if bridge is None:
            return
        try:
            for record in records:
                bridge.send(record)
        except channel.ChannelClosedError as fault:
            self._drop(bridge, str(fault))
            return
        self._watch(bridge)

    def send_strangers_away(self, now_s: float) -> None:
        """Close connections that have not said who they are in time."""
        self._now_s = now_s
        for stranger, since_s in list(self._strangers.items()):
            if now_s - since_s > limits.CONNECT_TIMEOUT_S:
                self._drop(stranger, "it did not say who it is")

    def close(self) -> None:
        """Close everything."""
        for connection in [*self._strangers, *([self._bridge] if self._bridge else [])]:
            self._drop(connection, "")
        self._selector.unregister(self._server)
        self._server.close()

    def _accept(self, _mask: int) -> None:
        try:
            connection, _ = self._server.accept()
        except (BlockingIOError, ConnectionError):
            return
        stranger = channel.Channel(connection)
        self._strangers[stranger] = self._now_s
        self._selector.register(stranger, selectors.EVENT_READ, lambda mask: self._serve(stranger, mask))

    def _serve(self, caller: channel.Channel, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                caller.flush()
                self._watch(caller)
            if mask & selectors.EVENT_READ:
                for record in caller.receive():
                    if caller is self._bridge:
                        self._handle(record)
                    elif not self._admit(caller, record):
                        return
        except channel.ChannelClosedError as fault:
            self._drop(caller, str(fault))
        except messages.MalformedRecordError as fault:
            log.warning("%s", fault)
            self._drop(caller, "it speaks something else")

    def _admit(self, caller: channel.Channel, record: Any) -> bool:
        """The first record of a connection: only a bridge of our supervisor stays; a newer one replaces an older."""
        known = isinstance(record, messages.Hello) and record.role == "bridge"
        if not known or not hmac.compare_digest(str(record.token).encode(), self._token.encode()):
            self._drop(caller, "it is not a bridge of ours")
            return False
        if self._bridge is not None:
            self._drop(self._bridge, "a newer bridge has come")
        del self._strangers[caller]
        self._bridge = caller
        self.tell(self._snapshot())
        return self._bridge is caller

    def _watch(self, caller: channel.Channel) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if caller.wants_write else 0)
        key = self._selector.get_key(caller)
        if key.events != wanted:
            self._selector.modify(caller, wanted, key.data)

    def _drop(self, caller: channel.Channel, why: str) -> None:
        if why:
            log.info("connection closed: %s", why)
        self._strangers.pop(caller, None)
        if caller is self._bridge:
            self._bridge = None
        self._selector.unregister(caller)
        caller.close()


def wake_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a non-blocking pair: a byte written to the second wakes a loop that watches the first."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    return reader, writer
