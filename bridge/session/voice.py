"""What a voice holds: its knobs, loops, corners, seed, history and the requests that wait."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bridge import limits
from bridge.family import plays_drums, takes_fills
from bridge.messages import Launched
from bridge.music.groove_settings import GrooveSettings
from bridge.music.notes import Bars
from bridge.session.loops import (
    Loop,
    Material,
    Recipe,
    loop_from_json,
    loop_to_json,
    material_from_json,
    material_to_json,
)
from bridge.session.outside import NOBODY, Handle, Origin, Request, Throttle, asked_by_nobody

SLOTS = ("a", "b", "c", "d")


@dataclass
class Knobs:
    """The sticky settings of a voice (contract 3.3); each starts from the config."""

    launch: str = "bar"
    quantize: float = 1.0
    swing: float = 50.0
    humanize: float = 0.0
    grid: str = "1/16"
    temperature: float = 0.6
    transpose: int = 0
    velocity: float = 1.0
    loop: bool = True
    x: float = 0.0
    y: float = 0.0
    morph: float = 0.0
    gate: float = 0.9
    scale: str = "soft"
    hold: str = "none"
    follow: str = "none"
    follow_amount: float = 0.0
    surprise: float = 0.35
    fill_every: int = 0
    locked: list[int] = field(default_factory=list)
    attributes: dict[str, float] = field(default_factory=dict)
    latents: dict[str, float] = field(default_factory=dict)  # by index, as JSON has no other keys than words

    def groove(self) -> GrooveSettings:
        """The part of the knobs that the groove kernels read."""
        return GrooveSettings(
            quantize=self.quantize,
            swing=self.swing,
            humanize=self.humanize,
            grid=self.grid,
            transpose=self.transpose,
            velocity=self.velocity,
            gate=self.gate,
        )


@dataclass
class Seed:
    """A seed being sent in several messages."""

    length: float
    rows: list[tuple[int, float, float, int, int]] = field(default_factory=list)


@dataclass
class History:
    """The ids a voice has held, oldest first, and which of them is the present one (-1: none yet)."""

    ids: list[int] = field(default_factory=list)
    position: int = -1

    def push(self, loop_id: int) -> None:
        """New bars: what had been undone can no longer be redone (it stays on disk and can be recalled)."""
        if self.position >= 0 and self.ids[self.position] == loop_id:
            return
        del self.ids[self.position + 1 :]
        self.ids.append(loop_id)
        del self.ids[: -limits.MAX_UNDO]
        self.position = len(self.ids) - 1

    def back_to(self, loop_id: int) -> None:
        """Bars that are in it, perhaps more than once, are the present ones again: nearest to where it stood."""
        places = [place for place, known in enumerate(self.ids) if known == loop_id]
        self.position = min(places, key=lambda place: abs(place - self.position), default=self.position)

    @property
    def undo_steps(self) -> int:
        """How many times undo can go back."""
        return max(0, self.position)

    @property
    def redo_steps(self) -> int:
        """How many times redo can go forth."""
        return len(self.ids) - 1 - self.position


@dataclass
class Gesture:
    """A knob on the move: the id its bars keep, its newest turn, what it decodes, whether that is still to be done. Of
    the morph and the pad, whose bars are new ones, `order` is the newest turn's among requests; of other knobs -1, and
    `of_id` says which bars they re-shape.
    """

    loop_id: int
    request: Request
    recipe: Recipe
    dirty: bool = True
    order: int = -1
    of_id: int = 0


@dataclass
class Handed:
    """Bars given to the player that it has not confirmed, or not launched, yet; `start_beats` as it last told,
    `boundary` where it is not the voice's own launch. While only the first of them are there they are not `whole`, and
    what the player has said of them is not told: `taken`, `launched`. `silence`: no bars, in the place of others.
    `locked`: of a scene's bars, which are to be locked once they sound. `refitted`: they are to be told once more.
    `arrival_ns` is 0 of bars that the bridge before us was asked for.
    """

    loop: Loop
    origin: Origin
    arrival_ns: int
    confirmed: bool = False
    start_beats: float = -1.0
    boundary: str = ""
    whole: bool = True
    taken: bool = False
    launched: Launched | None = None
    silence: bool = False
    locked: list[int] | None = None
    refitted: bool = False


@dataclass(frozen=True)
class Fill:
    """A bar played otherwise, once: the whole loop with it, `bars` (in the song's metre), is heard in the place of the
    loop `loop_id` until the beat `until_beats`. The bar begins at the beat `from_beats`, at `start` in those bars; at
    `beside` begins one that the fill before plays otherwise, and that still sounds.
    """

    loop_id: int
    bars: Bars
    start: float
    from_beats: float
    until_beats: float
    beside: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Missed:
    """A sticky knob's turn that nothing could be made with; whether it says where bars are `moved` to."""

    request: Request
    moved: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits for those before it, and what doing it is. Where it goes on from bars that are being made
    again for a knob it waits for them too, but for no more once the voice has had so many knob jobs: `knobs_until`.
    """

    request: Request
    action: Callable[[], None]
    knobs_until: int = 0


@dataclass
class Voice:
    """One voice. `channels` gives part -> MIDI channel (0-15); `model_fault` says why the model cannot play."""

    name: str
    model: str
    channels: dict[int, int]
    knobs: Knobs
    model_ready: bool = False
    model_fault: str = ""
    next_model: str = ""
    model_asked: Request | None = None
    playing: bool = True
    muted_parts: set[int] = field(default_factory=set)
    seed_coming: Seed | None = None
    newest: Material | None = None
    newest_order: int = 0
    seeded: Material | None = None  # the newest seed, as long as nothing sounds that came after it
    sounding: Loop | None = None
    start_beats: float = -1.0
    launched_beats: float = 0.0
    auto_bars: int = 0
    auto_id: int = 0  # of the bars that `auto` was given last
    listen: int = 0
    jam: str = "off"
    jam_bars: int = 2
    pending: Loop | None = None
    corners: dict[str, Material] = field(default_factory=dict)
    drum_corners: set[str] = field(default_factory=set)  # those that were stored while it played drums
    history: History = field(default_factory=History)
    gesture: Gesture | None = None
    base_seed: int = 0
    seeds_drawn: int = 0
    # -- not kept across restarts -----------------------------------------------------------------------------------
    resting: bool = False  # it jams, and listens
    jam_phase: tuple[str, float, float] | None = None  # as `/VOICE/jam/phase` last told it; None: it does not jam
    turned_order: int = 0  # of the newest turn of the morph or the pad, or scene, among requests
    auto_request: Request | None = None
    auto_order: int = 0  # among requests: what `auto` asked for before is called off
    queue: deque[Waiting] = field(default_factory=deque)
    click_job: int = 0
    knob_job: int = 0
    knobs_made: int = 0  # knob jobs that have come to an end
    remake: Request | None = None
    missed: Missed | None = None  # a sticky knob's turn without an engine: one that moves bars, else the first
    handed: dict[int, Handed] = field(default_factory=dict)
    # What the player may launch before it hears of a change: id of bars that waited -> of those that took their place;
    # id of bars called off -> whether they then have to be stopped.
    replaced: dict[int, int] = field(default_factory=dict)
    gone: dict[int, bool] = field(default_factory=dict)
    state_events: Throttle | None = None
    gesture_events: Throttle | None = None
    groove_changes: Throttle | None = None
    settle: Handle | None = None
    fill: Fill | None = None
    bars_asked: int = 2  # by the newest request for bars
    groove_asked_ns: int = 0
    turn_ms: float = 0.0  # how long the newest turn of a knob took, from its arrival to bars in the player's hands
    regroove: bool = False  # what the player was last given had a fill in it, whose end a restart has missed

    @property
    def is_drums(self) -> bool:
        """Whether its model plays drums (never transposed, micro-timing kept)."""
        return plays_drums(self.model)

    @property
    def takes_fills(self) -> bool:
        """Whether its model has drums that fills are played in, alone or beside lines."""
        return takes_fills(self.model)

    @property
    def foreign_corners(self) -> list[str]:
        """Corners that hold what its model cannot read: drums where it plays a line, or a line where it plays drums."""
        return [slot for slot in self.corners if (slot in self.drum_corners) != self.is_drums]

    @property
    def parts(self) -> set[int]:
        """The parts it has."""
        return set(self.channels)

    @property
    def goes_round(self) -> bool:
        """Whether its bars go round: an answer sounds once, whatever the knob says."""
        return self.knobs.loop and self.jam != "respond"

    @property
    def morphing(self) -> bool:
        """Whether the morph or the pad is on the move."""
        return self.gesture is not None and self.gesture.order >= 0

    @property
    def turning(self) -> bool:
        """Whether a turn of a knob is still to be decoded, or is just being."""
        return self.gesture is not None and (self.gesture.dirty or self.knob_job != 0)

    @property
    def remaking_newest(self) -> bool:
        """Whether bars are being made again for a knob, and what new bars go on from may be the ones they replace."""
        loops = (loop for loop in (self.sounding, self.pending) if loop is not None)
        return self.knob_job != 0 and any(loop.source == self.newest for loop in loops)

    @property
    def present(self) -> Loop | None:
        """What is heard, or would be next: the sounding loop, else the pending one."""
        return self.sounding or self.pending

    @property
    def to_vary(self) -> Material | None:
        """What new bars are to be near to: the newest loop, by order of request, whatever seed came since; the seed
        where there is none.
        """
        handed = None if self.pending is None else self.handed.get(self.pending.id)
        silenced = handed is not None and handed.silence
        if self.seeded is None or self.newest != self.seeded or silenced:
            return self.newest
        return self.material_of(self.pending or self.sounding) or self.newest

    def go_on_from(self, material: Material, order: int) -> None:
        """What new bars follow, unless something that was asked for later is there."""
        if order > self.newest_order:
            self.newest, self.newest_order = material, order

    def material_of(self, loop: Loop | None) -> Material | None:
        """What new bars go on from where they are to follow a loop: of one of another kind, nothing."""
        return None if loop is None or self.is_foreign(loop) else loop.source

    def is_foreign(self, loop: Loop) -> bool:
        """Whether a loop is of another kind than the voice's model plays: it was made while the voice had another one,
        or it has been given another since.
        """
        return self.has_drums(loop) != self.is_drums

    def has_drums(self, loop: Loop) -> bool:
        """Whether a loop is one of drums: as the model that made it, or where nobody knows of one, as the voice's."""
        if loop.recipe is not None:
            return plays_drums(loop.recipe.model)
        return self.is_drums if loop.drums is None else loop.drums

    def draw_seed(self) -> int:
        """The noise seed of the next request: a function of `base_seed` and how many were drawn, never of the clock."""
        seed = self.next_seed()
        self.seeds_drawn += 1
        return seed

    def next_seed(self) -> int:
        """The seed that will be drawn next."""
        return self.seed_for(f"{self.seeds_drawn + 1}")

    def seed_for(self, purpose: str) -> int:
        """The noise seed, 0 to 2**31 - 1, of one purpose: a function of it and of `base_seed`."""
        digest = hashlib.blake2b(f"{self.base_seed}:{purpose}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") >> 1

    def to_json(self) -> dict[str, Any]:
        """Everything that outlives a restart: not bars that are half made, for nobody goes on making them."""
        handed = None if self.pending is None else self.handed.get(self.pending.id)
        is_half = handed is not None and not handed.whole and not handed.silence
        return {
            "model": self.model,
            "knobs": asdict(self.knobs),
            "playing": self.playing,
            "muted_parts": sorted(self.muted_parts),
            "newest": None if self.newest is None else material_to_json(self.newest),
            "newest_order": self.newest_order,
            "seeded": None if self.seeded is None else material_to_json(self.seeded),
            "sounding": loop_to_json(self.sounding),
            "start_beats": self.start_beats,
            "launched_beats": self.launched_beats,
            "auto_bars": self.auto_bars,
            "auto_id": self.auto_id,
            "filling": self.fill is not None,
            "jam": [self.jam, self.jam_bars],
            "pending": None if is_half else loop_to_json(self.pending),
            "waits": None if handed is None else [handed.boundary, handed.silence, handed.locked],
            "corners": {slot: material_to_json(corner) for slot, corner in self.corners.items()},
            "drum_corners": sorted(self.drum_corners),
            "history": [self.history.ids, self.history.position],
            "base_seed": self.base_seed,
            "seeds_drawn": self.seeds_drawn,
        }

    def restore_kept(self, state: dict[str, Any]) -> None:
        """What every new start of the bridge finds again: corners and history."""
        corners = {slot: material_from_json(corner) for slot, corner in state["corners"].items()}
        ids, position = state["history"]
        history = History([int(loop_id) for loop_id in ids], int(position))
        if not -1 <= history.position < len(history.ids):
            raise ValueError(f"history: position {position} of {len(history.ids)}")
        self.corners, self.history = corners, history
        self.drum_corners = set(state.get("drum_corners", corners if plays_drums(state["model"]) else ()))

    def restore_all(self, state: dict[str, Any]) -> None:
        """Exactly what was there, after the bridge process alone was restarted."""
        self.restore_kept(state)
        self.model = state["model"]
        self.knobs = Knobs(**state["knobs"])
        self.playing = state["playing"]
        self.muted_parts = set(state["muted_parts"])
        self.newest = None if state["newest"] is None else material_from_json(state["newest"])
        self.newest_order = int(state["newest_order"])
        seeded = state.get("seeded")
        self.seeded = None if seeded is None else material_from_json(seeded)
        self.sounding = loop_from_json(state["sounding"])
        self.start_beats = state["start_beats"]
        self.launched_beats = state["launched_beats"]
        self.auto_bars, self.auto_id = state["auto_bars"], state.get("auto_id", 0)
        self.jam, self.jam_bars = state.get("jam", ("off", 2))
        if self.auto_bars:  # its requester cannot be asked for again: from now on only subscribers hear of it
            self.auto_request = asked_by_nobody(self.name, "auto", bars=self.auto_bars)
        self.pending = loop_from_json(state["pending"])
        if self.pending is not None and state.get("waits") is not None:
            boundary, silence, locked = state["waits"]
            self.handed[self.pending.id] = Handed(
                self.pending, NOBODY, 0, confirmed=self.pending.id in self.history.ids, boundary=boundary,
                whole=not silence, taken=True, silence=silence, locked=locked,
            )  # fmt: skip
        self.regroove = state.get("filling", False)
        self.base_seed = state["base_seed"]
        self.seeds_drawn = state["seeds_drawn"]
