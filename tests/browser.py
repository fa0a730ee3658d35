"""A headless Chromium, driven over its DevTools socket: what a page shows, does, and complains about."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from needs import need
from websockets.sync.client import connect

_START_TIMEOUT_S = 30.0
_KEY_NUMBERS = {
    "Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip


class Browser:
    """One Chromium with a profile of its own in `folder`. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._address = ""

    def __enter__(self) -> Self:
        command = [
            need("chromium"),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
            *("--remote-debugging-port=0", f"--user-data-dir={self._folder}", "about:blank"),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        told = self._folder / "DevToolsActivePort"
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not (told.exists() and told.read_text().count("\n")):
            assert self._process.poll() is None, "Chromium ended"
            assert time.monotonic() < deadline, "Chromium did not start"
            time.sleep(0.05)
        self._address = f"127.0.0.1:{told.read_text().splitlines()[0]}"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tab(self, url: str, width: int = 1280, height: int = 800) -> Tab:
        """A new tab of that size, on its way to `url`."""
        request = urllib.request.Request(f"http://{self._address}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:
            socket = json.load(answer)["webSocketDebuggerUrl"]
        return Tab(socket, url, width, height)


class Tab:
    """One tab. `complaints` are console errors and warnings, exceptions, and what could not be loaded."""

    def __init__(self, socket: str, url: str, width: int, height: int) -> None:
        self._line = contextlib.ExitStack()
        self._socket = self._line.enter_context(connect(socket, max_size=None, compression=None, ping_interval=None))
        self._count = 0
        self.complaints: list[str] = []
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        self.go(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.call("Page.close")
        self._line.close()

    def go(self, url: str) -> None:
        """Navigate, and wait until the document is there."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def resize(self, width: int, height: int, touch: bool = False) -> None:
        """Give the page another size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One DevTools command and its result; events that come meanwhile are heard."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            told = json.loads(self._socket.recv(timeout=30))
            if told.get("id") == self._count:
                assert "error" not in told, f"{method}: {told['error']}"
                return dict(told["result"])
            self._hear(told)

    def _hear(self, told: dict[str, Any]) -> None:
        params = told.get("params", {})
        if told.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif told.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([part.get("value") for part in params["args"]]))
        elif told.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, timeout_s: float = 15.0) -> Any:
        """Wait until an expression is true in the page; its value."""
        return self.until_called(lambda: self.js(expression), expression, timeout_s)

    def until_called(self, ask: Callable[[], Any], what: str, timeout_s: float = 15.0) -> Any:
        """Wait until `ask` returns something true; its value."""
        deadline = time.monotonic() + timeout_s
        while not (value := ask()):
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
            time.sleep(0.03)
        return value

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """x, y, width and height of an element in the window; it is scrolled to first."""
        found = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'nearest'});"
            " const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
        )
        return (found[0], found[1], found[2], found[3])

    def mouse(self, kind: str, x: float, y: float) -> None:
        """``pressed``, ``moved`` or ``released``, with the left button."""
        held = 0 if kind == "released" else 1
        self.call(
            "Input.dispatchMouseEvent", type=f"mouse{kind.title()}", x=x, y=y, button="left", buttons=held, clickCount=1
        )

    def click(self, selector: str) -> None:
        """Press and release in the middle of an element."""
        x, y, width, height = self.box(selector)
        self.mouse("pressed", x + width / 2, y + height / 2)
        self.mouse("released", x + width / 2, y + height / 2)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """``Start``, ``Move`` or ``End`` of fingers."""
        self.call("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=[{"x": x, "y": y} for x, y in points])

    def key(self, key: str, code: str = "", shift: bool = False) -> None:
        """Press and release a key, by its `KeyboardEvent.key`."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        number = {
            "Enter": 13,
            "Tab": 9,
            "Escape": 27,
            " ": 32,
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
        }
        known = {"key": key, "code": code, "modifiers": 8 * shift, "windowsVirtualKeyCode": number.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def picture(self, path: Path) -> None:
        """A screenshot as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
