"""What the session needs from the floors around it, as protocols, so that it runs without sockets in the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Origin = tuple[str, int]
"""Host and port that a request came from."""

NOBODY: Origin = ("", 0)
"""Who asked before a restart, and cannot be asked for again: only subscribers hear of it."""

# The codes of contract 3.5 that a session can answer with.
RANGE = 3
NOT_NOW = 4
NO_SUCH = 5
BUSY = 6
INSIDE = 7


class RefusedError(Exception):
    """A request that is answered with an error; nothing has been changed."""

    def __init__(self, code: int, message: str) -> None:
        """`code` of contract 3.5, `message` in plain words."""
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """A validated request: `scope` is ``bridge``, ``clock`` or a voice; `args` are by name."""

    address: str
    scope: str
    verb: str
    args: dict[str, Any]
    origin: Origin
    arrival_ns: int


def asked_by_nobody(voice: str, verb: str, **args: Any) -> Request:
    """What is still to be done for a voice though whoever asked for it is not known (any more)."""
    return Request(f"/{voice}/{verb}", voice, verb, args, NOBODY, 0)


class Outbox(Protocol):
    """Where answers and events go."""

    def reply(self, origin: Origin, address: str, *args: float | str) -> None:
        """Answer the sender of a request."""

    def publish(self, address: str, *args: float | str, also: Origin | None = None) -> None:
        """An event to all subscribers, and to `also` when that requester has not subscribed."""


class Peer(Protocol):
    """The player or the engine, as far as the session sees them."""

    @property
    def connected(self) -> bool:
        """False while the process is being restarted."""

    def send(self, record: object) -> None:
        """Send a record of `bridge.messages`; dropped while not connected (it is told anew on reconnection)."""


class Handle(Protocol):
    """Something that was planned and can be called off."""

    def cancel(self) -> None:
        """Do not do it."""


class Timers(Protocol):
    """Time, injected."""

    def now_ns(self) -> int:
        """Now, on perf_counter_ns."""

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Handle:
        """Do `action` in `delay_s` seconds."""


class Rest:
    """Does something when nothing has been told of for `still_s` seconds."""

    def __init__(self, timers: Timers, still_s: float, action: Callable[[], None]) -> None:
        """`action` is what waits for the quiet."""
        self._timers = timers
        self._still_s = still_s
        self._action = action
        self._handle: Handle | None = None

    def trigger(self) -> None:
        """Something has happened."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._timers.call_later(self._still_s, self._action)


class Throttle:
    """Does something at most `per_second` times a second, the last time always (contract 3.3: states and gestures)."""

    def __init__(self, timers: Timers, per_second: float, action: Callable[[], None]) -> None:
        """`action` is called at once when enough time has passed, else when it has."""
        self._timers = timers
        self._interval_ns = round(1e9 / per_second)
        self._action = action
        self._last_ns = -self._interval_ns
        self._handle: Handle | None = None

    def trigger(self) -> None:
        """Ask for the action."""
        if self._handle is not None:
            return
        wait_ns = self._last_ns + self._interval_ns - self._timers.now_ns()
        if wait_ns <= 0:
            self._fire()
        else:
            self._handle = self._timers.call_later(wait_ns / 1e9, self._fire)

    def now(self) -> None:
        """Do it at once, whatever was planned: for what may not be left out."""
        self.cancel()
        self._fire()

    def _fire(self) -> None:
        self._handle = None
        self._last_ns = self._timers.now_ns()
        self._action()

    def cancel(self) -> None:
        """Forget a planned call."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
