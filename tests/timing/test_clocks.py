"""The machine's clock."""

from __future__ import annotations

from bridge.timing import clocks


def test_spinning_ends_at_the_deadline_and_not_before():
    clock = clocks.MachineClock()
    deadline_ns = clock.now_ns() + 200_000
    clock.spin_until(deadline_ns)
    assert clock.now_ns() >= deadline_ns


def test_waiting_sleeps_up_to_the_margin_and_ends_at_the_deadline(monkeypatch):
    clock, naps = clocks.MachineClock(), []
    monkeypatch.setattr(clock, "nap", naps.append)
    for ahead_ns in (3_000_000, clock.margin_ns // 2):  # too near to sleep
        deadline_ns = clock.now_ns() + ahead_ns
        clock.wait_until(deadline_ns)
        assert clock.now_ns() >= deadline_ns
    (slept_ns,) = naps
    assert 0 < slept_ns <= 3_000_000 - clock.margin_ns


def test_the_measured_margin_is_bounded(monkeypatch):
    clock = clocks.MachineClock()
    clock.calibrate()
    assert clocks.SMALLEST_MARGIN_NS <= clock.margin_ns <= clocks.LARGEST_MARGIN_NS
    monkeypatch.setattr(clock, "nap", lambda _ns: None)  # ends early: the smallest margin is enough
    clock.calibrate()
    assert clock.margin_ns == clocks.SMALLEST_MARGIN_NS
    readings = iter(range(0, 10**12, 50_000_000))  # every look at the time 50 ms later: ends very late
    monkeypatch.setattr(clocks.time, "perf_counter_ns", lambda: next(readings))
    clock.calibrate()
    assert clock.margin_ns == clocks.LARGEST_MARGIN_NS
