"""The ledger survives the process that wrote it, and only tells of ports of the same name."""

from __future__ import annotations

import errno
import itertools
import signal
import subprocess
import sys

import pytest
from player_rig import ROOT

from bridge import whole_file
from bridge.player.ledger import Ledger, OpenNote, left_open

NAMES = ["Barline melody", "Barline drums"]


def test_what_a_killed_process_left_open_is_owed(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "from bridge.player.ledger import Ledger, OpenNote\n"
        f"ledger = Ledger(pathlib.Path(sys.argv[1]), {NAMES!r})\n"
        "ledger.mark(OpenNote(0, 0, 60)); ledger.mark(OpenNote(1, 9, 36)); ledger.mark(OpenNote(1, 9, 38))\n"
        "ledger.clear(OpenNote(1, 9, 38))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "held.bin")], cwd=ROOT, check=False)
    successor = Ledger(tmp_path / "held.bin", NAMES)
    assert successor.owed == {OpenNote(0, 0, 60), OpenNote(1, 9, 36)}


def test_killed_anywhere_in_its_start_it_forgets_nothing(tmp_path):
    """A process after the other, killed before the first line of the start, before the second, and so on."""
    code = (
        "import os, pathlib, sys\n"
        "from bridge.player.ledger import Ledger\n"
        "lines = int(sys.argv[2])\n"
        "def trace(frame, event, _arg):\n"
        "    global lines\n"
        "    if frame.f_code is Ledger.__init__.__code__ and event == 'line':\n"
        "        lines -= 1\n"
        "        if lines < 0:\n"
        "            os.kill(os.getpid(), 9)\n"
        "    return trace\n"
        "sys.settrace(trace)\n"
        f"Ledger(pathlib.Path(sys.argv[1]), {NAMES!r})\n"
    )
    path = tmp_path / "held.bin"
    Ledger(path, NAMES).mark(OpenNote(1, 9, 36))
    for line in itertools.count():
        ended = subprocess.run([sys.executable, "-c", code, str(path), str(line)], cwd=ROOT, check=False).returncode
        assert left_open(path).get(b"Barline drums") == [(9, 36)], f"killed before line {line} of its start"
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert line > 10


def test_ports_are_known_by_name_and_not_by_place(tmp_path):
    first = Ledger(tmp_path / "held.bin", NAMES)
    first.mark(OpenNote(1, 9, 36))
    first.mark(OpenNote(0, 0, 60))
    second = Ledger(tmp_path / "held.bin", ["Barline bass", "Barline drums", "Barline pad"])
    assert second.owed == {OpenNote(1, 9, 36)}


def test_owed_stays_owed_over_a_second_death_and_is_settled_once_heard(tmp_path):
    path = tmp_path / "held.bin"
    first = Ledger(path, NAMES)
    first.mark(OpenNote(0, 0, 60))
    second = Ledger(path, NAMES)
    second.mark(OpenNote(0, 0, 60))
    second.settle(OpenNote(0, 0, 60))
    assert second.owed == set()
    assert left_open(path)[b"Barline melody"] == [(0, 60)], "it sounds"
    second.lose(OpenNote(0, 0, 60))
    third = Ledger(path, NAMES)
    assert third.owed == {OpenNote(0, 0, 60)}
    third.clear(OpenNote(0, 0, 60))
    assert Ledger(path, NAMES).owed == set()


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 5000, b"BLHELD1\0\xff\xff\xff\x7f" + b"\0" * 100])
def test_a_file_that_is_no_ledger_is_begun_anew(tmp_path, content):
    path = tmp_path / "held.bin"
    path.write_bytes(content)
    made = Ledger(path, NAMES)
    assert made.owed == set()
    made.mark(OpenNote(0, 15, 127))
    assert left_open(path) == {b"Barline melody": [(15, 127)], b"Barline drums": []}


def test_on_a_full_disk_it_is_written_over_the_one_before(tmp_path, monkeypatch):
    Ledger(tmp_path / "held.bin", NAMES).mark(OpenNote(1, 9, 36))

    def full(_path, _content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(whole_file, "write", full)
    successor = Ledger(tmp_path / "held.bin", NAMES)
    assert successor.owed == {OpenNote(1, 9, 36)}
    successor.mark(OpenNote(0, 0, 60))
    assert left_open(tmp_path / "held.bin") == {b"Barline melody": [(0, 60)], b"Barline drums": [(9, 36)]}
    for names in (NAMES[:1], NAMES[::-1], [*NAMES, "Barline bass"]):
        with pytest.raises(OSError, match="No space left"):
            Ledger(tmp_path / "held.bin", names)
    with pytest.raises(OSError, match="No space left"):
        Ledger(tmp_path / "another.bin", NAMES)
