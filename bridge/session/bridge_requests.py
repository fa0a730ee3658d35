"""What the requests to the bridge and the clock do (contract 3.1 and 3.2)."""

from __future__ import annotations

from bridge import limits, messages
from bridge.session.outside import NOT_NOW, RefusedError, Request
from bridge.session.stage import Stage


class BridgeRequests:
    """The verbs of `/bridge/…` and `/clock/…`; ping, state and subscriptions are the OSC server's."""

    def __init__(self, stage: Stage) -> None:
        """`stage` is shared with the other parts of the session."""
        self._stage = stage
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
            self._stage.voice_changed(voice)

    def panicked(self, n_notes: int) -> None:
        """The player has closed everything."""
        if self._stage.panics:
            self._stage.outbox.reply(self._stage.panics.pop(0), "/bridge/panicked", n_notes)

    # -- /clock ----------------------------------------------------------------------------------------------------

    def _refuse_if_followed(self, what: str) -> None:
        if self._stage.clock.followed:
            state = self._stage.clock.state
            source = "another clock" if state is None else state.source
            raise RefusedError(
                NOT_NOW, f"{what}: the clock follows {source}; set it there, or send /clock/source internal"
            )

    def clock_source(self, request: Request) -> None:
        """Whose clock to follow."""
        self._stage.clock.source = request.args["source"]
        self._stage.player.send(messages.SetClock(source=request.args["source"]))
        self._stage.save_soon()

    def clock_tempo(self, request: Request) -> None:
        """Tempo of the internal clock."""
        self._refuse_if_followed("tempo")
        self._stage.clock.tempo_bpm = request.args["tempo"]
        self._stage.player.send(messages.SetClock(tempo_bpm=request.args["tempo"]))
        self._stage.save_soon()

    def clock_offset(self, request: Request) -> None:
        """Standing offset of all we play against the clock."""
        self._stage.clock.offset_ms = request.args["ms"]
        self._stage.player.send(messages.SetClock(offset_ms=request.args["ms"]))
        self._stage.save_soon()

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
        if not self._stage.player.connected:
            raise RefusedError(NOT_NOW, "the player is being restarted")
        self._stage.player.send(messages.MoveTransport(action))

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
