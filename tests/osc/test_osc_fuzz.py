"""Two hundred thousand spoiled packets: nothing is thrown, nothing grows, none takes long."""

import random
import struct
import time

from bridge import limits
from bridge.osc.encoder import encode

PACKETS = 200_000
NASTY = b"\0\1\4\x7f\x80\xfc\xff/,*[{#bs"


def seeds(rig):
    messages = [
        encode("/bridge/ping", (7,)),
        encode("/melody/next", (2,)),
        encode("/melody/morph", (0.5,)),
        encode("/*/xy", (0.25, 0.75)),
        encode("/{melody,bass}/mute", (1,)),
        encode("/[a-m]*/s?ed", (8.0, 60, 0.0, 1.0, 100, 0)),
        encode("/melody/seed", (16.0, *(60, 1.0, 0.5, 100, 0) * 30)),
        encode("/drums/store", ("a", 8.0, 36, 0.0, 0.25, 120, 0)),
        encode("/clock/live", (1, 120.0, 16, 0.25, 4, 4, 4, 0.25)),
        encode("/clock/source", ("internal",)),
        encode("/bridge/key", (9, "minor")),
        b"/bass/mute\0\0,T\0\0",
        b"/bass/recall\0\0\0\0,h\0\0" + struct.pack(">q", 12),
        b"/bass/vary\0\0,d\0\0" + struct.pack(">d", 0.5),
        b"/bass/vary\0\0,b\0\0\0\0\0\5hello\0\0\0",
    ]
    bundles = [
        rig.bundle(None, *messages[:4]),
        rig.bundle(0.5, messages[2], rig.bundle(1.0, messages[3])),
        rig.bundle(30.0, *messages[4:9]),
        rig.bundle(61.0, messages[0]),
    ]
    return messages + bundles


def spoil(rng, seed, others):
    packet = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        way = rng.randrange(7)
        at = rng.randrange(len(packet) + 1)
        if way == 0 and packet:
            packet[at % len(packet)] = rng.choice(NASTY)
        elif way == 1 and packet:
            packet[at % len(packet)] ^= 1 << rng.randrange(8)
        elif way == 2:
            del packet[at : at + rng.choice((1, 3, 4, 8, 16))]
        elif way == 3:
            packet[at:at] = bytes(rng.choice(NASTY) for _ in range(rng.choice((1, 4, 8, 16))))
        elif way == 4:
            word = rng.choice((0, 1, -1, -4, 4, 2**31 - 1, -(2**31), 0x7FC00000, 0x7F800000))
            packet[at // 4 * 4 : at // 4 * 4 + 4] = struct.pack(">i", word)
        elif way == 5:
            other = rng.choice(others)
            packet[at // 4 * 4 : at // 4 * 4] = other[: rng.randrange(len(other) + 1) // 4 * 4]
        else:
            packet += packet[: at // 4 * 4] * rng.choice((1, 2, 30))
    return bytes(packet[:9000])


def test_spoiled_packets_are_refused_or_right_and_never_thrown(rig):
    rng = random.Random(20261122)
    good = seeds(rig)
    slow = []
    for number in range(PACKETS):
        packet = spoil(rng, rng.choice(good), good)
        before_ns = time.thread_time_ns()
        rig.send(packet, ("127.0.0.1", 1024 + number % 60000))
        if time.thread_time_ns() - before_ns > 1_000_000:
            slow.append(packet)
        rig.requests.clear()
        rig.errors.clear()
        assert len(rig.dispatcher.waiting) <= limits.MAX_WAITING_BUNDLES
    counters = rig.dispatcher.counters
    assert counters.packets == PACKETS
    assert counters.faults == 0
    assert 0.2 * PACKETS < counters.malformed < 0.95 * PACKETS  # it spoils enough, and not everything
    assert counters.errors > PACKETS / 20
    assert counters.requests > PACKETS / 20
    for packet in slow:  # the machine does other things too: a packet is slow only if it always is
        costs_ns = []
        for _ in range(20):
            before_ns = time.thread_time_ns()
            rig.send(packet)
            costs_ns.append(time.thread_time_ns() - before_ns)
        assert min(costs_ns) < 1_000_000, packet
    while rig.dispatcher.act_on_due(rig.now_ns + 61 * 10**9):
        pass
    assert len(rig.dispatcher.waiting) == 0
    assert counters.faults == 0


def test_random_bytes_are_not_osc(rig):
    rng = random.Random(1)
    for _ in range(2000):
        rig.send(rng.randbytes(rng.randrange(200)))
    assert rig.requests == []
    assert rig.dispatcher.counters.malformed > 1990
