"""What the tests of the device say to the bridge themselves, and what they look for in its answers."""

from __future__ import annotations

from typing import Any

import pytest
from maxforlive.device_rig import Device

from bridge.osc.client import OscClient, Said

DEVICE, CLIP, PORT = 0, 1, 2  # Output
FROM_CLIP, FROM_LOOP = 0, 1  # Seed
SCALE = (60, 62, 64, 65, 67, 69, 71, 72)


def eighths(count: int, step: float = 0.5, start: float = 0.0) -> list[dict[str, Any]]:
    """Notes as Live has them."""
    return [
        {"pitch": SCALE[at % 8], "start_time": start + at * step, "duration": step * 0.9, "velocity": 60.0 + at % 50}
        for at in range(count)
    ]


def bars_seen(witness: OscClient, since: int, voice: str = "melody") -> tuple[int, list[tuple[int, float, float, int]]]:
    """Id and notes of the bars that another client saw since a mark."""
    end = witness.wait_for(f"/{voice}/bars/end", 20, since)
    loop_id = end.args[0]
    notes: list[tuple[int, float, float, int]] = []
    for said in witness.said(since):
        if said.address == f"/{voice}/bars/notes" and said.args[0] == loop_id:
            flat = said.args[1:]
            notes += [(flat[at], flat[at + 1], flat[at + 2], flat[at + 3]) for at in range(0, len(flat), 5)]
        if said is end:
            break
    return loop_id, notes


def state_of(said: Said) -> dict[str, Any]:
    return dict(zip(said.args[::2], said.args[1::2], strict=True))


def wait_state(witness: OscClient, since: int, voice: str = "melody", **wanted: Any) -> dict[str, Any]:
    """The first state since a mark that says so."""

    def holds(said: Said) -> bool:
        state = state_of(said)
        return all(state[key] == pytest.approx(value, abs=1e-4) for key, value in wanted.items())

    return state_of(witness.wait_for(f"/{voice}/state", 15, since, holds))


def assert_clip_has(clip: dict[str, Any], notes: list[tuple[int, float, float, int]], length: float) -> None:
    """Every note that the bridge sent is in the clip, at its place, and no other; keys that overlap are cut short."""
    wanted = sorted((pitch, start, velocity) for pitch, start, _, velocity in notes)
    written = sorted((note["pitch"], note["start_time"], note["velocity"]) for note in clip["notes"])
    assert len(written) == len(wanted) > 0
    for one, other in zip(written, wanted, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert (clip["looping"], clip["loop_start"], clip["loop_end"]) == (1, 0, length)
    assert (clip["start_marker"], clip["end_marker"]) == (0, length)
    assert all(note["start_time"] + note["duration"] <= length + 1e-6 for note in clip["notes"])


def assert_nothing_refused(device: Device) -> None:
    """The bridge found no fault with what the device has said."""
    assert not [text for text in device.statuses() if "allowed" in text or "wanted" in text], device.statuses()
