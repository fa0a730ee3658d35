"""The page in a real browser on a panel without engine and player: what it shows after another voice or bridge came."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from browser import Browser
from session_room import VOICE, Room

from bridge import messages
from bridge.panel.fanout import Everyone
from bridge.panel.hub import Hub
from bridge.panel.server import PanelServer

VOICES = {"melody": dict(VOICE), "drums": {**VOICE, "model": "drums-2bar", "channel": 10}}
LEFTMOST = """(() => {
  const canvas = document.querySelector('.recall[data-id="1"] canvas');
  if (!canvas || !canvas.width || !canvas.height) return -1;
  const { data, width } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const first = data.findIndex((value, at) => at % 4 === 3 && value);
  return first < 0 ? -1 : Math.floor(first / 4) % width;
})()"""


class Stand:
    """A room's panel, served by a thread; everything of the room is done there."""

    def __init__(self, folder: Path, token: str, port: int = 0) -> None:
        folder.mkdir(exist_ok=True)
        self.room = Room(folder, token=token)
        hub = Hub(VOICES, self.room.session.handle, lambda: self.room.session.stage, "1")
        self.room.session.stage.outbox = Everyone(self.room.words, hub)
        self.panel = PanelServer(hub)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._wanted_port = port

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.panel.start("127.0.0.1", self._wanted_port), self._loop).result(20)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.panel.close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    def do(self, action: Callable[[], Any]) -> Any:
        async def act() -> Any:
            done = action()
            self.room.time.run(1.0)  # what is told by and by
            return done

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(20)

    def bars(self, *starts: float) -> int:
        """Bars of the melody that wait, with these notes."""

        def make() -> int:
            self.room.ask("next")
            self.room.answer(*starts)
            return int(self.room.schedule().id)

        return int(self.do(make))

    @property
    def url(self) -> str:
        return f"http://{self.panel.address}/"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium


@pytest.mark.parametrize("reloaded", [False, True])
def test_bars_of_another_folder_are_not_taken_for_those_of_the_one_before(
    browser: Browser, tmp_path: Path, reloaded: bool
) -> None:
    def seen(stand: Stand) -> int:
        tab.until("document.querySelector('.recall[data-id=\"1\"]') !== null")
        tab.until(f"{LEFTMOST} >= 0")
        note = "fetch('/bars/melody/1.json').then(answer => answer.json()).then(bars => bars.notes[0][1])"
        assert tab.js(note) == stand.room.voice.pending.bars.notes[0].start
        return int(tab.js(LEFTMOST))

    with Stand(tmp_path / "one", "one") as stand:
        stand.bars(0.0)
        port = stand.panel.port
        tab = browser.tab(stand.url)
        before = seen(stand)
    with tab, Stand(tmp_path / "two", "two", port) as stand:
        stand.bars(6.0)
        if reloaded:
            tab.go(stand.url)
        tab.until(f"{LEFTMOST} > {before} + 5")
        assert seen(stand) > before


def test_a_page_that_comes_late_knows_when_bars_that_wait_begin(browser: Browser, tmp_path: Path) -> None:
    with Stand(tmp_path, "t") as stand:
        waiting = stand.bars(0.0)
        stand.do(lambda: stand.room.session.from_player(messages.Scheduled("melody", waiting, 400.0)))
        with browser.tab(stand.url) as tab:
            tab.until("document.querySelector('.lane[data-voice=melody] .when')?.textContent.startsWith('in 3')")


def test_knobs_are_those_of_the_voice_that_was_chosen_just_after_a_turn(browser: Browser, tmp_path: Path) -> None:
    with Stand(tmp_path, "t") as stand, browser.tab(stand.url) as tab:
        tab.until("document.querySelector('.knob[data-name=register]') !== null")
        tab.js(
            "document.querySelector('.knob[data-name=register]')"
            ".dispatchEvent(new KeyboardEvent('keydown', {key: 'PageUp', bubbles: true}))"
        )
        stand.do(lambda: stand.room.session.stage.publish_state(stand.room.voice))
        tab.click(".lane[data-voice=drums] .choose")
        tab.until("document.querySelector('.knob[data-name=fill]') !== null")
        tab.js("new Promise(done => setTimeout(done, 900))")
        assert tab.js("document.querySelector('.knob[data-name=fill]') !== null")
        assert tab.js("document.querySelector('.knob[data-name=register]') === null")
        assert stand.room.refusal("attribute", name="register", amount=0.0) == 0


def test_bars_that_sound_once_are_not_shown_as_sounding_when_they_have(browser: Browser, tmp_path: Path) -> None:
    over = "document.querySelector('.lane[data-voice=melody]').classList.contains('over')"
    head = "getComputedStyle(document.querySelector('.lane[data-voice=melody] .head')).opacity"
    with contextlib.ExitStack() as stack:
        stand = stack.enter_context(Stand(tmp_path, "t"))
        loop_id = stand.bars(*range(8))
        stand.do(lambda: stand.room.time.run(60.0))
        tab = stack.enter_context(browser.tab(stand.url))
        tab.until("document.querySelector('.lane[data-voice=melody]') !== null")
        here = int(stand.room.session.stage.clock.beat_at(stand.room.time.ns))

        def launched(start: float) -> None:
            stand.room.session.from_player(messages.Launched("melody", loop_id, start, start))

        stand.do(lambda: launched(here - 16.0))
        tab.until("document.querySelector('.lane[data-voice=melody]').classList.contains('hasloop')")
        assert not tab.js(over), "it goes round"
        stand.do(lambda: stand.room.ask("jam", how="respond", bars=1))
        tab.until(over)
        assert float(tab.js(head)) == 0.0
        stand.do(lambda: launched(here + 400.0))
        tab.until(f"!{over}")
        stand.do(lambda: launched(here - 16.0))
        tab.until(over)
        stand.do(lambda: stand.room.ask("jam", how="off", bars=1))
        tab.until(f"!{over}")
        stand.do(lambda: launched(here - 8.0))  # the round that it is in will soon be over
        stand.do(lambda: stand.room.ask("loop", on=False))
        tab.until(over, timeout_s=10)


def test_whose_turn_it_is_in_a_jam_is_seen_by_who_comes_late_too(browser: Browser, tmp_path: Path) -> None:
    turn = "document.querySelector('.lane[data-voice=melody] .turn')?.textContent"
    with contextlib.ExitStack() as stack:
        stand = stack.enter_context(Stand(tmp_path, "t"))
        stage, voice = stand.room.session.stage, stand.room.voice
        tab = stack.enter_context(browser.tab(stand.url))
        tab.until(f"{turn} === ''")
        stand.do(lambda: stand.room.ask("jam", how="respond", bars=1))
        tab.until(f"{turn} === 'your turn'")
        here = stage.clock.beat_at(stand.room.time.ns)
        stand.do(lambda: stage.tell_phase(voice, "listen", here, 400.0, ("", 0)))
        listens = f"/^listens, 3[0-9][0-9] to go$/.test({turn})"
        tab.until(listens)
        late = stack.enter_context(browser.tab(stand.url))
        late.until(listens)
        stand.do(lambda: stand.room.ask("jam", how="off", bars=1))
        late.until(f"{turn} === ''")
