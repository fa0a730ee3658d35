"""`doctor`: what this machine has for Barline, and for each thing that is not well what to do about it.

A check that is `essential` and not ok means that the bridge could not work here. MIDI, audio and the timer are not:
without MIDI notes still reach OSC subscribers, audio is only the preview, and a coarse timer plays, late.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from bridge.config import Settings
from bridge.running import AddressError, can_bind, folder_holder, is_bridge, port_holder, processes_of

_NAPS: Final = 150  # of 2 ms: enough for a p99 in a third of a second
_NAP_NS: Final = 2_000_000
_STATE_S: Final = 1.0  # a bridge answers in a few ms
_AUDIBLE_MS: Final = 10.0  # a followed clock whose phase is measured to be off by more is heard
_MB: Final = 1e6
_GB: Final = 1e9
_ROOM_NEEDED: Final = 1e9  # the engine took 0.6 GB with all six models, the rest of a bridge 0.2
_LATE_NS: Final = 1_000_000  # a sleep that ends later than this is heard before the margin can save it


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `advice` is empty where it is well."""

    name: str
    ok: bool
    value: str
    advice: str = ""
    essential: bool = False


def examine(settings: Settings, loopback_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Look at everything: `{ok, checks: [{name, ok, value, advice, essential}]}`, `ok` if the bridge can work.

    `loopback_names`: measure the way from a MIDI output to an input as well, between ports of our own (no names) or
    existing ones (two names); the figures are under `loopback` then.
    """
    checks = [
        _python(),
        _torch(settings),
        *_models(settings),
        _midi(settings),
        _audio(settings),
        _link(settings),
        _osc(settings),
        _session(settings),
        _memory(settings),
        _clock(settings),
        _timer(),
    ]
    measured = None
    if loopback_names is not None:
        check, measured = _loopback(settings, loopback_names)
        checks.append(check)
    ok = all(check.ok for check in checks if check.essential)
    report = {"ok": ok, "checks": [dataclasses.asdict(check) for check in checks]}
    return report if measured is None else {**report, "loopback": measured}


def _python() -> Check:
    ok = sys.version_info[:2] in ((3, 11), (3, 12))
    value = f"{platform.python_version()} on {platform.system()} {platform.release()} ({sys.executable})"
    return Check("Python", ok, value, "" if ok else "use Python 3.11 or 3.12", essential=True)


def _torch(settings: Settings) -> Check:
    try:
        from bridge.engine.describe import torch_device
    except (ImportError, OSError) as fault:
        advice = "remove .venv and start run_bridge.py again: it makes a new one"
        return Check("PyTorch", ok=False, value=f"cannot be imported: {fault}", advice=advice, essential=True)
    wanted = settings.engine.device
    ok, value = torch_device(wanted)
    advice = "" if ok else f"engine.device = {wanted} is not to be had: set it to auto or cpu, or mend the driver"
    return Check("PyTorch", ok, value, advice)


def _models(settings: Settings) -> list[Check]:
    try:
        from bridge.model.nets import registry
    except (ImportError, OSError):
        return []  # said under PyTorch
    checks = []
    for name in dict.fromkeys(voice.model for voice in settings.voices.values()):
        voices = ", ".join(voice for voice, its in settings.voices.items() if its.model == name)
        try:
            loaded = registry.load_model(name, registry.folder_of(name, settings.engine.own_models))
        except ValueError as fault:
            advice = f"voice {voices} answers error 4 until it is there: get the whole repository again, or train it"
            checks.append(Check(f"model {name}", ok=False, value=str(fault), advice=advice))
        else:
            checks.append(Check(f"model {name}", ok=True, value=f"whole, sha256 {loaded.card['sha256'][:12]}…"))
    if not any(check.ok for check in checks):  # a bridge without any model has nothing to play
        checks = [dataclasses.replace(check, essential=True) for check in checks]
    return checks


def _midi(settings: Settings) -> Check:
    try:
        from bridge.player.describe import midi_system
    except ImportError as fault:
        return Check("MIDI", ok=False, value=f"cannot be imported: {fault}", advice="notes still reach OSC subscribers")
    ok, value = midi_system(settings.midi.backend, settings.midi.name, "doctor")
    advice = {
        "win32": f"install loopMIDI and make a port called {settings.midi.name}",
        "darwin": "CoreMIDI should always be there: restart the computer's MIDI server (Audio MIDI Setup)",
    }.get(sys.platform, "load the ALSA sequencer (sudo modprobe snd-seq) or start JACK; until then notes go out as OSC")
    return Check("MIDI", ok, value, "" if ok else advice)


def _loopback(settings: Settings, names: Sequence[str]) -> tuple[Check, dict[str, Any] | None]:
    """Play out of one MIDI port into another that the user has connected, and measure; see `player.loopback`."""
    from bridge.player.loopback import measure
    from bridge.player.ports import PortError

    try:
        found = measure(settings.midi.backend, settings.midi.name, names)
    except PortError as fault:
        advice = (
            f"connect the port {settings.midi.name} loopback to {settings.midi.name} loopback in while this runs, "
            "or name an output and an input that are connected: doctor --loopback OUT IN"
        )
        return Check("loopback", ok=False, value=str(fault), advice=advice), None
    value = (
        f"{found.output_port} to {found.input_port}: {found.returned} of {found.sent} notes came back, "
        f"{found.doubled} twice; sent {found.late_p50_ms} ms late (p50), {found.late_p99_ms} ms (p99); under way "
        f"{found.trip_p50_ms} ms (p50), {found.trip_p99_ms} ms (p99); output latency {found.output_ms} ms, input "
        f"latency {found.input_ms} ms (half of the way each: one cable cannot tell them apart)"
    )
    lost = found.returned < found.sent or found.doubled > 0
    compensate = (
        f"to compensate, set midi.input_latency_ms to {found.input_ms} and clock.offset_ms to {-found.output_ms}"
    )
    advice = "messages are lost or doubled on this way: look at what lies between the ports" if lost else compensate
    return Check("loopback", ok=not lost, value=value, advice=advice), dataclasses.asdict(found)


def _audio(settings: Settings) -> Check:
    from bridge.preview.devices import audio_output

    ok, value, advice = audio_output(settings.audio.device)
    return Check("audio", ok, value, advice)


def _link(settings: Settings) -> Check:
    from bridge.timing import link

    wanted = settings.clock.source == "link" or settings.clock.link
    if link.installed():
        use = "a session will be looked for" if wanted else "not asked for (clock.link, clock.source)"
        return Check("Ableton Link", ok=True, value=f"installed; {use}")
    value = "not installed" if wanted else "not installed, and not asked for (clock.link, clock.source)"
    return Check("Ableton Link", not wanted, value, link.NOT_INSTALLED if wanted else "")


def _osc(settings: Settings) -> Check:
    host, port = settings.osc.host, settings.osc.port
    value, advice, ok = f"{host}:{port} is free", "", True
    try:
        if port == 0:
            value = f"{host}, any free port"
        elif not can_bind(host, port):
            ok = is_bridge(host, port)
            value = f"{port_holder(host, port)} has {host}:{port}"
            advice = "" if ok else "end that program, or choose another with osc.port"
    except AddressError as fault:
        ok, value = False, str(fault)
        advice = "set osc.port to 9100" if value.startswith("osc.port") else "set osc.host to 127.0.0.1"
    return Check("OSC port", ok, value, advice, essential=True)


def _session(settings: Settings) -> Check:
    folder = settings.session_folder()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    ok = there.is_dir() and os.access(there, os.W_OK)
    value = f"{folder} can{'' if ok else 'not'} be written"
    try:
        holder = folder_holder(folder)
    except OSError as fault:
        ok, value, holder = False, str(fault), None
    if holder:
        value = f"{folder}: {holder} is at work there"
    advice = "" if ok else "set session.folder to one that can be written"
    return Check("session folder", ok, value, advice, essential=True)


def _memory(settings: Settings) -> Check:
    """What the processes of a bridge that runs here take (the engine has the models), and what the machine has left."""
    import psutil

    machine = psutil.virtual_memory()
    left = f"{machine.available / _GB:.1f} of {machine.total / _GB:.1f} GB free"
    taken = []
    with contextlib.suppress(OSError):  # said under the session folder
        for role, pid in processes_of(settings.session_folder()):
            with contextlib.suppress(psutil.Error):  # it has ended since, and is being started again
                taken.append((role, psutil.Process(pid).memory_info().rss))
    if taken:
        listed = ", ".join(f"{role.removeprefix('bridge.')} {size / _MB:.0f} MB" for role, size in taken)
        return Check("memory", ok=True, value=f"{listed}; {left}")
    ok = machine.available >= _ROOM_NEEDED
    advice = (
        f"close other programs: with less than {_ROOM_NEEDED / _GB:.0f} GB the system may swap, and notes come late"
    )
    return Check("memory", ok, f"{left}; no bridge runs here", "" if ok else advice)


def _clock(settings: Settings) -> Check:
    """Whose time a bridge that runs here goes by, and how well it follows; what it will go by where none runs."""
    from bridge.osc.client import OscClient

    host, port = settings.osc.host, settings.osc.port
    try:
        runs = port != 0 and not can_bind(host, port) and is_bridge(host, port)
    except AddressError:
        runs = False
    if not runs:
        return Check("clock", ok=True, value=f"no bridge runs here; one would go by {settings.clock.source}")
    with OscClient(host, port) as client:
        try:
            said = client.ask("/bridge/state", answer="/clock/state", timeout_s=_STATE_S)
        except TimeoutError:
            return Check("clock", ok=False, value="the bridge does not say", advice="look into its log")
    source, playing, tempo, _, _, _, error_ms = said.args
    value = f"{source}, {tempo:.1f} BPM, {'playing' if playing else 'standing'}, phase error {error_ms:.1f} ms"
    ok = error_ms <= _AUDIBLE_MS
    return Check("clock", ok, value, "" if ok else "look at the way of the clock: other ports, drivers or cables")


def _timer() -> Check:
    from bridge.timing.clocks import MachineClock, ask_for_fine_timers

    ask_for_fine_timers()
    clock = MachineClock()
    late_ns = []
    for _ in range(_NAPS):
        began_ns = time.perf_counter_ns()
        clock.nap(_NAP_NS)
        late_ns.append(time.perf_counter_ns() - began_ns - _NAP_NS)
    late_ns.sort()
    clock.calibrate()
    p50_ms, p99_ms = (late_ns[int(share * _NAPS)] / 1e6 for share in (0.5, 0.99))
    margin = f"the last {clock.margin_ns / 1e6:.2f} ms are spun"
    value = f"sleeps end {p50_ms:.2f} ms late (p50), {p99_ms:.2f} ms (p99); {margin}"
    ok = late_ns[int(0.99 * _NAPS)] < _LATE_NS
    return Check("timer", ok, value, "" if ok else "other programs are keeping the processor busy: notes may be late")
