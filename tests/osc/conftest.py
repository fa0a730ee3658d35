"""A dispatcher with its ears open: what it hands over and what it refuses, kept in lists."""

import struct
from dataclasses import dataclass, field

import pytest

from bridge.osc.dispatch import Dispatcher
from bridge.osc.encoder import encode
from bridge.session.outside import Origin, Request

CLIENT = ("127.0.0.1", 40000)
WALL_NS = 1_795_000_000_000_000_000  # November 2026
NTP_UNIX_S = 2_208_988_800


@dataclass
class Rig:
    """Time stands at `now_ns` (and `WALL_NS`) until a test moves it."""

    requests: list[Request] = field(default_factory=list)
    errors: list[tuple[Origin, int, str, str]] = field(default_factory=list)
    now_ns: int = 5_000_000_000
    raises: Exception | None = None

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(
            ("melody", "bass", "drums"), self._handle, lambda *error: self.errors.append(error)
        )

    def _handle(self, request: Request) -> None:
        self.requests.append(request)
        if self.raises is not None:
            raise self.raises

    def send(self, datagram: bytes, origin: Origin = CLIENT) -> bool:
        return self.dispatcher.receive(datagram, origin, self.now_ns, WALL_NS)

    def say(self, address: str, *arguments: object) -> None:
        assert self.send(encode(address, arguments))

    @property
    def codes(self) -> list[int]:
        return [error[1] for error in self.errors]

    def bundle(self, ahead_s: float | None, *elements: bytes) -> bytes:
        """A bundle so far ahead of now; None: to be acted on immediately."""
        tag = 1 if ahead_s is None else ((WALL_NS << 32) // 10**9) + (NTP_UNIX_S << 32) + round(ahead_s * 2**32)
        sized = b"".join(struct.pack(">i", len(element)) + element for element in elements)
        return b"#bundle\0" + struct.pack(">Q", tag) + sized


@pytest.fixture
def rig() -> Rig:
    return Rig()
