"""The routes under the addresses they really have, for given voices: exact look-up and pattern expansion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bridge.limits import MAX_ADDRESS_CHARS, MAX_KNOWN_PATTERNS
from bridge.osc.patterns import PatternMatcher, is_pattern
from bridge.osc.routes import ROUTES, VOICE, Route


class Target(NamedTuple):
    """A concrete address: its route, and whom it speaks to (``bridge``, ``clock`` or a voice)."""

    address: str
    scope: str
    route: Route


class AddressTable:
    """Every concrete address of the interface for these voices."""

    def __init__(self, voices: Sequence[str]) -> None:
        self._voices = tuple(voices)
        self._targets: dict[str, tuple[Target]] = {}
        for route in ROUTES:
            for scope in self._voices if route.scope == VOICE else (route.scope,):
                address = f"/{scope}/{route.verb}"
                self._targets[address] = (Target(address, scope, route),)
        self._matcher = PatternMatcher(self._targets)
        self._known_patterns: dict[str, tuple[Target, ...]] = {}

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses, in the order of the table."""
        return tuple(self._targets)

    def find(self, address: str) -> tuple[Target, ...] | None:
        """Whom the address (not a new pattern) speaks to; None: a pattern that has to be matched first, or unknown."""
        return self._targets.get(address) or self._known_patterns.get(address)

    def expand(self, pattern: str) -> tuple[Target, ...]:
        """Match a pattern and remember the outcome; the oldest of `MAX_KNOWN_PATTERNS` is forgotten."""
        targets = tuple(self._targets[address][0] for address in self._matcher.match(pattern))
        if len(self._known_patterns) >= MAX_KNOWN_PATTERNS:
            del self._known_patterns[next(iter(self._known_patterns))]
        self._known_patterns[pattern] = targets
        return targets

    def why_unknown(self, address: str) -> str:
        """In words, why an address has no match."""
        if len(address) > MAX_ADDRESS_CHARS:
            return f"no address is longer than {MAX_ADDRESS_CHARS} characters"
        if is_pattern(address):
            return "no address matches this pattern"
        scope, _, verb = address[1:].partition("/")
        if verb and scope not in ("bridge", "clock", *self._voices):
            return f"no such address; the voices are {', '.join(self._voices) or 'none'}"
        return "no such address; REFERENCE.md lists them all"
