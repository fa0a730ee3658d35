"""Fills: one bar of the drums (of a trio's drums alone) played otherwise, once; the loop is as it was before and after.

The bars keep their id: a fill is heard in them for its bar alone, as a groove knob is heard in them. It is made in the
bar before at the latest, so that it is there when its bar begins.
"""

from __future__ import annotations

import math
from dataclasses import replace

from bridge.music.locking import with_locked
from bridge.music.metre import fitted
from bridge.music.notes import Bars, repeated_to
from bridge.music.splice import with_bar
from bridge.player.voice import KEEPS_START
from bridge.session.bending import lock_of
from bridge.session.composer import Composer
from bridge.session.loops import Loop, Material, Recipe
from bridge.session.outside import NOT_NOW, RefusedError, Request, asked_by_nobody
from bridge.session.performer import Performer
from bridge.session.restoring import NEAR_LINE_BEATS
from bridge.session.stage import Stage
from bridge.session.voice import Fill, Voice

_NEARLY = 1e-6
_AT_ONCE_BEATS = 0.25  # a song that starts so soon after a bar line starts with that bar


class Fills:
    """The fills of all voices: those that were asked for, and the regular ones."""

    def __init__(self, stage: Stage, composer: Composer, performer: Performer) -> None:
        """The other parts of the session."""
        self._stage = stage
        self._composer = composer
        self._performer = performer
        self._wanted: dict[str, tuple[float, Request]] = {}
        self._every: dict[str, Request] = {}
        self._made: dict[str, tuple[float, int]] = {}
        self._set_aside: dict[str, Fill] = {}

    # -- requests --------------------------------------------------------------------------------------------------

    def do_fill(self, voice: Voice, request: Request) -> None:
        """A fill in the bar to come."""
        self._check_drums(voice)
        self._composer.check_can_play(voice)
        if voice.present is None and self._composer.is_done(voice):
            raise _no_loop(voice)
        drawn = voice.seeds_drawn
        wanted = replace(request, args={"seed": voice.draw_seed()})  # of this request, wherever its bar comes to lie
        try:
            self._composer.with_bars(voice, wanted, lambda: self._fill(voice, wanted))
        except RefusedError:  # it has changed nothing, nor what comes next
            voice.seeds_drawn = drawn
            raise

    def _fill(self, voice: Voice, request: Request) -> None:
        if voice.present is None:
            raise _no_loop(voice)
        clock, now = self._stage.clock, self._stage.clock.beat_at(request.arrival_ns)
        start = clock.bar_line_at_or_before(now) + clock.bar_beats if clock.running else clock.bar_line_at_or_after(now)
        loop, loop_start = _sounding_at(voice, start)
        if loop is not None and self._is_locked(voice, loop, start, loop_start):
            raise RefusedError(NOT_NOW, f"the bar to come is locked: a fill would change it (/{voice.name}/lock)")
        self._wanted[voice.name] = start, request
        self._made.pop(voice.name, None)  # asked for once more, it is another one
        self._make(voice, start, request)

    def do_fill_every(self, voice: Voice, request: Request) -> None:
        """A fill in the last of so many bars of the song, again and again; 0: no more."""
        self._check_drums(voice)
        voice.knobs.fill_every = request.args["bars"]
        self._every[voice.name] = request
        if self._stage.clock.running:  # the bar to come may be the first of them, and its last beat may have begun
            self.beat_came(int(self._stage.clock.beat_at(request.arrival_ns)))

    def forget(self, voice: Voice) -> None:
        """`clear`: the fill that was asked for is of no bar any more."""
        self._wanted.pop(voice.name, None)
        self._set_aside.pop(voice.name, None)

    def bar_locked(self, voice: Voice) -> None:
        """A bar of the present loop was locked: a fill that is still to begin in it is called off. One that sounds ends
        by itself, and leaves the bar as the loop has it.
        """
        fill = voice.fill
        if fill is None or self._stage.clock.beat_at(self._stage.timers.now_ns()) >= fill.from_beats:
            return
        loop, loop_start = _sounding_at(voice, fill.from_beats)
        if loop is not None and self._is_locked(voice, loop, fill.from_beats, loop_start):
            self._unwant(voice, fill.from_beats)
            self._end(voice)

    def _unwant(self, voice: Voice, start_beats: float) -> None:
        if abs(self._wanted.get(voice.name, (math.inf, None))[0] - start_beats) < _NEARLY:
            del self._wanted[voice.name]

    def _check_drums(self, voice: Voice) -> None:
        if not voice.takes_fills:
            raise RefusedError(NOT_NOW, f"fills are for drums; {voice.name} plays {voice.model}")

    # -- time ------------------------------------------------------------------------------------------------------

    def clock_moved(self, *, started: bool) -> None:
        """The song starts, stops or goes on elsewhere: bars that come round again want their fills again. One that was
        asked for is the first bar's while nothing plays, and of no bar once its own has been left behind.
        """
        self._made.clear()
        if not started:
            self._wanted.clear()
        clock = self._stage.clock
        for voice in self._stage.voices.values():
            if not clock.running:
                self._lay_aside(voice)
            elif started:
                self._take_up(voice)
        began = 0.0 if clock.state is None else clock.state.anchor_beats  # some ms before it is told
        first = clock.bar_line_at_or_after(began - _AT_ONCE_BEATS)
        for name, (start, request) in list(self._wanted.items()):
            if abs(start - first) > _NEARLY:
                self._wanted[name] = first, request
                self._make(self._stage.voices[name], first, request)

    def metre_changed(self) -> None:
        """The song's bars have another length: fills are of no bar of it. One that was asked for, and not heard yet, is
        made for the bar to come.
        """
        clock = self._stage.clock
        here = clock.beat_at(self._stage.timers.now_ns())
        self._made.clear()
        self._set_aside.clear()
        for voice in self._stage.voices.values():
            voice.fill = None
            start, request = self._wanted.pop(voice.name, (0.0, None))
            if request is not None and not clock.running:
                self._wanted[voice.name] = clock.bar_line_at_or_after(here), request
            elif request is not None and start > here:
                start = clock.bar_line_at_or_before(here + NEAR_LINE_BEATS) + clock.bar_beats
                self._wanted[voice.name] = start, request

    def remake(self) -> None:
        """What is still wanted is made of the loops as they now are."""
        for name, (start, request) in self._wanted.items():
            self._make(self._stage.voices[name], start, request)

    def beat_came(self, beat: int) -> None:
        """A beat of the song: fills that are over give way to their loop, those of the next bar are made."""
        clock = self._stage.clock
        start = clock.bar_line_at_or_before(beat) + clock.bar_beats
        origin = 0.0 if clock.state is None else clock.state.bar_origin_beats
        number = round((start - origin) / clock.bar_beats)
        for voice in self._stage.voices.values():
            fill = voice.fill
            if fill is not None and not fill.from_beats - clock.bar_beats <= beat < fill.until_beats - _NEARLY:
                self._end(voice)
            wanted_at, request = self._wanted.get(voice.name, (math.inf, None))
            if wanted_at < start - _NEARLY:  # it is heard now, or its bar is over
                del self._wanted[voice.name]
            every = voice.knobs.fill_every
            if every and (number + 1) % every == 0:
                regular = asked_by_nobody(voice.name, "fill_every", bars=every)
                wanted_at, request = start, self._every.get(voice.name, regular)
            if request is not None and abs(wanted_at - start) < _NEARLY and voice.playing and voice.model_ready:
                self._make(voice, start, request)

    def _lay_aside(self, voice: Voice) -> None:
        """The song stops: where it starts again is not known before it does, and a fill is not to be struck there."""
        if voice.fill is not None:
            self._set_aside[voice.name] = voice.fill
            self._end(voice)

    def _take_up(self, voice: Voice) -> None:
        """The song starts: a fill that it stopped in, or shortly before, goes on where that is played on from."""
        fill, clock = self._set_aside.pop(voice.name, None), self._stage.clock
        here = clock.beat_at(self._stage.timers.now_ns())
        loops = {loop.id for loop in (voice.sounding, voice.pending) if loop is not None}
        if fill is None or voice.fill is not None or fill.loop_id not in loops:
            return
        if fill.from_beats - clock.bar_beats <= here < fill.until_beats - _NEARLY:
            voice.fill = fill
            self._performer.regroove(voice)

    def _end(self, voice: Voice) -> None:
        voice.fill = None
        self._performer.regroove(voice)

    # -- making one ------------------------------------------------------------------------------------------------

    def _make(self, voice: Voice, start_beats: float, request: Request) -> None:
        """Ask the engine for a fill in whichever bars will sound then; nothing where that has been done."""
        loop, loop_start = _sounding_at(voice, start_beats)
        if (
            loop is None
            or not voice.takes_fills
            or voice.is_foreign(loop)
            or not voice.model_ready
            or self._made.get(voice.name) == (start_beats, loop.id)
        ):
            return
        if self._is_locked(voice, loop, start_beats, loop_start):
            return
        self._made[voice.name] = start_beats, loop.id
        bar_beats = self._stage.clock.bar_beats
        bars = fitted(loop.bars, loop.bar_beats, bar_beats)
        if bars.length < 2 * bar_beats - _NEARLY:  # the bar that sounds now is the same bar of the loop: twice round
            bars = repeated_to(bars, bars.length * math.ceil(2 * bar_beats / bars.length - _NEARLY))
        place = (start_beats - max(0.0, loop_start)) % bars.length
        seed = request.args.get("seed", voice.seed_for(f"fill:{start_beats}"))
        recipe = Recipe(
            "fill", voice.model, (Material.of(bars, bar_beats),), 0, bar_beats, 0.0, seed, {"fill": {"start": place}}
        )
        made = Fill(loop.id, bars, place, start_beats, start_beats + bar_beats)
        self._composer.start_beside(
            voice, request, recipe, loop.id, lambda filled: self._play(voice, request, made, filled.bars)
        )

    def _is_locked(self, voice: Voice, loop: Loop, start_beats: float, loop_start: float) -> bool:
        """Whether the bar of the loop that sounds at a bar line is to stay as it is."""
        into = (start_beats - max(0.0, loop_start)) % self._stage.length_of(loop)
        return round(into / self._stage.clock.bar_beats) in voice.knobs.locked

    def _play(self, voice: Voice, request: Request, made: Fill, filled: Bars) -> None:
        loop = next((known for known in (voice.sounding, voice.pending) if known and known.id == made.loop_id), None)
        clock, now_ns = self._stage.clock, self._stage.timers.now_ns()
        beat = clock.beat_at(now_ns)
        is_of_this_metre = abs(made.until_beats - made.from_beats - clock.bar_beats) < _NEARLY
        is_gone = loop is None or not is_of_this_metre or (clock.running and beat >= made.until_beats)
        loop_start = _sounding_at(voice, made.from_beats)[1]
        if loop is not None and self._is_locked(voice, loop, made.from_beats, loop_start):
            is_gone = True
            self._unwant(voice, made.from_beats)
        if loop is None or is_gone:
            if request.verb == "fill" and self._wanted.get(voice.name, (0.0, None))[1] is not request:
                gone = f"{voice.name}: the bar of the fill was over or locked, or its loop gone, before it was made"
                self._stage.refuse(request.origin, request.address, RefusedError(NOT_NOW, gone))
            return
        lock = lock_of(voice, loop, clock.bar_beats)
        filled = filled if lock is None else with_locked(filled, lock, "drums" if voice.is_drums else "trio")
        before = voice.fill
        sounds = before is not None and before.from_beats < made.from_beats and beat < before.until_beats
        beside: tuple[float, ...] = ()
        if before is not None and sounds and (before.loop_id, before.bars.length) == (loop.id, filled.length):
            filled, beside = with_bar(filled, before.bars, before.start, clock.bar_beats), (before.start,)
        voice.fill = replace(made, bars=filled, beside=beside)
        self._performer.reshape(voice, loop.id, loop)
        handed = voice.handed.get(loop.id)
        if handed is not None and not handed.confirmed:
            return  # told when the player confirms them
        start = voice.start_beats if loop is voice.sounding else -1.0 if handed is None else handed.start_beats
        latency_ms = (now_ns - request.arrival_ns) / 1e6 if request.verb == "fill" else 0.0
        self._stage.announce_bars(voice, loop, start, latency_ms, request.origin)


def _no_loop(voice: Voice) -> RefusedError:
    return RefusedError(NOT_NOW, f"{voice.name} has no loop to play a fill in: ask for next or sample first")


def _sounding_at(voice: Voice, beats: float) -> tuple[Loop | None, float]:
    """The loop that will sound from a beat on, and where it begins: bars that wait may take over before."""
    pending = voice.pending
    if pending is not None:
        handed = voice.handed.get(pending.id)
        starts = -1.0 if handed is None else handed.start_beats
        soon = voice.knobs.launch in KEEPS_START or 0.0 <= starts <= beats + _NEARLY
        if soon and handed is not None and handed.silence:
            return None, -1.0
        if voice.sounding is None or soon:
            return pending, starts
    return voice.sounding, voice.start_beats
