"""The bridge's end of a connection to another process."""

from __future__ import annotations

import asyncio

from bridge.channel import Channel, listen
from bridge.main import new_loop
from bridge.messages import Beat
from bridge.peers import PeerLink


def test_nothing_of_a_peer_comes_after_its_end_has_been_told() -> None:
    """What one record of a batch brings about may end the connection; the others would make it seem alive again."""
    told: list[object] = []

    def take(record: object) -> None:
        told.append(record)
        link.close()

    loop = new_loop()
    server, port = listen()
    link = PeerLink(loop, "secret", on_record=take, on_open=lambda: None, on_gone=lambda: told.append("gone"))
    link.open(port)
    peer = Channel(server.accept()[0])
    for beat in (1, 2):
        peer.send(Beat(beat, 120.0, True))
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()
    peer.close()
    server.close()
    assert told == [Beat(1, 120.0, True), "gone"]
