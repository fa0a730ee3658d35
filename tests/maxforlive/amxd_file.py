"""A reader of .amxd files that knows nothing of our builder, and what is known of Max's objects, to judge by."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Inlets and outlet types of objects whose ports do not depend on arguments (Max reference, Ableton's dataset).
FIXED_PORTS: dict[str, tuple[int, list[str]]] = {
    "midiin": (1, ["int"]),
    "midiout": (1, []),
    "midiflush": (1, ["int"]),
    "midiformat": (7, ["int", ""]),
    "makenote": (3, ["float", "float"]),
    "live.thisdevice": (1, ["bang", "int", "int"]),
    "live.dial": (1, ["", "float"]),
    "live.numbox": (1, ["", "float"]),
    "live.text": (1, ["", ""]),
    "live.tab": (1, ["", "", "float"]),
    "live.menu": (1, ["", "", "float"]),
    "live.comment": (1, []),
    "udpsend": (1, []),
    "udpreceive": (1, [""]),
    "transport": (2, ["int", "int", "float", "float", "float", "", "int", "float", ""]),
    "cpuclock": (1, ["float"]),
    "metro": (2, ["bang"]),
    "delay": (2, ["bang"]),
    "deferlow": (1, [""]),
    "prepend": (1, [""]),
    "message": (2, [""]),
}
TRIGGER_TYPES = {"b": "bang", "i": "int", "f": "float", "l": "", "s": "", "a": ""}
#: Messages each object takes beside numbers and bangs, as far as the patch may use them.
SELECTORS: dict[str, set[str]] = {
    "udpsend": {"port", "host", "maxpacketsize", "maxqueuesize"},
    "udpreceive": {"port", "maxqueuesize"},
    "live.dial": {"set", "outputvalue", "init", "assign", "rawfloat"},
    "live.numbox": {"set", "outputvalue", "init", "assign", "rawfloat"},
    "live.menu": {"set", "outputvalue", "setsymbol", "symbol"},
    "live.tab": {"set", "outputvalue", "setsymbol", "symbol"},
    "live.text": {"set", "outputvalue", "setsymbol", "symbol", "text", "texton"},
    "live.comment": {"set", "append", "prepend", "setwithtruncation"},
    "pipe": {"clear", "flush", "stop"},
    "makenote": {"stop", "clear"},
    "delay": {"stop"},
}


@dataclass
class Member:
    """One file of a frozen device."""

    kind: str
    name: str
    flag: int
    date: int
    data: bytes


class AmxdFile:
    """A device file taken apart, every length and offset checked on the way."""

    def __init__(self, data: bytes) -> None:
        self.chunks = dict(_chunks(data))
        self.members: list[Member] = []
        patch = self.chunks["ptch"]
        if patch[:4] == b"mx@c":
            self.members = list(_members(patch))
            patch = self.members[0].data
        assert patch.endswith(b"\n\0"), "the JSON ends with a newline and a NUL"
        self.patcher: dict[str, Any] = json.loads(patch[:-2].decode("utf-8"))["patcher"]

    @classmethod
    def read(cls, path: Path) -> AmxdFile:
        return cls(path.read_bytes())

    @property
    def boxes(self) -> dict[str, dict[str, Any]]:
        """Boxes by id."""
        return {entry["box"]["id"]: entry["box"] for entry in self.patcher["boxes"]}

    @property
    def cords(self) -> list[tuple[str, int, str, int]]:
        """Source, outlet, destination, inlet."""
        ends = [(line["patchline"]["source"], line["patchline"]["destination"]) for line in self.patcher["lines"]]
        return [(source[0], source[1], target[0], target[1]) for source, target in ends]

    @property
    def parameters(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Box and value settings of every Live parameter, in the file's order."""
        boxes = [box for box in self.boxes.values() if box.get("parameter_enable")]
        return [(box, box["saved_attribute_attributes"]["valueof"]) for box in boxes]


def _chunks(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(data):
        tag, size = struct.unpack_from("<4sI", data, at)
        payload = data[at + 8 : at + 8 + size]
        assert len(payload) == size, f"chunk {tag!r} is cut short"
        yield tag.decode("ascii"), payload
        at += 8 + size
    assert at == len(data)


def _members(patch: bytes) -> Iterator[Member]:
    header_size, directory = struct.unpack_from(">IQ", patch, 4)
    assert header_size == 16
    tag, size = struct.unpack_from(">4sI", patch, directory)
    assert (tag, size) == (b"dlst", len(patch) - directory), "the directory reaches to the end"
    at, expected = directory + 8, 16
    while at < len(patch):
        entry_tag, entry_size = struct.unpack_from(">4sI", patch, at)
        assert entry_tag == b"dire"
        fields = dict(_fields(patch[at + 8 : at + entry_size]))
        assert list(fields) == ["type", "fnam", "sz32", "of32", "vers", "flag", "mdat"]
        offset, length = _number(fields["of32"]), _number(fields["sz32"])
        assert offset == expected, "members lie one behind the other"
        assert len(fields["fnam"]) % 4 == 0
        assert fields["fnam"].endswith(b"\0")
        expected += length
        name = fields["fnam"].rstrip(b"\0").decode("ascii")
        yield Member(
            fields["type"].decode("ascii"),
            name,
            _number(fields["flag"]),
            _number(fields["mdat"]),
            patch[offset : offset + length],
        )
        at += entry_size
    assert expected == directory, "members end where the directory begins"


def _fields(entry: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(entry):
        tag, size = struct.unpack_from(">4sI", entry, at)
        yield tag.decode("ascii"), entry[at + 8 : at + size]
        at += size


def _number(payload: bytes) -> int:
    return int.from_bytes(payload, "big")


def object_name(box: dict[str, Any]) -> str:
    """What kind of object a box is."""
    return str(box["text"].split()[0] if box["maxclass"] == "newobj" else box["maxclass"])


def arguments(box: dict[str, Any]) -> list[str]:
    """Arguments of an object, attributes left out."""
    words = box["text"].split()[1:]
    first = next((at for at, word in enumerate(words) if word.startswith("@")), len(words))
    return list(words[:first])


def ports(box: dict[str, Any]) -> tuple[int, list[str]]:
    """Inlets and outlet types that Max gives this object.

    Raises:
        KeyError: nothing is known of such an object: Max might show it as a dead grey box.
    """
    name = object_name(box)
    if name in FIXED_PORTS:
        return FIXED_PORTS[name]
    words = arguments(box)
    rules: dict[str, tuple[int, list[str]]] = {
        "t": (1, [TRIGGER_TYPES.get(word, "") for word in words]),
        "route": (len(words) + 1, [""] * (len(words) + 1)),
        "pack": (len(words), [""]),
        "unpack": (1, ["int"] * len(words)),
        "pipe": (len(words), [""] * (len(words) - 1)),
        "js": (1, [""] * 4),
    }
    return rules[name]
