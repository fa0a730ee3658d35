"""Bundles that wait for their time."""

from __future__ import annotations

import heapq

from bridge.limits import MAX_WAITING_BUNDLES
from bridge.osc.decoder import Message
from bridge.session.outside import Origin


class WaitingBundles:
    """At most `MAX_WAITING_BUNDLES` groups of messages, each due at its own time; equal times keep their order."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, tuple[Message, ...], Origin]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_due_ns(self) -> int | None:
        """When the first of them is due; None when none waits."""
        return self._heap[0][0] if self._heap else None

    def add(self, due_ns: int, messages: tuple[Message, ...], origin: Origin) -> bool:
        """Keep messages until `due_ns`; False when there is no room."""
        if len(self._heap) >= MAX_WAITING_BUNDLES:
            return False
        self._count += 1
        heapq.heappush(self._heap, (due_ns, self._count, messages, origin))
        return True

    def pop_due(self, now_ns: int) -> tuple[int, tuple[Message, ...], Origin] | None:
        """The first one that is due: its time, its messages, who sent them."""
        if not self._heap or self._heap[0][0] > now_ns:
            return None
        due_ns, _, messages, origin = heapq.heappop(self._heap)
        return due_ns, messages, origin
