"""YAML as people mean it: plain values only, with the place of each, and every fault of a text at once.

PyYAML follows YAML 1.1, where `on` is a boolean, `12:30` a number, `1e-3` a string, and the second of two equal keys
wins in silence. Here the scalars are those of YAML 1.2's core schema, keys are always strings, and duplicate keys, tags
and aliases are faults.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, cast

import yaml

_NULL: Final = re.compile(r"~|null|Null|NULL|")
_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY: Final = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN: Final = re.compile(r"\.(nan|NaN|NAN)")
_PLAIN_TAGS: Final = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq"))
_MAX_DEPTH: Final = 20  # our settings go four deep; hundreds would be an attack on the stack
_MAX_INT_DIGITS: Final = 300  # no setting is longer; Python itself refuses to convert beyond some thousands

Path = tuple[str, ...]
"""Keys from the top of a document down to a value; the items of a list count as "0", "1" …"""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at one place of a text; `line` counts from 1, 0 where there is none to name."""

    path: Path
    line: int
    message: str


@dataclass(slots=True)
class Document:
    """What a YAML text says (`value`), the line of each of its keys, and its faults (then the value is incomplete)."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """A parser that leaves the meaning of plain scalars to us and knows no aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As PyYAML does it, but for aliases: a few lines of them can stand for gigabytes."""
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not known here", event.start_mark)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {}


def read(text: str) -> Document:
    """Read one YAML document; never raises for what stands in it."""
    document = Document()
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        document.faults.append(Fault((), mark.line + 1 if mark else 0, f"not YAML: {fault.problem or fault.context}"))
        return document
    except (yaml.YAMLError, RecursionError) as fault:
        reason = "nested too deeply" if isinstance(fault, RecursionError) else str(fault).splitlines()[0]
        document.faults.append(Fault((), 0, f"not YAML: {reason}"))
        return document
    if node is not None:
        document.value = _value(document, node, ())
    return document


def _value(document: Document, node: yaml.Node, path: Path) -> Any:
    line = node.start_mark.line + 1
    if not node.tag.startswith(_PLAIN_TAGS):
        document.faults.append(Fault(path, line, f"the tag {node.tag} is not known here"))
        return None
    if len(path) > _MAX_DEPTH:
        document.faults.append(Fault(path[:3], line, "nested too deeply"))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(document, node, path)
    if isinstance(node, yaml.SequenceNode):
        return [_value(document, item, (*path, str(index))) for index, item in enumerate(node.value)]
    scalar = cast("yaml.ScalarNode", node)
    return scalar.value if scalar.style else scalar_value(scalar.value)


def _mapping(document: Document, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.faults.append(Fault(path, line, "a key must be a plain word"))
            continue
        here = (*path, key_node.value)
        if key_node.value in value:
            document.faults.append(Fault(here, line, f"the key is here twice, first in line {document.lines[here]}"))
            continue
        document.lines[here] = line
        value[key_node.value] = _value(document, value_node, here)
    return value


def scalar_value(text: str) -> str | int | float | bool | None:
    """What an unquoted word means: null, a boolean, a number, or the word itself."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text) and len(text) < _MAX_INT_DIGITS:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    infinity = _INFINITY.fullmatch(text)
    if infinity:
        return float(f"{infinity[1]}inf")
    return float("nan") if _NAN.fullmatch(text) else text
