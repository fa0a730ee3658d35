"""Who binds, who asks and who sees whether a port is free mean the same socket, whatever a host's name stands for."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from needs import has_ipv6

from bridge.addresses import resolve
from bridge.osc.client import OscClient
from bridge.osc.server import OscServer
from bridge.panel.hub import Hub
from bridge.panel.server import PanelError, PanelServer
from bridge.running import can_bind, is_bridge

Info = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


@pytest.fixture
def ipv6_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that names its IPv6 address first, as macOS does of localhost."""

    def both(host: str, port: int, *, type: socket.SocketKind) -> list[Info]:  # noqa: A002 - as it is called
        assert host == "localhost"
        six: Info = (socket.AF_INET6, type, 0, "", ("::1", port, 0, 0))
        return [six, (socket.AF_INET, type, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", both)


@pytest.mark.usefixtures("ipv6_first")
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_ipv4_goes_before_ipv6(kind: socket.SocketKind) -> None:
    assert resolve("localhost", 9100, kind) == (socket.AF_INET, kind, 0, ("127.0.0.1", 9100))


def test_an_ipv6_address_is_one() -> None:
    family, kind, _, place = resolve("::1", 9100, socket.SOCK_DGRAM)
    assert (family, kind, place[:2]) == (socket.AF_INET6, socket.SOCK_DGRAM, ("::1", 9100))


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "no.such.host.invalid"])
def test_a_name_that_is_none_is_told_as_such(host: str) -> None:
    with pytest.raises(OSError, match=r"host|[Nn]ame"):
        resolve(host, 9100, socket.SOCK_DGRAM)


def test_the_panel_tells_it_too() -> None:
    panel = PanelServer(Hub({}, lambda _request: None, lambda: None, "1"))  # type: ignore[arg-type,return-value]
    with pytest.raises(PanelError, match=r"panel.host = a\.\.b"):
        asyncio.run(panel.start("a..b", 0))


def seen(host: str) -> tuple[bool, bool, int]:
    """What others find where a bridge listens: whether its port is free, whether it answers, and what it answers."""

    def look(port: int) -> tuple[bool, bool, int]:
        with OscClient(host, port) as client:
            pong = client.ask("/bridge/ping", 7, answer="/bridge/pong")
        return can_bind(host, port), is_bridge(host, port), pong.args[0]

    async def life() -> tuple[bool, bool, int]:
        server = OscServer(["melody"], lambda _: None, version="1", ready=lambda: True, send_state=lambda _: None)
        server.start(host, 0)
        try:
            return await asyncio.to_thread(look, server.port)
        finally:
            server.close()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(life())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_all_find_the_bridge_that_listens(host: str) -> None:
    assert seen(host) == (False, True, 7)


@pytest.mark.skipif(not has_ipv6(), reason="a machine without IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_all_find_one_that_listens_on_ipv6(host: str) -> None:
    assert seen(host) == (False, True, 7)


@pytest.mark.usefixtures("ipv6_first")
def test_all_find_one_on_a_name_whose_first_address_is_of_ipv6() -> None:
    assert seen("localhost") == (False, True, 7)
