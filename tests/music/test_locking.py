"""Locked bars on a grid that is turned: what was heard in them is heard in them, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.music.groove import apply_groove
from bridge.music.groove_settings import GRIDS, GrooveSettings
from bridge.music.locking import Lock, kept_apart, lock_from_json, lock_to_json, with_locked
from bridge.music.notes import Bars, Note, bars_fault, bars_to_json, in_order

LENGTH = 16.0
GROOVES = st.builds(GrooveSettings, quantize=st.sampled_from([0.0, 0.5, 1.0]), grid=st.sampled_from(sorted(GRIDS)))
#: Each of a pitch of its own, so that none is repaired away from another.
LOOPS = st.lists(st.floats(0.0, 15.9).map(lambda beats: round(beats, 2)), max_size=20, unique=True).map(
    lambda starts: Bars(in_order(Note(30 + k, start, 0.05, 90) for k, start in enumerate(starts)), LENGTH)
)
LOCKS = st.dictionaries(st.integers(0, 3), GROOVES, min_size=1)


def lock_in(bars: Bars, locked: dict[int, GrooveSettings]) -> Lock:
    return Lock(bars, tuple((bar * 4.0, bar * 4.0 + 4.0) for bar in locked), tuple(locked.values()))


def heard(bars: Bars, span: tuple[float, float], groove: GrooveSettings) -> set[int]:
    """The pitches that are heard to belong in a span: played, they are where they are."""
    played = apply_groove(bars, groove, 1, drums=True)
    as_it_is = replace(groove, quantize=0.0)
    return {note.pitch for note in played.notes if as_it_is.is_inside(note.start, [span], LENGTH)}


@given(LOOPS, LOCKS, GROOVES)
def test_a_locked_bar_has_what_was_heard_in_it_when_it_was_locked_whatever_is_turned(
    bars: Bars, locked: dict[int, GrooveSettings], groove: GrooveSettings
) -> None:
    lock = lock_in(bars, locked)
    apart = kept_apart(bars, lock, groove)
    assert bars_fault(apart) is None
    claimed: set[int] = set()
    for span, played in lock:
        own = heard(bars, span, played) - claimed
        claimed |= own
        assert heard(apart, span, groove) == own
    free = {note.pitch for note in bars.notes} - claimed
    assert {note.pitch for note in apart.notes} - claimed <= free


@given(LOOPS, st.sets(st.integers(0, 3)), GROOVES)
def test_what_is_quantised_as_it_was_is_played_as_it_was(bars: Bars, locked: set[int], groove: GrooveSettings) -> None:
    lock = lock_in(bars, dict.fromkeys(locked, groove))
    assert kept_apart(bars, lock, replace(groove, swing=60.0, transpose=3)) is bars


@given(LOOPS, LOOPS, LOCKS)
def test_new_bars_have_of_each_locked_bar_what_it_had_and_no_other_note_there(
    bars: Bars, made: Bars, locked: dict[int, GrooveSettings]
) -> None:
    made = Bars(tuple(replace(note, velocity=50) for note in made.notes), LENGTH)
    lock = lock_in(bars, locked)
    out = with_locked(made, lock, "drums")

    def of(loop: Bars, span: tuple[float, float] | None) -> list[Note]:
        owners = zip(loop.notes, lock.owners(loop), strict=True)
        return [note for note, owner in owners if (None if owner is None else owner[0]) == span]

    for span, _ in lock:
        assert of(out, span) == of(bars, span)
    assert [note.pitch for note in of(out, None)] == [note.pitch for note in of(made, None)]


def test_a_note_that_a_coarse_grid_brings_out_of_a_locked_bar_is_the_next_bar_s_in_new_bars_too() -> None:
    """It was heard there: the bar beside a locked one is as it was."""
    bars = Bars((Note(60, 0.0, 1.0, 90), Note(62, 3.6, 0.5, 90)), 8.0)
    lock = Lock(bars, ((0.0, 4.0),), (GrooveSettings(grid="1/4"),))
    assert with_locked(bars, lock, "melody") == bars


@given(LOOPS, LOCKS)
def test_a_lock_survives_json(bars: Bars, locked: dict[int, GrooveSettings]) -> None:
    lock = lock_in(bars, locked)
    assert lock_from_json(lock_to_json(lock)) == lock


@pytest.mark.parametrize("quantising", [{}, {"quantize": 0.5, "grid": "1/8"}])
def test_a_lock_of_an_earlier_version_is_read(quantising: dict[str, object]) -> None:
    bars = Bars((Note(60, 0.0, 1.0, 90),), 8.0)
    told = {"bars": bars_to_json(bars), "spans": [[0.0, 4.0], [4.0, 8.0]], **quantising}
    played = GrooveSettings(**quantising)  # type: ignore[arg-type]
    assert lock_from_json(told) == Lock(bars, ((0.0, 4.0), (4.0, 8.0)), (played, played))
