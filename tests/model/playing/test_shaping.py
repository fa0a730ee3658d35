"""Attributes and latent directions on loops of any origin: monotone, reversible, and exact at rest."""

from dataclasses import replace
from itertools import pairwise

import held_out
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.evaluation.statistics import spearman
from bridge.model.playing.attributes import SPREADS, measure
from bridge.model.playing.framing import Frame, WindowTokens, to_bars
from bridge.model.playing.generation import sample_bars
from bridge.model.playing.patterns import beats_in_turn, tokens_of, turns, units_of
from bridge.model.playing.shaping import UNSHAPED, Shape, in_register, shape_of, shaped
from bridge.model.playing.steering import Steering
from bridge.model.reporting.held_out import grid_tokens
from bridge.music.grids import encode_line
from bridge.music.notes import Bars, Note, in_order

AMOUNTS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def loops_of(model, count):
    """A few held-out windows as loops."""
    kept = held_out.windows(model.config.name)
    found = []
    for row in np.linspace(0, len(kept.tokens) - 1, count).astype(int):
        tokens = np.asarray(kept.tokens[row]).astype(np.int64)
        window = WindowTokens(tokens)
        if model.config.part == "drums":
            velocities = np.maximum(40, np.asarray(kept.velocities[row]).astype(int))
            window = WindowTokens(tokens, velocities, np.asarray(kept.offsets[row]).astype(int))
        found.append(to_bars([window], Frame(), model.config, 8.0))
    return found


def off_grid(bars):
    """The same loop with notes that no grid would give back."""
    return Bars(tuple(Note(n.pitch, n.start + 0.013, n.duration * 0.77, 61, n.part) for n in bars.notes), bars.length)


def turned(model, loop, name, amount):
    return shaped(model, loop, shape_of({name: amount}, {}), 0.6)


def test_at_rest_the_bars_are_what_they_were(shipped):
    loop = off_grid(loops_of(shipped, 1)[0])
    assert shaped(shipped, loop, UNSHAPED, 0.6) is loop
    at_zero = shape_of(dict.fromkeys(shipped.config.attributes, 0.0), {0: 0.0, 3: 0.0})
    assert at_zero == UNSHAPED
    assert shaped(shipped, loop, at_zero, 0.6) is loop
    assert shaped(shipped, Bars((), 8.0), shape_of({"density": 1.0}, {}), 0.6) == Bars((), 8.0)


def test_more_is_more_and_less_is_less(shipped):
    """Every attribute rises with its knob, in most loops strictly by rank."""

    def measured(loop, name, amount, column):
        tokens = grid_tokens(turned(shipped, loop, name, amount), config.part)
        return measure(tokens[None], config)[0, column]

    loops, config = loops_of(shipped, 6), shipped.config
    for column, name in enumerate(config.attributes):
        found = np.array([[measured(loop, name, a, column) for a in AMOUNTS] for loop in loops])
        assert (np.diff(found.mean(0)) >= -1e-9).all(), name
        moved = found[:, -1] - found[:, 0] > 0.3 * SPREADS[config.part][column]
        assert moved.mean() >= 0.8, name
        assert np.nanmedian([spearman(np.array(AMOUNTS), row) for row in found]) >= 0.85, name


def test_half_way_most_notes_are_still_there(shipped):
    for loop in loops_of(shipped, 3):
        there = {(n.start, n.pitch) for n in loop.notes}
        for name in shipped.config.attributes:
            kept = {(n.start, n.pitch) for n in turned(shipped, loop, name, 0.5).notes}
            assert len(there & kept) >= 0.4 * len(there), name


def test_turning_back_brings_back(shipped):
    (loop,) = loops_of(shipped, 1)
    shape = Shape((("density", 0.6), ("syncopation", -0.4)), ((2, 1.5), (7, -2.0)))
    first = shaped(shipped, loop, shape, 0.6)
    for amount in (-0.3, 0.9):
        turned(shipped, loop, "density", amount)
    assert shaped(shipped, loop, shape, 0.6) == first
    assert first != loop


def test_notes_that_stay_sound_as_they_did(melody):
    loop = off_grid(loops_of(melody, 1)[0])
    there = {(round(n.start * 4), n.pitch): n for n in loop.notes}
    more = turned(melody, loop, "density", 0.4)
    kept = [n for n in more.notes if (round(n.start * 4), n.pitch) in there]
    assert kept
    for note in kept:
        was = there[round(note.start * 4), note.pitch]
        assert (note.start, note.velocity) == (was.start, was.velocity)


def test_a_knob_hardly_turned_changes_nothing_and_chords_stay_with_their_top_note(melody):
    (loop,) = loops_of(melody, 1)
    chords = Bars(in_order([*loop.notes, *(replace(note, pitch=note.pitch - 12) for note in loop.notes)]), 8.0)
    assert turned(melody, chords, "density", 0.01) == chords
    more = turned(melody, chords, "density", 0.5)
    tops = {(n.start, n.pitch) for n in loop.notes} & {(n.start, n.pitch) for n in more.notes}
    assert tops
    assert {(start, pitch - 12) for start, pitch in tops} <= {(n.start, n.pitch) for n in more.notes}


def test_hits_half_a_step_apart_never_sound_together_when_a_knob_turns(drums):
    """The grid has a hit half-way between two steps at the later one; both of these snares have steps of their own."""
    (loop,) = loops_of(drums, 1)
    others = [note for note in loop.notes if note.pitch != 38]
    snares = [Note(38, step * 0.25, 0.125, 100 - step) for step in (4, 4.5, 12, 12.5, 20, 20.5)]
    played = Bars(in_order([*others, *snares]), loop.length)
    for amount in (-0.5, -0.2, 0.2, 0.5):
        made = turned(drums, played, "density", amount)
        kept = [note for note in made.notes if note in snares]
        assert len(kept) >= 4, amount
        for pitch in {note.pitch for note in made.notes}:
            hits = [note for note in made.notes if note.pitch == pitch]
            assert all(one.end <= other.start + 1e-9 for one, other in pairwise(hits)), (amount, pitch)


def test_loops_of_other_lengths_keep_them(shipped):
    for bars in (1, 3, 4):
        loop = sample_bars(shipped, bars, 3, 0.6)
        for name in ("density", "syncopation"):
            made = turned(shipped, loop, name, 0.8)
            assert made.length == loop.length
            assert all(note.start < made.length for note in made.notes)


@pytest.mark.parametrize("amount", [-0.2, 0.1, 0.5])
def test_a_drum_that_is_early_for_the_second_bar_of_three_does_not_come_on_the_loop_s_first_step_too(drums, amount):
    """Three bars fill two windows once and a third, and that is cut where it leads into the second bar."""
    hats = [Note(42, beat / 2, 0.125, 80) for beat in range(24)]
    loop = Bars(in_order([*hats, Note(38, 0.0, 0.125, 100), Note(50, 3.97, 0.03, 90)]), 12.0)
    made = shaped(drums, loop, shape_of({"density": amount}, {}), 0.7)
    assert 3.97 in [note.start for note in made.notes if note.pitch == 50]
    assert not [note for note in made.notes if note.pitch == 50 and note.start < 0.1]


@pytest.mark.parametrize(
    "pitches",
    [
        (60, 61, 64, 65, 66, 65, 64, 61, 60, 66, 65, 64, 61, 60),
        (67, 66, 70, 71, 67, 66, 70, 67, 71, 66),
        (64, 70, 69, 66, 71, 70, 64),
        (62, 63, 68, 69, 62, 68),
    ],
)
def test_a_line_that_has_left_its_key_can_leave_it_further(melody, pitches):
    loop = Bars(tuple(Note(pitch, 0.5 * number, 0.5, 90) for number, pitch in enumerate(pitches)), 8.0)
    column = melody.config.attributes.index("diatonic")
    shares = [
        measure(grid_tokens(turned(melody, loop, "diatonic", amount), "melody")[None], melody.config)[0, column]
        for amount in (-1.0, -0.5, 0.0)
    ]
    assert shares[0] <= shares[1] < shares[2]


def test_a_hard_key_holds(melody):
    c_major = frozenset({0, 2, 4, 5, 7, 9, 11})
    steering = Steering(pitch_classes=c_major, binding="hard")
    loop = sample_bars(melody, 2, 5, 0.6, steering)
    made = shaped(melody, loop, shape_of({"density": 1.0, "interval": 1.0}, {1: 2.0}), 0.6, steering)
    assert {n.pitch % 12 for n in made.notes} <= c_major


def test_a_latent_direction_is_moved_along_step_by_step(shipped):
    """The further, the more changes, and hardly ever much at once; the two sides differ."""
    (loop,) = loops_of(shipped, 1)
    steps = [shaped(shipped, loop, shape_of({}, {0: v}), 0.6) for v in np.linspace(0.0, 3.0, 31).tolist()]
    rows = np.stack([grid_tokens(bars, shipped.config.part) for bars in steps])
    away = (rows != rows[0]).sum(1)
    assert away[0] == 0
    assert away[-1] >= 4
    assert spearman(np.arange(31.0), away.astype(float)) > 0.8
    assert (rows[1:] != rows[:-1]).sum(1).max() <= 6
    assert shaped(shipped, loop, shape_of({}, {0: -3.0}), 0.6) != steps[-1]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_no_knob_leaves_a_loop_silent(shipped, count):
    """However few notes it has: a knob goes as far as anything is struck."""
    is_drums = shipped.config.part == "drums"
    notes = (Note(36 + 2 * (k % 2) if is_drums else 60 + 3 * k, 0.5 + 1.5 * k, 0.5, 90) for k in range(count))
    loop = Bars(tuple(notes), 8.0)
    turns_of_all = [{name: amount} for name in shipped.config.attributes for amount in (-1.0, 1.0)]
    shapes = [shape_of(attributes, {}) for attributes in turns_of_all]
    shapes += [shape_of({}, {0: value}) for value in (-3.0, -1.5, 1.5, 3.0)]
    assert not [shape for shape in shapes if not shaped(shipped, loop, shape, 0.6).notes]


@pytest.mark.parametrize("name", ["density", "syncopation", "latent"])
def test_a_window_that_rests_goes_on_resting_whichever_knob_is_turned(shipped, name):
    """Two bars and two bars' break: the more is played in the former, the break is the break."""
    is_drums = shipped.config.part == "drums"
    notes = tuple(Note(36 + 2 * (k % 2) if is_drums else 60 + 2 * k, 1.0 + k, 0.5, 90) for k in range(6))
    loop = Bars(notes, 16.0)
    for value in (-1.0, 0.5, 1.0):
        shape = shape_of({}, {0: 3.0 * value}) if name == "latent" else shape_of({name: value}, {})
        moved = shaped(shipped, loop, shape, 0.6)
        assert moved != loop or value < 0.0  # a line on the beat alone cannot be less syncopated
        assert max(note.end for note in moved.notes) <= 8.0


def test_what_the_model_does_not_have_is_refused(melody, drums):
    (loop,) = loops_of(melody, 1)
    with pytest.raises(ValueError, match="expected density, syncopation, interval, diatonic, register, or 0 to 127"):
        turned(melody, loop, "fill", 0.5)
    with pytest.raises(ValueError, match="0 to 127"):
        shaped(melody, loop, shape_of({}, {128: 1.0}), 0.6)
    with pytest.raises(ValueError, match="expected density, syncopation, fill"):
        turned(drums, loops_of(drums, 1)[0], "register", 0.5)


@given(st.lists(st.integers(30, 90), min_size=1, max_size=12), st.floats(-1.0, 1.0))
def test_register_moves_notes_by_octaves(pitches, amount):
    bars = Bars(tuple(Note(p, 0.5 * i, 0.5, 80) for i, p in enumerate(pitches)), 8.0)
    moved = in_register(bars, amount)
    apart = [b.pitch - a.pitch for a, b in zip(bars.notes, moved.notes, strict=True)]
    assert set(apart) <= {0, 12 if amount > 0 else -12}
    room = sum(21 <= p + (12 if amount > 0 else -12) <= 108 for p in pitches)
    assert sum(map(bool, apart)) <= round(abs(amount) * len(pitches))
    if abs(amount) == 1.0:
        assert sum(map(bool, apart)) == room


@given(st.integers(0, 2**31), st.floats(0.0, 1.0))
def test_units_are_another_form_of_tokens(seed, full):
    config = held_out.CONFIGS["drums-2bar"]
    rng = np.random.default_rng(seed)
    tokens = np.where(rng.random(32) < full, rng.integers(0, 512, 32), 0)
    units = units_of(tokens, config)
    assert np.array_equal(tokens_of(units, config), tokens)
    order = beats_in_turn(config, seed)
    assert sorted(order.tolist()) == list(range(288))
    one_by_one = turns(units.astype(float), order)[order][units[order] == 1]
    assert (np.diff(one_by_one) > 0).all()
    assert ((one_by_one > 0) & (one_by_one < 1)).all()


def test_units_of_a_line_are_canonical():
    config = held_out.CONFIGS["melody-2bar"]
    loop = Bars((Note(60, 0.0, 1.0, 90), Note(64, 2.0, 0.5, 90)), 8.0)
    tokens = encode_line(loop, 32)
    idle = tokens.copy()
    idle[20] = 88  # a note-off in silence
    assert np.array_equal(units_of(idle, config), tokens)
