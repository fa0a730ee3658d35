"""The session's memory across restarts: one JSON file, written beside and renamed."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Final

from bridge import whole_file

log = logging.getLogger(__name__)

FORMAT = 1
_PARTS: Final[dict[str, type]] = {"run": str, "last_id": int, "clock": list, "harmony": dict, "voices": dict}


def read(folder: Path) -> dict[str, Any]:
    """What was last written, or an empty dict when there is nothing, or nothing of this format."""
    path = folder / "state.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as fault:
        log.warning("%s cannot be read (%s): going on without what it held", path, fault)
        return {}
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        log.warning("%s is of another version: going on without what it held", path)
        return {}
    for part, kind in _PARTS.items():
        if not isinstance(state.get(part, kind()), kind) or isinstance(state.get(part), bool):
            log.warning("%s: %s = %.60r is of no use: going on without it", path, part, state.pop(part))
    return state


def write(folder: Path, state: dict[str, Any]) -> str:
    """Replace the file in one step; a full disk is never raised: the music goes on. Why it could not be written; empty
    where it was.
    """
    path = folder / "state.json"
    try:
        whole_file.write(path, json.dumps({"format": FORMAT, **state}, separators=(",", ":")))
    except OSError as fault:
        return f"{path} cannot be written: {fault}"
    return ""
