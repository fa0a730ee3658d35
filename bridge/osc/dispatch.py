"""From a datagram to valid requests: decode, look up or match, validate, hand over; and every refusal to its sender."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Final

from bridge.limits import (
    MAX_ADDRESS_CHARS,
    MAX_BUNDLE_AHEAD_S,
    MAX_FAULT_KINDS_LOGGED,
    MAX_PATTERN_CHARS_PER_DATAGRAM,
    MAX_REQUESTS_PER_DATAGRAM,
)
from bridge.osc.decoder import Bundle, Malformed, Message, decode
from bridge.osc.patterns import is_pattern
from bridge.osc.table import AddressTable, Target
from bridge.osc.waiting import WaitingBundles
from bridge.session.outside import (
    BUSY,
    INSIDE,
    RANGE,
    Origin,
    RefusedError,
    Request,
)

NO_SUCH_ADDRESS: Final = 1
"""The code of contract 3.5 for an address or a pattern that nothing answers to."""
_LOG: Final = logging.getLogger(__name__)
_AHEAD_NS: Final = round(MAX_BUNDLE_AHEAD_S * 1e9)

Handler = Callable[[Request], None]
ErrorSender = Callable[[Origin, int, str, str], None]
"""origin, code, address, message."""


@dataclasses.dataclass(slots=True)
class Counters:
    """What has come and gone since the start."""

    packets: int = 0  # datagrams that came
    malformed: int = 0  # ... that were not OSC; no answer
    requests: int = 0  # valid requests handed over
    errors: int = 0  # refusals answered with /error
    echoes: int = 0  # /error messages sent to us; never answered, or two bridges would answer each other for ever
    faults: int = 0  # handlers that failed inside
    receive_failures: int = 0  # reads the system answered with an error, such as a peer's closed port (Windows)
    sent: int = 0  # datagrams sent
    send_failures: int = 0  # ... that the system would not take


class _Work:
    """What one datagram may still cost."""

    __slots__ = ("pattern_chars", "requests")

    def __init__(self) -> None:
        self.requests = MAX_REQUESTS_PER_DATAGRAM
        self.pattern_chars = MAX_PATTERN_CHARS_PER_DATAGRAM


class Dispatcher:
    """Turns datagrams into calls of `handler`, one for each concrete address, in the order of the messages.

    A handler may raise `RefusedError`; anything else it raises is answered with error 7 and logged once per kind.
    Nothing here blocks, waits or reads a clock: the caller says what time it is.
    """

    def __init__(self, voices: Sequence[str], handler: Handler, send_error: ErrorSender) -> None:
        self.table = AddressTable(voices)
        self.counters = Counters()
        self.waiting = WaitingBundles()
        self._handler = handler
        self._send_error = send_error
        self._fault_kinds: set[tuple[str, str]] = set()

    def receive(self, datagram: bytes, origin: Origin, arrival_ns: int, wall_ns: int) -> bool:
        """Act on one datagram; False when it was not OSC.

        Args:
            datagram: what came, any bytes at all.
            origin: who sent it.
            arrival_ns: ``perf_counter_ns`` when it came.
            wall_ns: ``time.time_ns`` then.
        """
        self.counters.packets += 1
        packet = decode(datagram, arrival_ns, wall_ns)
        if isinstance(packet, Malformed):
            self.counters.malformed += 1
            return False
        work = _Work()
        if isinstance(packet, Message):
            self._act(packet, origin, arrival_ns, work)
        else:
            self._unfold(packet, origin, arrival_ns, work)
        return True

    def act_on_due(self, now_ns: int) -> bool:
        """Act on the first waiting bundle whose time has come; False when there is none.

        Its requests carry that time as their arrival.
        """
        due = self.waiting.pop_due(now_ns)
        if due is None:
            return False
        due_ns, messages, origin = due
        work = _Work()
        for message in messages:
            self._act(message, origin, due_ns, work)
        return True

    def _unfold(self, bundle: Bundle, origin: Origin, arrival_ns: int, work: _Work) -> None:
        """Act on what is due now, in order; keep the rest, one entry for each bundle that has messages of its own."""
        if bundle.due_ns > arrival_ns:
            messages = tuple(element for element in bundle.elements if isinstance(element, Message))
            if messages:
                self._keep(bundle.due_ns, messages, origin, arrival_ns)
        for element in bundle.elements:
            if isinstance(element, Bundle):
                self._unfold(element, origin, arrival_ns, work)
            elif bundle.due_ns <= arrival_ns:
                self._act(element, origin, arrival_ns, work)

    def _keep(self, due_ns: int, messages: tuple[Message, ...], origin: Origin, arrival_ns: int) -> None:
        """One refusal stands for the whole bundle, under the address of its first message."""
        address = messages[0].address
        if due_ns - arrival_ns > _AHEAD_NS:
            ahead_s = (due_ns - arrival_ns) / 1e9
            text = f"time tag is {ahead_s:.3f} s ahead, allowed up to {MAX_BUNDLE_AHEAD_S:g} s"
            self._refuse(origin, RANGE, address, text)
        elif not self.waiting.add(due_ns, messages, origin):
            self._refuse(origin, BUSY, address, f"{len(self.waiting)} bundles are waiting for their time already")

    def _act(self, message: Message, origin: Origin, arrival_ns: int, work: _Work) -> None:
        address = message.address
        targets = self.table.find(address)
        if targets is None and is_pattern(address) and len(address) <= MAX_ADDRESS_CHARS:
            work.pattern_chars -= len(address)
            if work.pattern_chars < 0:
                self._refuse(origin, BUSY, address, "too many different patterns in one packet")
                return
            targets = self.table.expand(address)
        if not targets:
            if address == "/error":
                self.counters.echoes += 1
                return
            text = self.table.why_unknown(address)
            self._refuse(origin, NO_SUCH_ADDRESS, address[:MAX_ADDRESS_CHARS], text)
            return
        for target in targets:
            work.requests -= 1
            if work.requests < 0:
                if work.requests == -1:
                    self._refuse(origin, BUSY, address, f"more than {MAX_REQUESTS_PER_DATAGRAM} requests in one packet")
                return
            self._hand_over(target, message, origin, arrival_ns)

    def _hand_over(self, target: Target, message: Message, origin: Origin, arrival_ns: int) -> None:
        address, scope, route = target
        try:
            request = Request(address, scope, route.verb, route.check(message.arguments), origin, arrival_ns)
            self.counters.requests += 1
            self._handler(request)
        except RefusedError as refusal:
            self._refuse(origin, refusal.code, address, refusal.message)
        except Exception as fault:  # the named boundary: no handler's failure may end the server
            self._failed(fault, address)
            self._refuse(origin, INSIDE, address, "failed inside; it is logged")

    def _refuse(self, origin: Origin, code: int, address: str, message: str) -> None:
        self.counters.errors += 1
        self._send_error(origin, code, address, message)

    def _failed(self, fault: Exception, address: str) -> None:
        """Log each kind of failure once, so that a flood of them cannot fill a disk."""
        self.counters.faults += 1
        kind = (address, type(fault).__name__)
        if kind not in self._fault_kinds and len(self._fault_kinds) < MAX_FAULT_KINDS_LOGGED:
            self._fault_kinds.add(kind)
            _LOG.error("%s failed inside; the same again is only counted", address, exc_info=fault)
