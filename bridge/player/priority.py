"""Asking the system to wake this process first: a player that waits for its turn plays late."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import Final

log = logging.getLogger(__name__)

ROUND_ROBIN_PRIORITY: Final = 5  # above everything ordinary, below JACK and the sound drivers (10 and more)
LONGEST_RUN_US: Final = 400_000  # without ever sleeping: beyond it something is wrong, and the rest may not suffer
NICENESS: Final = -10


def ask_for_promptness(above: int = 0) -> str:
    """Take the best scheduling the user may have: round robin on Linux (sound users usually may), a negative niceness,
    the high class on Windows. What was had, in words.

    Args:
        above: steps over the player's own, for a process that must take over from it at once.
    """
    if sys.platform == "win32":
        import ctypes

        high_priority_class = 0x80
        kernel = ctypes.windll.kernel32
        had = kernel.SetPriorityClass(kernel.GetCurrentProcess(), high_priority_class)
        return "high priority class" if had else "normal priority"
    if sys.platform == "linux" and _take_round_robin(ROUND_ROBIN_PRIORITY + above):
        return "round robin scheduling"
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    except OSError:
        return "normal priority"
    return f"niceness {NICENESS}"


def _take_round_robin(priority: int) -> bool:
    """Round robin, handed to no child, and given back when the process runs on and on."""
    assert sys.platform == "linux"
    import resource

    try:
        hard = resource.getrlimit(resource.RLIMIT_RTTIME)[1]
        signal.signal(signal.SIGXCPU, _give_back)
        resource.setrlimit(resource.RLIMIT_RTTIME, (LONGEST_RUN_US, hard))
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except (OSError, ValueError):
        return False
    return True


def _give_back(_number: int, _frame: FrameType | None) -> None:
    assert sys.platform == "linux"
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    log.warning("ran for %d ms without a pause; back to ordinary scheduling", LONGEST_RUN_US // 1000)
