"""The panel of a real bridge, spoken to by programs: what strangers get, what pages get, and how it comes and goes."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_client import PATIENCE_S, PageClient, get
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect
from whole_bridge import eventually, subscribed, user_of

from bridge import limits
from bridge.hosted import HostedBridge
from bridge.panel.web import STATIC

SETTINGS = ("panel.enabled=true", "panel.port=0", "midi.backend=none", "clock.tempo=400")


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedBridge]:
    with HostedBridge(tmp_path_factory.mktemp("panel"), SETTINGS) as hosted:
        hosted.wait_for_line("panel ")
        yield hosted


@pytest.fixture
def panel(bridge: HostedBridge) -> str:
    return str(eventually(lambda: bridge.processes()["panel"]))


def status_of_socket(panel: str, path: str = "/osc", **options: Any) -> int:
    """What a WebSocket handshake is answered with."""
    try:
        with connect(f"ws://{panel}{path}", **options):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


def test_it_is_said_and_bound_to_loopback(bridge: HostedBridge, panel: str) -> None:
    assert f"panel http://{panel}/" in bridge.lines
    assert panel.startswith("127.0.0.1:")


def test_the_page_and_all_it_refers_to(panel: str) -> None:
    status, headers, body = get(panel, "/")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "script-src 'self'" in headers["content-security-policy"]
    assert f"ws://{panel}" in headers["content-security-policy"]
    assert "server" not in headers
    names = set(re.findall(r'(?:href|src)="([^"]+)"', body.decode()))
    for script in STATIC.glob("*.js"):
        names |= {name.removeprefix("./") for name in re.findall(r'from "([^"]+)"', script.read_text(encoding="utf-8"))}
    assert {"app.js", "style.css", "icon.svg"} <= names
    for name in names:
        status, headers, _ = get(panel, f"/{name}")
        assert status == 200, name
        assert headers["cache-control"] == "no-cache"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert names | {"index.html"} == {file.name for file in STATIC.iterdir()}, "a file that nothing refers to, or none"


def test_a_page_from_elsewhere_gets_nothing(panel: str) -> None:
    port = panel.rpartition(":")[2]
    assert get(panel, "/", host=f"evil.example:{port}")[0] == 403
    assert get(panel, "/app.js", origin="http://evil.example")[0] == 403
    assert get(panel, "/app.js", sec_fetch_site="cross-site", sec_fetch_mode="no-cors")[0] == 403
    assert get(panel, "/app.js", sec_fetch_site="same-origin")[0] == 200
    for origin in ("http://evil.example", "null", f"https://{panel}", f"http://localhost:{port}", None):
        assert status_of_socket(panel, origin=origin) == 403, origin
    assert status_of_socket(panel, "/elsewhere", origin=f"http://{panel}") == 403
    rebound = f"evil.example:{port}"  # its DNS now says 127.0.0.1, and to the browser it is all one origin
    line = socket.create_connection(("127.0.0.1", int(port)))
    assert status_of_socket(rebound, origin=f"http://{rebound}", sock=line) == 403


@pytest.mark.parametrize(
    "path",
    [
        "/bars/melody/1.mid", "/bars/melody/999999.json", "/bars/nobody/1.mid", "/bars/melody/-1.mid",
        "/bars/melody/1e3.mid",
        "/bars/melody/../../state.json", "/bars/..%2f..%2fstate/1.mid", "/bars/melody/%2e%2e%2f1.mid", "/../web.py",
        "/%2e%2e/web.py", "/..%2fweb.py", "//etc/passwd", "/osc", "/bars/melody/1.mid/", "/index.html/x",
        "/bars/melody/" + "9" * 400 + ".mid",
    ],
)  # fmt: skip
def test_nothing_is_found_by_path(panel: str, path: str) -> None:
    assert get(panel, path)[0] == 404


def test_what_a_page_is_told_first(panel: str) -> None:
    with PageClient(panel) as page:
        page.wait_for("/bridge/ready")
        eventually(lambda: (page.settle(), len(page.news) >= 4)[1])
        interface = page.news[0]
        assert interface["kind"] == "interface"
        verbs = {route["verb"]: route for route in interface["routes"]}
        swing = verbs["swing"]["arguments"][0]
        assert (swing["low"], swing["high"], swing["kind"]) == (50, 75, "float")
        assert [voice["name"] for voice in interface["voices"]] == ["melody", "bass", "drums"]
        assert interface["voices"][2]["rest"]["quantize"] == 0.0
        assert page.memory("melody")["corners"] == {}


@pytest.mark.parametrize(
    ("address", "args"),
    [
        ("/melody/nothing", ()), ("/nobody/next", (2,)), ("/melody/next", (0,)), ("/melody/next", ("x",)),
        ("/melody/swing", (49.0,)), ("/melody/xy", (0.5,)), ("/drums/morph", (0.5,)), ("/melody/store", ("z",)),
        ("/melody/recall", (123456,)), ("/clock/tempo", (5.0,)), ("/bridge/nudge", ()),
        ("/melody/humanize", (float("nan"),)),
    ],
)  # fmt: skip
def test_the_same_refusals_in_the_same_words_as_by_osc(
    bridge: HostedBridge, panel: str, address: str, args: tuple[Any, ...]
) -> None:
    with PageClient(panel) as page, user_of(bridge) as user:
        by_osc = user.ask(address, *args, answer="/error").args
        assert page.ask(address, *args, answer="/error") == by_osc


def test_answers_are_for_the_page_that_asked_and_events_for_all(bridge: HostedBridge, panel: str) -> None:
    with PageClient(panel) as one, PageClient(panel) as other, subscribed(bridge) as user:
        one.settle(), other.settle()
        since = user.mark()
        one.send("/melody/transpose", 5)
        for page in (one, other):
            page.wait_for("/melody/state", lambda args: args[args.index("transpose") + 1] == 5)
        said = user.wait_for("/melody/state", PATIENCE_S, since, lambda m: m.args[m.args.index("transpose") + 1] == 5)
        assert said
        other.send("/drums/transpose", 99)
        other.wait_for("/error")
        one.settle()
        assert not [address for address, _ in one.said if address == "/error"]
        assert not [message for message in user.said(since) if message.address == "/error"]
        user.send("/melody/transpose", 0)
        one.wait_for("/melody/state", lambda args: args[args.index("transpose") + 1] == 0)


def test_the_clock_is_heard_beat_by_beat(panel: str) -> None:
    with PageClient(panel) as page:
        page.send("/clock/play")
        for beat in range(1, 5):
            page.wait_for("/clock/beat", lambda args, beat=beat: args[0] == beat and args[2] == 1)
        page.send("/clock/stop")
        page.wait_for("/clock/state", lambda args: args[1] == 0 and args[3] > 1)


def test_junk_harms_nothing_and_too_much_at_once_ends_the_line(panel: str) -> None:
    with PageClient(panel) as page:
        bundle = b"#bundle\0\0\0\0\0\0\0\0\1"
        for junk in (b"", b"\0\0\0\0", bundle, b"/melody/next\0\0", os.urandom(2000), "text", "{}"):
            page.socket.send(junk)
        page.settle()
    with PageClient(panel) as page:
        page.socket.send(b"/" + bytes(limits.MAX_DATAGRAM_BYTES))
        assert page.close_code() == 1009


def test_so_many_pages_and_the_next_is_sent_away(panel: str) -> None:
    with PageClient(panel) as witness:
        pages = [PageClient(panel) for _ in range(limits.MAX_PANEL_CONNECTIONS - 1)]
        with PageClient(panel) as late:
            assert late.close_code() == 1013
        for page in pages:
            page.close()
        witness.settle()
    with PageClient(panel) as page:
        page.settle()


def test_a_page_that_does_not_read_is_cut_off_and_the_others_do_not_notice(panel: str) -> None:
    with PageClient(panel) as witness, PageClient(panel, max_queue=1) as deaf:
        witness.settle()
        assert deaf.send_until_cut("/bridge/state")
        begun = time.monotonic()
        witness.settle()
        assert time.monotonic() - begun < 5


def test_a_port_that_is_taken_is_said_and_the_bridge_plays_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with HostedBridge(tmp_path, (*SETTINGS, f"panel.port={port}")) as bridge:
            words = bridge.wait_for_line("no panel: ")
            assert f"TCP port {port} on 127.0.0.1 is taken" in words
            with user_of(bridge) as user:
                user.ask("/bridge/ping", 1, answer="/bridge/pong")
            assert eventually(lambda: "panel" in bridge.processes())
            assert bridge.processes()["panel"] is None


def test_after_a_restart_of_the_bridge_process_it_is_back_where_it_was(bridge: HostedBridge, panel: str) -> None:
    with PageClient(panel) as page:
        page.send("/melody/transpose", 7)
        page.wait_for("/melody/state", lambda args: args[args.index("transpose") + 1] == 7)
        time.sleep(0.3)  # what the page has changed is on disk ten times a second
        os.kill(bridge.processes()["bridge.main"], signal.SIGKILL)
        assert page.close_code() is None

    def again() -> PageClient | None:
        try:
            return PageClient(panel)
        except (OSError, WebSocketException):  # refused, or let go in the middle of the greeting
            return None

    with eventually(again) as page:
        state = page.ask("/bridge/state", answer="/melody/state")
        assert state[state.index("transpose") + 1] == 7
        page.ask("/melody/transpose", 99, answer="/error")
    assert bridge.processes()["panel"] == panel


def test_without_a_page_in_the_settings_there_is_none(tmp_path: Path) -> None:
    with HostedBridge(tmp_path, ("midi.backend=none",)) as bridge:
        eventually(lambda: (tmp_path / "run.json").exists())
        assert bridge.processes()["panel"] is None
        with user_of(bridge) as user:
            user.ask("/bridge/ping", 1, answer="/bridge/pong")
        assert not [line for line in bridge.lines if line.startswith("panel")]
