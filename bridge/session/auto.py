"""Voices that go on by themselves: new bars each time so many have been played."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bridge import limits
from bridge.session.outside import RefusedError, Request
from bridge.session.performer import Performer
from bridge.session.stage import Stage
from bridge.session.voice import Voice

_NEARLY: Final = 1e-6


class Auto:
    """Asks for the next bars of every voice on `auto` in the last bar before they are due, so that they are in time."""

    def __init__(
        self, stage: Stage, ask_next: Callable[[Voice, Request, str], None], call_off: Callable[[Voice], None]
    ) -> None:
        """`ask_next` is what a click on *next* does, with the launch boundary it is to sound at; `call_off` forgets the
        bars of a voice that wait.
        """
        self._stage = stage
        self._ask_next = ask_next
        self._call_off = call_off
        self._last_beat: int | None = None
        self._launched: dict[str, float] = {}

    def switch(self, voice: Voice, request: Request) -> None:
        """So many bars from the launch of what sounds (where nothing does: at once); 0: no more. Bars that it has asked
        for by itself, and that are not to come now after all, are called off: what sounds goes on.
        """
        voice.auto_bars = request.args["bars"]
        voice.auto_request = request if voice.auto_bars else None
        clock = self._stage.clock
        if voice.auto_bars and self._is_due(voice, clock.beat_at(self._stage.timers.now_ns())):
            return
        voice.auto_order = self._stage.next_order()
        if voice.pending is not None and voice.pending.id == voice.auto_id and Performer.begun(voice) is None:
            self._call_off(voice)

    def beat_came(self, beat: int) -> None:
        """A beat of the song has come: whatever is due within a bar is asked for now. Bars are counted as
        they are played: a song that jumps, or goes round a loop brace, plays them too.
        """
        leapt = 0 if self._last_beat is None else beat - self._last_beat - 1
        self._last_beat = beat
        bar_beats = self._stage.clock.bar_beats
        for voice in self._stage.voices.values():
            is_new = voice.launched_beats != self._launched.get(voice.name)
            if not (is_new and beat - 1 < voice.launched_beats <= beat + _NEARLY):  # launched where the song landed
                voice.launched_beats += leapt
            self._launched[voice.name] = voice.launched_beats
            request = voice.auto_request
            if request is None or not voice.playing or voice.pending is not None or voice.click_job or voice.queue:
                continue
            if voice.jam != "off" or voice.morphing:  # a next turn would call off what was asked for
                continue
            if not voice.model_ready and not voice.model_fault:  # the next engine is on its way: the loop goes round
                continue
            if not self._is_due(voice, beat):
                continue
            length_bars = 2 if voice.present is None else round(self._stage.length_of(voice.present) / bar_beats)
            bars = min(max(1, length_bars), limits.MAX_BARS)
            asked = replace(request, args={"bars": bars}, arrival_ns=self._stage.timers.now_ns())
            try:
                self._ask_next(voice, asked, "bar")
            except RefusedError as error:
                voice.auto_bars, voice.auto_request = 0, None
                self._stage.refuse(request.origin, request.address, error)
                self._stage.voice_changed(voice)

    def _is_due(self, voice: Voice, beat: float) -> bool:
        """Whether its next bars are to come within a bar; where nothing sounds: now."""
        bar_beats = self._stage.clock.bar_beats
        due_beats = voice.launched_beats + voice.auto_bars * bar_beats
        return voice.sounding is None or beat >= due_beats - bar_beats
