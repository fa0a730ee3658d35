"""What bends the bars of a voice while it plays: scale, hold, lock, follow, surprise (contract 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bridge.session.bending import NOBODY, followed_now, with_locks_of
from bridge.session.composer import Composer
from bridge.session.gestures import Gestures
from bridge.session.outside import NO_SUCH, NOT_NOW, RANGE, RefusedError, Request
from bridge.session.performer import Performer
from bridge.session.stage import Stage
from bridge.session.voice import Voice


class BendingRequests:
    """Knobs that do not move a point in the latent space but tie the decoder's hands."""

    def __init__(self, stage: Stage, composer: Composer, performer: Performer, gestures: Gestures) -> None:
        """The other parts of the session."""
        self._stage = stage
        self._composer = composer
        self._performer = performer
        self._gestures = gestures
        self.on_lock: Callable[[Voice], None] = lambda _voice: None

    def do_scale(self, voice: Voice, request: Request) -> None:
        """How the session's key binds the voice; to `hard` and from it at once, though what sounds is still to be made
        again, or cannot be.
        """
        before, voice.knobs.scale = voice.knobs.scale, request.args["how"]
        if "hard" in (before, voice.knobs.scale) and not voice.is_drums:
            self._performer.regroove(voice)
        self._gestures.remake(voice, request)

    def do_surprise(self, voice: Voice, request: Request) -> None:
        """Of several candidates the plainer or the bolder."""
        voice.knobs.surprise = request.args["surprise"]
        self._gestures.remake(voice, request)

    def do_follow(self, voice: Voice, request: Request) -> None:
        """Lean on another voice, as it sounds now; `none`: on nobody."""
        name, amount = request.args["voice"], request.args["amount"]
        if name == voice.name:
            raise RefusedError(RANGE, f"{voice.name} cannot follow itself")
        if name != NOBODY and name not in self._stage.voices:
            raise RefusedError(NO_SUCH, f"no voice {name}: there are {', '.join(self._stage.voices)} (none: off)")
        voice.knobs.follow, voice.knobs.follow_amount = name, 0.0 if name == NOBODY else amount
        loop = voice.sounding
        if loop is not None and loop.recipe is not None:
            rest = {key: value for key, value in loop.recipe.bend.items() if key != "followed"}
            lead = followed_now(self._stage, voice, voice.start_beats)
            bend = rest if lead is None else {**rest, "followed": lead}
            voice.sounding = replace(loop, recipe=replace(loop.recipe, bend=bend))
        self._gestures.remake(voice, request)

    def do_hold(self, voice: Voice, request: Request) -> None:
        """What new bars keep of the loop that is present when they are asked for."""
        voice.knobs.hold = request.args["what"]

    def do_lock(self, voice: Voice, request: Request) -> None:
        """A bar of the loop stays, whatever is generated; where there is none yet, of the one that is being made."""
        self._composer.with_bars(voice, request, lambda: self._lock(voice, request))

    def _lock(self, voice: Voice, request: Request) -> None:
        bar, on = request.args["bar"], request.args["on"]
        locked = set(voice.knobs.locked)
        if not on:
            voice.knobs.locked = sorted(locked - {bar})
            loop, now = voice.present, voice.knobs.groove().quantising
            is_apart = loop is not None and (bar, now) not in loop.keeps
            if bar in locked and (voice.knobs.scale == "hard" or is_apart):
                self._performer.regroove(voice)  # what it was spared, and what was kept out of it
            return
        if voice.present is None:
            raise RefusedError(NOT_NOW, f"{voice.name} has no loop to lock a bar of: ask for next or sample first")
        bars = self._stage.bars_in(voice.present)
        if bar >= bars:
            raise RefusedError(RANGE, f"bar {bar}: the loop of {voice.name} has bars 0 to {bars - 1}")
        voice.knobs.locked = sorted(locked | {bar})
        self._performer.freeze(voice, -1 if bar in locked else bar)
        self.on_lock(voice)
        self._put_into_pending(voice)
        if voice.sounding is not None and voice.model_ready:
            self._gestures.remake_pending(voice, request)

    def _put_into_pending(self, voice: Voice) -> None:
        """Bars that wait have what is locked at once: they may sound before the engine has made them again with it."""
        pending = voice.pending
        handed = None if pending is None else voice.handed.get(pending.id)
        if pending is None or handed is None or not handed.whole or voice.is_foreign(pending):
            return
        loop = with_locks_of(voice, pending)
        if voice.sounding is not None and loop is not pending:
            if voice.newest == pending.source:
                voice.newest = loop.source
            self._performer.replace_pending(voice, loop)
