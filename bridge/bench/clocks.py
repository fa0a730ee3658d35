"""MIDI clock on a real JACK server: Barline's own ticks beside others', and its notes beside the ticks that it follows.

A JACK client that is not woken in time loses what came in that cycle: on a busy machine ticks go missing, for Barline
and for those it is compared with. RtMidi puts every message on the first frame of a cycle: seen from outside, nothing
that uses it is more exact than a period.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.bench import isobar_clock, jack_room
from bridge.bench.jack_room import PERIOD_MS, RATE, ClockDump, JackRoom
from bridge.bench.listener import ListenerProcess
from bridge.bench.rows import Row, row
from bridge.hosted import HostedBridge
from bridge.limits import CLOCK_TICKS_PER_BEAT
from bridge.timing.midi import KIND, NOTE_ON, START, TICK

_BPM: Final = 150.0
_TICK_MS: Final = 60_000 / (_BPM * CLOCK_TICKS_PER_BEAT)
_TICKS: Final = 1500
_STEPS: Final = 16
_STEP_TICKS: Final = CLOCK_TICKS_PER_BEAT // 4
_FOLLOW_S: Final = 30.0
_SETTLE_S: Final = 5.0  # the first two bars are the follower's to find the phase in
_BOUND_MS: Final = PERIOD_MS + 1.0
_LOWEST: Final = 48

Moments = NDArray[np.float64]


def missing() -> str:
    """Why this cannot be measured here, in plain words; empty where it can."""
    return jack_room.missing()


def clock_rows(folder: Path) -> list[Row]:
    """Clock out, then following, also with the jitter that `jack_midi_clock -J` adds, in per cent of a tick. It adds up
    from tick to tick: at 20 and this tempo the next tick is where nobody can know it by 3.3 ms.

    Raises:
        bridge.hosted.HostedBridgeError: the bridge does not start.
        bridge.bench.jack_room.JackRoomError: the JACK server does not.
    """
    with JackRoom() as room:
        rows = _clock_out_rows(room, folder / "clock-out")
        for jitter in ("0", "10", "20"):
            rows += _following_rows(room, folder / f"following{jitter}", jitter)
    return rows


def _clock_out_rows(room: JackRoom, folder: Path) -> list[Row]:
    """Our ticks by the player's record, and as `jack_mclk_dump` hears them, each beside another program's."""
    asked = ["midi.backend=jack", "midi.clock_out=true", "clock.source=internal", f"clock.tempo={_BPM}"]
    with HostedBridge(folder, asked) as bridge, bridge.client() as client, room.midi_clock(_BPM) as their_port:
        bridge.wait_until_ready()
        our_port = "Barline clock:Barline clock"
        room.wait_for(our_port)
        record = bridge.played()
        first = record.count
        with ClockDump(our_port) as ours, ClockDump(their_port) as theirs:
            room.wait_for("jack_mclk_dump:mclk_in", "jack_mclk_dump-01:mclk_in")
            client.send("/clock/play")
            room.transport("locate 0", "play")
            time.sleep(_TICKS * _TICK_MS / 1000)
            heard, beside = _interval_errors_ms(ours.tick_frames()), _interval_errors_ms(theirs.tick_frames())
        client.send("/clock/stop")
        room.transport("stop")
        ticks = [message for message in record.since(first)[0] if message.status == TICK]
        record.close()
    late = [(message.sent_ns - message.intended_ns) / 1e6 for message in ticks]
    isobar_p99 = None
    if isobar_clock.installed():
        isobar_p99 = float(np.percentile(_lateness_ms(isobar_clock.sent_ns(_BPM, _TICKS)), 99))
    name = "isobar's clock" if isobar_p99 else "nothing: isobar is not installed"
    return [
        row(f"clock out: ticks against their moments (against {name})", "ms", late, isobar_p99, of="p99"),
        row("clock out: tick intervals as jack_mclk_dump hears them (against a period + 1 ms)", "ms", heard,
            _BOUND_MS, of="p99"),
        row("clock out: jack_midi_clock's own, in the same run (against a period + 1 ms)", "ms", beside, _BOUND_MS,
            of="p99"),
    ]  # fmt: skip


def _interval_errors_ms(frames: list[int]) -> list[float]:
    """How far each interval is from the tempo's; one in which ticks were lost counts as the several that it is."""
    intervals = np.diff(np.array(frames, dtype=np.float64)) * 1000 / RATE
    whole = np.maximum(1.0, np.round(intervals / _TICK_MS))
    return [float(error) for error in np.abs(intervals - whole * _TICK_MS)]


def _lateness_ms(sent_ns: list[int]) -> Moments:
    """How late each tick was against an even line through the earliest of them."""
    line_ns = np.arange(len(sent_ns)) * _TICK_MS * 1e6
    late: Moments = (np.array(sent_ns, dtype=np.float64) - sent_ns[0] - line_ns) / 1e6
    return np.asarray(late - late.min())


def _following_rows(room: JackRoom, folder: Path, jitter: str) -> list[Row]:
    """Notes on every sixteenth, each of another pitch, heard together with the ticks that they follow."""
    asked = ["midi.backend=jack", "clock.source=midi"]
    with HostedBridge(folder, asked) as bridge, bridge.client() as client, room.midi_clock(_BPM, "-J", jitter) as port:
        bridge.wait_until_ready()
        room.connect(port, "Barline in:Barline in")
        notes = [(_LOWEST + step, step / 4, 0.1, 90, 0) for step in range(_STEPS)]
        client.send("/melody/quantize", 0.0)
        for slot in "ab":
            client.send("/melody/store", slot, _STEPS / 4, *(value for note in notes for value in note))
        client.send("/melody/morph", 0.0)
        room.transport("locate 0")
        listener = ListenerProcess("jack", [port, "Barline melody"], keep=True)
        room.transport("play")
        time.sleep(_SETTLE_S + _FOLLOW_S)
        room.transport("stop")
        time.sleep(0.5)
        kept = listener.kept()
    ticks, struck = kept[port], [(ns, said[1]) for ns, said in kept["Barline melody"] if said[0] & KIND == NOTE_ON]
    errors = note_errors_ms(ticks, struck)
    name = f"following jack_midi_clock -J {jitter}: notes against its ticks (against a period + 1 ms)"
    return [row(name, "ms", errors, _BOUND_MS, of="p95")]


def note_errors_ms(ticks: list[tuple[int, list[int]]], struck: list[tuple[int, int]]) -> list[float]:
    """How far each note was from its tick, by the master's own count of ticks at that moment.

    Args:
        ticks: moment and message of all that the master sent, its start first.
        struck: moment and pitch of the notes; `_LOWEST` + n belongs on the n-th sixteenth of every bar.
    """
    began_ns = next(ns for ns, said in ticks if said[0] == START)
    moments = np.array([ns for ns, said in ticks if said[0] == TICK and ns >= began_ns], dtype=np.float64)
    tick_ns = float(np.median(np.diff(moments)))  # with jitter jack_midi_clock is faster than it was asked to be
    steps = np.concatenate([[moments[0] - began_ns], np.diff(moments)]) / tick_ns
    steps[1:] = np.maximum(1.0, np.round(steps[1:]))  # where ticks were lost on the way to the listener
    numbers = np.cumsum(np.round(steps))
    bar = _STEPS * _STEP_TICKS
    errors = []
    for ns, pitch in struck:
        if ns < began_ns + _SETTLE_S * 1e9:
            continue
        count = float(np.interp(ns, moments, numbers))  # ticks of the master's, as it sent them, at the note's moment
        apart = (count - (pitch - _LOWEST) * _STEP_TICKS + bar / 2) % bar - bar / 2
        errors.append(abs(apart) * tick_ns / 1e6)
    return errors
