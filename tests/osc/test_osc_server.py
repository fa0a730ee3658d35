"""The server over real UDP on loopback, and its clockwork by a clock that the test moves."""

import asyncio
import errno
import logging
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from needs import has_ipv6

from bridge import limits
from bridge.osc import server as server_module
from bridge.osc.decoder import Message, decode
from bridge.osc.encoder import encode
from bridge.osc.server import OscServer, PortTakenError
from bridge.session.outside import RefusedError

VOICES = ("melody", "drums")


class Session:
    """A session for the server: keeps what it is asked, sends a small state, refuses or fails on demand."""

    def __init__(self, **clocks):
        self.requests = []
        self.asked = asyncio.Semaphore(0)
        self.raises = None
        self.server = OscServer(
            VOICES, self.handle, version="9.8.7", ready=lambda: True, send_state=self.send_state, **clocks
        )

    def handle(self, request):
        self.requests.append(request)
        self.asked.release()
        if self.raises is not None:
            raise self.raises

    async def heard(self, count):
        async with asyncio.timeout(5):
            for _ in range(count):
                await self.asked.acquire()

    def send_state(self, origin):
        self.server.reply(origin, "/clock/state", "internal", 0, 120.0, 0.0, 4, 4, 0.0)
        self.server.reply(origin, "/bridge/ready", 1)


class Client:
    """A UDP client on loopback."""

    def __init__(self, server, host="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.server = server

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def say(self, address, *arguments):
        self.raw(encode(address, arguments))

    def raw(self, datagram):
        self.socket.sendto(datagram, (self.server.host, self.server.port))

    async def hear(self, until, seconds=5.0):
        """Everything that comes until a message for the address `until`."""
        heard = []
        async with asyncio.timeout(seconds):
            while not heard or heard[-1].address != until:
                heard.append(decode(await asyncio.get_running_loop().sock_recv(self.socket, 9000), 0, 0))
        return heard

    def all(self):
        """What has come so far."""
        heard = []
        while True:
            try:
                heard.append(decode(self.socket.recv(9000), 0, 0))
            except BlockingIOError:
                return heard


@contextmanager
def serving(session, host="127.0.0.1", clients=1):
    session.server.start(host, 0)
    ears = [Client(session.server, host) for _ in range(clients)]
    try:
        yield ears[0] if clients == 1 else ears
    finally:
        for ear in ears:
            ear.socket.close()
        session.server.close()


def run(test):
    asyncio.run(asyncio.wait_for(test(), 30))


# -- over the wire ----------------------------------------------------------------------------------------------------


def test_ping_is_answered_with_its_token():
    async def test():
        session = Session()
        with serving(session) as client:
            client.say("/bridge/ping", 4711)
            (pong,) = await client.hear("/bridge/pong")
            token, version, uptime, ready = pong.arguments
            assert (token, version, ready) == (4711, "9.8.7", 1)
            assert 0 <= uptime < 5
            client.say("/bridge/ping")
            assert (await client.hear("/bridge/pong"))[0].arguments[0] == 0

    run(test)


def test_subscribe_is_welcome_the_whole_state_and_then_a_heartbeat():
    async def test():
        session = Session()
        with serving(session) as client:
            client.say("/bridge/subscribe")
            heard = await client.hear("/bridge/heartbeat")
            assert heard[0] == Message("/bridge/welcome", ("9.8.7", 2))
            assert [message.address for message in heard[1:3]] == ["/clock/state", "/bridge/ready"]
            first = heard[-1].arguments[0]
            assert (await client.hear("/bridge/heartbeat"))[-1].arguments == (first + 1,)
            client.say("/bridge/unsubscribe")
            await client.hear("/bridge/bye")
            session.server.publish("/clock/beat", 1, 120.0, 1)
            client.say("/bridge/ping")
            assert [message.address for message in await client.hear("/bridge/pong")] == ["/bridge/pong"]

    run(test)


def test_answers_errors_and_events_go_to_the_port_that_was_named():
    async def test():
        session = Session()
        with serving(session, clients=2) as (sender, ear):
            sender.say("/bridge/subscribe", ear.port)
            await ear.hear("/bridge/ready")
            sender.say("/melody/next", 17)
            assert (await ear.hear("/error"))[-1].arguments[:2] == (3, "/melody/next")
            sender.say("/bridge/ping", 1)
            await ear.hear("/bridge/pong")
            session.server.publish("/clock/beat", 1, 120.0, True)
            assert (await ear.hear("/clock/beat"))[-1].arguments == (1, 120.0, 1)
            sender.say("/bridge/unsubscribe")
            await ear.hear("/bridge/bye")
            assert sender.all() == []
            sender.say("/bridge/ping", 2)
            await sender.hear("/bridge/pong")

    run(test)


def test_the_whole_state_is_answered_to_who_asks():
    async def test():
        with serving(Session()) as client:
            client.say("/bridge/state")
            heard = await client.hear("/bridge/ready")
            assert [message.address for message in heard] == ["/clock/state", "/bridge/ready"]

    run(test)


def test_an_event_reaches_a_requester_that_has_not_subscribed_and_nobody_else():
    async def test():
        session = Session()
        with serving(session, clients=3) as (subscriber, requester, stranger):
            subscriber.say("/bridge/subscribe")
            await subscriber.hear("/bridge/ready")
            stranger.say("/bridge/ping")
            await stranger.hear("/bridge/pong")
            for client in (requester, subscriber):
                client.say("/melody/next", 2)
            await session.heard(2)
            for request in session.requests:
                session.server.publish("/melody/launched", 1, 4.0, also=request.origin)
            session.server.publish("/clock/beat", 1, 120.0, 1)
            heard = await subscriber.hear("/clock/beat")
            assert [message.address for message in heard if "launched" in message.address] == ["/melody/launched"] * 2
            assert [message.address for message in await requester.hear("/melody/launched")] == ["/melody/launched"]
            await asyncio.sleep(0.01)
            assert requester.all() == []
            assert stranger.all() == []

    run(test)


def test_what_the_session_refuses_and_where_it_fails_is_answered(caplog):
    async def test():
        session = Session()
        with serving(session) as client:
            session.raises = RefusedError(5, "corner b is empty")
            client.say("/melody/morph", 0.5)
            assert (await client.hear("/error"))[0].arguments == (5, "/melody/morph", "corner b is empty")
            session.raises = KeyError("inside")
            with caplog.at_level(logging.ERROR):
                client.say("/melody/morph", 0.5)
                assert (await client.hear("/error"))[0].arguments[:2] == (7, "/melody/morph")
            client.say("/nope")
            assert (await client.hear("/error"))[0].arguments[:2] == (1, "/nope")
            client.raw(b"not osc")
            client.say("/bridge/ping")
            assert [message.address for message in await client.hear("/bridge/pong")] == ["/bridge/pong"]
            assert session.server.counters.malformed == 1

    run(test)


def test_a_bundle_acts_at_its_time_while_others_act_at_once():
    async def test():
        session = Session()
        with serving(session) as client:
            ntp = ((time.time_ns() + 1_300_000_000) << 32) // 10**9 + (2_208_988_800 << 32)
            element = encode("/melody/play", ())
            client.raw(b"#bundle\0" + ntp.to_bytes(8, "big") + len(element).to_bytes(4, "big") + element)
            sent_ns = time.perf_counter_ns()
            client.say("/melody/stop")
            await session.heard(2)
            acted_ns = time.perf_counter_ns()
            stop, play = session.requests
            assert (stop.verb, play.verb) == ("stop", "play")
            assert play.arrival_ns - stop.arrival_ns > 250_000_000
            assert acted_ns >= play.arrival_ns
            assert acted_ns - sent_ns > 250_000_000

    run(test)


def test_a_client_whose_port_has_gone_harms_nothing():
    async def test():
        session = Session()
        with serving(session, clients=2) as (gone, client):
            gone.say("/bridge/subscribe")
            await gone.hear("/bridge/ready")
            gone.socket.close()
            for number in range(50):
                session.server.publish("/clock/beat", number, 120.0, 1)
                await asyncio.sleep(0)
            client.say("/bridge/ping", 3)
            assert (await client.hear("/bridge/pong"))[0].arguments[0] == 3

    run(test)


def test_ipv6_loopback_where_there_is_one_and_a_plain_fault_where_there_is_none():
    async def test():
        session = Session()
        if not has_ipv6():
            with pytest.raises(OSError):
                session.server.start("::1", 0)
            return
        with serving(session, "::1") as client:
            assert session.server.warning == ""
            client.say("/bridge/subscribe")
            await client.hear("/bridge/heartbeat")

    run(test)


# -- binding ----------------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_told_apart():
    async def test():
        first, second = Session(), Session()
        with serving(first), pytest.raises(PortTakenError) as caught:
            second.server.start("127.0.0.1", first.server.port)
        assert (caught.value.host, caught.value.port) == ("127.0.0.1", first.server.port)

    run(test)


def test_another_fault_of_binding_stays_what_it_is():
    async def test():
        with pytest.raises(OSError) as caught:
            Session().server.start("192.0.2.1", 0)
        assert caught.value.errno == errno.EADDRNOTAVAIL

    run(test)


def test_a_name_is_bound_on_loopback_and_only_there():
    async def test():
        session = Session()
        session.server.start("localhost", 0)
        assert session.server.host == "127.0.0.1"
        assert session.server.warning == ""
        session.server.close()
        session.server.close()
        session.server.publish("/clock/beat", 1, 120.0, 1, also=("127.0.0.1", 9))  # closed: nothing is sent

    run(test)


def test_a_host_that_others_can_reach_is_warned_about():
    session = Session()
    session.server.host = "0.0.0.0"
    assert "0.0.0.0" in session.server.warning
    assert "no password" in session.server.warning


# -- bounded work -----------------------------------------------------------------------------------------------------


def test_one_wake_reads_a_bounded_batch(monkeypatch):
    monkeypatch.setattr(server_module, "WAKE_BUDGET_NS", 10**12)

    async def test():
        session = Session()
        with serving(session) as client:
            for number in range(limits.DATAGRAMS_PER_WAKE * 2 + 5):
                client.say("/melody/transpose", number % 40)
            counts = []
            for _ in range(4):
                session.server._readable()
                counts.append(session.server.counters.packets)
        batch = limits.DATAGRAMS_PER_WAKE
        assert counts == [batch, 2 * batch, 2 * batch + 5, 2 * batch + 5]

    run(test)


def test_one_wake_ends_when_its_time_is_up(monkeypatch):
    async def test():
        session = Session()
        monkeypatch.setattr(server_module, "WAKE_BUDGET_NS", 0)
        with serving(session) as client:
            for _ in range(3):
                client.say("/melody/play")
            session.server._readable()
            assert len(session.requests) == 1

    run(test)


FLOOD = """
import socket, sys, time
peer = ("127.0.0.1", int(sys.argv[1]))
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
until = time.monotonic() + float(sys.argv[2])
packets = [bytes.fromhex(word) for word in sys.argv[3:]]
while time.monotonic() < until:
    for packet in packets * 100:
        ear.sendto(packet, peer)
"""


def flooded(port, packets):
    return subprocess.Popen([sys.executable, "-c", FLOOD, str(port), "1.0", *(packet.hex() for packet in packets)])


def test_a_flood_does_not_starve_a_10_ms_timer(monkeypatch):
    """A timer waits for two wakes at most, and a wake is bounded (above): so much is ours, the rest the system's."""
    wakes_at = []
    readable = OscServer._readable

    def counted(server):
        wakes_at.append(asyncio.get_running_loop().time())
        readable(server)

    monkeypatch.setattr(OscServer, "_readable", counted)

    async def test():
        session = Session()
        with serving(session) as client:
            packets = [encode("/melody/morph", (0.5,)), encode("/*/xy", (0.1, 0.2)), b"junk", encode("/nope", ())]
            flood = flooded(session.server.port, packets)
            waited_for = []

            def note_waits(fired):  # at the timer itself: the task that waits for it is woken a turn later
                waited_for.append(sum(at > timer.when() for at in wakes_at))
                fired.set()

            try:
                while flood.poll() is None:
                    wakes_at.clear()
                    fired = asyncio.Event()
                    timer = asyncio.get_running_loop().call_later(0.01, note_waits, fired)
                    await fired.wait()
            finally:
                flood.kill()
                flood.wait()
            assert session.server.counters.packets > 2000
            assert len(waited_for) > 5
            assert max(waited_for) <= 2
            packets_before = -1
            while session.server.counters.packets > packets_before:  # what the flood left in the system's buffer
                packets_before = session.server.counters.packets
                await asyncio.sleep(0.02)
            client.say("/bridge/ping", 5)
            assert (await client.hear("/bridge/pong"))[0].arguments[0] == 5

    run(test)


# -- by a clock that the test moves -----------------------------------------------------------------------------------


class Hand:
    """A clock moved by hand; both kinds of time in one."""

    def __init__(self):
        self.ns = 1_000_000_000

    def __call__(self):
        return self.ns


class Wire:
    """What a server without a socket would send."""

    def __init__(self, monkeypatch):
        self.clock = Hand()
        self.session = Session(now_ns=self.clock, wall_ns=lambda: 1_795_000_000_000_000_000 + self.clock.ns)
        self.server = self.session.server
        self.sent = []
        monkeypatch.setattr(self.server, "_send", self.send)

    def send(self, datagram, target):
        self.sent.append((target, decode(datagram, 0, 0)))

    def say(self, origin, address, *arguments):
        self.sent.clear()
        self.server.receive(encode(address, arguments), origin)
        return [(target, message.address) for target, message in self.sent]


@pytest.fixture
def wire(monkeypatch):
    return Wire(monkeypatch)


ANN = ("127.0.0.1", 1001)
BEN = ("10.0.0.7", 1002)


def test_a_silent_subscriber_lapses_after_60_s_and_one_that_speaks_does_not(wire):
    wire.say(ANN, "/bridge/subscribe")
    wire.say(BEN, "/bridge/subscribe", 5000)
    for _ in range(13):
        wire.clock.ns += 5_000_000_000
        wire.say(BEN, "/bridge/ping")
        wire.server.heartbeat()
    wire.sent.clear()
    wire.server.heartbeat()
    assert [target for target, _ in wire.sent] == [("10.0.0.7", 5000)]


def test_what_is_not_osc_keeps_no_subscription_alive(wire):
    wire.say(ANN, "/bridge/subscribe")
    for _ in range(13):
        wire.clock.ns += 5_000_000_000
        wire.server.receive(b"junk", ANN)
        wire.server.heartbeat()
    wire.sent.clear()
    wire.server.heartbeat()
    assert not wire.sent


def test_the_17th_subscriber_is_busy_and_told_so_where_it_sent_from(wire):
    for number in range(limits.MAX_SUBSCRIBERS):
        assert wire.say(("127.0.0.1", 2000 + number), "/bridge/subscribe")[0][1] == "/bridge/welcome"
    assert wire.say(ANN, "/bridge/subscribe", 7777) == [(ANN, "/error")]
    assert wire.sent[0][1].arguments[0] == 6
    wire.sent.clear()
    wire.server.heartbeat()
    assert len(wire.sent) == limits.MAX_SUBSCRIBERS


def test_two_senders_with_one_target_get_each_event_once(wire):
    wire.say(ANN, "/bridge/subscribe", 5000)
    wire.say(("127.0.0.1", 1009), "/bridge/subscribe", 5000)
    wire.sent.clear()
    wire.server.publish("/clock/beat", 1, 120.0, 1, also=ANN)
    assert [target for target, _ in wire.sent] == [("127.0.0.1", 5000)]


def test_uptime_counts_from_the_start_of_the_bridge(wire):
    wire.clock.ns += 2_500_000_000
    wire.say(ANN, "/bridge/ping")
    assert wire.sent[0][1].arguments[2] == pytest.approx(2.5)


def test_a_pattern_over_the_bridges_own_addresses_works_too(wire):
    assert wire.say(ANN, "/bridge/{ping,state}") == [
        (ANN, "/bridge/pong"),
        (ANN, "/clock/state"),
        (ANN, "/bridge/ready"),
    ]


def test_panic_goes_to_the_session(wire):
    wire.say(ANN, "/bridge/panic")
    assert [(request.scope, request.verb) for request in wire.session.requests] == [("bridge", "panic")]


def test_with_nobody_there_nothing_is_sent_or_even_written(wire, monkeypatch):
    monkeypatch.setattr(server_module, "encode", lambda *_: pytest.fail("it wrote a message for nobody"))
    wire.server.publish("/clock/beat", 1, 120.0, 1)
    wire.server.heartbeat()
    assert wire.sent == []


def test_a_cold_start_is_quick():
    """asyncio alone is most of it; the floor itself must not bring python-osc's servers, numpy or pydantic along."""
    code = "import sys, bridge.osc.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unwanted = {
        "numpy",
        "torch",
        "numba",
        "pydantic",
        "pythonosc.osc_server",
        "pythonosc.dispatcher",
        "bridge.wire",
        "bridge.messages",
        "bridge.engine_messages",
    }
    assert not unwanted & set(loaded)
    assert "pythonosc.parsing.osc_types" in loaded


def test_bundles_of_one_time_tag_keep_their_order_though_two_clocks_are_never_read_at_once(monkeypatch):
    jitter = iter(range(10_000_000))
    session = Session(
        now_ns=(clock := Hand()), wall_ns=lambda: 1_795_000_000_000_000_000 + clock.ns + next(jitter) * 7919 % 90_000
    )
    monkeypatch.setattr(session.server, "_send", lambda *_: None)
    seconds_ahead = (1_795_000_001 + 3 + 2_208_988_800) << 32
    for number in range(200):
        clock.ns += 1_234_567
        request = encode("/melody/transpose", (number % 40,))
        bundle = b"#bundle\0" + (seconds_ahead + 12345).to_bytes(8, "big") + len(request).to_bytes(4, "big") + request
        session.server.receive(bundle, ANN)
    assert not session.requests
    while session.server._dispatcher.act_on_due(clock.ns + 10_000_000_000):
        pass
    assert [request.args["semitones"] for request in session.requests] == [number % 40 for number in range(200)]
