"""Whatever is wrong is answered to who sent it, and changes nothing; whatever is hostile changes nothing at all."""

from __future__ import annotations

import math
import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import whole_bridge
from whole_bridge import PATIENCE_S, Recorder, User, bundle, message, resident_bytes, start_song, subscribed, user_of

from bridge.hosted import HostedBridge, note_ons

PACKETS = 20_000
NOTE = (60, 0.0, 1.0, 100, 0)
WRONG: tuple[tuple[int, tuple[Any, ...]], ...] = (
    (1, ("/",)),
    (1, ("/melody",)),
    (1, ("/melody/fly", 1)),
    (1, ("/nobody/next", 2)),
    (1, ("/bridge/next", 2)),
    (1, ("/Melody/next", 2)),
    (1, ("/*/fly",)),
    (1, ("/{bass,tenor}/fly",)),
    (2, ("/melody/next", "two")),
    (2, ("/melody/next", 1.5)),
    (2, ("/melody/next", 1, 2)),
    (2, ("/melody/morph",)),
    (2, ("/melody/xy", 0.5)),
    (2, ("/melody/launch", 1)),
    (2, ("/melody/seed", 8.0, 60, 0.0, 1.0, 100)),
    (2, ("/melody/seed", "8", *NOTE)),
    (2, ("/melody/store", "a", 8.0, 60)),
    (2, ("/clock/live", 1, 120.0)),
    (2, ("/clock/play", 1)),
    (2, ("/bridge/ping", "x")),
    (3, ("/melody/next", 0)),
    (3, ("/melody/next", 17)),
    (3, ("/melody/swing", 49.9)),
    (3, ("/melody/swing", 75.1)),
    (3, ("/melody/swing", math.nan)),
    (3, ("/melody/swing", math.inf)),
    (3, ("/melody/swing", -math.inf)),
    (3, ("/melody/velocity", -0.01)),
    (3, ("/melody/temperature", 0.0)),
    (3, ("/melody/vary", 1.001)),
    (3, ("/melody/morph", math.nan)),
    (3, ("/melody/grid", "1/64")),
    (3, ("/melody/launch", "later")),
    (3, ("/melody/mute", 2)),
    (3, ("/melody/transpose", 128)),
    (3, ("/melody/seed", 8.0, 128, 0.0, 1.0, 100, 0)),
    (3, ("/melody/seed", 8.0, 60, 8.0, 1.0, 100, 0)),
    (3, ("/melody/seed", 8.0, 60, 0.0, 0.0, 100, 0)),
    (3, ("/melody/seed", 8.0, 60, 0.0, 1.0, 0, 0)),
    (3, ("/melody/seed", 8.0, 60, 0.0, 1.0, 100, 1)),
    (3, ("/melody/seed", 8.0, 60, math.nan, 1.0, 100, 0)),
    (3, ("/melody/seed", -1.0, *NOTE)),
    (3, ("/melody/seed", 8.0, *(NOTE * 31))),
    (3, ("/clock/tempo", 19.9)),
    (3, ("/clock/tempo", 999.5)),
    (3, ("/clock/source", "sundial")),
    (3, ("/clock/live", 1, 120.0, 0, 0.0, 4, 3)),
    (3, ("/bridge/subscribe", 70000)),
    (4, ("/bass/next", 2)),
    (4, ("/bass/sample", 2)),
    (4, ("/melody/seed/end",)),
    (4, ("/melody/seed/notes", *NOTE)),
    (4, ("/bass/vary", 0.5)),
    (4, ("/bass/store", "a")),
    (4, ("/bass/undo",)),
    (4, ("/bass/redo",)),
    (4, ("/melody/model", "melody-16bar")),
    (4, ("/melody/model", "trio-16bar")),
    (5, ("/melody/store", "e", 8.0, *NOTE)),
    (5, ("/melody/recall", 2_000_000_000)),
    (5, ("/melody/model", "no-such-model")),
    (5, ("/bass/xy", 0.5, 0.5)),
)


@pytest.fixture
def user(bridge: HostedBridge) -> Iterator[User]:
    with user_of(bridge) as client:
        yield client


def whole_state(user: User) -> list[tuple[Any, ...]]:
    user.settle()
    since = user.mark()
    user.send("/bridge/state")
    user.wait_for("/bridge/ready", PATIENCE_S, since)
    return [said.args for said in user.said(since) if said.address.endswith("/state")]


@pytest.mark.parametrize(("code", "request_"), WRONG, ids=lambda value: str(value)[:40])
def test_every_wrong_request_is_answered_and_changes_nothing(user: User, code: int, request_: tuple[Any, ...]) -> None:
    before = whole_state(user)
    got, words = user.refused(*request_)
    assert (got, words.isprintable()) == (code, True), words
    assert whole_state(user) == before


def test_a_range_error_says_the_range(user: User) -> None:
    assert "50" in user.refused("/melody/swing", 80.0)[1]
    assert "75" in user.refused("/melody/swing", 80.0)[1]
    assert "20" in user.refused("/clock/tempo", 5.0)[1]
    assert "999" in user.refused("/clock/tempo", 5.0)[1]


def test_the_ends_of_a_range_have_a_float_s_slack(user: User) -> None:
    since = user.mark()
    for address, value in (("/melody/temperature", 2.0 + 5e-7), ("/melody/quantize", -5e-7), ("/melody/quantize", 1.0)):
        user.send(address, value)
    user.settle()
    assert not user.errors(since)


def test_errors_go_to_their_sender_alone(bridge: HostedBridge, user: User) -> None:
    with subscribed(bridge) as other:
        since = other.mark()
        user.refused("/melody/fly")
        other.settle()
        assert not other.errors(since)


def test_a_message_of_a_bundle_or_a_pattern_is_refused_by_its_own_address(user: User) -> None:
    since = user.mark()
    user.send_raw(bundle(None, message("/melody/swing", 10.0), message("/drums/next", 99), message("/drums/fly")))
    user.send("/{melody,drums}/velocity", 9.0)
    user.settle()
    assert [error[:2] for error in user.errors(since)] == [
        (3, "/melody/swing"), (3, "/drums/next"), (1, "/drums/fly"), (3, "/melody/velocity"), (3, "/drums/velocity"),
    ]  # fmt: skip


# -- busy -------------------------------------------------------------------------------------------------------------


def test_the_seventeenth_subscriber_is_refused_until_another_leaves(bridge: HostedBridge) -> None:
    clients: list[User] = []
    try:
        for _ in range(17):
            client = user_of(bridge)
            clients.append(client)
            client.is_subscribed = True
            client.send("/bridge/subscribe")
            client.settle()
            if client.errors():
                break
        assert 8 < len(clients) <= 17, "sixteen, and those of an earlier test that have not lapsed yet count"
        assert client.errors()[0][:2] == (6, "/bridge/subscribe")
        clients[0].ask("/bridge/unsubscribe", answer="/bridge/bye", timeout_s=PATIENCE_S)
        client.ask("/bridge/subscribe", answer="/bridge/welcome", timeout_s=PATIENCE_S)
    finally:
        for client in clients:
            client.__exit__()


def test_too_many_requests_waiting_are_refused_and_the_others_are_done(user: User) -> None:
    since = user.mark()
    for _ in range(60):
        user.send("/melody/sample", 6)
    user.settle()
    busy = user.errors(since)
    assert busy
    assert {error[:2] for error in busy} == {(6, "/melody/sample")}
    ends = 60 - len(busy)
    user.wait_for(
        "/melody/bars/end", 60.0, since,
        lambda _: sum(said.address == "/melody/bars/end" for said in user.said(since)) == ends,
    )  # fmt: skip


def test_at_most_256_bundles_wait(user: User) -> None:
    due_s = time.time() + 3.0
    since = user.mark()
    for number in range(260):
        user.send_raw(bundle(due_s, message("/melody/transpose", number % 12)))
    user.settle()
    assert [error[:2] for error in user.errors(since)] == [(6, "/melody/transpose")] * 4
    user.state_when("melody", lambda state: state["transpose"] == 255 % 12)
    user.send("/melody/transpose", 0)


# -- inside -----------------------------------------------------------------------------------------------------------


def test_what_fails_inside_is_code_7_and_logged(bridge: HostedBridge, user: User) -> None:
    """A file of the history that somebody has damaged."""
    heard = user.bars("/melody/sample", 1)
    path = bridge.folder / "bars" / f"{heard.id:06d}-melody.mid"
    whole_bridge.eventually(path.exists)
    path.write_bytes(path.read_bytes()[:30])
    code, words = user.refused("/melody/recall", heard.id)
    assert code == 7
    assert path.name in words
    whole_bridge.eventually(lambda: any(path.name in line and "ERROR" in line for line in bridge.lines))
    assert user.bars("/melody/sample", 1).notes is not None


def test_a_missing_model_answers_not_now(bridge: HostedBridge, user: User) -> None:
    words = user.refused("/bass/next", 1)[1]
    assert "melody-16bar" in words


# -- hostile ----------------------------------------------------------------------------------------------------------


def seeds() -> list[bytes]:
    valid = [
        message("/melody/next", 2), message("/melody/morph", 0.5), message("/melody/xy", 0.25, 0.75),
        message("/melody/swing", 60.0), message("/*/mute", 1), message("/{melody,drums}/velocity", 1.0),
        message("/melody/seed", 8.0, *(NOTE * 30)), message("/melody/store", "a", 8.0, *NOTE),
        message("/clock/tempo", 120.0), message("/clock/live", 1, 120.0, 4, 0.5, 4, 4, 1, 0.5),
        message("/bridge/ping", 9), message("/bridge/state"), message("/melody/launch", "bar"), message("/drums/undo"),
        message("/drums/vary", 0.3), message("/clock/play"), message("/melody/recall", 3),
        message("/melody/" + "*" * 30 + "!"),
    ]  # fmt: skip
    nested = bundle(None, bundle(None, valid[3]), valid[10])
    endless = b"#bundle\0" + struct.pack(">Qi", 1, -4)
    return [*valid, bundle(None, *valid[:6]), bundle(0.0, valid[3], valid[9]), nested, endless]


def mutated(chance: random.Random, kinds: list[bytes]) -> bytes:
    packet = bytearray(chance.choice(kinds))
    for _ in range(chance.randrange(1, 6)):
        where = chance.randrange(len(packet) + 1)
        how = chance.randrange(7)
        if how == 0:
            packet[where : where + 1] = bytes([chance.randrange(256)])
        elif how == 1:
            del packet[where:]
        elif how == 2:
            packet[where:where] = chance.randbytes(chance.choice([1, 2, 3, 4, 8, 64]))
        elif how == 3:
            del packet[where : where + chance.randrange(1, 9)]
        elif how == 4:
            packet += chance.choice(kinds)
        elif how == 5:
            at = where // 4 * 4
            packet[at : at + 4] = chance.choice(
                [b"\xff\xff\xff\xff", b"\x7f\xc0\0\0", b"\x80\0\0\0", b"\0\0\0\0", b"****", b",iii", b"/../"]
            )
        else:
            packet[where:where] = packet[where : where + 40]
    return bytes(packet[:9000])


def test_twenty_thousand_malformed_packets_do_no_harm(bridge: HostedBridge) -> None:
    chance = random.Random(20_000)
    kinds = seeds()
    processes = bridge.processes()
    with user_of(bridge) as attacker, subscribed(bridge) as user:
        resident = 0
        words = len(bridge.lines)
        for number in range(PACKETS):
            if number == 1000:  # what it needs for a flood at all it has by now
                resident = resident_bytes(processes["bridge.main"])
            packet = mutated(chance, kinds) if number % 10 else chance.randbytes(chance.randrange(0, 2000))
            attacker.send_raw(packet)
            if number % 50 == 49:
                user.settle()  # the attacker may have subscribed another port by now
        user.settle()
        grown = resident_bytes(processes["bridge.main"]) - resident
        assert grown < 30 << 20, f"{grown / 2**20:.1f} MiB"
        assert bridge.processes() == processes, "nobody had to be restarted"
        assert len(bridge.lines) - words < 100, "a flood does not fill the log"
        still_plays(bridge, user)


def still_plays(bridge: HostedBridge, user: User) -> None:
    for address, *args in (
        ("/clock/source", "internal"), ("/clock/stop",), ("/*/clear",), ("/*/mute", 0), ("/*/loop", 1),
        ("/*/velocity", 1.0), ("/[!c]*/play",), ("/*/launch", "bar"), ("/*/transpose", 0), ("/*/temperature", 0.6),
    ):  # fmt: skip
        user.send(address, *args)
    user.settle()
    recorder = Recorder(bridge)
    since = start_song(user)
    heard = user.bars("/melody/next", 2)
    user.launched(heard, "melody", since)
    whole_bridge.eventually(lambda: len(note_ons(recorder.played())) >= 3)
    user.send("/clock/stop")
    user.settle()
    whole_bridge.eventually(lambda: not whole_bridge.open_notes(recorder.played()))
    recorder.close()


def test_datagrams_of_8_kib_are_read_and_larger_ones_do_no_harm(user: User) -> None:
    since = user.mark()
    full = bundle(None, *[message("/melody/seed", 8.0, *(NOTE * 6)), message("/melody/swing", 61.0)] * 39)
    assert 8000 < len(full) <= 8192
    user.send_raw(full)
    assert user.state("melody")["swing"] == 61.0
    user.send_raw(bundle(None, *[message("/melody/swing", 62.0)] * 400))
    user.send_raw(b"\0" * 60_000)
    user.send_raw(b"")
    assert user.state("melody")["swing"] == 61.0
    assert not user.errors(since)
    user.send("/melody/swing", 50.0)
    user.settle()


def test_nothing_goes_to_a_host_or_port_that_has_not_asked(bridge: HostedBridge) -> None:
    """A sender of another address of this machine subscribes; who listens on the same port of ours hears nothing."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bystander,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
        user_of(bridge) as user,
    ):
        bystander.bind(("127.0.0.1", 0))
        ear.bind(("127.0.0.2", bystander.getsockname()[1]))
        speaker.bind(("127.0.0.2", 0))
        for sock in (ear, speaker):
            sock.settimeout(PATIENCE_S)
        bystander.setblocking(False)
        speaker.sendto(message("/bridge/subscribe", bystander.getsockname()[1]), bridge.osc)
        assert ear.recv(8192).startswith(b"/bridge/welcome")
        speaker.sendto(message("/melody/fly"), bridge.osc)
        user.bars("/melody/sample", 1)
        wanted, until = {b"/error", b"/melody/bars/begin"}, time.monotonic() + PATIENCE_S
        while wanted:  # there may be heartbeats between
            assert time.monotonic() < until, wanted
            wanted.discard(ear.recv(8192).partition(b"\0")[0])
        with pytest.raises(BlockingIOError):
            bystander.recv(8192)
        speaker.setblocking(False)
        with pytest.raises(BlockingIOError):
            speaker.recv(8192)
        speaker.sendto(message("/bridge/unsubscribe"), bridge.osc)
        user.settle()


def test_a_subscriber_that_has_gone_harms_nobody(bridge: HostedBridge, user: User) -> None:
    """Its host answers each datagram with "port unreachable"."""
    gone = subscribed(bridge)
    gone.close()
    for _ in range(20):
        user.bars("/melody/sample", 1)
    assert user.ask("/bridge/ping", 5, answer="/bridge/pong", timeout_s=PATIENCE_S).args[0] == 5


def test_it_listens_on_loopback_alone(bridge: HostedBridge) -> None:
    port = bridge.osc[1]
    bound = [
        row.split()[1]
        for table in ("/proc/net/udp", "/proc/net/udp6")
        for row in Path(table).read_text(encoding="ascii").splitlines()[1:]
        if int(row.split()[1].rpartition(":")[2], 16) == port
    ]
    assert bound == [f"0100007F:{port:04X}"]
