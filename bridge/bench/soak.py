"""The soak: minutes of random playing at 240 BPM, judged from outside on a real MIDI port where the system has one."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.bench.listener import ListenerProcess
from bridge.bench.rows import Row, row
from bridge.hosted import HostedBridge
from bridge.osc.client import OscClient
from bridge.player.listener import Tally
from bridge.player.ports import PortError
from bridge.timing.midi import KIND, NOTE_OFF, NOTE_ON

_BPM = 240.0
_VOICES = ("melody", "drums")
_PAUSE_S = (0.01, 0.4)
_SELDOM = 0.08


class SoakError(RuntimeError):
    """A note was lost, doubled or left open; the message counts them."""


def soak_rows(bridge: HostedBridge, client: OscClient, minutes: float) -> list[Row]:
    """Play at random for `minutes`, then stop, and count.

    Raises:
        SoakError: note-ons and note-offs differ, a note was struck while it sounded, or one is open at the end.
    """
    pid = int(bridge.processes()["bridge.main"])
    listener = _listener()
    chance = random.Random(1)
    client.send("/clock/tempo", _BPM)
    client.send("/clock/play")
    for voice in _VOICES:
        for slot in "ab":
            since = client.mark()
            client.send(f"/{voice}/sample", 2)
            client.wait_for(f"/{voice}/launched", 30.0, since)
            client.send(f"/{voice}/store", slot)
    memory = [_resident_mb(pid)]
    until = time.monotonic() + minutes * 60.0
    told = time.monotonic()
    while time.monotonic() < until:
        _something(client, chance)
        time.sleep(chance.uniform(*_PAUSE_S))
        if time.monotonic() - told > 5.0:
            told = time.monotonic()
            memory.append(_resident_mb(pid))
            client.send("/bridge/ping", 1)
    client.send("/clock/stop")
    time.sleep(1.0)
    tallies = _tallies(bridge, listener)
    faults = [fault for name, tally in tallies.items() if (fault := _fault(name, tally))]
    if faults:
        raise SoakError("; ".join(faults))
    rows = [
        row(f"soak {minutes:g} min: note-ons on {name} (against note-offs)", "notes", [tally.ons], tally.offs)
        for name, tally in tallies.items()
    ]
    errors = [said for said in client.said() if said.address == "/error" and said.args[0] not in (4, 6)]
    if errors:
        raise SoakError(f"the bridge answered {errors[0].args}")
    return [
        *rows,
        row(f"soak {minutes:g} min: memory of bridge.main (against its first reading)", "MB", memory, memory[0]),
    ]


def _something(client: OscClient, chance: random.Random) -> None:
    """One thing that a player might do; what silences is taken back soon, or there would be little to count."""
    voice = chance.choice(_VOICES)
    often: tuple[Callable[[], None], ...] = (
        lambda: client.send(f"/{voice}/next", chance.choice((1, 2, 2, 4))),
        lambda: client.send(f"/{voice}/sample", 2),
        lambda: client.send(f"/{voice}/vary", chance.random()),
        lambda: client.send(f"/{voice}/morph", chance.random()),
        lambda: client.send(f"/{voice}/morph", chance.random()),
        lambda: client.send(f"/{voice}/swing", chance.uniform(50, 75)),
        lambda: client.send(f"/{voice}/humanize", chance.random()),
        lambda: client.send(f"/{voice}/transpose", chance.randint(-12, 12)),
        lambda: client.send(f"/{voice}/launch", chance.choice(("now", "step", "beat", "bar", "loop"))),
        lambda: client.send(f"/{voice}/undo"),
    )
    seldom: tuple[tuple[str, ...] | tuple[str, float], ...] = (
        (f"/{voice}/stop", f"/{voice}/play"),
        ("/clock/stop", "/clock/continue"),
        ("/clock/stop", "/clock/play"),
        ("/clock/tempo", chance.uniform(120, 300)),
    )
    if chance.random() < _SELDOM:
        first, then = chance.choice(seldom)
        if isinstance(then, float):
            client.send(first, then)
        else:
            client.send(first)
            time.sleep(chance.uniform(*_PAUSE_S))
            client.send(then)
    elif chance.random() < _SELDOM:
        client.send(f"/{voice}/mute", 1)
        time.sleep(chance.uniform(*_PAUSE_S))
        client.send(f"/{voice}/mute", 0)
    else:
        chance.choice(often)()


def _listener() -> tuple[str, ListenerProcess] | None:
    """A listener on the voices' ports, where the system has ports, and the name of that system; None where not."""
    for backend in ("alsa", "jack", "coremidi", "winmm"):
        try:
            return backend, ListenerProcess(backend, [f"Barline {voice}" for voice in _VOICES])
        except PortError:
            continue
    return None


def _tallies(bridge: HostedBridge, listener: tuple[str, ListenerProcess] | None) -> dict[str, Tally]:
    """What was heard from outside, and what the player's own record says it sent."""
    tallies: dict[str, Tally] = {}
    if listener is not None:
        backend, process = listener
        tallies = {f"{name} (heard on {backend})": tally for name, tally in process.tallies().items()}
    reader = bridge.played()
    own = [tallies.setdefault(f"{name} (the player's own record)", Tally()) for name in reader.port_names]
    for message in reader.since(0)[0]:
        if message.status & KIND in (NOTE_OFF, NOTE_ON):
            own[message.port].hear([message.status, message.data1, message.data2])
    reader.close()
    return {name: tally for name, tally in tallies.items() if tally.ons or tally.offs}


def _fault(name: str, tally: Tally) -> str:
    if tally.ons == tally.offs and not (tally.doubled or tally.stray or tally.open_notes):
        return ""
    return (
        f"{name}: {tally.ons} note-ons, {tally.offs} note-offs, {tally.doubled} doubled, {tally.stray} stray offs, "
        f"{len(tally.open_notes)} open at the end"
    )


def _resident_mb(pid: int) -> float:
    try:
        pages: Any = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]
    except OSError:
        return 0.0
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6
