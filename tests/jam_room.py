"""A jam without sockets and without waiting: the real session and the real player, joined, with an engine that answers
what a test wants after as long as a test wants.
"""

from __future__ import annotations

import heapq
import itertools
import pathlib
from collections.abc import Callable
from typing import Any

from player_rig import BEAT_NS, BEGAN_NS, Rig
from session_room import VOICE, Room

from bridge import engine_messages, messages

STEP_NS = 5_000_000
Rows = list[tuple[int, float, float, int, int]]


def as_played(job: engine_messages.Generate) -> Rows:
    """The engine's default: the pitches it is given, a quarter note each, from the line on."""
    pitches = [row[0] for row in job.material[0][1]] if job.material else [60]
    beats = int(job.bars * job.beats_per_bar) if job.bars else 8
    return [(pitches[beat % len(pitches)], float(beat), 0.9, 64, 0) for beat in range(beats)]


class JamRoom:
    """Two voices, melody and bass, at 120 BPM; the clock stands."""

    def __init__(self, folder: pathlib.Path, beats_per_bar: int = 4, **settings: Any) -> None:
        self.folder, self.settings = folder, settings
        self.rig = Rig(folder, beats_per_bar=beats_per_bar)
        self.latency_ms = 20.0
        self.make: Callable[[engine_messages.Generate], Rows] = as_played
        self.jobs: list[engine_messages.Generate] = []
        self._due: list[tuple[int, int, engine_messages.Generate]] = []
        self._count = itertools.count()
        self.open_session()

    def open_session(self) -> None:
        """The bridge process, or the one after it."""
        channel = {"melody": 1, "bass": 2}
        voices = {name: {**VOICE, "channel": channel[name], **self.settings} for name in channel}
        self.room = Room(self.folder, voices=voices)
        self.room.time.ns = self.rig.now_ns
        self.room.player.sent.clear()
        self.room.session.player_came()
        for record in [*self.rig.performer.snapshot(), messages.SnapshotEnd(False)]:
            self.room.session.from_player(record)
        self._due.clear()

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def beat(self) -> float:
        """The song's position, by the player's map."""
        return self.rig.performer.looper.map.beat_at_ns(self.rig.now_ns)

    def pass_ns(self, span_ns: int) -> None:
        """Let time pass for everybody."""
        room, until_ns = self.room, self.rig.now_ns + span_ns
        room.time.run((until_ns - room.time.ns) / 1e9)
        while self._due and self._due[0][0] <= until_ns:
            job = heapq.heappop(self._due)[2]
            length = job.bars * job.beats_per_bar if job.op != "morph" else float(job.material[0][0])
            room.session.from_engine(engine_messages.Generated(job.job, length, self.make(job), self.latency_ms))
        self.rig.player.run_to(until_ns)
        self.exchange()

    def exchange(self) -> None:
        """What is said reaches whom it is said to."""
        room = self.room
        for job in room.engine.take(engine_messages.Generate):
            self.jobs.append(job)
            heapq.heappush(self._due, (self.rig.now_ns + round(self.latency_ms * 1e6), next(self._count), job))
        sent, room.player.sent = room.player.sent, []
        self.rig.send(*sent)
        events, self.rig.events = self.rig.events, []
        for event in events:
            room.session.from_player(event)

    def to(self, beat: float) -> None:
        """Let time pass until a beat of the song."""
        while self.beat < beat - 1e-9:
            left_ns = round((beat - self.beat) * 60e9 / self.rig.performer.looper.map.tempo_bpm)
            self.pass_ns(max(1, min(STEP_NS, left_ns)))

    # -- people -------------------------------------------------------------------------------------------------------

    def ask(self, verb: str, scope: str = "melody", **args: Any) -> None:
        """A request, heard by everybody."""
        self.room.ask(verb, scope, **args)
        self.exchange()

    def start(self) -> None:
        """Play from beat 0."""
        self.ask("play", "clock")

    def jam(self, how: str, bars: int = 1, scope: str = "melody") -> None:
        """`/VOICE/jam`."""
        self.ask("jam", scope, how=how, bars=bars)

    def press(self, pitch: int, velocity: int = 90, channel: int = 0) -> None:
        """A key goes down now."""
        self.rig.performer.midi_in(self.rig.now_ns, (0x90 | channel, pitch, velocity), self.rig.now_ns)

    def lift(self, pitch: int, channel: int = 0) -> None:
        """A key goes up now."""
        self.rig.performer.midi_in(self.rig.now_ns, (0x80 | channel, pitch, 0), self.rig.now_ns)

    def play(self, *notes: tuple[float, int], velocity: int = 90, channel: int = 0, length: float = 0.4) -> None:
        """Notes at beats of the song, in order, each let go before the next."""
        for beat, pitch in notes:
            self.to(beat)
            self.press(pitch, velocity, channel)
            self.to(beat + length)
            self.lift(pitch, channel)

    # -- what is heard and said ---------------------------------------------------------------------------------------

    def strokes(self, first: float, last: float, voice: str = "melody") -> list[tuple[float, int]]:
        """(beat, pitch) of the note-ons in a stretch of a song that was begun at `BEGAN_NS` and runs at 120 BPM."""
        return [(beat, pitch) for beat, pitch in self.rig.strokes(voice) if first <= beat < last]

    def said(self, address: str) -> list[tuple[Any, ...]]:
        """All messages to an address so far."""
        return [args for said, args in self.room.words.said if said == address]

    @property
    def phases(self) -> list[tuple[str, float, float]]:
        """The jam's phases so far."""
        return [(phase, start, length) for phase, start, length in self.said("/melody/jam/phase")]

    def launched(self) -> list[float]:
        """The beats at which bars have begun to sound."""
        return [beat for _, beat in self.said("/melody/launched")]

    def materials(self) -> list[list[int]]:
        """The pitches that each job was to go on from."""
        return [[row[0] for row in job.material[0][1]] for job in self.jobs]


assert BEGAN_NS == 1_000_000_000
assert BEAT_NS == 500_000_000
