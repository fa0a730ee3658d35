"""How the panel starts: after the bridge answers, and if it cannot, with one sentence."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from page_client import get
from session_room import Room

from bridge.panel.hub import Hub
from bridge.panel.server import PanelError, PanelServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def panel(tmp_path: Path) -> PanelServer:
    room = Room(tmp_path)
    return PanelServer(Hub({}, room.session.handle, lambda: room.session.stage, "1"))


def why_not(panel: PanelServer, host: str, port: int) -> str:
    with pytest.raises(PanelError) as fault:
        asyncio.run(panel.start(host, port))
    assert str(fault.value).startswith("no panel: ")
    asyncio.run(panel.close())
    return str(fault.value)


def test_the_web_libraries_are_not_there_until_the_bridge_answers() -> None:
    web = "[name for name in ('starlette', 'uvicorn', 'websockets', 'anyio', 'h11') if name in sys.modules]"
    command = [sys.executable, "-P", "-c", f"import json, sys, bridge.main; print(json.dumps({web}))"]
    result = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
    )
    assert json.loads(result.stdout) == []


@pytest.mark.parametrize("missing", ["uvicorn", "starlette.applications", "websockets.server"])
def test_a_missing_library_is_named(panel: PanelServer, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in [name for name in sys.modules if name.startswith(("uvicorn.protocols.websockets", "bridge.panel.web"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    words = why_not(panel, "127.0.0.1", 0)
    assert missing.partition(".")[0] in words
    assert "pip install starlette uvicorn websockets" in words


def test_a_taken_port_is_named(panel: PanelServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"TCP port {port} on 127.0.0.1 is taken" in why_not(panel, "127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_an_address_of_another_machine_is_named(panel: PanelServer, host: str) -> None:
    assert host in why_not(panel, host, 0)


def test_it_serves_and_ends_and_the_port_is_free_again(panel: PanelServer) -> None:
    async def life() -> tuple[int, int]:
        await panel.start("127.0.0.1", 0)
        assert panel.warning == ""
        status = (await asyncio.to_thread(get, panel.address, "/"))[0]
        await panel.close()
        await panel.close()
        return status, panel.port

    status, port = asyncio.run(life())
    assert status == 200
    socket.create_server(("127.0.0.1", port)).close()


def test_an_open_panel_is_warned_of(panel: PanelServer) -> None:
    async def life() -> str:
        await panel.start("0.0.0.0", 0)
        await panel.close()
        return panel.warning

    assert "any machine that reaches it" in asyncio.run(life())
