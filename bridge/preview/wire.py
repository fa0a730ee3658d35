"""What the player tells the preview process: one datagram a message, on loopback, never waited for.

A datagram is the token that the supervisor gave both, then kind, role, pitch, velocity and the moment it is meant for
(perf_counter_ns, one clock for all processes of a machine). Knows neither audio nor numpy: the player imports it.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import Final, Literal, get_args

Kind = Literal["release", "strike", "silence"]
Role = Literal["melody", "bass", "drums", "click"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ROLES: Final[tuple[Role, ...]] = get_args(Role)
CLICK_ACCENT_PITCH: Final = 76  # of the "click" role: this pitch is the first beat of a bar, any other a plain beat
_FORM: Final = struct.Struct("<16sBBBBq")


@dataclasses.dataclass(frozen=True, slots=True)
class Sounded:
    """One thing that the player does; `pitch` and `velocity` 0-127."""

    kind: Kind
    role: Role
    pitch: int
    velocity: int
    intended_ns: int


def pack(token: bytes, sounded: Sounded) -> bytes:
    """The datagram; `token` has 16 bytes."""
    kind, role = KINDS.index(sounded.kind), ROLES.index(sounded.role)
    return _FORM.pack(token, kind, role, sounded.pitch, sounded.velocity, sounded.intended_ns)


def unpack(token: bytes, datagram: bytes) -> Sounded | None:
    """What a datagram says; None where it is not one of ours."""
    if len(datagram) != _FORM.size or not datagram.startswith(token):
        return None
    _, kind, role, pitch, velocity, intended_ns = _FORM.unpack(datagram)
    if kind >= len(KINDS) or role >= len(ROLES) or pitch > 127 or velocity > 127:
        return None
    return Sounded(KINDS[kind], ROLES[role], pitch, velocity, intended_ns)
