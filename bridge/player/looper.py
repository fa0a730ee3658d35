"""All voices under one clock: the musical half of the player, without ports and without time of its own.

`Looper` takes the bridge's records and the clock's changes, each with the moment it is, and gives `Sound` values in
order. The real player and the tests' offline twin run this same class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from bridge import limits, messages
from bridge.player.loops import Pending, Sound, loop_from_rows
from bridge.player.voice import NEVER, Voice
from bridge.timing.changes import Change, Shift
from bridge.timing.tempo_map import LAUNCH_KINDS, NEARLY_BEATS, TempoMap


class Looper:
    """The voices, the tempo map they go by, and what they have to tell the bridge (`outbox`)."""

    def __init__(self, voices: Mapping[str, tuple[int, ...]], tempo_map: TempoMap) -> None:
        """Voices by name, each with its parts; silent."""
        self.outbox: list[object] = []
        self.voices = {name: Voice(name, parts, self.outbox) for name, parts in voices.items()}
        self.map = tempo_map
        self._run_from_ns = 0
        self._run_from_beats = 0.0
        self._next_beat = 0

    @property
    def skipped(self) -> int:
        """Onsets that were overdue after a stall and did not sound."""
        return sum(voice.skipped for voice in self.voices.values())

    def next_due_ns(self) -> int | None:
        """When `advance` has something to do; None while the clock stands."""
        if not self.map.playing:
            return None
        due = min((voice.next_due() for voice in self.voices.values()), default=NEVER)
        return self.map.ns_at_beat(min(due, float(self._next_beat)))

    def advance(self, now_ns: int, oldest_beats: float | None = None) -> list[Sound]:
        """All that is due by now, in order. `oldest_beats` overrides which onsets are still worth sounding."""
        if not self.map.playing:
            return []
        beats = self.map.beat_at_ns(now_ns)
        oldest = self.map.beat_at_ns(now_ns - limits.LATEST_NS) if oldest_beats is None else oldest_beats
        sounds: list[Sound] = []
        for voice in self.voices.values():
            own: list[Sound] = []
            voice.advance(beats, oldest, self.map, own)
            latest = -NEVER
            for sound in own:  # what a voice says is in order; float dust in the dues must not reorder it below
                latest = max(latest, sound.due_beats)
                sounds.append(sound._replace(due_beats=latest))
        sounds.sort(key=lambda sound: sound.due_beats)
        while self._next_beat <= beats + NEARLY_BEATS:
            if self._next_beat + 1 > beats:
                self.outbox.append(messages.Beat(self._next_beat, self.map.tempo_bpm, True))
            self._next_beat += 1
        return sounds

    def change(self, change: Change, tempo_map: TempoMap, now_ns: int) -> list[Sound]:
        """Go by another map from now on. Call `advance` before, so that nothing due under the old one is lost."""
        old, self.map = self.map, tempo_map
        out: list[Sound] = []
        if change.shift is Shift.STOP:
            for voice in self.voices.values():
                voice.close(old.beat_at_ns(now_ns), out)
                voice.moved()
                voice.retarget(tempo_map, None)
            self.outbox.append(messages.Beat(int(tempo_map.anchor_beats), tempo_map.tempo_bpm, False))
        elif change.shift is Shift.SLIDE:
            if _grid(old) != _grid(tempo_map) and tempo_map.playing:
                # a bar line that this change jumps over by a little is not missed by what waits for it
                self._retarget_all(min(old.beat_at_ns(now_ns), tempo_map.beat_at_ns(now_ns)))
                out += self.advance(now_ns)  # before the metre is told: who hears of it answers with what sounds then
        else:
            self._move(change, old, now_ns, out)
        return out

    def _move(self, change: Change, old: TempoMap, now_ns: int, out: list[Sound]) -> None:
        here = self.map.beat_at_ns(now_ns)
        self._run_from_ns, self._run_from_beats = now_ns, change.from_beats
        self._next_beat = math.ceil(change.from_beats - NEARLY_BEATS)
        for voice in self.voices.values():
            if change.shift is Shift.START or abs(here - old.beat_at_ns(now_ns)) > limits.LEAP_BEATS:
                voice.moved()
            if change.shift is Shift.START:
                voice.begin_at(change.from_beats)
            else:
                voice.leap(old.beat_at_ns(now_ns), change.from_beats, here, out)
        self._retarget_all(change.from_beats)

    def _retarget_all(self, from_beats: float) -> None:
        for voice in self.voices.values():
            voice.retarget(self.map, from_beats)

    # -- the bridge's records -----------------------------------------------------------------------------------------

    def launch(self, record: messages.Launch, now_ns: int) -> None:
        """New bars for a voice, at the boundary the request asked for; where that has passed, at the next.

        Raises:
            ValueError: no such voice or launch, or notes out of range.
        """
        voice = self._voice(record.voice)
        loop = loop_from_rows(record.id, record.length_beats, record.notes)
        target = self._target(record.launch, record.request_ns, now_ns, voice.grid)
        if target is not None:
            missed_ms = (now_ns - self.map.ns_at_beat(target)) / 1e6
            if record.launch != "now" and target < self.map.beat_at_ns(now_ns) - NEARLY_BEATS:
                self.outbox.append(messages.Late(record.voice, record.id, missed_ms))
                target = self._next_boundary(record.launch, now_ns, voice.grid)
        voice.launch(Pending(loop, record.launch, target, for_this_place=record.for_this_place), self.map)

    def resume(self, record: messages.PlayVoice, now_ns: int) -> None:
        """A voice plays again from the boundary asked for, or the next; bars that are over begin `anew` there.

        Raises:
            ValueError: no such voice or launch.
        """
        voice = self._voice(record.voice)
        target = self._target(record.launch, record.request_ns, now_ns, voice.kept_grid)
        if target is not None and target < self.map.beat_at_ns(now_ns):
            target = self._next_boundary(record.launch, now_ns, voice.kept_grid)
        if record.anew and voice.over and voice.loop is not None and voice.pending is None:
            voice.launch(Pending(voice.loop, record.launch, target), self.map)
        voice.resume(target, record.launch)

    def reshape(self, record: messages.Reshape, now_ns: int) -> list[Sound]:
        """Other notes for bars that sound or wait; nothing where they do neither any more.

        Raises:
            ValueError: no such voice, or notes out of range.
        """
        voice = self._voice(record.voice)
        out: list[Sound] = []
        loop = loop_from_rows(record.new_id, record.length_beats, record.notes)
        here = self._here(now_ns)
        if voice.reshape(record.id, loop, here, out) and here is not None:
            self._keep_targets(voice, here)
        return out

    def restore(self, record: messages.RestoreVoice, now_ns: int) -> list[Sound]:
        """A voice as the bridge knew it, sounding at once, in place.

        Raises:
            ValueError: no such voice, or notes out of range.
        """
        loop = loop_from_rows(record.id, record.length_beats, record.notes) if record.id else None
        return self._voice(record.voice).restore(record, loop, self._here(now_ns))

    def switch(self, record: object, now_ns: int) -> list[Sound]:
        """The records that take no boundary: cancel, clear, stop, mute, loop, rest.

        Raises:
            ValueError: no such voice.
            TypeError: another record.
        """
        out: list[Sound] = []
        here = self._here(now_ns)
        match record:
            case messages.CancelPending(name):
                self._voice(name).pending = None
            case messages.ClearVoice(name):
                self._voice(name).clear(here, out)
            case messages.StopVoice(name):
                self._voice(name).stop(here, out)
            case messages.MuteVoice(name, on, part):
                self._voice(name).mute(on, part, here, out)
            case messages.LoopVoice(name, on):
                self._voice(name).set_loop(on, self.map.beat_at_ns(now_ns))
            case messages.RestVoice(name, from_beats):
                self._voice(name).rest(here, from_beats, out)
            case _:
                raise TypeError(f"not a switch: {record!r}")
        return out

    def panic(self, now_ns: int) -> list[Sound]:
        """Every voice stops; its bars are kept."""
        out: list[Sound] = []
        for voice in self.voices.values():
            voice.stop(self._here(now_ns), out)
        return out

    # -- inside -------------------------------------------------------------------------------------------------------

    def _voice(self, name: str) -> Voice:
        if name not in self.voices:
            raise ValueError(f"no voice {name!r}")
        return self.voices[name]

    def _here(self, now_ns: int) -> float | None:
        return self.map.beat_at_ns(now_ns) if self.map.playing else None

    def _target(self, launch: str, request_ns: int, now_ns: int, grid: tuple[float, float] | None) -> float | None:
        """The boundary a request asked for; None while the clock stands, this moment for "now"."""
        if launch not in LAUNCH_KINDS:
            raise ValueError(f"launch {launch!r}: one of {', '.join(LAUNCH_KINDS)}")
        if not self.map.playing:
            return None
        if launch == "now":
            return self.map.beat_at_ns(now_ns)
        asked_at = self._run_from_beats
        if request_ns > self._run_from_ns:
            asked_at = max(asked_at, self.map.beat_at_ns(min(request_ns, now_ns)))
        return self.map.first_boundary(launch, asked_at, grid)

    def _next_boundary(self, launch: str, now_ns: int, grid: tuple[float, float] | None) -> float:
        return self.map.first_boundary(launch, self.map.beat_at_ns(now_ns), grid)

    def _keep_targets(self, voice: Voice, here: float) -> None:
        """The loop that sounds has another length: bars that wait for its end wait for the new one."""
        if voice.pending is not None and voice.pending.launch == "loop":
            voice.retarget(self.map, here)


def _grid(tempo_map: TempoMap) -> tuple[float, float]:
    return tempo_map.bar_beats, tempo_map.bar_origin_beats
