"""The engine's one loop: it listens, works off the queue, and looks at the queue again at every beat it decodes."""

from __future__ import annotations

import gc
import logging
import selectors
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from bridge import engine_messages
from bridge.channel import Channel, FrontDesk, wake_pair
from bridge.engine.queue import JobQueue
from bridge.engine.residents import JobError, Made, Residents
from bridge.model.playing.decoding import between_beats
from bridge.music.corners import BETWEEN

log = logging.getLogger(__name__)

_LOOK_S = 1.0  # so often, at the least, it is seen which strangers have been here too long
_QUIET_S = 0.05  # nothing is made ready between requests that follow each other faster, as those of a knob do
_CLICK_AFTER_CLICK_S = 0.005  # a click so soon after the answer to another does not wait for that one to be remembered
_REMEMBERED_LATER = 16  # jobs: one for every voice there may be
_INSIDE = 7


class _GaveWayError(Exception):
    """Bars that nobody has asked for are not made now."""


class EngineServer:
    """Serves one bridge at a time, and keeps nothing of what an earlier one has asked for."""

    def __init__(self, server: socket.socket, init: dict[str, Any]) -> None:
        """`server` listens on loopback; `init` is the supervisor's first line."""
        self._residents = Residents(Path(init["models_folder"]), init["device"], init["threads"], init["own_models"])
        self._wanted: SimpleQueue[str] = SimpleQueue()
        self._told: SimpleQueue[engine_messages.ModelState] = SimpleQueue()
        self._states: dict[str, engine_messages.ModelState] = {}
        self._asked: set[str] = set()
        self._queue = JobQueue()
        self._unremembered: deque[tuple[engine_messages.Generate, Made]] = deque(maxlen=_REMEMBERED_LATER)
        self._quiet_at_s = 0.0
        self._ended = False
        self._wake_in, self._wake_out = wake_pair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_in, selectors.EVENT_READ, lambda _mask: self._wake_in.recv(4096))
        self._desk = FrontDesk(server, self._selector, init["token"], self._take, self._welcome)
        for name in init["models"]:
            self._want(name)
        threading.Thread(target=self._watch_lifeline, name="lifeline", daemon=True).start()
        threading.Thread(target=self._load_models, name="loader", daemon=True).start()

    def run(self) -> None:
        """Work until standard input ends."""
        gc.freeze()
        while not self._ended:
            self._listen(self._patience_s())
            job = self._queue.take()
            if job is not None:
                self._do(job)
            elif self._unremembered:
                self._residents.remember(*self._unremembered.popleft())
            elif time.perf_counter() >= self._quiet_at_s and (ahead := self._queue.take_ahead()) is not None:
                self._do_ahead(ahead)
        self._desk.close()

    def _patience_s(self) -> float:
        """How long to wait for what may come before the next thing is done."""
        if self._queue.is_waited_for:
            return 0.0
        if self._unremembered:
            return _CLICK_AFTER_CLICK_S
        return max(0.0, self._quiet_at_s - time.perf_counter()) if len(self._queue) else _LOOK_S

    # -- threads that only tell the loop -----------------------------------------------------------------------------

    def _watch_lifeline(self) -> None:
        sys.stdin.read()
        self._ended = True
        self._wake()

    def _load_models(self) -> None:
        """Load one model after the other beside the loop: what is resident keeps playing while another is loaded."""
        while True:
            name = self._wanted.get()
            try:
                ready, detail = self._residents.load(name)
            except Exception as fault:  # the thread's boundary: it must say so, and live to load the next one
                log.exception("loading %s", name)
                ready, detail = False, f"{name} cannot be loaded: {type(fault).__name__}: {fault}"
            self._told.put(engine_messages.ModelState(name, ready, detail))
            self._wake()

    def _wake(self) -> None:
        self._wake_out.send(b"\0")

    def _want(self, name: str) -> None:
        if name not in self._asked:
            self._asked.add(name)
            self._wanted.put(name)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _listen(self, timeout_s: float) -> None:
        """Take what has arrived; waits for it as long as `timeout_s` says."""
        for key, mask in self._selector.select(timeout_s):
            key.data(mask)
        self._desk.look(time.perf_counter())
        while not self._told.empty():
            state = self._told.get()
            self._states[state.model] = state
            if not state.ready:
                self._asked.discard(state.model)  # whoever asks again may have put the files there meanwhile
            self._desk.tell([state])

    def _welcome(self) -> Iterable[object]:
        self._queue.clear()
        return self._states.values()

    def _take(self, record: object) -> None:
        if isinstance(record, engine_messages.Generate):
            (self._queue.put if record.job else self._queue.put_ahead)(record)
        elif isinstance(record, engine_messages.LoadModel):
            state = self._states.get(record.model)
            if state is not None and state.ready:
                self._desk.tell([state])
            else:
                self._want(record.model)

    # -- work --------------------------------------------------------------------------------------------------------

    def _do(self, job: engine_messages.Generate) -> None:
        started_ns = time.perf_counter_ns()
        asker = self._desk.bridge
        try:
            # what is between corners has a memory of its own: the knob's place counts too
            made = None if job.op in BETWEEN else self._residents.made_ready(job)
            if made is None:
                with between_beats(self._let_clicks_by if job.knob else None):
                    made = self._residents.make(job, lambda begun: self._begun(asker, job, begun))
        except JobError as error:
            self._answer(asker, engine_messages.JobFailed(job.job, error.code, str(error)))
            return
        except Exception as fault:  # the loop's boundary: one bad job must not silence the other voices
            log.exception("job %d (%s %s)", job.job, job.op, job.model)
            self._answer(asker, engine_messages.JobFailed(job.job, _INSIDE, f"{type(fault).__name__}: {fault}"))
            return
        finally:
            self._quiet_at_s = time.perf_counter() + _QUIET_S
        engine_ms = (time.perf_counter_ns() - started_ns) / 1e6
        self._answer(asker, engine_messages.Generated(job.job, made.length_beats, made.notes, engine_ms, made.source))
        if job.op == "next":  # the click after it is likely to be another, and begins with this
            self._residents.remember(job, made)
        elif not job.knob:
            self._unremembered.append((job, made))

    def _begun(self, asker: Channel | None, job: engine_messages.Generate, begun: Made) -> None:
        self._answer(asker, engine_messages.Begun(job.job, begun.length_beats, begun.notes))

    def _answer(self, asker: Channel | None, record: object) -> None:
        """Tell whoever asked for the job; another bridge has jobs of its own with these numbers."""
        if asker is self._desk.bridge:
            self._desk.tell([record])

    def _do_ahead(self, job: engine_messages.Generate) -> None:
        try:
            with between_beats(self._give_way):
                self._residents.make_ready(job)
        except _GaveWayError:
            self._queue.give_back(job)
        except JobError as error:
            log.debug("nothing to make ready for %s: %s", job.voice, error)
        except Exception:  # nobody has asked for it: it is told when somebody does
            log.exception("making %s of %s ready", job.op, job.model)

    def _give_way(self) -> None:
        """What somebody asks for beats what nobody has: that is begun again when nothing else waits."""
        self._listen(0.0)
        if self._queue.is_waited_for:
            raise _GaveWayError

    def _let_clicks_by(self) -> None:
        """A click beats a knob: clicks that came meanwhile are done first, inside the knob's decode."""
        self._listen(0.0)
        click = self._queue.take(clicks_only=True)
        while click is not None:
            self._do(click)
            click = self._queue.take(clicks_only=True)
