"""What is put back when the player, the bridge or the song's metre is another: voices as they were, in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bridge import messages
from bridge.messages import ALL_PARTS, NoteRow
from bridge.music.notes import bars_of, rows_of
from bridge.session.loops import Loop
from bridge.session.outside import NOBODY
from bridge.session.stage import Stage
from bridge.session.voice import Handed, Voice

_NEARLY: Final = 1e-6
NEAR_LINE_BEATS: Final = 0.1  # a clock that is followed may slide back over the bar line where its metre changed


def as_played(stage: Stage, voice: Voice, loop: Loop) -> tuple[float, list[NoteRow]]:
    """Length in beats and notes of a loop as it will sound."""
    bars = stage.performed(voice, loop)
    return bars.length, rows_of(bars)


class Restoring:
    """Gives a player what the bridge knows of the voices, and the bridge what a player knows."""

    def __init__(
        self,
        stage: Stage,
        find: Callable[[Voice, int], Loop | None],
        regroove: Callable[[Voice], None],
        keep: Callable[[Voice, Loop], None],
    ) -> None:
        """`find` gives bars of a voice by their id; `regroove` has them performed anew; `keep` is for archive and
        history.
        """
        self._stage = stage
        self._find = find
        self._regroove = regroove
        self._keep = keep
        self._seen: dict[str, messages.VoiceSnapshot] = {}

    def snapshot(self, record: messages.VoiceSnapshot) -> None:
        """What the player holds of one voice, told on every new connection."""
        self._seen[record.voice] = record

    def snapshot_end(self, fresh: bool) -> None:
        """All is told: a fresh player is given what we know; from an old one we learn."""
        for voice in self._stage.voices.values():
            seen = self._seen.pop(voice.name, None)
            if fresh:
                self.restore(voice)
            elif seen is not None:
                self._learn(voice, seen)
                if voice.regroove:
                    self._regroove(voice)
            voice.regroove = False
            self._stage.voice_changed(voice)

    def restore(self, voice: Voice) -> None:
        """Tell the player all of a voice: what sounds and where, what waits, and how it is switched."""
        send = self._stage.player.send
        loop = voice.sounding
        if loop is not None and voice.start_beats >= 0:
            send(
                messages.RestoreVoice(
                    voice.name,
                    loop.id,
                    voice.start_beats,
                    *as_played(self._stage, voice, loop),
                    voice.playing,
                    voice.goes_round,
                    sorted(voice.muted_parts),
                    voice.resting or self._has_ended(voice, loop),
                )
            )
        else:
            for part in sorted(voice.muted_parts):
                send(messages.MuteVoice(voice.name, True, part))
            if not voice.goes_round:
                send(messages.LoopVoice(voice.name, False))
            if not voice.playing:
                send(messages.StopVoice(voice.name))
        if voice.pending is not None:
            handed = voice.handed.setdefault(
                voice.pending.id, Handed(voice.pending, NOBODY, self._stage.timers.now_ns())
            )
            now_ns = self._stage.timers.now_ns()
            pending = voice.pending
            played = as_played(self._stage, voice, pending)
            handed.refitted |= handed.confirmed and not handed.arrival_ns  # the bridge before us told them
            boundary = handed.boundary or voice.knobs.launch
            if voice.jam == "respond" and 0.0 <= handed.start_beats < self._stage.clock.beat_at(now_ns) - _NEARLY:
                boundary = "step"  # its line went by without a player: at the next one it would be played over
            send(messages.Launch(voice.name, pending.id, now_ns, boundary, *played))
            handed.arrival_ns = handed.arrival_ns or now_ns

    def _has_ended(self, voice: Voice, loop: Loop) -> bool:
        """Whether bars that sound once have done so."""
        clock = self._stage.clock
        played = clock.beat_at(self._stage.timers.now_ns()) - voice.launched_beats
        return not voice.goes_round and clock.running and played >= self._stage.length_of(loop) - _NEARLY

    def _learn(self, voice: Voice, seen: messages.VoiceSnapshot) -> None:
        voice.playing = seen.playing
        voice.muted_parts = voice.parts if ALL_PARTS in seen.muted_parts else set(seen.muted_parts)
        if voice.jam != "respond":
            voice.knobs.loop = seen.loop
        if self._has_begun_silence(voice, seen) or not seen.sounding_id:
            voice.sounding = None
        elif voice.sounding is None or voice.sounding.id != seen.sounding_id:
            found = self._find(voice, seen.sounding_id)
            unknown = Loop(seen.sounding_id, bars_of(seen.length_beats, seen.notes), seen.sounding_id)
            voice.sounding = found or replace(unknown, bar_beats=self._stage.clock.bar_beats)
        voice.start_beats = -1.0 if voice.sounding is None else seen.start_beats
        if not seen.pending_id:
            voice.pending = None
        elif voice.pending is None or voice.pending.id != seen.pending_id:
            voice.pending = self._find(voice, seen.pending_id)
            if voice.pending is None:  # the bridge died before it knew of them itself: nobody would know what sounds
                self._stage.player.send(messages.CancelPending(voice.name))
        for loop in (voice.sounding, voice.pending):
            handed = None if loop is None else voice.handed.get(loop.id)
            if loop is None or loop.id in voice.history.ids or (handed is not None and handed.silence):
                continue
            if handed is not None:
                handed.confirmed = True
            if self._stage.archive.has(voice.name, loop.id):  # told just before the bridge died, and not noted any more
                voice.history.push(loop.id)
                voice.newest, voice.newest_order = voice.material_of(loop), self._stage.next_order()
            else:  # not even told, or a gesture's, which was not still for a bar yet
                start_beats = voice.start_beats if loop is voice.sounding else -1.0
                self._stage.announce_bars(voice, loop, start_beats, 0.0, None)
                self._keep(voice, loop)
        self._stage.archive.skip_to(max(seen.sounding_id, seen.pending_id))

    def _has_begun_silence(self, voice: Voice, seen: messages.VoiceSnapshot) -> bool:
        """Whether what waited, and began while no bridge was there to hear of it, is no bars. Of a scene's bars the
        locks hold from then on.
        """
        begun = voice.handed.get(seen.sounding_id)
        if begun is None:
            return False
        if begun.locked is not None:
            voice.knobs.locked = begun.locked
        if begun.silence and not seen.pending_id:
            self._stage.player.send(messages.ClearVoice(voice.name))
        return begun.silence

    def metre_changed(self, old_bar_beats: float) -> None:
        """The song's bars have another length: loops are fitted to it, and the bar that was to come comes now."""
        clock = self._stage.clock
        here = clock.beat_at(self._stage.timers.now_ns())
        line = clock.bar_line_at_or_before(here + NEAR_LINE_BEATS)
        for voice in self._stage.voices.values():
            loop = voice.sounding
            if loop is not None and voice.start_beats >= 0:
                bars = max(1, round(self._stage.length_of(loop) / clock.bar_beats))
                gone = math.floor((line - voice.start_beats) / old_bar_beats + _NEARLY) % bars
                voice.start_beats = line - gone * clock.bar_beats
                if voice.start_beats < 0:  # near the beginning of the song: the same place, a round later
                    voice.start_beats += bars * clock.bar_beats
                self._stage.announce_bars(voice, loop, voice.start_beats, 0.0, None)
            played = (line - voice.launched_beats) / old_bar_beats
            voice.launched_beats = line - played * clock.bar_beats
            if voice.pending is not None and voice.pending.id in voice.handed:
                voice.handed[voice.pending.id].refitted = voice.handed[voice.pending.id].confirmed
            self.restore(voice)
            self._stage.voice_changed(voice)
