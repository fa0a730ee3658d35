"""Who has asked for events: (host, port) pairs, each kept alive by the senders that named it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bridge.limits import MAX_SENDERS_PER_SUBSCRIBER, MAX_SUBSCRIBERS, SUBSCRIPTION_S
from bridge.session.outside import BUSY, Origin, RefusedError

_LIFE_NS: Final = round(SUBSCRIPTION_S * 1e9)


class _Subscriber:
    __slots__ = ("last_ns", "senders")

    def __init__(self) -> None:
        self.last_ns = 0
        self.senders: list[Origin] = []  # latest last


class Subscribers:
    """At most `MAX_SUBSCRIBERS` targets. A target is a port on the host of a sender that asked, and no other host.

    A client that sends from one port and listens on another (Max), and a shell that sends each message from a new port,
    both count once: targets are counted, and remember their latest senders. A sender has one target.
    """

    def __init__(self) -> None:
        self._targets: dict[Origin, _Subscriber] = {}
        self._target_of: dict[Origin, Origin] = {}

    def __len__(self) -> int:
        return len(self._targets)

    def __iter__(self) -> Iterator[Origin]:
        return iter(tuple(self._targets))

    def __contains__(self, origin: Origin) -> bool:
        """Whether the sender has subscribed, or events go to it in any case."""
        return origin in self._target_of or origin in self._targets

    def add(self, sender: Origin, port: int | None, now_ns: int) -> Origin:
        """Subscribe the sender, its events and answers going to `port` (None: the one it sends from); its target.

        Raises:
            RefusedError: 6 when there are as many as there may be.
        """
        self.drop_lapsed(now_ns)
        target = (sender[0], sender[1] if port is None else port)
        former = self._target_of.get(sender)
        replaces = former is not None and former != target and self._targets[former].senders == [sender]
        if target not in self._targets and len(self._targets) - replaces >= MAX_SUBSCRIBERS:
            raise RefusedError(BUSY, f"there are {MAX_SUBSCRIBERS} subscribers already")
        if former is not None:
            self.remove(sender)
        subscriber = self._targets.setdefault(target, _Subscriber())
        subscriber.senders.append(sender)
        subscriber.last_ns = now_ns
        self._target_of[sender] = target
        if len(subscriber.senders) > MAX_SENDERS_PER_SUBSCRIBER:
            del self._target_of[subscriber.senders.pop(0)]
        return target

    def remove(self, sender: Origin) -> None:
        """End the sender's subscription; the target goes with the last sender that named it."""
        target = self._target_of.pop(sender, None)
        if target is not None:
            subscriber = self._targets[target]
            subscriber.senders.remove(sender)
            if not subscriber.senders:
                del self._targets[target]

    def touch(self, sender: Origin, now_ns: int) -> None:
        """The sender has spoken: its subscription, if any, lives on."""
        target = self._target_of.get(sender)
        if target is not None:
            self._targets[target].last_ns = now_ns

    def drop_lapsed(self, now_ns: int) -> None:
        """Forget targets whose senders have been silent for `SUBSCRIPTION_S`."""
        for target, subscriber in list(self._targets.items()):
            if now_ns - subscriber.last_ns >= _LIFE_NS:
                for sender in subscriber.senders:
                    del self._target_of[sender]
                del self._targets[target]

    def target_of(self, origin: Origin) -> Origin:
        """Where answers to the sender go: the port it named, else where it sent from."""
        return self._target_of.get(origin, origin)
