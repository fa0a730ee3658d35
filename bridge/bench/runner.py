"""`bench`: every measurement in one run on one machine, each beside something else measured in the same run."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import paths
from bridge.bench import bending, clocks, decode, groove, jam, knobs, lead, live, soak, streaming
from bridge.hosted import HostedBridge
from bridge.model.nets.registry import list_models

if TYPE_CHECKING:
    from bridge.config import Settings

Say = Callable[[str], None]


def run(settings: Settings, soak_minutes: float | None, say: Say) -> dict[str, Any]:
    """All benchmarks, or the soak alone when its minutes are given: ``{machine, results}`` of contract section 1.

    Raises:
        bridge.hosted.HostedBridgeError: the bridge does not start.
        bridge.bench.soak.SoakError: the soak found a lost, doubled or hanging note.
    """
    folder = Path(tempfile.mkdtemp(prefix="barline-bench-"))
    try:
        results = _soak(folder, settings, soak_minutes, say) if soak_minutes else _all(folder, settings, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"machine": _machine(), "results": results}


def _all(folder: Path, settings: Settings, say: Say) -> list[dict[str, Any]]:
    device = "cpu" if settings.engine.device == "auto" else settings.engine.device
    say("groove kernels ...")
    results = groove.groove_results()
    say("what bends bars: key, follow, candidates ...")
    results += bending.bending_rows(paths.models_folder(), device, settings.engine.threads)
    say("knobs ...")
    results += knobs.knob_rows(paths.models_folder(), device, settings.engine.threads)
    say("streaming ...")
    results += streaming.streaming_rows(paths.models_folder(), device, settings.engine.threads)
    say("decode ...")
    trained = [str(card["name"]) for card in list_models()]
    rows, eager_ms = decode.decode_rows(trained, paths.models_folder(), device, settings.engine.threads)
    results += rows
    say("start-up ...")
    results += live.start_rows(folder)
    with HostedBridge(folder / "live", _asked(settings)) as bridge, bridge.client() as client:
        client.ask("/bridge/subscribe", answer="/bridge/welcome")
        bridge.wait_until_ready()
        say("clicks ...")
        results += live.click_rows(client, eager_ms)
        say("lateness of notes ...")
        results += live.lateness_rows(bridge, client)
        say("the player's share of the processor ...")
        results += live.processor_row(bridge, client)
        say("how shortly before a bar line a request may come ...")
        results += lead.lead_rows(client)
    return results + _clocks(folder, say) + _jam(folder, say)


def _clocks(folder: Path, say: Say) -> list[dict[str, Any]]:
    if absent := clocks.missing():
        say(f"MIDI clock: left out, {absent}")
        return []
    say("MIDI clock, sent and followed ...")
    return clocks.clock_rows(folder)


def _jam(folder: Path, say: Say) -> list[dict[str, Any]]:
    if absent := jam.missing():
        say(f"jam: left out, {absent}")
        return []
    say("call and response with a scripted player ...")
    return jam.jam_rows(jam.rounds_on_jack(folder / "jam"))


def _soak(folder: Path, settings: Settings, minutes: float, say: Say) -> list[dict[str, Any]]:
    with HostedBridge(folder / "soak", _asked(settings)) as bridge, bridge.client() as client:
        client.ask("/bridge/subscribe", answer="/bridge/welcome")
        bridge.wait_until_ready()
        say(f"soaking for {minutes:g} minutes ...")
        return soak.soak_rows(bridge, client, minutes)


def _asked(settings: Settings) -> list[str]:
    return [f"midi.backend={settings.midi.backend}", f"engine.device={settings.engine.device}"]


def _machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
