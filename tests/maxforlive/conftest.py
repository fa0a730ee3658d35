"""A rig with a fake Live, and a real bridge that lives for a whole file of tests."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from maxforlive.device_rig import Device, Rig
from maxforlive.device_talk import CLIP
from needs import need

from bridge.hosted import HostedBridge
from bridge.osc.client import OscClient


@pytest.fixture
def rig() -> Generator[Rig]:
    rig = Rig(need("node"))
    yield rig
    rig.end()


@pytest.fixture
def still_rig() -> Generator[Rig]:
    """A rig whose time moves only when it is told to."""
    rig = Rig(need("node"), virtual=True)
    yield rig
    rig.end()


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Generator[HostedBridge]:
    need("node")
    with HostedBridge(tmp_path_factory.mktemp("bridge"), ["midi.backend=none"]) as hosted:
        hosted.wait_until_ready()
        yield hosted


@pytest.fixture
def witness(bridge: HostedBridge) -> Generator[OscClient]:
    """A second client of the bridge, subscribed: it sees what the device sees; all voices are silent when it comes."""
    with bridge.client() as client:
        client.ask("/bridge/subscribe", client.port, answer="/bridge/ready")
        for voice in ("melody", "bass", "drums"):
            client.send(f"/{voice}/clear")
        client.ask("/bridge/ping", 1, answer="/bridge/pong")
        yield client
        client.send("/bridge/unsubscribe")


@pytest.fixture
def device(rig: Rig, bridge: HostedBridge, witness: OscClient) -> Device:
    """A fresh device that writes clips, ready."""
    made = Device(rig, bridge.osc[1], Output=CLIP)
    made.wait_ready()
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
