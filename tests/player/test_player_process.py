"""The real player process on memory ports: how it starts, serves its bridge, and what it leaves behind when it ends."""

from __future__ import annotations

import json
import select
import signal
import socket
import subprocess
import sys
import time

import pytest
from player_rig import ROOT, hooked, open_notes, player_process

from bridge import channel, messages, wire
from bridge.player.ledger import left_open
from bridge.player.record import PlayedReader

PAD = [(48, 0.0, 4.0, 100, 0), (52, 0.0, 4.0, 100, 0), (55, 0.0, 4.0, 100, 0)]
FORBIDDEN = {"torch", "numba", "numpy", "pydantic", "pythonosc", "mido", "sounddevice", "yaml"}


def sound(player, loop_id=1, rows=PAD):
    """A chord that is held, on the melody's port."""
    player.send(messages.MoveTransport("play"))
    player.send(messages.Launch("melody", loop_id, time.perf_counter_ns(), "now", 4.0, rows))
    player.wait_for(messages.Launched, id=loop_id)
    player.wait_for(messages.Beat, beat=4)  # `now` came after beat 0: the chord is struck at beat 4


def test_the_player_imports_nothing_heavy():
    """In a fresh interpreter, every module of the player that a run loads, python-rtmidi's included."""
    code = (
        "import sys, bridge.player.app, bridge.player.__main__, bridge.player.rtmidi_ports\n"
        f"print(sorted({FORBIDDEN!r} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_new_bridge_gets_the_whole_snapshot(tmp_path):
    with player_process(tmp_path) as player:
        clock = player.wait_for(messages.ClockState)
        assert (clock.playing, clock.tempo_bpm, clock.source) == (False, 120.0, "internal")
        ports = player.wait_for(messages.Ports)
        assert ports.backend == "memory"
        assert ports.lines[0] == "melody: out to Barline melody"
        for voice in ("melody", "bass", "drums"):
            assert player.wait_for(messages.VoiceSnapshot).voice == voice
        assert player.wait_for(messages.SnapshotEnd).fresh


def test_a_bridge_that_is_gone_leaves_the_music_playing_and_its_successor_reads_it(tmp_path):
    with player_process(tmp_path) as player:
        sound(player)
        player.bridge.close()
        before = len(player.played())
        time.sleep(2.2)
        assert len(player.played()) > before
        player.bridge = channel.connect(player.port, "secret", "bridge")
        player.events.clear()
        assert player.wait_for(messages.ClockState).playing
        melody = player.wait_for(messages.VoiceSnapshot, voice="melody")
        assert (melody.sounding_id, melody.start_beats, len(melody.notes)) == (1, 0.0, 3)
        assert not player.wait_for(messages.SnapshotEnd).fresh


def test_a_newer_bridge_replaces_an_older_one(tmp_path):
    with player_process(tmp_path) as player:
        player.wait_for(messages.SnapshotEnd)
        older, player.bridge = player.bridge, channel.connect(player.port, "secret", "bridge")
        player.wait_for(messages.SnapshotEnd)
        select.select([older], [], [], 2.0)
        with pytest.raises(channel.ChannelClosedError):
            older.receive()
        older.close()


@pytest.mark.parametrize(
    "first", [wire.Hello("wrong", "bridge"), wire.Hello("secret", "engine"), messages.Panic(False)]
)
def test_strangers_are_sent_away(tmp_path, first):
    with player_process(tmp_path) as player:
        player.wait_for(messages.SnapshotEnd)
        with socket.create_connection(("127.0.0.1", player.port)) as plain:
            plain.settimeout(2.0)
            frame = wire.encode(first)
            plain.sendall(len(frame).to_bytes(4, "big") + frame)
            assert plain.recv(100) == b""
        player.send(messages.MoveTransport("play"))
        player.wait_for(messages.Beat, beat=0)


def test_nonsense_on_the_line_costs_the_line_and_not_the_music(tmp_path):
    with player_process(tmp_path) as player:
        sound(player)
        player.bridge.close()
        with socket.create_connection(("127.0.0.1", player.port)) as plain:
            hello = wire.encode(wire.Hello("secret", "bridge"))
            plain.sendall(len(hello).to_bytes(4, "big") + hello + b"\x00\x00\x00\x05hello" + b"\xff" * 9)
            plain.settimeout(2.0)
            while plain.recv(65536):
                pass
        player.bridge = channel.connect(player.port, "secret", "bridge")
        player.events.clear()
        assert player.wait_for(messages.VoiceSnapshot).sounding_id == 1


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "stdin"])
def test_told_to_end_it_closes_its_notes_and_exits_0(tmp_path, how):
    with player_process(tmp_path) as player:
        sound(player)
        assert len(open_notes(player.played())) == 3
        if how == "stdin":
            player.process.stdin.close()
        else:
            player.process.send_signal(getattr(signal, how))
        assert player.process.wait(2.0) == 0
        assert open_notes(player.played()) == {}
        assert left_open(tmp_path / "held.bin") == {b"Barline melody": [], b"Barline bass": [], b"Barline drums": []}


def test_a_fault_inside_closes_the_notes_and_exits_1(tmp_path):
    """An exception in the loop, provoked in the real process."""
    env = hooked(
        tmp_path / "hook",
        "from bridge.player import looper\n"
        "def panic(self, now_ns):\n"
        "    raise RuntimeError('provoked')\n"
        "looper.Looper.panic = panic\n",
    )
    with player_process(tmp_path, env=env) as player:
        sound(player)
        player.send(messages.Panic(False))
        assert player.process.wait(2.0) == 1
        assert "provoked" in player.log()
        assert open_notes(player.played()) == {}


def test_killed_its_successor_closes_what_was_open_before_anything_else(tmp_path):
    with player_process(tmp_path) as player:
        sound(player)
        player.process.kill()
        player.process.wait()
        before = len(player.played())
        assert len(open_notes(player.played())) == 3
    with player_process(tmp_path) as player:
        player.wait_for(messages.SnapshotEnd, fresh=True)
        sound(player, loop_id=2, rows=[(48, 0.0, 0.5, 100, 0)])
        after = player.played()[before:]
        assert [(p.status, p.data1) for p in after[:3]] == [(0x80, 48), (0x80, 52), (0x80, 55)]
        assert all(p.status >> 4 == 8 for p in after[: [p.status >> 4 for p in after].index(9)])
        time.sleep(0.5)
        assert open_notes(player.played()) == {}


@pytest.mark.parametrize("line", ["", "[]\n", "not json\n", json.dumps({"token": "x"}) + "\n"])
def test_started_wrongly_it_says_so_and_exits_2(line):
    result = subprocess.run(
        [sys.executable, "-m", "bridge.player"], cwd=ROOT, input=line, capture_output=True, text=True, timeout=10
    )
    assert result.returncode == 2
    assert "cannot start" in result.stderr
    assert "Traceback" not in result.stderr


def test_panic_is_over_within_10_ms_of_its_arrival(tmp_path):
    with player_process(tmp_path) as player:
        sound(player)
        before = len(player.played())
        asked_ns = time.perf_counter_ns()
        player.send(messages.Panic(False))
        player.wait_for(messages.Panicked, n_notes=3)
        sent = player.played()[before:]
        assert [p.status >> 4 for p in sent] == [8] * 3 + [0xB] * 6
        assert (sent[2].sent_ns - sent[0].intended_ns) / 1e6 < 10
        assert (sent[-1].sent_ns - asked_ns) / 1e9 < 1  # generous: the machine may be busy


def test_the_record_can_be_read_from_outside_while_it_plays(tmp_path):
    with player_process(tmp_path) as player:
        reader = PlayedReader(tmp_path / "played.bin")
        assert reader.port_names == ["Barline melody", "Barline bass", "Barline drums"]
        sound(player)
        found, number = reader.since(0)
        assert [p.data1 for p in found if p.status >> 4 == 9] == [48, 52, 55]
        assert all(p.sent_ns >= p.intended_ns for p in found)
        assert reader.since(number)[0] == []
        reader.close()


def test_without_a_midi_system_it_plays_on_and_says_so(tmp_path):
    with player_process(tmp_path, "jack", env={"JACK_DEFAULT_SERVER": "barline-test-nobody"}) as player:
        ports = player.wait_for(messages.Ports)
        assert ports.backend == "none"
        assert ports.lines[0].startswith("no MIDI output: jack: no JACK server runs")
        sound(player)
        assert len(open_notes(player.played())) == 3
