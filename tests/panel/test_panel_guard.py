"""Who may speak with the panel: every way in which a stranger's page, or a name made to mean us, could ask."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.panel.guard import Guard, security_headers


async def nothing(*_: Any) -> None:
    raise AssertionError("a stranger came through")


def scope(kind: str = "http", path: str = "/", method: str = "GET", **headers: str) -> dict[str, Any]:
    listed = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": kind, "path": path, "method": method, "headers": listed}


def guard(host: str = "127.0.0.1", port: int = 9180) -> Guard:
    return Guard(nothing, host, port)


@pytest.mark.parametrize("host", ["127.0.0.1:9180", "localhost:9180", "LOCALHOST:9180", "[::1]:9180", "127.0.0.2:9180"])
def test_our_own_names(host: str) -> None:
    assert guard().stranger(scope(host=host)) == ""
    assert guard().stranger(scope("websocket", host=host, origin=f"http://{host.lower()}")) == ""


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:9180", "evil.example", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:9181", "192.168.1.5:9180", "",
        "127.0.0.1.evil.example:9180", "localhost.evil.example:9180", "0.0.0.0:9180", ":9180", "127.0.0.1:", "[::1",
        "127.0.0.1:9180:1", "127.0.0.1:9180x", "127.0.0.1:\u00b9", "user@127.0.0.1:9180", "127.0.0.1:9180/",
    ],
)  # fmt: skip
def test_names_that_dns_could_make_mean_us(host: str) -> None:
    assert guard().stranger(scope(host=host)) != ""


def test_no_host_and_two_hosts() -> None:
    assert guard().stranger(scope()) != ""
    double = scope(host="127.0.0.1:9180")
    double["headers"].append((b"Host", b"evil.example"))
    assert guard().stranger(double) != ""


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "https://127.0.0.1:9180", "http://127.0.0.1", "http://127.0.0.1:9181",
        "http://localhost:9180", "http://127.0.0.1:9180.evil.example", "file://", "", "http://127.0.0.1:9180/",
    ],
)  # fmt: skip
def test_other_origins(origin: str) -> None:
    for kind in ("http", "websocket"):
        assert guard().stranger(scope(kind, host="127.0.0.1:9180", origin=origin)) != ""


def test_a_socket_must_name_its_page() -> None:
    assert guard().stranger(scope("websocket", host="127.0.0.1:9180")) != ""
    assert guard().stranger(scope("http", host="127.0.0.1:9180")) == ""


def test_fetches_without_an_origin_say_where_they_come_from() -> None:
    ours = {"host": "127.0.0.1:9180"}
    for site in ("cross-site", "same-site"):
        assert guard().stranger(scope(path="/app.js", sec_fetch_site=site, sec_fetch_mode="no-cors", **ours)) != ""
        assert guard().stranger(scope(path="/", sec_fetch_site=site, sec_fetch_mode="cors", **ours)) != ""
        embedded = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"}
        assert guard().stranger(scope(path="/", sec_fetch_site=site, **embedded, **ours)) != ""
        link = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
        assert guard().stranger(scope(path="/", sec_fetch_site=site, **link, **ours)) == ""
        assert guard().stranger(scope(path="/bars/melody/1.mid", sec_fetch_site=site, **link, **ours)) != ""
    for site in ("same-origin", "none"):
        assert guard().stranger(scope(path="/app.js", sec_fetch_site=site, **ours)) == ""


def test_a_panel_opened_to_the_network_takes_addresses_but_no_names() -> None:
    opened = guard("0.0.0.0", 9180)
    assert opened.stranger(scope(host="192.168.1.5:9180")) == ""
    assert opened.stranger(scope(host="studio.example:9180")) != ""
    assert guard("studio.example").stranger(scope(host="studio.example:9180")) == ""


def test_headers_let_no_other_page_show_or_read_us() -> None:
    headers = dict(security_headers(b"127.0.0.1:9180"))
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self' ws://127.0.0.1:9180" in policy
    assert headers[b"cross-origin-resource-policy"] == b"same-origin"
