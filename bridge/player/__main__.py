"""``python -m bridge.player``: started by the supervisor, which writes the init object on standard input."""

from __future__ import annotations

import logging
import os
import sys

from bridge.player import lifeline, priority

log = logging.getLogger(__name__)


def main() -> int:
    """Run the player; the exit code: 0 told to end, 1 failed (logged, notes closed), 2 started wrongly."""
    had = priority.ask_for_promptness()  # first: after a death every 100 ms of silence count
    from bridge.player import app

    logging.basicConfig(level=logging.INFO, format="player: %(message)s", stream=sys.stderr)
    try:
        process = app.PlayerProcess(lifeline.read_init(sys.stdin.fileno()))
    except (lifeline.LifelineError, KeyError, ValueError, OSError) as fault:
        log.warning("cannot start: %s: %s", type(fault).__name__, fault)
        return 2
    app.announce(process.port)
    log.info("%s", had)
    try:
        process.run()
    except Exception:  # the loop's boundary: its notes are closed by now, the supervisor starts another
        log.exception("the player failed")
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without the destructors that ports of a dead MIDI system would hang
