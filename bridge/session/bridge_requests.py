"""What the requests to the bridge and the clock do (contract 3.1 and 3.2)."""

from __future__ import annotations

from bridge import limits, messages
from bridge.music.harmony import Chord, ChordLoop
from bridge.session.gestures import Gestures
from bridge.session.outside import NOT_NOW, RefusedError, Request
from bridge.session.scenes import Scenes
from bridge.session.stage import Stage
from bridge.timing import link

_TAPS = 8
_TAP_PAUSE_NS = 3_100_000_000  # at the slowest tempo a beat takes 3 s: a longer pause begins a new count


class BridgeRequests:
    """The verbs of `/bridge/…` and `/clock/…`; ping, state and subscriptions are the OSC server's."""

    def __init__(self, stage: Stage, scenes: Scenes, gestures: Gestures) -> None:
        """`stage` is shared with the other parts of the session."""
        self._stage = stage
        self._scenes = scenes
        self._gestures = gestures
        self._taps_ns: list[int] = []
        self._last_panic_ns: int | None = None

    def handle(self, request: Request) -> None:
        """Do what was asked.

        Raises:
            RefusedError: with the code and words of the answer.
        """
        getattr(self, f"{request.scope}_{request.verb}")(request)

    # -- /bridge ---------------------------------------------------------------------------------------------------

    def bridge_panic(self, request: Request) -> None:
        """Everything silent at once."""
        if not self._stage.player.connected:
            raise RefusedError(NOT_NOW, "the player is being restarted, and closes what was open when it is there")
        now_ns = self._stage.timers.now_ns()
        again = self._last_panic_ns is not None and now_ns - self._last_panic_ns < limits.PANIC_REPEAT_S * 1e9
        self._last_panic_ns = now_ns
        self._stage.panics.append(request.origin)
        self._stage.player.send(messages.Panic(every_note=again))
        for voice in self._stage.voices.values():
            voice.playing = False
            self._stage.on_switch(voice)
            self._stage.voice_changed(voice)

    def bridge_save(self, request: Request) -> None:
        """Keep a scene."""
        self._scenes.save(request.args["name"])

    def bridge_load(self, request: Request) -> None:
        """Bring a scene back."""
        self._scenes.load(request.args["name"], request)

    def bridge_key(self, request: Request) -> None:
        """The session's key: bars that sound and wait are made again in it."""
        harmony, args = self._stage.harmony, request.args
        harmony.ask(args["tonic"], args["mode"])
        for voice in sorted(self._stage.voices.values(), key=lambda voice: voice.newest_order):
            if voice.newest is not None and not voice.is_drums:
                harmony.hear(voice.name, voice.newest.bars)
        self._stage.tell_key()
        self._remake_all(request)

    def bridge_chords(self, request: Request) -> None:
        """A chord loop to lean on, or none."""
        length, rows = request.args["length"], request.args["chords"]
        chords = sorted((Chord(*row) for row in rows or ()), key=lambda chord: chord.beat)
        self._stage.harmony.chords = None if length is None else ChordLoop(tuple(chords), length)
        self._stage.save_soon()
        self._remake_all(request)

    def _remake_all(self, request: Request) -> None:
        for voice in self._stage.voices.values():
            if not voice.is_drums:
                self._gestures.remake(voice, request)

    def panicked(self, n_notes: int) -> None:
        """The player has closed everything."""
        if self._stage.panics:
            self._stage.outbox.reply(self._stage.panics.pop(0), "/bridge/panicked", n_notes)

    def player_gone(self) -> None:
        """The player has ended before it could say what it closed: the next one closes that, and nobody is answered
        with the count of another's panic.
        """
        away = RefusedError(NOT_NOW, "the player ended meanwhile; the next one closes what was open")
        for origin in self._stage.panics:
            self._stage.refuse(origin, "/bridge/panic", away)
        self._stage.panics.clear()

    # -- /clock ----------------------------------------------------------------------------------------------------

    def _refuse_if_followed(self, what: str) -> None:
        state = self._stage.clock.state
        if self._stage.clock.followed and state is not None:
            if state.takes_tempo if what in ("tempo", "tap") else state.takes_transport:
                return
            source = state.source
            raise RefusedError(
                NOT_NOW, f"{what}: the clock follows {source}; set it there, or send /clock/source internal"
            )

    def clock_source(self, request: Request) -> None:
        """Whose clock to follow."""
        state = self._stage.clock.state
        why = "" if state is None else state.missing.get(request.args["source"], "")
        if why:
            raise RefusedError(NOT_NOW, why)
        if request.args["source"] == "link" and not link.installed():
            raise RefusedError(NOT_NOW, link.NOT_INSTALLED)
        self._stage.clock.source = request.args["source"]
        self._stage.player.send(messages.SetClock(source=request.args["source"]))
        self._stage.save_soon()

    def clock_tempo(self, request: Request) -> None:
        """Tempo of the internal clock, or of the Link session."""
        self._refuse_if_followed("tempo")
        self._set_tempo(request.args["tempo"])

    def clock_tap(self, request: Request) -> None:
        """Tempo by hand: the mean of the last taps, begun anew after a pause."""
        self._refuse_if_followed("tap")
        taps = self._taps_ns
        if taps and not 0 < request.arrival_ns - taps[-1] <= _TAP_PAUSE_NS:
            taps.clear()
        taps.append(request.arrival_ns)
        del taps[:-_TAPS]
        if len(taps) > 1:
            tempo_bpm = 60e9 * (len(taps) - 1) / (taps[-1] - taps[0])
            if limits.MIN_TEMPO_BPM <= tempo_bpm <= limits.MAX_TEMPO_BPM:
                self._set_tempo(tempo_bpm)

    def _set_tempo(self, tempo_bpm: float) -> None:
        self._stage.clock.tempo_bpm = tempo_bpm
        self._stage.player.send(messages.SetClock(tempo_bpm=tempo_bpm))
        self._stage.save_soon()

    def clock_offset(self, request: Request) -> None:
        """Standing offset of all we play against the clock that is followed, or, while none is, against any."""
        clock, offset_ms = self._stage.clock, request.args["ms"]
        source = clock.state.source if clock.followed and clock.state is not None else None
        if source is None:
            clock.offset_ms = offset_ms
        else:
            clock.offsets_ms[source] = offset_ms
        self._stage.player.send(messages.SetClock(offset_ms=offset_ms, offset_source=source))
        self._stage.save_soon()

    def clock_nudge(self, request: Request) -> None:
        """Shift all we play once."""
        self._refuse_without_player()
        self._stage.player.send(messages.SetClock(nudge_ms=request.args["ms"]))

    def clock_play(self, request: Request) -> None:
        """From beat 0."""
        self._transport(request, "play")

    def clock_stop(self, request: Request) -> None:
        """Stand still; every note is closed."""
        self._transport(request, "stop")

    def clock_continue(self, request: Request) -> None:
        """On from where it stopped."""
        self._transport(request, "continue")

    def _transport(self, request: Request, action: str) -> None:
        self._refuse_if_followed(request.verb)
        self._refuse_without_player()
        self._stage.player.send(messages.MoveTransport(action))

    def _refuse_without_player(self) -> None:
        """A player that is just there is about to be given the song as it was: what it is told before that is lost."""
        if not self._stage.player.connected or self._stage.clock.awaiting_snapshot:
            raise RefusedError(NOT_NOW, "the player is being restarted")

    def clock_live(self, request: Request) -> None:
        """Live's transport as its device sees it."""
        args = request.args
        self._stage.player.send(
            messages.LiveReport(
                request.arrival_ns,
                args["playing"],
                args["tempo"],
                args["beats"] + args["fraction"],
                args["numerator"],
                args["denominator"],
                float(args["bar"]),
                args["beat_in_bar"],
            )
        )
