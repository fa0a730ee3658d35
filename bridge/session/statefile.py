"""The session's memory across restarts: one JSON file, written beside and renamed."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FORMAT = 1


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
    return state


def write(folder: Path, state: dict[str, Any]) -> None:
    """Replace the file in one step; a full disk is logged, never raised: the music goes on."""
    path = folder / "state.json"
    beside = path.with_name(f".state.{os.getpid()}.part")
    try:
        beside.write_text(json.dumps({"format": FORMAT, **state}, separators=(",", ":")), encoding="utf-8")
        beside.replace(path)
    except OSError as fault:
        log.error("%s cannot be written: %s", path, fault)
