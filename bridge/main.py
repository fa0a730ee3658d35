"""The bridge process: OSC in and out, the session, and the connections to the player and the engine.

Started by the supervisor as ``python -m bridge.main``. Standard input is its lifeline and tells it where its peers
listen; standard output tells the supervisor what the user should know, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge import engine_messages, messages
from bridge.osc.server import OscServer, PortTakenError
from bridge.panel.fanout import Everyone
from bridge.panel.hub import Hub
from bridge.panel.server import PanelError, PanelServer
from bridge.peers import PeerLink
from bridge.session.outside import Handle
from bridge.session.session import Session

log = logging.getLogger(__name__)

_EXIT_PORT_TAKEN = 3


class LoopTimers:
    """The event loop's time, as the session wants it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """`loop` runs what is planned."""
        self._loop = loop

    def now_ns(self) -> int:
        """Now, on perf_counter_ns."""
        return time.perf_counter_ns()

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Handle:
        """Do `action` in `delay_s` seconds."""
        return self._loop.call_later(delay_s, action)


class Bridge:
    """The parts of the bridge process and how they are joined."""

    def __init__(self, loop: asyncio.AbstractEventLoop, init: dict[str, Any]) -> None:
        """`init` is the supervisor's first line."""
        self._loop = loop
        self._stopped = asyncio.Event()
        self._told_ready = False
        self._told_source = ""
        self._told_missing = ""
        self._look_for_link = bool(init["clock"].get("link"))
        self._preview_port = 0
        token = init["token"]
        self._player = PeerLink(
            loop, token, on_record=self._from_player, on_open=self._player_came, on_gone=self._player_gone
        )
        self._engine = PeerLink(
            loop, token, on_record=self._from_engine, on_open=self._engine_came, on_gone=self._engine_gone
        )
        self._address: tuple[str, int] = (init["osc"]["host"], init["osc"]["port"])
        self._server = OscServer(
            list(init["voices"]),
            lambda request: self._session.handle(request),
            version=init["version"],
            ready=lambda: self._session.stage.ready,
            send_state=lambda origin: self._session.stage.send_whole_state(origin),
        )
        hub = Hub(
            init["voices"], lambda request: self._session.handle(request), lambda: self._session.stage, init["version"]
        )
        self._panel_settings: dict[str, Any] = init["panel"]
        self._panel = PanelServer(hub)
        self._session = Session(
            folder=Path(init["folder"]),
            token=token,
            voices=init["voices"],
            clock=init["clock"],
            outbox=Everyone(self._server, hub),
            player=self._player,
            engine=self._engine,
            timers=LoopTimers(loop),
        )

    # -- life ------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Bind, tell, and work until standard input ends or a signal comes; returns the exit code."""
        try:
            self._server.start(*self._address)
        except PortTakenError as fault:
            tell({"osc_taken": str(fault)})
            return _EXIT_PORT_TAKEN
        tell({"osc": f"{self._server.host}:{self._server.port}"})
        if self._server.warning:
            tell({"say": self._server.warning})
        for name in ("SIGTERM", "SIGINT"):
            if sys.platform != "win32":
                self._loop.add_signal_handler(getattr(signal, name), self._stopped.set)
        threading.Thread(target=self._read_instructions, name="instructions", daemon=True).start()
        warming = threading.Thread(target=self._warm_groove, name="groove warm-up", daemon=True)
        warming.start()
        opening = asyncio.create_task(self._open_panel(warming))
        await self._stopped.wait()
        opening.cancel()
        await self._panel.close()
        self._session.close()
        self._server.close()
        self._player.close()
        self._engine.close()
        return 0

    async def _open_panel(self, warming: threading.Thread) -> None:
        """The panel comes when the bridge already answers, and the bridge goes on without it when it cannot.

        First the groove is warm: two threads that import at once would leave the loop a third of the time.
        """
        if not self._panel_settings["enabled"]:
            return
        await asyncio.to_thread(warming.join)
        try:
            await self._panel.start(self._panel_settings["host"], self._panel_settings["port"])
        except PanelError as fault:
            tell({"panel": None, "say": str(fault)})
            return
        tell({"panel": self._panel.address, "say": f"panel http://{self._panel.address}/"})
        gc.freeze()
        if self._panel.warning:
            tell({"say": self._panel.warning})

    def _read_instructions(self) -> None:
        for line in sys.stdin:
            try:
                told = json.loads(line)
            except ValueError:
                log.warning("not an instruction: %r", line[:80])
                continue
            self._loop.call_soon_threadsafe(self._instructed, told)
        self._loop.call_soon_threadsafe(self._stopped.set)

    def _instructed(self, told: dict[str, int]) -> None:
        if "player" in told:
            self._player.open(told["player"])
        if "engine" in told:
            self._engine.open(told["engine"])
        if "preview" in told:
            self._preview_port = told["preview"]
            self._aim_preview()

    def _aim_preview(self) -> None:
        if self._preview_port and self._player.connected:
            self._player.send(messages.AimPreview(self._preview_port))

    def _warm_groove(self) -> None:
        from bridge.music import groove  # here, because numba takes longer to import than the first answer may

        try:
            groove.warm_up()
        except Exception as fault:  # the thread's boundary: that the bridge never gets ready must have a reason
            log.exception("compiling the groove kernels")
            reason = f"{type(fault).__name__}: {fault}"
            tell({"say": f"the groove kernels cannot be compiled ({reason}): no bars can be played"})
            return
        gc.freeze()  # what numba brought stays: looking through all of it took 0.2 s, in the middle of a song
        self._loop.call_soon_threadsafe(self._groove_warm)

    def _groove_warm(self) -> None:
        self._session.groove_warm()
        self._tell_ready()

    # -- what the peers say ----------------------------------------------------------------------------------------

    def _player_came(self) -> None:
        self._session.player_came()
        self._aim_preview()

    def _player_gone(self) -> None:
        self._session.player_gone()
        self._tell_ready()

    def _engine_came(self) -> None:
        self._session.engine_came()

    def _engine_gone(self) -> None:
        self._session.engine_gone()
        self._tell_ready()

    def _from_player(self, record: object) -> None:
        if isinstance(record, messages.Ports):
            for line in record.lines:
                tell({"say": line})
        elif isinstance(record, messages.Notice):
            tell({"say": record.text})
        else:
            self._session.from_player(record)
        if isinstance(record, messages.SnapshotEnd):
            self._tell_ready()
        if isinstance(record, messages.SnapshotEnd | messages.ClockState):
            self._tell_clock()

    def _from_engine(self, record: object) -> None:
        self._session.from_engine(record)
        if isinstance(record, engine_messages.ModelState):
            tell({"say": f"model {record.model}: {record.detail}"})
            self._tell_ready()

    def _tell_ready(self) -> None:
        if self._session.stage.ready != self._told_ready:
            self._told_ready = self._session.stage.ready
            tell({"ready": self._told_ready})

    def _tell_clock(self) -> None:
        """Whose time it is, when that has changed; and why not that of whom the user has asked for."""
        state = self._session.stage.clock.state
        if state is None:
            return
        wanted = self._session.stage.clock.source
        if state.source != self._told_source:
            self._told_source = state.source
            tell({"say": f"clock: {state.source}, {state.tempo_bpm:g} BPM (asked for: {wanted})"})
        why = state.missing.get("link" if wanted == "auto" and self._look_for_link else wanted, "")
        if why != self._told_missing:
            self._told_missing = why
            if why:
                tell({"say": f"clock: {why}; until then Barline keeps time by itself"})


def tell(line: dict[str, Any]) -> None:
    """One line to the supervisor; when it is gone, its end of standard input says so too."""
    try:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    except OSError:
        log.debug("the supervisor does not read")


def new_loop() -> asyncio.AbstractEventLoop:
    """A selector loop: Windows' own default cannot watch the sockets we hand it."""
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop()
    return asyncio.new_event_loop()


def main() -> int:
    """Run the bridge process."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="bridge: %(levelname)s %(message)s")
    init = json.loads(sys.stdin.readline() or "null")
    if init is None:
        return 0
    loop = new_loop()
    try:
        return loop.run_until_complete(_run(loop, init))
    finally:
        loop.close()


async def _run(loop: asyncio.AbstractEventLoop, init: dict[str, Any]) -> int:
    return await Bridge(loop, init).run()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a thread may be blocked on standard input, which the interpreter's own way out would trip over
