"""The session's key and chord loop: what all voices share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bridge.music.harmony import Chord, ChordLoop, scale_of, tonic_of
from bridge.music.notes import Bars

TAKEN = -1
"""The tonic that means: taken from the first seed or bars."""


@dataclass
class Harmony:
    """`tonic` and `mode` as asked for; `found` is the tonic that was taken from the notes of `source` (a voice), and
    `giver` what tells the recipe of those where they were made in no key.
    """

    tonic: int = TAKEN
    mode: str = "major"
    found: int | None = None
    source: str = ""
    giver: list[str | int] | None = None
    chords: ChordLoop | None = None

    @property
    def sounding_tonic(self) -> int | None:
        """The tonic in force; None while there is nothing to take it from."""
        return self.found if self.tonic == TAKEN else self.tonic

    @property
    def classes(self) -> list[int] | None:
        """The pitch classes of the key in force, rising; None while there is none."""
        tonic = self.sounding_tonic
        return None if tonic is None else sorted(scale_of(tonic, self.mode))

    def ask(self, tonic: int, mode: str) -> None:
        """Another key, or one to be taken."""
        if (tonic, mode) != (TAKEN, self.mode) or self.tonic != TAKEN:
            self.giver = None
        self.tonic, self.mode, self.found, self.source = tonic, mode, None, ""

    def hear(
        self,
        source: str,
        bars: Bars,
        *,
        seed: bool = False,
        giver: list[str | int] | None = None,
        made_in: Sequence[int] | None = None,
    ) -> bool:
        """Notes of a voice: where the key is to be taken and is not yet, they give it, that which they were `made_in`
        (its pitch classes) where that is of the mode; so does a new seed of the voice it was taken from. Whether the
        key in force is another now.
        """
        if self.tonic != TAKEN or (self.found is not None and not (seed and self.source == source)):
            return False
        tonic = tonic_of(bars, self.mode)
        theirs = [own for own in range(12) if scale_of(own, self.mode) == frozenset(made_in or ())]
        if tonic is not None and theirs and tonic not in theirs:
            tonic = theirs[0]
        if tonic is None or tonic == self.found:
            return False
        self.found, self.source = tonic, source
        self.giver = None if seed else giver or self.giver
        return True

    def forget(self, source: str) -> bool:
        """A voice was cleared: the key that was taken from it is free again. Whether it was."""
        if self.tonic != TAKEN or self.source != source or self.found is None:
            return False
        self.found, self.source, self.giver = None, "", None
        return True

    def told(self) -> list[int | str]:
        """The arguments of the event that tells the key: tonic and mode as asked for, the tonic in force (or -1)."""
        tonic = self.sounding_tonic
        return [self.tonic, self.mode, TAKEN if tonic is None else tonic]

    def to_json(self) -> dict[str, Any]:
        """Everything, for the state file and for scenes."""
        return {
            "tonic": self.tonic,
            "mode": self.mode,
            "found": self.found,
            "source": self.source,
            "giver": self.giver,
            "chords": chords_to_json(self.chords),
        }

    def restore(self, value: dict[str, Any]) -> None:
        """What `to_json` gave."""
        chords = value["chords"]
        scale_of(value["tonic"], value["mode"])
        loop = None if chords is None else ChordLoop(tuple(Chord(*row) for row in chords["chords"]), chords["length"])
        self.tonic, self.mode, self.found, self.source = (value[key] for key in ("tonic", "mode", "found", "source"))
        self.giver = value.get("giver")  # sessions from before it was kept have none
        self.chords = loop


def chords_to_json(loop: ChordLoop | None) -> dict[str, Any] | None:
    """A chord loop as plain JSON."""
    if loop is None:
        return None
    return {"length": loop.length, "chords": [[chord.beat, chord.root, chord.quality] for chord in loop.chords]}
