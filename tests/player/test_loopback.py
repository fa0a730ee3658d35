"""`doctor --loopback` on a real MIDI system: what went out comes back and is counted; faults are told plainly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jack_room import JackServer
from needs import need

ROOT = Path(__file__).resolve().parents[2]
#: In a process of its own: libjack may hang in one that outlives its server.
MEASURE = """
import dataclasses, json, sys
from bridge.player.loopback import measure
from bridge.player.ports import PortError
try:
    print(json.dumps(dataclasses.asdict(measure("jack", "Barline", sys.argv[2:], 60, float(sys.argv[1])))))
except PortError as fault:
    print(json.dumps(str(fault)))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    found = JackServer(f"barline-loopback-{os.getpid()}")
    found.start()
    yield found
    found.stop()


def start(server: JackServer, connect_within_s: float, *names: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MEASURE, str(connect_within_s), *names]
    env = {**os.environ, "JACK_DEFAULT_SERVER": server.name}
    return subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE)


def said(process: subprocess.Popen[str]) -> object:
    out, _ = process.communicate(timeout=60)
    return json.loads(out)


def test_every_note_comes_back_once_and_the_way_takes_a_cycle_or_so(server: JackServer) -> None:
    process = start(server, 30.0)
    connect = [need("jack_connect"), "-s", server.name, "Barline loopback:Barline loopback",
               "Barline loopback in:Barline loopback in"]  # fmt: skip
    until = time.monotonic() + 20.0
    while subprocess.run(connect, capture_output=True).returncode:
        assert time.monotonic() < until
        time.sleep(0.1)
    found = said(process)
    assert isinstance(found, dict), found
    assert (found["sent"], found["returned"], found["doubled"]) == (60, 60, 0)
    assert 0.0 < found["trip_p50_ms"] < 3 * 1024 / 48
    assert found["input_ms"] == pytest.approx(found["trip_p50_ms"] / 2, abs=0.002)
    assert found["output_ms"] == pytest.approx(found["late_p50_ms"] + found["trip_p50_ms"] / 2, abs=0.002)


def test_nothing_connected_and_no_such_port_are_said(server: JackServer) -> None:
    alone = start(server, 0.6)
    assert "nothing came back within 0.6 s: connect Barline loopback to Barline loopback in" in str(said(alone))
    assert "no port is called 'nowhere'" in str(said(start(server, 0.6, "nowhere", "nothing")))
