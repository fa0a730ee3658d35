"""Pages without sockets: what is said to whom, and that nothing grows without bound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_room import VOICE, Room

from bridge import limits
from bridge.music.notes import Bars, Note
from bridge.osc.decoder import Message, decode
from bridge.osc.encoder import encode
from bridge.panel.fanout import PAGE, Everyone
from bridge.panel.hub import Hub, Page
from bridge.panel.pace import Pace
from bridge.session.loops import Material


class House(Room):
    """A session whose outbox is the real fan-out, with a hub of pages."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        voices = {"melody": dict(VOICE), "drums": {**VOICE, "model": "drums-2bar", "channel": 10}}
        self.hub = Hub(voices, self.session.handle, lambda: self.session.stage, "1.2.3")
        self.session.stage.outbox = Everyone(self.words, self.hub)

    def page(self) -> Page:
        page = self.hub.join(lambda: None, lambda: None)
        assert page is not None
        return page

    def say(self, page: Page, address: str, *args: Any) -> bool:
        return self.hub.receive(page, encode(address, args))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def frames(page: Page) -> list[tuple[str, tuple[Any, ...]] | dict[str, Any]]:
    found: list[Any] = []
    while (frame := page.next_frame()) is not None:
        page.sent(frame)
        if isinstance(frame, str):
            found.append(json.loads(frame))
        else:
            message = decode(frame, 0, 0)
            assert isinstance(message, Message)
            found.append((message.address, message.arguments))
    return found


def addresses(page: Page) -> list[str]:
    return [frame[0] for frame in frames(page) if isinstance(frame, tuple)]


def test_a_page_that_comes_is_told_everything_and_the_others_nothing(house: House) -> None:
    house.new_loop()
    first = house.page()
    told = frames(first)
    assert told[0]["kind"] == "interface"  # type: ignore[call-overload]
    said = [frame[0] for frame in told if isinstance(frame, tuple)]
    assert said[:4] == ["/clock/state", "/melody/state", "/drums/state", "/bridge/ready"]
    assert said[4:] == ["/melody/bars/begin", "/melody/bars/notes", "/melody/bars/end"]
    memories = {frame["voice"]: frame for frame in told if isinstance(frame, dict) and frame["kind"] == "memory"}
    assert memories["melody"]["bars"] == [1]
    house.words.said.clear()
    house.page()
    assert not frames(first)
    assert not house.words.said


def test_answers_go_to_the_page_that_asked_and_events_to_all(house: House) -> None:
    one, other = house.page(), house.page()
    frames(one), frames(other)
    house.words.said.clear()
    house.say(one, "/bridge/ping", 7)
    assert frames(one)[0] == ("/bridge/pong", (7, "1.2.3", pytest.approx(0, abs=60), 1))
    assert not frames(other)
    house.say(one, "/melody/next", 2)
    house.answer()
    house.schedule()
    for page in (one, other):
        assert "/melody/bars/begin" in addresses(page)
    assert house.words.take("/melody/bars/begin"), "OSC subscribers hear what a page has asked for"


def test_refusals_are_those_of_osc_and_go_to_the_page(house: House) -> None:
    page = house.page()
    frames(page)
    for address, args, code in [
        ("/melody/nxt", (), 1), ("/melody/next", ("two",), 2), ("/melody/next", (17,), 3),
        ("/melody/swing", (80.0,), 3), ("/drums/morph", (0.5,), 5),
        ("/melody/store", ("e",), 5), ("/bridge/subscribe", (), 4), ("/*/nothing", (), 1),
    ]:  # fmt: skip
        assert house.say(page, address, *args)
        told = frames(page)
        assert told[0][0] == "/error", address  # type: ignore[index]
        assert told[0][1][:2] == (code, address)  # type: ignore[index]
    assert not house.words.take("/error")


def test_patterns_reach_every_voice(house: House) -> None:
    page = house.page()
    house.say(page, "/*/mute", 1)
    assert all(voice.muted_parts for voice in house.session.stage.voices.values())


def test_what_is_not_a_message_is_counted_and_harms_nothing(house: House) -> None:
    page = house.page()
    frames(page)
    bundle = b"#bundle\0" + bytes(7) + b"\1"
    for junk in (b"", b"\0", bundle, b"/melody/next", b"/melody/next\0\0\0\0,i\0\0", b"\xff" * 64):
        assert not house.hub.receive(page, junk)
    assert house.hub.counters.malformed == 6
    assert not frames(page)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    hub = _SHARED.setdefault("house", House(tmp_path_factory.mktemp("fuzz"))).hub
    page = hub.join(lambda: None, lambda: None)
    assert page is not None
    hub.receive(page, b"/" + junk)
    hub.leave(page)


_SHARED: dict[str, House] = {}


def test_what_a_voice_remembers_is_told_when_it_changes_and_only_then(house: House) -> None:
    house.new_loop()
    page = house.page()
    frames(page)
    house.time.run(1.0)
    house.say(page, "/melody/store", "a")
    house.time.run(1.0)
    news = [frame for frame in frames(page) if isinstance(frame, dict)]
    assert [frame["voice"] for frame in news] == ["melody"]
    assert list(news[0]["corners"]) == ["a"]
    house.say(page, "/melody/swing", 60.0)
    house.time.run(1.0)
    assert not [frame for frame in frames(page) if isinstance(frame, dict)]


def test_a_page_that_does_not_listen_is_dropped_within_a_bound(house: House) -> None:
    dropped: list[bool] = []
    slow = house.hub.join(lambda: None, lambda: dropped.append(True))
    assert slow is not None
    brisk = house.page()
    most = 0
    for count in range(200_000):
        house.hub.publish("/clock/beat", count, 120.0, 1)
        frames(brisk)
        most = max(most, slow._backlog_bytes)
        if dropped:
            break
    assert dropped == [True]
    assert most <= limits.MAX_PANEL_BACKLOG_BYTES
    assert not slow._waiting
    house.hub.publish("/clock/beat", 1, 120.0, 1)
    assert addresses(brisk) == ["/clock/beat"]
    house.hub.leave(slow)
    house.hub.publish("/clock/beat", 2, 120.0, 1)
    assert addresses(brisk) == ["/clock/beat"]


def test_a_page_is_let_in_however_much_there_is_to_tell_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen voices with long bars in all their corners are more than a page may ever be behind; the bound here is
    that of two.
    """
    monkeypatch.setattr(limits, "MAX_PANEL_BACKLOG_BYTES", limits.MAX_PANEL_BACKLOG_BYTES // 8)
    notes = tuple(Note(36 + index % 40, index / 9, 1 / 7, 90) for index in range(limits.MAX_LOOP_NOTES))
    for voice in house.session.stage.voices.values():
        voice.corners = dict.fromkeys("abcd", Material.of(Bars(notes, limits.MAX_LOOP_BEATS), 4.0))
    dropped: list[bool] = []
    page = house.hub.join(lambda: None, lambda: dropped.append(True))
    assert page is not None
    told = page._backlog_bytes
    assert told > limits.MAX_PANEL_BACKLOG_BYTES
    assert not dropped
    while not dropped:  # it does not read
        house.hub.publish("/clock/beat", 1, 120.0, 1)
        assert page._backlog_bytes <= 2 * told


def test_so_many_pages_and_no_more(house: House) -> None:
    pages = [house.page() for _ in range(limits.MAX_PANEL_CONNECTIONS)]
    assert house.hub.join(lambda: None, lambda: None) is None
    house.hub.leave(pages[0])
    assert house.page().origin[0] == PAGE


def test_an_answer_to_a_page_that_has_gone_goes_nowhere(house: House) -> None:
    page = house.page()
    house.say(page, "/melody/next")
    house.hub.leave(page)
    house.answer()
    house.schedule()
    assert house.words.take("/melody/bars/begin")


def test_the_pace_lets_bursts_through_and_holds_on_average() -> None:
    pace, now_ns, waited_s = Pace(1000, 100), 0, 0.0
    assert all(pace.wait_s(now_ns) == 0 for _ in range(99))
    for _ in range(5000):
        wait_s = pace.wait_s(now_ns)
        waited_s += wait_s
        now_ns += round(wait_s * 1e9)
    assert waited_s == pytest.approx(5.0, abs=0.15)
    slow = Pace(1000, 100)
    assert all(slow.wait_s(second * 1_100_000) == 0 for second in range(2000)), "a page below the pace never waits"
