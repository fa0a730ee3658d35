"""The player's own record, `played.bin`: every message it sent, when it was meant and when the send had returned.

A ring in a mapped file. One process writes at a time (`PlayedWriter`: the player, or the process that holds JACK's
ports for it); any number read (`PlayedReader`) without the writer knowing: bench, demo and tests. The file keeps its
inode and its count over restarts of the player, so that a reader reads on.

Layout, little-endian: header of 4096 bytes (magic, slots, count, names as JSON), then slots of 24 bytes
(intended_ns, sent_ns, port, status, data1, data2, length, padding).
"""

from __future__ import annotations

import json
import mmap
import os
import pathlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from bridge import limits

MAGIC: Final = b"BLPLAY1\0"
HEADER_BYTES: Final = 4096
_FIXED: Final = struct.Struct("<8sQI")  # magic, slots, length of the names' JSON
_COUNT: Final = struct.Struct("<Q")
_COUNT_AT: Final = 32  # aligned, so that a reader never sees half of it
_NAMES_AT: Final = 64
_SLOT: Final = struct.Struct("<qqHBBBB2x")


class Played(NamedTuple):
    """A message that was sent; lateness is ``sent_ns - intended_ns``."""

    intended_ns: int
    sent_ns: int
    port: int
    status: int
    data1: int
    data2: int
    length: int


class PlayedWriter:
    """The writing end, owned by the player."""

    def __init__(self, path: pathlib.Path, port_names: Sequence[str], slots: int = limits.PLAYED_RECORD_SLOTS) -> None:
        """Open the ring, going on from the count of an earlier player, or make it.

        Raises:
            OSError: the folder cannot be written.
            ValueError: the names do not fit in the header.
        """
        names = json.dumps(list(port_names)).encode()
        if len(names) > HEADER_BYTES - _NAMES_AT:
            raise ValueError("too many ports, or too long names, for the record's header")
        size = HEADER_BYTES + slots * _SLOT.size
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            goes_on = os.fstat(descriptor).st_size == size
            os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self._slots = slots
        if not (goes_on and self._map[:8] == MAGIC):
            self._map[:] = bytes(size)  # also brings every page in: none faults while music plays
        else:
            sum(self._map[at] for at in range(0, size, mmap.PAGESIZE))
        self._map[_NAMES_AT : _NAMES_AT + len(names)] = names
        self._map[: _FIXED.size] = _FIXED.pack(MAGIC, slots, len(names))

    def add(self, intended_ns: int, sent_ns: int, port: int, message: Sequence[int]) -> None:
        """Write one message of one to three bytes down."""
        length = len(message)
        data1 = message[1] if length > 1 else 0
        data2 = message[2] if length > 2 else 0
        (count,) = _COUNT.unpack_from(self._map, _COUNT_AT)
        at = HEADER_BYTES + count % self._slots * _SLOT.size
        _SLOT.pack_into(self._map, at, intended_ns, sent_ns, port, message[0], data1, data2, length)
        _COUNT.pack_into(self._map, _COUNT_AT, count + 1)


class PlayedReader:
    """A reading end, from any process."""

    def __init__(self, path: pathlib.Path) -> None:
        """Map the file.

        Raises:
            OSError: it is not there.
            ValueError: it is not a record.
        """
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, self._slots, _ = _FIXED.unpack_from(self._map)
        if magic != MAGIC or len(self._map) != HEADER_BYTES + self._slots * _SLOT.size:
            raise ValueError(f"{path}: not a record of played notes")

    @property
    def count(self) -> int:
        """Messages written so far, in all."""
        return int(_COUNT.unpack_from(self._map, _COUNT_AT)[0])

    @property
    def port_names(self) -> list[str]:
        """The names that `Played.port` counts through."""
        length = _FIXED.unpack_from(self._map)[2]
        return [str(name) for name in json.loads(self._map[_NAMES_AT : _NAMES_AT + length])]

    def since(self, first: int) -> tuple[list[Played], int]:
        """Messages from number `first` on that are still in the ring, and the number to go on from."""
        count = self.count
        start = max(first, count - self._slots + 1)  # the oldest slot is the one being written next
        places = [HEADER_BYTES + number % self._slots * _SLOT.size for number in range(start, count)]
        found = [Played(*_SLOT.unpack_from(self._map, place)) for place in places]
        overwritten = max(0, self.count - self._slots + 1 - start)  # while we read: their slots may be of a later round
        return found[overwritten:], count

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()
