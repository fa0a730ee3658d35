"""A whole bridge in an Ableton Link session, in a network of the test's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from link_room import in_a_network_of_its_own
from whole_bridge import PATIENCE_S, eventually, subscribed

from bridge.hosted import HostedBridge

#: Python imports this by itself when it starts: the library is then as if it had never been installed.
WITHOUT_LINK = """
import importlib.machinery
finds = importlib.machinery.PathFinder.find_spec
def find_all_but_link(name, path=None, target=None):
    return None if name.split(".")[0] == "link" else finds(name, path, target)
importlib.machinery.PathFinder.find_spec = find_all_but_link
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")


def test_the_bridge_plays_on_its_peers_beats_and_goes_on_alone(tmp_path: Path) -> None:
    found = in_a_network_of_its_own("bridge", str(tmp_path / "session"), timeout_s=110.0)
    assert found["joined_bpm"] == pytest.approx(150.0, abs=0.001), "the bridge was set to 90, and changed nothing"
    for part, least in (("followed", 5), ("faster", 5), ("ours", 4), ("again", 4)):
        assert len(found[part]) >= least, part
        assert max(found[part]) < 3.0, (part, found[part])
    assert found["gone"] == [1, pytest.approx(120.0, abs=0.01)], "the loop plays on, at the last tempo"
    assert not found["errors"]


def test_without_the_library_the_bridge_says_what_to_do_and_keeps_time_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_LINK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        HostedBridge(tmp_path / "session", ["midi.backend=none", "clock.link=true"]) as hosted,
        subscribed(hosted) as user,
    ):

        def said() -> list[str]:
            return [line for line in hosted.lines if "run_bridge.py setup link" in line]

        eventually(said)
        assert said()[0].startswith("clock: Ableton Link is not installed")
        code, words = user.refused("/clock/source", "link")
        assert code == 4
        assert "run_bridge.py setup link" in words
        since = user.mark()
        user.send("/clock/tempo", 300.0)
        user.send("/clock/play")
        user.wait_for("/clock/beat", PATIENCE_S, since, lambda said: said.args == (2, 300.0, 1))
        assert not user.errors(since)
        assert len(said()) == 1
