"""The bytes of an .amxd: chunks around a patcher in JSON, alone (unfrozen) or with its files (frozen).

The outer chunks count in little-endian, the frozen collection inside in big-endian; neither has padding or checksums.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, Final

MIDI_EFFECT: Final = b"mmmm"
#: Seconds since 1904, as the stock template has it: a fixed date, so that the same sources give the same bytes.
DATE: Final = 3590052786
_META_FROZEN: Final = 7
_META_UNFROZEN: Final = 1  # with files beside it
_SELF: Final = 0x11  # flag of the member that is the device itself


def unfrozen(patcher: dict[str, Any]) -> bytes:
    """A device that finds its script in the folder it lies in."""
    return _outer(_META_UNFROZEN, _patcher_bytes(patcher))


def frozen(name: str, patcher: dict[str, Any], scripts: Sequence[tuple[str, bytes]]) -> bytes:
    """A device in one file: `name` is its own file name, `scripts` are (file name, content)."""
    members = [(name, b"JSON", _SELF, _patcher_bytes(patcher))]
    members += [(script, b"TEXT", 0, content) for script, content in scripts]
    offset, contents, entries = 16, b"", b""
    for member, kind, flag, content in members:
        entries += _entry(member, kind, flag, len(content), offset)
        contents += content
        offset += len(content)
    header = b"mx@c" + struct.pack(">IQ", 16, offset)
    return _outer(_META_FROZEN, header + contents + _field(b"dlst", entries))


def _patcher_bytes(patcher: dict[str, Any]) -> bytes:
    return json.dumps(patcher, indent="\t", ensure_ascii=True).encode("ascii") + b"\n\0"


def _outer(meta: int, patch: bytes) -> bytes:
    chunks = ((b"ampf", MIDI_EFFECT), (b"meta", struct.pack("<I", meta)), (b"ptch", patch))
    return b"".join(tag + struct.pack("<I", len(payload)) + payload for tag, payload in chunks)


def _field(tag: bytes, payload: bytes) -> bytes:
    return tag + struct.pack(">I", len(payload) + 8) + payload


def _entry(name: str, kind: bytes, flag: int, size: int, offset: int) -> bytes:
    text = name.encode("ascii") + b"\0"
    text += b"\0" * (-len(text) % 4)
    numbers = ((b"sz32", size), (b"of32", offset), (b"vers", 0), (b"flag", flag), (b"mdat", DATE))
    fields = _field(b"type", kind) + _field(b"fnam", text)
    fields += b"".join(_field(tag, struct.pack(">I", number)) for tag, number in numbers)
    return _field(b"dire", fields)
