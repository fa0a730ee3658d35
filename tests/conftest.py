"""What all tests share: hypothesis profiles, and the rule that a machine which has everything may skip nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

#: Set in CI, which installs every program that a test can need: a skip there hides a fault.
REQUIRE_ALL = os.environ.get("BARLINE_REQUIRE_ALL") == "1"
#: What no package brings: a skip whose reason names one of these is allowed even there.
HARDWARE = ("CUDA device", "processor with", "IPv6")

settings.register_profile("everyday", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("thorough", parent=settings.get_profile("everyday"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "everyday"))


def is_excused(reason: object) -> bool:
    """Whether a skip's reason names hardware that this machine need not have."""
    return any(part in str(reason) for part in HARDWARE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail") and not is_excused(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    if REQUIRE_ALL and report.skipped and not is_excused(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was skipped where nothing may be: {report.longrepr}"
    return report


#: Below those that systems give to who asks for any port, so that none of the other sockets gets one of them while a
#: test waits for its bridge; each of pytest's workers has a thousand of its own.
_PORTS = itertools.count(20_000 + 1000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")))


@pytest.fixture
def free_udp_port() -> int:
    """A UDP port of 127.0.0.1 that nobody has, and that nobody is given."""
    for port in _PORTS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there are more")
