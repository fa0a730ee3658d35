"""The player for tests: its offline twin on memory ports, and the real process driven over its socket."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pathlib
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from offline_player import OfflineClock, OfflinePlayer

from bridge import channel, messages
from bridge.player.ledger import Ledger
from bridge.player.outputs import Outputs, layout_for
from bridge.player.performer import Performer
from bridge.player.ports import InnerBackend
from bridge.player.record import PlayedReader, PlayedWriter
from bridge.timing.timekeeper import Timekeeper

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEAT_NS = 500_000_000  # at 120 BPM
BEGAN_NS = 10**9
VOICES = {"melody": {0: 0}, "bass": {0: 1}, "trio": {0: 2, 1: 3, 2: 9}}
Row = tuple[int, float, float, int, int]


class Note(NamedTuple):
    """A note that was heard: when its on and off were meant to be, in beats at 120 BPM since the start."""

    on: float
    off: float
    pitch: int


class Rig:
    """An offline player on memory ports, at 120 BPM, with the session folder of the test."""

    def __init__(self, folder: pathlib.Path, *, source: str = "auto", beats_per_bar: int = 4, clock_out: bool = False):
        self.clock = OfflineClock(BEGAN_NS)
        layout = layout_for("Barline", VOICES, clock_out)
        self.ledger = Ledger(folder / "held.bin", layout.port_names)
        self.record = PlayedWriter(folder / "played.bin", layout.port_names, slots=8192)
        self.outputs = Outputs(layout, self.ledger, self.record, self.clock.now_ns)
        self.backend = InnerBackend("memory")
        self.outputs.plug(self.backend.open_all("Barline", layout.names, None, lambda _stamp_ns, _message: None))
        self.ports = {port.name.removeprefix("Barline "): port for port in self.backend.opened}
        timekeeper = Timekeeper(source, 120.0, beats_per_bar, 0.0)
        self.performer = Performer(timekeeper, {name: tuple(parts) for name, parts in VOICES.items()}, self.outputs)
        self.player = OfflinePlayer(self.performer, self.clock)
        self.reader = PlayedReader(folder / "played.bin")
        self.events: list[Any] = []

    @property
    def now_ns(self) -> int:
        return self.clock.now_ns()

    def send(self, *records: Any) -> None:
        for record in records:
            self.player.handle(record)
        self.events += self.player.take_events()

    def play(self) -> None:
        self.send(messages.MoveTransport("play"))

    def to_beat(self, beat: float) -> None:
        """Let time pass until this beat at 120 BPM from `BEGAN_NS`."""
        self.player.run_to(BEGAN_NS + round(beat * BEAT_NS))
        self.events += self.player.take_events()

    def launch(self, loop_id: int, rows: list[Row], *, voice: str = "melody", launch: str = "bar", length: float = 4.0,
               ago_ms: float = 0.0) -> None:  # fmt: skip
        request_ns = self.now_ns - round(ago_ms * 1e6)
        self.send(messages.Launch(voice, loop_id, request_ns, launch, length, rows))

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def messages_sent(self) -> list[tuple[float, str, int, int, int]]:
        """(beat, port, status, data1, data2) of all that was sent, meant moments as beats at 120 BPM."""
        played, _ = self.reader.since(0)
        names = self.reader.port_names
        return [
            (
                round((p.intended_ns - BEGAN_NS) / BEAT_NS, 4),
                names[p.port].removeprefix("Barline "),
                p.status,
                p.data1,
                p.data2,
            )
            for p in played
        ]

    def heard(self, voice: str = "melody") -> list[Note]:
        """Every note of a voice that is over, in order; checks that ons and offs pair."""
        open_notes: dict[tuple[int, int], float] = {}
        notes = []
        for beat, port, status, pitch, _ in self.messages_sent():
            if port != voice or status >> 4 not in (8, 9):
                continue
            key = (status & 15, pitch)
            if status >> 4 == 9:
                assert key not in open_notes, f"{key} doubled at {beat}"
                open_notes[key] = beat
            else:
                assert key in open_notes, f"{key} closed twice at {beat}"
                notes.append(Note(open_notes.pop(key), beat, pitch))
        return sorted(notes)

    def strokes(self, voice: str = "melody") -> list[tuple[float, int]]:
        """(beat, pitch) of every note-on."""
        return [(b, d1) for b, port, status, d1, _ in self.messages_sent() if port == voice and status >> 4 == 9]


class PlayerProcess:
    """The real player, as the supervisor starts it."""

    def __init__(
        self,
        folder: pathlib.Path,
        backend: str = "memory",
        env: Mapping[str, str] | None = None,
        more_voices: Sequence[str] = (),
        **midi: Any,
    ) -> None:
        self.folder = folder
        self._log = (folder / "player.log").open("a")
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bridge.player"], cwd=ROOT, env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        init = {
            "token": "secret",
            "folder": str(folder),
            "midi": {"backend": backend, "name": "Barline", "input": "auto", "clock_out": False, **midi},
            "clock": {"source": "auto", "tempo": 120.0, "beats_per_bar": 4, "offset_ms": 0.0},
            "audio": {"preview": False, "device": None, "click": True},
            "voices": {
                "melody": {"model": "melody-2bar", "channels": {"0": 0}},
                "bass": {"model": "bass-2bar", "channels": {"0": 1}},
                "drums": {"model": "drums-2bar", "channels": {"0": 9}},
                **{name: {"model": "melody-2bar", "channels": {"0": 2}} for name in more_voices},
            },
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(init) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, (folder / "player.log").read_text()
        self.port = int(json.loads(line)["port"])
        self.start_s = time.perf_counter() - began
        self.events: collections.deque[Any] = collections.deque()
        self.bridge = channel.connect(self.port, "secret", "bridge")

    def send(self, *records: Any) -> None:
        for record in records:
            self.bridge.send(record)

    def wait_for(self, kind: type, seconds: float = 5.0, **values: Any) -> Any:
        """The next event of this kind (and these values); fails after so many seconds."""
        until = time.monotonic() + seconds
        while True:
            while self.events:
                event = self.events.popleft()
                if isinstance(event, kind) and all(getattr(event, key) == value for key, value in values.items()):
                    return event
            left = until - time.monotonic()
            assert left > 0, f"no {kind.__name__} {values} within {seconds} s\n{self.log()}"
            if select.select([self.bridge], [], [], left)[0]:
                self.events.extend(self.bridge.receive())

    def forget(self) -> None:
        """Hear out what it has said so far: what is waited for from here on is still to come."""
        while select.select([self.bridge], [], [], 0.0)[0]:
            self.bridge.receive()
        self.events.clear()

    def log(self) -> str:
        self._log.flush()
        return (self.folder / "player.log").read_text()

    def played(self) -> list[Any]:
        reader = PlayedReader(self.folder / "played.bin")
        found, _ = reader.since(0)
        reader.close()
        return found

    def end(self) -> None:
        self.bridge.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._log):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


@contextlib.contextmanager
def player_process(folder: pathlib.Path, backend: str = "memory", **how: Any) -> Iterator[PlayerProcess]:
    """A running player, ended afterwards whatever happens."""
    player = PlayerProcess(folder, backend, **how)
    try:
        yield player
    finally:
        player.end()


def hooked(folder: pathlib.Path, code: str) -> dict[str, str]:
    """The environment of a player process that does `code` first: a hook of Python's own (sitecustomize)."""
    folder.mkdir()
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    (folder / "sitecustomize.py").write_text(f"import sys\nif sys.argv[:1] == ['-m']:\n{lines}")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def open_notes(played: list[Any]) -> dict[tuple[int, int, int], int]:
    """(port, channel, pitch) -> how many more note-ons than note-offs; empty when all is closed."""
    balance: collections.Counter[tuple[int, int, int]] = collections.Counter()
    for p in played:
        if p.status >> 4 in (8, 9):
            balance[(p.port, p.status & 15, p.data1)] += 1 if p.status >> 4 == 9 else -1
    return {key: count for key, count in balance.items() if count}
