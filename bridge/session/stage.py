"""What the parts of a session share, and what they say to the world: bars, states, errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from bridge import limits
from bridge.messages import ClockState
from bridge.music.groove import bound_as_played
from bridge.music.groove_settings import GrooveSettings
from bridge.music.locking import kept_apart
from bridge.music.metre import fitted_length
from bridge.music.notes import Bars, in_order
from bridge.session.archive import Archive
from bridge.session.harmony import Harmony
from bridge.session.loops import Loop
from bridge.session.outside import Origin, Outbox, Peer, RefusedError, Timers
from bridge.session.playing import Placed, as_played, in_metre, placed, with_fill
from bridge.session.voice import Voice

_NEARLY: Final = 1e-6


@dataclass
class Clock:
    """The player's clock as last told, and the settings that must survive the player."""

    source: str
    tempo_bpm: float
    offset_ms: float
    beats_per_bar: float
    offsets_ms: dict[str, float] = field(default_factory=dict)
    """Offsets of single sources, in place of `offset_ms`."""
    state: ClockState | None = None
    told: ClockState | None = None
    awaiting_snapshot: bool = False

    def to_json(self) -> list[Any]:
        """What outlives a restart of the bridge: settings, and where the song is, for a player that died with it."""
        state = None if self.state is None else asdict(self.state)
        return [self.source, self.tempo_bpm, self.offset_ms, self.offsets_ms, state]

    def restore(self, kept: list[Any]) -> None:
        """What `to_json` gave.

        Raises:
            TypeError, ValueError, AttributeError: it is not that; nothing has been changed.
        """
        source, tempo_bpm, offset_ms, offsets_ms, told = kept
        known = float(tempo_bpm), float(offset_ms), {str(name): float(ms) for name, ms in offsets_ms.items()}
        state = None if told is None else _state_from_json(told)
        self.source = str(source)
        self.tempo_bpm, self.offset_ms, self.offsets_ms = known
        self.state = state

    @property
    def running(self) -> bool:
        """Whether the song plays."""
        return self.state is not None and self.state.playing

    @property
    def followed(self) -> bool:
        """Whether somebody else's clock leads; once the internal one is asked for, it no longer does."""
        return self.source != "internal" and self.state is not None and self.state.followed

    @property
    def bar_beats(self) -> float:
        """Length of a bar in quarter notes."""
        return self.beats_per_bar if self.state is None else self.state.numerator * 4.0 / self.state.denominator

    @property
    def metre(self) -> tuple[int, int]:
        """Numerator and denominator."""
        if self.state is not None:
            return self.state.numerator, self.state.denominator
        in_quarters = self.beats_per_bar.is_integer()
        return (int(self.beats_per_bar), 4) if in_quarters else (round(self.beats_per_bar * 4), 16)

    @property
    def bpm(self) -> float:
        """The tempo that is in force."""
        return self.tempo_bpm if self.state is None else self.state.tempo_bpm

    def bar_line_at_or_before(self, beats: float) -> float:
        """The last bar line that is not after `beats`."""
        origin = 0.0 if self.state is None else self.state.bar_origin_beats
        return origin + math.floor((beats - origin) / self.bar_beats + _NEARLY) * self.bar_beats

    def bar_line_at_or_after(self, beats: float) -> float:
        """The first bar line that is not before `beats`."""
        origin = 0.0 if self.state is None else self.state.bar_origin_beats
        return origin + math.ceil((beats - origin) / self.bar_beats - _NEARLY) * self.bar_beats

    def nearest_bar_line(self, beats: float) -> float:
        """The bar line that is nearest: where a line known before lies in a clock that has slid a little."""
        origin = 0.0 if self.state is None else self.state.bar_origin_beats
        return origin + round((beats - origin) / self.bar_beats) * self.bar_beats

    def is_on_beat(self, beats: float) -> bool:
        """Whether the player's beats, counted from the bars' origin, fall on a position."""
        origin = 0.0 if self.state is None else self.state.bar_origin_beats
        return abs(math.remainder(beats - origin, 1.0)) < _NEARLY

    def beat_at(self, now_ns: int) -> float:
        """The song's position in quarter notes."""
        state = self.state
        if state is None:
            return 0.0
        if not state.playing:
            return state.anchor_beats
        return state.anchor_beats + (now_ns - state.anchor_ns) * state.tempo_bpm / 60e9


def _state_from_json(told: dict[str, Any]) -> ClockState:
    """The player's clock as it was last told.

    Raises:
        TypeError, ValueError: it is none.
    """
    state = ClockState(**told)
    numbers = (state.anchor_ns, state.anchor_beats, state.bar_origin_beats, state.error_ms)
    if not (all(map(math.isfinite, numbers)) and min(state.tempo_bpm, state.numerator, state.denominator) > 0):
        raise ValueError(f"no clock runs like this: {told}")
    return state


def has_moved(before: ClockState, after: ClockState) -> bool:
    """Whether the song starts, stops or plays on elsewhere: two lines compared where the newer one begins."""
    then = before.anchor_beats + (after.anchor_ns - before.anchor_ns) * before.tempo_bpm / 60e9
    is_elsewhere = before.playing and abs(then - after.anchor_beats) > limits.LEAP_BEATS
    return before.playing != after.playing or is_elsewhere


def _of_parts(bars: Bars, parts: set[int]) -> Bars:
    """The notes of these parts: bars may be of a session in which the voice had others, which nothing plays now."""
    if all(note.part in parts for note in bars.notes):
        return bars
    return Bars(tuple(note for note in bars.notes if note.part in parts), bars.length)


@dataclass
class Stage:
    """Everything the parts of a session work on."""

    voices: dict[str, Voice]
    clock: Clock
    archive: Archive
    outbox: Outbox
    player: Peer
    engine: Peer
    timers: Timers
    save_soon: Callable[[], None]
    run: str = ""
    """Tells this run of Barline from others; the bridge process that is restarted in it is of the same."""
    order: int = 0
    ready: bool = False
    panics: list[Origin] = field(default_factory=list)
    harmony: Harmony = field(default_factory=Harmony)
    on_change: Callable[[], None] = lambda: None
    on_key: Callable[[], None] = lambda: None
    on_switch: Callable[[Voice], None] = lambda _voice: None  # it was stopped, or is to play again
    save_now: Callable[[], None] = lambda: None

    def ms_since(self, arrival_ns: int) -> float:
        """How long ago a request arrived."""
        return (self.timers.now_ns() - arrival_ns) / 1e6

    def next_order(self) -> int:
        """A rising number: requests are compared by it, never by the clock."""
        self.order += 1
        return self.order

    def performed(self, voice: Voice, loop: Loop) -> Bars:
        """The loop as it will sound: the groove applied to its plain bars, then fitted to the song's metre."""
        groove = self._binding(voice, loop, voice.knobs.groove())
        if not groove.swings:  # a knob that was turned goes before the swing of whom the bars answer
            groove = replace(groove, swing=loop.feel.swing, swing_eighths=loop.feel.eighths)
        fill = voice.fill if voice.fill is not None and voice.fill.loop_id == loop.id else None
        drums, lock = voice.has_drums(loop), loop.locked(voice.knobs.locked, groove)
        bar_beats, is_fitted = self.clock.bar_beats, self.length_of(loop) != loop.bars.length
        filled: list[Placed] = []
        if fill is not None:
            apart = kept_apart(fill.bars, lock.in_bars_of(bar_beats, loop.bar_beats), groove)
            if not is_fitted:
                return Bars(in_order(as_played(apart, groove, loop, drums)), apart.length)
            filled = placed(apart, groove, loop, drums)
        bars = kept_apart(_of_parts(loop.bars, voice.parts), lock, groove)
        if not is_fitted:
            return Bars(in_order(as_played(bars, groove, loop, drums)), bars.length)
        played = placed(bars, groove, loop, drums)
        if fill is not None:
            return with_fill(played, loop, fill, filled, bar_beats)
        return in_metre(played, bars.length, loop.bar_beats, bar_beats)

    def _binding(self, voice: Voice, loop: Loop, groove: GrooveSettings, free: Sequence[int] = ()) -> GrooveSettings:
        """A groove that binds what is not bound yet where the session's key binds hard, but no locked bars, of which
        some may have been `free` until now.
        """
        if voice.knobs.scale != "hard" or self.harmony.classes is None:
            return groove
        scale, locked = frozenset(self.harmony.classes), set(loop.kept) & set(voice.knobs.locked) - set(free)
        is_bound = loop.verbatim or (frozenset(loop.bound_to) == scale and locked == set(loop.kept))
        return replace(groove, scale=scale, binds_all=not is_bound, spared=loop.spans_of(locked))

    def as_bound(self, voice: Voice, loop: Loop, locking: Sequence[int] | None = None) -> Bars:
        """The plain bars of a loop with the pitches that are heard where a key binds them as they are played, less the
        transposition; only in bars that are being locked, where any are told.
        """
        groove = self._binding(voice, loop, voice.knobs.groove(), locking or ())
        if voice.has_drums(loop) or groove.scale is None:
            return loop.bars
        length, notes = loop.bars.length, []
        lock = loop.keeping(own for own in loop.keeps if own[0] not in (locking or ())).locked(
            voice.knobs.locked, groove
        )
        for note, owner in zip(loop.bars.notes, lock.owners(loop.bars), strict=True):
            stays = owner is not None and owner[0] in groove.spared
            if locking is not None:
                stays = owner is None or owner[0] not in loop.spans_of(locking)
            notes.append(note if stays else bound_as_played(note, replace(groove, spared=()), length))
        return Bars(in_order(notes), length)

    def length_of(self, loop: Loop) -> float:
        """How long the loop is as it will sound, in beats."""
        return fitted_length(loop.bars.length, loop.bar_beats, self.clock.bar_beats)

    def bars_in(self, loop: Loop) -> int:
        """How many whole bars the loop has as it will sound."""
        return int(self.length_of(loop) / self.clock.bar_beats + _NEARLY)

    def heard(
        self,
        voice: Voice,
        bars: Bars,
        *,
        seed: bool = False,
        giver: list[str | int] | None = None,
        made_in: Sequence[int] | None = None,
    ) -> None:
        """Notes that the session's key may be taken from; `giver`, `made_in`: see `Harmony`."""
        if not voice.is_drums and self.harmony.hear(voice.name, bars, seed=seed, giver=giver, made_in=made_in):
            self.tell_key()

    def tell_key(self) -> None:
        """The key in force is another, or was asked for: what it binds hard sounds in it at once."""
        self.on_key()
        self.outbox.publish("/bridge/key/state", *self.harmony.told())
        for voice in self.voices.values():
            self.voice_changed(voice)

    def refuse(self, origin: Origin, address: str, error: RefusedError) -> None:
        """Answer a request with an error, later than its arrival."""
        self.outbox.reply(origin, "/error", error.code, address, error.message)

    # -- events ----------------------------------------------------------------------------------------------------

    def announce_bars(
        self, voice: Voice, loop: Loop, start_beats: float, latency_ms: float, also: Origin | None
    ) -> None:
        """The three kinds of `bars/*` events for a loop, its notes as they will sound."""
        bars = self.performed(voice, loop)
        base = f"/{voice.name}/bars"
        count = max(1, math.ceil(bars.length / self.clock.bar_beats - _NEARLY))
        publish = self.outbox.publish
        publish(f"{base}/begin", loop.id, len(bars.notes), float(start_beats), count, also=also)
        for first in range(0, len(bars.notes), limits.MAX_NOTES_PER_MESSAGE):
            values: list[int | float] = []
            for note in bars.notes[first : first + limits.MAX_NOTES_PER_MESSAGE]:
                values += (note.pitch, float(note.start), float(note.duration), note.velocity, note.part)
            publish(f"{base}/notes", loop.id, *values, also=also)
        publish(f"{base}/end", loop.id, float(latency_ms), also=also)

    def voice_changed(self, voice: Voice) -> None:
        """The voice's state is told soon, and remembered."""
        if voice.state_events is not None:
            voice.state_events.trigger()
        self.on_change()
        self.save_soon()

    def voice_state(self, voice: Voice) -> list[int | float | str]:
        """Keys and values of `/VOICE/state`, in the order of contract 3.3."""
        knobs = voice.knobs
        sounding = voice.sounding
        present = voice.present
        fields: dict[str, int | float | str] = {
            "model": voice.model,
            "ready": int(voice.model_ready),
            "playing": int(voice.playing),
            "muted": int(bool(voice.muted_parts) and voice.muted_parts >= voice.parts),
            "loop": int(knobs.loop),
            "launch": knobs.launch,
            "start": float(voice.start_beats if sounding is not None else -1.0),
            "length": float(0.0 if present is None else self.length_of(present)),
            "sounding_id": 0 if sounding is None else sounding.id,
            "pending_id": 0 if voice.pending is None else voice.pending.id,
            "x": float(knobs.x),
            "y": float(knobs.y),
            "morph": float(knobs.morph),
            "temperature": float(knobs.temperature),
            "swing": float(knobs.swing),
            "quantize": float(knobs.quantize),
            "humanize": float(knobs.humanize),
            "grid": knobs.grid,
            "transpose": knobs.transpose,
            "velocity": float(knobs.velocity),
            "gate": float(knobs.gate),
            "scale": knobs.scale,
            "hold": knobs.hold,
            "follow": knobs.follow,
            "surprise": float(knobs.surprise),
            "auto": voice.auto_bars,
            "fill_every": knobs.fill_every,
            "jam": voice.jam,
            "undo": voice.history.undo_steps,
            "redo": voice.history.redo_steps,
            "follow_amount": float(knobs.follow_amount),
            "locked": " ".join(map(str, knobs.locked)),
            "key": self.harmony.told()[2],
            "mode": self.harmony.mode,
            "attributes": " ".join(f"{name} {amount:g}" for name, amount in sorted(knobs.attributes.items())),
            "latents": " ".join(f"{index} {value:g}" for index, value in sorted(knobs.latents.items())),
            "muted_parts": " ".join(map(str, sorted(voice.muted_parts))),
        }
        return [item for pair in fields.items() for item in pair]

    def publish_state(self, voice: Voice) -> None:
        """`/VOICE/state` to all subscribers."""
        self.outbox.publish(f"/{voice.name}/state", *self.voice_state(voice))

    def tell_phase(self, voice: Voice, phase: str, start_beats: float, length_beats: float, also: Origin) -> None:
        """`/VOICE/jam/phase` to all subscribers, and remembered for those that come later."""
        told = (phase, float(start_beats), float(length_beats))
        voice.jam_phase = None if voice.jam == "off" else told
        self.outbox.publish(f"/{voice.name}/jam/phase", *told, also=also)

    def clock_state(self) -> list[int | float | str]:
        """The arguments of `/clock/state`."""
        state = self.clock.state
        if state is None:
            numerator, denominator = self.clock.metre
            return [self.clock.source, 0, float(self.clock.tempo_bpm), 0.0, numerator, denominator, 0.0]
        beat = self.clock.beat_at(self.timers.now_ns())
        return [
            state.source,
            int(state.playing),
            float(state.tempo_bpm),
            float(beat),
            state.numerator,
            state.denominator,
            float(state.error_ms),
        ]

    def send_whole_state(self, origin: Origin) -> None:
        """The answer to `/bridge/state`: the clock, every voice and where its jam is, ready."""
        self.outbox.reply(origin, "/clock/state", *self.clock_state())
        for voice in self.voices.values():
            self.outbox.reply(origin, f"/{voice.name}/state", *self.voice_state(voice))
            if voice.jam_phase is not None:
                self.outbox.reply(origin, f"/{voice.name}/jam/phase", *voice.jam_phase)
        self.outbox.reply(origin, "/bridge/ready", int(self.ready))
