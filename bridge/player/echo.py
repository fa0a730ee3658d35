"""Whether what is heard is our own: a loop-back from an output to the input, by a cable or a routing gone wrong.

Whatever leaves a port that is looped back comes in again: every note, in order, after nearly the same time. Somebody
who plays along matches some notes, early as often as late, and not with the same velocities. So a voice's notes count
as looped back when a few in a row have all come back, and no longer when a few in a row have not.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
from typing import Final

EARLY_NS: Final = 5_000_000  # the stamp of an input may be a little before that of the output
LATE_NS: Final = 150_000_000  # two periods of a slow JACK server, or the way through another program
SPREAD_NS: Final = 25_000_000  # a period of JACK at 1024 frames: by so much the delay of a loop-back wanders
IN_A_ROW: Final = 4
IN_A_ROW_CHANGED: Final = 8  # where velocities come back changed, as after another program's track
MISSES: Final = 3  # a note or two may be lost on a busy machine
KEPT: Final = 64


class Verdict(enum.Enum):
    """What a note that was heard is."""

    PLAYED = "played"
    PERHAPS_OURS = "perhaps ours"
    OURS = "ours"


@dataclasses.dataclass(slots=True)
class _Sent:
    time_ns: int
    pitch: int
    velocity: int
    owner: str
    came_back: bool = False


@dataclasses.dataclass(slots=True)
class _Streak:
    """The delays of a voice's notes that have come back one after the other."""

    delays_ns: list[int] = dataclasses.field(default_factory=list)
    same_velocity: int = 0
    misses: int = 0
    is_loop_back: bool = False

    def came_back(self, delay_ns: int, *, same_velocity: bool) -> None:
        self.misses = 0
        self.delays_ns = [*self.delays_ns, delay_ns][-IN_A_ROW_CHANGED:]
        self.same_velocity = self.same_velocity + 1 if same_velocity else 0
        wanted = IN_A_ROW if self.same_velocity >= IN_A_ROW else IN_A_ROW_CHANGED
        last = self.delays_ns[-wanted:]
        self.is_loop_back |= len(last) == wanted and max(last) - min(last) <= SPREAD_NS

    def did_not(self) -> bool:
        """Whether the suspicion is over."""
        self.misses += 1
        return self.misses >= MISSES or not self.is_loop_back


class Echo:
    """Compares what is heard with what was sent; time is given by the caller."""

    def __init__(self) -> None:
        """Nothing was sent."""
        self._sent: collections.deque[_Sent] = collections.deque()
        self._streaks: dict[str, _Streak] = {}

    def sent(self, owner: str, pitch: int, velocity: int, time_ns: int) -> None:
        """A voice (`owner`) has struck a note."""
        self._forget(time_ns)
        self._sent.append(_Sent(time_ns, pitch, velocity, owner))
        if len(self._sent) > KEPT:
            self._sent.popleft()

    def heard(self, pitch: int, velocity: int, time_ns: int) -> tuple[Verdict, str]:
        """A note has come in: what it is, and the voice that struck it if it is ours."""
        self._forget(time_ns)
        for sent in self._sent:
            if sent.pitch == pitch and not sent.came_back and sent.time_ns - EARLY_NS <= time_ns:
                sent.came_back = True
                streak = self._streaks.setdefault(sent.owner, _Streak())
                streak.came_back(time_ns - sent.time_ns, same_velocity=sent.velocity == velocity)
                return (Verdict.OURS if streak.is_loop_back else Verdict.PERHAPS_OURS), sent.owner
        return Verdict.PLAYED, ""

    def _forget(self, now_ns: int) -> None:
        """What has not come back by now will not: that voice is not looped back."""
        while self._sent and now_ns - self._sent[0].time_ns > LATE_NS:
            sent = self._sent.popleft()
            streak = self._streaks.get(sent.owner)
            if not sent.came_back and streak is not None and streak.did_not():
                del self._streaks[sent.owner]
