"""The UDP server: reads datagrams, answers, publishes events, beats the heart; on the caller's event loop.

The loop must have ``add_reader``: on Windows start it with ``asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)``,
which is the default elsewhere. Own reading in place of asyncio's transport, because a wake then takes a bounded batch
of datagrams: a flood neither costs a turn of the loop for each nor keeps timers from running.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from bridge.addresses import is_loopback, resolve
from bridge.limits import DATAGRAMS_PER_WAKE, HEARTBEAT_S, MAX_DATAGRAM_BYTES, WAKE_BUDGET_NS
from bridge.osc.dispatch import Counters, Dispatcher, Handler
from bridge.osc.encoder import Sendable, encode
from bridge.osc.subscribers import Subscribers
from bridge.session.outside import Origin, Request

_RECEIVE_BUFFER_BYTES: Final = 1 << 20  # what the system keeps while we do something else: a second of busy knobs
_CLOCKS_APART_NS: Final = 200_000
_INT32: Final = 0x7FFFFFFF


class PortTakenError(Exception):
    """Another process has the port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"UDP port {port} on {host} is taken by another process")
        self.host = host
        self.port = port


class OscServer:
    """Everything of OSC for one bridge.

    `ping`, `subscribe`, `unsubscribe` and `state` are answered here; all other valid requests go to `handler`, which
    may raise `RefusedError`. Called on the event loop's thread only; nothing blocks.

    Args:
        voices: names of the voices.
        handler: takes each request.
        version: of Barline, for pong and welcome.
        ready: whether the contract's ready is 1.
        send_state: sends the whole state (``/clock/state``, each ``/VOICE/state``, ``/bridge/ready``) by `reply`.
        now_ns, wall_ns: clocks, ``perf_counter_ns`` and ``time.time_ns``.
        started_ns: what uptime counts from (default: now).
    """

    def __init__(
        self,
        voices: Sequence[str],
        handler: Handler,
        *,
        version: str,
        ready: Callable[[], bool],
        send_state: Callable[[Origin], None],
        now_ns: Callable[[], int] = time.perf_counter_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        started_ns: int | None = None,
    ) -> None:
        self._voices = tuple(voices)
        self._handler = handler
        self._version = version
        self._ready = ready
        self._send_state = send_state
        self._now_ns = now_ns
        self._wall_ns = wall_ns
        self._offset_ns = wall_ns() - now_ns()
        self._started_ns = now_ns() if started_ns is None else started_ns
        self._own: dict[str, Callable[[Request], None]] = {
            "ping": self._ping,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "state": self._state,
        }
        self._dispatcher = Dispatcher(self._voices, self._handle, self._send_error)
        self._subscribers = Subscribers()
        self._beats = 0
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due_timer: asyncio.TimerHandle | None = None
        self._due_timer_ns = 0
        self._heart_timer: asyncio.TimerHandle | None = None
        self.host = ""
        self.port = 0

    @property
    def counters(self) -> Counters:
        """What has come and gone."""
        return self._dispatcher.counters

    @property
    def warning(self) -> str:
        """Words for the user when the server can be reached from other machines, else empty."""
        if is_loopback(self.host):
            return ""
        return f"OSC listens on {self.host}: any machine that reaches it can play this bridge (there is no password)"

    def start(self, host: str, port: int) -> None:
        """Bind and serve on the running loop; `host` and `port` are then the real ones (port 0: any free one).

        Raises:
            PortTakenError: another process has the port.
            OSError: no such host, or the system refuses.
        """
        self._socket = _bound(host, port)
        self.host, self.port = self._socket.getsockname()[:2]
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)
        self._heart_timer = self._loop.call_later(HEARTBEAT_S, self._beat, self._loop.time() + HEARTBEAT_S)

    def close(self) -> None:
        """Stop serving; waiting bundles and subscriptions are forgotten. May be called twice."""
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        self._socket = None
        for timer in (self._heart_timer, self._due_timer):
            if timer is not None:
                timer.cancel()

    def reply(self, to: Request | Origin, address: str, *arguments: Sendable) -> None:
        """Send an answer to the sender of a request, to the port it has named if it has subscribed."""
        origin = to.origin if isinstance(to, Request) else to
        self._send(encode(address, arguments), self._subscribers.target_of(origin))

    def publish(self, address: str, *arguments: Sendable, also: Origin | None = None) -> None:
        """Send an event to all subscribers, and to `also` (a requester) when it is not one of them."""
        if not self._subscribers and (also is None):
            return
        datagram = encode(address, arguments)
        for target in self._subscribers:
            self._send(datagram, target)
        if also is not None and also not in self._subscribers:
            self._send(datagram, also)

    def receive(self, datagram: bytes, origin: Origin) -> None:
        """Act on one datagram that has just come."""
        now_ns = self._now_ns()
        if self._dispatcher.receive(datagram, origin, now_ns, now_ns + self._wall_offset_ns()):
            self._subscribers.touch(origin, now_ns)
            self._arm_due_timer()

    def heartbeat(self) -> None:
        """Drop the subscribers that have been silent too long; tell the others that we live."""
        self._subscribers.drop_lapsed(self._now_ns())
        self._beats = (self._beats + 1) & _INT32
        self.publish("/bridge/heartbeat", self._beats)

    def _wall_offset_ns(self) -> int:
        """What to add to our clock for the wall's. It stays the same until the two have really moved apart: a reading
        of two clocks one after the other wanders by microseconds, which would put bundles of one time tag out of order.
        """
        before_ns = self._now_ns()
        offset_ns = self._wall_ns() - before_ns
        interrupted = self._now_ns() - before_ns >= _CLOCKS_APART_NS
        if not interrupted and abs(offset_ns - self._offset_ns) >= _CLOCKS_APART_NS:
            self._offset_ns = offset_ns
        return self._offset_ns

    # -- requests answered here ---------------------------------------------------------------------------------------

    def _handle(self, request: Request) -> None:
        own = self._own.get(request.verb) if request.scope == "bridge" else None
        (own or self._handler)(request)

    def _ping(self, request: Request) -> None:
        uptime_s = (self._now_ns() - self._started_ns) / 1e9
        self.reply(request, "/bridge/pong", request.args["token"], self._version, uptime_s, self._ready())

    def _subscribe(self, request: Request) -> None:
        self._subscribers.add(request.origin, request.args["port"], self._now_ns())
        self.reply(request, "/bridge/welcome", self._version, len(self._voices))
        self._send_state(request.origin)

    def _unsubscribe(self, request: Request) -> None:
        self.reply(request, "/bridge/bye")
        self._subscribers.remove(request.origin)

    def _state(self, request: Request) -> None:
        self._send_state(request.origin)

    def _send_error(self, origin: Origin, code: int, address: str, message: str) -> None:
        self.reply(origin, "/error", code, address, message)

    # -- the socket and the timers ------------------------------------------------------------------------------------

    def _readable(self) -> None:
        assert self._socket is not None
        until_ns = time.perf_counter_ns() + WAKE_BUDGET_NS
        for _ in range(DATAGRAMS_PER_WAKE):
            try:
                # One byte more than allowed tells an oversized datagram from one that just fits.
                datagram, peer = self._socket.recvfrom(MAX_DATAGRAM_BYTES + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # Windows: a peer's port was closed (10054), or a datagram was too large (10040)
                self.counters.receive_failures += 1
                continue
            self.receive(datagram, (peer[0], peer[1]))
            if time.perf_counter_ns() > until_ns or self._socket is None:
                return

    def _send(self, datagram: bytes, target: Origin) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(datagram, target)
            self.counters.sent += 1
        except OSError:  # no room, no route, port 0: what cannot be sent is lost, as UDP may be
            self.counters.send_failures += 1

    def _beat(self, at_s: float) -> None:
        assert self._loop is not None
        self.heartbeat()
        next_s = max(at_s + HEARTBEAT_S, self._loop.time())  # no catching up after a sleep of the machine
        self._heart_timer = self._loop.call_at(next_s, self._beat, next_s)

    def _arm_due_timer(self) -> None:
        """Wake when the first waiting bundle is due."""
        due_ns = self._dispatcher.waiting.next_due_ns
        if due_ns is None or self._loop is None:
            return
        if self._due_timer is not None:
            if self._due_timer_ns == due_ns:
                return
            self._due_timer.cancel()
        delay_s = max(0.0, (due_ns - self._now_ns()) / 1e9)
        self._due_timer_ns = due_ns
        self._due_timer = self._loop.call_later(delay_s, self._due)

    def _due(self) -> None:
        self._due_timer = None
        now_ns = self._now_ns()
        until_ns = time.perf_counter_ns() + WAKE_BUDGET_NS
        while self._dispatcher.act_on_due(now_ns) and time.perf_counter_ns() < until_ns:
            pass
        self._arm_due_timer()


def _bound(host: str, port: int) -> socket.socket:
    """A non-blocking UDP socket bound to the host."""
    family, kind, protocol, place = resolve(host, port, socket.SOCK_DGRAM)
    udp = socket.socket(family, kind, protocol)
    try:
        if sys.platform == "win32":  # there, two processes could else share the port
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        udp.setblocking(False)
        udp.bind(place)
    except OSError as fault:
        udp.close()
        taken = fault.errno == errno.EADDRINUSE or (sys.platform == "win32" and fault.errno == errno.EACCES)
        if taken:
            raise PortTakenError(host, port) from fault
        raise
    return udp
