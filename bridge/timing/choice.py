"""Which clock should lead: the user's choice, and what can be heard (contract 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.timing.follower import Follower
from bridge.timing.tempo_map import TempoMap

SOURCES: Final = ("auto", "internal", "live", "midi", "link")


def checked_source(source: str) -> str:
    """`source` itself.

    Raises:
        ValueError: there is none of that name.
    """
    if source not in SOURCES:
        raise ValueError(f"clock source {source!r}: one of {', '.join(SOURCES)}")
    return source


def chosen(
    source: str, followers: Sequence[Follower], leader: Follower | None, live: TempoMap | None, *, we_play: bool
) -> Follower | None:
    """The clock that should lead; None: our own.

    Args:
        source: one of `SOURCES`.
        followers: the best first.
        leader: the one that leads now.
        live: Live's map, None where it does not report.
        we_play: whether our song plays.
    """
    allowed = [f for f in followers if source in ("auto", f.name) and f.map is not None]
    for follower in allowed:
        if follower.here and (source != "auto" or _is_worth(follower, leader, live, we_play)):
            return follower
    if leader is not None and source == "auto" and leader.here and leader.peers == 0:
        return None  # a Link session that everybody else has left
    return leader if leader in allowed else None  # silent, or standing: nobody else is better


def _is_worth(follower: Follower, leader: Follower | None, live: TempoMap | None, we_play: bool) -> bool:
    """Whether ``auto`` chooses it: not a clock that nobody shares, nor one that has been stopped where Live plays on;
    and while our song plays, only the one we follow may stop it, or Live.
    """
    if follower.peers == 0:
        return False
    stopped = not follower.takes_transport and follower.map is not None and not follower.map.playing
    if not stopped or follower.name == "live":
        return True
    if live is not None and live.playing:
        return False
    return follower is leader or not we_play
