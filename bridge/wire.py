"""How records cross between processes: each is one JSON array, the record's name and its fields in order."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

from bridge import engine_messages, messages


class MalformedRecordError(ValueError):
    """A frame that is not one of our records: a peer of another version, or not a peer at all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hello:
    """First record on every connection: proves that the caller was started by the same supervisor."""

    token: str
    role: str


_KINDS: Final[list[type]] = [
    kind
    for kind in (Hello, *vars(messages).values(), *vars(engine_messages).values())
    if hasattr(kind, "__dataclass_fields__")
]
_RECORDS: Final = {kind.__name__: kind for kind in _KINDS}
_FIELDS: Final = {kind: tuple(field.name for field in dataclasses.fields(kind)) for kind in _KINDS}


def encode(record: object) -> bytes:
    """The record as one JSON array, UTF-8."""
    kind = type(record)
    values = [kind.__name__, *(getattr(record, name) for name in _FIELDS[kind])]
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode()


def decode(frame: bytes | bytearray | memoryview) -> Any:
    """The record that `encode` made `frame` of; JSON arrays stay lists inside it.

    Raises:
        MalformedRecordError: the frame is not one of ours.
    """
    try:
        name, *values = json.loads(bytes(frame))
        return _RECORDS[name](*values)
    except (ValueError, TypeError, KeyError, RecursionError) as fault:
        raise MalformedRecordError(f"not a record of this version: {bytes(frame[:80])!r} ({fault})") from fault
