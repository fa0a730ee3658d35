"""Scenes: bars, corners, knobs, mutes and `auto` of all voices under a name, to be brought back on stage."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bridge import messages, whole_file
from bridge.session.gestures import Gestures
from bridge.session.loops import Loop, loop_from_json, loop_to_json, material_from_json, material_to_json
from bridge.session.outside import INSIDE, NO_SUCH, RefusedError, Request
from bridge.session.performer import Performer
from bridge.session.stage import Stage
from bridge.session.voice import Knobs, Voice

_SESSION = "bridge"
"""Where a scene keeps what belongs to no voice: no voice may have this name."""


class Scenes:
    """The scenes of one session folder; the route table allows plain names only, so a name is never a path."""

    def __init__(self, folder: Path, stage: Stage, performer: Performer, gestures: Gestures) -> None:
        """`folder` is the session folder."""
        self._folder = folder / "scenes"
        self._stage = stage
        self._performer = performer
        self._gestures = gestures

    def save(self, name: str) -> None:
        """Keep all voices as they are.

        Raises:
            RefusedError: the folder cannot be written to.
        """
        scene: dict[str, Any] = {voice.name: _scene_of(voice) for voice in self._stage.voices.values()}
        scene[_SESSION] = {"harmony": self._stage.harmony.to_json()}
        path = self._folder / f"{name}.json"
        try:
            with whole_file.folders_for(path):
                whole_file.write(path, json.dumps(scene, separators=(",", ":")))
        except OSError as fault:
            raise RefusedError(INSIDE, f"scene {name} cannot be kept: {fault}") from fault

    def load(self, name: str, request: Request) -> None:
        """Bring all voices back: knobs and corners at once, bars at each voice's launch boundary.

        Raises:
            RefusedError: no such scene, or its file is damaged; nothing has been changed.
        """
        path = self._folder / f"{name}.json"
        try:
            scene = json.loads(path.read_text(encoding="utf-8"))
            harmony = replace(self._stage.harmony)
            harmony.restore(scene.get(_SESSION, {}).get("harmony", harmony.to_json()))
            read = {voice: _read(kept) for voice, kept in scene.items() if voice in self._stage.voices}
        except FileNotFoundError:
            raise RefusedError(NO_SUCH, f"no scene {name}: there are {', '.join(self.names()) or 'none'}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as fault:
            raise RefusedError(INSIDE, f"scene {name} cannot be read: {fault!r}") from fault
        self._stage.harmony = harmony
        self._stage.tell_key()
        for voice_name, (knobs, corners, drum_corners, loop, muted_parts, auto_bars) in read.items():
            voice = self._stage.voices[voice_name]
            self._gestures.settle(voice)
            order = self._stage.next_order()
            voice.turned_order = order  # what was asked for before, and is still to be done, does not take its place
            loops_on = voice.knobs.loop
            locked = knobs.locked
            if voice.sounding is not None and (loop is None or loop.id != voice.sounding.id):
                knobs.locked = []  # they are of the bars that are to come
            voice.knobs, voice.corners = knobs, corners
            voice.drum_corners = (set(corners) if voice.is_drums else set()) if drum_corners is None else drum_corners
            if knobs.loop != loops_on:
                self._performer.set_loop(voice)
            self._switch(voice, request, muted_parts, auto_bars)
            self._performer.regroove(voice)
            self._bring_back(voice, request, loop, order, locked)

    def _bring_back(self, voice: Voice, request: Request, loop: Loop | None, order: int, locked: list[int]) -> None:
        """Have the scene's bars sound, or nothing where it has none, from the launch boundary on; who answers somebody
        has no bars of their own, and goes on answering.
        """
        if loop is None and voice.jam == "respond":
            return
        self._performer.cancel_pending(voice)
        voice.newest, voice.newest_order = voice.material_of(loop), order
        if loop is None:
            self._performer.silence(voice, request.origin, request.arrival_ns)
        else:
            self._performer.launch(voice, loop, request.origin, request.arrival_ns)
            voice.handed[loop.id].locked = locked
        self._stage.voice_changed(voice)

    def _switch(self, voice: Voice, request: Request, muted_parts: set[int] | None, auto_bars: int | None) -> None:
        """Mutes and `auto` as they were; None: the scene is of a time when those were not kept."""
        if muted_parts is not None:
            for part in sorted(voice.muted_parts ^ muted_parts):
                self._stage.player.send(messages.MuteVoice(voice.name, part in muted_parts, part))
            voice.muted_parts = muted_parts
        if auto_bars is not None:
            voice.auto_bars, address = auto_bars, f"/{voice.name}/auto"
            wanted = replace(request, address=address, scope=voice.name, verb="auto", args={"bars": auto_bars})
            voice.auto_request = wanted if auto_bars else None

    def names(self) -> list[str]:
        """The scenes there are."""
        return sorted(path.stem for path in self._folder.glob("*.json"))


def _scene_of(voice: Voice) -> dict[str, Any]:
    loop, locked = voice.pending or voice.sounding, voice.knobs.locked
    handed = None if voice.pending is None else voice.handed.get(voice.pending.id)
    if handed is not None and handed.silence:
        loop = None
    elif handed is not None and not handed.whole:  # what is still being made is nobody's yet
        loop = voice.sounding
    elif handed is not None and handed.locked is not None:
        locked = handed.locked
    return {
        "knobs": {**asdict(voice.knobs), "locked": locked},
        "corners": {slot: material_to_json(corner) for slot, corner in voice.corners.items()},
        "drum_corners": sorted(voice.drum_corners),
        "loop": loop_to_json(loop),
        "muted_parts": sorted(voice.muted_parts),
        "auto_bars": voice.auto_bars,
    }


def _read(kept: dict[str, Any]) -> tuple[Knobs, dict[str, Any], set[str] | None, Any, set[int] | None, int | None]:
    corners = {slot: material_from_json(corner) for slot, corner in kept["corners"].items()}
    muted = set(kept["muted_parts"]) if "muted_parts" in kept else None
    drums = set(kept["drum_corners"]) if "drum_corners" in kept else None
    return Knobs(**kept["knobs"]), corners, drums, loop_from_json(kept["loop"]), muted, kept.get("auto_bars")
