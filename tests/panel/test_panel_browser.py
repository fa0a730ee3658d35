"""The panel in a real browser against a real bridge: what a player sees, touches and hears."""

from __future__ import annotations

import http.server
import itertools
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Tab
from whole_bridge import PATIENCE_S, Recorder, Row, User, bars_said, eventually, flat, rows, subscribed

from bridge.hosted import HostedBridge
from bridge.osc.routes import ROUTES, VOICE

VOICES = {"melody": ("melody-2bar", 1), "bass": ("melody-2bar", 2), "drums": ("drums-2bar", 10)}
SETTINGS = (
    "panel.enabled=true", "panel.port=0", "midi.backend=none", "clock.tempo=120",
    *(f"voices.{name}.model={model}" for name, (model, _) in VOICES.items()),
    *(f"voices.{name}.channel={channel}" for name, (_, channel) in VOICES.items()),
)  # fmt: skip
CORNERS = {
    slot: tuple(Row(base + step % 4, step * 1.0, 0.5, 90, 0) for step in range(8))
    for slot, base in (("a", 50), ("b", 60), ("c", 70), ("d", 80))
}
PLAYING = "document.body.classList.contains('running')"
READY = "document.body.classList.contains('ready')"
FRAMES = """new Promise(done => {
  let count = 0;
  const begun = performance.now();
  const frame = now => {
    count += 1;
    if (now - begun < 2000) requestAnimationFrame(frame);
    else done(count / (now - begun) * 1000);
  };
  requestAnimationFrame(frame);
})"""


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedBridge]:
    with HostedBridge(tmp_path_factory.mktemp("stage"), SETTINGS) as hosted:
        hosted.wait_until_ready()
        yield hosted


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium


@pytest.fixture
def user(bridge: HostedBridge) -> Iterator[User]:
    """A subscriber by OSC, for whom everything is as at the start, but for the history."""
    with subscribed(bridge) as user:
        user.send("/clock/stop")
        user.send("/clock/tempo", 120.0)
        for voice in VOICES:
            for request in ("clear", "play"):
                user.send(f"/{voice}/{request}")
            user.send(f"/{voice}/launch", "bar")
            user.send(f"/{voice}/mute", 0)
            for slot, notes in CORNERS.items():
                user.send(f"/{voice}/store", slot, 8.0, *flat(notes))
        user.settle()
        yield user
        user.send("/clock/stop")
        user.settle()


@pytest.fixture
def url(bridge: HostedBridge) -> str:
    return f"http://{eventually(lambda: bridge.processes()['panel'])}/"


@pytest.fixture
def page(browser: Browser, url: str, user: User) -> Iterator[Tab]:
    """The page, ready; it must not complain."""
    with browser.tab(url) as tab:
        tab.until(READY)
        yield tab
        assert not tab.complaints


def lane(voice: str, has: str) -> str:
    return f"document.querySelector('.lane[data-voice={voice}]').classList.contains('{has}')"


def painted(selector: str) -> str:
    """How many pixels of a canvas are not empty."""
    return (
        f"(() => {{ const c = document.querySelector({json.dumps(selector)});"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 == 3 && v).length"
        "; })()"
    )


def sounding(tab: Tab, user: User, voice: str = "melody") -> int:
    """Let a voice sound by the page's own Next; the id of its bars."""
    tab.click(f".lane[data-voice={voice}] .choose")
    since = user.mark()
    tab.click("button[data-verb=next]")
    heard = user.bars_since(voice, since)
    if not tab.js(PLAYING):
        tab.click("#run")
    user.launched(heard, voice, since)
    tab.until(lane(voice, "hasloop"))
    return heard.id


def test_a_click_becomes_bars_that_are_seen_before_they_sound(bridge: HostedBridge, page: Tab, user: User) -> None:
    recorder = Recorder(bridge)
    sounding(page, user)
    eventually(lambda: len(recorder.played()) > 4, what="nothing sounds")
    user.send("/clock/tempo", 60.0)
    user.send("/melody/launch", "loop")
    user.settle()
    since = user.mark()
    page.click("button[data-verb=next]")
    heard = user.bars_since("melody", since)
    page.until(lane("melody", "hascoming"))
    page.until(painted(".lane[data-voice=melody] .coming canvas") + " > 50")  # it is painted in the next frame
    assert not [said for said in user.said(since) if said.address == "/melody/launched"], "seen only once it sounded"
    assert page.js("document.querySelector('.lane[data-voice=melody] .when').textContent").startswith("in ")
    user.send("/clock/tempo", 400.0)
    user.launched(heard, "melody", since)
    page.until(f"!{lane('melody', 'hascoming')}")
    recorder.close()


def test_the_playhead_goes_with_the_song(page: Tab, user: User) -> None:
    sounding(page, user)
    place = "new DOMMatrix(document.querySelector('.lane[data-voice=melody] .head').style.transform).m41"
    width = page.js("document.querySelector('.lane[data-voice=melody] .roll').clientWidth")
    length = user.state("melody")["length"]
    samples = page.js(
        "new Promise(done => { const seen = []; const f = now => { seen.push([now, "
        f"{place}]); seen.length < 90 ? requestAnimationFrame(f) : done(seen); }}; requestAnimationFrame(f); }})"
    )
    speed_px_per_ms = width / (length * 500.0)  # 120 BPM: 500 ms a beat
    strays = 0
    for (t0, x0), (t1, x1) in itertools.pairwise(samples):
        moved = (x1 - x0) % width
        strays += abs(moved - (t1 - t0) * speed_px_per_ms) > 0.02 * width
    assert strays <= 2, samples


def test_the_pad_morphs_while_the_loop_plays(page: Tab, user: User) -> None:
    sounding(page, user)
    x, y, width, height = page.box("#pad")
    since = user.mark()
    page.mouse("pressed", x + width * 0.5, y + height * 0.5)
    for step in range(20):
        page.mouse("moved", x + width * (0.5 + step * 0.02), y + height * (0.5 - step * 0.02))
    page.mouse("released", x + width * 0.88, y + height * 0.12)
    user.state_when("melody", lambda state: abs(state["x"] - 0.88) < 0.02 and abs(state["y"] - 0.88) < 0.02)
    heard = eventually(lambda: bars_said(user.said(since), "melody"))
    page.mouse("pressed", x + width * 0.5, y + height * 0.5)
    page.mouse("moved", x + 1, y + height - 1)  # the corner itself: what was stored there sounds exactly
    page.mouse("released", x + 1, y + height - 1)
    user.state_when("melody", lambda state: (state["x"], state["y"]) == (0.0, 0.0))
    eventually(lambda: {note.pitch for note in bars_said(user.said(since), "melody")[-1].notes} == {50, 51, 52, 53})
    assert len({bars.id for bars in bars_said(user.said(since), "melody")}) <= 2, "one gesture keeps one id"
    assert heard[0].id
    assert not user.errors(since)


def test_it_answers_within_the_frame_it_was_touched_in(page: Tab, user: User) -> None:
    moved = page.js(
        "(() => { const pad = document.querySelector('#pad'), thumb = pad.querySelector('.thumb');"
        " const box = pad.getBoundingClientRect(); const before = thumb.style.transform;"
        " const at = {clientX: box.x + box.width * .3, clientY: box.y + box.height * .3, bubbles: true, pointerId: 1};"
        " pad.setPointerCapture = () => {}; pad.dispatchEvent(new PointerEvent('pointerdown', at));"
        " const after = thumb.style.transform; pad.dispatchEvent(new PointerEvent('pointerup', at));"
        " return before !== after; })()"
    )
    assert moved is True
    user.state_when("melody", lambda state: abs(state["x"] - 0.3) < 0.01 and abs(state["y"] - 0.7) < 0.01)


def test_fingers(page: Tab, user: User) -> None:
    page.resize(390, 844, touch=True)
    page.until("document.querySelector('#pad').clientWidth > 100")
    x, y, width, height = page.box("#pad")
    page.touch("Start", (x + width * 0.2, y + height * 0.2))
    for step in range(10):
        page.touch("Move", (x + width * (0.2 + step * 0.05), y + height * 0.5))
    page.touch("End")
    user.state_when("melody", lambda state: abs(state["x"] - 0.65) < 0.02 and abs(state["y"] - 0.5) < 0.02)
    x, y, width, height = page.box(".knob[data-verb=swing]")
    page.touch("Start", (x + width / 2, y + height / 2))
    page.touch("Move", (x + width / 2, y + height / 2 - 64))
    page.touch("End")
    user.state_when("melody", lambda state: abs(state["swing"] - 60.0) < 0.5)
    user.send("/melody/swing", 50.0)
    page.until("document.querySelector('.knob[data-verb=swing]').getAttribute('aria-valuenow') === '50'")


def test_attributes_of_the_voice_s_model_are_knobs(page: Tab, user: User) -> None:
    page.until("document.querySelector('.knob[data-name=register]') !== null")
    assert page.js("document.querySelector('.knob[data-name=fill]')") is None
    key = "new KeyboardEvent('keydown', {key: 'PageUp', bubbles: true})"
    for name in ("density", "register"):
        page.js(f"document.querySelector('.knob[data-name={name}]').dispatchEvent({key})")
    user.state_when("melody", lambda state: state["attributes"] == "density 0.2 register 0.2")
    user.send("/melody/attribute", "register", 0.0)
    user.send("/melody/latent", 1, -1.5)
    way = ".knob[data-verb=latent][data-name='1']"
    page.until(f"document.querySelector(\"{way}\").getAttribute('aria-valuenow') === '-1.50'")
    user.send("/melody/latent", 1, 0.0)
    user.send("/melody/attribute", "density", 0.0)
    page.until("document.querySelector('.knob[data-name=density]').getAttribute('aria-valuenow') === '0.00'")
    page.click(".lane[data-voice=drums] .choose")
    page.until("document.querySelector('.knob[data-name=fill]') !== null")
    assert page.js("document.querySelector('.knob[data-name=register]')") is None


def test_the_past_comes_back_with_one_click_and_goes_out_as_a_file(page: Tab, user: User) -> None:
    first = sounding(page, user)
    second = sounding(page, user)
    assert first != second
    page.until(f"document.querySelector('.recall[data-id=\"{first}\"]') !== null")
    since = user.mark()
    page.click(f'.recall[data-id="{first}"]')
    assert user.wait_for("/melody/launched", PATIENCE_S, since).args[0] == first
    page.until(f"document.querySelector('.recall[data-id=\"{first}\"]').getAttribute('aria-current') === 'true'")
    page.until(painted(f'.recall[data-id="{first}"] canvas'))
    link = f"document.querySelector('.recall[data-id=\"{first}\"]').parentElement.querySelector('a')"
    file = page.js(f"fetch({link}.href).then(a => a.arrayBuffer()).then(b => [...new Uint8Array(b).slice(0, 4)])")
    assert bytes(file) == b"MThd"
    assert page.js(f"{link}.download") == f"melody-{first}.mid"
    dragged = page.js(
        "(() => { const data = new DataTransfer(); const event = new DragEvent('dragstart', {dataTransfer: data, "
        f"bubbles: true}}); {link}.dispatchEvent(event); return data.getData('DownloadURL'); }})()"
    )
    assert dragged.startswith(f"audio/midi:melody-{first}.mid:http://127.0.0.1:")


def test_what_another_hand_does_is_seen(page: Tab, user: User) -> None:
    user.send("/melody/swing", 62.0)
    page.until("document.querySelector('.knob[data-verb=swing]').getAttribute('aria-valuenow') === '62'")
    user.send("/drums/mute", 1)
    page.until("document.querySelector('.lane[data-voice=drums] .mute').getAttribute('aria-pressed') === 'true'")
    user.send("/melody/swing", 50.0)
    user.send("/clock/tempo", 97.5)
    page.until("document.querySelector('#tempo').value === '97.5'")


def test_a_refusal_is_said_in_the_bridges_words(page: Tab, user: User) -> None:
    page.js("document.querySelector('#more').open = true")
    page.click("form[data-verb=random_seed] button")  # without a number
    page.until("document.querySelector('#toast').textContent.includes('takes seed:i')")


def test_every_request_is_there_with_its_words(page: Tab) -> None:
    shown = page.js("[...document.querySelectorAll('[data-verb]')].map(e => [e.dataset.verb, e.title])")
    titles: dict[str, set[str]] = {}
    for verb, title in shown:
        titles.setdefault(verb, set()).add(title)
    runs = {"seed", "seed/begin", "seed/notes", "seed/end", "xy", "morph", "recall", "store", "undo", "redo", "play"}
    for route in ROUTES:
        if route.scope == VOICE and route.verb not in runs:
            assert route.verb in titles, f"{route.verb} is nowhere on the page"
            assert any(title.startswith(route.text) for title in titles[route.verb]), titles[route.verb]


def test_the_keyboard_alone_is_enough(page: Tab, user: User) -> None:
    since = user.mark()
    page.key("n")
    first = user.bars_since("melody", since)
    page.key(" ")
    page.until(PLAYING)
    user.launched(first, "melody", since)
    for slot in "ABCD":
        page.key(slot, shift=True)
    page.key("x")
    page.until("document.activeElement.id === 'pad'")
    page.key("Home")
    for _ in range(5):
        page.key("ArrowRight")
        page.key("ArrowUp")
    user.state_when("melody", lambda state: abs(state["x"] - 0.1) < 1e-3 and abs(state["y"] - 0.1) < 1e-3)
    page.key("2")
    page.until("document.querySelector('.lane[data-voice=bass]').classList.contains('chosen')")
    page.key("m")
    user.state_when("bass", lambda state: state["muted"] == 1)
    page.key("1")
    since = user.mark()
    page.key("]")
    page.key("s")
    eventually(lambda: [bars for bars in bars_said(user.said(since), "melody") if bars.bars == 4])
    page.key("z")
    page.key("h")
    page.until("document.activeElement.classList.contains('recall')")
    recalled = page.js("Number(document.activeElement.dataset.id)")
    since = user.mark()
    page.key("Enter")
    user.wait_for("/melody/launched", PATIENCE_S, since, lambda said: said.args[0] == recalled)
    page.key("?")
    page.until("document.querySelector('#help').open")
    page.key("Escape")
    page.until("!document.querySelector('#help').open")
    page.key("!", shift=True)
    user.state_when("melody", lambda state: state["playing"] == 0)
    page.until("document.querySelector('button[data-verb=stop]').textContent === 'Play'")
    page.key("k")
    user.state_when("melody", lambda state: state["playing"] == 1)
    page.key("p")
    page.until(f"!({PLAYING})")


def test_tab_reaches_every_control_once_and_gets_out_again(page: Tab) -> None:
    wanted = page.js(
        "[...document.querySelectorAll('button, input, select, a[href], summary, [tabindex=\"0\"]')]"
        ".filter(e => !e.disabled && e.checkVisibility() && !e.closest('details:not([open]) > div')).length"
    )
    page.js("window.reached = []; document.addEventListener('focusin', e => window.reached.push(e.target))")
    for _ in range(wanted):
        page.key("Tab")
    assert page.js("new Set(window.reached).size") >= wanted - 1
    assert page.js("window.reached.every(e => e.matches(':focus-visible') || e !== document.activeElement)")
    knob = page.js("[...document.querySelectorAll('.knob[tabindex=\"0\"]')].length")
    assert knob >= 6


def test_a_restarted_bridge_is_found_again(bridge: HostedBridge, browser: Browser, url: str, user: User) -> None:
    with browser.tab(url) as page:
        page.until(READY)
        loop = sounding(page, user)
        page.click(".knob[data-verb=swing]")
        page.key("ArrowUp")
        user.state_when("melody", lambda state: state["swing"] > 50)
        user.wait_for("/clock/beat", PATIENCE_S, user.mark())
        os.kill(bridge.processes()["bridge.main"], signal.SIGKILL)
        page.until("document.body.classList.contains('away')")
        assert "away" in page.js("document.querySelector('#health').textContent")
        page.until(f"{READY} && {PLAYING}", timeout_s=40)
        assert page.js(lane("melody", "chosen"))
        page.until(painted(".lane[data-voice=melody] .roll canvas"))
        with subscribed(bridge) as after:
            assert after.state_when("melody", lambda state: state["sounding_id"] == loop)["swing"] > 50
            since = after.mark()
            page.until("document.querySelector('.lane[data-voice=melody] .choose small').textContent === 'melody-2bar'")
            page.key("n")
            assert after.bars_since("melody", since).id > loop
            after.send("/melody/swing", 50.0)
        assert not [words for words in page.complaints if "WebSocket" not in words], "only the browser's own words"


def test_frames_with_three_voices_playing(browser: Browser, page: Tab, user: User) -> None:
    for voice in VOICES:
        user.send(f"/{voice}/sample", 2)
    page.click("#run")
    for voice in VOICES:
        page.until(lane(voice, "hasloop"))
    page.until(PLAYING)
    with browser.tab("about:blank") as empty:
        empty.call("Page.bringToFront")
        before = empty.js(FRAMES)
        page.call("Page.bringToFront")
        ours = page.js(FRAMES)
        empty.call("Page.bringToFront")
        after = empty.js(FRAMES)
    least = min(before, after)
    figures = f"{ours:.1f} frames a second, an empty page {before:.1f} and {after:.1f}"
    assert ours > 0.8 * least, figures
    page.call("Page.bringToFront")


@pytest.mark.parametrize(("width", "height"), [(1000, 169), (700, 169), (360, 640), (1024, 700), (1920, 1080)])
def test_it_fits(page: Tab, user: User, width: int, height: int) -> None:
    page.resize(width, height)
    page.until(f"innerWidth === {width}")
    size = page.js("[document.scrollingElement.scrollWidth, document.scrollingElement.scrollHeight]")
    assert size[0] <= width, "scrolls sideways"
    if height < 260:
        assert size[1] <= height, "scrolls in a device that cannot"
    for selector in ("#run", "#panic", "button[data-verb=next]"):
        x, y, wide, high = page.box(selector)
        assert x >= 0
        assert y >= 0
        assert x + wide <= width, selector
        assert y + high <= height, selector


def test_a_page_from_another_origin_gets_nothing(browser: Browser, url: str, user: User, tmp_path: Path) -> None:
    host = url.removeprefix("http://").rstrip("/")
    (tmp_path / "index.html").write_text(
        f"""<!doctype html><script>
        const told = (name, promise) => promise.then(() => name + ' got in', () => name + ' refused');
        const load = (tag, key, from) => new Promise((yes, no) => {{
          const e = document.createElement(tag);
          Object.assign(e, {{onload: yes, onerror: no, [key]: from}});
          document.body.append(e);
        }});
        window.onload = async () => {{ window.outcome = await Promise.all([
          told('fetch', fetch('{url}')), told('opaque', fetch('{url}app.js', {{mode: 'no-cors'}})),
          told('script', load('script', 'src', '{url}app.js')), told('image', load('img', 'src', '{url}icon.svg')),
          told('socket', new Promise((yes, no) => {{
            Object.assign(new WebSocket('ws://{host}/osc'), {{onopen: yes, onerror: no}});
          }})),
        ]); }};
        </script><body><iframe src="{url}"></iframe>"""
    )

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            for name in ("127.0.0.1", "localhost"):
                with browser.tab(f"http://{name}:{server.server_port}/index.html") as stranger:
                    outcome = stranger.until("window.outcome")
                    assert len(outcome) == 5
                    assert all(line.endswith("refused") for line in outcome), outcome
        finally:
            server.shutdown()


def test_note_rows_of_the_page_are_those_of_osc(page: Tab, user: User) -> None:
    since = user.mark()
    page.click("button[data-verb=sample]")
    heard = user.bars_since("melody", since)
    answer = page.js(f"fetch('/bars/melody/{heard.id}.json').then(a => a.json())")
    assert answer["id"] == heard.id
    assert len(rows([value for note in answer["notes"] for value in note])) == len(heard.notes)


def test_a_jam_is_a_choice_that_takes_the_bars_chosen(page: Tab) -> None:
    page.click("[data-bars='4']")
    page.click(".choicerow[data-verb=jam] button[data-value=respond]")
    page.until("document.querySelector('.choicerow[data-verb=jam] button[data-value=respond]').ariaChecked === 'true'")
    page.click(".choicerow[data-verb=jam] button[data-value=off]")
    page.until("document.querySelector('.choicerow[data-verb=jam] button[data-value=off]').ariaChecked === 'true'")
