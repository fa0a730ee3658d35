"""Files are there whole or not at all, whatever goes wrong while they are written."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from bridge import whole_file
from bridge.music.midi_files import MidiFileError, write_midi
from bridge.music.notes import Bars
from bridge.running import SessionLock
from bridge.session import statefile

FULL = OSError(errno.ENOSPC, "No space left on device")


def fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on half of what is written fits."""
    whole = Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        whole(path, data[: len(data) // 2])
        raise FULL

    monkeypatch.setattr(Path, "write_bytes", half)


def test_what_is_written_is_all_there_is(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    whole_file.write(path, "Grüße\n")
    assert path.read_bytes() == "Grüße\n".encode()
    whole_file.write(path, b"\0\n")
    assert path.read_bytes() == b"\0\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(b"the old one")
    fill_the_disk(monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        whole_file.write(path, b"the new one")
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_the_file_that_did_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_the_disk(monkeypatch)
    with pytest.raises(OSError, match=r"No space left on device: '.*card\.json'") as told:
        whole_file.write(tmp_path / "card.json", b"the new one")
    assert told.value.errno == errno.ENOSPC
    with (
        pytest.raises(OSError, match=r"tokens\.npy: not all .*\(96 requested and 0 written\)"),
        whole_file.named(tmp_path / "tokens.npy"),
    ):
        raise OSError("96 requested and 0 written")  # as numpy has it


@pytest.mark.parametrize("fault", [FULL, ValueError("no such array"), KeyboardInterrupt()])
def test_whatever_ends_the_writing_leaves_the_old_file(tmp_path: Path, fault: BaseException) -> None:
    path = tmp_path / "take.wav"
    path.write_bytes(b"the old one")
    with pytest.raises(type(fault)), whole_file.in_place_of(path) as beside:  # noqa: PT012 - what is proved is the way out
        beside.write_bytes(b"half")
        raise fault
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_taken_keeps_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        whole_file.write(tmp_path / "folder", b"a file")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_first_fault_is_told_where_nothing_could_be_written_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        whole_file.write(tmp_path / "file" / "state.json", b"{}")
    with pytest.raises(FileNotFoundError):
        whole_file.write(tmp_path / "nowhere" / "state.json", b"{}")


@pytest.mark.parametrize("there", [True, False])
def test_what_is_written_at_a_link_is_written_where_it_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """Whole or not at all too, and in folders that are made for it."""
    place, link = tmp_path / "takes" / "one.mid", tmp_path / "here" / "last.mid"
    link.parent.mkdir()
    link.symlink_to(Path("..", "here", "again.mid"))
    (link.parent / "again.mid").symlink_to(place)
    if there:
        place.parent.mkdir()
        place.write_bytes(b"the old one")
    before = set(tmp_path.rglob("*"))
    whole = Path.write_bytes
    fill_the_disk(monkeypatch)
    with pytest.raises(MidiFileError, match="No space left"):
        write_midi(link, Bars((), 8.0), channels={0: 0}, track_name="take")
    assert set(tmp_path.rglob("*")) == before
    assert not there or place.read_bytes() == b"the old one"
    monkeypatch.setattr(Path, "write_bytes", whole)
    whole_file.refuse_unwritable(link, [link])
    write_midi(link, Bars((), 8.0), channels={0: 0}, track_name="take")
    assert link.is_symlink()
    assert place.read_bytes()[:4] == b"MThd"
    assert not place.is_symlink()
    assert sorted(path.name for path in link.parent.iterdir()) == ["again.mid", "last.mid"]
    assert [path.name for path in place.parent.iterdir()] == ["one.mid"]


def test_links_that_lead_to_no_place_for_a_file_are_refused(tmp_path: Path) -> None:
    round_, folder, lost = tmp_path / "round", tmp_path / "folder", tmp_path / "lost"
    round_.symlink_to(round_)
    folder.symlink_to(tmp_path)
    lost.symlink_to(tmp_path / "nowhere")
    for path, why in (
        (round_, "link to itself"),
        (folder, "is a folder"),
        (lost / "a.mid", "lost is a link to nowhere"),
    ):
        with pytest.raises(whole_file.UnwritableError, match=why):
            whole_file.refuse_unwritable(path, [path])


@pytest.mark.parametrize("there", ["", "takes", "takes/new"])
def test_a_full_disk_leaves_no_folder_that_was_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    before = set(tmp_path.rglob("*"))
    path = tmp_path / "takes" / "new" / "one.mid"
    whole = Path.write_bytes
    fill_the_disk(monkeypatch)
    with pytest.raises(MidiFileError, match="No space left"):
        write_midi(path, Bars((), 8.0), channels={0: 0}, track_name="take")
    assert set(tmp_path.rglob("*")) == before
    monkeypatch.setattr(Path, "write_bytes", whole)
    write_midi(path, Bars((), 8.0), channels={0: 0}, track_name="take")
    assert path.is_file()


def test_a_folder_that_somebody_else_uses_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "takes" / "one.mid"
    with pytest.raises(OSError, match="No space left"), whole_file.folders_for(path):  # noqa: PT012 - both at once
        path.with_name("another.mid").touch()
        raise FULL
    assert [each.name for each in path.parent.iterdir()] == ["another.mid"]


def test_a_folder_that_cannot_be_made_leaves_none_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.mkdir

    def only_above(path: Path, *given: object, **named: object) -> None:
        if path.name == "inner" and (path.parent).exists():
            raise FULL
        whole(path, *given, **named)

    monkeypatch.setattr(Path, "mkdir", only_above)
    with pytest.raises(OSError, match="No space left"), whole_file.folders_for(tmp_path / "outer" / "inner" / "one"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_session_outlives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not statefile.write(tmp_path, {"run": "one"})
    lock = SessionLock(tmp_path)
    there = set(tmp_path.iterdir())
    fill_the_disk(monkeypatch)
    assert "No space left" in statefile.write(tmp_path, {"run": "two"})
    with pytest.raises(OSError, match="No space left"):
        lock.write({"supervisor": 1})
    lock.release()
    assert set(tmp_path.iterdir()) == there
    assert json.loads((tmp_path / "state.json").read_text())["run"] == "one"
