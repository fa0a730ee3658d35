"""What the MIDI system of this machine offers, for `doctor`."""

from __future__ import annotations

import sys

from bridge.player.ports import PortError
from bridge.player.rtmidi_ports import RtmidiBackend, candidates


def midi_system(wanted: str, client: str, voice: str) -> tuple[bool, str]:
    """Whether the ports of `midi.backend` can be had (one is opened and closed again), and in words which system it is.

    Where ports cannot be made but must exist (Windows), the one that the voice would get is named.
    """
    if wanted == "none":
        return True, "none, as configured: notes reach OSC subscribers as events"
    missing = []
    for kind in candidates(wanted):
        try:
            backend = RtmidiBackend(kind)
            try:
                (port,) = backend.open_all(client, [voice], None, lambda _stamp_ns, _message: None)
            finally:
                backend.close()
        except PortError as fault:
            missing.append(f"{kind}: {fault}")
            continue
        how = "existing port" if sys.platform == "win32" else "virtual ports, such as"
        return True, f"{kind}, {how} {port.name}"
    return False, "; ".join(missing)
