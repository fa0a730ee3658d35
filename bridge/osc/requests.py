"""What the OSC floor hands to the session, and what comes back when it refuses."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

Origin = tuple[str, int]
"""(host, port) a packet came from."""

NO_SUCH_ADDRESS: Final = 1
WRONG_ARGUMENTS: Final = 2
OUT_OF_RANGE: Final = 3
NOT_NOW: Final = 4
NO_SUCH_THING: Final = 5
BUSY: Final = 6
FAILED_INSIDE: Final = 7


class RequestError(Exception):
    """A request is refused: `code` is one of contract 3.5, `message` says why in words for the user."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Request(NamedTuple):
    """One valid request for one concrete address.

    `scope` is ``bridge``, ``clock`` or a voice's name, `verb` the rest of the address (``next``, ``seed/begin``).
    `args` holds every argument of the route by name, typed and in range, defaults filled in. `arrival_ns` is the
    ``perf_counter_ns`` reading at which the packet arrived, or, from a bundle for later, the moment its time tag names.
    """

    address: str
    scope: str
    verb: str
    args: dict[str, Any]
    origin: Origin
    arrival_ns: int
