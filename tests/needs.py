"""What a test needs of the machine: it skips where that is missing, which `conftest` makes a failure in CI."""

from __future__ import annotations

import importlib.util
import shutil
import socket

import pytest

PACKAGES = {
    "chromium": "chromium",
    "jackd": "jackd2",
    "jack_lsp": "jackd2",
    "jack_connect": "jackd2",
    "jack_transport": "jackd2",
    "jack_midi_clock": "jack-midi-clock",
    "jack_mclk_dump": "jack-midi-clock",
    "pd": "puredata-core",
    "oscsend": "liblo-tools",
    "oscdump": "liblo-tools",
    "fluidsynth": "fluidsynth",
    "node": "nodejs",
    "ip": "iproute2",
    "unshare": "util-linux",
}


def need(program: str) -> str:
    """The path of a program; skips the test where it is not installed, naming the Debian package."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs {program} (apt install {PACKAGES.get(program, program)})")
    return path


def need_link() -> None:
    """Skips the test where the Ableton Link library is not installed."""
    if importlib.util.find_spec("link") is None:
        pytest.skip("needs Ableton Link (run_bridge.py setup link)")


def has_ipv6() -> bool:
    """Whether this machine has a loopback of IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as trial:
            trial.bind(("::1", 0))
    except OSError:
        return False
    return True
