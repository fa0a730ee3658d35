"""Call and response with a scripted player on a real MIDI port: a bar each, at a high tempo, round after round.

The player plays phrases in a key and a register, changes both half-way, holds notes across the line, stops early, and
now and then plays nothing at all. Judged from outside: by what the bridge says it has launched, and by the player's own
record of what it sent.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Final

from bridge.bench.jack_room import JackRoom
from bridge.bench.jack_room import missing as jack_missing
from bridge.bench.rows import Row, row
from bridge.hosted import HostedBridge, note_offs, note_ons
from bridge.music.harmony import MODES
from bridge.osc.client import OscClient, Said
from bridge.player.hand import Hand
from bridge.player.record import Played
from bridge.timing.midi import NOTE_OFF, NOTE_ON

ROUNDS: Final = 32
BPM: Final = 240.0
ON_THE_LINE_MS: Final = 10.0
BEAT_NS: Final = round(60e9 / BPM)
BAR_NS: Final = 4 * BEAT_NS
PERIOD: Final = 1024  # frames a cycle of JACK: whatever is sent must arrive
WAY_IN_MS: Final = 32.0  # JACK at 1024 frames: a period and a half from the hand to the bridge's stamp
SETTINGS: Final = ("midi.backend=jack", f"midi.input_latency_ms={WAY_IN_MS:g}")
STYLES: Final = ("plain", "across", "plain", "early", "plain", "across", "nothing", "plain")
_KEYS: Final = ((2, 66), (10, 57))  # tonic and middle pitch: D in the first half, then B flat, lower
_BEATS_TO_LEARN: Final = 8
EDGE_NS: Final = 3_000_000  # notes are meant for their moment to the microsecond; a phrase may be a little off the grid


@dataclass(frozen=True, slots=True)
class Struck:
    """A note that the scripted player plays: beats from the line of its bar."""

    pitch: int
    velocity: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Round:
    """What was played in a round, in which key, and what the bridge made of it."""

    style: str
    phrase: tuple[Struck, ...]
    tonic: int
    launched: bool
    ready_ms: float
    final_ms: float
    answer: tuple[Played, ...]
    while_listening: tuple[Played, ...]
    first_ms: float
    left_open: int

    @property
    def in_key(self) -> float:
        """Share of the answer's notes that are in the key that was played in."""
        return fmean((note.data1 - self.tonic) % 12 in MODES["major"] for note in self.answer)

    @property
    def apart_semitones(self) -> float:
        """How far the middle of the answer is from the middle of the phrase."""
        return abs(median(n.data1 for n in self.answer) - median(n.pitch for n in self.phrase))

    @property
    def density(self) -> float:
        """Notes of the answer for one of the phrase."""
        return len(self.answer) / len(self.phrase)

    @property
    def louder(self) -> float:
        """Mean velocity of the answer over that of the phrase, less 1: 0 is as loud."""
        return fmean(n.data2 for n in self.answer) / fmean(n.velocity for n in self.phrase) - 1.0


def phrase_of(style: str, tonic: int, middle: int, dice: random.Random) -> tuple[Struck, ...]:
    """A bar of a melody: steps of the scale around a middle pitch, in eighths and quarters."""
    if style == "nothing":
        return ()
    scale = [pitch for pitch in range(middle - 9, middle + 10) if (pitch - tonic) % 12 in MODES["major"]]
    at, notes, place = 0.0, [], min(range(len(scale)), key=lambda k: (abs(scale[k] - middle), k))
    until = 2.0 if style == "early" else 4.0
    while at < until:
        length = dice.choice((0.5, 0.5, 1.0))
        place = min(max(place + dice.choice((-2, -1, 1, 2)), 0), len(scale) - 1)
        notes.append(Struck(scale[place], dice.randint(70, 110), at, min(at + 0.9 * length, until)))
        at += length
    if style == "across":
        last = notes.pop()
        notes += [Struck(last.pitch, last.velocity, last.start, 5.0), Struck(scale[place - 1], 90, 4.25, 4.75)]
    return tuple(notes)


def play_rounds(bridge: HostedBridge, client: OscClient, hand: Hand, rounds: int) -> list[Round]:
    """Jam with the melody voice for so many rounds; the clock is started and stopped here. `client` has subscribed."""
    reader = bridge.played()
    client.send("/melody/random_seed", 1)
    client.send("/clock/tempo", BPM)
    client.send("/clock/play")
    origin_ns = _origin(client)
    client.send("/melody/jam", "respond", 1)
    bar = (time.perf_counter_ns() - origin_ns) // BAR_NS + 2
    dice, since, first, done = random.Random(7), client.mark(), reader.count, []
    try:
        for number in range(rounds):
            tonic, middle = _KEYS[2 * number // rounds]
            style = STYLES[number % len(STYLES)]
            phrase = phrase_of(style, tonic, middle, dice)
            line_ns = origin_ns + bar * BAR_NS
            hand.play(_messages(phrase, line_ns))
            done.append((style, phrase, tonic, bar, line_ns))
            bar += 2
            _sleep_until(origin_ns + bar * BAR_NS - BEAT_NS // 2)
        _sleep_until(origin_ns + bar * BAR_NS + BEAT_NS)
        said, played = client.said(since), reader.since(first)[0]
    finally:
        client.send("/melody/jam", "off")
        client.send("/clock/stop")
        reader.close()
    return [_judged(*each, said, played) for each in done]


def _judged(
    style: str, phrase: tuple[Struck, ...], tonic: int, bar: int, line_ns: int, said: Sequence[Said],
    played: Sequence[Played],
) -> Round:  # fmt: skip
    answer_ns, over_ns = line_ns + BAR_NS, line_ns + 2 * BAR_NS
    launched = [s for s in said if s.address == "/melody/launched" and abs(s.args[1] - 4.0 * (bar + 1)) < 1e-3]
    told = [s for s in said if s.address == "/melody/bars/end" and s.args[0] in [each.args[0] for each in launched]]
    ons = note_ons(played)
    answer = [note for note in ons if answer_ns - EDGE_NS <= note.intended_ns < over_ns - EDGE_NS]
    offs = [note for note in note_offs(played) if answer_ns <= note.intended_ns <= over_ns + EDGE_NS]
    return Round(
        style=style,
        phrase=phrase,
        tonic=tonic,
        launched=len(launched) == 1,
        ready_ms=(answer_ns - told[0].arrival_ns) / 1e6 if told else 0.0,
        final_ms=(answer_ns - told[-1].arrival_ns) / 1e6 if told else 0.0,
        answer=tuple(answer),
        while_listening=tuple(n for n in ons if line_ns + EDGE_NS < n.intended_ns < answer_ns - EDGE_NS),
        first_ms=(answer[0].intended_ns - answer_ns) / 1e6 if answer else 0.0,
        left_open=len(answer) - len(offs),
    )


def _messages(phrase: Sequence[Struck], line_ns: int) -> list[tuple[int, tuple[int, int, int]]]:
    moments = [(line_ns + round(n.start * BEAT_NS), (NOTE_ON, n.pitch, n.velocity)) for n in phrase]
    moments += [(line_ns + round(n.end * BEAT_NS), (NOTE_OFF, n.pitch, 0)) for n in phrase]
    return sorted(moments)


def _origin(client: OscClient) -> int:
    """When beat 0 was, by the least late of some beats as they were told."""
    since, origins = client.mark(), []
    for _ in range(_BEATS_TO_LEARN):
        told = client.wait_for("/clock/beat", 5.0, since, lambda said: said.args[2] == 1)
        since = client.mark()
        origins.append(told.arrival_ns - int(told.args[0]) * BEAT_NS)
    return min(origins)


def _sleep_until(moment_ns: int) -> None:
    time.sleep(max(0.0, (moment_ns - time.perf_counter_ns()) / 1e9))


def missing() -> str:
    """Why this cannot be measured here, in plain words; empty where it can."""
    return jack_missing()


def rounds_on_jack(folder: Path) -> list[Round]:
    """All rounds, with a bridge and a JACK server of their own."""
    with JackRoom(PERIOD), HostedBridge(folder, SETTINGS) as bridge, bridge.client() as client:
        client.ask("/bridge/subscribe", answer="/bridge/welcome")
        bridge.wait_until_ready()
        with Hand("jack", "Barline in") as hand:
            return play_rounds(bridge, client, hand, ROUNDS)


def jam_rows(rounds: Sequence[Round]) -> list[Row]:
    """The rounds as results; each is its own reading. Key and register are also judged against what was played half the
    rounds later, in another key and register: that is their baseline.
    """
    played = [each for each in rounds if each.phrase and each.answer]
    wanted = [each for each in rounds if each.phrase]
    others = [*played[len(played) // 2 :], *played[: len(played) // 2]]
    swapped = [
        replace(each, phrase=other.phrase, tonic=other.tonic) for each, other in zip(played, others, strict=True)
    ]
    return [
        row("jam: rounds with an answer from the line on", "share",
            [float(bool(each.answer) and abs(each.first_ms) < ON_THE_LINE_MS) for each in rounds]),
        row("jam: notes left open, or sounding while it listens", "notes",
            [float(each.left_open + len(each.while_listening)) for each in rounds]),
        row("jam: answers launched on their bar line", "share", [float(each.launched) for each in wanted]),
        row("jam: the answer is with the player so long before the line", "ms", [each.ready_ms for each in wanted]),
        row("jam: its last version, with the last notes", "ms", [each.final_ms for each in wanted]),
        row("jam: notes of the answer in the key that was played in", "share", [each.in_key for each in played],
            fmean(each.in_key for each in swapped)),
        row("jam: middle of the answer from the middle of the phrase", "semitones",
            [each.apart_semitones for each in played], fmean(each.apart_semitones for each in swapped)),
        row("jam: notes of the answer for one of the phrase", "ratio", [each.density for each in played]),
        row("jam: how much louder the answer is", "ratio", [each.louder for each in played]),
    ]  # fmt: skip
