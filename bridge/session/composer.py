"""Requests for bars on their way to the engine and back.

Each voice does its clicks one after the other, in the order in which they were asked for, because each may continue the
one before. A voice has at most one knob job under way; while it is, only the newest value of the knob waits.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass

from bridge import limits
from bridge.engine_messages import Begun, Generate, Generated, JobFailed
from bridge.music.corners import BETWEEN, are_stored
from bridge.music.locking import lock_from_json
from bridge.music.notes import Bars, bars_of
from bridge.session.bending import NEW_BARS, bend_of, giver_of, locked_now
from bridge.session.loops import Loop, Material, Recipe, feel_from_json, material_to_json
from bridge.session.outside import BUSY, INSIDE, NOT_NOW, RefusedError, Request
from bridge.session.stage import Stage
from bridge.session.voice import Voice, Waiting

log = logging.getLogger(__name__)

#: So often bars are made again that a knob has moved during: one that never rests shall not keep them for ever.
_MAX_REMAKES = 2
#: So many knob jobs are waited for by what goes on from their bars: the one under way, and what sounds and what waits
#: as the knob was when it was asked for.
_MAX_KNOBS_AWAITED = 3
#: A job that was under way when the engine died is given to the next one; twice is enough to call it the cause.
_MAX_ATTEMPTS = 2
#: What a client waits for the bars of: not the requests for them by a voice on `auto`, nor a sticky knob's turns.
_ANSWERED_WITH_BARS = ("next", "sample", "vary", "morph", "xy")

Delivery = Callable[[Loop], None]


@dataclass
class _Job:
    voice: Voice
    request: Request
    record: Generate
    recipe: Recipe
    deliver: Delivery
    early: Delivery | None
    loop_id: int
    begun: Loop | None = None
    attempts: int = 1
    remakes: int = 0
    go_on: Callable[[], None] | None = None

    @property
    def unbound(self) -> bool:
        """Whether its bars are made in no key, though one is to bind them: there is none yet."""
        return "key" in self.record.bend and not self.made_in

    @property
    def made_in(self) -> tuple[int, ...]:
        """The pitch classes of the key that its bars are made in; none of them where that is no key."""
        return tuple(self.record.bend.get("key", {"classes": None})["classes"] or ())

    @property
    def bound_to(self) -> tuple[int, ...]:
        """The pitch classes that bind its bars hard, as they are made."""
        return self.made_in if self.record.bend.get("key", {"binding": "off"})["binding"] == "hard" else ()

    @property
    def at_a_corner(self) -> bool:
        """Whether its bars are the notes that were stored."""
        return are_stored(self.recipe.op, self.record.x, self.record.y)


class Composer:
    """Turns recipes into loops by way of the engine."""

    def __init__(self, stage: Stage) -> None:
        """`stage` is shared with the other parts of the session."""
        self._stage = stage
        self._jobs: dict[int, _Job] = {}
        self._numbers = itertools.count(1)
        self._undone: list[int] = []
        self.on_behind: Callable[[Voice, Request], None] = lambda _voice, _request: None

    def check_can_play(self, voice: Voice) -> None:
        """Refuse at once what could not be done.

        Raises:
            RefusedError: the voice's model is missing or not ready, or too many requests wait.
        """
        if voice.model_fault:
            raise RefusedError(NOT_NOW, f"{voice.name}: {voice.model_fault}")
        if not voice.model_ready:
            raise RefusedError(NOT_NOW, f"{voice.name}: the model {voice.model} is not ready yet")
        if len(voice.queue) >= limits.MAX_REQUESTS_WAITING:
            raise RefusedError(
                BUSY, f"{voice.name}: {len(voice.queue)} requests are waiting already; at most that many"
            )

    @property
    def key_awaited(self) -> bool:
        """Whether the session's key is to be taken from bars that were asked for and are being made."""
        lines = (job for job in self._jobs.values() if not job.voice.is_drums)
        return self._stage.harmony.sounding_tonic is None and any(job.recipe.op in NEW_BARS for job in lines)

    def is_done(self, voice: Voice) -> bool:
        """Whether nothing that was asked of this voice before is still to be done."""
        return not voice.queue and not _under_way(voice)

    def in_order(self, voice: Voice, request: Request, action: Callable[[], None], *, goes_on: bool = False) -> None:
        """Do `action` after all that was asked of this voice before, clicks and turns of the morph or the pad; at once
        when nothing is under way. One that `goes_on` from the newest bars is done after the turns of other knobs too,
        where those are being made again for them.

        Raises:
            RefusedError: `action` was done at once and refused (a later refusal is answered by message).
        """
        if self.is_done(voice) and not (goes_on and voice.remaking_newest):
            action()
            return

        def later() -> None:
            try:
                action()
            except RefusedError as error:
                self._stage.refuse(request.origin, request.address, error)
            except Exception:  # the named boundary: whoever asked is long gone from the stack, and others wait behind
                log.exception("%s, which waited, failed inside", request.address)
                failed = RefusedError(INSIDE, "failed inside; it is logged")
                self._stage.refuse(request.origin, request.address, failed)

        voice.queue.append(Waiting(request, later, voice.knobs_made + _MAX_KNOBS_AWAITED if goes_on else 0))

    def with_bars(self, voice: Voice, request: Request, action: Callable[[], None]) -> None:
        """Do `action`, which is of the bars that there are; where there are none, after those that are on their way.

        Raises:
            RefusedError: as `in_order` does.
        """
        if voice.present is None:
            self.in_order(voice, request, action)
        else:
            action()

    def start_click(
        self, voice: Voice, request: Request, recipe: Recipe, deliver: Delivery, early: Delivery | None = None
    ) -> None:
        """Ask the engine for new bars; `deliver` gets the loop, under a new id. Of long bars `early` gets the first
        before, under that id, in a loop as long as it will be.
        """
        voice.click_job = self._start(voice, request, recipe, deliver, early, loop_id=0, knob=False)

    def start_knob(
        self, voice: Voice, request: Request, recipe: Recipe, loop_id: int, deliver: Delivery, go_on: Callable[[], None]
    ) -> None:
        """Ask the engine for bars again, with the knobs as they are now; `deliver` gets them as `loop_id`, or `go_on`
        is called when they cannot be made.
        """
        voice.knob_job = self._start(voice, request, recipe, deliver, loop_id=loop_id, knob=True)
        self._jobs[voice.knob_job].go_on = go_on

    def start_beside(self, voice: Voice, request: Request, recipe: Recipe, loop_id: int, deliver: Delivery) -> None:
        """Ask the engine for bars beside what clients ask for: nothing of theirs waits for it."""
        self._start(voice, request, recipe, deliver, loop_id=loop_id, knob=False)

    def _start(
        self,
        voice: Voice,
        request: Request,
        recipe: Recipe,
        deliver: Delivery,
        early: Delivery | None = None,
        *,
        loop_id: int,
        knob: bool,
    ) -> int:
        number = next(self._numbers)
        record = self._record(number, voice, recipe, knob=knob)
        self._jobs[number] = _Job(voice, request, record, recipe, deliver, early, loop_id)
        self._stage.engine.send(record)
        return number

    def make_ready(self, voice: Voice, recipe: Recipe) -> None:
        """Bars that may be asked for next: the engine makes them while it has nothing else to do."""
        self._stage.engine.send(self._record(0, voice, recipe, knob=False))

    def _record(self, number: int, voice: Voice, recipe: Recipe, *, knob: bool) -> Generate:
        return Generate(
            job=number,
            voice=voice.name,
            model=recipe.model,
            op="morph" if recipe.op == "towards" else recipe.op,
            knob=knob,
            material=[material_to_json(material) for material in recipe.material],
            bars=recipe.bars,
            beats_per_bar=recipe.beats_per_bar,
            x={"morph": voice.knobs.morph, "towards": recipe.amount}.get(recipe.op, voice.knobs.x),
            y=voice.knobs.y,
            amount=recipe.amount,
            temperature=voice.knobs.temperature,
            seed=recipe.seed,
            bend=bend_of(self._stage, voice, recipe),
        )

    def begun(self, record: Begun) -> None:
        """The engine has the first bars of a job: they can be handed on before it has them all."""
        job = self._jobs.get(record.job)
        if job is None or job.early is None or job.begun is not None or self._key_came(job) or self._turned(job):
            return
        if job.unbound and job.voice.knobs.scale == "hard":
            return  # which key binds them is not known before the last of them
        job.begun = self._loop_of(job, bars_of(record.length_beats, record.notes), None)
        job.early(job.begun)

    def generated(self, record: Generated) -> None:
        """The engine has done a job."""
        job = self._jobs.get(record.job)
        if job is None:
            return  # cleared meanwhile
        turned = self._turned(job)
        if turned or self._key_came(job) or self._lock_came(job):
            job.remakes += turned
            job.record = self._record(job.record.job, job.voice, job.recipe, knob=job.record.knob)
            self._stage.engine.send(job.record)
            return
        is_behind = self._differs(job)
        self._release(job)
        bars = bars_of(record.length_beats, record.notes)
        self._stage.heard(job.voice, bars, giver=None if job.made_in else giver_of(job.voice, job.recipe))
        unmoved = None if record.source is None else bars_of(record.length_beats, record.source)
        job.deliver(self._loop_of(job, bars, unmoved))
        if is_behind:
            self.on_behind(job.voice, job.request)
        self.pump(job.voice)

    def _loop_of(self, job: _Job, bars: Bars, unmoved: Bars | None) -> Loop:
        job.loop_id = job.loop_id or self._stage.archive.new_id()
        lock = job.record.bend.get("lock", {})  # what is kept is played as it was
        groove_seed = lock.get("groove_seed", job.recipe.seed)
        feel = feel_from_json(lock.get("feel", job.recipe.bend.get("feel")))
        bar_beats = Material.of(bars, job.recipe.beats_per_bar).bar_beats
        kept = [(round(span[0] / bar_beats), played) for span, played in lock_from_json(lock)] if lock else []
        return Loop(
            job.loop_id, bars, groove_seed, job.recipe, feel, bar_beats=bar_beats, bound_to=job.bound_to,
            verbatim=job.at_a_corner, unmoved=unmoved, made_in=job.made_in,
        ).keeping(kept)  # fmt: skip

    def _key_came(self, job: _Job) -> bool:
        """Whether, while bars were made that no key bound, other bars gave the session one (another voice's, or those
        that were asked for before a turn of the morph or the pad): they are to be made again in it.
        """
        if not job.unbound or self._stage.harmony.classes is None:
            return False
        if self._stage.harmony.source == job.voice.name:
            gesture = job.voice.gesture  # where it is dirty, they are made again anyway
            if job.recipe.op not in BETWEEN or gesture is None or gesture.dirty:
                return False
        now = bend_of(self._stage, job.voice, job.recipe).get("key", {"classes": None})
        return now["classes"] is not None

    def _lock_came(self, job: _Job) -> bool:
        """Whether, while bars were made, a bar was locked that they do not keep: they are to be made again. Of those
        whose first bars have been told already it is too late.
        """
        if job.recipe.op == "fill" or job.begun is not None:
            return False
        now = locked_now(job.voice, job.recipe.beats_per_bar)
        kept = job.record.bend.get("lock", {}).get("spans", [])
        return now is not None and any(span not in kept for span in now["spans"])

    def _turned(self, job: _Job) -> bool:
        """Whether new bars are to be made again, for a knob was turned meanwhile."""
        return job.remakes < _MAX_REMAKES and self._differs(job)

    def _differs(self, job: _Job) -> bool:
        """Whether, while new bars were made, a knob was turned that shapes them."""
        if job.voice.click_job != job.record.job:
            return False
        now = (bend_of(self._stage, job.voice, job.recipe), job.voice.knobs.temperature)
        return now != (job.record.bend, job.record.temperature)

    def failed(self, record: JobFailed) -> None:
        """The engine could not do a job."""
        job = self._jobs.get(record.job)
        if job is None:
            return
        self._release(job)
        if job.begun is not None:
            job.deliver(job.begun)  # they sound already, and there will be no more of them
        log.error("%s: %s", job.request.address, record.reason)
        self._stage.refuse(job.request.origin, job.request.address, RefusedError(record.code, record.reason))
        if job.go_on is not None:
            job.go_on()
        self.pump(job.voice)

    def _release(self, job: _Job) -> None:
        del self._jobs[job.record.job]
        if job.voice.click_job == job.record.job:
            job.voice.click_job = 0
        if job.voice.knob_job == job.record.job:
            job.voice.knob_job = 0
            job.voice.knobs_made += 1

    def pump(self, voice: Voice) -> None:
        """Do what waits, up to the next click that needs the engine."""
        while voice.queue and not _under_way(voice):
            if voice.remaking_newest and voice.knobs_made < voice.queue[0].knobs_until:
                return
            voice.queue.popleft().action()

    def drop(self, voice: Voice) -> None:
        """Forget all that was asked of this voice (`clear`), and say so to whoever has had no answer; results still
        under way are thrown away.
        """
        click = self._jobs.get(voice.click_job)
        asked = [] if click is None else [click.request]
        if voice.gesture is not None and voice.turning:
            asked.append(voice.gesture.request)
        asked = [request for request in asked if request.verb in _ANSWERED_WITH_BARS]
        asked += [waits.request for waits in voice.queue]
        voice.queue.clear()
        for number in (voice.click_job, voice.knob_job):
            self._jobs.pop(number, None)
        voice.click_job = voice.knob_job = 0
        cleared = RefusedError(NOT_NOW, f"{voice.name} was cleared before this was done")
        for request in asked:
            self._stage.refuse(request.origin, request.address, cleared)

    def engine_gone(self) -> None:
        """The engine has ended, with everything it had been asked for."""
        self._undone = list(self._jobs)

    def engine_came(self) -> None:
        """A new engine has its models: what its predecessor left undone is asked again, once."""
        undone, self._undone = self._undone, []
        for number in undone:
            job = self._jobs.get(number)
            if job is None:
                continue  # cleared meanwhile
            job.attempts += 1
            if job.attempts > _MAX_ATTEMPTS:
                self.failed(JobFailed(number, INSIDE, "the engine ended twice over this request"))
            else:
                self._stage.engine.send(job.record)


def _under_way(voice: Voice) -> bool:
    """Whether something is being made for a voice that what is asked for next may go on from."""
    return voice.click_job != 0 or (voice.morphing and voice.turning)
