"""Bars for a jam, asked for beside what clients ask for: of several candidates the one that fits best is taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bridge.music.answering import misfit, put_right
from bridge.music.notes import Bars
from bridge.session.composer import Composer
from bridge.session.harmony import TAKEN
from bridge.session.listening import Listening
from bridge.session.loops import Loop, Material, Recipe
from bridge.session.outside import Request
from bridge.session.performer import Performer
from bridge.session.stage import Stage
from bridge.session.voice import Voice

_CANDIDATES: Final = 3
_FIRST_GUESS_MS: Final = 40.0  # of one candidate, until one has been timed
_SPARE: Final = 1.5  # the slowest of the last few may be exceeded by so much ...
_SPARE_MS: Final = 40.0  # ... and what a busy machine adds
_TIMED: Final = 6


@dataclass(frozen=True, slots=True)
class Band:
    """What jamming voices share."""

    stage: Stage
    composer: Composer
    performer: Performer
    listening: Listening


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of the engine: `op` from `material`. The result is to suit `phrase`, in the key of `classes`; what
    goes on from it (``next``) is put right where it does not. `seed` is the noise; None: another each time.
    """

    op: str
    material: tuple[Bars, ...]
    bars: int
    amount: float
    phrase: Bars
    classes: frozenset[int]
    seed: int | None = None


class Turns:
    """Asks for one voice; what was asked for before is taken too, unless something newer has come before it."""

    def __init__(self, band: Band, voice: Voice, request: Request) -> None:
        """`request` is the one that began the jam."""
        self._band = band
        self._voice = voice
        self._request = request
        self._ticket = self._taken = 0
        self._has_timed = False
        self._timed_ms: deque[float] = deque([_FIRST_GUESS_MS], maxlen=_TIMED)

    @property
    def timed(self) -> bool:
        """Whether it is known how long the engine takes."""
        return self._has_timed

    def lead_ms(self, most_ms: float) -> float:
        """How long before a moment to ask, so that the bars are there: with all candidates where `most_ms` allows."""
        return self._lead_ms(self._candidates(most_ms))

    def ask(self, wish: Wish, loop_id: int, most_ms: float, take: Callable[[Bars, float], None]) -> None:
        """Have bars made; `take` gets the best of them, put right, and how ill it suited before. Nothing comes where
        the model is not ready.
        """
        voice, stage = self._voice, self._band.stage
        self._ticket += 1
        ticket, asked_ns, wanted = self._ticket, stage.timers.now_ns(), self._candidates(most_ms)
        if not voice.model_ready:
            return
        made: list[Bars] = []
        classes, bend = self._key(wish.classes)
        material = tuple(Material.of(bars, stage.clock.bar_beats) for bars in wish.material)

        def deliver(loop: Loop) -> None:
            made.append(loop.bars)
            if len(made) == wanted and ticket > self._taken:
                self._taken = ticket
                self._has_timed = True
                self._timed_ms.append((stage.timers.now_ns() - asked_ns) / 1e6 / wanted)
                ill, best = min(((misfit(bars, wish.phrase, classes), bars) for bars in made), key=lambda each: each[0])
                if wish.op == "next":
                    from_the_line = 0 not in voice.knobs.locked  # else it begins as what is locked does
                    best = put_right(best, wish.phrase, classes, drums=voice.is_drums, from_the_line=from_the_line)
                take(best, ill)

        for _ in range(wanted):
            seed = voice.draw_seed() if wish.seed is None else wish.seed
            recipe = Recipe(
                wish.op, voice.model, material, wish.bars, stage.clock.bar_beats, wish.amount, seed,
                bend,
            )  # fmt: skip
            self._band.composer.start_beside(voice, self._request, recipe, loop_id, deliver)

    def void(self) -> None:
        """What is still being made is no longer wanted."""
        self._taken = self._ticket

    def classes_of(self, played: frozenset[int]) -> frozenset[int]:
        """The pitch classes of an answer to somebody who plays in those."""
        return self._key(played)[0]

    def _key(self, played: frozenset[int]) -> tuple[frozenset[int], dict[str, Any]]:
        """The pitch classes of the answer, and what the engine is told of them: those of who plays, unless the session
        was given a key of its own and it binds this voice.
        """
        harmony, binding = self._band.stage.harmony, self._voice.knobs.scale
        if harmony.tonic != TAKEN and harmony.classes is not None and binding != "off":
            return frozenset(harmony.classes), {}
        return played, {"key": {"classes": sorted(played), "binding": binding, "mode": harmony.mode}}

    def _candidates(self, most_ms: float) -> int:
        return _CANDIDATES if self._lead_ms(_CANDIDATES) <= most_ms else 1

    def _lead_ms(self, candidates: int) -> float:
        return max(self._timed_ms) * candidates * _SPARE + _SPARE_MS
