"""``python -m bridge.bench.isobar_clock BPM TICKS``: isobar's own MIDI clock on a JACK port, as its users start it.

It says a line ``[sent_ns, …]``: when each tick's send had returned, on time.perf_counter_ns, as Barline's player stamps
its own. isobar (MIT) is no part of Barline: the extra `bench` brings it, and without it this measurement is left out.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from typing import Any, Final

from bridge import paths

PORT: Final = "Isobar clock"


def installed() -> bool:
    """Whether isobar can be imported."""
    return importlib.util.find_spec("isobar") is not None


def sent_ns(tempo_bpm: float, ticks: int) -> list[int]:
    """Let isobar tick in a process of its own, on the default JACK server."""
    command = [sys.executable, "-P", "-m", "bridge.bench.isobar_clock", f"{tempo_bpm:g}", str(ticks)]
    environment = {**paths.child_environment(), "MIDO_BACKEND": "mido.backends.rtmidi/UNIX_JACK"}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return [int(moment) for moment in json.loads(told.splitlines()[-1])]


def main(tempo_bpm: float, ticks: int) -> None:
    """Run a timeline with nothing in it, which sends clock, until so many ticks have been sent."""
    import isobar

    stamps: list[int] = []

    class StampingOutput(isobar.MidiOutputDevice):  # type: ignore[misc] # isobar has no types
        """isobar's own output, with a note of when each tick's send has returned."""

        def tick(self) -> None:
            """Send a tick."""
            super().tick()
            stamps.append(time.perf_counter_ns())

    output: Any = StampingOutput(PORT, send_clock=True, virtual=True)
    timeline = isobar.Timeline(tempo_bpm, output_device=output)
    timeline.background()
    while len(stamps) < ticks:
        time.sleep(0.2)
    sys.stdout.write(json.dumps(stamps[:ticks]) + "\n")
    sys.stdout.flush()
    os._exit(0)  # its thread runs on, and its port's destructor may wait for JACK


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
