"""The ledger survives the process that wrote it, and only tells of ports of the same name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from player_rig import ROOT

from bridge.player.ledger import Ledger, OpenNote

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
    ledger = Ledger(tmp_path / "held.bin", NAMES)
    assert ledger.owed == {OpenNote(0, 0, 60), OpenNote(1, 9, 36)}
    assert ledger.sounding() == []
    ledger.close()


def test_ports_are_known_by_name_and_not_by_place(tmp_path):
    first = Ledger(tmp_path / "held.bin", NAMES)
    first.mark(OpenNote(1, 9, 36))
    first.mark(OpenNote(0, 0, 60))
    first.close()
    second = Ledger(tmp_path / "held.bin", ["Barline bass", "Barline drums", "Barline pad"])
    assert second.owed == {OpenNote(1, 9, 36)}
    second.close()


def test_owed_stays_owed_over_a_second_death_and_is_settled_once_heard(tmp_path):
    first = Ledger(tmp_path / "held.bin", NAMES)
    first.mark(OpenNote(0, 0, 60))
    first.close()
    second = Ledger(tmp_path / "held.bin", NAMES)
    second.mark(OpenNote(0, 0, 60))
    second.settle(OpenNote(0, 0, 60))
    assert second.sounding() == [OpenNote(0, 0, 60)]
    second.lose(OpenNote(0, 0, 60))
    second.close()
    third = Ledger(tmp_path / "held.bin", NAMES)
    assert third.owed == {OpenNote(0, 0, 60)}
    third.clear(OpenNote(0, 0, 60))
    third.close()
    fourth = Ledger(tmp_path / "held.bin", NAMES)
    assert fourth.owed == set()
    fourth.close()


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 5000, b"BLHELD1\0\xff\xff\xff\x7f" + b"\0" * 100])
def test_a_file_that_is_no_ledger_is_begun_anew(tmp_path, content):
    path = tmp_path / "held.bin"
    path.write_bytes(content)
    ledger = Ledger(path, NAMES)
    assert ledger.owed == set()
    ledger.mark(OpenNote(0, 15, 127))
    assert ledger.sounding() == [OpenNote(0, 15, 127)]
    ledger.close()
