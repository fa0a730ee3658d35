"""The offline twin of the player: the same `Performer`, driven by a clock that jumps from deadline to deadline."""

from __future__ import annotations

from typing import Any

from bridge.player.performer import Performer


class OfflineClock:
    """A clock for tests and for playing faster than time: it stands until it is moved."""

    def __init__(self, now_ns: int = 0) -> None:
        """Start at `now_ns`."""
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The present moment."""
        return self._now_ns

    def move_to(self, now_ns: int) -> None:
        """Let time pass until `now_ns`; never backwards."""
        self._now_ns = max(self._now_ns, now_ns)


class OfflinePlayer:
    """Plays an hour of music in seconds, exactly."""

    def __init__(self, performer: Performer, clock: OfflineClock) -> None:
        """`performer`'s outputs must stamp with the same clock."""
        self.performer = performer
        self.clock = clock

    def run_to(self, until_ns: int) -> None:
        """Let time pass, performing whatever falls due at its very moment."""
        while (due_ns := self.performer.next_due_ns()) <= until_ns:
            self.clock.move_to(due_ns)
            self.performer.perform(self.clock.now_ns())
        self.clock.move_to(until_ns)

    def handle(self, record: Any, at_ns: int | None = None) -> None:
        """Give it a record now, or at a later moment."""
        if at_ns is not None:
            self.run_to(at_ns)
        self.performer.handle(record, self.clock.now_ns())

    def take_events(self) -> list[Any]:
        """What it has told the bridge since the last call."""
        events = list(self.performer.outbox)
        self.performer.outbox.clear()
        return events
