"""The device file under test in an emulated Max and a fake Live, run by Node over real UDP; driven from Python."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).resolve().parent
DEVICE = HERE.parents[1] / "maxforlive" / "Barline.amxd"
T = TypeVar("T")
#: A device looks for a port beginning with its id in Live: those of each of pytest's workers begin elsewhere.
FIRST_ID = 1 + 50 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def wait_until(read: Callable[[], T], holds: Callable[[T], bool], timeout_s: float = 20.0, what: str = "") -> T:
    """Read again and again until it holds; what was read."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = read()
        if holds(value):
            return value
        assert time.monotonic() < deadline, f"{what or 'it'} did not come about; last seen: {str(value)[-1500:]}"
        time.sleep(0.05)


class Rig:
    """One Live with any number of devices."""

    def __init__(self, node: str, virtual: bool = False) -> None:
        """`virtual`: its time stands until it is told to `advance`."""
        self._process = subprocess.Popen(
            [node, str(HERE / "rig" / "main.js"), str(FIRST_ID), *(["--virtual"] if virtual else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._lock = threading.Lock()

    def do(self, command: str, **options: Any) -> Any:
        """One command of rig/main.js."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps({"command": command, **options}) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, f"{command}: {answer['error']}"
        return answer["result"]

    def ms_at_beat(self, beat: float) -> float:
        """When the song, as it runs now at 120 BPM, is there, by the clock that notes and messages are stamped with."""
        now = self.do("moment")  # both in one answer, which may be long in coming
        return float(now["ms"] + (beat - now["beats"]) * 500)

    def end(self) -> None:
        """The set is closed: a bridge that lives on is not to speak to the next one. No error may have been seen."""
        self.do("closeSet")
        errors = self.do("errors")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
        assert not errors, "\n".join(errors[:3])


class Device:
    """One device on a track of the rig."""

    def __init__(self, rig: Rig, port: int, file: Path = DEVICE, track: int | None = None, **values: Any) -> None:
        """`values`: what the set has stored, by long name with _ for spaces."""
        self.rig = rig
        self.track = rig.do("track") if track is None else track
        stored = {name.replace("_", " "): value for name, value in values.items()}
        stored.setdefault("Bridge Port", port)
        self.index: int = rig.do("device", file=str(file), track=self.track, values=stored)

    def turn(self, name: str, value: float) -> None:
        self.rig.do("turn", device=self.index, name=name, value=value)

    def press(self, name: str, how: object = "bang") -> None:
        self.rig.do("press", device=self.index, name=name, how=how)

    def value(self, name: str) -> float:
        return float(self.rig.do("value", device=self.index, name=name))

    def sent(self, address: str = "", start: int = 0) -> list[dict[str, Any]]:
        """What it has sent by UDP, to one address or to all."""
        return [
            one for one in self.rig.do("sent", device=self.index, **{"from": start}) if address in ("", one["address"])
        ]

    def mark(self) -> int:
        return len(self.sent())

    def statuses(self) -> list[str]:
        """Every text that the status line has shown."""
        found: list[str] = self.rig.do("status", device=self.index)
        return found

    def wait_for_status(self, part: str, timeout_s: float = 30.0, since: int = 0) -> str:
        texts = wait_until(
            lambda: [text for text in self.statuses()[since:] if part in text], bool, timeout_s, f"status {part!r}"
        )
        return texts[-1]

    def wait_ready(self, timeout_s: float = 90.0) -> None:
        wait_until(self.statuses, lambda texts: bool(texts) and texts[-1].startswith("Ready"), timeout_s, "Ready")

    def wait_sent(self, address: str, start: int = 0, timeout_s: float = 10.0) -> list[dict[str, Any]]:
        return wait_until(lambda: self.sent(address, start), bool, timeout_s, f"{address} sent")

    def clips(self) -> list[dict[str, Any] | None]:
        found: list[dict[str, Any] | None] = self.rig.do("clips", track=self.track)
        return found

    def wait_clip(self, slot: int, timeout_s: float = 20.0) -> dict[str, Any]:
        """The clip in a slot once it has its notes and the device is done with it."""
        since = len(self.statuses())
        try:
            wait_until(lambda: self.clips()[slot], lambda found: bool(found and found["name"]), timeout_s)
        except AssertionError:
            said = self.statuses()[max(0, since - 2) :]
            raise AssertionError(f"no clip {slot}; the status line said {said}") from None
        wait_until(lambda: self.rig.do("undo")["open"], lambda still: not still, 5.0, "end of the undo step")
        done = self.clips()[slot]
        assert done is not None
        return done

    def notes(self) -> list[tuple[float, int, int, int]]:
        """Note messages that have left the device: time in ms, status, pitch, velocity."""
        midi = self.rig.do("midi", device=self.index)
        return [
            (midi[at][0], midi[at][1], midi[at + 1][1], midi[at + 2][1])
            for at in range(0, len(midi) - len(midi) % 3, 3)
        ]
