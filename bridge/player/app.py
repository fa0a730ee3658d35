"""The player process: one poll loop over the bridge's socket, the lifeline, MIDI input and the next deadline."""

from __future__ import annotations

import collections
import contextlib
import gc
import json
import logging
import pathlib
import selectors
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final

from bridge import limits, messages
from bridge.channel import FrontDesk, listen, wake_pair
from bridge.player.ledger import Ledger
from bridge.player.lifeline import has_ended, watchable
from bridge.player.link_session import LinkSession
from bridge.player.outputs import Outputs, layout_for
from bridge.player.performer import Performer
from bridge.player.port_keeper import PortKeeper
from bridge.player.ports import Backend, InnerBackend, PortError
from bridge.player.preview_tap import PreviewTap, roles_of
from bridge.player.record import PlayedWriter
from bridge.timing.clocks import MachineClock, ask_for_fine_timers
from bridge.timing.link import LinkFollower
from bridge.timing.timekeeper import Timekeeper

log = logging.getLogger(__name__)

QUIET_NS: Final = 1_500_000  # housekeeping and the bridge's records wait while a note is due sooner than this,
PATIENCE_NS: Final = 8_000_000  # but never longer than this
LONGEST_WAIT_S: Final = 1.0
HELD_FILE: Final = "held.bin"
PLAYED_FILE: Final = "played.bin"


class PlayerProcess:
    """Builds the player from its init object and runs it until the lifeline or a signal ends it."""

    def __init__(self, init: dict[str, Any]) -> None:
        """Set everything up but the ports.

        Raises:
            KeyError, ValueError: the init object is not what the supervisor makes.
            OSError: the session folder cannot be written.
        """
        midi, clock, folder = init["midi"], init["clock"], pathlib.Path(init["folder"])
        voices = {
            name: {int(part): int(channel) for part, channel in voice["channels"].items()}
            for name, voice in init["voices"].items()
        }
        self.clock = MachineClock()
        layout = layout_for(midi["name"], voices, bool(midi["clock_out"]))
        self._ledger = Ledger(folder / HELD_FILE, layout.port_names)
        self._record = PlayedWriter(folder / PLAYED_FILE, layout.port_names)
        outputs = Outputs(layout, self._ledger, self._record, self.clock.now_ns, self._hold_until)
        timekeeper = Timekeeper(
            clock["source"], clock["tempo"], clock["beats_per_bar"], clock["offset_ms"],
            offsets_ms=clock.get("offsets_ms"), look_for_link=clock.get("link", False),
            link=LinkFollower(LinkSession(), float(clock["beats_per_bar"]), clock["tempo"]),
        )  # fmt: skip
        timekeeper.set_source(clock["source"], self.clock.now_ns())
        preview = None
        if init["audio"]["preview"]:
            roles = roles_of(layout, {name: voice["model"] for name, voice in init["voices"].items()})
            preview = PreviewTap(init["token"], roles, click=init["audio"]["click"])
        self.performer = Performer(
            timekeeper, {name: tuple(parts) for name, parts in voices.items()}, outputs, preview,
            midi.get("input_latency_ms", 0.0),
        )  # fmt: skip
        self._selector = selectors.SelectSelector()  # epoll and poll round to whole ms, select does not
        self._wake_reader, self._wake_writer = wake_pair()
        self._selector.register(self._wake_reader, selectors.EVENT_READ, self._woken)
        self.input_count = 0
        self._received: collections.deque[tuple[int, Sequence[int]]] = collections.deque(maxlen=limits.MAX_MIDI_WAITING)
        server, self._port = listen()
        self._link = FrontDesk(server, self._selector, init["token"], self._handle, self._snapshot)
        self._keeper = PortKeeper(
            outputs,
            _backend_maker(midi["backend"], folder / PLAYED_FILE),
            _input_name(midi),
            self._receive,
            self._port_news,
            lambda line, act: self._selector.register(line, selectors.EVENT_READ, act),
            self._selector.unregister,
        )
        self._ending = False
        self._attended_ns = 0

    @property
    def port(self) -> int:
        """The loopback port it listens on."""
        return self._port

    def run(self) -> None:
        """Play until the lifeline ends or a signal comes; every note is closed on every way out."""
        descriptor = sys.stdin.fileno()
        watched = watchable(descriptor, self._wake_writer)
        if watched is not None:
            self._selector.register(watched, selectors.EVENT_READ, lambda _mask: self._lifeline(descriptor))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        ask_for_fine_timers()
        try:
            self._keeper.start(self.clock.now_ns())
            self.clock.calibrate()
            gc.collect()
            gc.freeze()  # what is there now stays: a collection never has to walk it
            while not self._ending:
                self._turn()
        finally:
            self.performer.finish(self.clock.now_ns())
            log.info(
                "%d MIDI messages received, %d overdue notes skipped", self.input_count, self.performer.looper.skipped
            )
            self._keeper.close()
            self._tell()
            self._link.close()

    # -- one turn of the loop -----------------------------------------------------------------------------------------

    def _turn(self) -> None:
        performer, clock = self.performer, self.clock
        lead_ns = performer.outputs.lead_ns
        performer.perform(clock.now_ns() + lead_ns)
        now_ns = clock.now_ns()
        due_ns = performer.next_due_ns() - lead_ns
        if due_ns - now_ns < QUIET_NS and now_ns - self._attended_ns < PATIENCE_NS:
            clock.wait_until(due_ns)
            return
        self._tell()
        if now_ns >= self._keeper.next_look_ns:
            self._keeper.look(now_ns)
            self._link.look(now_ns / 1e9)
        wake_ns = min(due_ns - QUIET_NS // 2, self._keeper.next_look_ns)
        timeout_s = min(max(0.0, (wake_ns - clock.now_ns()) / 1e9), LONGEST_WAIT_S)
        for key, mask in self._selector.select(timeout_s):
            act: Callable[[int], None] = key.data
            act(mask)
        self._attended_ns = clock.now_ns()

    def _hold_until(self, moment_ns: int) -> None:
        """Spin until a note's moment, for which the loop woke up a little early; never for longer than that."""
        if moment_ns - self.clock.now_ns() <= self.performer.outputs.lead_ns:
            self.clock.spin_until(moment_ns)

    def _tell(self) -> None:
        outbox = self.performer.outbox
        if outbox:
            self._link.tell(outbox)
            outbox.clear()

    # -- what comes in ------------------------------------------------------------------------------------------------

    def _handle(self, record: Any) -> None:
        self.performer.handle(record, self.clock.now_ns())

    def _snapshot(self) -> list[object]:
        self.performer.outbox.clear()  # told by the snapshot itself
        clock_state, *voices = self.performer.snapshot()
        return [clock_state, self._keeper.said, *voices, messages.SnapshotEnd(self.performer.fresh)]

    def _receive(self, stamp_ns: int, message: Sequence[int]) -> None:
        """A MIDI message has come in, on the MIDI system's thread."""
        self._received.append((stamp_ns, message))
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0")

    def _port_news(self, record: object) -> None:
        """Ports have come or gone: the bridge is told, and whether there is an input to hear a clock on."""
        self.performer.outbox.append(record)
        now_ns, deaf = self.clock.now_ns(), self._keeper.deaf
        if isinstance(record, messages.Ports):
            self.performer.ports_came(self._keeper.grain_ms, now_ns)
        self.performer.input_came(f"MIDI clock cannot be heard: {deaf}" if deaf else "", now_ns)

    def _woken(self, _mask: int) -> None:
        try:
            if not self._wake_reader.recv(4096):
                self._ending = True
        except BlockingIOError:
            return
        for _ in range(min(len(self._received), limits.MIDI_PER_TURN)):
            stamp_ns, message = self._received.popleft()
            self.performer.midi_in(stamp_ns, message, self.clock.now_ns())
            self.input_count += bool(message)
        if self._received:  # they are stamped: what is due goes first
            with contextlib.suppress(OSError):
                self._wake_writer.send(b"\0")

    def _lifeline(self, descriptor: int) -> None:
        if has_ended(descriptor):
            self._ending = True

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True


def _input_name(midi: dict[str, Any]) -> str | None:
    """The input port's name; None where it is switched off."""
    wanted = midi.get("input", "auto")
    if wanted in (None, "none", ""):
        return None
    return f"{midi['name']} in" if wanted == "auto" else str(wanted)


def _backend_maker(wanted: str, record: pathlib.Path) -> Callable[[], Backend]:
    def make() -> Backend:
        if wanted in ("none", "memory"):
            return InnerBackend(wanted)
        try:
            from bridge.player import hosted_ports, rtmidi_ports  # without them the player plays on, and says so
        except ImportError as fault:
            raise PortError(f"python-rtmidi cannot be loaded ({fault})") from fault
        reasons = []
        for kind in rtmidi_ports.candidates(wanted):
            try:
                return hosted_ports.HostedBackend(record) if kind == "jack" else rtmidi_ports.RtmidiBackend(kind)
            except PortError as fault:
                reasons.append(f"{kind}: {fault}")
        raise PortError("; ".join(reasons))

    return make


def announce(port: int) -> None:
    """Tell the supervisor where we listen."""
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()
