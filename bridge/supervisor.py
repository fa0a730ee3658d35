"""The supervisor: starts the processes of a bridge, tells each where the others are, and restarts what dies.

It is the process of `run_bridge.py start`. Each child has a pipe to its standard input, whose end is the sign to close
and go: so they end with the supervisor however that ends. They are in sessions (on Windows: process groups) of their
own, so that Ctrl-C reaches the supervisor alone. What a child says on its standard output, one JSON object a line,
comes in by a thread each; everything is decided in one loop over one queue.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal

from bridge import __version__, limits, paths
from bridge.config import Settings
from bridge.running import AlreadyRunningError, SessionLock, claim_port

log = logging.getLogger(__name__)

Name = Literal["player", "main", "engine", "preview"]
_ENGINE_WAITS_S: Final = 1.5  # importing torch takes a core: it starts when the bridge answers, or after this
_PREVIEW_WAITS_S: Final = 0.5  # what must answer and play comes first
_LONG_LIFE_S: Final = 10.0  # who lived so long before dying is restarted at once
_RESTART_DELAYS_S: Final = (0.0, 0.0, 0.25, 0.5, 1.0, 2.0)  # after that many short lives in a row; then the last
_HOPELESS_STARTS: Final = 5  # so many short lives without ever having listened: it cannot run on this machine
_TERMINATE_AFTER_S: Final = 1.0  # of a stop; an engine in the middle of importing torch does not read its pipe
_PLAIN_NAMES: Final[dict[Name, str]] = {
    "player": "the player", "main": "the bridge process", "engine": "the engine", "preview": "the preview voice",
}  # fmt: skip
_CAN_DO_WITHOUT: Final = ("engine", "preview")


def module_command(name: Name) -> list[str]:
    """How a child is started: a named command line, and nothing importable from the current directory."""
    return [sys.executable, "-P", "-m", f"bridge.{name}"]


class CannotRunError(RuntimeError):
    """A process that the bridge cannot do without does not start here."""


class Child:
    """One child process, through all its restarts. Its threads only read and put into `events`."""

    def __init__(
        self, name: Name, command: list[str], init: Callable[[], dict[str, Any]], events: queue.SimpleQueue[Event]
    ) -> None:
        """`init` makes the first line for a new process; `events` gets (name, generation, what happened)."""
        self.name: Name = name
        self._command = command
        self.pid: int | None = None
        self.has_listened = False
        self.generation = 0
        self._init = init
        self._events = events
        self._process: subprocess.Popen[str] | None = None
        self._started_s = 0.0
        self._short_lives = 0

    def start(self) -> None:
        """Start a new process and give it its first line.

        Raises:
            OSError, RuntimeError: the system has no process, or no thread, left to give; there is none then.
        """
        self.generation += 1
        self.pid, self._process = None, None
        groups: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            groups = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=paths.child_environment(),
            encoding="utf-8",
            errors="replace",
            **groups,
        )
        self._started_s = time.monotonic()
        self.instruct(self._init())
        try:
            for task in (self._read, self._wait):
                threading.Thread(
                    target=task, args=(self._process, self.generation), name=f"{self.name} {task.__name__}", daemon=True
                ).start()
        except RuntimeError:  # nobody would hear of its end
            self._process.kill()
            self.generation += 1
            raise
        self.pid = self._process.pid

    def instruct(self, told: dict[str, Any]) -> None:
        """Send one line; a process that is gone by now is told by its death, not here."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(json.dumps(told) + "\n")
                self._process.stdin.flush()

    def _read(self, process: subprocess.Popen[str], generation: int) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                try:
                    told = json.loads(line)
                except ValueError:
                    told = None
                if isinstance(told, dict):
                    self._events.put((self.name, generation, told))
                else:
                    log.warning("%s said something that is no message: %r", self.name, line[:120])

    def _wait(self, process: subprocess.Popen[str], generation: int) -> None:
        self._events.put((self.name, generation, process.wait()))

    def died(self) -> float:
        """Note that the process is gone; the seconds to wait before the next start."""
        self.close()
        self.pid = None
        long_life = time.monotonic() - self._started_s >= _LONG_LIFE_S
        self._short_lives = 0 if long_life else self._short_lives + 1
        return _RESTART_DELAYS_S[min(self._short_lives, len(_RESTART_DELAYS_S) - 1)]

    @property
    def is_hopeless(self) -> bool:
        """Whether it has died again and again without ever getting as far as listening."""
        return not self.has_listened and self._short_lives >= _HOPELESS_STARTS

    def close(self) -> None:
        """End its standard input: the sign to close what must be closed, and go."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def wait_until(self, moment_s: float) -> bool:
        """Wait for the process to end, until a moment of time.monotonic; whether it has."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, moment_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def end_by_force(self, *, kill: bool) -> None:
        """Send it the signal to end, or kill it."""
        if self._process is None or self._process.poll() is not None:
            return
        if kill:
            log.warning("%s did not end in time: killed", _PLAIN_NAMES[self.name])
            self._process.kill()
        else:
            self._process.terminate()


Event = tuple[Name | None, int, dict[str, Any] | int | None]
"""Who (None: a signal came), which of its processes, and what it said, or its exit code."""


class Supervisor:
    """One bridge: its processes, what they have said, and run.json."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None], command: Callable[[Name], list[str]] = module_command
    ) -> None:
        """`say` shows a line to the user; `command` is how each process is started."""
        self._settings = settings
        self._say = say
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._token = secrets.token_hex(16)
        self._osc: str | None = None
        self._panel: str | None = None
        self._due: dict[Name, float] = {}  # who is to be started, when (time.monotonic)
        self._ports: dict[Name, int] = {}
        inits = {
            "player": self._player_init, "main": self._main_init, "engine": self._engine_init,
            "preview": self._preview_init,
        }  # fmt: skip
        names: tuple[Name, ...] = ("player", "main", "engine")
        if settings.audio.preview:
            names = (*names, "preview")
        self._children = {name: Child(name, command(name), inits[name], self._events) for name in names}
        self._session: SessionLock | None = None
        self._unwritten = ""  # why run.json could not be written

    # -- what each process is told first ---------------------------------------------------------------------------

    def _common_init(self) -> dict[str, Any]:
        return {"token": self._token, "folder": str(self._settings.session_folder())}

    def _player_init(self) -> dict[str, Any]:
        voices = {
            name: {
                "model": voice.model,
                "channels": {str(part): channel for part, channel in voice.midi_channels().items()},
            }
            for name, voice in self._settings.voices.items()
        }
        settings = self._settings.model_dump()
        return {**self._common_init(), "voices": voices, **{key: settings[key] for key in ("midi", "clock", "audio")}}

    def _main_init(self) -> dict[str, Any]:
        settings = self._settings.model_dump()
        if self._osc is not None:  # a restarted bridge stays where its clients know it to be
            settings["osc"]["port"] = int(self._osc.rpartition(":")[2])
        if self._panel is not None:
            settings["panel"]["port"] = int(self._panel.rpartition(":")[2])
        told = {key: settings[key] for key in ("osc", "panel", "clock", "midi", "voices")}
        return {**self._common_init(), "version": __version__, **told}

    def _engine_init(self) -> dict[str, Any]:
        models = list(dict.fromkeys(voice.model for voice in self._settings.voices.values()))
        engine = self._settings.engine.model_dump()
        return {**self._common_init(), "models_folder": str(paths.models_folder()), "models": models, **engine}

    def _preview_init(self) -> dict[str, Any]:
        return {"token": self._token, "device": self._settings.audio.device}

    # -- life ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the bridge until a signal says to end it; then its notes are closed and its processes gone.

        Raises:
            AlreadyRunningError: the port or the session folder is taken.
            bridge.running.AddressError: osc.host is no address of this machine.
            CannotRunError: the player or the bridge process does not start here.
            OSError: the session folder cannot be written.
        """
        with self._signals():
            self._session = SessionLock(self._settings.session_folder())
            try:
                claim_port(self._settings.osc.host, self._settings.osc.port, leftover=self._session.leftover)
                now = time.monotonic()
                self._due = {"main": now, "player": now, "engine": now + _ENGINE_WAITS_S}
                if "preview" in self._children:
                    self._due["preview"] = now + _PREVIEW_WAITS_S
                while self._step():
                    pass
            finally:
                self._end()
                self._session.release()

    @contextlib.contextmanager
    def _signals(self) -> Any:
        wanted = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
        known = [getattr(signal, name) for name in wanted if hasattr(signal, name)]
        if getattr(signal, "SIGHUP", None) in known and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            known.remove(signal.SIGHUP)  # started by nohup: the terminal's end is to mean nothing
        before = {number: signal.getsignal(number) for number in known}
        for number in known:  # SimpleQueue.put may be called from a handler: it is re-entrant
            signal.signal(number, lambda *_: self._events.put((None, 0, None)))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _step(self) -> bool:
        """Do what is due, then wait for one event and handle it; whether to go on."""
        if self._unwritten:
            self._write_run_file()
        now = time.monotonic()
        for due in [due for due, moment in self._due.items() if moment <= now]:
            self._start(due)
        until_due = min((moment - time.monotonic() for moment in self._due.values()), default=0.5)
        try:
            name, generation, happened = self._events.get(timeout=min(0.5, max(0.0, until_due)))
        except queue.Empty:
            return True
        if name is None:
            return False
        child = self._children[name]
        if generation != child.generation:
            return True  # the last words of a process that has been replaced
        if isinstance(happened, dict):
            self._heard(child, happened)
        else:
            self._restart(child, happened)
        return True

    def _start(self, name: Name) -> None:
        self._due.pop(name, None)
        child = self._children[name]
        try:
            child.start()
        except (OSError, RuntimeError) as fault:
            if not child.has_listened:
                raise
            wait_s = _RESTART_DELAYS_S[-1]
            self._say(f"{_PLAIN_NAMES[name]} cannot be started ({fault}); trying again in {wait_s:g} s")
            self._due[name] = time.monotonic() + wait_s
            return
        if name == "main":
            for peer, port in self._ports.items():
                self._children["main"].instruct({peer: port})
        self._write_run_file()

    def _heard(self, child: Child, told: dict[str, Any]) -> None:
        if "osc_taken" in told and not child.has_listened:
            raise AlreadyRunningError(f"osc.port = {self._settings.osc.port}: {told['osc_taken']}")
        if "port" in told:
            child.has_listened = True
            self._ports[child.name] = told["port"]
            self._children["main"].instruct({child.name: told["port"]})
        if "osc" in told:
            child.has_listened = True
            is_news = self._osc != told["osc"]
            self._osc = told["osc"]
            if not self._children["engine"].generation:
                self._start("engine")
            self._write_run_file()
            if is_news:
                self._say(f"osc {self._osc}")
        if "panel" in told:
            self._panel = told["panel"]
            self._write_run_file()
        if told.get("ready"):
            self._say("ready")
        if "say" in told:
            self._say(str(told["say"]))

    def _restart(self, child: Child, code: int | None) -> None:
        delay_s = child.died()
        self._ports.pop(child.name, None)
        plain = _PLAIN_NAMES[child.name]
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        if child.is_hopeless and child.name not in _CAN_DO_WITHOUT:
            raise CannotRunError(f"{plain} cannot start on this machine ({how}); what it said stands above")
        if delay_s < _RESTART_DELAYS_S[-1]:
            self._say(f"{plain} ended ({how}); starting it again")
        else:
            self._say(f"{plain} keeps ending ({how}); trying again in {delay_s:g} s")
        self._due[child.name] = time.monotonic() + delay_s
        if delay_s:
            self._write_run_file()

    def _write_run_file(self) -> None:
        """Tell in run.json what runs, once everything has been started; null stands for what is between two starts. On
        a disk that is full it is tried again and again: the music goes on.
        """
        if self._session is None or self._osc is None or not all(child.generation for child in self._children.values()):
            return
        order: tuple[Name, ...] = ("player", "engine", "main", "preview")
        pids = {f"bridge.{name}": self._children[name].pid for name in order if name in self._children}
        before, self._unwritten = self._unwritten, ""
        try:
            self._session.write({"supervisor": os.getpid(), **pids, "osc": self._osc, "panel": self._panel})
        except OSError as fault:
            self._unwritten = str(fault)
            if self._unwritten != before:
                log.warning("run.json cannot be written: %s", fault)

    def _end(self) -> None:
        """Let all processes close what they must, the player first, and go; force those that do not."""
        begun = time.monotonic()
        for child in self._children.values():
            child.close()
        for name, child in self._children.items():
            if name != "player" and not child.wait_until(begun + _TERMINATE_AFTER_S):
                child.end_by_force(kill=False)
        for child in self._children.values():
            if not child.wait_until(begun + limits.STOP_TIMEOUT_S):
                child.end_by_force(kill=True)
                child.wait_until(time.monotonic() + limits.STOP_TIMEOUT_S)
