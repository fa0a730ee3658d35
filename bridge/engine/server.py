"""The engine's one loop: it listens, works off the queue, and looks at the queue again at every beat it decodes."""

from __future__ import annotations

import gc
import logging
import select
import selectors
import socket
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from bridge import limits, messages
from bridge.channel import Channel, ChannelClosedError
from bridge.engine.queue import JobQueue
from bridge.engine.residents import JobError, Residents

log = logging.getLogger(__name__)

_INSIDE = 7
_BETWEEN = ("morph", "xy")  # these have a memory of their own: the knob's place counts too


class EngineServer:
    """Serves one bridge at a time; a newer connection takes the place of an older one."""

    def __init__(self, server: socket.socket, init: dict[str, Any]) -> None:
        """`server` listens on loopback; `init` is the supervisor's first line."""
        self._token: str = init["token"]
        self._residents = Residents(Path(init["models_folder"]), init["device"], init["threads"], init["own_models"])
        self._wanted: SimpleQueue[str] = SimpleQueue()
        self._told: SimpleQueue[messages.ModelState] = SimpleQueue()
        self._states: dict[str, messages.ModelState] = {}
        self._asked: set[str] = set()
        self._queue = JobQueue()
        self._strangers: dict[Channel, float] = {}
        self._bridge: Channel | None = None
        self._ended = False
        self._server = server
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(server, selectors.EVENT_READ)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        for name in init["models"]:
            self._want(name)
        threading.Thread(target=self._watch_lifeline, name="lifeline", daemon=True).start()
        threading.Thread(target=self._load_models, name="loader", daemon=True).start()

    def run(self) -> None:
        """Work until standard input ends."""
        gc.freeze()
        while not self._ended:
            self._listen(None if not len(self._queue) else 0.0)
            job = self._queue.take()
            if job is not None:
                self._do(job)
            elif (ahead := self._queue.take_ahead()) is not None:
                self._do_ahead(ahead)

    # -- threads that only tell the loop -----------------------------------------------------------------------------

    def _watch_lifeline(self) -> None:
        sys.stdin.read()
        self._ended = True
        self._wake()

    def _load_models(self) -> None:
        """Load one model after the other beside the loop: what is resident keeps playing while another is loaded."""
        while True:
            name = self._wanted.get()
            ready, detail = self._residents.load(name)
            self._told.put(messages.ModelState(name, ready, detail))
            self._wake()

    def _wake(self) -> None:
        self._wake_out.send(b"\0")

    def _want(self, name: str) -> None:
        if name not in self._asked:
            self._asked.add(name)
            self._wanted.put(name)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _listen(self, timeout_s: float | None) -> None:
        """Take what has arrived; waits for it as long as `timeout_s` says (None: until something does)."""
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._server:
                self._accept()
            elif key.fileobj is self._wake_in:
                self._wake_in.recv(4096)
            else:
                self._read(key.data)
        while not self._told.empty():
            state = self._told.get()
            self._states[state.model] = state
            if not state.ready:
                self._asked.discard(state.model)  # whoever asks again may have put the files there meanwhile
            self._send(state)

    def _accept(self) -> None:
        try:
            connection, _ = self._server.accept()
        except OSError:
            return
        channel = Channel(connection)
        self._strangers[channel] = time.monotonic()
        self._selector.register(channel.fileno(), selectors.EVENT_READ, channel)

    def _read(self, channel: Channel) -> None:
        try:
            records = channel.receive()
        except (ChannelClosedError, messages.MalformedRecordError):
            self._drop(channel)
            return
        for record in records:
            if channel is self._bridge:
                self._take(record)
            elif isinstance(record, messages.Hello) and record.token == self._token:
                self._welcome(channel)
            else:
                self._drop(channel)
                return

    def _welcome(self, channel: Channel) -> None:
        self._strangers.pop(channel, None)
        if self._bridge is not None:
            self._drop(self._bridge)
        self._bridge = channel
        for state in self._states.values():
            self._send(state)

    def _drop(self, channel: Channel) -> None:
        self._strangers.pop(channel, None)
        self._selector.unregister(channel.fileno())
        channel.close()
        if channel is self._bridge:
            self._bridge = None
            self._queue.clear()

    def _take(self, record: object) -> None:
        if isinstance(record, messages.Generate):
            (self._queue.put if record.job else self._queue.put_ahead)(record)
        elif isinstance(record, messages.LoadModel):
            state = self._states.get(record.model)
            if state is not None and state.ready:
                self._send(state)
            else:
                self._want(record.model)

    def _send(self, record: object) -> None:
        if self._bridge is None:
            return
        try:
            self._bridge.send(record)
            while self._bridge.wants_write:  # the bridge reads at once, or is gone
                if not select.select([], [self._bridge], [], limits.CONNECT_TIMEOUT_S)[1]:
                    raise ChannelClosedError("the bridge does not read")
                self._bridge.flush()
        except ChannelClosedError:
            self._drop(self._bridge)

    # -- work --------------------------------------------------------------------------------------------------------

    def _do(self, job: messages.Generate) -> None:
        started_ns = time.perf_counter_ns()
        bridge = self._bridge
        try:
            made = None if job.op in _BETWEEN else self._residents.made_ready(job)
            if made is None:
                made = self._residents.make(job, self._at_every_beat if job.knob else _nothing)
        except JobError as error:
            self._send(messages.JobFailed(job.job, error.code, str(error)))
            return
        except Exception as fault:  # the loop's boundary: one bad job must not silence the other voices
            log.exception("job %d (%s %s)", job.job, job.op, job.model)
            self._send(messages.JobFailed(job.job, _INSIDE, f"{type(fault).__name__}: {fault}"))
            return
        if self._bridge is bridge:
            engine_ms = (time.perf_counter_ns() - started_ns) / 1e6
            self._send(messages.Generated(job.job, made.length_beats, made.notes, engine_ms, made.source))
        if not job.knob:
            self._residents.remember(job, made)

    def _do_ahead(self, job: messages.Generate) -> None:
        try:
            self._residents.make_ready(job)
        except JobError as error:
            log.debug("nothing to make ready for %s: %s", job.voice, error)
        except Exception:  # nobody has asked for it: it is told when somebody does
            log.exception("making %s of %s ready", job.op, job.model)

    def _at_every_beat(self) -> None:
        """A click beats a knob: clicks that came meanwhile are done first, inside the knob's decode."""
        self._listen(0.0)
        click = self._queue.take(clicks_only=True)
        while click is not None:
            self._do(click)
            click = self._queue.take(clicks_only=True)


def _nothing() -> None:
    """A click waits for nobody."""
