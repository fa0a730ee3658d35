"""`/VOICE/jam`: who listens to what is played at the MIDI input, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bridge import messages
from bridge.messages import ClockState
from bridge.session.composer import Composer
from bridge.session.listening import Listening
from bridge.session.loops import Loop
from bridge.session.outside import Request, asked_by_nobody
from bridge.session.performer import Performer
from bridge.session.responding import Responder
from bridge.session.shadowing import Follower
from bridge.session.stage import Stage, has_moved
from bridge.session.turns import Band
from bridge.session.voice import Voice

OFF: Final = "off"

Jammer = Responder | Follower
_KINDS: Final[dict[str, Callable[[Band, Voice, Request], Jammer]]] = {"respond": Responder, "follow": Follower}


class Jam:
    """All voices that jam."""

    def __init__(self, stage: Stage, composer: Composer, performer: Performer) -> None:
        """The other parts of the session."""
        self._stage = stage
        self._performer = performer
        self._listening = Listening()
        self._band = Band(stage, composer, performer, self._listening)
        self._jammers: dict[str, Jammer] = {}
        self._clock: ClockState | None = None
        stage.on_switch = self._switched

    def switch(self, voice: Voice, request: Request) -> None:
        """`off`, `respond` or `follow`, with the number of bars."""
        how = request.args["how"]
        former = self._jammers.pop(voice.name, None)
        if former is not None:
            former.end()
        was, voice.jam, voice.jam_bars = voice.jam, how, request.args["bars"]
        if how == "respond":
            self._fall_silent(voice)
        elif was == "respond":
            self._performer.set_loop(voice)
        if how != OFF:
            self._jammers[voice.name] = _KINDS[how](self._band, voice, request)
        elif was != OFF:
            self._stage.tell_phase(voice, OFF, -1.0, 0.0, request.origin)

    def forget(self, voice: Voice) -> None:
        """`clear`."""
        jammer = self._jammers.get(voice.name)
        if jammer is not None:
            jammer.forget()

    def keeps(self, voice: Voice, loop: Loop) -> bool:
        """Whether bars that were brought back wait for the voice's turn."""
        jammer = self._jammers.get(voice.name)
        return jammer is not None and jammer.keeps(loop)

    def heard(self, record: messages.Heard) -> None:
        """Something was played."""
        begun = self._listening.hear(record.rows)
        if begun:
            for jammer in self._jammers.values():
                jammer.heard(begun)

    def late(self, record: messages.Late) -> None:
        """The player got bars after their boundary."""
        jammer = self._jammers.get(record.voice)
        if jammer is not None:
            jammer.came_late(record.id)

    def clock_told(self, state: ClockState) -> None:
        """The clock has changed, or is told for the first time: voices that jammed before a restart jam on."""
        before, self._clock = self._clock, state
        for voice in self._stage.voices.values():
            if voice.jam != OFF and voice.name not in self._jammers:
                request = asked_by_nobody(voice.name, "jam")
                self._jammers[voice.name] = _KINDS[voice.jam](self._band, voice, request)
        if before is None:
            return
        moved = has_moved(before, state)
        if moved:
            self._listening.forget()
        for jammer in self._jammers.values():
            if moved:
                jammer.clock_moved(stood=not before.playing)
            else:
                jammer.clock_slid()

    def _switched(self, voice: Voice) -> None:
        """The voice was stopped, or is to play again."""
        jammer = self._jammers.get(voice.name)
        if jammer is not None:
            jammer.switched()

    def _fall_silent(self, voice: Voice) -> None:
        """A voice that responds rests while it listens: from the next bar line its loop no longer goes round."""
        clock = self._stage.clock
        voice.turned_order = self._stage.next_order()  # bars asked for before do not come in while it listens
        self._performer.cancel_pending(voice)
        self._performer.set_loop(voice)
        here = clock.beat_at(self._stage.timers.now_ns())
        line = clock.bar_line_at_or_after(here) if clock.running else -1.0
        self._stage.player.send(messages.RestVoice(voice.name, line))
