"""The typed records that cross between the bridge and the engine, as those of `bridge.messages` do with the player."""

from __future__ import annotations

import dataclasses
from typing import Any

from bridge.messages import NoteRow


@dataclasses.dataclass(frozen=True, slots=True)
class Generate:
    """A request for bars. `op` is ``next sample vary fill morph xy keep``; `knob` jobs give way to clicks, and of one
    voice's waiting knob jobs only the newest is done; `job` 0 is what may be asked for next: made when nothing waits,
    kept, not answered. `material` are the loops it works from (corners, a loop, the context), each ``[length_beats,
    notes]`` with a bar's length behind where that is not four beats; `bend` what bends (see `bridge.session.bending`).
    """

    job: int
    voice: str
    model: str
    op: str
    knob: bool
    material: list[Any]
    bars: int
    beats_per_bar: float
    x: float
    y: float
    amount: float
    temperature: float
    seed: int
    bend: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Generated:
    """The plain bars of a job, before the groove; `source`: what they were before attributes moved them, if any did."""

    job: int
    length_beats: float
    notes: list[NoteRow]
    engine_ms: float
    source: list[NoteRow] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Begun:
    """The first bars of a job's loop, which is `length_beats` long: what comes behind them is still being decoded."""

    job: int
    length_beats: float
    notes: list[NoteRow]


@dataclasses.dataclass(frozen=True, slots=True)
class JobFailed:
    """A job that has no result, with the code of contract 3.5 and the reason in plain words."""

    job: int
    code: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class ModelState:
    """A model is ready (warmed up), or is not and why; sent for every configured model when the engine starts."""

    model: str
    ready: bool
    detail: str


@dataclasses.dataclass(frozen=True, slots=True)
class LoadModel:
    """Make one more model resident; answered with `ModelState`."""

    model: str
