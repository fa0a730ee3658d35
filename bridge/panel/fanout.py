"""One outbox for the session, two ways out: OSC subscribers and pages."""

from __future__ import annotations

from typing import Final, Protocol

from bridge.session.outside import Origin, Outbox

PAGE: Final = "page"
"""The host in every page's origin, whose port is the number of the connection. No host of the network is called so."""


class Pages(Protocol):
    """The pages, as far as answers and events go (`bridge.panel.hub.Hub`)."""

    def reply(self, origin: Origin, address: str, *args: float | str) -> None:
        """Answer the page of that origin, if it is still there."""

    def publish(self, address: str, *args: float | str) -> None:
        """An event to every page."""


class Everyone:
    """An `Outbox`: answers go to where the request came from, events to all."""

    def __init__(self, osc: Outbox, pages: Pages) -> None:
        """`osc` speaks to those who came by UDP, `pages` to those who came by WebSocket."""
        self._osc = osc
        self._pages = pages

    def reply(self, origin: Origin, address: str, *args: float | str) -> None:
        """Answer the sender of a request."""
        (self._pages if origin[0] == PAGE else self._osc).reply(origin, address, *args)

    def publish(self, address: str, *args: float | str, also: Origin | None = None) -> None:
        """An event to everyone; a page hears all events anyway, so `also` matters to OSC alone."""
        self._osc.publish(address, *args, also=None if also is not None and also[0] == PAGE else also)
        self._pages.publish(address, *args)
