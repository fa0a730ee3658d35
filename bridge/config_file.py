"""Reading the settings: the layers, where each value came from, and every fault of them at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from bridge import limits, strict_yaml
from bridge.config import (
    DEFAULT_CHANNELS,
    RESERVED_VOICE_NAMES,
    Section,
    Session,
    Settings,
    Voice,
    allowed,
    default_knobs,
    default_voices,
)
from bridge.family import MODEL_PARTS

_VOICE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SHOWN_CHARS: Final = 60  # of a wrong value, in a message


class ConfigError(ValueError):
    """Settings that cannot be used; `faults` lists all that is wrong, one line each."""

    def __init__(self, faults: Sequence[str]) -> None:
        """`faults`: lines for the user, at least one."""
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


def _with_voice_defaults(name: str, position: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """A voice with the defaults that depend on its name, its model and its place (from 1) among the voices."""
    voice = {key: value for key, value in given.items() if not (key in ("channel", "parts") and value is None)}
    voice.setdefault("model", default_voices().get(name, {"model": "melody-2bar"})["model"])
    parts = MODEL_PARTS.get(voice["model"], ()) if isinstance(voice["model"], str) else ()
    voice = {**default_knobs(parts), **voice}
    if len(parts) > 1:
        own = voice.get("parts", {})
        if isinstance(own, Mapping) and "channel" not in voice:
            voice["parts"] = {**{part: DEFAULT_CHANNELS[part] for part in parts}, **own}
    elif "parts" not in voice and parts == ("drums",):
        voice.setdefault("channel", DEFAULT_CHANNELS["drums"])
    elif "parts" not in voice:
        beside_drums = min(position + (position >= DEFAULT_CHANNELS["drums"]), 16)
        voice.setdefault("channel", DEFAULT_CHANNELS.get(name, beside_drums))
    return voice


#: The settings that are paths: relative ones are relative to where they were written.
_PATHS = (("session", "folder"), ("engine", "own_models"))


class _Reading:
    """One reading of the settings: the layers merged so far, where each value came from, and every fault met."""

    def __init__(self, folder: Path, config_file: Path | None) -> None:
        self.folder = folder
        # What a file leaves out is as if it stood there: the default path too is relative to the file.
        home = config_file.resolve().parent if config_file else folder
        sessions = str(home / Session.model_fields["folder"].default)
        self.tree: dict[str, Any] = {"session": {"folder": sessions}, "voices": default_voices()}
        self.sources: dict[tuple[str, ...], str] = {}
        self.faults: list[str] = []

    def source_of(self, path: tuple[str, ...]) -> str:
        """Where the value at `path`, or what it stands in, was set."""
        below = [where for known, where in self.sources.items() if known[: len(path)] == path]
        while path and path not in self.sources:
            path = path[:-1]
        return self.sources.get(path) or (below[0] if below else "built-in settings")

    def blame(self, path: tuple[str, ...], message: str, *, value: object = ..., source: str = "") -> None:
        """Note a fault as one line: source, key path, value, what was expected."""
        where = ": ".join(part for part in (source or self.source_of(path), ".".join(path)) if part)
        shown = "" if value is ... else f" = {_shown(value)}"
        self.faults.append(f"{where}{shown}: {message}")

    def add_file(self, path: Path) -> None:
        """Merge a config file over what there is; its `voices` replace those before."""
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as fault:
            self.faults.append(f"{path}: not UTF-8 text (byte {fault.start})")
            return
        except OSError as fault:
            self.faults.append(f"{path}: cannot be read ({fault.strerror}); expected a file of settings")
            return
        document = strict_yaml.read(text)
        for found in document.faults:
            self.blame(found.path, found.message, source=f"{path}:{found.line}" if found.line else str(path))
        if document.value is None:
            return
        if not isinstance(document.value, dict):
            self.blame((), "expected keys and values, like `osc: {port: 9100}`", source=str(path))
            return
        self.sources.update({key: f"{path}:{line}" for key, line in document.lines.items()})
        self._merge(document.value, path.resolve().parent)

    def _merge(self, value: dict[str, Any], folder: Path) -> None:
        for key, section in value.items():
            if section is None:
                continue  # a section whose keys are all commented out is a missing one
            for place, inside in _PATHS:
                if key == place and isinstance(section, dict) and isinstance(section.get(inside), str):
                    section[inside] = _absolute(section[inside], folder)
            if key == "voices" or not isinstance(section, dict) or not isinstance(self.tree.get(key), dict):
                self.tree[key] = section
            else:
                self.tree[key] = {**self.tree[key], **section}

    def add_set(self, assignment: str) -> None:
        """Merge one `key=value` of the command line."""
        key, equals, text = assignment.partition("=")
        path = tuple(key.strip().split("."))
        if not equals or not all(path):
            self.faults.append(f"--set {assignment}: expected key=value, as in --set osc.port=9200")
            return
        document = strict_yaml.read(text)
        if document.faults:
            self.faults.extend(f"--set {assignment}: {found.message}" for found in document.faults)
            return
        value = document.value
        if path in _PATHS and isinstance(value, str):
            value = _absolute(value, self.folder)
        branch = self.tree
        for step in path[:-1]:
            if not isinstance(branch.get(step), dict):
                branch[step] = {}
            branch = branch[step]
        branch[path[-1]] = value
        self.sources = {known: where for known, where in self.sources.items() if known[: len(path)] != path}
        self.sources[path] = "--set"

    def finish(self) -> Settings:
        """The settings, checked.

        Raises:
            ConfigError: something is wrong with them; it lists everything.
        """
        tree = dict(self.tree)
        if isinstance(tree["voices"], dict):
            tree["voices"] = self._voices(tree["voices"])
        settings = None
        try:
            settings = Settings.model_validate(tree)
        except ValidationError as refused:
            seen = set()
            for error in refused.errors(include_url=False):
                path, field = _field_at(tuple(str(step) for step in error["loc"]))
                if path not in seen:
                    seen.add(path)
                    self._explain(path, field, error["type"], _at(tree, path))
        if self.faults or settings is None:
            raise ConfigError(list(dict.fromkeys(self.faults)))
        return settings

    def _voices(self, voices: dict[str, Any]) -> dict[str, Any]:
        if not 1 <= len(voices) <= limits.MAX_VOICES:
            self.blame(("voices",), f"expected 1 to {limits.MAX_VOICES} voices, found {len(voices)}")
        filled = {}
        for position, (name, given) in enumerate(voices.items(), 1):
            path = ("voices", name)
            if not _VOICE_NAME.fullmatch(name) or name in RESERVED_VOICE_NAMES:
                reserved = ", ".join(RESERVED_VOICE_NAMES)
                self.blame(path, f"a voice's name has 1 to 32 letters, digits, - and _, and is none of {reserved}")
            if given is not None and not isinstance(given, dict):
                filled[name] = given
                continue
            filled[name] = _with_voice_defaults(name, position, given or {})
            self._check_parts(path, filled[name])
        return filled

    def _check_parts(self, path: tuple[str, ...], voice: dict[str, Any]) -> None:
        parts = MODEL_PARTS.get(voice["model"], ()) if isinstance(voice["model"], str) else ()
        if len(parts) > 1 and "channel" in voice:
            expected = f"{voice['model']} takes `parts: {{melody: 1, bass: 2, drums: 10}}` in place of channel"
            self.blame((*path, "channel"), expected, value=voice["channel"])
        elif len(parts) == 1 and "parts" in voice:
            self.blame((*path, "parts"), f"{voice['model']} has one part: expected `channel: N` in place of parts")
        elif parts and isinstance(voice.get("parts"), dict):
            for unknown in voice["parts"].keys() - set(parts):
                self.blame((*path, "parts", unknown), f"no such part{_suggestion(unknown, parts)}")

    def _explain(self, path: tuple[str, ...], field: FieldInfo | None, kind: str, value: object) -> None:
        if kind == "extra_forbidden":
            self.blame(path, f"no such key{_suggestion(path[-1], _keys_at(path[:-1]))}", value=value)
        elif field is not None:
            self.blame(path, f"expected {allowed(field)}", value=value)
        else:
            self.blame(path, "expected keys and values", value=value)


def load(config_file: Path | None = None, sets: Sequence[str] = (), folder: Path | None = None) -> Settings:
    """The settings in force: `sets` over `config_file` over `config.yaml` of `folder` over the built-in ones, by key.

    Args:
        config_file: what --config named; relative paths in it are relative to its folder.
        sets: `key=value` each, as --set takes them.
        folder: where ./config.yaml is looked for, and what the relative paths of `sets` are relative to; None: the
            current directory.

    Raises:
        ConfigError: something is wrong with them; it lists everything.
    """
    reading = _Reading((folder or Path.cwd()).resolve(), config_file)
    beside = reading.folder / "config.yaml"
    if beside.exists() and not (config_file and config_file.exists() and config_file.samefile(beside)):
        reading.add_file(beside)
    if config_file is not None:
        reading.add_file(config_file)
    for assignment in sets:
        reading.add_set(assignment)
    return reading.finish()


def _absolute(path: str, folder: Path) -> str:
    return str(folder / Path(path).expanduser()) if path else path  # no path at all is refused, and is no folder


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


def _suggestion(wrong: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1)
    return (f" (did you mean {near[0]}?)" if near else "") + f"; expected one of {', '.join(known)}"


def _at(tree: Any, path: tuple[str, ...]) -> object:
    for step in path:
        tree = tree[step] if isinstance(tree, dict) and step in tree else None
    return tree


def _section_at(path: tuple[str, ...]) -> type[Section] | None:
    if not path:
        return Settings
    if path[0] == "voices":
        return Voice if len(path) == 2 else None
    field = Settings.model_fields.get(path[0])
    section = field.annotation if field and len(path) == 1 else None
    return section if isinstance(section, type) and issubclass(section, Section) else None


def _keys_at(path: tuple[str, ...]) -> list[str]:
    section = _section_at(path)
    return list(section.model_fields) if section else []


def _field_at(location: tuple[str, ...]) -> tuple[tuple[str, ...], FieldInfo | None]:
    """The key path that an error of pydantic is about (its locations go on into unions), and its field."""
    depth = 3 if location[0] == "voices" else 2
    path = location[: depth + 1] if location[2:3] == ("parts",) and len(location) > depth else location[:depth]
    section = _section_at(path[: depth - 1]) if len(path) >= depth else None
    return path, section.model_fields.get(path[depth - 1]) if section else None
