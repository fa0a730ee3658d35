"""The record of what was sent: a ring that is read from outside, over restarts of its writer."""

from __future__ import annotations

import pytest

from bridge.player.record import Played, PlayedReader, PlayedWriter

NAMES = ["Barline melody", "Barline clock"]


def test_what_is_written_is_read(tmp_path):
    writer = PlayedWriter(tmp_path / "played.bin", NAMES, slots=8)
    reader = PlayedReader(tmp_path / "played.bin")
    writer.add(1_000, 1_200, 0, (0x93, 60, 100))
    writer.add(2_000, 2_100, 1, (0xF8,))
    found, number = reader.since(0)
    assert found == [Played(1_000, 1_200, 0, 0x93, 60, 100, 3), Played(2_000, 2_100, 1, 0xF8, 0, 0, 1)]
    assert (number, reader.count, reader.port_names) == (2, 2, NAMES)
    assert reader.since(1)[0] == found[1:]
    reader.close()


def test_the_ring_keeps_the_newest(tmp_path):
    writer = PlayedWriter(tmp_path / "played.bin", NAMES, slots=8)
    reader = PlayedReader(tmp_path / "played.bin")
    for k in range(20):
        writer.add(k, k, 0, (0x90, k, 1))
    found, number = reader.since(0)
    assert [p.data1 for p in found] == list(range(13, 20))  # the eighth is the one being written next
    assert number == 20
    reader.close()


def test_a_successor_writes_on_and_the_reader_reads_on(tmp_path):
    writer = PlayedWriter(tmp_path / "played.bin", NAMES, slots=8)
    reader = PlayedReader(tmp_path / "played.bin")
    writer.add(1, 1, 0, (0x90, 1, 1))
    successor = PlayedWriter(tmp_path / "played.bin", NAMES, slots=8)
    successor.add(2, 2, 0, (0x90, 2, 1))
    assert [p.data1 for p in reader.since(0)[0]] == [1, 2]
    reader.close()


def test_another_size_begins_anew(tmp_path):
    PlayedWriter(tmp_path / "played.bin", NAMES, slots=8)
    PlayedWriter(tmp_path / "played.bin", NAMES, slots=16)
    reader = PlayedReader(tmp_path / "played.bin")
    assert reader.count == 0
    reader.close()


def test_what_is_no_record_is_refused(tmp_path):
    (tmp_path / "other.bin").write_bytes(b"\0" * 5000)
    with pytest.raises(ValueError, match=r"other\.bin: not a record"):
        PlayedReader(tmp_path / "other.bin")
    with pytest.raises(ValueError, match="too many ports"):
        PlayedWriter(tmp_path / "played.bin", ["x" * 1000] * 9, slots=8)
