"""The first command of the README: it plays, leaves something to hear and see, and ends by itself."""

from __future__ import annotations

import struct
import wave
from concurrent.futures import Future
from typing import Any

import mido


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
