"""The session: every request of the OSC interface ends here, and every word of the player and the engine.

It owns no socket and no clock: `bridge.main` gives it those, the tests give it others.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge import engine_messages, limits, messages
from bridge.family import plays_drums
from bridge.music.notes import PART_NAMES
from bridge.session import statefile
from bridge.session.archive import Archive
from bridge.session.bridge_requests import BridgeRequests
from bridge.session.composer import Composer
from bridge.session.gestures import Gestures
from bridge.session.outside import NOT_NOW, Outbox, Peer, RefusedError, Request, Rest, Throttle, Timers
from bridge.session.performer import Performer
from bridge.session.scenes import Scenes
from bridge.session.stage import Clock, Stage, has_moved
from bridge.session.voice import Knobs, Voice
from bridge.session.voice_requests import VoiceRequests

log = logging.getLogger(__name__)

_SAVES_PER_S = 10
_FOLLOWED_SAVES_PER_S = 0.5  # of where a followed clock is, which slides all the time
_QUIET_S = 0.05  # clicks that come faster than this are not slowed by what is made ready for the next one
_GROOVE_CHANGES_PER_S = 60  # a hand does not turn a knob faster; the player is spared the rest


class Session:
    """All voices, and the rules by which they change."""

    def __init__(
        self,
        *,
        folder: Path,
        token: str,
        voices: dict[str, dict[str, Any]],
        clock: dict[str, Any],
        outbox: Outbox,
        player: Peer,
        engine: Peer,
        timers: Timers,
    ) -> None:
        """`voices` and `clock` are those sections of the config; `token` tells one run from another."""
        self._folder = folder
        self._run = hashlib.sha256(token.encode()).hexdigest()[:16]
        self._engine_told: set[str] = set()
        self._loaded_at_start = {settings["model"] for settings in voices.values()}
        self._groove_warm = False
        self._unsaved = ""
        self._saves = Throttle(timers, _SAVES_PER_S, self.save)
        self._followed_saves = Throttle(timers, _FOLLOWED_SAVES_PER_S, self._saves.trigger)
        built = {name: _voice(name, settings) for name, settings in voices.items()}
        archive = Archive(folder, {name: voice.channels for name, voice in built.items()})
        song = Clock(
            clock["source"], clock["tempo"], clock["offset_ms"], float(clock["beats_per_bar"]),
            dict(clock.get("offsets_ms", {})),
        )  # fmt: skip
        self.stage = Stage(built, song, archive, outbox, player, engine, timers, self._saves.trigger, self._run)
        self.stage.save_now = self._saves.now
        self._performer = Performer(self.stage)
        self.stage.on_key = self._performer.key_changed
        self._composer = Composer(self.stage)
        self._gestures = Gestures(self.stage, self._composer, self._performer)
        self._voice_requests = VoiceRequests(self.stage, self._composer, self._performer, self._gestures)
        self.stage.on_change = Rest(timers, _QUIET_S, self._voice_requests.make_ready).trigger
        scenes = Scenes(folder, self.stage, self._performer, self._gestures)
        self._bridge_requests = BridgeRequests(self.stage, scenes, self._gestures)
        for voice in built.values():
            self._equip(voice, timers)
        self._restore()

    def _equip(self, voice: Voice, timers: Timers) -> None:
        voice.state_events = Throttle(timers, limits.STATE_EVENTS_PER_S, lambda: self.stage.publish_state(voice))
        voice.gesture_events = Throttle(timers, limits.GESTURE_BARS_PER_S, lambda: self._gestures.announce(voice))
        voice.groove_changes = Throttle(timers, _GROOVE_CHANGES_PER_S, lambda: self._groove_turned(voice))

    def _groove_turned(self, voice: Voice) -> None:
        voice.turn_ms = self.stage.ms_since(voice.groove_asked_ns)
        self._performer.regroove(voice)

    # -- memory ----------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        state = statefile.read(self._folder)
        same_run = state.get("run") == self._run
        self.stage.archive.skip_to(state.get("last_id", 0))
        kept = state.get("voices", {})
        for name, voice in self.stage.voices.items():
            if name in kept:
                self._restore_part(name, voice.restore_all if same_run else voice.restore_kept, kept[name])
                self.stage.order = max(self.stage.order, voice.newest_order)  # what is asked for now is newer
        if same_run:
            self._restore_part("the clock", self.stage.clock.restore, state.get("clock"))
            self._restore_part("the key and chords", self.stage.harmony.restore, state.get("harmony"))
        self.save()

    @staticmethod
    def _restore_part(name: str, restore: Callable[[Any], None], kept: object) -> None:
        try:
            restore(kept)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as fault:  # edited by hand, or cut short
            log.warning("state.json: what it holds of %s cannot be used (%r): starting it afresh", name, fault)

    def save(self) -> None:
        """Write what outlives a restart; that it cannot be written is logged once, not with every knob."""
        before, self._unsaved = (
            self._unsaved,
            statefile.write(
                self._folder,
                {
                    "run": self._run,
                    "last_id": self.stage.archive.last_id,
                    "clock": self.stage.clock.to_json(),
                    "harmony": self.stage.harmony.to_json(),
                    "voices": {name: voice.to_json() for name, voice in self.stage.voices.items()},
                },
            ),
        )
        if self._unsaved and self._unsaved != before:
            log.error("%s", self._unsaved)

    def close(self) -> None:
        """The bridge ends: what a gesture made is kept, and the state is written."""
        for voice in self.stage.voices.values():
            self._gestures.settle(voice)
        self._followed_saves.cancel()
        self._saves.cancel()
        self.save()

    # -- requests --------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> None:
        """Do what was asked.

        Raises:
            RefusedError: with the code and words of the answer; nothing has been changed.
        """
        voice = self.stage.voices.get(request.scope)
        if voice is not None:
            self._voice_requests.handle(voice, request)
        else:
            self._bridge_requests.handle(request)

    # -- what the other processes say --------------------------------------------------------------------------------

    def from_player(self, record: object) -> None:
        """A record of the player."""
        match record:
            case messages.Beat():
                self.stage.outbox.publish("/clock/beat", record.beat, float(record.tempo_bpm), int(record.playing))
                if record.playing:
                    self._voice_requests.auto.beat_came(record.beat)
                    self._voice_requests.fills.beat_came(record.beat)
            case messages.Launched():
                self._launched(record)
            case messages.Scheduled():
                self._performer.scheduled(record)
            case messages.Dropped():
                self._performer.dropped(record)
            case messages.Late():
                self._performer.late(record)
                self._voice_requests.jam.late(record)
            case messages.Heard():
                self._voice_requests.jam.heard(record)
            case messages.ClockState():
                self._clock_told(record)
            case messages.VoiceSnapshot():
                self._performer.restoring.snapshot(record)
            case messages.SnapshotEnd():
                self._snapshot_end(record.fresh)
            case messages.Panicked():
                self._bridge_requests.panicked(record.n_notes)

    def _launched(self, record: messages.Launched) -> None:
        self._performer.launched(record)
        voice = self.stage.voices.get(record.voice)
        if voice is not None:
            self._gestures.launched(voice)

    def _clock_told(self, record: messages.ClockState) -> None:
        clock = self.stage.clock
        if clock.awaiting_snapshot:
            clock.told = record
            return
        before, old_bar_beats, clock.state = clock.state, clock.bar_beats, record
        moved = before is None or has_moved(before, record)
        if moved and before is not None:
            self._voice_requests.fills.clock_moved(started=not before.playing)
        if before is not None and clock.bar_beats != old_bar_beats:  # else nothing was fitted to another metre
            self._voice_requests.fills.metre_changed()
            self._performer.restoring.metre_changed(old_bar_beats)
            self._voice_requests.fills.remake()
        if not record.followed:
            clock.tempo_bpm = record.tempo_bpm
        (self._saves if moved or not record.followed else self._followed_saves).trigger()
        self.stage.outbox.publish("/clock/state", *self.stage.clock_state())
        self._voice_requests.jam.clock_told(record)

    def player_came(self) -> None:
        """A connection to the player is there; its snapshot follows."""
        self.stage.clock.awaiting_snapshot = True

    def _snapshot_end(self, fresh: bool) -> None:
        clock = self.stage.clock
        clock.awaiting_snapshot = False
        before, told = clock.state, clock.told
        if fresh:
            self.stage.player.send(messages.SetClock(clock.source, clock.tempo_bpm, clock.offset_ms, restored=True))
            for source, offset_ms in clock.offsets_ms.items():
                self.stage.player.send(messages.SetClock(offset_ms=offset_ms, offset_source=source))
            if before is not None:
                self.stage.player.send(
                    messages.RestoreTransport(
                        before.anchor_ns,
                        before.anchor_beats,
                        before.tempo_bpm,
                        before.playing,
                        before.numerator,
                        before.denominator,
                        before.bar_origin_beats,
                    )
                )
        if told is not None and before is None:
            self._clock_told(told)
        self._performer.restoring.snapshot_end(fresh)
        if told is not None and before is not None and not fresh:  # what is fitted to another metre is what now sounds
            self._clock_told(told)
        self._tell_ready()

    def player_gone(self) -> None:
        """The player has ended; the supervisor starts another."""
        self._bridge_requests.player_gone()
        self._tell_ready()

    def from_engine(self, record: object) -> None:
        """A record of the engine."""
        match record:
            case engine_messages.Begun():
                self._composer.begun(record)
            case engine_messages.Generated():
                self._composer.generated(record)
            case engine_messages.JobFailed():
                self._composer.failed(record)
            case engine_messages.ModelState():
                self._model_told(record)

    def engine_came(self) -> None:
        """A connection to the engine is there. It loads the models of the config by itself; those that voices were
        given since, or wait for, it is asked for.
        """
        voices = self.stage.voices.values()
        wanted = [*(voice.model for voice in voices), *(voice.next_model for voice in voices if voice.next_model)]
        for name in dict.fromkeys(wanted):
            if name not in self._loaded_at_start:
                self.stage.engine.send(engine_messages.LoadModel(name))

    def engine_gone(self) -> None:
        """The engine has ended: no voice is ready until the next one is."""
        self._engine_told.clear()
        self._composer.engine_gone()
        for voice in self.stage.voices.values():
            voice.model_ready = False
            self.stage.voice_changed(voice)
        self._tell_ready()

    def groove_warm(self) -> None:
        """The groove kernels are compiled."""
        self._groove_warm = True
        self._tell_ready()

    def _model_told(self, record: engine_messages.ModelState) -> None:
        self._engine_told.add(record.model)
        for voice in self.stage.voices.values():
            if voice.next_model == record.model:
                self._swap(voice, record)
            elif voice.model == record.model:
                voice.model_ready = record.ready
                voice.model_fault = "" if record.ready else record.detail
            self.stage.voice_changed(voice)
        if all(voice.model in self._engine_told for voice in self.stage.voices.values()):
            self._composer.engine_came()
            for voice in self.stage.voices.values():
                if voice.model_ready:
                    self._voice_requests.model_came(voice)
        self._tell_ready()

    def _swap(self, voice: Voice, record: engine_messages.ModelState) -> None:
        asked, voice.model_asked, voice.next_model = voice.model_asked, None, ""
        if record.ready:
            is_another_kind = plays_drums(record.model) != voice.is_drums
            voice.model, voice.model_ready, voice.model_fault = record.model, True, ""
            if is_another_kind:
                self._voice_requests.kind_changed(voice)
        elif asked is not None:
            self.stage.refuse(asked.origin, asked.address, RefusedError(NOT_NOW, record.detail))

    def _tell_ready(self) -> None:
        known = all(voice.model in self._engine_told for voice in self.stage.voices.values())
        ready = self._groove_warm and known and self.stage.player.connected and self.stage.engine.connected
        if ready != self.stage.ready:
            self.stage.ready = ready
            self.stage.outbox.publish("/bridge/ready", int(ready))
            self.stage.on_change()


def _voice(name: str, settings: dict[str, Any]) -> Voice:
    if settings.get("parts"):
        channels = {PART_NAMES.index(part): channel - 1 for part, channel in settings["parts"].items()}
    else:
        channels = {0: settings["channel"] - 1}
    knobs = Knobs(
        launch=settings["launch"],
        quantize=settings["quantize"],
        swing=settings["swing"],
        humanize=settings["humanize"],
        grid=settings["grid"],
        temperature=settings["temperature"],
        scale="off" if plays_drums(settings["model"]) else "soft",
    )
    seed = random.SystemRandom().getrandbits(31)
    return Voice(name, settings["model"], channels, knobs, listen=settings.get("listen", 0), base_seed=seed)
