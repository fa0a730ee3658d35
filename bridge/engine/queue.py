"""What waits for the engine: a click beats a knob, and a knob beats what nobody has asked for yet."""

from __future__ import annotations

from collections import deque

from bridge.engine_messages import Generate


class JobQueue:
    """Clicks in order of arrival, then knob jobs in theirs. The session keeps at most one knob job a voice under way
    (only the newest value waits there), so neither can grow beyond what the session's own bounds allow.
    """

    def __init__(self) -> None:
        """Empty."""
        self._clicks: deque[Generate] = deque()
        self._knobs: deque[Generate] = deque()
        self._ahead: dict[tuple[str, str], Generate] = {}

    def put(self, job: Generate) -> None:
        """Add a job."""
        (self._knobs if job.knob else self._clicks).append(job)

    def put_ahead(self, job: Generate) -> None:
        """Add what a voice may ask for next, in the place of what it might have asked for in that way before."""
        self._ahead[job.voice, job.op] = job

    def give_back(self, job: Generate) -> None:
        """What had been taken to be made ahead, unless its voice may ask for something else by now."""
        self._ahead.setdefault((job.voice, job.op), job)

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody has asked for something that waits."""
        return bool(self._clicks or self._knobs)

    def take_ahead(self) -> Generate | None:
        """Something that may be asked for next, where nothing else waits; or None."""
        if self.is_waited_for or not self._ahead:
            return None
        return self._ahead.pop(next(iter(self._ahead)))

    def take(self, *, clicks_only: bool = False) -> Generate | None:
        """The next job, or None."""
        if self._clicks:
            return self._clicks.popleft()
        if clicks_only or not self._knobs:
            return None
        return self._knobs.popleft()

    def clear(self) -> None:
        """Forget everything: who asked has gone."""
        self._clicks.clear()
        self._knobs.clear()
        self._ahead.clear()

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._clicks) + len(self._knobs) + len(self._ahead)
