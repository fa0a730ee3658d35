"""A session without sockets: what it says and asks for is collected, time stands until it is moved."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge import engine_messages, messages, wire
from bridge.session.outside import RefusedError, Request
from bridge.session.session import Session

HERE = ("127.0.0.1", 5005)
VOICE = {
    "model": "melody-2bar",
    "channel": 1,
    "launch": "bar",
    "quantize": 1.0,
    "swing": 50.0,
    "humanize": 0.0,
    "grid": "1/16",
    "temperature": 0.6,
}
CLOCK = {"source": "auto", "tempo": 120.0, "beats_per_bar": 4, "offset_ms": 0.0}


class Time:
    """Moved by hand."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000
        self._plans: list[tuple[int, int, Any]] = []
        self._count = itertools.count()

    def now_ns(self) -> int:
        return self.ns

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Any:
        plan = Plan(action)
        heapq.heappush(self._plans, (self.ns + round(delay_s * 1e9), next(self._count), plan))
        return plan

    def run(self, seconds: float) -> None:
        end = self.ns + round(seconds * 1e9)
        while self._plans and self._plans[0][0] <= end:
            self.ns, _, plan = heapq.heappop(self._plans)
            if plan.action is not None:
                plan.action()
        self.ns = end


class Plan:
    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Far:
    """A peer that keeps what it is sent."""

    def __init__(self) -> None:
        self.connected = True
        self.sent: list[Any] = []
        self.ahead: list[engine_messages.Generate] = []

    def send(self, record: object) -> None:
        if self.connected:
            crossed = wire.decode(wire.encode(record))
            ahead = isinstance(crossed, engine_messages.Generate) and not crossed.job
            (self.ahead if ahead else self.sent).append(crossed)

    def take(self, kind: type) -> list[Any]:
        found = [record for record in self.sent if isinstance(record, kind)]
        self.sent = [record for record in self.sent if not isinstance(record, kind)]
        return found


class Words:
    """What was answered and published."""

    def __init__(self) -> None:
        self.said: list[tuple[str, tuple[Any, ...]]] = []

    def reply(self, _origin: Any, address: str, *args: Any) -> None:
        self.said.append((address, args))

    def publish(self, address: str, *args: Any, also: Any = None) -> None:
        del also
        self.said.append((address, args))

    def take(self, address: str) -> list[tuple[Any, ...]]:
        found = [args for said, args in self.said if said == address]
        self.said = [(said, args) for said, args in self.said if said != address]
        return found


class Room:
    """A session, its fakes, and short words for what a client does."""

    def __init__(
        self, folder: Path, token: str = "t", voices: dict[str, Any] | None = None, *, fresh: bool = True
    ) -> None:
        self.time, self.player, self.engine, self.words = Time(), Far(), Far(), Words()
        self.session = Session(
            folder=folder,
            token=token,
            voices=voices or {"melody": dict(VOICE), "drums": {**VOICE, "model": "drums-2bar", "channel": 10}},
            clock=CLOCK,
            outbox=self.words,
            player=self.player,
            engine=self.engine,
            timers=self.time,
        )
        self.session.player_came()
        self.session.from_player(clock_state(self.time.ns))
        if fresh:  # else the test tells what an old player holds
            self.session.from_player(messages.SnapshotEnd(True))
        self.session.groove_warm()
        for model in ("melody-2bar", "drums-2bar"):
            self.session.from_engine(engine_messages.ModelState(model, True, "ready"))
        self.voice = self.session.stage.voices["melody"]

    def ask(self, verb: str, scope: str = "melody", **args: Any) -> None:
        defaults = {"bars": 2} if verb in ("next", "sample") else {}
        address = f"/{scope}/{verb}"
        request = Request(address, scope, verb, {**defaults, **args}, HERE, self.time.ns)
        self.session.handle(request)

    def refusal(self, verb: str, scope: str = "melody", **args: Any) -> int:
        try:
            self.ask(verb, scope, **args)
        except RefusedError as error:
            return error.code
        return 0

    def answer(self, *starts: float, pitch: int = 60) -> engine_messages.Generate:
        """The engine does the oldest job."""
        job = self.engine.take(engine_messages.Generate)
        first, rest = job[0], job[1:]
        self.engine.sent += rest
        rows = [(pitch, start, 0.25, 90, 0) for start in (starts or (0.0, 1.0))]
        length = first.bars * first.beats_per_bar if first.bars else 8.0
        self.session.from_engine(engine_messages.Generated(first.job, length, rows, 1.0))
        return first

    def schedule(self) -> Any:
        """The player takes the newest launch."""
        launch = self.player.take(messages.Launch)[-1]
        self.session.from_player(messages.Scheduled("melody", launch.id, 4.0))
        return launch

    def launch(self) -> int:
        """The player takes the newest launch, and it sounds."""
        launch = self.schedule()
        self.session.from_player(messages.Launched("melody", launch.id, 4.0, 4.0))
        return int(launch.id)

    def new_loop(self, pitch: int = 60) -> int:
        """Next, decoded, sounding."""
        self.ask("next")
        self.answer(pitch=pitch)
        return self.launch()


def corners(room: Room) -> None:
    """Something in the corners a and b of the melody."""
    for slot, pitch in (("a", 60), ("b", 72)):
        room.ask("store", slot=slot, length=8.0, notes=[(pitch, 0.0, 1.0, 90, 0)])


def clock_state(now_ns: int, **changes: Any) -> messages.ClockState:
    """An internal clock that runs at 120."""
    values: dict[str, Any] = {
        "source": "internal",
        "playing": True,
        "tempo_bpm": 120.0,
        "anchor_ns": now_ns,
        "anchor_beats": 0.0,
        "numerator": 4,
        "denominator": 4,
        "bar_origin_beats": 0.0,
        "error_ms": 0.0,
        "followed": False,
    }
    return messages.ClockState(**{**values, **changes})
