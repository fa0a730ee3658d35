"""How fast one page may be listened to: a bucket of permits that fills at a steady rate."""

from __future__ import annotations


class Pace:
    """Says how long to wait before the next message is read, so that the pace holds on average."""

    def __init__(self, per_second: float, at_once: int) -> None:
        """`at_once` messages may come in one go after a rest."""
        self._cost_ns = round(1e9 / per_second)
        self._room_ns = self._cost_ns * at_once
        self._paid_until_ns = -(1 << 62)  # before any clock began: the first burst has all its room

    def wait_s(self, now_ns: int) -> float:
        """One message has been read: the seconds to wait before the next, 0 while there is room."""
        self._paid_until_ns = max(self._paid_until_ns, now_ns - self._room_ns) + self._cost_ns
        return max(0, self._paid_until_ns - now_ns) / 1e9
