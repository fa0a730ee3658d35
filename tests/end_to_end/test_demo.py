"""The first command of the README: it plays, leaves something to hear and see, and ends by itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import wave
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import mido
import pytest
from whole_bridge import PATIENCE_S, ROOT, alive, eventually


def test_the_demo_ends_within_a_minute_and_leaves_what_it_promises(demo: Future[Any]) -> None:
    shown = demo.result()
    assert shown.done.returncode == 0, shown.done.stderr + shown.done.stdout
    assert shown.took_s < 60, f"{shown.took_s:.1f} s"
    assert shown.tree_unchanged
    assert [path.name for path in shown.folder.iterdir()] == ["shown"], "and nothing beside it"
    folder = shown.folder / "shown"
    assert sorted(path.name for path in folder.iterdir()) == ["demo.mid", "demo.png", "demo.wav"]
    midi = mido.MidiFile(folder / "demo.mid")
    assert midi.ticks_per_beat == 480
    struck = [item for track in midi.tracks for item in track if item.type == "note_on" and item.velocity > 0]
    released = [item for track in midi.tracks for item in track if item.type in ("note_off", "note_on")]
    assert len(struck) >= 24
    assert len(released) == 2 * len(struck)
    assert {item.channel for item in struck} >= {0, 9}
    assert len({item.tempo for track in midi.tracks for item in track if item.type == "set_tempo"}) == 2
    picture = (folder / "demo.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 400
    assert height > 200
    with wave.open(str(folder / "demo.wav")) as sound:
        assert sound.getnframes() / sound.getframerate() > 15
        frames = sound.readframes(sound.getnframes())
    assert max(frames) > 0, "silence"


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("sign", ["SIGTERM", "SIGHUP"])
def test_a_demo_that_is_ended_half_way_ends_its_bridge_and_leaves_nothing(tmp_path: Path, sign: str) -> None:
    """Whether by a service manager, or by its terminal being closed."""
    number = getattr(signal, sign)
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"whoever runs these tests has told every process to ignore {sign}")
    command = [sys.executable, "-m", "bridge", "demo", "--out", str(tmp_path / "shown"), "--set", "midi.backend=none"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    running: dict[str, Any] = {}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as demo:
        try:
            run_file = eventually(lambda: next(iter(tmp_path.glob("barline-demo-*/run.json")), None), what="its bridge")
            running = json.loads(run_file.read_text())
            demo.send_signal(number)
            assert demo.wait(PATIENCE_S) == 128 + number
            pids = [pid for pid in running.values() if isinstance(pid, int)]
            assert len(pids) >= 2
            eventually(lambda: not any(map(alive, pids)), what="the end of its bridge")
        finally:
            demo.kill()
            with contextlib.suppress(ProcessLookupError, KeyError):
                os.kill(running["supervisor"], signal.SIGTERM)
    assert list(tmp_path.iterdir()) == []
