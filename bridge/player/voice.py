"""One voice of the player: the loop that sounds, the bars that wait for their boundary, and the notes that are held.

Pure: it knows beats and nothing else, and says what is to be done as `Sound` values and message records. Tempo changes
need no rescheduling, because no moment in time is stored here.
"""

from __future__ import annotations

import math
from typing import Final

from bridge import messages
from bridge.messages import ALL_PARTS
from bridge.player.loops import SAME_ONSET_BEATS, Held, Loop, Pending, Sound
from bridge.timing.tempo_map import NEARLY_BEATS, TempoMap

NEVER: Final = math.inf
DUE_BEATS: Final = 1e-7  # a deadline is rounded to the ns; what is due within 50 ns at 120 BPM is due
KEEPS_START: Final = ("now", "step", "beat")  # contract 3.4: these keep the start of the loop that sounds


class Voice:
    """The state of a voice; `outbox` collects the records for the bridge."""

    def __init__(self, name: str, parts: tuple[int, ...], outbox: list[object]) -> None:
        """Silent, playing, looping."""
        self.name = name
        self.parts = parts
        self.playing = True
        self.loop_on = True
        self.muted: set[int] = set()
        self.loop: Loop | None = None
        self.start_beats = 0.0
        self.pending: Pending | None = None
        self.resume_beats: float | None = None
        self.resume_launch = ""
        self.held: list[Held] = []
        self.skipped = 0
        self.over = False
        self._announced = True
        self._end_beats = self._rest_beats = NEVER
        self._pass, self._index = 0, 0
        self._struck: set[tuple[int, int]] = set()
        self._outbox = outbox

    # -- what it holds ------------------------------------------------------------------------------------------------

    @property
    def grid(self) -> tuple[float, float] | None:
        """(start, length) of the loop that sounds, None where none does."""
        return self.kept_grid if self.playing else None

    @property
    def kept_grid(self) -> tuple[float, float] | None:
        """(start, length) of the loop that sounds, or would if the voice played."""
        if self.loop is None or self.over:
            return None
        return self.start_beats, self.loop.length_beats

    def snapshot(self) -> messages.VoiceSnapshot:
        """The voice as it is told to a new bridge; one that waits for its boundary to play again plays."""
        loop = self.loop
        return messages.VoiceSnapshot(
            self.name, self.playing or self.resume_beats is not None, self.loop_on, sorted(self.muted),
            loop.id if loop else 0, self.start_beats if loop else 0.0, loop.length_beats if loop else 0.0,
            loop.rows() if loop else [], self.pending.loop.id if self.pending else 0,
        )  # fmt: skip

    # -- bars come and go ---------------------------------------------------------------------------------------------

    def launch(self, pending: Pending, tempo_map: TempoMap) -> None:
        """Bars that wait from now on, at the target they carry; they replace others that wait."""
        self.pending = pending
        pending.start_beats = self._start_of(pending, tempo_map)
        self._outbox.append(messages.Scheduled(self.name, pending.loop.id, pending.start_beats))

    def moved(self) -> None:
        """The song stops, starts or plays on elsewhere: bars that were for the place it has left are called off."""
        if self.pending is not None and self.pending.for_this_place:
            self._outbox.append(messages.Dropped(self.name, self.pending.loop.id))
            self.pending = None

    def retarget(self, tempo_map: TempoMap, from_beats: float | None) -> None:
        """The grid or the position is another: what waits, waits for the first boundary at or after `from_beats`
        (None: the clock stands).
        """
        if self.resume_beats is not None:
            self.resume_beats = (
                None if from_beats is None else tempo_map.first_boundary(self.resume_launch, from_beats, self.kept_grid)
            )
            self.playing = self.playing or from_beats is None
        if self.pending is None:
            return
        self.pending.target_beats = (
            None if from_beats is None else tempo_map.first_boundary(self.pending.launch, from_beats, self.grid)
        )
        start_beats = self._start_of(self.pending, tempo_map)
        if start_beats != self.pending.start_beats:
            self.pending.start_beats = start_beats
            self._outbox.append(messages.Scheduled(self.name, self.pending.loop.id, start_beats))

    def reshape(self, loop_id: int, loop: Loop, at_beats: float | None, out: list[Sound]) -> bool:
        """Other notes for bars this voice has; they take over from `at_beats` (None: the clock stands). Bars may sound
        and wait to begin again: under their own id both get the notes, under another those that sound.

        Returns:
            False where the voice has no bars of that id (any more).
        """
        waits = self.pending is not None and self.pending.loop.id == loop_id
        sounds = self.loop is not None and self.loop.id == loop_id
        if self.pending is not None and waits and not (sounds and loop.id != loop_id):
            self.pending.loop = loop
        if sounds:
            self._take_over(loop, self.start_beats, at_beats, out)
        return waits or sounds

    def restore(self, record: messages.RestoreVoice, loop: Loop | None, at_beats: float | None) -> list[Sound]:
        """Everything as the bridge knew it, sounding at once, in place."""
        out: list[Sound] = []
        if loop is None or at_beats is None or not record.playing:
            self.close(at_beats, out)
        self.pending = None
        self.resume_beats = self.resume_beats if record.playing else None  # it resumes when it would have
        self.playing = record.playing and self.resume_beats is None
        self.loop_on, self.muted = record.loop, set(record.muted_parts)
        for part in self.muted:
            self._close_where(at_beats, out, part)
        self.loop, self.start_beats, self.over, self._announced = loop, record.start_beats, record.over, True
        self._rest_beats = NEVER
        if self.over:
            self.close(at_beats, out)
        elif loop is not None:  # a note struck on the bar line where the metre changed rings on
            self._take_over(loop, record.start_beats, at_beats, out)
        return out

    def clear(self, at_beats: float | None, out: list[Sound]) -> None:
        """Forget the loop and what waits."""
        self.close(at_beats, out)
        self.loop, self.pending, self.over, self._announced = None, None, False, True
        self._rest_beats = NEVER
        self._begin_pass(at_beats)

    # -- transport ----------------------------------------------------------------------------------------------------

    def begin_at(self, from_beats: float) -> None:
        """The clock runs (again), from here: notes from `from_beats` on are to sound."""
        self.over = self.over or self._rest_beats < NEVER  # the line it was to rest at is no more
        self._begin_pass(from_beats)
        self._announce(from_beats)

    def leap(self, was_beats: float, from_beats: float, here_beats: float, out: list[Sound]) -> None:
        """The song is at `here_beats` instead of `was_beats`. A leap of whole times round this loop changes nothing for
        it, so its notes ring on; else they are closed and the loop goes on from `from_beats`.
        """
        shift = here_beats - was_beats
        self._rest_beats += shift
        grid = self.grid
        if grid is not None and abs(math.remainder(shift, grid[1])) < NEARLY_BEATS:
            for held in self.held:
                held.onset_beats += shift
                held.end_beats += shift
            rounds = round(shift / grid[1])
            self._pass += rounds
            self._end_beats += shift
            self._struck = {(number + rounds, index) for number, index in self._struck}
            return
        self.close(was_beats, out)
        self._begin_pass(from_beats)

    def stop(self, at_beats: float | None, out: list[Sound]) -> None:
        """Close the notes and be silent; the bars are kept."""
        self.close(at_beats, out)
        self.playing, self.resume_beats = False, None

    def resume(self, target_beats: float | None, launch: str) -> None:
        """Play again from `target_beats` on (None: the clock stands, so whenever it runs)."""
        if self.playing:
            return
        self.resume_beats, self.resume_launch = target_beats, launch
        self.playing = target_beats is None

    # -- switches -----------------------------------------------------------------------------------------------------

    def mute(self, on: bool, part: int, at_beats: float | None, out: list[Sound]) -> None:
        """Mute or unmute everything (`ALL_PARTS`) or a part; closes what it mutes, time goes on."""
        if part == ALL_PARTS:
            self.muted = {ALL_PARTS} if on else set()
        elif on:
            self.muted.add(part)
        else:
            self.muted = (set(self.parts) if ALL_PARTS in self.muted else self.muted) - {part}
        if on:
            self._close_where(at_beats, out, part)

    def set_loop(self, on: bool, at_beats: float) -> None:
        """Off: to the end of this time round, then silence. On again: from the next time round."""
        self.loop_on = on
        if self.loop is None:
            return
        number = self.loop.pass_at(self.start_beats, at_beats)
        if not on:
            self._end_beats = NEVER if self.over else self.loop.pass_end(self.start_beats, number)
            return
        self._end_beats = self._rest_beats = NEVER
        if self.over:
            self.over = False
            self._pass, self._index = number + 1, 0

    def rest(self, at_beats: float | None, from_beats: float, out: list[Sound]) -> None:
        """Silence from `from_beats` on, or at once where that has passed (None: the clock stands), until new bars are
        launched or `set_loop` brings the old ones back.
        """
        if self.loop is None or self.over:
            return
        if at_beats is None or from_beats <= at_beats + NEARLY_BEATS:
            self.close(at_beats, out)
            self.over = True
        else:
            self._rest_beats = from_beats

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_due(self) -> float:
        """The beat of the next thing to do; `NEVER` where there is none."""
        due = min(held.end_beats for held in self.held) if self.held else NEVER
        due = min(due, self._pending_target())
        if self.resume_beats is not None:
            due = min(due, self.resume_beats)
        if self.playing and self.loop is not None and not self.over:
            due = min(due, self._end_beats, self._rest_beats, self._next_onset())
        return due

    def advance(self, beats: float, oldest_beats: float, tempo_map: TempoMap, out: list[Sound]) -> None:
        """Do all that is due up to `beats`. Onsets before `oldest_beats` are skipped and counted: no burst after a
        stall; ends are never skipped.
        """
        horizon = beats + DUE_BEATS
        while (due := self.next_due()) <= horizon:
            ending = min((held.end_beats for held in self.held), default=NEVER)
            if ending <= due + 2 * NEARLY_BEATS:
                self._close_ended(due + 2 * NEARLY_BEATS, out)
            elif self._pending_target() <= due + NEARLY_BEATS:
                self._take_pending(tempo_map, out)
            elif self.resume_beats is not None and self.resume_beats <= due + NEARLY_BEATS:
                self._resume_now(self.resume_beats, tempo_map)
            elif min(self._end_beats, self._rest_beats) <= due + NEARLY_BEATS:
                self.close(due, out)  # nothing is held over the end of a loop, but a rest may come in the middle
                self.over = True
            else:
                self._strike(due, oldest_beats, out)

    def close(self, at_beats: float | None, out: list[Sound]) -> None:
        """Close every held note now."""
        self._close_where(at_beats, out, ALL_PARTS)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _start_of(self, pending: Pending, tempo_map: TempoMap) -> float:
        if pending.target_beats is None:
            return -1.0
        if pending.launch not in KEEPS_START:
            return pending.target_beats
        if self.grid is not None:
            return self.start_beats
        return tempo_map.bar_line_at_or_before(pending.target_beats)

    def _pending_target(self) -> float:
        if self.pending is None or self.pending.target_beats is None or not self.playing:
            return NEVER  # what waits while the voice is stopped comes when it plays again
        return self.pending.target_beats

    def _take_pending(self, tempo_map: TempoMap, out: list[Sound]) -> None:
        pending, at_beats = self.pending, self._pending_target()
        assert pending is not None
        start_beats = self._start_of(pending, tempo_map)
        if start_beats != pending.start_beats:
            self._outbox.append(messages.Scheduled(self.name, pending.loop.id, start_beats))
        self.pending, self.over, self._announced = None, False, False
        self._rest_beats = NEVER
        self._take_over(pending.loop, start_beats, at_beats, out)
        self._announce(at_beats)

    def _announce(self, at_beats: float) -> None:
        if self.playing and self.loop is not None and not self._announced:
            self._announced = True
            self._outbox.append(messages.Launched(self.name, self.loop.id, self.start_beats, at_beats))

    def _resume_now(self, at_beats: float, tempo_map: TempoMap) -> None:
        self.playing, self.resume_beats = True, None
        pending = self.pending
        if pending is not None and pending.target_beats is not None and pending.target_beats < at_beats:
            # its boundary went by in silence; the next of that kind may be later than the one to play again from
            pending.target_beats = tempo_map.first_boundary(pending.launch, at_beats, self.grid)
        self._begin_pass(at_beats)
        self._announce(at_beats)

    def _take_over(self, loop: Loop, start_beats: float, at_beats: float | None, out: list[Sound]) -> None:
        """From `at_beats` on these notes are the loop. A held note that they have too, as the same stroke, is kept to
        its new end; notes that began before now wait for the next time round.
        """
        self.loop, self.start_beats = loop, start_beats
        self._struck.clear()
        if at_beats is None:
            return
        keeping: list[Held] = []
        for held in self.held:
            end_beats = self._end_in(loop, held, at_beats)
            if end_beats is None:
                out.append(Sound(at_beats, False, self.name, held.part, held.pitch, 0))
            else:
                held.end_beats = end_beats
                keeping.append(held)
        self.held = keeping
        struck = set(self._struck)
        self._begin_pass(at_beats)
        self._struck = struck

    def _end_in(self, loop: Loop, held: Held, at_beats: float) -> float | None:
        """Where a held note ends in a new loop; None where it has no such stroke, or that has ended."""
        for index, note in enumerate(loop.notes):
            if note.pitch != held.pitch or note.part != held.part:
                continue
            number = round((held.onset_beats - self.start_beats - note.start) / loop.length_beats)
            onset_beats = loop.onset(self.start_beats, number, index)
            end_beats = loop.instance_end(self.start_beats, number, index)
            if abs(onset_beats - held.onset_beats) <= SAME_ONSET_BEATS and end_beats > at_beats + NEARLY_BEATS:
                if onset_beats >= at_beats - NEARLY_BEATS:
                    self._struck.add((number, index))
                return end_beats
        return None

    def _begin_pass(self, at_beats: float | None) -> None:
        """Look for the next onset from `at_beats` on, and for the end of a loop that does not go round."""
        self._struck.clear()
        self._end_beats = NEVER
        if self.loop is None or at_beats is None:
            return
        self._pass, self._index = self.loop.seek(self.start_beats, at_beats)
        if not self.loop_on and not self.over:
            self._end_beats = self.loop.pass_end(self.start_beats, self.loop.pass_at(self.start_beats, at_beats))

    def _next_onset(self) -> float:
        loop = self.loop
        if loop is None or not loop.notes:
            return NEVER
        if self._index >= len(loop.notes):
            self._pass, self._index = self._pass + 1, 0
        return loop.onset(self.start_beats, self._pass, self._index)

    def _strike(self, due_beats: float, oldest_beats: float, out: list[Sound]) -> None:
        """Sound the note the cursor is at, and move on."""
        loop = self.loop
        assert loop is not None
        instance = (self._pass, self._index)
        note = loop.notes[self._index]
        self._index += 1
        if instance in self._struck:
            self._struck.discard(instance)
        elif due_beats < oldest_beats:
            self.skipped += 1
        elif ALL_PARTS not in self.muted and note.part not in self.muted:
            self._close_where(due_beats, out, note.part, note.pitch)
            out.append(Sound(due_beats, True, self.name, note.part, note.pitch, note.velocity))
            end_beats = loop.instance_end(self.start_beats, *instance)
            self.held.append(Held(note.pitch, note.part, due_beats, end_beats))

    def _close_ended(self, until_beats: float, out: list[Sound]) -> None:
        ringing = []
        for held in self.held:
            if held.end_beats <= until_beats:
                out.append(Sound(held.end_beats, False, self.name, held.part, held.pitch, 0))
            else:
                ringing.append(held)
        self.held = ringing

    def _close_where(self, at_beats: float | None, out: list[Sound], part: int, pitch: int | None = None) -> None:
        """Close the held notes of a part (`ALL_PARTS`: of all), or of one pitch of it."""
        ringing = []
        for held in self.held:
            if part in (ALL_PARTS, held.part) and pitch in (None, held.pitch):
                due_beats = held.end_beats if at_beats is None else at_beats
                out.append(Sound(due_beats, False, self.name, held.part, held.pitch, 0))
            else:
                ringing.append(held)
        self.held = ringing
