"""The whole bridge under measurement: clicks, lateness of notes, processor share, start-up; by real OSC."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bridge.bench.rows import Row, row
from bridge.hosted import HostedBridge, note_ons
from bridge.osc.client import OscClient

_CLICKS = 200
_CLICKS_AFTER_A_PAUSE = 60
_PAUSE_S = 0.3
_NOTES = 2000
_FLOOD_PER_S = 1000
_LATENESS_BPM = 240.0
_IDLE_S = 20.0
_STARTS = 5


def click_rows(client: OscClient, eager_ms: float | None) -> list[Row]:
    """`/melody/next 2`, one after the other, then `/melody/sample 2`: from its arrival to the hand-over, and as a
    client sees it; then the same by a hand, which pauses, so that what it asks for may have been made ready.

    The baseline is the same decode run eagerly, alone: a whole click against the bare arithmetic of one; of clicks
    after a pause, the median of those without.
    """
    rows = []
    for clicked in ("next", "sample"):
        inside, outside, share = _clicks(client, f"/melody/{clicked}", _CLICKS)
        paused, _, _ = _clicks(client, f"/melody/{clicked}", _CLICKS_AFTER_A_PAUSE, _PAUSE_S)
        at_once_ms = float(np.median(inside))
        rows += [
            row(f"{clicked}, click to bars: request to hand-over", "ms", inside, eager_ms),
            row(f"{clicked}, click to bars: as the client sees it", "ms", outside, eager_ms),
            row(f"{clicked}: share of different answers", "share", [share] * _CLICKS),
            row(f"{clicked}, a click after {_PAUSE_S:g} s: request to hand-over", "ms", paused, at_once_ms),
        ]
    return rows


def _clicks(
    client: OscClient, address: str, count: int, pause_s: float = 0.0
) -> tuple[list[float], list[float], float]:
    """Milliseconds of each click inside the bridge and outside it, and the share of different answers."""
    inside, outside = [], []
    different = set()
    for _ in range(count):
        time.sleep(pause_s)
        since = client.mark()
        sent_ns = time.perf_counter_ns()
        client.send(address, 2)
        end = client.wait_for("/melody/bars/end", 10.0, since)
        inside.append(float(end.args[1]))
        outside.append((end.arrival_ns - sent_ns) / 1e6)
        notes = [said.args[1:] for said in client.said(since) if said.address == "/melody/bars/notes"]
        different.add(tuple(notes))
    return inside, outside, len(different) / count


def lateness_rows(bridge: HostedBridge, client: OscClient) -> list[Row]:
    """Notes against their intended time, stamped after the send: idle, while generating, under a flood.

    The baseline of the first is a sequencer that sleeps until each note with `time.sleep`, run in between; of the
    others, the idle p99.
    """
    client.send("/clock/tempo", _LATENESS_BPM)
    for voice, pitches in (("melody", (60, 64)), ("drums", (36, 42))):
        rows = [(pitches[step % 2], step / 4, 0.2, 90, 0) for step in range(16)]
        client.send(f"/{voice}/clear")
        client.send(f"/{voice}/store", "a", 4.0, *(value for note in rows for value in note))
        client.send(f"/{voice}/store", "b", 4.0, *(value for note in rows for value in note))
        client.send(f"/{voice}/morph", 0.0)
    client.send("/clock/play")
    time.sleep(2.0)
    idle = _lateness(bridge, _NOTES)
    sleeper = _sleeping_sequencer(_NOTES // 4)
    idle_p99 = float(np.percentile(idle, 99))
    with _Doing(lambda: _generate(client)):
        generating = _lateness(bridge, _NOTES)
    with _Doing(lambda: _generate(client)), _Doing(lambda: _flood(client)):
        flooded = _lateness(bridge, _NOTES)
    client.send("/clock/stop")
    return [
        row("note lateness, idle (against time.sleep)", "ms", idle, float(np.percentile(sleeper, 99)), of="p99"),
        row("note lateness, while bars are generated every beat", "ms", generating, idle_p99, of="p99"),
        row("note lateness, generating and 1,000 OSC messages a second", "ms", flooded, idle_p99, of="p99"),
    ]


def processor_row(bridge: HostedBridge, client: OscClient) -> list[Row]:
    """The player's share of one core while loops play and nothing else happens, against the 5 per cent it may have."""
    pid = int(bridge.processes()["bridge.player"])
    if not Path(f"/proc/{pid}/stat").exists():
        return []
    client.send("/clock/tempo", 120.0)
    client.send("/clock/play")
    time.sleep(1.0)
    shares = []
    for _ in range(5):
        before, begun = _processor_s(pid), time.perf_counter()
        time.sleep(_IDLE_S / 5)
        shares.append((_processor_s(pid) - before) / (time.perf_counter() - begun))
    client.send("/clock/stop")
    return [row("player: share of one core, loops playing at 120 BPM (against 0.05)", "share", shares, 0.05)]


def start_rows(folder: Path) -> list[Row]:
    """From the command to the bound OSC port, and to ready; against a bare interpreter, and one that imports torch."""
    bound, ready, bare, torch_s = [], [], [], []
    for number in range(_STARTS):
        with HostedBridge(folder / f"start{number}", ["midi.backend=none"]) as bridge:
            bridge.wait_until_ready()
            bound.append((bridge.bound_ns - bridge.started_ns) / 1e6)
            ready.append((bridge.ready_ns - bridge.started_ns) / 1e6)
        bare.append(_timed_ms("pass"))
        torch_s.append(_timed_ms("import torch"))
    return [
        row("start to OSC bound (against a bare interpreter)", "ms", bound, float(np.median(bare))),
        row("start to ready (against import torch)", "ms", ready, float(np.median(torch_s))),
    ]


def _timed_ms(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - begun) * 1e3


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _lateness(bridge: HostedBridge, count: int) -> list[float]:
    """Lateness in ms of the next `count` note-ons, from the player's own record."""
    reader = bridge.played()
    found: list[float] = []
    position = reader.count
    deadline = time.monotonic() + 180.0
    try:
        while len(found) < count and time.monotonic() < deadline:
            time.sleep(0.5)
            played, position = reader.since(position)
            found += [(message.sent_ns - message.intended_ns) / 1e6 for message in note_ons(played)]
    finally:
        reader.close()
    return found[:count]


def _sleeping_sequencer(count: int) -> list[float]:
    late = []
    origin = time.perf_counter_ns()
    for number in range(count):
        due = origin + (number + 1) * 10_000_000
        time.sleep(max(0.0, (due - time.perf_counter_ns()) / 1e9))
        late.append((time.perf_counter_ns() - due) / 1e6)
    return late


class _Doing:
    """Does something again and again on a thread of its own, until it is left."""

    def __init__(self, once: Callable[[], None]) -> None:
        self._once = once
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench load", daemon=True)

    def _run(self) -> None:
        while not self._over.is_set():
            self._once()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _generate(client: OscClient) -> None:
    client.send("/drums/vary", 0.5)
    time.sleep(60.0 / _LATENESS_BPM)


def _flood(client: OscClient) -> None:
    """A tenth of a second of knobs, a hundred messages."""
    begun = time.perf_counter()
    for number in range(_FLOOD_PER_S // 10):
        client.send(_KNOBS[number % len(_KNOBS)], random.random())
        time.sleep(max(0.0, begun + (number + 1) / _FLOOD_PER_S - time.perf_counter()))


_KNOBS = ("/melody/humanize", "/drums/humanize", "/melody/morph", "/melody/quantize")
