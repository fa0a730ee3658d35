"""The ledger of held notes, `held.bin`: what is open on which port, in memory that survives the death of the process.

A note is marked before its note-on is sent and cleared after its note-off is sent, so whatever a killed player left
sounding is in the file (perhaps a note too many, never one too few). Its successor calls these notes *owed*: it
closes them on the ports of the same names, and keeps owing them until a listener can have heard it.
"""

from __future__ import annotations

import mmap
import pathlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from bridge import whole_file

MAGIC: Final = b"BLHELD1\0"
_HEADER: Final = struct.Struct("<8sI52x")
NAME_BYTES: Final = 128
CHANNELS: Final = 16
PITCHES: Final = 128
PORT_BYTES: Final = NAME_BYTES + CHANNELS * PITCHES
SOUNDING: Final = 1
OWED: Final = 2


class OpenNote(NamedTuple):
    """A note on a port (by its place in the ledger), channel 0-15."""

    port: int
    channel: int
    pitch: int


class Ledger:
    """One byte for each port, channel and pitch: bit 0 it sounds, bit 1 a predecessor left it open."""

    def __init__(self, path: pathlib.Path, port_names: Sequence[str]) -> None:
        """Make the file anew; what an earlier one says is open becomes owed, on the ports of the same names.

        It takes the place of the earlier one when all that is owed is in it: killed before, nothing is forgotten. On a
        disk that is full it is written over an earlier one of the same ports, in which no more is open.

        Raises:
            OSError: the folder cannot be written.
        """
        earlier = left_open(path)
        self.owed: set[OpenNote] = set()
        content = bytearray(_HEADER.pack(MAGIC, len(port_names)))
        names = [name.encode()[:NAME_BYTES] for name in port_names]
        for port, name in enumerate(names):
            keys = bytearray(CHANNELS * PITCHES)
            for channel, pitch in earlier.get(name, ()):
                keys[channel * PITCHES + pitch] = OWED
                self.owed.add(OpenNote(port, channel, pitch))
            content += name.ljust(NAME_BYTES, b"\0") + keys
        try:
            whole_file.write(path, bytes(content))
        except OSError:
            if list(earlier) != names:
                raise
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), len(content))
        self._map[:] = bytes(content)  # it is there already; but no page of it faults while music plays

    @staticmethod
    def _at(note: OpenNote) -> int:
        return _HEADER.size + note.port * PORT_BYTES + NAME_BYTES + note.channel * PITCHES + note.pitch

    def mark(self, note: OpenNote) -> None:
        """About to be switched on."""
        self._map[self._at(note)] |= SOUNDING

    def clear(self, note: OpenNote) -> None:
        """Has been switched off, which also settles what was owed there."""
        self._map[self._at(note)] = 0
        self.owed.discard(note)

    def lose(self, note: OpenNote) -> None:
        """Its port has gone while it sounded: it is owed from now on."""
        self._map[self._at(note)] = OWED
        self.owed.add(note)

    def settle(self, note: OpenNote) -> None:
        """No longer owed; whether it sounds stays as it is."""
        self._map[self._at(note)] &= SOUNDING
        self.owed.discard(note)


def left_open(path: pathlib.Path) -> dict[bytes, list[tuple[int, int]]]:
    """(channel, pitch) of what a ledger's file has open, sounding or owed, by port name; empty where there is none or
    it is not one.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    if len(content) < _HEADER.size:
        return {}
    magic, ports = _HEADER.unpack_from(content)
    if magic != MAGIC or len(content) != _HEADER.size + ports * PORT_BYTES:
        return {}
    found: dict[bytes, list[tuple[int, int]]] = {}
    for port in range(ports):
        at = _HEADER.size + port * PORT_BYTES
        name = content[at : at + NAME_BYTES].rstrip(b"\0")
        keys = content[at + NAME_BYTES : at + PORT_BYTES]
        found[name] = [divmod(offset, PITCHES) for offset, value in enumerate(keys) if value]
    return found
