"""The internal clock's moves: each takes the present map and gives the next, so that time stays an argument."""

from __future__ import annotations

import dataclasses

from bridge import limits
from bridge.timing.changes import Change, Shift
from bridge.timing.tempo_map import TempoMap

ACTIONS = ("play", "stop", "continue")


def checked_action(action: str) -> str:
    """`action` itself.

    Raises:
        ValueError: it is none of `ACTIONS`.
    """
    if action not in ACTIONS:
        raise ValueError(f"transport {action!r}: one of {', '.join(ACTIONS)}")
    return action


def standing(tempo_bpm: float, numerator: int, denominator: int = 4) -> TempoMap:
    """The clock as it is when the bridge starts: stopped at beat 0."""
    return TempoMap(0, 0.0, checked_tempo(tempo_bpm), False, numerator, denominator)


def checked_tempo(tempo_bpm: float) -> float:
    """`tempo_bpm` itself.

    Raises:
        ValueError: outside the range of contract 3.2.
    """
    if not limits.MIN_TEMPO_BPM <= tempo_bpm <= limits.MAX_TEMPO_BPM:
        raise ValueError(f"tempo {tempo_bpm}: {limits.MIN_TEMPO_BPM:g} to {limits.MAX_TEMPO_BPM:g} BPM")
    return tempo_bpm


def with_tempo(present: TempoMap, tempo_bpm: float, now_ns: int) -> TempoMap:
    """Another tempo from now on, at the same phase.

    Raises:
        ValueError: outside the range of contract 3.2.
    """
    return dataclasses.replace(present.rebased(now_ns), tempo_bpm=checked_tempo(tempo_bpm))


def moved(present: TempoMap, action: str, now_ns: int) -> tuple[TempoMap, Change | None]:
    """The transport's ``play`` (from beat 0), ``stop`` or ``continue``; no change where it is so already.

    Raises:
        ValueError: another action.
    """
    if checked_action(action) == "play":
        from_zero = dataclasses.replace(present, anchor_ns=now_ns, anchor_beats=0.0, playing=True, bar_origin_beats=0.0)
        return from_zero, Change(Shift.LEAP if present.playing else Shift.START, 0.0)
    if action == "stop":
        stopped = dataclasses.replace(present.rebased(now_ns), playing=False)
        return stopped, Change(Shift.STOP) if present.playing else None
    if present.playing:
        return present, None
    return dataclasses.replace(present.rebased(now_ns), playing=True), Change(Shift.START, present.anchor_beats)
