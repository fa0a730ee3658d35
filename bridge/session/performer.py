"""Loops on their way to the player, and what the player says of them."""

from __future__ import annotations

import logging
from dataclasses import replace

from bridge import limits, messages
from bridge.music.notes import Bars
from bridge.session.archive import ArchiveError
from bridge.session.bending import unlock_missing
from bridge.session.loops import Loop
from bridge.session.outside import Origin, Request
from bridge.session.restoring import Restoring, as_played
from bridge.session.stage import Stage
from bridge.session.voice import Handed, Voice

log = logging.getLogger(__name__)


class Performer:
    """Hands loops to the player and keeps the voices' picture of it true."""

    def __init__(self, stage: Stage) -> None:
        """`stage` is shared with the other parts of the session."""
        self._stage = stage
        self.restoring = Restoring(stage, self._find, self.regroove, self.keep)

    # -- to the player ---------------------------------------------------------------------------------------------

    def launch(
        self, voice: Voice, loop: Loop, origin: Origin, arrival_ns: int, boundary: str = "", *, whole: bool = True,
        for_this_place: bool = False,
    ) -> None:  # fmt: skip
        """New bars: they sound at the voice's launch boundary, or at `boundary`, counted from the request's arrival.
        Where they are not `whole` yet, nobody hears of them before `complete` gives the rest. Those that are
        `for_this_place` are called off by the player itself where the song moves.
        """
        if loop.id not in voice.history.ids:
            self._call_off_travel(voice)
        voice.pending = loop
        voice.handed[loop.id] = Handed(loop, origin, arrival_ns, boundary=boundary, whole=whole)
        voice.gone.pop(loop.id, None)
        voice.replaced.pop(loop.id, None)
        for old_id in list(voice.handed)[: -limits.MAX_REQUESTS_WAITING]:  # while the clock stands none is launched
            if voice.handed[old_id].confirmed:
                del voice.handed[old_id]
        self._stage.player.send(
            messages.Launch(
                voice.name,
                loop.id,
                arrival_ns,
                boundary or voice.knobs.launch,
                *as_played(self._stage, voice, loop),
                for_this_place,
            )
        )

    def silence(self, voice: Voice, origin: Origin, arrival_ns: int) -> None:
        """The voice has no bars from its launch boundary on: no notes take the place of those that sound."""
        if voice.sounding is None or not voice.playing or not self._stage.clock.running:
            self.forget_all(voice)
            return
        nothing = Loop(self._stage.archive.new_id(), Bars((), self._stage.clock.bar_beats), 0)
        self.launch(voice, nothing, origin, arrival_ns, whole=False)
        voice.handed[nothing.id].silence = True

    def complete(self, voice: Voice, loop: Loop, origin: Origin) -> bool:
        """All of the bars whose first ones were launched; False where none of them were."""
        handed = voice.handed.get(loop.id)
        if handed is None:
            sounds = voice.sounding is not None and voice.sounding.id == loop.id
            if not sounds and loop.id not in voice.gone:
                return False
            if sounds:  # until what is to take their place is there
                voice.sounding = loop
                self.reshape(voice, loop.id, loop)
            start_beats = voice.start_beats if sounds else -1.0
            self._confirm(voice, Handed(loop, origin, self._stage.timers.now_ns()), start_beats)  # called off meanwhile
            return True
        handed.loop, handed.whole = loop, True
        if voice.pending is not None and voice.pending.id == loop.id:
            voice.pending = loop
        self.reshape(voice, loop.id, loop)
        if handed.taken:
            self._confirm(voice, handed, handed.start_beats)
        if handed.launched is not None:
            self.launched(handed.launched)
        return True

    @staticmethod
    def begun(voice: Voice) -> Handed | None:
        """Long bars of which the first sound, while the others are still being made and nobody has been told."""
        handed = None if voice.pending is None else voice.handed.get(voice.pending.id)
        return None if handed is None or handed.launched is None else handed

    def take_begun(self, voice: Voice) -> None:
        """Something takes the place of bars of which only the first sound: what sounds is these, and called off."""
        handed = self.begun(voice)
        if handed is None or handed.launched is None:
            return
        voice.sounding, voice.pending = handed.loop, None
        voice.start_beats, voice.launched_beats = handed.launched.start_beats, handed.launched.beat
        voice.gone[handed.loop.id] = False
        del voice.handed[handed.loop.id]

    def tell(self, voice: Voice, loop: Loop, origin: Origin, arrival_ns: int) -> None:
        """Bars that are not to sound, for something else was asked for since: told and kept, to be brought back."""
        self._confirm(voice, Handed(loop, origin, arrival_ns), -1.0)

    def reshape(self, voice: Voice, old_id: int, loop: Loop) -> None:
        """Other notes for bars the player has; they take over from now on."""
        self._stage.player.send(messages.Reshape(voice.name, old_id, loop.id, *as_played(self._stage, voice, loop)))

    def regroove(self, voice: Voice) -> None:
        """A groove knob has moved: the same plain bars, performed anew."""
        for loop in (voice.sounding, voice.pending):
            if loop is not None:
                self.reshape(voice, loop.id, loop)
        if voice.gesture_events is not None:
            voice.gesture_events.trigger()

    def key_changed(self) -> None:
        """The session has another key: where that binds hard, no more notes of the one before."""
        for voice in self._stage.voices.values():
            if voice.knobs.scale == "hard" and not voice.is_drums:
                self.regroove(voice)

    def replace_pending(self, voice: Voice, loop: Loop) -> None:
        """Other bars in the place of those that wait for their boundary."""
        old = voice.pending
        if old is None:
            return
        self.reshape(voice, old.id, loop)
        voice.pending = loop
        if old.id != loop.id:
            voice.replaced[old.id] = loop.id
        handed = voice.handed.pop(old.id, None)
        if handed is not None:
            handed.loop = loop
            voice.handed[loop.id] = handed

    def set_loop(self, voice: Voice) -> None:
        """Tell the player whether the voice's bars go round."""
        self._stage.player.send(messages.LoopVoice(voice.name, voice.goes_round))

    def cancel_pending(self, voice: Voice) -> None:
        """Forget the bars that wait for their boundary. They were made, so they are told, and can be brought back."""
        pending = voice.pending
        handed = None if pending is None else voice.handed.get(pending.id)
        if pending is None or self.begun(voice) is not None:
            return
        self._call_off_travel(voice)
        voice.pending = None
        voice.handed.pop(pending.id, None)
        voice.gone[pending.id] = True
        self._stage.player.send(messages.CancelPending(voice.name))
        if handed is not None and handed.whole and not handed.confirmed:
            self._confirm(voice, handed, -1.0)

    def dropped(self, record: messages.Dropped) -> None:
        """The player has called bars off by itself: whoever asked for them may have died with the bridge before us."""
        voice = self._stage.voices.get(record.voice)
        if voice is not None and voice.pending is not None and voice.pending.id == record.id:
            self.cancel_pending(voice)
            self._stage.voice_changed(voice)

    def _call_off_travel(self, voice: Voice) -> None:
        """Bars that undo or redo brought back wait, and do not come to sound: the history stands where it stood."""
        if voice.pending is not None and voice.sounding is not None and voice.history.redo_steps:
            voice.history.back_to(voice.sounding.id)

    def forget_all(self, voice: Voice) -> None:
        """Silence, and nothing that waits. Bars that are just on their way to the player were asked for: they are told,
        and can be brought back.
        """
        for handed in list(voice.handed.values()):
            if handed.whole and not handed.confirmed:
                self._confirm(voice, handed, -1.0)
        voice.gone |= dict.fromkeys(voice.handed, False)
        voice.sounding = voice.pending = voice.fill = None
        voice.start_beats = -1.0
        voice.handed.clear()
        self._stage.player.send(messages.ClearVoice(voice.name))

    def keep(self, voice: Voice, loop: Loop) -> None:
        """The bars enter the archive and the history."""
        voice.history.push(loop.id)
        clock = self._stage.clock
        try:
            self._stage.archive.save(voice.name, loop, clock.bpm, clock.metre)
        except ArchiveError as fault:
            log.error("bars %d are not kept: %s", loop.id, fault)
        self._stage.voice_changed(voice)

    # -- from the player -------------------------------------------------------------------------------------------

    def scheduled(self, record: messages.Scheduled) -> None:
        """The player has taken bars: they are announced, with the latency up to now, and kept."""
        voice = self._stage.voices.get(record.voice)
        handed = None if voice is None else voice.handed.get(record.id)
        if voice is None or handed is None:
            return
        handed.start_beats, handed.taken = record.start_beats, True
        if handed.whole and not handed.confirmed:
            self._confirm(voice, handed, record.start_beats)
        elif handed.refitted:
            self._stage.announce_bars(voice, handed.loop, record.start_beats, 0.0, handed.origin)
        handed.refitted = False

    def _confirm(self, voice: Voice, handed: Handed, start_beats: float) -> None:
        handed.confirmed = True
        latency_ms = self._stage.ms_since(handed.arrival_ns) if handed.arrival_ns else 0.0
        self._stage.announce_bars(voice, handed.loop, start_beats, latency_ms, handed.origin)
        self.keep(voice, handed.loop)

    def launched(self, record: messages.Launched) -> None:
        """Bars have begun to sound: those that were asked for, or what stood in their place before the player heard of
        the change.
        """
        voice = self._stage.voices.get(record.voice)
        if voice is None:
            return
        loop_id = record.id
        while loop_id in voice.replaced:
            loop_id = voice.replaced.pop(loop_id)
        if loop_id in voice.gone:
            if voice.gone.pop(loop_id):
                self._put_right(voice)
            return
        handed = voice.handed.get(loop_id)
        if handed is not None and handed.silence:
            self._silenced(voice, loop_id)
            return
        if handed is not None and not handed.whole:
            handed.launched = record
            return
        loop = handed.loop if handed is not None else self._find(voice, loop_id)
        if loop is None:
            self._put_right(voice)
            return
        self._sounds(voice, loop, handed, record)
        gesture = voice.gesture
        if gesture is not None and gesture.of_id == loop_id:
            # they waited to begin again, and the knob has not heard of it: if it has re-shaped them, that is undone
            self.reshape(voice, gesture.loop_id, loop)
        if voice.pending is not None and voice.pending.id == loop_id:
            voice.pending = None
        waiting = None if voice.pending is None else voice.pending.id
        voice.handed = {known: item for known, item in voice.handed.items() if known == waiting}
        origin = None if handed is None else handed.origin
        for kept in (voice.replaced, voice.gone):
            for old_id in list(kept)[: -limits.MAX_REQUESTS_WAITING]:
                del kept[old_id]
        self._stage.outbox.publish(f"/{voice.name}/launched", loop_id, float(record.beat), also=origin)
        self._stage.voice_changed(voice)

    def _sounds(self, voice: Voice, loop: Loop, handed: Handed | None, record: messages.Launched) -> None:
        voice.sounding = loop
        voice.start_beats, voice.launched_beats = record.start_beats, record.beat
        if handed is not None and handed.locked is not None:
            voice.knobs.locked = handed.locked
        unlock_missing(self._stage, voice)
        self.freeze(voice)
        if voice.newest == loop.source:
            voice.seeded = None

    def freeze(self, voice: Voice, anew: int = -1) -> None:
        """The locked bars of the present loop, as they are heard, are its own from now on, whatever key binds and
        however it is quantised; one that was free is locked `anew`.
        """
        loop = voice.present
        fresh = [] if loop is None else [bar for bar in voice.knobs.locked if bar == anew or bar not in loop.kept]
        if loop is None or not fresh:
            return
        now = voice.knobs.groove()
        rest = [own for own in loop.keeps if own[0] not in fresh]
        kept = replace(loop, bars=self._stage.as_bound(voice, loop, fresh)).keeping([*rest, *((b, now) for b in fresh)])
        if voice.newest == loop.source:
            voice.newest = kept.source
        if loop is voice.sounding:
            voice.sounding = kept
        else:
            voice.pending = kept
            if kept.id in voice.handed:
                voice.handed[kept.id].loop = kept

    def _silenced(self, voice: Voice, loop_id: int) -> None:
        """No bars have taken the place of those that sounded; if none wait either, the voice has none at all."""
        if voice.pending is not None and voice.pending.id == loop_id:
            self.forget_all(voice)
        else:
            voice.sounding, voice.start_beats = None, -1.0
        self._stage.voice_changed(voice)

    def late(self, record: messages.Late) -> None:
        """Bars missed their boundary."""
        voice = self._stage.voices.get(record.voice)
        if voice is not None:
            handed = voice.handed.get(record.id)
            also = None if handed is None else handed.origin
            self._stage.outbox.publish(f"/{voice.name}/late", record.id, float(record.ms), also=also)

    def _put_right(self, voice: Voice) -> None:
        """The player sounds what had just been called off: back to what we said."""
        if voice.sounding is None:
            self._stage.player.send(messages.ClearVoice(voice.name))
        self.restoring.restore(voice)

    def _find(self, voice: Voice, loop_id: int) -> Loop | None:
        for loop in (voice.sounding, voice.pending):
            if loop is not None and loop.id == loop_id:
                return loop
        try:
            return self._stage.archive.load(voice.name, loop_id)
        except ArchiveError as fault:
            log.error("%s", fault)
            return None

    # -- requests that only the player carries out -----------------------------------------------------------------

    def play(self, voice: Voice, request: Request) -> None:
        """Sound again from the launch boundary on. Bars that sounded once do so once more, but for answers of a jam."""
        stood, voice.playing = not voice.playing, True
        anew, launch = voice.jam != "respond", voice.knobs.launch
        self._stage.player.send(messages.PlayVoice(voice.name, request.arrival_ns, launch, anew))
        if stood:
            self._stage.on_switch(voice)
        self._stage.voice_changed(voice)

    def stop(self, voice: Voice) -> None:
        """Close the voice's notes at once; keep its bars."""
        voice.playing = False
        self._stage.player.send(messages.StopVoice(voice.name))
        self._stage.on_switch(voice)
        self._stage.voice_changed(voice)
