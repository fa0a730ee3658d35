"""The Ableton Link library, where it is installed: joining a session, reading it, and carrying our user's wishes to it.

Link's own threads do the network's work outside Python; its callbacks would need Python's lock, so the session is read
instead: `read` takes some microseconds and is called between notes. A new Link object waits before it is switched on: a
peer that has just been left alone founds its session anew, and of two sessions that meet, less than half a second apart
in age, either may give the other its tempo.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from bridge.timing.link import NOT_INSTALLED, LinkReading, LinkWish, installed

log = logging.getLogger(__name__)

READ_EVERY_NS: Final = 20_000_000  # how late a tempo change by a peer may be known: 5 ms of phase at 120 -> 90 BPM
SETTLE_NS: Final = 700_000_000  # from making a Link object to switching it on
CLOSE_READINGS: Final = 3  # tries to read both clocks within `CLOSE_NS`
CLOSE_NS: Final = 20_000


class LinkSession:
    """Our place in a session. Closed until `open`; every method is for one thread."""

    def __init__(self) -> None:
        """Outside every session; the library is looked for, not loaded."""
        self.missing = "" if installed() else NOT_INSTALLED
        self._link: Any = None
        self._clock: Any = None
        self._enable_ns = 0
        self._ahead_ns = 0
        self.next_read_ns = 0

    @property
    def is_open(self) -> bool:
        """Whether we are in a session, or about to be."""
        return self._link is not None

    def open(self, tempo_bpm: float, now_ns: int) -> None:
        """Be in a session from shortly from now on, at its tempo; at `tempo_bpm` where nobody else is in it.

        Loads the library (some 10 ms with all it starts). Where it cannot be had, `missing` says why; nothing opens.
        """
        if self._link is not None or self.missing:
            return
        try:
            import link
        except ImportError as fault:
            self.missing = f"Ableton Link cannot be loaded: {fault}"
            log.warning("%s", self.missing)
            return
        self._link = link.Link(tempo_bpm)
        self._link.startStopSyncEnabled = True
        self._clock = self._link.clock()
        self._enable_ns = now_ns + SETTLE_NS
        self.next_read_ns = self._enable_ns

    def close(self) -> None:
        """Leave; the others play on."""
        if self._link is not None:
            self._link.enabled = False
            self._link = self._clock = None

    def read(self, quantum_beats: float, now_ns: int) -> LinkReading | None:
        """The session now; None while we are outside, or not yet in."""
        if self._link is None or now_ns < self._enable_ns:
            return None
        self.next_read_ns = now_ns + READ_EVERY_NS
        if not self._link.enabled:
            self._link.enabled = True
        time_ns, micros = self._both_clocks()
        state = self._link.captureAppSessionState()
        return LinkReading(
            time_ns,
            state.beatAtTime(micros, quantum_beats),
            state.tempo(),
            state.isPlaying(),
            state.timeForIsPlaying() * 1000 + self._ahead_ns,
            self._link.numPeers(),
        )

    def ask(self, wish: LinkWish, quantum_beats: float) -> None:
        """Carry a wish to the session."""
        if self._link is None or (wish.only_alone and self._link.numPeers()):
            return
        micros = (wish.at_ns - self._ahead_ns) // 1000
        state = self._link.captureAppSessionState()
        if wish.tempo_bpm is not None:
            state.setTempo(wish.tempo_bpm, micros)
        if wish.playing is not None:
            state.setIsPlaying(wish.playing, micros)
        if wish.beats is not None:
            state.requestBeatAtTime(wish.beats, micros, quantum_beats)
        self._link.commitAppSessionState(state)

    def _both_clocks(self) -> tuple[int, int]:
        """One moment by our clock (ns) and by Link's (us). Measured at every reading: the two drift, by some 20 ppm on
        Linux, where the one is steered by the network's time and the other is not.
        """
        best_ns, found = CLOSE_NS + 1, (0, 0)
        for _ in range(CLOSE_READINGS):
            before_ns = time.perf_counter_ns()
            micros = int(self._clock.micros())
            width_ns = time.perf_counter_ns() - before_ns
            if width_ns < best_ns or not found[1]:
                best_ns, found = width_ns, (before_ns + width_ns // 2, micros)
            if best_ns <= CLOSE_NS:
                break
        self._ahead_ns = found[0] - found[1] * 1000
        return found
