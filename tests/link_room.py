"""Ableton Link peers in a network of a test's own: multicast on a loopback device that nobody else sees.

Link finds its peers by multicast on every interface of the machine. A test may not do that to the network it happens to
run on, so what needs Link runs as `python tests/link_room.py TASK`, in a network namespace in which there is nothing
but loopback; it answers with one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from needs import need, need_link

ROOT = Path(__file__).resolve().parent.parent
QUANTUM = 4.0
PATIENCE_S = 10.0
AGE_S = 1.2
"""Between two sessions that meet the older one wins, but by Link's own rule half a second of age decides nothing."""
_SET_UP = 'ip link set lo up multicast on && ip route add 224.0.0.0/4 dev lo && exec "$@"'


def in_a_network_of_its_own(task: str, *arguments: str, timeout_s: float = 60.0) -> dict[str, Any]:
    """Do one of this module's tasks in there; what it found."""
    need_link()
    need("ip")
    unshare = [need("unshare"), "--net"] if os.geteuid() == 0 else [need("unshare"), "--map-root-user", "--net"]
    command = [*unshare, "sh", "-c", _SET_UP, "sh", sys.executable, __file__, task, *arguments]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# -- in there ---------------------------------------------------------------------------------------------------------


class Peer:
    """Somebody else in the session: the bare library, none of ours."""

    def __init__(self, tempo_bpm: float) -> None:
        import link

        self.link = link.Link(tempo_bpm)
        self.link.startStopSyncEnabled = True
        self.link.enabled = True

    @property
    def tempo(self) -> float:
        return float(self.link.captureAppSessionState().tempo())

    @property
    def playing(self) -> bool:
        return bool(self.link.captureAppSessionState().isPlaying())

    def micros_at(self, time_ns: int) -> int:
        """A moment of time.perf_counter_ns by Link's clock."""
        before_ns = time.perf_counter_ns()
        micros = self.link.clock().micros()
        return int(micros + (time_ns - (before_ns + time.perf_counter_ns()) / 2) / 1000)

    def beat_at(self, time_ns: int) -> float:
        return float(self.link.captureAppSessionState().beatAtTime(self.micros_at(time_ns), QUANTUM))

    def change(self, act: Callable[[Any, int], object]) -> None:
        state = self.link.captureAppSessionState()
        act(state, self.link.clock().micros())
        self.link.commitAppSessionState(state)

    def set_tempo(self, tempo_bpm: float) -> None:
        self.change(lambda state, now: state.setTempo(tempo_bpm, now))

    def set_playing(self, playing: bool) -> None:
        self.change(lambda state, now: state.setIsPlaying(playing, now))


def until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.002)
    return value


def phase_apart_ms(one: float, other: float, tempo_bpm: float) -> float:
    beats = (one - other + QUANTUM / 2) % QUANTUM - QUANTUM / 2
    return abs(beats) * 60_000 / tempo_bpm


class Follower:
    """Ours: the follower with the library behind it, looked at as the player's loop does."""

    def __init__(self, tempo_bpm: float) -> None:
        from bridge.player.link_session import LinkSession
        from bridge.timing.link import LinkFollower

        self.link = LinkFollower(LinkSession(), QUANTUM, tempo_bpm)
        self.link.want(True, time.perf_counter_ns())

    def look(self) -> None:
        now_ns = time.perf_counter_ns()
        if now_ns >= self.link.next_check_ns():
            self.link.check(now_ns)

    def look_until(self, condition: Callable[[], Any], what: str) -> Any:
        def looked() -> Any:
            self.look()
            return condition()

        return until(looked, what)


def speak() -> None:
    """A peer in a process of its own: for each moment it reads, its beat; ends with its standard input."""
    peer = Peer(float(sys.argv[2]))
    until(lambda: peer.link.numPeers() >= 1, "nobody there")
    for line in sys.stdin:
        print(peer.beat_at(int(line)), peer.tempo, flush=True)


class Speaker:
    """`speak` from outside."""

    def __init__(self, tempo_bpm: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "speak", str(tempo_bpm)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def beat_at(self, time_ns: int) -> tuple[float, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{time_ns}\n")
        self._process.stdin.flush()
        beat, tempo = self._process.stdout.readline().split()
        return float(beat), float(tempo)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)


def phase() -> dict[str, Any]:
    """Three peers, two of them bare and in processes of their own; our phase against theirs."""
    first = Peer(113.0)
    time.sleep(AGE_S)
    second, ours = Speaker(150.0), Follower(90.0)
    ours.look_until(lambda: ours.link.peers == 2, "not three in the session")
    found: dict[str, Any] = {"joined_bpms": [ours.link.map.tempo_bpm, first.tempo], "apart_ms": []}
    ours.link.transport("play", time.perf_counter_ns())
    ours.look_until(lambda: ours.link.map.playing, "never started")
    found["start_ms"] = phase_apart_ms(first.beat_at(ours.link.map.ns_at_beat(0.0)), 0.0, first.tempo)
    ours.look_until(lambda: first.playing, "the start is not told")
    for tempo_bpm in (113.0, 171.0):
        first.set_tempo(tempo_bpm)
        ours.look_until(lambda bpm=tempo_bpm: abs(ours.link.map.tempo_bpm - bpm) < 0.01, "the tempo is not followed")
        until(lambda bpm=tempo_bpm: abs(second.beat_at(time.perf_counter_ns())[1] - bpm) < 0.01, "a peer is behind")
        for _ in range(40):
            time.sleep(0.01)
            ours.look()
            now_ns = time.perf_counter_ns()
            for beat in (first.beat_at(now_ns), second.beat_at(now_ns)[0]):
                found["apart_ms"].append(phase_apart_ms(ours.link.map.beat_at_ns(now_ns), beat, tempo_bpm))
    found["error_ms"] = ours.link.error_ms
    first.set_playing(False)
    ours.look_until(lambda: not ours.link.map.playing, "the stop is not obeyed")
    second.close()
    return found


def joins() -> dict[str, Any]:
    """Fifty joins, many of them at once, each with another tempo in mind, then some by one who comes and goes alone."""
    host, companion = Peer(113.0), Peer(113.0)
    time.sleep(AGE_S)
    found: dict[str, list[float]] = {"host_bpms": [host.tempo], "joined_bpms": []}
    coming: list[Follower] = []

    def look() -> None:
        found["host_bpms"].append(host.tempo)
        for joiner in list(coming):
            joiner.look()
            line = joiner.link.map
            if joiner.link.peers and line is not None and abs(line.tempo_bpm - host.tempo) < 0.001:
                found["joined_bpms"].append(line.tempo_bpm)
                joiner.link.want(False, time.perf_counter_ns())
                coming.remove(joiner)

    for number in range(50):
        coming.append(Follower(60.0 + 2.5 * number))
        for _ in range(5):
            look()
            time.sleep(0.004)
    until(lambda: look() or not coming, "some have never joined")
    companion.link.enabled = False
    for number in range(3):
        until(lambda: host.link.numPeers() == 0, "not alone")
        coming.append(Follower(70.0 + number))
        until(lambda: look() or not coming, "never joined again")
    found["host_bpms"] = sorted(set(found["host_bpms"]))
    return found


def bridge() -> dict[str, Any]:
    """A whole bridge joins a peer's session, starts and stops with it, takes its tempo, gives it one; the peer goes."""
    from bridge.hosted import HostedBridge, note_ons
    from bridge.music.midi_files import write_midi
    from bridge.music.notes import Bars, Note, in_order

    peer = Peer(150.0)
    time.sleep(AGE_S)
    found: dict[str, Any] = {}
    folder = Path(sys.argv[2])
    (folder / "bars").mkdir(parents=True)
    steps = Bars(in_order(Note(48 + step, step / 4, 0.2, 90) for step in range(16)), 4.0)
    write_midi(folder / "bars" / "000001-melody.mid", steps, channels={0: 0}, track_name="sixteenths")
    settings = ["midi.backend=none", "clock.source=auto", "clock.link=true", "clock.tempo=90"]
    with HostedBridge(folder, settings) as hosted, hosted.client() as user:
        user.ask("/bridge/subscribe", answer="/bridge/welcome")
        user.wait_for("/clock/state", PATIENCE_S, 0, lambda said: said.args[0] == "link")
        found["joined_bpm"] = peer.tempo
        user.send("/melody/recall", 1)
        user.wait_for("/melody/bars/end", PATIENCE_S)
        record = hosted.played()

        def apart_ms(seconds: float) -> list[float]:
            """Notes' own sixteenths in the bar against the peer's beat at the moments they were meant for."""
            first = record.count
            time.sleep(seconds)
            bpm = peer.tempo
            heard = note_ons(record.since(first)[0])
            return [phase_apart_ms(peer.beat_at(n.intended_ns), (n.data1 - 48) / 4, bpm) for n in heard]

        peer.set_playing(True)
        user.wait_for("/clock/beat", PATIENCE_S, 0, lambda said: said.args[2] == 1)
        found["followed"] = apart_ms(1.0)
        since = user.mark()
        peer.set_tempo(200.0)
        user.wait_for("/clock/state", PATIENCE_S, since, lambda said: abs(said.args[2] - 200.0) < 0.01)
        found["faster"] = apart_ms(1.0)
        user.send("/clock/tempo", 120.0)
        until(lambda: abs(peer.tempo - 120.0) < 0.01, "the peer does not get our tempo")
        time.sleep(0.1)
        found["ours"] = apart_ms(1.0)
        user.send("/clock/stop")
        until(lambda: not peer.playing, "the peer does not stop with us")
        user.send("/clock/play")
        until(lambda: peer.playing, "the peer does not start with us")
        since = user.mark()
        user.wait_for("/clock/beat", PATIENCE_S, since, lambda said: said.args[2] == 1)
        found["again"] = apart_ms(1.0)
        since = user.mark()
        peer.link.enabled = False
        gone = user.wait_for("/clock/state", PATIENCE_S, since, lambda said: said.args[0] == "internal")
        found["gone"] = [gone.args[1], gone.args[2]]
        until(lambda: any("Ableton Link is followed no longer" in line for line in hosted.lines), "nothing is said")
        since = user.mark()
        peer.link.enabled = True
        user.wait_for("/clock/state", PATIENCE_S, since, lambda said: said.args[0] == "link")
        record.close()
        found["errors"] = [said.args for said in user.said() if said.address == "/error"]
    return found


if __name__ == "__main__":
    told = {"phase": phase, "joins": joins, "speak": speak, "bridge": bridge}[sys.argv[1]]()
    if told is not None:
        print(json.dumps(told))
