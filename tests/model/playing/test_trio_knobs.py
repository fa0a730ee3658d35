"""A trio's attribute knobs: each moves the parts that have the attribute, and no note of the others."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.model.evaluation.statistics import spearman
from bridge.model.playing.attributes import measure
from bridge.model.playing.decoding import between_beats
from bridge.model.playing.framing import part_of
from bridge.model.playing.generation import sample_bars
from bridge.model.playing.shaping import shape_of, shaped
from bridge.model.playing.steering import Steering
from bridge.model.reporting.held_out import grid_tokens
from bridge.music.notes import Bars, Note, in_order

NAMES = ("density", "syncopation", "interval", "diatonic", "register", "fill")
MELODY, BASS, DRUMS = range(3)


@pytest.fixture(scope="module")
def loops(trio) -> list[Bars]:
    return [sample_bars(trio, 16, seed, 0.6) for seed in range(6)]


def turned(trio, loop: Bars, name: str, amount: float) -> Bars:
    return shaped(trio, loop, shape_of({name: amount}, {}), 0.6)


def with_parts(config, name: str) -> list[int]:
    return [part for part in range(3) if name in config.of_part(part).attributes]


def off_grid(bars: Bars) -> Bars:
    """The same loop with notes that no grid would give back, and chords in its lines."""
    moved = [Note(n.pitch, n.start + 0.013, n.duration * 0.77, 61, n.part) for n in bars.notes]
    chords = [Note(n.pitch - 12, n.start, n.duration, 40, n.part) for n in moved if n.part == MELODY]
    return Bars(in_order([*moved, *chords]), bars.length)


def test_its_knobs_are_those_of_its_parts(trio) -> None:
    assert trio.config.attributes == NAMES
    assert [with_parts(trio.config, name) for name in ("density", "interval", "register", "fill")] == [
        [MELODY, BASS, DRUMS], [MELODY, BASS], [MELODY, BASS], [DRUMS],
    ]  # fmt: skip
    with pytest.raises(ValueError, match=f"expected {', '.join(NAMES)}"):
        turned(trio, Bars((), 64.0), "loudness", 0.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_knob_moves_its_parts_and_leaves_the_others_note_for_note(trio, loops, name: str) -> None:
    loop = off_grid(loops[0])
    for amount in (-1.0, -0.5, 0.5, 1.0):
        moved = turned(trio, loop, name, amount)
        for part in set(range(3)) - set(with_parts(trio.config, name)):
            assert part_of(moved, part) == part_of(loop, part), (part, amount)
        assert moved.length == loop.length
    changed = [
        part
        for part in range(3)
        for a in (-1.0, 1.0)
        if part_of(turned(trio, loop, name, a), part) != part_of(loop, part)
    ]
    assert set(changed) == set(with_parts(trio.config, name))


@pytest.mark.parametrize("name", NAMES)
def test_more_is_more_in_every_part_and_half_way_most_notes_are_still_there(trio, loops, name: str) -> None:
    amounts = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    ways = [[turned(trio, loop, name, amount) for amount in amounts] for loop in loops]
    for part in with_parts(trio.config, name):
        mine = trio.config.of_part(part)
        column = mine.attributes.index(name)
        tokens = np.stack([[grid_tokens(bars, mine.part, part) for bars in way] for way in ways])
        found = measure(tokens.reshape(-1, mine.steps), mine).reshape(len(loops), len(amounts), -1)[:, :, column]
        assert (np.diff(found.mean(0)) >= -1e-9).all(), mine.part
        assert found[:, -1].mean() > found[:, 0].mean(), mine.part
        assert np.nanmedian([spearman(amounts, row) for row in found]) >= 0.85, mine.part
        for way in ways:
            there = {(n.start, n.pitch) for n in part_of(way[2], part).notes}
            for half in (way[1], way[3]):
                kept = {(n.start, n.pitch) for n in part_of(half, part).notes}
                assert len(there & kept) >= 0.4 * len(there), mine.part


def test_at_rest_it_is_what_it_was_and_turning_back_brings_back(trio, loops) -> None:
    loop = off_grid(loops[1])
    assert shaped(trio, loop, shape_of(dict.fromkeys(NAMES, 0.0), {}), 0.6) is loop
    shape = shape_of({"density": 0.6, "interval": -0.4, "register": 0.3, "fill": 0.8}, {1: 1.0})
    first = shaped(trio, loop, shape, 0.6)
    assert first != loop
    turned(trio, loop, "density", -0.7)
    assert shaped(trio, loop, shape, 0.6) == first


def test_the_register_moves_each_line_by_octaves_and_no_drum(trio, loops) -> None:
    for amount, octave in ((1.0, 12), (-1.0, -12)):
        moved = turned(trio, loops[2], "register", amount)
        for part in (MELODY, BASS):
            before, after = part_of(loops[2], part).notes, part_of(moved, part).notes
            assert {b.pitch - a.pitch for a, b in zip(before, after, strict=True)} <= {0, octave}
            assert before != after
        assert part_of(moved, DRUMS) == part_of(loops[2], DRUMS)


def test_no_knob_leaves_a_part_silent_and_one_that_rests_goes_on_resting(trio) -> None:
    lines = [Note(64, 0.0, 1.0, 90, MELODY), Note(67, 9.5, 0.5, 90, MELODY), Note(40, 2.0, 1.0, 90, BASS)]
    for notes in (lines, [*lines, Note(36, 0.0, 0.125, 100, DRUMS), Note(38, 4.25, 0.125, 90, DRUMS)]):
        loop = Bars(in_order(notes), 64.0)
        for name in NAMES:
            for amount in (-1.0, 1.0):
                moved = turned(trio, loop, name, amount)
                assert {n.part for n in moved.notes} == {n.part for n in notes}, (name, amount)


def test_a_hard_key_holds_in_both_lines(trio) -> None:
    c_major = frozenset({0, 2, 4, 5, 7, 9, 11})
    steering = Steering(pitch_classes=c_major, binding="hard")
    loop = sample_bars(trio, 16, 5, 0.6, steering)
    made = shaped(trio, loop, shape_of({"density": 1.0, "interval": 1.0}, {}), 0.6, steering)
    assert made != loop
    assert {n.pitch % 12 for n in made.notes if n.part != DRUMS} <= c_major


def test_the_first_turn_of_a_knob_looks_about_after_every_bar_of_a_part(trio, loops) -> None:
    looks: list[int] = []
    with between_beats(lambda: looks.append(1)):
        assert turned(trio, off_grid(loops[4]), "density", 0.5) != loops[4]
    assert len(looks) >= 3 * 16
