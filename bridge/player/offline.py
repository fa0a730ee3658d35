"""The offline twin of the player: the same `Performer`, driven by a clock that jumps from deadline to deadline."""

from __future__ import annotations

from typing import Any

from bridge.player.performer import Performer
from bridge.timing.clocks import OfflineClock


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
