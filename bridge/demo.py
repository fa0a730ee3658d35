"""The main job, shown: a real bridge, played by an Ableton user over real OSC, and what it sent to its MIDI ports.

Nothing here is stood in for. The bridge is started as `barline start`; the user is an OSC client that listens for the
beat and acts on it; the notes are read from the player's own record of every message it sent.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bridge.hosted import HostedBridge, HostedBridgeError
from bridge.limits import MIN_NOTE_BEATS
from bridge.music import midi_files, pianoroll
from bridge.music.notes import Bars, Note, in_order
from bridge.osc.client import OscClient, Said
from bridge.player.record import Played
from bridge.preview import synth
from bridge.timing.midi import CHANNEL, KIND, NOTE_OFF, NOTE_ON
from bridge.whole_file import refuse_unwritable

if TYPE_CHECKING:
    from bridge.config import Settings

Say = Callable[[str], None]
Role = Literal["melody", "bass", "drums"]

_FAST_BPM = 138.0
_LAST_BEAT = 48
_MORPH = (16, 32)
_TURNS_PER_BEAT = 15  # thirty turns of the knob a second at 120 BPM: a hand on a controller
_LEAST_NOTES = 24
_LEAVES = ("demo.mid", "demo.png", "demo.wav")
_PARTS: dict[str, tuple[int, Role]] = {"melody": (0, "melody"), "bass": (1, "bass"), "drums": (2, "drums")}


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch of one tempo: beat b was at ``origin_ns + b * 60e9 / tempo_bpm``, from `first_beat` on."""

    tempo_bpm: float
    origin_ns: float
    first_beat: float


@dataclass(slots=True)
class _Open:
    started_ns: int
    velocity: int


class DemoError(RuntimeError):
    """The demo did not play; the message says what was missing."""


def run(out_dir: Path, settings: Settings, say: Say) -> int:
    """Play for half a minute and leave demo.mid, demo.png and demo.wav in `out_dir`; 0 when notes really came.

    Raises:
        UnwritableError: `out_dir` cannot be written to.
        DemoError: the bridge did not start, or no notes came, or one was left open.
    """
    refuse_unwritable(out_dir, [out_dir / name for name in _LEAVES])
    folder = Path(tempfile.mkdtemp(prefix="barline-demo-"))
    asked = [f"midi.backend={settings.midi.backend}", f"engine.device={settings.engine.device}"]
    say("starting a bridge of its own ...")
    try:
        with HostedBridge(folder, asked) as bridge:
            for line in bridge.lines:
                say(f"  {line}")
            with bridge.client() as client:
                beats = _perform(bridge, client, say)
            played, names = _record(bridge)
    except (HostedBridgeError, TimeoutError) as fault:
        raise DemoError(f"demo: {fault}") from fault
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _leave(out_dir, played, names, _segments(beats), say)


# -- the user ---------------------------------------------------------------------------------------------------------


def _perform(bridge: HostedBridge, user: OscClient, say: Say) -> list[Said]:
    """What the user does, beat by beat; returns the beats that were heard."""
    user.ask("/bridge/subscribe", answer="/bridge/welcome")
    bridge.wait_until_ready()
    say(f"ready after {(bridge.ready_ns - bridge.started_ns) / 1e9:.1f} s; playing:")
    user.ask("/bridge/state", answer="/bridge/ready")
    for voice in _PARTS:
        state = [said.args for said in user.said() if said.address == f"/{voice}/state"][-1]
        if not state[state.index("ready") + 1]:
            say(f"  {voice} has no model and stays silent")
            continue
        user.send(f"/{voice}/random_seed", 1)
        user.ask(f"/{voice}/next", 2, answer=f"/{voice}/bars/end", timeout_s=15.0)
    user.send("/clock/play")
    for beat, what, messages in _SCRIPT:
        user.wait_for("/clock/beat", 20.0, where=lambda said, beat=beat: said.args[0] >= beat)  # type: ignore[misc]
        say(f"  beat {beat:2d}: {what}")
        for message in messages:
            user.send(*message)
        if beat == _MORPH[0]:
            _turn_the_knob(user)
    time.sleep(0.3)  # the stop's note-offs and its last word
    return [said for said in user.said() if said.address == "/clock/beat"]


def _turn_the_knob(user: OscClient) -> None:
    """From corner b to corner a over sixteen beats, as a hand does it: by the beat that is heard."""
    first, last = _MORPH
    turns = (last - first - 2) * _TURNS_PER_BEAT
    begun = time.perf_counter()
    for turn in range(turns + 1):
        user.send("/melody/morph", 1.0 - turn / turns)
        time.sleep(max(0.0, begun + (turn + 1) * 0.5 / _TURNS_PER_BEAT - time.perf_counter()))


_Action = tuple[str, *tuple[str | int | float, ...]]
_SCRIPT: tuple[tuple[int, str, tuple[_Action, ...]], ...] = (
    (4, "melody: store this loop in corner a", (("/melody/store", "a"),)),
    (6, "melody: sample 2 new bars, at the next bar line", (("/melody/sample", 2),)),
    (
        14,
        "melody: store in corner b; bass and drums: next 2 bars",
        (("/melody/store", "b"), ("/bass/next", 2), ("/drums/next", 2)),
    ),
    (16, "melody: a hand turns the morph knob from b to a", ()),
    (
        32,
        f"tempo 120 to {_FAST_BPM:g}, swing on both, drums vary",
        (("/clock/tempo", _FAST_BPM), ("/melody/swing", 60.0), ("/drums/vary", 0.3)),
    ),
    (38, "melody and bass: next 2 bars", (("/melody/next", 2), ("/bass/next", 2))),
    (_LAST_BEAT, "stop", (("/clock/stop",),)),
)
_MARKERS = (
    (0.0, "next 2 bars"),
    (8.0, "sample"),
    (16.0, "morph b \u2192 a"),
    (32.0, f"120 \u2192 {_FAST_BPM:g} BPM, swing 60"),
    (40.0, "next 2 bars"),
)


# -- what came out ----------------------------------------------------------------------------------------------------


def _record(bridge: HostedBridge) -> tuple[list[Played], list[str]]:
    reader = bridge.played()
    try:
        played, _ = reader.since(0)
        return played, reader.port_names
    finally:
        reader.close()


def _segments(beats: Sequence[Said]) -> list[_Segment]:
    """The tempo map as a listener hears it. A beat is told late by a little, never early: the earliest are right."""
    if not beats:
        raise DemoError("demo: no beat came")
    origins: dict[float, float] = {}
    for said in beats:
        beat, tempo = said.args[0], said.args[1]
        origin = said.arrival_ns - beat * 60e9 / tempo
        origins[tempo] = min(origins.get(tempo, origin), origin)
    segments: list[_Segment] = []
    for tempo, origin in origins.items():
        first = 0.0
        if segments:
            before = segments[-1]
            first = (origin - before.origin_ns) / (60e9 / before.tempo_bpm - 60e9 / tempo)
        segments.append(_Segment(tempo, origin, first))
    return segments


def _beat_at(segments: Sequence[_Segment], time_ns: int) -> float:
    for segment in reversed(segments):
        beat = (time_ns - segment.origin_ns) * segment.tempo_bpm / 60e9
        if beat >= segment.first_beat or segment is segments[0]:
            return beat
    raise AssertionError("a song has a first segment")


def _notes(played: Sequence[Played]) -> list[tuple[int, int, int, int, int]]:
    """(port, pitch, velocity, on_ns, off_ns) of every note.

    Raises:
        DemoError: a note was struck twice or left open: the one thing that must not happen.
    """
    open_notes: dict[tuple[int, int, int], _Open] = {}
    notes = []
    for message in sorted(played, key=lambda item: item.sent_ns):
        key = (message.port, message.status & CHANNEL, message.data1)
        kind = message.status & KIND
        if kind == NOTE_ON and message.data2 > 0:
            if key in open_notes:
                raise DemoError(f"demo: note {message.data1} was struck twice without an end")
            open_notes[key] = _Open(message.sent_ns, message.data2)
        elif kind in (NOTE_OFF, NOTE_ON) and key in open_notes:
            begun = open_notes.pop(key)
            notes.append((message.port, message.data1, begun.velocity, begun.started_ns, message.sent_ns))
    if open_notes:
        raise DemoError(f"demo: {len(open_notes)} notes were left open")
    return notes


def _leave(out_dir: Path, played: Sequence[Played], names: Sequence[str], segments: list[_Segment], say: Say) -> int:
    notes = _notes(played)
    if len(notes) < _LEAST_NOTES:
        raise DemoError(f"demo: only {len(notes)} notes came; expected a song")
    voices = [name.rsplit(" ", 1)[-1] for name in names]
    song: dict[str, list[Note]] = {}
    timed = []
    origin_ns = segments[0].origin_ns
    for port, pitch, velocity, on_ns, off_ns in notes:
        part, role = _PARTS.get(voices[port], (0, "melody"))
        start, end = max(0.0, _beat_at(segments, on_ns)), _beat_at(segments, off_ns)
        song.setdefault(voices[port], []).append(Note(pitch, start, max(end - start, MIN_NOTE_BEATS), velocity, part))
        timed.append(synth.TimedNote((on_ns - origin_ns) / 1e9 + 0.1, (off_ns - on_ns) / 1e9, pitch, velocity, role))
    bars = Bars(in_order(note for voice in song.values() for note in voice), float(_LAST_BEAT))
    midi_files.write_midi(
        out_dir / "demo.mid",
        bars,
        channels={0: 0, 1: 1, 2: 9},
        track_name="Barline demo",
        tempo=segments[0].tempo_bpm,
        tempo_changes=[(segment.first_beat, segment.tempo_bpm) for segment in segments[1:]],
    )
    lanes = [pianoroll.Lane(name, in_order(found), drums=name == "drums") for name, found in song.items()]
    title = f"Barline demo: {len(notes)} notes as they were sent"
    pianoroll.draw(lanes, out_dir / "demo.png", title=title, beats=(0.0, float(_LAST_BEAT)), markers=_MARKERS)
    synth.write_wav(out_dir / "demo.wav", synth.render(timed))
    lateness_ms = sorted((item.sent_ns - item.intended_ns) / 1e6 for item in played)
    say(
        f"{len(notes)} notes, every one closed; half were sent within {lateness_ms[len(lateness_ms) // 2]:.2f} ms of "
        f"their time, 99 in 100 within {lateness_ms[int(len(lateness_ms) * 0.99)]:.2f} ms"
    )
    for name in _LEAVES:
        say(f"  {out_dir / name}  ({(out_dir / name).stat().st_size:,} bytes)")
    return 0
