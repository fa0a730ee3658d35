"""Plain bars as they are played: grooved in the metre that they were made in, then fitted to the song's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.music.feel import felt
from bridge.music.grids import struck_apart
from bridge.music.groove import played_notes
from bridge.music.groove_settings import GrooveSettings
from bridge.music.metre import fitted, fitted_length
from bridge.music.notes import Bars, Note, in_order
from bridge.session.loops import Loop
from bridge.session.voice import Fill

_NEARLY = 1e-6
#: A note as it is played, and where it belongs, in beats.
Placed = tuple[Note, float]


def as_played(bars: Bars, groove: GrooveSettings, loop: Loop, drums: bool) -> list[Note]:
    """The notes of plain bars as they are played; `loop` is whose groove and feel they have."""
    return felt(played_notes(bars, groove, loop.groove_seed, drums), loop.feel.offset_beats, bars.length)


def placed(bars: Bars, groove: GrooveSettings, loop: Loop, drums: bool) -> list[Placed]:
    """The same, each with where it belongs."""
    places = (groove.place_of(note.start, bars.length) for note in in_order(bars.notes))
    return list(zip(as_played(bars, groove, loop, drums), places, strict=True))


def in_metre(played: Sequence[Placed], length_beats: float, bar_beats: float, to_bar_beats: float) -> Bars:
    """What is played in bars of `bar_beats`, in such of `to_bar_beats`."""
    pairs = sorted(played, key=lambda pair: pair[0].start)
    bars = Bars(tuple(note for note, _ in pairs), length_beats)
    return fitted(bars, bar_beats, to_bar_beats, [place for _, place in pairs])


def with_fill(played: Sequence[Placed], loop: Loop, fill: Fill, filled: Sequence[Placed], bar_beats: float) -> Bars:
    """What is `played` of a loop of another metre than the song's, whose bars are of `bar_beats`; in bars that a fill
    plays otherwise, what belongs to them in `filled`.
    """
    length = loop.bars.length
    rounds = round(fill.bars.length / fitted_length(length, loop.bar_beats, bar_beats))
    otherwise = {round(start / bar_beats) for start in (fill.start, *fill.beside)}
    rest = [
        pair for pair in _gone_round(played, length, rounds) if _bar_of(pair[1], loop.bar_beats) not in otherwise
    ]  # fmt: skip
    around = in_metre(rest, rounds * length, loop.bar_beats, bar_beats)
    inside = [note for note, place in filled if _bar_of(place, bar_beats) in otherwise]
    return Bars(in_order(struck_apart([*around.notes, *inside])), around.length)


def _gone_round(played: Sequence[Placed], length_beats: float, rounds: int) -> list[Placed]:
    """A loop so many times round: what is at its end and belongs to its beginning leads into the next round."""
    found = []
    for number in range(rounds):
        for note, place in played:
            ahead = number + int(place < note.start - length_beats / 2)
            there = replace(note, start=note.start + number * length_beats)
            found.append((there, (place + ahead * length_beats) % (rounds * length_beats)))
    return found


def _bar_of(place_beats: float, bar_beats: float) -> int:
    return int((place_beats + _NEARLY) // bar_beats)
