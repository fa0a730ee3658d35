"""``python -m bridge.preview``: started by the supervisor when ``audio.preview`` is on, until its input ends."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Listen, say where, then play along; the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="preview: %(message)s")
    init = json.loads(sys.stdin.readline() or "null")
    if init is None:
        return 0
    from bridge.preview.service import Preview

    preview = Preview(init, _say)
    _say({"port": preview.port})
    preview.run()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # PortAudio's own way out waits for devices that may be gone
