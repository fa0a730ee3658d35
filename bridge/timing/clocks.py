"""Time itself: the machine's clock, slept upon precisely."""

from __future__ import annotations

import ctypes
import select
import sys
import time
from typing import Final

TRIALS: Final = 24
TRIAL_NS: Final = 2_000_000
SPARE_NS: Final = 20_000
SMALLEST_MARGIN_NS: Final = 60_000  # below it a wake-up is never reliable
LARGEST_MARGIN_NS: Final = 400_000  # 80 events a second spin 3.2 % of a core at most


class MachineClock:
    """`time.perf_counter_ns`, with the margin by which a sleep must end early for the rest to be spun.

    The operating system ends a sleep late by an amount that differs between machines. It is measured once (`calibrate`)
    and bounded: a player that spins long burns a core.
    """

    def __init__(self) -> None:
        """With the largest margin until it is calibrated."""
        self.margin_ns = LARGEST_MARGIN_NS

    def now_ns(self) -> int:
        """The present moment, one clock for all processes of the machine."""
        return time.perf_counter_ns()

    def nap(self, duration_ns: int) -> None:
        """Sleep; the system ends it late, by what `calibrate` measured."""
        if sys.platform == "win32":
            time.sleep(duration_ns / 1e9)
        else:
            select.select((), (), (), duration_ns / 1e9)

    def calibrate(self) -> None:
        """Measure how late short sleeps end here (about 50 ms) and set the margin to their 90th percentile."""
        overslept = []
        for _ in range(TRIALS):
            began = time.perf_counter_ns()
            self.nap(TRIAL_NS)
            overslept.append(time.perf_counter_ns() - began - TRIAL_NS)
        overslept.sort()
        measured = overslept[int(0.9 * TRIALS)] + SPARE_NS
        self.margin_ns = min(max(measured, SMALLEST_MARGIN_NS), LARGEST_MARGIN_NS)

    def wait_until(self, deadline_ns: int) -> None:
        """Sleep to shortly before `deadline_ns`, and return at it."""
        nap_ns = deadline_ns - self.margin_ns - self.now_ns()
        if nap_ns > 0:
            self.nap(nap_ns)
        self.spin_until(deadline_ns)

    def spin_until(self, deadline_ns: int) -> None:
        """Return at `deadline_ns`, awake all the while: for the last fraction of a millisecond."""
        now_ns = time.perf_counter_ns
        while now_ns() < deadline_ns:
            pass


def ask_for_fine_timers() -> None:
    """Ask the system to end this process's sleeps promptly: 1 us of timer slack on Linux, 1 ms ticks on Windows."""
    if sys.platform == "win32":
        ctypes.windll.winmm.timeBeginPeriod(1)
    elif sys.platform == "linux":
        set_timer_slack = 29  # PR_SET_TIMERSLACK, linux/prctl.h
        ctypes.CDLL(None, use_errno=True).prctl(set_timer_slack, 1000, 0, 0, 0)
