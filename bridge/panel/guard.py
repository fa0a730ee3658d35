"""Who may speak with the panel: nobody but its own page.

A page of another origin can send requests to a server on this machine, and by DNS rebinding can even make its own name
stand for our address. So every request must name us in ``Host`` as we are really reached, and must not come from
another origin's page: ``Origin`` says so on sockets, ``Sec-Fetch-Site`` on everything else a browser fetches.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from bridge.addresses import is_loopback

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OWN_FETCHES: Final = {b"same-origin", b"none"}  # none: the user typed the address, or opened a bookmark
_WEBSOCKET: Final = "websocket"


class Guard:
    """An ASGI application around another that refuses strangers with 403, and puts the security headers on answers."""

    def __init__(self, app: App, host: str, port: int) -> None:
        """`host` and `port` are where the panel really listens."""
        self._app = app
        self._port = port
        self._names = {"localhost", host.lower().strip("[]")}
        self._only_loopback = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        why = self.stranger(scope)
        if why and scope["type"] == _WEBSOCKET:
            await receive()  # websocket.connect; closing before accepting is answered with 403
            await send({"type": "websocket.close", "code": 1008, "reason": why})
        elif why:
            body = f"{why}\n".encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
            headers += [(b"cross-origin-resource-policy", b"same-origin"), (b"x-content-type-options", b"nosniff")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await self._app(scope, receive, self._with_headers(scope, send))

    def stranger(self, scope: Scope) -> str:
        """Why this request is not from our own page, in words; empty when it is."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            found.setdefault(bytes(name).lower(), []).append(bytes(value))
        hosts = found.get(b"host", [])
        if len(hosts) != 1 or not self._is_ours(hosts[0].decode("latin-1")):
            return "this address is not the panel's: open it as it was printed when the bridge started"
        origins = found.get(b"origin", [])
        if scope["type"] == _WEBSOCKET and len(origins) != 1:
            return "a socket must say which page it belongs to"
        if any(origin.lower() != b"http://" + hosts[0].lower() for origin in origins):
            return "this is another page's request"
        sites = found.get(b"sec-fetch-site", [])
        if sites and not _OWN_FETCHES.issuperset(sites) and not _is_visit(scope, found):
            return "this is another page's request"
        return ""

    def _is_ours(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) != self._port:
            return host.lower().strip("[]") in self._names and self._port == 80
        name = name.lower()
        bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
        if bare in self._names:
            return True
        try:
            number = ipaddress.ip_address(bare)
        except ValueError:
            return False  # some name that DNS turns into our address: a name can be made to mean anything
        return number.is_loopback or not self._only_loopback

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        host = next(bytes(value) for name, value in scope["headers"] if bytes(name).lower() == b"host")
        extra = security_headers(host)

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        return sending


def security_headers(host: bytes) -> list[tuple[bytes, bytes]]:
    """What the browser may do with our answers: show them to our own page and to nobody else."""
    policy = (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'; connect-src 'self' ws://" + host
    )
    return [
        (b"content-security-policy", policy),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
    ]


def _is_visit(scope: Scope, headers: dict[bytes, list[bytes]]) -> bool:
    """Following a link to the panel's front page: the linking page sees nothing of what comes."""
    visit = headers.get(b"sec-fetch-mode") == [b"navigate"] and headers.get(b"sec-fetch-dest") == [b"document"]
    return visit and scope["path"] == "/" and scope["method"] == "GET"
