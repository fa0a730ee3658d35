"""When a MIDI message came in: the driver's clock, told as the time between messages, against the machine's.

The driver stamps each message as it arrives; Python's callback runs later, by however long it waited for the lock. Of
the callbacks of late the one that waited least ties the two clocks together, and every message is placed by the
driver's own times from there.
"""

from __future__ import annotations

from typing import Final

CREEP_NS_PER_S: Final = 50_000  # two clocks of one machine part by less than 50 ppm; the tie gives way at that pace
LONGEST_WAIT_NS: Final = 30_000_000  # a callback later than this means that the driver's times cannot be trusted


class DriverStamps:
    """Turns the driver's deltas into moments of `time.perf_counter_ns`."""

    def __init__(self) -> None:
        """Nothing received yet."""
        self._driver_ns = 0
        self._tie_ns: int | None = None  # the machine's clock minus the driver's, of the least delayed callback
        self._last_ns = 0

    def of(self, now_ns: int, delta_s: float) -> int:
        """The moment a message came in.

        Args:
            now_ns: the machine's clock, first thing in the callback.
            delta_s: the driver's time since the message before (of any kind: none may be left out).

        Returns:
            A moment at or before `now_ns`, by 30 ms at the most, never before that of the message before.
        """
        self._driver_ns += round(delta_s * 1e9)
        seen_ns = now_ns - self._driver_ns
        if self._tie_ns is not None:
            self._tie_ns += round(delta_s * CREEP_NS_PER_S)
        if self._tie_ns is None or not 0 <= seen_ns - self._tie_ns <= LONGEST_WAIT_NS:
            self._tie_ns = seen_ns
        self._last_ns = max(self._last_ns, self._driver_ns + self._tie_ns)
        return self._last_ns
