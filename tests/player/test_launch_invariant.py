"""Launches under random use of a Live that changes tempo and metre, jumps, stops and starts: each once, on its line."""

from __future__ import annotations

import itertools
import pathlib
import tempfile

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from player_rig import Rig

from bridge import messages
from bridge.timing.tempo_map import STEP_BEATS

NEARLY = 1e-5
SIXTEENTHS = [(40 + k, k / 4, 0.2, 100, 0) for k in range(12)]
BURST_NS = 30_000_000  # between two sixteenths at 240 BPM there are 62 ms
kinds = st.sampled_from(["now", "step", "beat", "bar", "loop"])
acts = st.one_of(
    st.tuples(st.just("ask"), kinds, st.integers(0, 400)),
    st.tuples(st.just("metre"), st.sampled_from([(4, 4), (3, 4), (7, 8), (5, 4), (4, 8)]), st.just(0)),
    st.tuples(st.just("tempo"), st.integers(60, 240), st.just(0)),
    st.tuples(st.just("jump"), st.integers(0, 200), st.just(0)),
    st.tuples(st.just("stop"), st.just(0), st.just(0)),
)


class Band:
    """A Live without lateness, and the player behind it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.rig = Rig(folder, source="live")
        self.playing, self.tempo, self.beats = True, 120, 0.0
        self.metre, self.origin = (4, 4), 0.0
        self.asked: dict[int, str] = {}
        self.newest = 0
        self.jumped_ns: list[int] = []
        self.told_ns = self.rig.now_ns
        self.report()

    @property
    def bar_beats(self) -> float:
        return self.metre[0] * 4 / self.metre[1]

    def report(self) -> None:
        number, since = divmod(self.beats - self.origin, self.bar_beats)
        now_ns = self.rig.now_ns
        told = messages.LiveReport(now_ns, self.playing, self.tempo, self.beats, *self.metre, max(0.0, number), since)
        self.rig.send(told)

    def pass_ns(self, span_ns: int) -> None:
        until_ns = self.rig.now_ns + span_ns
        while self.rig.now_ns < until_ns:
            self.rig.player.run_to(min(until_ns, self.rig.now_ns + 100_000_000))
            if self.playing:
                self.beats += (self.rig.now_ns - self.told_ns) * self.tempo / 60e9
            self.told_ns = self.rig.now_ns
            self.check()
            self.report()
            self.check()

    def check(self) -> None:
        """What has been launched since is on its line, by the map in force."""
        events = self.rig.player.take_events() + self.rig.events
        self.rig.events = []
        for event in events:
            if isinstance(event, messages.Launched):
                kind = self.asked.pop(event.id)  # once
                step = {"now": None, "step": STEP_BEATS, "beat": 1.0, "bar": self.bar_beats}.get(kind)
                if step is not None:
                    off = (event.beat - self.origin + NEARLY) % self.bar_beats % step  # beats begin anew at bar lines
                    assert off <= 2 * NEARLY, (kind, event, self.origin, self.metre)

    def act(self, what: str, how: object, ago_ms: int) -> None:
        if what == "ask":
            self.newest = loop_id = self.newest + 1
            self.asked[loop_id] = str(how)
            self.rig.launch(loop_id, SIXTEENTHS, length=3.0, launch=str(how), ago_ms=ago_ms)
        elif what == "metre":
            line = self.origin + (self.beats - self.origin) // self.bar_beats * self.bar_beats
            self.metre, self.origin = how, round(line * 8) / 8  # type: ignore[assignment]
        elif what == "tempo":
            self.tempo = int(how)  # type: ignore[call-overload]
        elif what == "jump":
            self.jumped_ns.append(self.rig.now_ns)
            self.beats, self.origin = float(int(how)), float(int(how))  # type: ignore[call-overload]
        else:
            self.playing = not self.playing
        self.report()
        self.check()


@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.lists(st.tuples(st.integers(0, 2500), acts), min_size=3, max_size=12))
@example(
    [
        (226, ("jump", 137, 0)),
        (1572, ("ask", "beat", 145)),
        (2395, ("stop", 0, 0)),
        (1979, ("metre", (7, 8), 0)),
        (2500, ("stop", 0, 0)),
        (2485, ("ask", "beat", 106)),
        (510, ("jump", 15, 0)),
    ]
)
@example([(0, ("ask", "bar", 54)), (23, ("tempo", 240, 0)), (62, ("jump", 140, 0)), (305, ("stop", 0, 0))])
def test_every_launch_is_made_once_on_its_line_and_nothing_bursts(score):
    with tempfile.TemporaryDirectory() as folder:
        band = Band(pathlib.Path(folder))
        for wait_ms, act in score:
            band.pass_ns(wait_ms * 1_000_000)
            band.act(*act)
        band.playing = True
        band.report()
        band.pass_ns(9_000_000_000)
        assert band.newest not in band.asked  # what came after it may replace bars that wait; the last ones sound
        played, _ = band.rig.reader.since(0)
        ons = [p.intended_ns for p in played if p.status >> 4 == 9]
        thick = [(a, c) for a, _, c in zip(ons, ons[1:], ons[2:], strict=False) if c - a < BURST_NS]
        for a, c in thick:  # a stroke where each of two jumps in a row lands, and one before them, are no burst
            assert sum(a <= jumped_ns <= c for jumped_ns in band.jumped_ns) >= 2, (a, c)
        assert all(a <= b for a, b in itertools.pairwise(ons))
        if band.newest:
            assert ons
            assert ons[-1] > band.rig.now_ns - 2_000_000_000  # it plays on
