"""The pages that are connected: what they ask goes the way of every OSC message, what is said goes to them.

A page speaks OSC 1.0, one message to a binary WebSocket frame, and is served by the same `Dispatcher` as a datagram:
one decoder, one table, one set of error texts. Text frames go to the page only, and hold as JSON what it shows besides:
the interface it builds its controls from (`bridge.panel.describe`), and what a voice remembers.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bridge import limits
from bridge.osc.dispatch import Counters, Dispatcher, Handler
from bridge.osc.encoder import encode
from bridge.panel.describe import interface, memory
from bridge.panel.fanout import PAGE
from bridge.session.outside import NOT_NOW, Origin, RefusedError, Request
from bridge.session.stage import Stage
from bridge.session.voice import Voice


class Page:
    """One connection. `send` never blocks: what the page has not taken waits here, within a bound."""

    def __init__(self, number: int, wake: Callable[[], None], drop: Callable[[], None]) -> None:
        """`wake` is called when there is something to send, `drop` when the page is too far behind."""
        self.origin: Origin = (PAGE, number)
        self._wake = wake
        self._drop = drop
        self._waiting: deque[bytes | str] = deque()
        self._backlog_bytes = 0
        self._most_bytes: float = math.inf
        self.dropped = False

    def send(self, frame: bytes | str) -> None:
        """Put a frame in the queue."""
        if self.dropped:
            return
        if self._backlog_bytes + len(frame) > self._most_bytes:
            self.dropped = True
            self._waiting.clear()
            self._drop()
            return
        self._backlog_bytes += len(frame)
        self._waiting.append(frame)
        self._wake()

    def is_told(self) -> None:
        """It has been told everything, however much that was: where it was very much, it may be as far behind again."""
        self._most_bytes = max(limits.MAX_PANEL_BACKLOG_BYTES, 2 * self._backlog_bytes)

    def next_frame(self) -> bytes | str | None:
        """The frame to send now, or None."""
        return self._waiting.popleft() if self._waiting else None

    def sent(self, frame: bytes | str) -> None:
        """The frame is on its way: it counts no longer."""
        self._backlog_bytes -= len(frame)


class Hub:
    """All pages. Called on the event loop's thread only."""

    def __init__(
        self, voices: dict[str, dict[str, Any]], handler: Handler, stage: Callable[[], Stage], version: str
    ) -> None:
        """`voices` is that section of the config; `handler` takes the requests, as from OSC."""
        self._voices = voices
        self._handler = handler
        self._stage = stage
        self._version = version
        self._started_ns = time.perf_counter_ns()
        self._pages: dict[int, Page] = {}
        self._count = 0
        self._told: dict[str, Any] = {}
        self._dispatcher = Dispatcher(list(voices), self._handle, self._send_error)
        self._own: dict[str, Callable[[Request], None]] = {
            "ping": self._ping,
            "state": lambda request: self._stage().send_whole_state(request.origin),
            "subscribe": self._refuse_subscription,
            "unsubscribe": self._refuse_subscription,
        }

    @property
    def counters(self) -> Counters:
        """What has come from pages."""
        return self._dispatcher.counters

    @property
    def stage(self) -> Stage:
        """The session's stage, to read from."""
        return self._stage()

    # -- coming and going ------------------------------------------------------------------------------------------

    def join(self, wake: Callable[[], None], drop: Callable[[], None]) -> Page | None:
        """A page has connected: it is told everything. None when there are too many."""
        if len(self._pages) >= limits.MAX_PANEL_CONNECTIONS:
            return None
        if not self._pages:  # whatever happened while nobody watched, the first page is told below
            self._told = {voice.name: _mark(voice) for voice in self._stage().voices.values()}
        self._count += 1
        page = self._pages[self._count] = Page(self._count, wake, drop)
        stage = self._stage()
        page.send(json.dumps(interface(self._version, stage.run, self._voices), separators=(",", ":")))
        stage.send_whole_state(page.origin)
        only_here = replace(stage, outbox=_OnlyTo(self, page.origin))
        for voice in stage.voices.values():
            page.send(json.dumps(memory(stage, voice), separators=(",", ":")))
            if voice.sounding is not None:
                only_here.announce_bars(voice, voice.sounding, voice.start_beats, 0.0, None)
            if voice.pending is not None:
                handed = voice.handed.get(voice.pending.id)
                start_beats = -1.0 if handed is None else handed.start_beats
                only_here.announce_bars(voice, voice.pending, start_beats, 0.0, None)
        page.is_told()
        return page

    def leave(self, page: Page) -> None:
        """The connection has ended."""
        self._pages.pop(page.origin[1], None)
        page.dropped = True

    # -- what pages say --------------------------------------------------------------------------------------------

    def receive(self, page: Page, datagram: bytes) -> bool:
        """Act on one frame; False when it was not an OSC message (a page has no use for bundles)."""
        if not datagram.startswith(b"/"):
            self.counters.malformed += 1
            return False
        return self._dispatcher.receive(datagram, page.origin, time.perf_counter_ns(), time.time_ns())

    def _handle(self, request: Request) -> None:
        own = self._own.get(request.verb) if request.scope == "bridge" else None
        (own or self._handler)(request)

    def _ping(self, request: Request) -> None:
        uptime_s = (time.perf_counter_ns() - self._started_ns) / 1e9
        ready = int(self._stage().ready)
        self.reply(request.origin, "/bridge/pong", request.args["token"], self._version, uptime_s, ready)

    def _refuse_subscription(self, _request: Request) -> None:
        raise RefusedError(NOT_NOW, "a page gets all events for as long as it is connected")

    def _send_error(self, origin: Origin, code: int, address: str, message: str) -> None:
        self.reply(origin, "/error", code, address, message)

    # -- what pages hear -------------------------------------------------------------------------------------------

    def reply(self, origin: Origin, address: str, *args: float | str) -> None:
        """Answer one page."""
        page = self._pages.get(origin[1])
        if page is not None:
            page.send(encode(address, args))

    def publish(self, address: str, *args: float | str) -> None:
        """An event to all pages; with the state of a voice goes what it remembers, when that has changed."""
        if not self._pages:
            return
        self._to_all(encode(address, args))
        scope, _, verb = address[1:].partition("/")
        if verb == "state" and scope in self._voices:
            self._publish_memory(scope)

    def _publish_memory(self, name: str) -> None:
        stage = self._stage()
        voice = stage.voices[name]
        mark = _mark(voice)
        if self._told.get(name) != mark:
            self._told[name] = mark
            self._to_all(json.dumps(memory(stage, voice), separators=(",", ":")))

    def _to_all(self, frame: bytes | str) -> None:
        for page in tuple(self._pages.values()):
            page.send(frame)


def _mark(voice: Voice) -> tuple[Any, ...]:
    """What tells one memory of a voice from the next: every set of bars that is kept enters the history.

    Comparing bars that are the very same objects costs nothing: tuples look at identity first.
    """
    return tuple(voice.history.ids), tuple(voice.corners.items())


class _OnlyTo:
    """An outbox whose events go to one page: what the others know already."""

    def __init__(self, hub: Hub, origin: Origin) -> None:
        self._hub = hub
        self._origin = origin

    def reply(self, origin: Origin, address: str, *args: float | str) -> None:
        self._hub.reply(origin, address, *args)

    def publish(self, address: str, *args: float | str, also: Origin | None = None) -> None:
        del also
        self._hub.reply(self._origin, address, *args)
