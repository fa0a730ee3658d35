"""Knobs that re-shape what sounds: morph, the pad, temperature.

A gesture is a knob on the move. From its first turn its bars have one id of their own; they replace what sounds from
that moment on, and enter the history when the knob has been still for a bar. What is decoded is a function of the
knob's position alone, with noise that does not change while it moves, so turning back brings back.
"""

from __future__ import annotations

from bridge.session.bending import unlock_missing
from bridge.session.composer import Composer
from bridge.session.loops import Loop, Recipe, feel_to_json
from bridge.session.outside import NO_SUCH, NOT_NOW, RefusedError, Request
from bridge.session.performer import Performer
from bridge.session.stage import Stage
from bridge.session.voice import SLOTS, Gesture, Missed, Voice

#: Between which corners a knob moves.
CORNERS = {"morph": SLOTS[:2], "xy": SLOTS}
_LEAST_STILL_S = 0.5  # at 999 BPM a bar is 0.24 s, shorter than a hand's pause


class Gestures:
    """The gestures of all voices."""

    def __init__(self, stage: Stage, composer: Composer, performer: Performer) -> None:
        """The other parts of the session."""
        self._stage = stage
        self._composer = composer
        self._performer = performer

    def corners_recipe(self, voice: Voice, op: str) -> Recipe:
        """What a morph between the stored corners is made of.

        Raises:
            RefusedError: a corner is empty, has no notes, or is of a kind that the model cannot read; it is named.
        """
        missing = [slot for slot in CORNERS[op] if slot not in voice.corners or not voice.corners[slot].bars.notes]
        if missing:
            raise RefusedError(
                NO_SUCH, f"corner {' and '.join(missing)} of {voice.name} is empty: store notes there first"
            )
        foreign = [slot for slot in CORNERS[op] if slot in voice.foreign_corners]
        if foreign:
            were, plays = ("a line", "drums") if voice.is_drums else ("drums", "a line")
            raise RefusedError(
                NOT_NOW,
                f"corner {' and '.join(foreign)} of {voice.name} holds {were}, and {voice.model} plays {plays}: store "
                "others there, or swap the model back",
            )
        material = tuple(voice.corners[slot] for slot in CORNERS[op])
        if not self._composer.key_awaited:
            self._stage.heard(voice, material[0].bars)
        bar_beats = self._stage.clock.bar_beats
        return Recipe(op, voice.model, material, 0, bar_beats, 0.0, voice.seed_for("morph"))

    def turn(self, voice: Voice, request: Request, recipe: Recipe, order: int = -1) -> None:
        """The knob has moved: decode with its newest value, now or when the decode under way is done. `order` is that
        of a turn, or a new corner, of the morph or the pad among requests.

        A turn of the morph or the pad takes the place of bars that wait for their boundary, and of those of which the
        first sound before the others are made; any other knob leaves them, and a turn that is still to be heard,
        whatever it is that sounds: they are made with what it says now.
        """
        if request.verb in CORNERS:
            self._performer.take_begun(voice)
        elif self._performer.begun(voice) is not None:
            return
        gesture = voice.gesture
        if gesture is not None and order < 0 and voice.morphing and voice.turning:
            gesture.dirty = True  # it bends what is still to be made of that turn, and not what sounds until then
            self._rest_later(voice)
            self._pump(voice)
            return
        if gesture is None:
            of_id = 0 if voice.sounding is None else voice.sounding.id
            gesture = voice.gesture = Gesture(self._stage.archive.new_id(), request, recipe, of_id=of_id)
        gesture.request, gesture.recipe, gesture.dirty, gesture.order = request, recipe, True, order
        if request.verb in CORNERS and voice.sounding is not None:
            self._performer.cancel_pending(voice)
        self._rest_later(voice)
        self._pump(voice)

    def remake(self, voice: Voice, request: Request, *, moved: bool = False) -> None:
        """A sticky knob has moved: what sounds and what waits is made again, with the same noise.

        Where it says where bars are `moved` to, bars of any origin are: those that no recipe of this model can make
        again, from where they lie; but no line by a model of drums that the voice was given since, nor drums by one of
        lines.
        """
        if not voice.model_ready:
            if moved or voice.missed is None:
                voice.missed = Missed(request, moved)
            return
        sounding = voice.sounding
        recipe = None if sounding is None else sounding.recipe
        if recipe is not None and recipe.model == voice.model:
            self.turn(voice, request, recipe)
        elif moved and sounding is not None and not voice.is_foreign(sounding):
            bars, seed = (sounding.source,), sounding.groove_seed
            bend = {"feel": feel_to_json(sounding.feel)}
            self.turn(voice, request, Recipe("keep", voice.model, bars, 0, sounding.bar_beats, 0.0, seed, bend))
        self.remake_pending(voice, request)

    def remake_pending(self, voice: Voice, request: Request) -> None:
        """A knob has moved that also shapes the bars that wait: they are made again, under their own id; where they are
        not all there yet, who makes them sees to it.
        """
        handed = None if voice.pending is None else voice.handed.get(voice.pending.id)
        if handed is not None and not handed.whole:
            return
        if voice.pending is not None and voice.pending.recipe is not None:
            voice.remake = request
            self._pump(voice)

    def _pump(self, voice: Voice) -> None:
        if voice.knob_job:
            return
        gesture, request, pending = voice.gesture, voice.remake, voice.pending
        if gesture is not None and gesture.dirty:
            gesture.dirty, turn = False, gesture.request
            self._composer.start_knob(
                voice, turn, gesture.recipe, gesture.loop_id, lambda loop: self._gesture_done(voice, turn, loop),
                lambda: self._pump(voice),
            )  # fmt: skip
        elif request is not None:
            voice.remake = None
            if pending is not None and pending.recipe is not None:
                self._composer.start_knob(
                    voice, request, pending.recipe, pending.id, lambda loop: self._pending_done(voice, request, loop),
                    lambda: self._pump(voice),
                )  # fmt: skip
            elif pending is None and request.verb != "lock":  # they were launched meanwhile
                self.remake(voice, request)

    def _gesture_done(self, voice: Voice, turn: Request, loop: Loop) -> None:
        gesture = voice.gesture
        voice.turn_ms = self._stage.ms_since(turn.arrival_ns)
        if gesture is not None and gesture.loop_id == loop.id:
            self._sound(voice, gesture, loop)
        self._pump(voice)

    def _pending_done(self, voice: Voice, turn: Request, loop: Loop) -> None:
        voice.turn_ms = self._stage.ms_since(turn.arrival_ns)
        waits = voice.pending is not None and voice.pending.id == loop.id
        before = voice.pending if waits else voice.sounding  # which they have become, if they were launched meanwhile
        if before is not None and before.id == loop.id:
            if voice.newest == before.source:
                voice.newest = loop.source
            if waits:
                self._performer.replace_pending(voice, loop)
            else:
                self._performer.reshape(voice, loop.id, loop)
                voice.sounding = loop
            if voice.gesture_events is not None:
                voice.gesture_events.trigger()
        self._pump(voice)

    def launched(self, voice: Voice) -> None:
        """Other bars sound than before: the knob that re-shaped those re-shapes these, where it is still being turned;
        those that waited have been made again for it already, or just are.
        """
        gesture, sounding, late = voice.gesture, voice.sounding, voice.remake
        if gesture is None or gesture.order >= 0 or (sounding and sounding.id in (gesture.loop_id, gesture.of_id)):
            return
        self.settle(voice)
        if sounding is not None and late is not None and voice.pending is None:
            voice.remake = None
            self.remake(voice, late)

    def _sound(self, voice: Voice, gesture: Gesture, loop: Loop) -> None:
        present = voice.present
        if gesture.order >= voice.newest_order or (present is not None and voice.newest == present.source):
            voice.newest = loop.source  # else something newer is gone on from: a seed, bars that wait
        if present is None and gesture.order < 0:
            return  # silenced meanwhile
        if present is None:
            self._performer.launch(voice, loop, gesture.request.origin, gesture.request.arrival_ns)
        elif present is voice.pending:
            self._performer.replace_pending(voice, loop)
        else:
            self._performer.reshape(voice, present.id, loop)
            voice.sounding = loop
            unlock_missing(self._stage, voice)
        if present is not None and voice.gesture_events is not None:
            if present.id == loop.id:
                voice.gesture_events.trigger()
            else:  # nobody may hear of a launch whose bars have not been told
                voice.gesture_events.now()
        if present is not None and present.id != loop.id and voice.sounding is loop:
            beat = self._stage.clock.beat_at(self._stage.timers.now_ns())
            self._stage.outbox.publish(f"/{voice.name}/launched", loop.id, float(beat), also=gesture.request.origin)
            self._stage.save_now()  # no file of them is kept before it settles: who comes after us must know them
        self._stage.voice_changed(voice)

    def announce(self, voice: Voice) -> None:
        """Send the bars of the present loop again: a knob has changed them (throttled by the caller)."""
        gesture = voice.gesture
        for loop in (voice.sounding, voice.pending):
            if loop is None or (loop.id in voice.handed and not voice.handed[loop.id].confirmed):
                continue  # bars that the player has not confirmed are announced when it does
            mine = gesture if gesture is not None and gesture.loop_id == loop.id else None
            waiting = voice.handed.get(loop.id)
            told_start = -1.0 if waiting is None else waiting.start_beats
            start = voice.start_beats if loop is voice.sounding else told_start
            self._stage.announce_bars(voice, loop, start, voice.turn_ms, None if mine is None else mine.request.origin)

    def _rest_later(self, voice: Voice) -> None:
        if voice.settle is not None:
            voice.settle.cancel()
        bar_s = self._stage.clock.bar_beats * 60.0 / self._stage.clock.bpm
        voice.settle = self._stage.timers.call_later(max(_LEAST_STILL_S, bar_s), lambda: self._rested(voice))

    def _rested(self, voice: Voice) -> None:
        if voice.turning:  # a bar can be shorter than a first turn takes
            self._rest_later(voice)
        else:
            self.settle(voice)

    def settle(self, voice: Voice) -> None:
        """The gesture is over: its bars enter the history."""
        gesture, voice.gesture = voice.gesture, None
        if voice.settle is not None:
            voice.settle.cancel()
            voice.settle = None
        if gesture is None:
            return
        for loop in (voice.sounding, voice.pending):
            if loop is not None and loop.id == gesture.loop_id:
                self._performer.keep(voice, loop)
