"""Ableton Link with real peers, in a network of the test's own."""

from __future__ import annotations

import sys

import pytest
from link_room import in_a_network_of_its_own

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")


def test_three_peers_share_a_phase_and_a_start() -> None:
    found = in_a_network_of_its_own("phase")
    assert found["joined_bpms"] == pytest.approx([113.0, 113.0], abs=0.001)
    assert found["start_ms"] < 3.0
    assert len(found["apart_ms"]) == 160
    assert max(found["apart_ms"]) < 3.0
    assert found["error_ms"] < 3.0


def test_fifty_joins_leave_the_tempo_as_it_was() -> None:
    found = in_a_network_of_its_own("joins")
    assert all(bpm == pytest.approx(113.0, abs=0.001) for bpm in found["host_bpms"]), "Link itself rounds to whole us"
    assert len(found["joined_bpms"]) == 53
    assert all(bpm == pytest.approx(113.0, abs=0.001) for bpm in found["joined_bpms"])
