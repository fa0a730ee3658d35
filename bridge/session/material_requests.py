"""Seeds and corners: what clients give to be gone on from or put aside, and what sounds between the corners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from bridge import limits
from bridge.family import plays_drums
from bridge.music.notes import Bars, bars_fault, bars_of
from bridge.session.composer import Composer
from bridge.session.gestures import CORNERS, Gestures
from bridge.session.loops import Material
from bridge.session.outside import NOT_NOW, RANGE, RefusedError, Request
from bridge.session.stage import Stage
from bridge.session.voice import Seed, Voice

Rows = Sequence[Sequence[Any]]

_OF_CORNERS: Final = ("store", *CORNERS)


class MaterialRequests:
    """The verbs that take notes from a client, or the present loop, as material."""

    def __init__(self, stage: Stage, composer: Composer, gestures: Gestures) -> None:
        """The other parts of the session."""
        self._stage = stage
        self._composer = composer
        self._gestures = gestures

    # -- seeds -----------------------------------------------------------------------------------------------------

    def do_seed(self, voice: Voice, request: Request) -> None:
        """What to go on from, in one message."""
        self._take_seed(voice, request, _checked(voice, request.args["length"], request.args["notes"]))

    def do_seed_begin(self, voice: Voice, request: Request) -> None:
        """A seed in several messages begins; one that had begun is forgotten."""
        voice.seed_coming = Seed(request.args["length"])

    def do_seed_notes(self, voice: Voice, request: Request) -> None:
        """More notes of the seed."""
        coming = _seed_coming(voice)
        if len(coming.rows) + len(request.args["notes"]) > limits.MAX_LOOP_NOTES:
            raise RefusedError(RANGE, f"a seed has at most {limits.MAX_LOOP_NOTES} notes")
        _checked(voice, coming.length, request.args["notes"])
        coming.rows += request.args["notes"]

    def do_seed_end(self, voice: Voice, request: Request) -> None:
        """The seed is complete."""
        coming = _seed_coming(voice)
        voice.seed_coming = None
        self._take_seed(voice, request, _checked(voice, coming.length, coming.rows))

    def _take_seed(self, voice: Voice, request: Request, bars: Bars) -> None:
        order = self._stage.next_order()

        def follow() -> None:
            voice.seeded = Material.of(bars, self._stage.clock.bar_beats)
            voice.go_on_from(voice.seeded, order)
            self._stage.heard(voice, bars, seed=True)

        self._composer.in_order(voice, request, follow)

    # -- corners ---------------------------------------------------------------------------------------------------

    def do_store(self, voice: Voice, request: Request) -> None:
        """Put the present loop, or the notes that came along, in a corner."""
        order, is_there = self._stage.next_order(), voice.sounding is not None
        given: Material | None = None
        if request.args.get("length") is not None:
            bars = _checked(voice, request.args["length"], request.args["notes"] or [])
            given, is_there = Material.of(bars, self._stage.clock.bar_beats), True

        def put() -> None:
            if given is None:
                is_drums = voice.is_drums if voice.present is None else voice.has_drums(voice.present)
                self._put(voice, request, self._present(voice, order), drums=is_drums)
            else:
                self._put(voice, request, given, drums=voice.is_drums)

        if is_there and not _corners_wait(voice):
            put()
        else:  # the bars to come may not be there yet, or not all of them
            self._composer.in_order(voice, request, put)

    def _present(self, voice: Voice, order: int) -> Material:
        if order < voice.turned_order:  # the present loop is another's
            raise RefusedError(NOT_NOW, f"{voice.name}: the bars to store were called off by a scene or a jam")
        present = voice.present
        if present is None:
            raise RefusedError(
                NOT_NOW, f"{voice.name} has no loop to store: send the notes along, or ask for next first"
            )
        return Material(self._stage.as_bound(voice, present), present.bar_beats)

    def _put(self, voice: Voice, request: Request, corner: Material, *, drums: bool) -> None:
        slot, before = request.args["slot"], (dict(voice.corners), set(voice.drum_corners))
        voice.corners[slot] = corner
        voice.drum_corners = voice.drum_corners | {slot} if drums else voice.drum_corners - {slot}
        recipe = voice.present.recipe if voice.present is not None and voice.model_ready else None
        is_mine = recipe is not None and plays_drums(recipe.model) == voice.is_drums
        if recipe is not None and is_mine and slot in CORNERS.get(recipe.op, ()):
            try:
                self._reshape_corners(voice, request, recipe.op, self._stage.next_order())
            except RefusedError:  # a corner without notes, which what sounds is made of
                voice.corners, voice.drum_corners = before
                raise

    # -- between corners -------------------------------------------------------------------------------------------

    def do_morph(self, voice: Voice, request: Request) -> None:
        """Between corner a and corner b."""
        self._turn(voice, request)

    def do_xy(self, voice: Voice, request: Request) -> None:
        """Between the four corners."""
        self._turn(voice, request)

    def _turn(self, voice: Voice, request: Request) -> None:
        """At once; but where corners are still to be stored, after that. Of the turns that wait only the newest
        matters.
        """
        order = self._stage.next_order()
        if not _corners_wait(voice):
            self._go_between(voice, request, order)
            return
        if voice.queue[-1].request.verb == request.verb:
            voice.queue.pop()
        self._composer.in_order(voice, request, lambda: self._go_between(voice, request, order))

    def _go_between(self, voice: Voice, request: Request, order: int) -> None:
        self._gestures.corners_recipe(voice, request.verb)
        self._composer.check_can_play(voice)
        for knob, place in request.args.items():
            setattr(voice.knobs, "morph" if request.verb == "morph" else knob, place)
        self._reshape_corners(voice, request, request.verb, order)

    def _reshape_corners(self, voice: Voice, request: Request, op: str, order: int) -> None:
        recipe = self._gestures.corners_recipe(voice, op)
        voice.newest_order = max(voice.newest_order, order)
        if request.verb == op:  # takes the place of bars that wait, and of those still to come that were asked for
            voice.turned_order = order
        self._gestures.turn(voice, request, recipe, order)


def _corners_wait(voice: Voice) -> bool:
    """Whether corners are still to be stored, or turned between, after what is under way."""
    return any(waits.request.verb in _OF_CORNERS for waits in voice.queue)


def _seed_coming(voice: Voice) -> Seed:
    if voice.seed_coming is None:
        raise RefusedError(NOT_NOW, f"send /{voice.name}/seed/begin length first")
    return voice.seed_coming


def _checked(voice: Voice, length: float, rows: Rows) -> Bars:
    for row in rows:
        if row[4] not in voice.channels:
            raise RefusedError(RANGE, f"part {row[4]}: {voice.name} has only part {sorted(voice.channels)}")
    bars = bars_of(length, rows)
    fault = bars_fault(bars)
    if fault is not None:
        raise RefusedError(RANGE, fault)
    return bars
