"""`doctor --loopback`: what the way out of one MIDI port and back into another costs.

Notes go out at uneven moments (so that no cycle of the system's flatters them) and are known again by their key. From
one cable the two halves of the way cannot be told apart: each is given half of it, and the send's own time is known.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import rtmidi

from bridge.player.inputs import FAULTS
from bridge.player.ports import PortError
from bridge.player.rtmidi_ports import APIS, RtmidiBackend, candidates
from bridge.player.stamps import DriverStamps
from bridge.timing.clocks import MachineClock, ask_for_fine_timers
from bridge.timing.midi import KIND, NOTE_OFF, NOTE_ON

log = logging.getLogger(__name__)

_Came = collections.deque[tuple[int, tuple[int, ...]]]

NOTES: Final = 200
CONNECT_WITHIN_S: Final = 60.0
_PROBE_EVERY_S: Final = 0.25
_SHORTEST_NS, _LONGEST_NS = 12_000_000, 30_000_000
_LAST_MAY_TAKE_S: Final = 0.5
_PROBE: Final = (NOTE_ON, 0, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Loopback:
    """What was measured, in ms; `late_*` from the moment meant to the send's return, `trip_*` from the send to the
    input's stamp. `output_ms` and `input_ms` are what to compensate.
    """

    output_port: str
    input_port: str
    sent: int
    returned: int
    doubled: int
    late_p50_ms: float
    late_p99_ms: float
    trip_p50_ms: float
    trip_p99_ms: float
    output_ms: float
    input_ms: float


def measure(
    wanted: str, client: str, names: Sequence[str], notes: int = NOTES, connect_within_s: float = CONNECT_WITHIN_S
) -> Loopback:
    """Play out of one port into another and measure.

    Args:
        wanted: `midi.backend`.
        client: `midi.name`; without `names` the ports are ``CLIENT loopback`` and ``CLIENT loopback in``, which the
            user connects while we wait.
        names: parts of the names of an existing output and an existing input, or nothing.
        notes: how many notes are sent.
        connect_within_s: how long we wait for the first to come back.

    Raises:
        PortError: no MIDI system, no such port, or nothing ever came back.
    """
    faults = []
    for kind in candidates(wanted):
        came: _Came = collections.deque()
        try:
            RtmidiBackend(kind).close()  # says in plain words what is missing
            patch = _Patch(kind, client, names, came)
        except PortError as fault:
            faults.append(f"{kind}: {fault}")
            continue
        try:
            _await_connection(patch, came, connect_within_s)
            return _measured(patch, came, notes)
        finally:
            patch.close()
    raise PortError("; ".join(faults) or "midi.backend is none: there is nothing to measure")


class _Patch:
    """An output and an input, to be connected outside."""

    def __init__(self, kind: str, client: str, names: Sequence[str], came: _Came) -> None:
        """Ports of our own, or the existing ones whose names contain `names` (output, input).

        Raises:
            PortError: one of them cannot be had.
        """
        stamps = DriverStamps()

        def received(event: tuple[Sequence[int], float], _data: object) -> None:
            now_ns = time.perf_counter_ns()
            came.append((stamps.of(now_ns, event[1]), tuple(event[0])))

        own = f"{client} loopback"
        try:
            self._out, self._in = rtmidi.MidiOut(APIS[kind], own), rtmidi.MidiIn(APIS[kind], f"{own} in")
            self._in.set_callback(received)
            self.output_name = _opened(self._out, names[0] if names else own, virtual=not names)
            self.input_name = _opened(self._in, names[1] if names else f"{own} in", virtual=not names)
        except (*FAULTS, NotImplementedError) as fault:  # Windows makes no ports
            raise PortError(str(fault)) from fault

    def send(self, message: Sequence[int]) -> None:
        """Send one message now.

        Raises:
            PortError: the system refused it.
        """
        try:
            self._out.send_message(message)
        except FAULTS as fault:
            raise PortError(f"{self.output_name}: {fault}") from fault

    def close(self) -> None:
        """Close both."""
        for port in (self._out, self._in):
            port.close_port()
            port.delete()


def _opened(port: Any, wanted: str, *, virtual: bool) -> str:
    """Open a port of our own, or the first existing one whose name contains `wanted`; the name it has.

    Raises:
        PortError: there is none.
    """
    if virtual:
        port.open_virtual_port(wanted)
        return wanted
    present = port.get_ports()
    for number, name in enumerate(present):
        if wanted.lower() in name.lower():
            port.open_port(number)
            return str(name)
    raise PortError(f"no port is called {wanted!r}: there are {', '.join(present) or 'none'}")


def _await_connection(patch: _Patch, came: _Came, connect_within_s: float) -> None:
    log.warning("waiting for %s to be connected to %s", patch.output_name, patch.input_name)
    until = time.monotonic() + connect_within_s
    while not came:
        if time.monotonic() > until:
            raise PortError(
                f"nothing came back within {connect_within_s:g} s: connect {patch.output_name} to {patch.input_name}"
            )
        patch.send(_PROBE)
        patch.send((NOTE_OFF, _PROBE[1], 0))
        time.sleep(_PROBE_EVERY_S)
    time.sleep(_PROBE_EVERY_S)
    came.clear()


def _measured(patch: _Patch, came: _Came, notes: int) -> Loopback:
    ask_for_fine_timers()
    clock = MachineClock()
    clock.calibrate()
    uneven = random.Random(1)
    sent: dict[tuple[int, int], int] = {}
    late_ms: list[float] = []
    moment_ns = clock.now_ns()
    for number in range(notes):
        moment_ns = max(moment_ns, clock.now_ns()) + uneven.randrange(_SHORTEST_NS, _LONGEST_NS)
        key = (number % 128, 1 + number // 128 % 127)
        clock.wait_until(moment_ns)
        sent[key] = clock.now_ns()
        patch.send((NOTE_ON, *key))
        late_ms.append((clock.now_ns() - moment_ns) / 1e6)
        patch.send((NOTE_OFF, key[0], 0))
    until = time.monotonic() + _LAST_MAY_TAKE_S
    while sum(message[0] & KIND == NOTE_ON for _, message in list(came)) < notes and time.monotonic() < until:
        time.sleep(0.01)
    trips_ms, doubled = _trips(sent, came)
    if not trips_ms:
        raise PortError(f"{patch.output_name} was connected to {patch.input_name}, and is not any more")
    late_p50, trip_p50 = _share(late_ms, 0.5), _share(trips_ms, 0.5)
    return Loopback(
        patch.output_name, patch.input_name, notes, len(trips_ms), doubled, late_p50, _share(late_ms, 0.99), trip_p50,
        _share(trips_ms, 0.99), round(late_p50 + trip_p50 / 2, 3), round(trip_p50 / 2, 3),
    )  # fmt: skip


def _trips(sent: dict[tuple[int, int], int], came: Iterable[tuple[int, tuple[int, ...]]]) -> tuple[list[float], int]:
    """The way of each note that came back, in ms, and how many came more than once."""
    trips: dict[tuple[int, int], float] = {}
    doubled = 0
    for stamp_ns, message in list(came):
        if len(message) != 3 or message[0] & KIND != NOTE_ON:
            continue
        key = message[1], message[2]
        if key in trips:
            doubled += 1
        elif key in sent:
            trips[key] = (stamp_ns - sent[key]) / 1e6
    return list(trips.values()), doubled


def _share(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
