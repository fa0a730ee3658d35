"""A trio through the whole bridge: a fill in its drums alone, and a knob of its parts that is turned back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from whole_bridge import PATIENCE_S, Heard, User, bars_said, start_song, subscribed

from bridge.hosted import HostedBridge

LINES = (0, 1)
DRUMS = 2


@pytest.fixture(scope="module")
def user(no_strays: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A subscriber of a bridge with one voice, whose sixteen bars sound."""
    folder: Path = tmp_path_factory.mktemp("trio")
    config = folder / "trio.yaml"
    config.write_text(
        "midi:\n  backend: none\nvoices:\n  trio:\n    model: trio-16bar\n"
        "    parts: {melody: 1, bass: 2, drums: 10}\n    quantize: 0.0\n"
    )
    with HostedBridge(folder / "session", config=config) as hosted:
        hosted.wait_until_ready()
        with subscribed(hosted) as client:
            client.send("/trio/random_seed", 3)
            since = client.mark()
            heard = client.bars("/trio/sample", 16)
            start_song(client)
            client.launched(heard, "trio", since)
            yield client


def of_parts(heard: Heard, *parts: int) -> list[tuple[object, ...]]:
    return [tuple(row) for row in heard.notes if row.part in parts]


def turned(user: User, name: str, amount: float) -> Heard:
    since = user.mark()
    user.send("/trio/attribute", name, amount)
    user.wait_for("/trio/bars/end", PATIENCE_S, since)
    time.sleep(0.3)  # a gesture tells its bars ten times a second, the last ones always
    return bars_said(user.said(since), "trio")[-1]


def test_a_fill_is_in_the_drums_alone_and_is_over_after_its_bar(user: User) -> None:
    plain = turned(user, "density", 0.0)
    since = user.mark()
    user.send("/trio/fill")
    filled = user.bars_since("trio", since)
    assert of_parts(filled, *LINES) == of_parts(plain, *LINES)
    assert of_parts(filled, DRUMS) != of_parts(plain, DRUMS)
    after = user.bars_since("trio", user.mark())
    assert after.notes == plain.notes


def test_knobs_move_their_parts_and_turned_back_bring_back(user: User) -> None:
    plain = turned(user, "density", 0.0)
    fuller = turned(user, "density", 0.8)
    assert all(len(of_parts(fuller, part)) > len(of_parts(plain, part)) for part in (*LINES, DRUMS))
    assert turned(user, "density", 0.0).notes == plain.notes
    lower = turned(user, "register", -1.0)
    assert of_parts(lower, DRUMS) == of_parts(plain, DRUMS)
    assert {row.pitch for row in lower.notes if row.part == 1} != {row.pitch for row in plain.notes if row.part == 1}
    assert turned(user, "register", 0.0).notes == plain.notes
    assert user.refused("/trio/attribute", "volume", 0.5)[0] == 5
