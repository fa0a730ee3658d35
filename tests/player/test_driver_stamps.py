"""Moments of received messages: the driver's spacing, whatever Python's callback waited for."""

from __future__ import annotations

import random

from bridge.player.stamps import LONGEST_WAIT_NS, DriverStamps

S = 1_000_000_000


def test_what_the_callback_waited_is_taken_out():
    rng = random.Random(4)
    stamps = DriverStamps()
    errors_ms = []
    last_s = 0.0
    for k in range(4800):  # 100 s of clock at 120 BPM; the lock is waited for up to 12 ms
        true_s = k / 48
        now_ns = 7 * S + round(true_s * S) + round(rng.expovariate(1 / 0.002) * S if rng.random() < 0.5 else 50_000)
        now_ns = min(now_ns, 7 * S + round((true_s + 0.012) * S))
        stamp_ns = stamps.of(now_ns, true_s - last_s)
        last_s = true_s
        assert stamp_ns <= now_ns
        errors_ms.append((stamp_ns - 7 * S - true_s * S) / 1e6)
    assert max(map(abs, errors_ms[100:])) < 0.3


def test_a_driver_that_loses_time_is_taken_at_our_own_word():
    """A delta that was swallowed with a filtered message leaves the driver's sum behind for ever."""
    stamps = DriverStamps()
    stamps.of(S, 0.0)
    assert stamps.of(2 * S, 0.5) == 2 * S
    assert stamps.of(2 * S + 20_000_000, 0.02) == 2 * S + 20_000_000


def test_moments_never_go_back():
    rng = random.Random(9)
    stamps = DriverStamps()
    now_ns, last_ns = S, 0
    for _ in range(2000):
        now_ns += rng.randrange(1, 40_000_000)
        stamp_ns = stamps.of(now_ns, rng.random() * 0.04)
        assert last_ns <= stamp_ns <= now_ns
        assert now_ns - stamp_ns <= 2 * LONGEST_WAIT_NS
        last_ns = stamp_ns
