"""MIDI clock on a real JACK server: `jack_midi_clock` is followed, `jack_mclk_dump` follows us."""

from __future__ import annotations

import contextlib
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jack_room import Ear, Heard, JackServer
from needs import need
from whole_bridge import PATIENCE_S, User, eventually, subscribed

from bridge.hosted import HostedBridge
from bridge.music.midi_files import write_midi
from bridge.music.notes import Bars, Note, in_order

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a JACK server of one's own is tested on Linux")

BPM = 150.0
TICK_NS = 60e9 / BPM / 24
LOWEST = 48
MASTER = "jack_midi_clock:mclk_out"


@pytest.fixture(scope="module")
def bridge(server: JackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedBridge]:
    """A bridge that holds a bar of sixteenths, each of another pitch; recalling it needs no model."""
    folder: Path = tmp_path_factory.mktemp("clocks") / "session"
    (folder / "bars").mkdir(parents=True)
    notes = in_order(Note(LOWEST + step, step / 4, 0.125, 90) for step in range(16))
    write_midi(folder / "bars" / "000001-melody.mid", Bars(notes, 4.0), channels={0: 0}, track_name="sixteenths")
    with HostedBridge(folder, ["midi.backend=jack", "midi.clock_out=true"]) as hosted:
        eventually(lambda: {"Barline in:Barline in", "Barline clock:Barline clock"} <= server.ports(), what="no ports")
        yield hosted


@pytest.fixture(scope="module")
def user(bridge: HostedBridge) -> Iterator[User]:
    with subscribed(bridge) as client:
        client.bars("/melody/recall", 1)
        yield client


def said(bridge: HostedBridge, words: str) -> list[str]:
    return [line for line in bridge.lines if words in line]


@contextlib.contextmanager
def master(server: JackServer, *options: str) -> Iterator[None]:
    """`jack_midi_clock`, connected to us, standing at the beginning of JACK's transport."""
    command = [need("jack_midi_clock"), "-b", str(BPM), "-d", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: MASTER in server.ports(), what="no jack_midi_clock")
        subprocess.run([need("jack_connect"), "-s", server.name, MASTER, "Barline in:Barline in"], check=True)
        transport("stop", "locate 0")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)


def transport(*commands: str) -> None:
    told = "".join(f"{command}\n" for command in commands)
    subprocess.run([need("jack_transport")], input=told, text=True, capture_output=True, timeout=PATIENCE_S, check=True)


def ticks_late(ons: list[Heard], origin_ns: float) -> list[float]:
    """How many of the master's ticks each note was from the place its pitch names, in a bar of 96."""
    places = [((on.time_ns - origin_ns) / TICK_NS - (on.data1 - LOWEST) * 6) for on in ons]
    return [(place + 48) % 96 - 48 for place in places]


def test_a_master_is_followed_from_its_start_to_its_stop_and_when_it_vanishes(
    server: JackServer, bridge: HostedBridge, user: User
) -> None:
    user.send("/clock/source", "midi")
    with Ear(server, "Barline melody") as ear:
        with master(server):
            since = user.mark()
            transport("play")
            user.wait_for("/clock/state", PATIENCE_S, since, lambda said: said.args[0] == "midi" and said.args[1] == 1)
            eventually(lambda: len(ear.ons) >= 48, what="no notes")
            first = ear.ons[0]
            assert first.data1 == LOWEST, "it begins at the beginning"
            late = ticks_late(ear.ons[24:48], first.time_ns)
            assert abs(statistics.median(late)) < 6, late
            assert max(late) - min(late) < 8, "notes wander against the ticks"
            told = user.wait_for("/clock/state", PATIENCE_S, user.mark())
            assert told.args[2] == pytest.approx(BPM, rel=0.03)
            since = user.mark()
            transport("stop")
            user.wait_for("/clock/state", PATIENCE_S, since, lambda said: said.args[1] == 0)
            eventually(lambda: not ear.open(), what="notes left open")
            since = user.mark()
            transport("locate 0", "play")
            user.wait_for("/clock/beat", PATIENCE_S, since, lambda said: said.args[2] == 1)
        count = len(ear.ons)
        eventually(lambda: said(bridge, "clock: MIDI clock is silent; going on at"), what="nothing is said")
        eventually(lambda: len(ear.ons) >= count + 8, what="the loop does not play on when the master has gone")
        with master(server):
            transport("play")
            eventually(lambda: said(bridge, "clock: MIDI clock is back"), what="it is not followed again")
    user.send("/clock/source", "internal")
    user.send("/clock/stop")


def test_who_follows_our_clock_hears_our_tempo(server: JackServer, user: User) -> None:
    user.send("/clock/source", "internal")
    user.send("/clock/tempo", BPM)
    with subprocess.Popen(
        [need("jack_mclk_dump"), "-n", "Barline clock:Barline clock"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as dump:  # fmt: skip
        eventually(lambda: server.connected("Barline clock:Barline clock"), what="it does not listen")
        user.send("/clock/play")
        time.sleep(2.5)
        dump.send_signal(signal.SIGINT)  # it looks whether it should end when a tick comes
        said, _ = dump.communicate(timeout=PATIENCE_S)
    user.send("/clock/stop")
    assert "(0xfa) start" in said
    frames = [int(line.rpartition("@")[2]) for line in said.splitlines() if line.lstrip().startswith("CLK")]
    assert len(frames) > 75, "half of the ticks of two and a half seconds"
    heard_bpm = 60 / 24 * 48000 * (len(frames) - 1) / (frames[-1] - frames[0])
    assert heard_bpm == pytest.approx(BPM, rel=0.1)
