"""``python -m bridge.player``: started by the supervisor, which writes the init object on standard input."""

from __future__ import annotations

import logging
import sys

from bridge.player import app, lifeline

log = logging.getLogger(__name__)


def main() -> int:
    """Run the player; the exit code: 0 told to end, 1 failed (logged, notes closed), 2 started wrongly."""
    logging.basicConfig(level=logging.INFO, format="player: %(message)s", stream=sys.stderr)
    try:
        process = app.PlayerProcess(lifeline.read_init(sys.stdin.fileno()))
    except (lifeline.LifelineError, KeyError, ValueError, OSError) as fault:
        log.warning("cannot start: %s: %s", type(fault).__name__, fault)
        return 2
    app.announce(process.port)
    try:
        process.run()
    except Exception:  # the loop's boundary: its notes are closed by now, the supervisor starts another
        log.exception("the player failed")
        return 1
    return 0


if __name__ == "__main__":
    app.leave(main())
