"""A crowd at the panel while the bridge plays: notes stay on time, memory flat, and nobody is left behind."""

from __future__ import annotations

import contextlib
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_client import PageClient
from whole_bridge import PATIENCE_S, Recorder, Row, eventually, flat, open_notes, resident_bytes, start_song, subscribed

from bridge.hosted import HostedBridge, note_ons

if sys.platform != "linux":
    pytest.skip("memory and open files are counted in /proc", allow_module_level=True)

SETTINGS = ("panel.enabled=true", "panel.port=0", "midi.backend=none", "voices.melody.launch=now")
MESSAGES_PER_S = 1000
CONNECTIONS = 50
STRETCH_S = 4.0
BUSY = tuple(Row(60 + step % 12, step * 0.25, 0.2, 90, 0) for step in range(16))


class Hand(threading.Thread):
    """A page that moves the pad a thousand times a second, and reads all it is told."""

    def __init__(self, page: PageClient) -> None:
        super().__init__(name="hand")
        self._page = page
        self._over = threading.Event()
        self.sent = 0
        self._reader = threading.Thread(target=self._read, name="eyes", daemon=True)

    def _read(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                self._page.hear(0.2)

    def run(self) -> None:
        self._reader.start()
        begun = time.monotonic()
        while not self._over.is_set():
            due = int((time.monotonic() - begun) * MESSAGES_PER_S)
            while self.sent < due:
                self._page.send("/melody/xy", (self.sent % 100) / 100, (self.sent % 37) / 37)
                self.sent += 1
            time.sleep(0.005)

    def rest(self) -> None:
        self._over.set()
        self.join()
        self._reader.join()


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[HostedBridge]:
    with HostedBridge(tmp_path / "session", SETTINGS) as hosted:
        hosted.wait_until_ready()
        yield hosted


def lateness_ms(recorder: Recorder) -> list[float]:
    return [(item.sent_ns - item.intended_ns) / 1e6 for item in note_ons(recorder.played())]


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def crowd(panel: str, stretch_s: float) -> float:
    """Open and drop connections over a stretch, politely and by just going; the slowest answer in milliseconds."""
    slowest_s = 0.0
    for number in range(CONNECTIONS):
        begun = time.monotonic()
        page = PageClient(panel)
        page.settle()
        slowest_s = max(slowest_s, time.monotonic() - begun)
        if number % 2:
            page.socket.socket.close()
            with contextlib.suppress(Exception):
                page.close()
        else:
            page.close()
        time.sleep(max(0.0, stretch_s / CONNECTIONS - (time.monotonic() - begun)))
    return slowest_s * 1000


def test_fifty_come_and_go_while_one_sends_a_thousand_a_second(bridge: HostedBridge) -> None:
    panel = str(eventually(lambda: bridge.processes()["panel"]))
    pid = bridge.processes()["bridge.main"]
    with subscribed(bridge) as user, PageClient(panel) as page:
        for slot in "abcd":
            user.send("/melody/store", slot, 4.0, *flat(BUSY))
        start_song(user, 150.0)
        user.bars("/melody/sample", 2)
        user.bars("/drums/sample", 2)
        user.wait_for("/drums/launched", PATIENCE_S)
        quiet = Recorder(bridge)
        time.sleep(STRETCH_S)
        calm_ms = lateness_ms(quiet)
        hand = Hand(page)
        hand.start()
        crowd(panel, 1.0)  # everything has been used once: from here on memory is flat
        memory_before, files_before = resident_bytes(pid), open_files(pid)
        loud = Recorder(bridge)
        slowest_ms = crowd(panel, STRETCH_S)
        busy_ms = lateness_ms(loud)
        memory_after = resident_bytes(pid)
        hand.rest()
        user.settle()
        eventually(lambda: open_files(pid) <= files_before, what="connections are left behind")
        played = loud.from_start()
        assert not user.errors()
        state = user.state("melody")
    figures = (
        f"{hand.sent} messages, {CONNECTIONS} connections; lateness of notes in ms, calm and crowded: "
        f"median {statistics.median(calm_ms):.2f} {statistics.median(busy_ms):.2f}, "
        f"95 % {statistics.quantiles(calm_ms, n=20)[-1]:.2f} {statistics.quantiles(busy_ms, n=20)[-1]:.2f}, "
        f"most {max(calm_ms):.2f} {max(busy_ms):.2f}; slowest first answer {slowest_ms:.0f} ms; "
        f"memory {memory_before >> 20} to {memory_after >> 20} MiB"
    )
    assert hand.sent > 0.8 * MESSAGES_PER_S * STRETCH_S, figures
    assert len(busy_ms) > 20, figures
    assert statistics.median(busy_ms) < statistics.median(calm_ms) + 5.0, figures
    assert statistics.quantiles(busy_ms, n=20)[-1] < statistics.quantiles(calm_ms, n=20)[-1] + 15.0, figures
    assert memory_after - memory_before < 8 << 20, figures
    assert open_notes(played) is not None
    assert state["sounding_id"] > 0
