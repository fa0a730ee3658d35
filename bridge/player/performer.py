"""The player's logic as one object that is told the time: clock, voices, outputs.

The process (`app`) drives it with the machine's clock, tests with one that runs an hour in seconds. It opens nothing
and waits for nothing.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bridge import messages
from bridge.player.clock_out import ClockOut
from bridge.player.hearing import Hearing
from bridge.player.looper import Looper
from bridge.player.loops import Sound
from bridge.player.outputs import Outputs
from bridge.player.preview_tap import PreviewTap
from bridge.timing.changes import Change, Shift
from bridge.timing.midi import SYSTEM
from bridge.timing.tempo_map import TempoMap
from bridge.timing.timekeeper import Timekeeper

log = logging.getLogger(__name__)

STATE_EVERY_NS: Final = 2_000_000_000  # a followed clock's state is told at least so often
SLIDE_TOLD_MS: Final = 3.0  # small corrections of a followed phase are not worth a message of their own
TEMPO_TOLD: Final = 5e-4  # of the tempo: a measured one is never quite the same; this is 1 ms in two seconds
SLIDE_PAUSE_NS: Final = 100_000_000
SWEEP_PAUSE_NS: Final = 5_000_000  # between the channels of a sweep: JACK's ring of a port holds some 2,000 messages
RESTORING: Final = (messages.RestoreTransport, messages.RestoreVoice, messages.Launch, messages.MoveTransport)


class Performer:
    """Handles records, performs what is due, collects events in `outbox`."""

    def __init__(
        self,
        timekeeper: Timekeeper,
        voices: Mapping[str, tuple[int, ...]],
        outputs: Outputs,
        preview: PreviewTap | None = None,
        input_latency_ms: float = 0.0,
    ) -> None:
        """Stopped and silent; `preview` hears what is sent; `input_latency_ms`: see `Hearing`."""
        self.timekeeper = timekeeper
        self.outputs = outputs
        self.looper = Looper(voices, timekeeper.map)
        self.outbox = self.looper.outbox
        self.fresh = True
        self.hearing = Hearing(self.outbox.append, input_latency_ms)
        self._clock_out = ClockOut(outputs) if outputs.layout.names[-1:] == ("clock",) else None
        self._preview = preview
        outputs.tap = None if preview is None else preview.sent
        self._floor_ns = 0
        self._told = timekeeper.state()
        self._told_ns = 0
        self._sweep: list[tuple[int, int]] = []
        self._sweep_ns = 0

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_due_ns(self) -> int:
        """When `perform` has something to do."""
        due_ns = self.timekeeper.next_check_ns()
        for other_ns in (
            self.looper.next_due_ns(),
            self._clock_out.next_due_ns(self.looper.map) if self._clock_out else None,
            self._preview.next_due_ns(self.looper.map) if self._preview else None,
            self._sweep_ns if self._sweep else None,
            self.hearing.next_due_ns(),
            self._told_ns + STATE_EVERY_NS if self.timekeeper.followed else None,
        ):
            if other_ns is not None and other_ns < due_ns:
                due_ns = other_ns
        return due_ns

    def perform(self, now_ns: int) -> None:
        """Send all that is due by now."""
        if now_ns >= self.timekeeper.next_check_ns():
            self._apply(self.timekeeper.check(now_ns), now_ns)
        self._sound(self.looper.advance(now_ns))
        if self._clock_out is not None:
            self._clock_out.advance(self.looper.map, now_ns)
        if self._preview is not None:
            self._preview.advance(self.looper.map, now_ns)
        if self._sweep and now_ns >= self._sweep_ns:
            self.outputs.every_note_off(*self._sweep.pop(), now_ns)
            self._sweep_ns = now_ns + SWEEP_PAUSE_NS
        self.hearing.flush(now_ns)
        if self.timekeeper.followed and now_ns - self._told_ns >= STATE_EVERY_NS:
            self._tell_clock(now_ns)

    def finish(self, now_ns: int) -> None:
        """Close every note: the last thing a player does."""
        self.outputs.close_all(now_ns)
        if self._clock_out is not None and self.looper.map.playing:
            self._clock_out.change(Change(Shift.STOP), now_ns)

    # -- records ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[object]:
        """The clock and every voice, for a bridge that has just come."""
        return [self.timekeeper.state(), *(voice.snapshot() for voice in self.looper.voices.values())]

    def handle(self, record: Any, now_ns: int) -> None:
        """Do what a record of the bridge says, now. What it says wrongly is logged and changes nothing."""
        self.perform(now_ns)
        if isinstance(record, RESTORING):
            self.fresh = False
        try:
            self._handle(record, now_ns)
        except (ValueError, TypeError) as fault:
            log.warning("refused %s: %s", type(record).__name__, fault)
            return
        self.perform(now_ns)

    def midi_in(self, stamp_ns: int, message: Sequence[int], now_ns: int) -> None:
        """A MIDI message that came in at `stamp_ns`: clock and transport go to the timekeeper, what somebody plays
        along is heard.
        """
        if not message:  # the port has gone
            self.hearing.close(self.looper.map.beat_at_ns(now_ns), lost=True)
            return
        if message[0] < SYSTEM:
            self.hearing.midi_in(stamp_ns, message, self.looper.map)
            return
        self.perform(now_ns)
        self._apply(self.timekeeper.midi_in(stamp_ns, message), now_ns)
        self.perform(now_ns)

    def ports_came(self, grain_ms: float, now_ns: int) -> None:
        """There are other ports than before. `grain_ms`: what comes in is stamped only so often."""
        self.timekeeper.midi_grain(grain_ms)
        if self._clock_out is not None:
            self._clock_out.begin_again(self.looper.map, now_ns)

    def input_came(self, deaf: str, now_ns: int) -> None:
        """The input has come or gone. `deaf`: why no MIDI clock can be heard, in plain words; empty where one can."""
        self.timekeeper.set_missing("midi", deaf)
        if self._worth_telling(now_ns):
            self._tell_clock(now_ns)

    def _handle(self, record: Any, now_ns: int) -> None:
        looper, keeper = self.looper, self.timekeeper
        match record:
            case messages.LiveReport():
                self._apply(keeper.live(record), now_ns)
            case messages.Launch():
                looper.launch(record, now_ns)
            case messages.Reshape():
                self._sound(looper.reshape(record, now_ns), now_ns)
            case messages.PlayVoice():
                looper.resume(record, now_ns)
            case messages.RestoreVoice():
                self._sound(looper.restore(record, now_ns), now_ns)
            case messages.SetClock():
                self._set_clock(record, now_ns)
            case messages.MoveTransport(action):
                self._apply(keeper.transport(action, now_ns), now_ns)
            case messages.RestoreTransport():
                values = [getattr(record, field.name) for field in dataclasses.fields(TempoMap)]
                self._apply(keeper.restore(TempoMap(*values), now_ns), now_ns)
                self._tell_clock(now_ns)  # the bridge goes by what the player before has said: who was followed, too
            case messages.AimPreview(port):
                if self._preview is not None:
                    self._preview.aim(port)
            case messages.Panic(every_note):
                self._panic(every_note, now_ns)
            case _:
                self._sound(looper.switch(record, now_ns), now_ns)

    def _set_clock(self, record: messages.SetClock, now_ns: int) -> None:
        keeper = self.timekeeper
        if record.source is not None:
            self._apply(keeper.set_source(record.source, now_ns), now_ns)
        if record.tempo_bpm is not None:
            self._apply(keeper.set_tempo(record.tempo_bpm, now_ns, restored=record.restored), now_ns)
        if record.offset_ms is not None:
            self._apply(keeper.set_offset(record.offset_ms, record.offset_source), now_ns)
        if record.nudge_ms is not None:
            self._apply(keeper.nudge(record.nudge_ms), now_ns)

    def _panic(self, every_note: bool, now_ns: int) -> None:
        self.looper.panic(now_ns)
        closed = self.outputs.close_all(now_ns)
        self.outputs.silence_channels(now_ns)
        if every_note:
            self._sweep = [(port, channel) for channel in reversed(range(16)) for port in self.outputs.note_ports]
            self._sweep_ns = now_ns
        self.outbox.append(messages.Panicked(closed))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _apply(self, change: Change | None, now_ns: int) -> None:
        """Go by the timekeeper's map from now on."""
        if self.timekeeper.notices:
            self.outbox += [messages.Notice(text) for text in self.timekeeper.notices]
            self.timekeeper.notices.clear()
        if change is None:
            return
        if change.shift is not Shift.SLIDE:
            self.hearing.close(self.looper.map.beat_at_ns(now_ns))
        self._sound(self.looper.change(change, self.timekeeper.map, now_ns), now_ns)
        if self._clock_out is not None:
            self._clock_out.change(change, now_ns)
        if self._preview is not None:
            self._preview.change(change, self.looper.map)
        if change.shift in (Shift.START, Shift.LEAP):
            self._floor_ns = now_ns
            self._sound(self.looper.advance(now_ns, change.from_beats))
        if change.shift is not Shift.SLIDE or self._worth_telling(now_ns):
            self._tell_clock(now_ns)

    def _worth_telling(self, now_ns: int) -> bool:
        """A followed clock slides with every report; a tempo, a metre or an audible shift are told."""
        state, told = self.timekeeper.state(), self._told
        alike = (
            "source", "playing", "numerator", "denominator", "bar_origin_beats", "followed",
            "takes_tempo", "takes_transport", "missing",
        )  # fmt: skip
        if any(getattr(state, name) != getattr(told, name) for name in alike):
            return True
        if not state.playing:
            return state.anchor_beats != told.anchor_beats or state.tempo_bpm != told.tempo_bpm
        if not state.followed:
            return True
        told_map = TempoMap(told.anchor_ns, told.anchor_beats, told.tempo_bpm, told.playing)
        apart_beats = self.timekeeper.map.beat_at_ns(now_ns) - told_map.beat_at_ns(now_ns)
        apart_ms = abs(apart_beats) * 60_000 / state.tempo_bpm
        moved = apart_ms > SLIDE_TOLD_MS or abs(state.tempo_bpm - told.tempo_bpm) > TEMPO_TOLD * told.tempo_bpm
        return moved and now_ns - self._told_ns >= SLIDE_PAUSE_NS

    def _tell_clock(self, now_ns: int) -> None:
        self._told = self.timekeeper.state()
        self._told_ns = now_ns
        self.outbox.append(self._told)

    def _sound(self, sounds: list[Sound], at_ns: int | None = None) -> None:
        """Send notes; each is meant for its beat, or for `at_ns` where it is an immediate act."""
        if not sounds:
            return
        tempo_map = self.looper.map
        for due_beats, on, voice, part, pitch, velocity in sounds:
            intended_ns = max(tempo_map.ns_at_beat(due_beats), self._floor_ns) if at_ns is None else at_ns
            if on:
                self.outputs.note_on((voice, part), pitch, velocity, intended_ns)
                self.hearing.sent(voice, pitch, velocity, intended_ns)
            else:
                self.outputs.note_off((voice, part), pitch, intended_ns)
