"""A page's socket, spoken by a program: OSC in binary frames, the page's own JSON in text frames."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from bridge.osc.decoder import Message, decode
from bridge.osc.encoder import encode

PATIENCE_S = 20.0


class PageClient:
    """One connected page; what it has been told is kept. Use it as a context manager."""

    def __init__(self, panel: str, origin: str | None = "", **options: Any) -> None:
        """`panel` is HOST:PORT; `origin` None sends none, empty the panel's own."""
        settings = {"compression": None, "max_size": None, "ping_interval": None, **options}
        own = f"http://{panel}" if origin == "" else origin
        self._line = contextlib.ExitStack()
        self.socket = self._line.enter_context(connect(f"ws://{panel}/osc", origin=own, **settings))  # type: ignore[arg-type]
        self.said: list[tuple[str, tuple[Any, ...]]] = []
        self.news: list[dict[str, Any]] = []

    def send(self, address: str, *args: Any) -> None:
        self.socket.send(encode(address, args))

    def hear(self, timeout_s: float) -> None:
        """Take one frame.

        Raises:
            TimeoutError: none came.
        """
        frame = self.socket.recv(timeout_s)
        if isinstance(frame, str):
            self.news.append(json.loads(frame))
            return
        message = decode(frame, 0, 0)
        assert isinstance(message, Message)
        self.said.append((message.address, message.arguments))

    def wait_for(
        self, address: str, where: Callable[[tuple[Any, ...]], bool] | None = None, since: int = 0
    ) -> tuple[Any, ...]:
        """The arguments of the first message to an address (for which `where` holds)."""
        deadline = time.monotonic() + PATIENCE_S
        seen = since
        while True:
            for said, args in self.said[seen:]:
                if said == address and (where is None or where(args)):
                    return args
            seen = len(self.said)
            self.hear(deadline - time.monotonic())

    def ask(self, address: str, *args: Any, answer: str) -> tuple[Any, ...]:
        """Send a request and wait for its answer."""
        since = len(self.said)
        self.send(address, *args)
        return self.wait_for(answer, since=since)

    def close_code(self) -> int | None:
        """Hear the bridge out until it ends the line; the code it ends it with, None when it was just cut."""
        try:
            while True:
                self.hear(PATIENCE_S)
        except ConnectionClosed as end:
            return None if end.rcvd is None else end.rcvd.code

    def send_until_cut(self, address: str) -> bool:
        """Send a request again and again without ever reading; whether the line was cut in time."""
        deadline = time.monotonic() + PATIENCE_S
        try:
            while time.monotonic() < deadline:
                self.send(address)
        except ConnectionClosed:
            return True
        return False

    def settle(self) -> None:
        """Wait until all that was sent has been acted upon."""
        token = 1_000_000 + len(self.said)
        self.send("/bridge/ping", token)
        self.wait_for("/bridge/pong", lambda args: args[0] == token)

    def memory(self, voice: str) -> dict[str, Any]:
        """The newest that was told of what a voice remembers."""
        return next(news for news in reversed(self.news) if news["kind"] == "memory" and news["voice"] == voice)

    def close(self) -> None:
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def get(panel: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case and body of a GET; `headers` may name another host (`_` stands for ``-``)."""
    line = http.client.HTTPConnection(panel, timeout=PATIENCE_S)
    try:
        line.putrequest("GET", path, skip_host="host" in headers)
        for name, value in headers.items():
            line.putheader(name.replace("_", "-"), value)
        line.endheaders()
        answer = line.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        line.close()
