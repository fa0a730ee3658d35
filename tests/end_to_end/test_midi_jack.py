"""MIDI on a real JACK server: names, what arrives, and that every note is closed whoever dies."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import whole_bridge
from jack_room import Ear, Heard, JackServer
from whole_bridge import BEAT_NS, PATIENCE_S, Row, User, alive, eventually, flat, start_song, subscribed, wait_ready

from bridge.hosted import HostedBridge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a JACK server of one's own is tested on Linux")

PORTS = {f"Barline {name}:Barline {name}" for name in ("melody", "bass", "drums")}
#: A chord that is held almost all the time, and drums on every beat: something is always open, something always begins.
PAD = tuple(Row(pitch, start, 3.5, 80 + pitch % 7, 0) for start in (0.0, 4.0) for pitch in (48, 52, 55))
OTHER_PAD = tuple(Row(pitch, start, 3.5, 90, 0) for start in (0.0, 4.0) for pitch in (50, 53, 57))
BEATS = tuple(Row(36 + step % 4, float(step), 0.75, 100 + step, 0) for step in range(8))


@pytest.fixture(scope="module")
def bridge(server: JackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedBridge]:
    folder: Path = tmp_path_factory.mktemp("jack")
    with HostedBridge(folder / "session", ["midi.backend=jack"]) as hosted:
        hosted.wait_until_ready()
        with subscribed(hosted) as user:
            for voice, notes in (("melody", PAD), ("drums", BEATS)):
                user.send(f"/{voice}/store", "a", 8.0, *flat(notes))
                user.send(f"/{voice}/store", "b", 8.0, *flat(OTHER_PAD))
                user.bars(f"/{voice}/morph", 0.0)
        yield hosted


@pytest.fixture
def user(bridge: HostedBridge) -> Iterator[User]:
    """A subscriber, in front of a bridge that plays both loops."""
    wait_ports()
    with subscribed(bridge) as client:
        wait_ready(client)
        client.send("/{melody,drums}/play")
        since = start_song(client)
        client.state_when("melody", lambda state: state["sounding_id"] > 0 and state["playing"] == 1)
        client.beat_heard(1, since)
        yield client


def wait_ports() -> None:
    server = JackServer(os.environ["JACK_DEFAULT_SERVER"])
    eventually(lambda: server.ports() >= PORTS, what="no ports")


@pytest.fixture
def melody(server: JackServer, user: User) -> Iterator[Ear]:
    with Ear(server, "Barline melody") as ear:
        yield ear


@pytest.fixture
def drums(server: JackServer, user: User) -> Iterator[Ear]:
    with Ear(server, "Barline drums") as ear:
        yield ear


def stop(user: User) -> None:
    since = user.mark()
    user.send("/clock/stop")
    user.wait_for("/clock/state", PATIENCE_S, since, lambda said: said.args[1] == 0)


def heard_all(bridge: HostedBridge, ear: Ear) -> bool:
    """Whether the last message that was sent to its port has come to an ear: it may be some cycles behind."""
    reader = bridge.played()
    port = reader.port_names.index(ear.port_name)
    last = [item for item in reader.since(0)[0] if item.port == port][-1]
    reader.close()
    heard = ear.heard[-1]
    return heard.time_ns > last.sent_ns and (heard.status, heard.data1) == (last.status, last.data1)


def fall_silent(bridge: HostedBridge, *ears: Ear) -> None:
    """As many note-offs as note-ons, none open, nothing more to come."""
    for ear in ears:
        eventually(lambda ear=ear: heard_all(bridge, ear), 5.0, what="what was sent last does not come")
        assert not ear.open(), "notes left open"
    counts = [len(ear.heard) for ear in ears]
    time.sleep(0.3)
    for ear, count in zip(ears, counts, strict=True):
        assert len(ear.heard) == count, "there is more to come"
        assert len(ear.ons) == sum(item.is_off for item in strict(ear))


def strict(ear: Ear) -> list[Heard]:
    """Its notes from the first note-on of each key: it may have come when a note sounded."""
    begun: set[tuple[int, int]] = set()
    found = []
    for item in ear.notes:
        if item.is_on:
            begun.add(item.key)
        if item.key in begun:
            found.append(item)
    return found


def wait_for_ons(ear: Ear, more: int) -> None:
    first = len(ear.ons)
    eventually(lambda: len(ear.ons) >= first + more, what="no notes")


def longest_gap_beats(ons: list[Heard]) -> float:
    return max(later.time_ns - earlier.time_ns for earlier, later in itertools.pairwise(ons)) / BEAT_NS


def test_ports_carry_the_names_of_the_contract(server: JackServer, user: User) -> None:
    ports = server.ports()
    assert ports >= PORTS
    assert "Barline in:Barline in" in ports
    assert "Barline clock:Barline clock" not in ports, "clock_out is off"


def test_notes_arrive_on_their_channel_with_their_velocity(melody: Ear, drums: Ear) -> None:
    wait_for_ons(melody, 12)
    wait_for_ons(drums, 8)
    assert {(item.key, item.data2) for item in melody.ons} == {((0, note.pitch), note.velocity) for note in PAD}
    assert {(item.key, item.data2) for item in drums.ons} == {((9, note.pitch), note.velocity) for note in BEATS}
    assert longest_gap_beats(drums.ons) < 2.0


def test_stop_closes_every_note(bridge: HostedBridge, user: User, melody: Ear, drums: Ear) -> None:
    wait_for_ons(melody, 3)
    eventually(melody.open)
    stop(user)
    fall_silent(bridge, melody, drums)


def test_panic_closes_every_note_and_sends_the_controllers(
    bridge: HostedBridge, user: User, melody: Ear, drums: Ear
) -> None:
    wait_for_ons(melody, 3)
    eventually(melody.open)
    user.ask("/bridge/panic", answer="/bridge/panicked", timeout_s=PATIENCE_S)
    fall_silent(bridge, melody, drums)
    for ear, channel in ((melody, 0), (drums, 9)):
        controls = [(item.status, item.data1) for item in ear.heard if item.status & 0xF0 == 0xB0]
        assert controls == [(0xB0 | channel, 123), (0xB0 | channel, 120)]


def test_a_swap_and_a_morph_leave_nothing_open(bridge: HostedBridge, user: User, melody: Ear, drums: Ear) -> None:
    for position in (0.3, 1.0, 0.0, 0.7, 0.0):
        user.bars("/melody/morph", position)
        time.sleep(0.2)
    user.bars("/melody/next", 1)
    user.bars("/drums/next", 1)
    user.send("/clock/tempo", 300.0)
    wait_for_ons(drums, 4)
    stop(user)
    fall_silent(bridge, melody, drums)
    user.bars("/melody/morph", 0.0)
    user.bars("/drums/morph", 0.0)


def kill(bridge: HostedBridge, process: str) -> int:
    pid = bridge.processes()[process]
    os.kill(pid, signal.SIGKILL)
    return int(pid)


def test_killed_engine_the_loop_plays_on_and_the_next_click_works(bridge: HostedBridge, user: User, drums: Ear) -> None:
    wait_for_ons(drums, 2)
    old = kill(bridge, "bridge.engine")
    assert user.wait_for("/bridge/ready", PATIENCE_S, 0, lambda said: said.args[0] == 0)
    eventually(lambda: bridge.processes()["bridge.engine"] not in (old, None), what="run.json not kept true")
    wait_ready(user)
    assert alive(bridge.processes()["bridge.engine"])
    assert longest_gap_beats(drums.ons) < 2.0
    assert user.bars("/drums/next", 2).notes
    user.bars("/drums/morph", 0.0)
    stop(user)
    fall_silent(bridge, drums)


def test_killed_bridge_process_the_loop_plays_on_and_all_is_as_it_was(
    bridge: HostedBridge, user: User, melody: Ear, drums: Ear
) -> None:
    for knob, value in (("swing", 61.0), ("transpose", 12), ("velocity", 0.75), ("launch", "beat")):
        user.send(f"/melody/{knob}", value)
    time.sleep(0.3)  # the bars are told again for the knobs
    user.bars("/melody/morph", 1.0)
    user.state_when("melody", lambda state: state["sounding_id"] > 0)
    time.sleep(0.5)  # the state is written ten times a second; a gesture rests when it has been still for a bar
    before = user.state("melody")
    old = kill(bridge, "bridge.main")
    eventually(lambda: bridge.processes()["bridge.main"] not in (old, None), what="run.json not kept true")
    assert bridge.processes()["osc"] == f"{bridge.osc[0]}:{bridge.osc[1]}"
    eventually(lambda: pongs(user), what="the port does not answer again")
    user.ask("/bridge/subscribe", answer="/bridge/welcome", timeout_s=PATIENCE_S)
    wait_ready(user)
    after = user.state("melody")
    same = [key for key in before if key not in ("undo", "redo")]
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    assert longest_gap_beats(drums.ons) < 2.0
    assert {item.data1 for item in melody.ons[-6:]} == {note.pitch + 12 for note in OTHER_PAD}
    since = user.mark()
    beat = user.wait_for("/clock/beat", PATIENCE_S, since).args[0]
    assert beat > 4, "the song went on"
    for knob, value in (("swing", 50.0), ("transpose", 0), ("velocity", 1.0), ("launch", "bar")):
        user.send(f"/melody/{knob}", value)
    time.sleep(0.3)  # the bars are told again for the knobs
    ids = {before["sounding_id"], user.bars("/melody/next", 1).id, user.bars("/melody/sample", 1).id}
    assert len(ids) == 3
    assert user.bars("/melody/morph", 0.0).notes == PAD
    stop(user)
    fall_silent(bridge, melody, drums)


def pongs(user: User) -> bool:
    since = user.mark()
    user.send("/bridge/ping", 3)
    try:
        user.wait_for("/bridge/pong", 0.5, since)
    except TimeoutError:
        return False
    return True


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def times_opened(bridge: HostedBridge) -> int:
    return bridge.lines.count("melody: out to Barline melody")


@pytest.mark.parametrize("victim", ["bridge.player", "its port process", "bridge.player and bridge.main"])
def test_killed_player_new_ports_close_what_was_open_before_anything_new(
    server: JackServer, bridge: HostedBridge, user: User, victim: str
) -> None:
    with Ear(server, "Barline melody") as before:
        wait_for_ons(before, 3)
        stop(user)
        fall_silent(bridge, before)
        start_song(user, 20.0)  # a chord now, and so slow that a listener is there again before the next one
        eventually(lambda: len(before.open()) == 3)
        state = user.state("melody")
        sounding = before.open()
        opened = times_opened(bridge)
        if "bridge.player" in victim:
            time.sleep(0.3)  # the state is written ten times a second
            old = {process: kill(bridge, process) for process in victim.split(" and ")}
            for name, pid in old.items():
                eventually(lambda name=name, pid=pid: bridge.processes()[name] not in (pid, None), what="no other")
            eventually(lambda: pongs(user), what="the port does not answer again")
            user.ask("/bridge/subscribe", answer="/bridge/welcome", timeout_s=PATIENCE_S)
        else:
            (host,) = children_of(bridge.processes()["bridge.player"])
            os.kill(host, signal.SIGKILL)
        eventually(lambda: times_opened(bridge) > opened, what="no new ports")
    assert server.ports() >= PORTS
    with Ear(server, "Barline melody") as after:
        eventually(lambda: {item.key for item in after.notes if item.is_off} >= sounding, what="not closed")
        assert not after.ons
        now = user.state("melody")
        assert (now["sounding_id"], now["start"]) == (state["sounding_id"], state["start"])
        user.send("/clock/tempo", whole_bridge.BPM)
        wait_for_ons(after, 6)
        assert {item.key for item in after.ons} == {(0, note.pitch) for note in PAD}
        stop(user)
        fall_silent(bridge, after)


def test_after_a_killed_player_the_loop_is_in_its_place(server: JackServer, bridge: HostedBridge, user: User) -> None:
    recorder = whole_bridge.Recorder(bridge)
    old = kill(bridge, "bridge.player")
    eventually(lambda: bridge.processes()["bridge.player"] not in (old, None))
    user.wait_for("/clock/beat", PATIENCE_S, user.mark())
    again = user.mark()
    beat = user.wait_for("/clock/beat", PATIENCE_S, again).args[0]
    user.beat_heard(beat + 9, again)
    song = whole_bridge.Song(user, again)
    played = [s for s in song.ons(recorder.played(), "drums") if beat + 0.5 < s.beat < beat + 8.5]
    start = user.state("drums")["start"]
    wanted = whole_bridge.expected_ons(BEATS, 8.0, start, beat + 0.5, beat + 8.5)
    whole_bridge.assert_same_strokes([s._replace(channel=0) for s in played], wanted, 0.2)
    recorder.close()


def test_a_jack_server_that_dies_and_returns_finds_the_ports_again(
    server: JackServer, bridge: HostedBridge, user: User
) -> None:
    processes, opened = bridge.processes(), times_opened(bridge)
    server.kill()
    time.sleep(0.5)
    assert pongs(user)
    server.start()
    eventually(lambda: times_opened(bridge) > opened, what="no ports after the restart")
    assert any("the MIDI ports have gone; opening them again" in line for line in bridge.lines)
    assert server.ports() >= PORTS
    with Ear(server, "Barline drums") as drums:
        wait_for_ons(drums, 8)
        stop(user)
        fall_silent(bridge, drums)
    assert bridge.processes() == processes, "nobody had to be restarted"


# -- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_however_the_bridge_is_ended_its_notes_are_closed(
    server: JackServer, bridge: HostedBridge, tmp_path: Path, end: signal.Signals
) -> None:
    """A bridge of its own in the same session folder's likeness: recall needs no model, so it plays within a second."""
    folder = tmp_path / "session"
    (folder / "bars").mkdir(parents=True)
    source = next(path for path in sorted((bridge.folder / "bars").glob("*-melody.mid")) if holds(path, PAD))
    (folder / "bars" / source.name).write_bytes(source.read_bytes())
    settings = ["midi.backend=jack", "midi.name=Ending"]
    with HostedBridge(folder, settings) as ending, subscribed(ending) as user:
        eventually(lambda: "Ending melody:Ending melody" in server.ports())
        user.bars("/melody/recall", int(source.name[:6]))
        processes = ending.processes()
        assert list(processes) == ["supervisor", "bridge.player", "bridge.engine", "bridge.main", "osc", "panel"]
        with Ear(server, "Ending melody") as ear:
            start_song(user)
            eventually(lambda: len(ear.open()) == 3)
            if end is signal.SIGKILL:
                os.kill(ending.pid, end)
            else:
                assert ending.end(end) == 0
            eventually(lambda: not ear.open(), 5.0, what="notes left open")
            pids = [pid for key, pid in processes.items() if key.startswith(("supervisor", "bridge."))]
            eventually(lambda: not any(alive(pid) for pid in pids), 10.0, what="processes left")
            assert len(ear.ons) == sum(item.is_off for item in strict(ear))
        if end is not signal.SIGKILL:
            assert not (folder / "run.json").exists()


def holds(path: Path, notes: tuple[Row, ...]) -> bool:
    import mido

    struck = [item.note for item in mido.MidiFile(path) if item.type == "note_on" and item.velocity]
    return sorted(struck) == sorted(note.pitch for note in notes)
