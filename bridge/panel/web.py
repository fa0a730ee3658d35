"""The panel as a web application: static files, bars by id, and the socket.

starlette and uvicorn are imported here and nowhere else, by `bridge.panel.server`, after the bridge answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from starlette.websockets import WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from bridge import limits
from bridge.music.notes import bars_to_json
from bridge.panel.guard import App, Guard
from bridge.panel.hub import Hub, Page
from bridge.panel.pace import Pace
from bridge.session.archive import ArchiveError

STATIC: Final = Path(__file__).parent / "static"
_BREATHE_EVERY: Final = 16  # messages of one page before everything else gets a turn
_TOO_MANY: Final = 1013  # WebSocket's "try again later"
_ASK_AGAIN: Final = {"cache-control": "private, no-cache"}  # in another session folder the same id is of other bars


class _Files(StaticFiles):
    """Static files that a browser asks for again: after an update of Barline the page is the new one."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


class PanelSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which also lets us cut the line: closing politely waits for a page that reads nothing."""

    def handle_connect(self, event: Any) -> None:
        """Put the means to cut the line where the application finds it."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["state"]["cut"] = self.transport.abort


def application(hub: Hub, host: str, port: int) -> App:
    """The whole application, guarded; `host` and `port` are where it really listens."""
    bars = _Bars(hub)
    routes = [
        WebSocketRoute("/osc", _Pages(hub).serve),
        WebSocketRoute("/{elsewhere:path}", _no_socket),
        Route("/bars/{voice}/{id:int}.mid", bars.midi),
        Route("/bars/{voice}/{id:int}.json", bars.notes),
        Mount("/", _Files(directory=STATIC, html=True)),
    ]
    return Guard(cast("App", Starlette(routes=routes)), host, port)


async def _no_socket(socket: WebSocket) -> None:
    await socket.close()


class _Bars:
    """Bars of the archive, by voice and id: a path never comes from a page."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._turns = asyncio.Semaphore(limits.PANEL_FILES_AT_ONCE)

    def _known(self, request: Request) -> tuple[str, int] | None:
        voice, loop_id = request.path_params["voice"], request.path_params["id"]
        stage = self._hub.stage
        return (voice, loop_id) if voice in stage.voices and stage.archive.has(voice, loop_id) else None

    async def midi(self, request: Request) -> Response:
        """The MIDI file."""
        known = self._known(request)
        if known is None:
            return _missing()
        voice, loop_id = known
        path = self._hub.stage.archive.path(loop_id, voice)
        if not path.is_file():
            return _missing()
        return FileResponse(path, media_type="audio/midi", filename=f"{voice}-{loop_id}.mid", headers=_ASK_AGAIN)

    async def notes(self, request: Request) -> Response:
        """``{"id", "length", "notes": [[pitch, start, duration, velocity, part], ...]}``, in beats."""
        known = self._known(request)
        if known is None:
            return _missing()
        async with self._turns:
            try:
                loop = await asyncio.to_thread(self._hub.stage.archive.load, *known)
            except ArchiveError as fault:
                return PlainTextResponse(f"{fault}\n", status_code=500)
        if loop is None:
            return _missing()
        length_beats, rows = bars_to_json(loop.bars)
        return JSONResponse({"id": loop.id, "length": length_beats, "notes": rows}, headers=_ASK_AGAIN)


def _missing() -> Response:
    return PlainTextResponse("this voice has no bars of that id\n", status_code=404)


class _Pages:
    """The socket of each page that connects."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def serve(self, socket: WebSocket) -> None:
        """Speak with one page until it goes, or is too slow."""
        news = asyncio.Event()
        cut: Callable[[], None] = socket.scope["state"]["cut"]
        await socket.accept()
        page = self._hub.join(news.set, cut)
        if page is None:
            await socket.close(_TOO_MANY, f"{limits.MAX_PANEL_CONNECTIONS} pages are open already")
            return
        writing = asyncio.create_task(_write(socket, page, news))
        try:
            await _read(socket, page, self._hub)
        finally:
            self._hub.leave(page)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)  # whatever ended it, the page is gone


async def _read(socket: WebSocket, page: Page, hub: Hub) -> None:
    pace = Pace(limits.PANEL_MESSAGES_PER_S, limits.PANEL_MESSAGES_AT_ONCE)
    count = 0
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        hub.receive(page, message.get("bytes") or b"")
        count += 1
        wait_s = pace.wait_s(time.perf_counter_ns())
        if wait_s or count % _BREATHE_EVERY == 0:
            await asyncio.sleep(wait_s)


async def _write(socket: WebSocket, page: Page, news: asyncio.Event) -> None:
    while True:
        await news.wait()
        news.clear()
        while (frame := page.next_frame()) is not None:
            if isinstance(frame, bytes):
                await socket.send_bytes(frame)
            else:
                await socket.send_text(frame)
            page.sent(frame)


class Server(uvicorn.Server):
    """uvicorn on a loop that is not its own: signals stay with the bridge."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave the signals alone."""
        yield


def server(app: Callable[..., Awaitable[None]]) -> Server:
    """A server for the running loop; give its `serve` a bound socket."""
    return Server(
        uvicorn.Config(
            app,
            lifespan="off",
            interface="asgi3",
            http=H11Protocol,  # the class, not its name: uvicorn would import it on the loop, while music waits
            ws=PanelSocket,
            ws_max_size=limits.MAX_DATAGRAM_BYTES,
            ws_ping_interval=limits.PANEL_KEEPALIVE_S,
            ws_ping_timeout=limits.PANEL_KEEPALIVE_S,
            ws_per_message_deflate=False,  # on one machine it costs more than it saves
            limit_concurrency=2 * limits.MAX_PANEL_CONNECTIONS,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=limits.MAX_PANEL_CONNECTIONS,
        )
    )
