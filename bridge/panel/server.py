"""The panel's server: binds the port, brings the web libraries in beside the running bridge, serves, ends.

Whatever is wrong here, the bridge plays on: every failure is one `PanelError` with words for the user.
"""

from __future__ import annotations

import asyncio
import errno
import importlib
import logging
import socket
import sys
from typing import Any

from bridge import limits
from bridge.addresses import is_loopback, resolve
from bridge.panel.hub import Hub

_CLOSE_TIMEOUT_S = 0.5


class PanelError(RuntimeError):
    """The panel cannot be there; the message says why and what to do."""


class PanelServer:
    """One panel on the running event loop."""

    def __init__(self, hub: Hub) -> None:
        """`hub` holds the pages."""
        self._hub = hub
        self._server: Any = None
        self._serving: asyncio.Task[None] | None = None
        self.host = ""
        self.port = 0

    @property
    def address(self) -> str:
        """``HOST:PORT``, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def warning(self) -> str:
        """Words for the user when other machines can reach the panel, else empty."""
        if is_loopback(self.host):
            return ""
        return f"the panel listens on {self.host}: any machine that reaches it can play this bridge (no password)"

    async def start(self, host: str, port: int) -> None:
        """Bind, and serve from now on; `host` and `port` are then the real ones (port 0: any free one).

        Raises:
            PanelError: the port is taken, the host is none of this machine, or a library is missing.
        """
        listener = _bound(host, port)
        try:
            # On a thread: importing takes a third of a second, in which the bridge must go on answering.
            web = await asyncio.to_thread(importlib.import_module, "bridge.panel.web")
        except ImportError as fault:
            listener.close()
            raise PanelError(f"no panel: {fault}; install it with: pip install starlette uvicorn websockets") from fault
        self.host, self.port = listener.getsockname()[:2]
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        self._server = web.server(web.application(self._hub, self.host, self.port))
        self._serving = asyncio.create_task(self._server.serve([listener]))

    async def close(self) -> None:
        """Stop serving; pages are told to come back later. May be called when it never started."""
        if self._serving is None:
            return
        self._server.should_exit = True
        await asyncio.wait({self._serving}, timeout=_CLOSE_TIMEOUT_S)
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        self._serving = None


def _bound(host: str, port: int) -> socket.socket:
    """A listening TCP socket."""
    listener: socket.socket | None = None
    try:
        family, kind, protocol, place = resolve(host, port, socket.SOCK_STREAM)
        listener = socket.socket(family, kind, protocol)
        if sys.platform == "win32":  # there, two processes could else share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # here, the port of a bridge that has just ended would else be taken for a minute
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(place)
        listener.listen(limits.MAX_PANEL_CONNECTIONS)
    except OSError as fault:
        if listener is not None:
            listener.close()
        if fault.errno == errno.EADDRINUSE or (sys.platform == "win32" and fault.errno == errno.EACCES):
            why = f"TCP port {port} on {host} is taken by another program; choose another with panel.port"
        else:
            why = f"panel.host = {host}, panel.port = {port}: {fault.strerror or fault}"
        raise PanelError(f"no panel: {why}") from fault
    return listener
