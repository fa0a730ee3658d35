"""Records on the wire: every kind comes back as it was, in the form that it has always had."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bridge import engine_messages, messages, wire

KINDS = [
    kind
    for module in (messages, engine_messages)
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__
]
ROW = [60, 0.0, 1.5, 90, 0]
FRAMES: list[tuple[Any, bytes]] = [
    (wire.Hello("secret", "bridge"), b'["Hello","secret","bridge"]'),
    (messages.Beat(3, 120.0, True), b'["Beat",3,120.0,true]'),
    (messages.Reshape("melody", 7, 8, 8.0, [ROW]), b'["Reshape","melody",7,8,8.0,[[60,0.0,1.5,90,0]]]'),
    (messages.SetClock(tempo_bpm=98.5), b'["SetClock",null,98.5,null,null,null,false]'),
    (engine_messages.JobFailed(4, 7, "über"), b'["JobFailed",4,7,"\\u00fcber"]'),
    (engine_messages.Generated(4, 8.0, [ROW], 1.5), b'["Generated",4,8.0,[[60,0.0,1.5,90,0]],1.5,null]'),
]


@pytest.mark.parametrize(("record", "frame"), FRAMES)
def test_a_record_is_its_name_and_its_fields_in_order(record: Any, frame: bytes) -> None:
    assert wire.encode(record) == frame
    assert wire.decode(frame) == record


def test_every_kind_crosses() -> None:
    assert len(KINDS) > 30
    for kind in KINDS:
        fields = dataclasses.fields(kind)
        record = kind(*range(len(fields)))
        assert wire.decode(wire.encode(record)) == record


@pytest.mark.parametrize("frame", [b"", b"[]", b'["NoteRow",1]', b'["Beat",3]', b'{"Beat":1}', b"[" * 9000, b"\xff"])
def test_what_is_no_record_is_refused(frame: bytes) -> None:
    with pytest.raises(wire.MalformedRecordError, match="not a record of this version"):
        wire.decode(frame)
