"""A whole bridge in an Ableton Link session, in a network of the test's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from link_room import in_a_network_of_its_own

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")


def test_the_bridge_plays_on_its_peers_beats_and_goes_on_alone(tmp_path: Path) -> None:
    found = in_a_network_of_its_own("bridge", str(tmp_path / "session"), timeout_s=110.0)
    assert found["joined_bpm"] == pytest.approx(150.0, abs=0.001), "the bridge was set to 90, and changed nothing"
    for part, least in (("followed", 10), ("faster", 10), ("ours", 5), ("again", 5)):
        assert len(found[part]) >= least, part
        assert max(found[part]) < 3.0, (part, found[part])
    assert found["gone"] == [1, pytest.approx(120.0, abs=0.01)], "the loop plays on, at the last tempo"
    assert not found["errors"]
