"""OSC 1.0 address patterns (``? * [a-z] [!a] {a,b}``) against a fixed set of addresses, in linear time.

All addresses stand one after the other in one text. A set of positions in it is one integer, bit p standing for "the
pattern so far is matched up to just before character p"; each element of the pattern moves the whole set by a few
operations on that integer, for all addresses at once. There is no backtracking, so that no pattern is a costly one: its
cost is its length times the length of the text over the machine's word.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final

_END: Final = "\n"  # after every address; no address holds it
_SPECIAL: Final = frozenset("?*[]{}")


def is_pattern(address: str) -> bool:
    """Whether the address holds any of the characters that make it a pattern."""
    return not _SPECIAL.isdisjoint(address)


class PatternMatcher:
    """Finds which of `addresses` a pattern matches. No element of a pattern ever matches a ``/`` but ``/`` itself."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._addresses: dict[int, str] = {}  # offset of its end -> address
        self._starts = 0
        self._ends = 0
        text = ""
        for address in addresses:
            self._starts |= 1 << len(text)
            text += address + _END
            self._ends |= 1 << (len(text) - 1)
            self._addresses[len(text) - 1] = address
        self._places: dict[str, int] = {}  # character -> the offsets at which it stands
        for offset, character in enumerate(text):
            self._places[character] = self._places.get(character, 0) | 1 << offset
        self._characters = sorted(self._places)
        self._names = ((1 << len(text)) - 1) & ~self._places.get("/", 0) & ~self._ends  # what ? and * may eat

    def match(self, pattern: str) -> tuple[str, ...]:
        """The addresses that the whole pattern matches, in table order; none when it is not a well-formed pattern."""
        reached = self._starts
        position = 0
        while position < len(pattern):
            if not reached:
                return ()
            character = pattern[position]
            if character == "*":
                # Adding carries from each reached offset to the end of its run of name characters.
                names = self._names
                reached |= ((reached & names) + names) ^ names
            elif character == "?":
                reached = (reached & self._names) << 1
            elif character in "[{":
                closing = pattern.find("]" if character == "[" else "}", position)
                inside = pattern[position + 1 : closing]
                if closing < 0 or "/" in inside:
                    return ()
                reached = self._one_of(reached, inside) if character == "[" else self._either(reached, inside)
                position = closing
            elif character in "]}":
                return ()
            else:
                reached = (reached & self._places.get(character, 0)) << 1
            position += 1
        return self._ended(reached & self._ends)

    def _one_of(self, reached: int, inside: str) -> int:
        """After a list such as ``a-fxyz`` or ``!0-9``; a minus at either end stands for itself."""
        negated = inside.startswith("!")
        wanted = inside[1:] if negated else inside
        places = 0
        position = 0
        while position < len(wanted):
            if wanted[position + 1 : position + 2] == "-" and position + 2 < len(wanted):
                low = bisect_left(self._characters, wanted[position])
                high = bisect_right(self._characters, wanted[position + 2])
                for character in self._characters[low:high]:
                    places |= self._places[character]
                position += 3
            else:
                places |= self._places.get(wanted[position], 0)
                position += 1
        return (reached & (~places if negated else places) & self._names) << 1

    def _either(self, reached: int, inside: str) -> int:
        total = 0
        for alternative in inside.split(","):
            branch = reached
            for character in alternative:
                branch = (branch & self._places.get(character, 0)) << 1
                if not branch:
                    break
            total |= branch
        return total

    def _ended(self, ends: int) -> tuple[str, ...]:
        found = []
        while ends:
            lowest = ends & -ends
            found.append(self._addresses[lowest.bit_length() - 1])
            ends ^= lowest
        return tuple(found)
