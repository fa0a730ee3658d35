"""A small OSC client over loopback UDP: what demo, bench and the end-to-end tests play the bridge with."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from bridge.addresses import near, resolve
from bridge.limits import MAX_DATAGRAM_BYTES
from bridge.osc.decoder import Message, decode
from bridge.osc.encoder import Sendable, encode


class Said(NamedTuple):
    """A message from the bridge and the perf_counter_ns reading of its arrival."""

    address: str
    args: tuple[Any, ...]
    arrival_ns: int


class OscClient:
    """Sends requests, and collects all that comes back on a thread of its own. Use it as a context manager."""

    def __init__(self, host: str, port: int) -> None:
        """Talk to the bridge of this machine that listens there.

        Raises:
            OSError: no such host.
        """
        family, kind, protocol, self._target = resolve(near(host), port, socket.SOCK_DGRAM)
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self._socket.settimeout(0.2)
        self._news = threading.Condition()
        self._said: list[Said] = []
        self._open = True
        self._thread = threading.Thread(target=self._listen, name="osc client", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port answers come to."""
        return int(self._socket.getsockname()[1])

    def send(self, address: str, *args: Sendable) -> None:
        """Send one message."""
        self._socket.sendto(encode(address, args), self._target)

    def send_raw(self, datagram: bytes) -> None:
        """Send any bytes."""
        self._socket.sendto(datagram, self._target)

    def _listen(self) -> None:
        while self._open:
            try:
                datagram = self._socket.recv(MAX_DATAGRAM_BYTES)
            except TimeoutError:
                continue
            except OSError:  # closed, or (Windows) the bridge's port was
                continue
            arrival_ns = time.perf_counter_ns()
            message = decode(datagram, arrival_ns, time.time_ns())
            if isinstance(message, Message):
                with self._news:
                    self._said.append(Said(message.address, message.arguments, arrival_ns))
                    self._news.notify_all()

    def mark(self) -> int:
        """How many messages have come: a place to wait from."""
        with self._news:
            return len(self._said)

    def said(self, since: int = 0) -> list[Said]:
        """All that has come since a mark."""
        with self._news:
            return self._said[since:]

    def wait_for(
        self, address: str, timeout_s: float = 5.0, since: int = 0, where: Callable[[Said], bool] | None = None
    ) -> Said:
        """The first message to `address` since a mark (for which `where` holds).

        Raises:
            TimeoutError: it did not come; the message says what did.
        """
        deadline = time.monotonic() + timeout_s
        seen = since
        with self._news:
            while True:
                for said in self._said[seen:]:
                    if said.address == address and (where is None or where(said)):
                        return said
                seen = len(self._said)
                left = deadline - time.monotonic()
                if left <= 0:
                    came = [said.address for said in self._said[since:]][-12:]
                    raise TimeoutError(f"no {address} within {timeout_s} s; came: {came}")
                self._news.wait(left)

    def ask(self, address: str, *args: Sendable, answer: str, timeout_s: float = 5.0) -> Said:
        """Send a request and wait for its answer.

        Raises:
            TimeoutError: no answer.
        """
        since = self.mark()
        self.send(address, *args)
        return self.wait_for(answer, timeout_s, since)

    def close(self) -> None:
        """Stop listening."""
        self._open = False
        self._socket.sendto(b"", self._socket.getsockname())  # wakes the thread
        self._thread.join(timeout=1.0)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
