"""A strict, bounded decoder of OSC 1.0 datagrams: bytes in, a value out, never an exception.

What is not OSC to the letter (sizes, zero padding, known type tags, nothing left over) comes back as `Malformed`. Types
that are OSC but that no address takes (blobs, MIDI, colours, arrays ...), and strings in another encoding than UTF-8,
come back as `Unsupported`, so that the sender is told which argument is wrong instead of hearing nothing. Time tags are
turned into ``perf_counter_ns`` readings here, once, against the wall clock of the moment of arrival.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from bridge.limits import MAX_ARGUMENTS, MAX_BUNDLE_DEPTH, MAX_BUNDLE_ELEMENTS, MAX_DATAGRAM_BYTES

_BUNDLE_HEAD: Final = b"#bundle\0"
_IMMEDIATELY: Final = 1
_NTP_UNIX_S: Final = 2_208_988_800  # seconds from 1900-01-01 to 1970-01-01
_NTP_ERA_NS: Final = 1_000_000_000 << 32
_NTP_NEAR_NS: Final = 86_400 * 1_000_000_000  # so near to now a tag is taken for one across the NTP era (2036)
_ZEROS: Final = (b"", b"\0", b"\0\0", b"\0\0\0", b"\0\0\0\0")
_FIXED_BYTES: Final = {"i": 4, "f": 4, "h": 8, "d": 8, "t": 8, "c": 4, "r": 4, "m": 4}
_NUMBER: Final = {tag: struct.Struct(layout) for tag, layout in (("i", ">i"), ("f", ">f"), ("h", ">q"), ("d", ">d"))}
_SIZE: Final = struct.Struct(">i")
_TIME_TAG: Final = struct.Struct(">Q")


class Unsupported(NamedTuple):
    """An argument of a type that is OSC but that no address takes, or a string that cannot be read (`NOT_UTF8`); its
    value is not kept.
    """

    tag: str


Value = int | float | str | bool | Unsupported

NOT_UTF8: Final = Unsupported("s")

_WITHOUT_BYTES: Final[dict[str, Value]] = {"T": True, "F": False, **{tag: Unsupported(tag) for tag in "NI[]"}}


class Message(NamedTuple):
    """One message. More than `MAX_ARGUMENTS` arguments are not decoded: `Unsupported` stands in their place, one more
    than the bound, which is too many for every address.
    """

    address: str
    arguments: tuple[Value, ...]


class Bundle(NamedTuple):
    """Messages that are due together. `due_ns` is a ``perf_counter_ns`` reading, not later than the arrival when the
    tag says "immediately" or lies in the past; a nested bundle is never due before the one around it.
    """

    due_ns: int
    elements: tuple[Message | Bundle, ...]


class Malformed(NamedTuple):
    """The datagram is not OSC (or not within our bounds), and why."""

    reason: str


class _NotOscError(Exception):
    """Carries a reason from the depth of a datagram to `decode`."""


def decode(datagram: bytes, arrival_ns: int, wall_ns: int) -> Message | Bundle | Malformed:
    """Decode one datagram.

    Args:
        datagram: what came, any bytes at all.
        arrival_ns: ``perf_counter_ns`` when it came.
        wall_ns: ``time.time_ns`` at the same moment; time tags are relative to it.
    """
    size = len(datagram)
    if size > MAX_DATAGRAM_BYTES:
        return Malformed(f"more than {MAX_DATAGRAM_BYTES} bytes")
    if size < 4 or size % 4:
        return Malformed("length is not a multiple of four")
    try:
        if datagram[0] == 0x2F:  # "/"
            return _message(datagram, 0, size)
        return _Bundles(datagram, arrival_ns, wall_ns).bundle(0, size, arrival_ns, 1)
    except _NotOscError as fault:
        return Malformed(str(fault))


class _Bundles:
    """The bundles of one datagram: holds the count of elements that all of them share."""

    def __init__(self, datagram: bytes, arrival_ns: int, wall_ns: int) -> None:
        self._data = datagram
        self._arrival_ns = arrival_ns
        self._wall_ns = wall_ns
        self._elements = 0

    def bundle(self, start: int, end: int, earliest_ns: int, depth: int) -> Bundle:
        data = self._data
        if depth > MAX_BUNDLE_DEPTH:
            raise _NotOscError("bundles nested too deep")
        if end - start < 16 or not data.startswith(_BUNDLE_HEAD, start):
            raise _NotOscError("neither a message nor a bundle")
        tag = _TIME_TAG.unpack_from(data, start + 8)[0]
        due_ns = max(earliest_ns, self._arrival_ns + _ahead_ns(tag, self._wall_ns))
        elements: list[Message | Bundle] = []
        position = start + 16
        while position < end:
            size = _SIZE.unpack_from(data, position)[0]
            position += 4
            if size < 4 or size % 4 or size > end - position:
                raise _NotOscError("size of a bundle element")
            self._elements += 1
            if self._elements > MAX_BUNDLE_ELEMENTS:
                raise _NotOscError("too many elements in one datagram")
            if data[position] == 0x2F:
                elements.append(_message(data, position, position + size))
            else:
                elements.append(self.bundle(position, position + size, due_ns, depth + 1))
            position += size
        return Bundle(due_ns, tuple(elements))


def _ahead_ns(tag: int, wall_ns: int) -> int:
    """How far ahead of now an NTP time tag lies, 0 for "immediately"; negative in the past. To the nanosecond the same
    moment for the same tag, whenever it comes.
    """
    if tag == _IMMEDIATELY:
        return 0
    now_ns = (wall_ns + _NTP_UNIX_S * 1_000_000_000) % _NTP_ERA_NS
    ahead_ns = ((tag * 1_000_000_000 + (1 << 31)) >> 32) - now_ns
    across_era_ns = (ahead_ns + _NTP_ERA_NS // 2) % _NTP_ERA_NS - _NTP_ERA_NS // 2
    return across_era_ns if abs(across_era_ns) < _NTP_NEAR_NS else ahead_ns


def _message(data: bytes, start: int, end: int) -> Message:
    stop = data.find(b"\0", start, end)
    position = _padded(data, stop, end)
    try:
        address = data[start:stop].decode("ascii")
    except UnicodeDecodeError as fault:
        raise _NotOscError("address is not ASCII") from fault
    if not address.isprintable():
        raise _NotOscError("address holds control characters")
    if position == end:
        return Message(address, ())  # OSC 1.0 asks to bear with senders that leave the type tags out
    if data[position] != 0x2C:  # ","
        raise _NotOscError("no type tag string")
    stop = data.find(b"\0", position, end)
    tags_start, position = position + 1, _padded(data, stop, end)
    tags = data[tags_start:stop].decode("latin-1")
    if len(tags) > MAX_ARGUMENTS:
        return Message(address, (Unsupported("..."),) * (MAX_ARGUMENTS + 1))
    if not tags.strip("ifhd"):
        return Message(address, _numbers(data, position, end, tags))
    return Message(address, _mixed(data, position, end, tags))


def _padded(data: bytes, stop: int, end: int) -> int:
    """The offset after the padding of the string whose terminator is at `stop`."""
    if stop < 0:
        raise _NotOscError("string without an end")
    following = (stop + 4) & ~3
    if following > end or data[stop:following] != _ZEROS[following - stop]:
        raise _NotOscError("padding of a string")
    return following


def _numbers(data: bytes, position: int, end: int, tags: str) -> tuple[Value, ...]:
    """The usual case, nothing but numbers: one unpack."""
    layout = ">" + tags.replace("h", "q")
    if struct.calcsize(layout) != end - position:
        raise _NotOscError("arguments do not fit the type tags")
    return struct.unpack_from(layout, data, position)


def _mixed(data: bytes, position: int, end: int, tags: str) -> tuple[Value, ...]:
    values: list[Value] = []
    for tag in tags:
        if tag in _WITHOUT_BYTES:
            values.append(_WITHOUT_BYTES[tag])
        elif tag in "sS":
            stop = data.find(b"\0", position, end)
            following = _padded(data, stop, end)
            values.append(_text(data[position:stop]))
            position = following
        elif tag == "b":
            position = _blob_end(data, position, end)
            values.append(Unsupported(tag))
        else:
            size = _FIXED_BYTES.get(tag)
            if size is None:
                raise _NotOscError(f"unknown type tag {tag!r}")
            if size > end - position:
                raise _NotOscError("arguments end early")
            number = _NUMBER.get(tag)
            values.append(number.unpack_from(data, position)[0] if number else Unsupported(tag))
            position += size
    if position != end:
        raise _NotOscError("bytes left over after the arguments")
    return tuple(values)


def _text(raw: bytes) -> str | Unsupported:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return NOT_UTF8


def _blob_end(data: bytes, position: int, end: int) -> int:
    if end - position < 4:
        raise _NotOscError("arguments end early")
    size: int = _SIZE.unpack_from(data, position)[0]
    if size < 0 or size > end - position - 4:
        raise _NotOscError("size of a blob")
    stop = position + 4 + size
    following = (stop + 3) & ~3
    if data[stop:following] != _ZEROS[following - stop]:
        raise _NotOscError("padding of a blob")
    return following
