"""The soak: minutes of random playing at 240 BPM, judged from outside on a real MIDI port where the system has one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.bench.rows import Row, row
from bridge.hosted import HostedBridge
from bridge.osc.client import OscClient
from bridge.player.listener import Listener, Tally
from bridge.player.ports import PortError

_BPM = 240.0
_VOICES = ("melody", "drums")
_PAUSE_S = (0.01, 0.4)


class SoakError(RuntimeError):
    """A note was lost, doubled or left open; the message counts them."""


def soak_rows(bridge: HostedBridge, client: OscClient, minutes: float) -> list[Row]:
    """Play at random for `minutes`, then stop, and count.

    Raises:
        SoakError: note-ons and note-offs differ, a note was struck while it sounded, or one is open at the end.
    """
    pid = int(bridge.processes()["bridge.main"])
    listeners = _listeners()
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
    rows = [_judge(name, tally, minutes) for name, tally in _tallies(bridge, listeners).items()]
    errors = [said for said in client.said() if said.address == "/error" and said.args[0] not in (4, 6)]
    if errors:
        raise SoakError(f"the bridge answered {errors[0].args}")
    return [
        *rows,
        row(f"soak {minutes:g} min: memory of bridge.main (against its first reading)", "MB", memory, memory[0]),
    ]


def _something(client: OscClient, chance: random.Random) -> None:
    voice = chance.choice(_VOICES)
    actions: tuple[Callable[[], None], ...] = (
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
        lambda: client.send(f"/{voice}/stop"),
        lambda: client.send(f"/{voice}/play"),
        lambda: client.send(f"/{voice}/play"),
        lambda: client.send(f"/{voice}/mute", chance.randint(0, 1)),
        lambda: client.send(f"/{voice}/mute", 0),
        lambda: client.send("/clock/tempo", chance.uniform(60, 300)),
        lambda: client.send("/clock/stop"),
        lambda: client.send("/clock/continue"),
        lambda: client.send("/clock/continue"),
        lambda: client.send("/clock/play"),
    )
    chance.choice(actions)()


def _listeners() -> dict[str, Listener]:
    """A listener on each voice's port, where the system has ports; none where it has not."""
    found = {}
    for backend in ("alsa", "jack", "coremidi", "winmm"):
        try:
            for voice in _VOICES:
                found[f"Barline {voice} ({backend})"] = Listener(backend, f"Barline {voice}")
        except PortError:
            continue
        return found
    return {}


def _tallies(bridge: HostedBridge, listeners: dict[str, Listener]) -> dict[str, Tally]:
    if listeners:
        tallies = {name: listener.tally for name, listener in listeners.items()}
        for listener in listeners.values():
            listener.close()
        return tallies
    reader = bridge.played()
    tallies = {f"{name} (the player's record; no MIDI system)": Tally() for name in reader.port_names}
    names = list(tallies)
    for message in reader.since(0)[0]:
        if message.status & 0xE0 == 0x80:
            tallies[names[message.port]].hear([message.status, message.data1, message.data2])
    reader.close()
    return tallies


def _judge(name: str, tally: Tally, minutes: float) -> Row:
    if tally.ons != tally.offs or tally.doubled or tally.stray or tally.open_notes:
        raise SoakError(
            f"{name}: {tally.ons} note-ons, {tally.offs} note-offs, {tally.doubled} doubled, {tally.stray} stray offs, "
            f"{len(tally.open_notes)} open at the end"
        )
    return row(f"soak {minutes:g} min: note-ons heard on {name} (against note-offs)", "notes", [tally.ons], tally.offs)


def _resident_mb(pid: int) -> float:
    try:
        pages: Any = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]
    except OSError:
        return 0.0
    return int(pages) * 4096 / 1e6
