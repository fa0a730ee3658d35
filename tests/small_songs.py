"""Songs made up for the tests: small folders of MIDI files in 4/4."""

import json

import numpy as np

from bridge.music.midi_files import midi_bytes
from bridge.music.notes import Bars, Note, in_order


def tune(seed, bars=8):
    """A melody on the grid: quarters and eighths of a major scale, its own for every seed."""
    rng = np.random.default_rng(seed)
    notes, beat, pitch = [], 0.0, 60 + int(rng.integers(0, 12))
    while beat < 4 * bars:
        length = float(rng.choice([0.5, 1.0]))
        pitch = int(np.clip(pitch + rng.choice([-4, -2, -1, 1, 2, 3, 5]), 55, 82))
        notes.append(Note(pitch, beat, min(length, 4 * bars - beat), 80))
        beat += length
    return Bars(tuple(notes), 4.0 * bars)


def beat_of(seed, bars=8):
    """A drum take with velocities and small offsets."""
    rng = np.random.default_rng(seed)
    notes = []
    for step in range(16 * bars):
        for pitch, chance in ((36, 0.3), (38, 0.2), (42, 0.7), (51, 0.1)):
            if rng.random() < chance:
                start = max(0.0, step / 4 + float(rng.normal(0, 0.02)))
                notes.append(Note(pitch, start, 0.1, int(rng.integers(30, 120))))
    return Bars(in_order(notes), 4.0 * bars)


def write_songs(folder, count=6, *, manifest=False, part="melody"):
    """`count` files in a folder; with a manifest, each its own song."""
    folder.mkdir(parents=True, exist_ok=True)
    make, channel = (beat_of, 9) if part == "drums" else (tune, 0)
    files = {}
    for seed in range(count):
        name = f"{part}-{seed}.mid"
        (folder / name).write_bytes(midi_bytes(make(seed), channels={0: channel}, track_name=part))
        files[name] = {"song": f"song {seed}", "roles": {part: "all" if part == "drums" else [0]}}
    if manifest:
        (folder / "manifest.json").write_text(json.dumps({"source": "made-up", "files": files}))
    return folder


def write_trios(folder, count=3, bars=20):
    """Files with melody, bass and drums."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for seed in range(count):
        low = [Note(n.pitch - 24, n.start, n.duration, 80, 1) for n in tune(seed + 50, bars).notes]
        drums = [Note(n.pitch, n.start, n.duration, n.velocity, 2) for n in beat_of(seed, bars).notes]
        whole = Bars(in_order([*tune(seed, bars).notes, *low, *drums]), 4.0 * bars)
        name = f"trio-{seed}.mid"
        (folder / name).write_bytes(midi_bytes(whole, channels={0: 0, 1: 1, 2: 9}, track_name="trio"))
        files[name] = {"song": f"song {seed}", "roles": {"melody": [0], "bass": [1], "drums": "all"}}
    (folder / "manifest.json").write_text(json.dumps({"source": "made-up", "files": files}))
    return folder
