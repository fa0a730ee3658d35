"""Call and response with a scripted player on a real JACK port, and a keyboard that comes and goes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median

import pytest
from jack_room import JackServer
from needs import need
from whole_bridge import Row, User, eventually, flat, subscribed

from bridge.bench import jam
from bridge.hosted import HostedBridge
from bridge.player.hand import Hand

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a JACK server of one's own is tested on Linux")

ROUNDS = 8  # the bench plays 32
KEYBOARD = "barline test keys"


@pytest.fixture(scope="module")
def bridge(server: JackServer, no_strays: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedBridge]:
    """A bridge that listens to its own port, and to a keyboard by part of its name."""
    folder: Path = tmp_path_factory.mktemp("jam")
    settings = [*jam.SETTINGS, f"midi.input={KEYBOARD[8:]}", "voices={melody: {model: melody-2bar}}"]
    with HostedBridge(folder / "session", settings) as bridge:
        bridge.wait_until_ready()
        yield bridge


@pytest.fixture(scope="module")
def rounds(bridge: HostedBridge) -> list[jam.Round]:
    """Eight rounds at 240 BPM: across the line, stopping early and playing nothing are among them."""
    with subscribed(bridge) as user, Hand("jack", "Barline in") as hand:
        return jam.play_rounds(bridge, user, hand, ROUNDS)


def test_every_answer_starts_on_its_bar_line(rounds: list[jam.Round]) -> None:
    assert {each.style for each in rounds} == {"plain", "across", "early", "nothing"}
    assert [each.launched for each in rounds] == [True] * ROUNDS
    assert all(each.answer for each in rounds)
    assert all(abs(each.first_ms) < jam.ON_THE_LINE_MS for each in rounds), [each.first_ms for each in rounds]


def test_the_voice_is_silent_while_it_listens_and_nothing_is_left_hanging(rounds: list[jam.Round]) -> None:
    assert [each.while_listening for each in rounds] == [()] * ROUNDS
    assert [each.left_open for each in rounds] == [0] * ROUNDS


def test_the_answer_is_there_before_the_listening_has_ended(rounds: list[jam.Round]) -> None:
    assert all(each.ready_ms > 0.0 for each in rounds), [each.ready_ms for each in rounds]


def test_key_register_density_and_loudness_are_carried_on(rounds: list[jam.Round]) -> None:
    played = [each for each in rounds if each.phrase]
    assert fmean(each.in_key for each in played) > 0.9
    assert all(each.apart_semitones <= 9.0 for each in played), [each.apart_semitones for each in played]
    assert median(each.density for each in played) == pytest.approx(1.0, abs=0.6)
    assert all(abs(each.louder) < 0.25 for each in played), [each.louder for each in played]


def test_a_named_keyboard_is_listened_to_whenever_it_is_there(bridge: HostedBridge) -> None:
    with subscribed(bridge) as user:
        user.send("/clock/play")
        user.send("/melody/jam", "respond", 1)
        for times in (1, 2):  # it is plugged in, pulled out in the middle of a note, and plugged in again
            with Hand("jack", "", KEYBOARD) as hand:
                eventually(lambda times=times: _lines(bridge, f"in: {KEYBOARD}:{KEYBOARD}") == times)
                since = user.mark()
                now_ns = time.perf_counter_ns()  # it begins to listen at the next bar line
                hand.play((now_ns + number * 10**9 // 4, (0x90, 60 + number, 90)) for number in range(12))
                _phase(user, "listen", since)
            eventually(lambda times=times: _lines(bridge, f"in: {KEYBOARD}:{KEYBOARD} has gone", whole=False) == times)
            user.send("/melody/jam", "respond", 1)
        assert _lines(bridge, f"in: no port called {KEYBOARD[8:]} yet", whole=False) <= 1
        assert user.errors() == []


def test_an_output_that_is_connected_to_the_input_is_noticed_and_not_answered(bridge: HostedBridge) -> None:
    tune = [Row(60 + beat, float(beat), 0.5, 80 + beat, 0) for beat in range(8)]
    with subscribed(bridge) as user:
        user.send("/melody/jam", "off")
        user.send("/clock/tempo", 400.0)
        user.send("/clock/play")
        for slot in ("a", "b"):
            user.send("/melody/store", slot, 8.0, *flat(tune))
        user.bars("/melody/morph", 0.0)
        ports = ("Barline melody:Barline melody", "Barline in:Barline in")
        subprocess.run([need("jack_connect"), "-s", os.environ["JACK_DEFAULT_SERVER"], *ports], check=True)
        eventually(lambda: _lines(bridge, "Barline hears itself", whole=False) == 1)
        since = user.mark()
        user.send("/melody/jam", "follow", 1)
        time.sleep(4 * 0.6)  # four bars
        assert [said for said in user.said(since) if said.address == "/melody/bars/begin"] == []
        assert _lines(bridge, "Barline hears itself", whole=False) == 1


def _lines(bridge: HostedBridge, line: str, *, whole: bool = True) -> int:
    return len([said for said in bridge.lines if said == line or (not whole and said.startswith(line))])


def _phase(user: User, phase: str, since: int) -> None:
    user.wait_for("/melody/jam/phase", 10.0, since, lambda said: said.args[0] == phase)
