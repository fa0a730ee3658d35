"""Attributes and latent directions through the whole bridge, on bars of every origin."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from whole_bridge import PATIENCE_S, Heard, Row, User, bars_said, eventually, flat, start_song, subscribed

from bridge.hosted import HostedBridge

A = tuple(Row(60 + step % 5, step * 0.5, 0.25, 70 + step, 0) for step in range(16))
B = tuple(Row(72 + step % 7, step * 1.0, 0.5, 100 - step, 0) for step in range(8))


@pytest.fixture
def user(bridge: HostedBridge) -> Iterator[User]:
    """A subscriber whose melody sounds, plain; its knobs are at rest again afterwards."""
    with subscribed(bridge) as client:
        for address in ("/clock/stop", "/*/clear", "/melody/play"):
            client.send(address)
        client.send("/melody/random_seed", 3)
        at_rest(client)
        since = client.mark()
        heard = client.bars("/melody/sample", 2)
        start_song(client)
        client.launched(heard, "melody", since)
        yield client
        at_rest(client)
        client.send("/clock/stop")


def at_rest(client: User) -> None:
    for name in ("density", "interval", "register"):
        client.send("/melody/attribute", name, 0.0)
    client.send("/melody/latent", 0, 0.0)
    client.send("/melody/swing", 50.0)  # wherever another test has left it
    client.settle()


def turned(client: User, address: str, *args: float | str) -> Heard:
    """What is told after a turn, when nothing more comes."""
    since = client.mark()
    client.send(address, *args)
    client.wait_for("/melody/bars/end", PATIENCE_S, since)
    time.sleep(0.3)  # a gesture tells its bars ten times a second, the last ones always
    return bars_said(client.said(since), "melody")[-1]


def newest(client: User, since: int) -> object:
    """The notes that were told last."""
    told = bars_said(client.said(since), "melody")
    return told[-1].notes if told else ()


def test_new_bars_are_moved_and_come_back(user: User) -> None:
    user.send("/clock/tempo", 60.0)  # a gesture is over when it has been still for a bar; here it goes on for seconds
    plain = turned(user, "/melody/attribute", "density", 0.0)
    fuller = turned(user, "/melody/attribute", "density", 1.0)
    assert len(fuller.notes) > len(plain.notes)
    higher = turned(user, "/melody/attribute", "register", 1.0)
    assert min(note.pitch for note in higher.notes) >= min(note.pitch for note in fuller.notes) + 12
    assert fuller.id == higher.id  # one gesture
    assert user.state("melody")["attributes"] == "density 1 register 1"
    turned(user, "/melody/attribute", "register", 0.0)
    assert turned(user, "/melody/attribute", "density", 0.0).notes == plain.notes


def test_a_latent_direction_moves_and_comes_back(user: User) -> None:
    plain = turned(user, "/melody/latent", 0, 0.0)
    moved = turned(user, "/melody/latent", 0, 3.0)
    assert moved.notes != plain.notes
    assert user.state("melody")["latents"] == "0 3"
    assert turned(user, "/melody/latent", 0, 0.0).notes == plain.notes


def test_recalled_varied_and_morphed_bars_are_moved_as_well(user: User) -> None:
    plain = turned(user, "/melody/attribute", "density", 0.0)
    eventually(lambda: user.state("melody")["undo"] >= 1, what="the gesture in the history")
    since = user.mark()
    user.launched(user.bars("/melody/sample", 1), "melody", since)
    since = user.mark()
    user.send("/melody/recall", plain.id)
    user.launched(plain, "melody", since)
    thinner = turned(user, "/melody/attribute", "density", -1.0)
    assert len(thinner.notes) < len(plain.notes)
    since = user.mark()
    user.send("/melody/vary", 0.0)  # the gesture's bars may be told once more before those that are asked for
    end = user.wait_for("/melody/bars/end", PATIENCE_S, since, lambda said: said.args[0] != thinner.id)
    same = next(heard for heard in bars_said(user.said(since), "melody") if heard.id == end.args[0])
    assert len(same.notes) < len(plain.notes)
    user.send("/melody/store", "a", 8.0, *flat(A))
    user.send("/melody/store", "b", 8.0, *flat(B))
    since = user.mark()
    user.send("/melody/morph", 0.0)  # the first turn decodes the way, which may take longer than `turned` waits
    eventually(lambda: newest(user, since) == A, what="the stored notes, which sound as they are")
    thin = turned(user, "/melody/morph", 0.4)
    user.send("/melody/attribute", "density", 0.0)
    assert len(turned(user, "/melody/morph", 0.4).notes) > len(thin.notes)


def test_what_is_not_there_is_refused(user: User) -> None:
    code, words = user.refused("/melody/attribute", "fill", 0.5)
    assert (code, "density, syncopation, interval, diatonic, register" in words) == (5, True)
    code, words = user.refused("/melody/latent", 128, 1.0)
    assert (code, "0 to 127" in words) == (3, True)
