"""What any process of the machine can do to the real player through its loopback port: nothing that is heard."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

import pytest
from player_rig import PlayerProcess, player_process

from bridge import channel, limits, messages


def call(player: PlayerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", player.port), timeout=5.0)


def framed(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode()


def is_sent_away(caller: socket.socket) -> bool:
    try:
        return caller.recv(100) == b""
    except ConnectionError:
        return True


def serves(player: PlayerProcess) -> bool:
    """Whether it still does what its bridge says."""
    player.send(messages.MoveTransport("stop"), messages.MoveTransport("play"))
    return player.wait_for(messages.Beat, beat=0) is not None


@pytest.mark.parametrize(
    "said",
    [
        framed(json.dumps(["Hello", "\ud800", "bridge"])),  # a token that no encoding takes
        framed("[" * 100_000),  # deeper than any parser goes
        b"\xff" * 2_000_000,
    ],
    ids=["half a character", "deep", "long"],
)
def test_nothing_that_a_stranger_says_ends_the_player(tmp_path: Path, said: bytes) -> None:
    with player_process(tmp_path) as player:
        player.wait_for(messages.SnapshotEnd)
        with contextlib.suppress(ConnectionError), call(player) as stranger:
            stranger.sendall(said)
            assert is_sent_away(stranger)
        assert serves(player)


def test_a_crowd_of_strangers_does_not_keep_the_next_bridge_out(tmp_path: Path) -> None:
    with player_process(tmp_path) as player, contextlib.ExitStack() as open_sockets:
        player.wait_for(messages.SnapshotEnd)
        strangers = [open_sockets.enter_context(call(player)) for _ in range(5 * limits.MAX_STRANGERS)]
        gone = strangers[: -limits.MAX_STRANGERS]
        assert all(is_sent_away(stranger) for stranger in gone)
        assert not select.select(strangers[-limits.MAX_STRANGERS :], [], [], 0.2)[0]
        player.bridge.close()
        player.bridge = channel.connect(player.port, "secret", "bridge")
        player.wait_for(messages.SnapshotEnd)
        assert serves(player)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_without_a_file_left_it_plays_on_and_lets_nobody_in_until_there_is_one(tmp_path: Path) -> None:
    import resource

    with player_process(tmp_path) as player:
        player.wait_for(messages.SnapshotEnd)
        _, most = resource.prlimit(player.process.pid, resource.RLIMIT_NOFILE)
        files = Path(f"/proc/{player.process.pid}/fd")
        lowest_free = next(number for number in itertools.count() if not (files / str(number)).is_symlink())
        resource.prlimit(player.process.pid, resource.RLIMIT_NOFILE, (lowest_free, most))
        with call(player) as stranger:
            stranger.sendall(framed(json.dumps(["Hello", "wrong!", "bridge"])))
            assert serves(player)
            before_s = cpu_s(player)
            time.sleep(0.5)
            assert cpu_s(player) - before_s < 0.25, "it spins on who waits outside"
            resource.prlimit(player.process.pid, resource.RLIMIT_NOFILE, (most, most))
            assert is_sent_away(stranger)
        assert serves(player)


def cpu_s(player: PlayerProcess) -> float:
    fields = Path(f"/proc/{player.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(sys.platform == "win32", reason="no process can be stopped there")
def test_a_bridge_that_speaks_as_its_successor_comes_does_not_end_the_player(tmp_path: Path) -> None:
    with player_process(tmp_path) as player:
        player.wait_for(messages.SnapshotEnd)
        for _ in range(2):  # the two take turns at the lower file number, which is heard first
            older, successor = player.bridge, call(player)
            time.sleep(0.1)
            player.process.send_signal(signal.SIGSTOP)  # so that both are heard in one turn of its loop
            successor.sendall(framed(json.dumps(["Hello", "secret", "bridge"], separators=(",", ":"))))
            player.send(messages.MoveTransport("stop"))
            player.process.send_signal(signal.SIGCONT)
            player.bridge = channel.Channel(successor)
            player.wait_for(messages.SnapshotEnd)
            older.close()
        assert serves(player)
