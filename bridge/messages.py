"""The typed records that cross between the bridge and the player; `bridge.wire` gives their form on the wire.

A record is a frozen dataclass of plain values. Notes are rows ``(pitch, start_beats, duration_beats, velocity, part)``;
ids are the ids of contract 3.3; every ``*_ns`` is a ``time.perf_counter_ns`` reading, one clock for all processes of a
machine.
"""

from __future__ import annotations

import dataclasses

NoteRow = tuple[int, float, float, int, int]
"""pitch 0-127, start in beats from the loop's position 0, duration in beats, velocity 1-127, part 0-2."""

HeardRow = tuple[int, int, int, float, float, str]
"""pitch 0-127, velocity 1-127, channel 0-15, start in absolute beats, duration in beats (-1 while it is held), and the
voice of ours that has come back this way; empty: somebody plays."""

ALL_PARTS = -1
"""Where a part is named: every part of the voice."""


# -- the bridge to the player -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """New bars for the boundary asked for (``now step beat bar loop``); `for_this_place`: off once the song moves."""

    voice: str
    id: int
    request_ns: int
    launch: str
    length_beats: float
    notes: list[NoteRow]
    for_this_place: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Reshape:
    """Other notes for bars the voice already has (sounding or pending): they take over from now, start unchanged."""

    voice: str
    id: int
    new_id: int
    length_beats: float
    notes: list[NoteRow]


@dataclasses.dataclass(frozen=True, slots=True)
class CancelPending:
    """Forget the bars that wait for their boundary."""

    voice: str


@dataclasses.dataclass(frozen=True, slots=True)
class ClearVoice:
    """Close the voice's notes, forget its loop and its pending bars."""

    voice: str


@dataclasses.dataclass(frozen=True, slots=True)
class PlayVoice:
    """Sound again from the launch boundary on, where the loop would be; what is over, if `anew`, once more."""

    voice: str
    request_ns: int
    launch: str
    anew: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class StopVoice:
    """Close the voice's notes at once; its bars are kept."""

    voice: str


@dataclasses.dataclass(frozen=True, slots=True)
class MuteVoice:
    """Mute or unmute a voice, or one part of it (`ALL_PARTS`: all)."""

    voice: str
    on: bool
    part: int


@dataclasses.dataclass(frozen=True, slots=True)
class LoopVoice:
    """Whether the voice's bars go round (`on`) or sound once and end."""

    voice: str
    on: bool


@dataclasses.dataclass(frozen=True, slots=True)
class RestVoice:
    """From this beat on (-1: at once) the voice rests and keeps its bars, until new ones or `LoopVoice` end that."""

    voice: str
    from_beats: float


@dataclasses.dataclass(frozen=True, slots=True)
class RestoreVoice:
    """A voice exactly as the bridge knew it, at once and in place; `over`: its bars have sounded, and are silent."""

    voice: str
    id: int
    start_beats: float
    length_beats: float
    notes: list[NoteRow]
    playing: bool
    loop: bool
    muted_parts: list[int]
    over: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class SetClock:
    """Source, tempo, offset (of `offset_source`; None: of all without their own), nudge (once); None: as it is."""

    source: str | None = None
    tempo_bpm: float | None = None
    offset_ms: float | None = None
    offset_source: str | None = None
    nudge_ms: float | None = None
    restored: bool = False
    """As it was before the player was started: nobody's wish to a session that it has joined meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class MoveTransport:
    """The internal transport: ``play`` (from beat 0), ``stop``, ``continue``."""

    action: str


@dataclasses.dataclass(frozen=True, slots=True)
class RestoreTransport:
    """After a restart of the player: the tempo map as it last was; beat = anchor_beats at anchor_ns."""

    anchor_ns: int
    anchor_beats: float
    tempo_bpm: float
    playing: bool
    numerator: int
    denominator: int
    bar_origin_beats: float


@dataclasses.dataclass(frozen=True, slots=True)
class LiveReport:
    """Live's transport as its device saw it when the packet arrived (contract 3.2); bar -1: not told."""

    arrival_ns: int
    playing: bool
    tempo_bpm: float
    beats: float
    numerator: int
    denominator: int
    bar: float
    beat_in_bar: float


@dataclasses.dataclass(frozen=True, slots=True)
class AimPreview:
    """The preview process listens at this loopback UDP port."""

    port: int


@dataclasses.dataclass(frozen=True, slots=True)
class Panic:
    """Close everything now; `every_note`: note-off for all 128 notes on every channel as well."""

    every_note: bool


# -- the player to the bridge -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class VoiceSnapshot:
    """What the player holds of one voice; ids are 0 where there is nothing."""

    voice: str
    playing: bool
    loop: bool
    muted_parts: list[int]
    sounding_id: int
    start_beats: float
    length_beats: float
    notes: list[NoteRow]
    pending_id: int


@dataclasses.dataclass(frozen=True, slots=True)
class ClockState:
    """The tempo map, sent when it changes: beat = anchor_beats + (now - anchor_ns) * tempo / 60e9 while playing; what
    our user may set (`takes_…`), and why a source cannot be had, in plain words, by its name (`missing`).
    """

    source: str
    playing: bool
    tempo_bpm: float
    anchor_ns: int
    anchor_beats: float
    numerator: int
    denominator: int
    bar_origin_beats: float
    error_ms: float
    followed: bool
    takes_tempo: bool = True
    takes_transport: bool = True
    missing: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """The player's MIDI ports in plain words, one line each; sent at the start and when something changes."""

    backend: str
    lines: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """All voices, the clock and the ports have been told; `fresh`: the player has just been started."""

    fresh: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Scheduled:
    """Bars were accepted: loop position 0 falls on `start_beats` (-1 while the clock stands)."""

    voice: str
    id: int
    start_beats: float


@dataclasses.dataclass(frozen=True, slots=True)
class Launched:
    """Bars have begun to sound, at `beat`."""

    voice: str
    id: int
    start_beats: float
    beat: float


@dataclasses.dataclass(frozen=True, slots=True)
class Late:
    """Bars missed the boundary they were asked for by `ms`; the old loop goes round once more."""

    voice: str
    id: int
    ms: float


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """Bars that waited for a place which the song has left wait no longer."""

    voice: str
    id: int


@dataclasses.dataclass(frozen=True, slots=True)
class Beat:
    """A beat of the song has come."""

    beat: int
    tempo_bpm: float
    playing: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Panicked:
    """Everything is closed; so many notes were sounding."""

    n_notes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Heard:
    """Notes played to us: a row when one begins, ends, or is found to be our own; `lost`: the port has gone."""

    rows: list[HeardRow]
    lost: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know, in plain words."""

    text: str
