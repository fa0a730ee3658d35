"""The note-off invariant, under random use: every note-on is closed exactly once, nothing doubles, nothing hangs."""

from __future__ import annotations

import math
import pathlib
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from player_rig import VOICES, Rig

from bridge import messages
from bridge.player.ledger import left_open

names = st.sampled_from(sorted(VOICES))
ids = st.integers(1, 6)
kinds = st.sampled_from(["now", "step", "beat", "bar", "loop"])
lengths = st.sampled_from([0.25, 1.0, 3.0, 3.5, 4.0, 8.0])
moments = st.floats(0, 10, allow_nan=False) | st.integers(0, 32).map(lambda k: k / 4)
notes = st.lists(
    st.tuples(st.integers(60, 63), moments, st.floats(0.001, 6), st.integers(1, 127), st.integers(0, 2)), max_size=8
)


class Use(RuleBasedStateMachine):
    """What a bridge may send, in any order, with time passing in between, sometimes in leaps (a stalled process)."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.rig = Rig(pathlib.Path(self.folder.name), clock_out=True)
        self.live_beats = 0.0
        self.open_now: set[tuple[int, int, int]] = set()
        self.read_to = 0
        self.swept = self.reopened = False

    @initialize()
    def begin(self) -> None:
        self.rig.play()

    def pass_ns(self, duration_ns: int) -> None:
        self.rig.player.run_to(self.rig.now_ns + duration_ns)

    @rule(ms=st.integers(0, 3000))
    def time_passes(self, ms: int) -> None:
        self.pass_ns(ms * 1_000_000)

    @rule(ms=st.integers(0, 3000))
    def process_stalls(self, ms: int) -> None:
        self.rig.clock.move_to(self.rig.now_ns + ms * 1_000_000)
        self.rig.performer.perform(self.rig.now_ns)

    @rule(name=names, loop_id=ids, kind=kinds, length=lengths, rows=notes, ago_ms=st.integers(0, 500))
    def launch(self, name: str, loop_id: int, kind: str, length: float, rows: list, ago_ms: int) -> None:
        self.rig.send(messages.Launch(name, loop_id, self.rig.now_ns - ago_ms * 1_000_000, kind, length, rows))

    @rule(name=names, loop_id=ids, new_id=ids, length=lengths, rows=notes)
    def reshape(self, name: str, loop_id: int, new_id: int, length: float, rows: list) -> None:
        self.rig.send(messages.Reshape(name, loop_id, new_id, length, rows))

    @rule(name=names, shift=st.floats(-0.02, 0.02))
    def reshape_what_sounds(self, name: str, shift: float) -> None:
        """As a groove knob does: the same notes, moved a little."""
        loop = self.rig.performer.looper.voices[name].loop
        if loop is not None:
            rows = [(n.pitch, n.start + shift, n.duration, n.velocity, n.part) for n in loop.notes]
            self.rig.send(messages.Reshape(name, loop.id, loop.id, loop.length_beats, rows))

    @rule(name=names, kind=kinds)
    def play_voice(self, name: str, kind: str) -> None:
        self.rig.send(messages.PlayVoice(name, self.rig.now_ns, kind))

    @rule(
        record=st.one_of(
            st.builds(messages.StopVoice, names), st.builds(messages.ClearVoice, names),
            st.builds(messages.CancelPending, names), st.builds(messages.LoopVoice, names, st.booleans()),
            st.builds(messages.MuteVoice, names, st.booleans(), st.integers(-1, 2)),
            st.builds(messages.RestVoice, names, st.floats(-1, 64)),
            st.builds(messages.MoveTransport, st.sampled_from(["play", "stop", "continue"])),
            st.builds(messages.SetClock, tempo_bpm=st.floats(20, 999)), st.builds(messages.Panic, st.booleans()),
        )
    )  # fmt: skip
    def switch(self, record: object) -> None:
        self.swept = self.swept or (isinstance(record, messages.Panic) and record.every_note)
        self.rig.send(record)

    @rule(start=st.floats(-20, 20), length=lengths, rows=notes, name=names)
    def restore(self, start: float, length: float, rows: list, name: str) -> None:
        self.rig.send(messages.RestoreVoice(name, 3, start, length, rows, True, True, []))

    @rule(beats=st.floats(0, 64), playing=st.booleans(), metre=st.sampled_from([(4, 4), (3, 4), (7, 8)]))
    def live_is_elsewhere(self, beats: float, playing: bool, metre: tuple[int, int]) -> None:
        self.live_beats = beats
        self.rig.send(messages.LiveReport(self.rig.now_ns, playing, 120.0, beats, *metre, -1.0, -1.0))

    @rule(count=st.integers(1, 60))
    def live_runs(self, count: int) -> None:
        for _ in range(count):
            self.pass_ns(16_000_000)
            self.live_beats += 0.032
            self.rig.send(messages.LiveReport(self.rig.now_ns, True, 120.0, self.live_beats, 4, 4, -1.0, -1.0))

    @rule()
    def ports_are_opened_anew(self) -> None:
        """Their system died: what was open there is owed and closed on the new ports."""
        self.reopened = True
        outputs = self.rig.outputs
        outputs.unplug()
        outputs.plug(self.rig.backend.open_all("Barline", outputs.layout.names, None, lambda _stamp_ns, _message: None))
        for port in sorted(outputs.owed_ports):
            outputs.close_owed(port, heard=True)

    @invariant()
    def nothing_doubles_and_the_ledger_is_right(self) -> None:
        self.count_messages()
        assert self.open_now == self.left_open()

    @invariant()
    def whatever_is_open_has_a_voice_that_will_close_it(self) -> None:
        channels = self.rig.outputs.layout.channels
        expected = {
            (*channels[(voice.name, held.part)], held.pitch)
            for voice in self.rig.performer.looper.voices.values()
            for held in voice.held
            if (voice.name, held.part) in channels and math.isfinite(held.end_beats)
        }
        assert self.open_now <= expected

    def count_messages(self) -> None:
        """Go through what was sent since the last time; offs for keys that are not open are panic's and the owed."""
        played, self.read_to = self.rig.reader.since(self.read_to)
        for p in played:
            key = (p.port, p.status & 15, p.data1)
            if p.status >> 4 == 9:
                assert key not in self.open_now, f"{key} struck while open"
                self.open_now.add(key)
            elif p.status >> 4 == 8:
                assert key in self.open_now or self.swept or self.reopened, f"{key} closed twice"
                self.open_now.discard(key)

    def left_open(self) -> set[tuple[int, int, int]]:
        """What a successor would find if the player were killed now."""
        found = left_open(pathlib.Path(self.folder.name) / "held.bin")
        names = self.rig.outputs.layout.port_names
        return {(names.index(name.decode()), *key) for name, keys in found.items() for key in keys}

    def teardown(self) -> None:
        self.rig.performer.finish(self.rig.now_ns)
        assert self.left_open() == set()
        self.rig.reader.close()
        self.folder.cleanup()


TestUse = Use.TestCase
TestUse.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
