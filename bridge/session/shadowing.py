"""`jam follow`: at every bar line the loop moves a step towards what is played; where nothing is, it stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.music.answering import KeySense, Played
from bridge.music.feel import Feel
from bridge.music.metre import fitted
from bridge.music.notes import Bars, repeated_to, step_of
from bridge.music.splice import sounding_from
from bridge.session.bending import with_locks_of
from bridge.session.listening import PICK_UP_BEATS, Phrases, hears
from bridge.session.loops import Loop
from bridge.session.outside import Handle, Request
from bridge.session.turns import Band, Turns, Wish
from bridge.session.voice import Voice

_STEP: Final = 0.25  # of the way from the loop to what is played, each bar
_FURTHEST: Final = 0.9  # so near it comes: it stays a voice of its own
_SAME: Final = 0.5  # so much of the notes in common, and it is still the same that is played
_MOST_SHARE: Final = 0.5  # of a bar that asking may take
_ON_GRID_BEATS: Final = 1e-6


@dataclass(slots=True)
class _Way:
    """From a loop to what is played: the noise stays the same all the way."""

    base: Bars
    seed: int
    target: Bars
    share: float = 0.0
    loop_id: int = 0


class Follower:
    """One voice that follows."""

    def __init__(self, band: Band, voice: Voice, request: Request) -> None:
        """From the next bar line on; `request` is the one that began the jam (contract 3.3)."""
        self._band = band
        self._stage = band.stage
        self._voice = voice
        self._request = request
        self._count = voice.jam_bars
        self._turns = Turns(band, voice, request)
        self._phrases = Phrases(voice, band.listening)
        self._key = KeySense()
        self._handle: Handle | None = None
        self._heard_to = -1.0
        self._line_beats = 0.0
        self._way: _Way | None = None
        self._generation = self._given_id = 0
        self._begin()

    # -- what happens around it ------------------------------------------------------------------------------------

    def heard(self, begun: list[Played]) -> None:
        """Notes have begun: the next bar line moves the loop."""
        for note in begun:
            if hears(self._voice, note):
                self._heard_to = max(self._heard_to, note.start_beats)

    def clock_moved(self, *, stood: bool) -> None:  # noqa: ARG002 - what jams have in common
        """The clock has started, stopped or leapt: what was played before counts no more."""
        self._turns.void()
        self._begin()

    def clock_slid(self) -> None:
        """Tempo or metre are others."""
        self._plan()

    def switched(self) -> None:
        """The voice was stopped, and does not move, or is to play again."""

    def came_late(self, loop_id: int) -> None:
        """The player got a step after its beat: it takes the next one, as it would anyway."""

    def forget(self) -> None:
        """`clear`: the next loop is made of what is played alone."""
        self._turns.void()
        self._generation += 1

    def keeps(self, loop: Loop) -> bool:  # noqa: ARG002 - what jams have in common
        """Bars that were brought back sound where they always do: it listens while it plays."""
        return False

    def end(self) -> None:
        """No more jamming: the loop stays as it is."""
        self._turns.void()
        self._generation += 1
        self._cancel_plan()

    # -- bar by bar ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        clock = self._stage.clock
        self._generation += 1
        self._heard_to = -1.0
        here = clock.beat_at(self._stage.timers.now_ns())
        self._line_beats = clock.bar_line_at_or_after(here + PICK_UP_BEATS)
        self._tell()
        self._plan()

    def _plan(self) -> None:
        """Shortly before the next bar line the engine is asked."""
        self._cancel_plan()
        clock, timers = self._stage.clock, self._stage.timers
        if not clock.running:
            return
        here = clock.beat_at(timers.now_ns())
        bar_ms = clock.bar_beats * 60_000.0 / clock.bpm
        lead_ms = min(self._turns.lead_ms(0.0), _MOST_SHARE * bar_ms)
        self._line_beats = clock.nearest_bar_line(self._line_beats)
        while (wait_ms := (self._line_beats - here) * 60_000.0 / clock.bpm - lead_ms) < 0.0:
            self._line_beats += clock.bar_beats
        self._handle = timers.call_later(wait_ms / 1000.0, self._move)

    def _cancel_plan(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _move(self) -> None:
        """The line is near: if anything was played in this bar, the loop moves towards the last bars."""
        voice, clock, line = self._voice, self._stage.clock, self._line_beats
        self._handle = None
        present = voice.present
        if voice.playing and self._heard_to >= line - clock.bar_beats - PICK_UP_BEATS:
            phrase = self._phrases.heard(line - self._count * clock.bar_beats, line)
            self._phrases.remember(line - clock.bar_beats, line)
            self._key.hear(phrase.bars)
            if phrase.bars.notes and present is not None and present.bars.notes and not voice.is_foreign(present):
                start = voice.start_beats if voice.start_beats >= 0 else line
                length = self._stage.length_of(present)
                kind = "drums" if voice.is_drums else "line"
                target = in_phase(phrase.bars, line - phrase.bars.length - start, length, kind)
                self._step_on(present, target, phrase.feel, line)
            elif phrase.bars.notes:
                wish = Wish("next", (phrase.bars,), self._count, 0.0, phrase.bars, self._key.classes_with(phrase.bars))
                self._ask(wish, self._stage.archive.new_id(), phrase.feel, line)
        self._line_beats = line + clock.bar_beats
        self._plan()

    def _step_on(self, present: Loop, target: Bars, feel: Feel, line_beats: float) -> None:
        """One step further on the way; where something else is played, or another loop sounds, a new way begins."""
        way, loop_id = self._way, self._stage.archive.new_id()
        if way is None or way.loop_id != present.id or common_share(way.target, target) < _SAME:
            base = fitted(present.bars, present.bar_beats, self._stage.clock.bar_beats)
            way = _Way(base, self._voice.draw_seed(), target)
        way.target, way.loop_id, way.share = target, loop_id, min(way.share + _STEP, _FURTHEST)
        self._way = way
        classes = self._key.classes_with(target)
        self._ask(
            Wish("towards", (way.base, target), self._count, way.share, target, classes, way.seed),
            loop_id, feel, line_beats,
        )  # fmt: skip

    def _ask(self, wish: Wish, loop_id: int, feel: Feel, line_beats: float) -> None:
        now, bar_beats, drums = self._generation, self._stage.clock.bar_beats, self._voice.is_drums

        def take(bars: Bars, _ill: float) -> None:
            self._take(Loop(loop_id, bars, loop_id, None, feel, bar_beats, drums=drums), line_beats, now)

        self._turns.ask(wish, loop_id, 0.0, take)

    def _take(self, loop: Loop, line_beats: float, generation: int) -> None:
        """It takes over at the line, or at the first beat after it, and goes on where the loop before it was."""
        voice, clock, timers = self._voice, self._stage.clock, self._stage.timers
        if not clock.running or generation != self._generation:
            return
        boundary = "beat" if clock.is_on_beat(line_beats) else "step"
        step_beats = 1.0 if boundary == "beat" else 0.25
        early_beats = line_beats - step_beats - clock.beat_at(timers.now_ns())
        if early_beats >= 0.0:
            wait_s = (early_beats + 0.1 * step_beats) * 60.0 / clock.bpm
            timers.call_later(wait_s, lambda: self._take(loop, line_beats, generation))
            return
        if voice.pending is not None and voice.pending.id != self._given_id:
            return  # bars that somebody asked for wait
        loop = with_locks_of(voice, loop)
        self._given_id = loop.id
        voice.newest, voice.newest_order = loop.source, self._stage.next_order()
        boundary = boundary if voice.present is not None else "bar"
        self._band.performer.launch(voice, loop, self._request.origin, timers.now_ns(), boundary)
        self._stage.voice_changed(voice)

    def _tell(self) -> None:
        length_beats = self._stage.clock.bar_beats
        self._stage.tell_phase(self._voice, "follow", self._line_beats, length_beats, self._request.origin)


def common_share(one: Bars, other: Bars) -> float:
    """How much of the smaller set of strokes (place and pitch) is in the other too."""
    strokes = [{(step_of(note.start), note.pitch) for note in bars.notes} for bars in (one, other)]
    return len(strokes[0] & strokes[1]) / max(1, min(len(each) for each in strokes))


def in_phase(bars: Bars, at_beats: float, length_beats: float, kind: str) -> Bars:
    """Bars that were played from `at_beats` of a loop on, as a loop of that length in phase with it: what is longer
    gives its last `length_beats`, what is shorter goes round. `kind` is what the voice plays.
    """
    if bars.length > length_beats + _ON_GRID_BEATS:
        at_beats += bars.length - length_beats
        bars = sounding_from(bars, bars.length - length_beats, length_beats, kind)
    bars = repeated_to(bars, length_beats)
    turned = at_beats % length_beats
    if turned < _ON_GRID_BEATS or length_beats - turned < _ON_GRID_BEATS:
        return bars
    return sounding_from(bars, -turned, length_beats, kind)
