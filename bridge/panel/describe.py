"""What the page is told besides OSC, as plain JSON: what its controls are made from, and what a voice remembers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bridge import limits
from bridge.model.nets.config import CONFIGS
from bridge.music.notes import bars_to_json
from bridge.osc.arguments import Argument
from bridge.osc.routes import ROUTES, Route
from bridge.session.stage import Stage
from bridge.session.voice import Knobs, Voice


def interface(version: str, run: str, voices: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The whole table of routes, and the voices with the values their knobs rest at (the config's, else ours). In
    another `run` the ids that a page knows may be of other bars.
    """
    rest = asdict(Knobs())
    return {
        "kind": "interface",
        "version": version,
        "run": run,
        "routes": [_route(route) for route in ROUTES],
        "attributes": {name: list(config.attributes) for name, config in CONFIGS.items()},
        "voices": [
            {
                "name": name,
                "parts": list(settings["parts"]) if settings.get("parts") else [],
                "rest": {key: settings.get(key, value) for key, value in rest.items()},
            }
            for name, settings in voices.items()
        ],
    }


def memory(stage: Stage, voice: Voice) -> dict[str, Any]:
    """The newest ids of a voice's bars, and its corners as ``[length, note rows]``."""
    return {
        "kind": "memory",
        "voice": voice.name,
        "bars": stage.archive.ids(voice.name)[-limits.PANEL_LISTED_BARS :],
        "corners": {slot: bars_to_json(corner.bars) for slot, corner in voice.corners.items()},
    }


def _route(route: Route) -> dict[str, Any]:
    return {
        "scope": route.scope,
        "verb": route.verb,
        "text": route.text,
        "arguments": [_argument(spec) for spec in route.arguments],
    }


def _argument(spec: Argument) -> dict[str, Any]:
    return {
        "name": spec.name,
        "kind": spec.kind,
        "low": spec.low,
        "high": spec.high,
        "unit": spec.unit,
        "optional": spec.optional,
        "default": spec.default,
        "choices": list(spec.choices) or [str(value) for value in spec.values],
        "allowed": spec.allowed(),
    }
