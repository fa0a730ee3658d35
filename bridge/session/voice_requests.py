"""What each request to a voice does (contract 3.3): one method a verb, named after it."""

from __future__ import annotations

import logging
from dataclasses import replace

from bridge import engine_messages, messages
from bridge.family import MODEL_PARTS
from bridge.messages import ALL_PARTS
from bridge.session.archive import ArchiveError
from bridge.session.auto import Auto
from bridge.session.bending import giver_of, recipe_of
from bridge.session.bending_requests import BendingRequests
from bridge.session.composer import Composer
from bridge.session.fills import Fills
from bridge.session.gestures import Gestures
from bridge.session.jam import Jam
from bridge.session.loops import Loop
from bridge.session.material_requests import MaterialRequests
from bridge.session.outside import INSIDE, NO_SUCH, NOT_NOW, RANGE, RefusedError, Request
from bridge.session.performer import Performer
from bridge.session.shaping_requests import ShapingRequests
from bridge.session.stage import Stage
from bridge.session.voice import Voice

log = logging.getLogger(__name__)


class VoiceRequests:
    """The verbs of `/VOICE/verb`. Every method raises RefusedError when it cannot, and then has changed nothing."""

    def __init__(self, stage: Stage, composer: Composer, performer: Performer, gestures: Gestures) -> None:
        """The other parts of the session."""
        self._stage = stage
        self._composer = composer
        self._performer = performer
        self._gestures = gestures
        self.fills = Fills(stage, composer, performer)
        bending = BendingRequests(stage, composer, performer, gestures)
        bending.on_lock = self.fills.bar_locked
        self._others = (
            MaterialRequests(stage, composer, gestures),
            bending,
            ShapingRequests(gestures),
            self.fills,
        )
        composer.on_behind = self._catch_up
        self.jam = Jam(stage, composer, performer)
        self.auto = Auto(
            stage, lambda voice, request, launch: self._click(voice, request, "next", launch), self._call_off
        )

    def handle(self, voice: Voice, request: Request) -> None:
        """Do what was asked.

        Raises:
            RefusedError: with the code and words of the answer.
        """
        verb = request.verb.replace("/", "_")
        there = next(verbs for verbs in (self, *self._others) if hasattr(verbs, f"do_{verb}"))
        getattr(there, f"do_{verb}")(voice, request)
        self._stage.voice_changed(voice)

    # -- new bars --------------------------------------------------------------------------------------------------

    def do_next(self, voice: Voice, request: Request) -> None:
        """Bars that follow the newest there are; with nothing to follow, bars from the prior."""
        self._click(voice, request, "next")

    def do_sample(self, voice: Voice, request: Request) -> None:
        """Bars from the prior."""
        self._click(voice, request, "sample")

    def do_vary(self, voice: Voice, request: Request) -> None:
        """Bars near the newest loop; before there is any, near the seed."""
        if voice.newest is None and self._composer.is_done(voice):
            raise RefusedError(NOT_NOW, f"{voice.name} has no loop to vary: ask for next or sample first")
        self._click(voice, request, "vary")

    def do_auto(self, voice: Voice, request: Request) -> None:
        """From now on, by itself, new bars each time so many have been played; 0: no more."""
        if request.args["bars"]:
            self._composer.check_can_play(voice)
        self.auto.switch(voice, request)

    def do_jam(self, voice: Voice, request: Request) -> None:
        """Listen to what is played at the MIDI input."""
        if request.args["how"] != "off":
            self._composer.check_can_play(voice)
        self.jam.switch(voice, request)

    def _click(self, voice: Voice, request: Request, op: str, boundary: str = "") -> None:
        self._composer.check_can_play(voice)
        seed, order = voice.draw_seed(), self._stage.next_order()

        def start() -> None:
            if op == "vary" and voice.newest is None:
                raise RefusedError(NOT_NOW, f"{voice.name} has no loop to vary: ask for next or sample first")
            recipe = recipe_of(self._stage, voice, op, request.args, seed, request.arrival_ns, boundary)
            voice.bars_asked = recipe.bars or voice.bars_asked
            self._composer.start_click(
                voice, request, recipe, lambda loop: self._new_bars(voice, request, loop, order, boundary),
                lambda loop: self._first_bars(voice, request, loop, order, boundary),
            )  # fmt: skip

        self._composer.in_order(voice, request, start, goes_on=True)

    def make_ready(self) -> None:
        """Nothing has happened for a moment: what `next` and `sample` would answer now is made in the engine's idle
        time; not before every model is there, which would come the later for it.
        """
        if not self._stage.ready:
            return
        now_ns = self._stage.timers.now_ns()
        for voice in self._stage.voices.values():
            if voice.model_ready and voice.jam == "off" and self._composer.is_done(voice):
                for op in ("next", "sample") if voice.newest is not None else ("sample",):
                    args, seed = {"bars": voice.bars_asked}, voice.next_seed()
                    self._composer.make_ready(voice, recipe_of(self._stage, voice, op, args, seed, now_ns))

    def _new_bars(self, voice: Voice, request: Request, loop: Loop, order: int, boundary: str) -> None:
        if not _auto_ended(voice, request, order):
            voice.go_on_from(loop.source, order)
        if self._performer.complete(voice, loop, request.origin):
            if voice.sounding is loop:
                voice.go_on_from(loop.source, order)
        elif order < voice.turned_order or _auto_ended(voice, request, order):
            self._performer.tell(voice, loop, request.origin, request.arrival_ns)
        else:
            turn = voice.gesture.request if voice.gesture is not None and voice.turning and not voice.morphing else None
            self._gestures.settle(voice)
            self._launch(voice, request, loop, boundary)
            if turn is not None:  # of what sounds until then
                self._gestures.remake(voice, turn)
        self._stage.voice_changed(voice)

    def _catch_up(self, voice: Voice, request: Request) -> None:
        """A knob never rested while bars were made: they are made again as they wait, or sound."""
        if voice.pending is not None:
            self._gestures.remake_pending(voice, request)
        else:
            self._gestures.remake(voice, request)

    def _first_bars(self, voice: Voice, request: Request, loop: Loop, order: int, boundary: str) -> None:
        """The first of long bars: they can begin to sound while the others are decoded."""
        if order < voice.turned_order or _auto_ended(voice, request, order):
            return
        self._gestures.settle(voice)
        self._launch(voice, request, loop, boundary, whole=False)

    def _launch(self, voice: Voice, request: Request, loop: Loop, boundary: str, *, whole: bool = True) -> None:
        self._performer.launch(voice, loop, request.origin, request.arrival_ns, boundary, whole=whole)
        if request.verb == "auto":
            voice.auto_id = loop.id

    # -- sticky knobs ----------------------------------------------------------------------------------------------

    def do_temperature(self, voice: Voice, request: Request) -> None:
        """Of new bars, and of what still sounds: the present loop is decoded again with the same noise."""
        voice.knobs.temperature = request.args["temperature"]
        self._gestures.remake(voice, request)

    # -- the groove ------------------------------------------------------------------------------------------------

    def _set_groove(self, voice: Voice, request: Request) -> None:
        (value,) = request.args.values()
        setattr(voice.knobs, request.verb, value)
        voice.groove_asked_ns = request.arrival_ns
        if voice.groove_changes is not None:
            voice.groove_changes.trigger()

    do_swing = do_quantize = do_humanize = do_grid = do_transpose = do_velocity = do_gate = _set_groove

    # -- playing ---------------------------------------------------------------------------------------------------

    def do_launch(self, voice: Voice, request: Request) -> None:
        """When the next changes sound."""
        voice.knobs.launch = request.args["when"]

    def do_play(self, voice: Voice, request: Request) -> None:
        """Sound again from the launch boundary on."""
        self._performer.play(voice, request)

    def do_stop(self, voice: Voice, _request: Request) -> None:
        """Close the notes at once; keep the bars."""
        self._performer.stop(voice)

    def do_mute(self, voice: Voice, request: Request) -> None:
        """Mute the voice, or one part of it."""
        part, on = request.args["part"], request.args["on"]
        if part != ALL_PARTS and part not in voice.channels:
            raise RefusedError(RANGE, f"part {part}: {voice.name} has only part {sorted(voice.channels)}")
        parts = voice.parts if part == ALL_PARTS else {part}
        voice.muted_parts = voice.muted_parts | parts if on else voice.muted_parts - parts
        self._stage.player.send(messages.MuteVoice(voice.name, on, part))

    def do_loop(self, voice: Voice, request: Request) -> None:
        """Whether bars go round, or sound once."""
        voice.knobs.loop = request.args["on"]
        self._performer.set_loop(voice)

    def do_clear(self, voice: Voice, _request: Request) -> None:
        """Forget the loop, what waits and the seed; keep the history and the corners."""
        self._composer.drop(voice)
        self._gestures.settle(voice)
        voice.knobs.locked = []
        if self._stage.harmony.forget(voice.name):
            self._stage.tell_key()
        voice.seed_coming = voice.newest = voice.seeded = voice.remake = voice.missed = None
        self.jam.forget(voice)
        self.fills.forget(voice)
        self._performer.forget_all(voice)

    # -- history ---------------------------------------------------------------------------------------------------

    def do_undo(self, voice: Voice, request: Request) -> None:
        """Back: bars that wait are called off first."""
        order = self._stage.next_order()
        self._composer.in_order(voice, request, lambda: self._undo(voice, request, order))

    def _undo(self, voice: Voice, request: Request, order: int) -> None:
        if order < voice.turned_order:
            return  # what it was to call off has been called off
        self._gestures.settle(voice)
        history, sounding = voice.history, voice.sounding
        if voice.pending is not None and (sounding is not None or history.position <= 0):
            self._call_off(voice)
            if sounding is not None:  # what goes on by itself does so after as many bars again
                clock = self._stage.clock
                here = clock.bar_line_at_or_after(clock.beat_at(self._stage.timers.now_ns()))
                voice.launched_beats = max(voice.launched_beats, here) if voice.auto_bars else voice.launched_beats
            self._stage.voice_changed(voice)
            return
        self._travel(voice, request, history.position - 1, "undo", order)

    def _call_off(self, voice: Voice) -> None:
        """Bars that wait are forgotten: what is gone on from, and where the history stands, is what sounds."""
        self._performer.cancel_pending(voice)
        history, sounding = voice.history, voice.sounding
        before = voice.seeded or voice.material_of(sounding)
        voice.newest, voice.newest_order = before, self._stage.next_order()
        if sounding is not None:
            history.back_to(sounding.id)
        elif history.position <= 0:
            history.position = -1

    def do_redo(self, voice: Voice, request: Request) -> None:
        """Forth again."""
        order = self._stage.next_order()
        self._composer.in_order(
            voice, request, lambda: self._travel(voice, request, voice.history.position + 1, "redo", order)
        )

    def _travel(self, voice: Voice, request: Request, position: int, what: str, order: int) -> None:
        if order < voice.turned_order:
            raise RefusedError(NOT_NOW, f"{what}: what {voice.name} was given since, by morph, xy or a scene, stays")
        history = voice.history
        if not 0 <= position < len(history.ids):
            raise RefusedError(NOT_NOW, f"{voice.name} has nothing to {what}")
        loop = self._load(voice, history.ids[position])
        history.position = position
        self._bring_back(voice, request, loop, order)

    def do_recall(self, voice: Voice, request: Request) -> None:
        """Bring back any bars of this voice."""
        wanted = request.args["id"]
        if not self._stage.archive.has(voice.name, wanted):
            raise RefusedError(NO_SUCH, f"{voice.name} has no bars with id {wanted}")

        order = self._stage.next_order()

        def recall() -> None:
            loop = self._load(voice, wanted)
            if order < voice.turned_order:
                self._performer.tell(voice, loop, request.origin, request.arrival_ns)
                return
            voice.history.push(loop.id)
            self._bring_back(voice, request, loop, order)

        self._composer.in_order(voice, request, recall)

    def _load(self, voice: Voice, loop_id: int) -> Loop:
        try:
            loop = self._stage.archive.load(voice.name, loop_id)
        except ArchiveError as fault:
            log.error("bars %d cannot be brought back: %s", loop_id, fault)
            raise RefusedError(INSIDE, str(fault)) from fault
        if loop is None:
            raise RefusedError(NO_SUCH, f"{voice.name} has no bars with id {loop_id}")
        return loop

    def _bring_back(self, voice: Voice, request: Request, loop: Loop, order: int) -> None:
        self._gestures.settle(voice)
        material = voice.material_of(loop)
        if material is not None:
            voice.go_on_from(material, order)
        recipe, in_no_key = loop.recipe, loop.made_in == ()
        giver = giver_of(voice, recipe) if recipe is not None and in_no_key else None
        self._stage.heard(voice, loop.bars, giver=giver, made_in=loop.made_in)
        loop = replace(loop.keeping(()), verbatim=False, bound_to=())  # a hard key binds them as they are played
        if self.jam.keeps(voice, loop):
            self._performer.tell(voice, loop, request.origin, request.arrival_ns)
        else:
            self._performer.launch(voice, loop, request.origin, request.arrival_ns)
        self._stage.voice_changed(voice)

    # -- the rest --------------------------------------------------------------------------------------------------

    def do_random_seed(self, voice: Voice, request: Request) -> None:
        """From here on the same requests give the same notes."""
        voice.base_seed = request.args["seed"]
        voice.seeds_drawn = 0

    def do_model(self, voice: Voice, request: Request) -> None:
        """Swap the model; the old one plays until the new one is ready."""
        name = request.args["name"]
        if name not in MODEL_PARTS:
            raise RefusedError(NO_SUCH, f"no model {name}: there are {', '.join(MODEL_PARTS)}")
        if len(MODEL_PARTS[name]) != len(voice.channels):
            fit = [known for known, parts in MODEL_PARTS.items() if len(parts) == len(voice.channels)]
            found = f"{name} has {len(MODEL_PARTS[name])} part(s), {voice.name} has {len(voice.channels)}"
            raise RefusedError(NOT_NOW, f"{found}: expected {' or '.join(fit)}")
        if not self._stage.engine.connected:
            raise RefusedError(NOT_NOW, "the engine is starting: ask again when /bridge/ready says 1")
        voice.next_model, voice.model_asked = name, request
        self._stage.engine.send(engine_messages.LoadModel(name))

    def model_came(self, voice: Voice) -> None:
        """Its model is ready again: what sounds and waits is made with what the knobs have said since it went."""
        missed, voice.missed = voice.missed, None
        if missed is not None:
            self._gestures.remake(voice, missed.request, moved=missed.moved)

    def kind_changed(self, voice: Voice) -> None:
        """It plays drums in place of a line, or a line in place of drums: what the other kind has left is not gone on
        from, but what sounds where that is of this kind again.
        """
        voice.seeded = voice.seed_coming = None
        voice.newest, voice.newest_order = voice.material_of(voice.present), self._stage.next_order()
        self.jam.forget(voice)
        self._performer.regroove(voice)  # bars that no model made are played as its model plays


def _auto_ended(voice: Voice, request: Request, order: int) -> bool:
    """Whether bars were asked for by `auto` and not by anybody, before it was switched off."""
    return request.verb == "auto" and order < voice.auto_order
