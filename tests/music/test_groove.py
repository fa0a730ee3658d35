"""The groove: what comes out of the knobs, from the plain bars alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.limits import MIN_NOTE_BEATS
from bridge.music import groove, kernels_plain
from bridge.music.groove import apply_groove, place_played
from bridge.music.groove_settings import GRIDS, GrooveSettings
from bridge.music.harmony import scale_of
from bridge.music.notes import Bars, Note, bars_fault, in_order

PLAIN = GrooveSettings(quantize=0.0)


@pytest.fixture(autouse=True)
def compiled() -> Iterator[None]:
    """The compiled kernels, and whatever was in use put back after the test."""
    before = groove._kernels
    assert groove.warm_up()
    yield
    groove._kernels = before


def notes_in(length: float, parts: int = 3) -> st.SearchStrategy[Bars]:
    starts = st.one_of(
        st.floats(0, length, exclude_max=True),
        st.builds(lambda k, n: (k / n) % length, st.integers(0, 64), st.sampled_from(sorted(GRIDS.values()))),
    )
    note = st.builds(
        Note,
        st.integers(0, 127),
        starts,
        st.one_of(st.floats(1e-4, 4.0), st.sampled_from([0.125, 0.25, 0.5, 1.0])),
        st.integers(1, 127),
        st.integers(0, parts - 1),
    )
    return st.lists(note, max_size=32).map(lambda notes: Bars(in_order(notes), length))


BARS = st.sampled_from([0.25, 1.0, 3.0, 8.0]).flatmap(notes_in)
KNOBS = st.builds(
    GrooveSettings,
    quantize=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)),
    swing=st.one_of(st.sampled_from([50.0, 66.0, 75.0]), st.floats(50, 75)),
    humanize=st.one_of(st.just(0.0), st.floats(0, 1)),
    grid=st.sampled_from(list(GRIDS)),
    transpose=st.integers(-48, 48),
    velocity=st.floats(0, 2),
    gate=st.one_of(st.just(0.9), st.floats(0.1, 1.1)),
)


def overlaps(bars: Bars) -> list[tuple[Note, Note]]:
    keys: dict[tuple[int, int], Note] = {}
    found = []
    for note in in_order(bars.notes):
        before = keys.get((note.part, note.pitch))
        if before is not None and before.end > note.start:
            found.append((before, note))
        keys[note.part, note.pitch] = note
    return found


def line(*steps: tuple[int, int], pitch: int = 60, length: float = 4.0) -> Bars:
    """One line of (step, steps long) sixteenths, each note a semitone above the last."""
    notes = (Note(pitch + i, at / 4, long / 4, 100) for i, (at, long) in enumerate(steps))
    return Bars(in_order(notes), length)


@given(BARS, KNOBS, st.integers(-(2**31), 2**31 - 1), st.booleans())
def test_no_note_is_lost_and_all_can_be_played(bars: Bars, knobs: GrooveSettings, seed: int, drums: bool) -> None:
    out = apply_groove(bars, knobs, seed, drums)
    assert bars_fault(out) is None
    assert len(out.notes) == len(bars.notes)
    assert out.length == bars.length
    assert out.notes == in_order(out.notes)
    assert all(note.duration >= MIN_NOTE_BEATS - 1e-9 and note.end <= out.length for note in out.notes)
    assert overlaps(out) == []
    classes = Counter((note.part, note.pitch % 12) for note in out.notes)
    moved = [0 if drums or note.part == 2 else knobs.transpose for note in bars.notes]
    assert classes == Counter((n.part, (n.pitch + by) % 12) for n, by in zip(bars.notes, moved, strict=True))


@given(BARS, KNOBS, st.integers(0, 2**31 - 1), st.booleans(), st.randoms(use_true_random=False))
def test_the_plain_kernels_and_any_order_of_notes_give_the_same(
    bars: Bars, knobs: GrooveSettings, seed: int, drums: bool, shuffler: random.Random
) -> None:
    wanted = apply_groove(bars, knobs, seed, drums)
    compiled, groove._kernels = groove._kernels, kernels_plain
    try:
        assert apply_groove(bars, knobs, seed, drums) == wanted
    finally:
        groove._kernels = compiled
    if len({(note.start, note.part, note.pitch) for note in bars.notes}) == len(bars.notes):
        shuffled = list(bars.notes)
        shuffler.shuffle(shuffled)
        assert apply_groove(Bars(tuple(shuffled), bars.length), knobs, seed, drums) == wanted


@given(st.lists(st.integers(0, 15), unique=True), st.sampled_from(["1/16", "1/32"]), st.integers(0, 99), st.booleans())
def test_on_grid_notes_come_back_bit_by_bit(steps: list[int], grid: str, seed: int, drums: bool) -> None:
    bars = line(*((step, 1) for step in sorted(steps)))
    assert apply_groove(bars, GrooveSettings(grid=grid), seed, drums) == bars


def test_triplets_come_back_bit_by_bit() -> None:
    bars = Bars(tuple(Note(60 + k % 12, k / 6, 0.1, 100) for k in range(24)), 4.0)
    assert apply_groove(bars, GrooveSettings(grid="1/16T", swing=75), 1, False) == bars


@given(notes_in(8.0, parts=1))
def test_quantize_zero_keeps_micro_timing_exactly(bars: Bars) -> None:
    apart = {(note.pitch, note.start): note for note in bars.notes}
    spread = [note for note in apart.values() if all(
        abs(note.start - other.start) >= 0.01 for other in apart.values() if other is not note
    ) and note.start < 7.9]  # fmt: skip
    plain = Bars(in_order(spread), 8.0)
    assert [note.start for note in apply_groove(plain, PLAIN, 0, True).notes] == [note.start for note in plain.notes]


@pytest.mark.parametrize(("strength", "start"), [(0.0, 1.1), (0.5, 1.05), (1.0, 1.0)])
def test_quantize_strength_leads_to_the_grid_and_keeps_the_duration(strength: float, start: float) -> None:
    out = apply_groove(Bars((Note(60, 1.1, 0.4, 90),), 4.0), GrooveSettings(quantize=strength), 0, False)
    assert out.notes[0].start == pytest.approx(start)
    assert out.notes[0].duration == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("grid", "start"), [("1/4", 1.0), ("1/8", 1.5), ("1/8T", 4 / 3), ("1/16", 1.25), ("1/32", 1.375)]
)
def test_every_grid_has_its_steps(grid: str, start: float) -> None:
    out = apply_groove(Bars((Note(60, 1.345, 0.2, 90),), 4.0), GrooveSettings(grid=grid), 0, False)
    assert out.notes[0].start == start


def test_what_rounds_onto_the_loops_end_belongs_to_its_beginning() -> None:
    bars = Bars((Note(36, 0.0, 0.1, 100), Note(38, 3.95, 0.1, 90)), 4.0)
    out = apply_groove(bars, GrooveSettings(), 0, True)
    assert [(note.pitch, note.start) for note in out.notes] == [(36, 0.0), (38, 0.0)]


def test_swing_66_on_sixteenths() -> None:
    bars = line(*((step, 1) for step in range(16)))
    out = apply_groove(bars, GrooveSettings(swing=66), 0, False)
    offs = [note.start - index * 0.5 for index, note in enumerate(out.notes[1::2])]
    assert offs == pytest.approx([0.33] * 8)
    assert [note.start for note in out.notes[::2]] == [index * 0.5 for index in range(8)]
    gaps = [after.start - before.end for before, after in zip(out.notes, out.notes[1:], strict=False)]
    assert gaps == pytest.approx([0.0] * 15, abs=1e-12)


def test_swing_is_applied_to_the_plain_bars_and_not_to_its_own_result() -> None:
    bars = line(*((step, 1) for step in range(16)))
    swung = apply_groove(bars, GrooveSettings(swing=70), 0, False)
    assert apply_groove(bars, GrooveSettings(swing=50), 0, False) == bars != swung


def test_a_legato_line_stays_legato_when_humanised() -> None:
    bars = line(*((step, 1) for step in range(16)))
    out = apply_groove(bars, GrooveSettings(humanize=1.0), 5, False)
    assert [note.pitch for note in out.notes] == [note.pitch for note in bars.notes]
    assert any(note.start != plain.start for note, plain in zip(out.notes, bars.notes, strict=True))
    for before, after in zip(out.notes, out.notes[1:], strict=False):
        assert after.start - 1e-9 <= before.end <= after.start


def test_one_line_stays_one_line_when_notes_meet() -> None:
    bars = line((0, 1), (1, 1), (2, 1), (3, 1))
    out = apply_groove(bars, GrooveSettings(grid="1/4"), 0, False)
    assert [note.pitch for note in out.notes] == [60, 61, 62, 63]
    for before, after in zip(out.notes, out.notes[1:], strict=False):
        assert before.end <= after.start
    assert out.notes[-1].start == pytest.approx(1.0, abs=0.01)


def test_chords_stay_chords() -> None:
    chord = Bars(tuple(Note(pitch, 1.02, 1.0, 90) for pitch in (60, 64, 67)), 4.0)
    out = apply_groove(chord, GrooveSettings(), 0, False)
    assert [(note.pitch, note.start, note.duration) for note in out.notes] == [(60, 1, 1), (64, 1, 1), (67, 1, 1)]


def test_two_strokes_that_meet_on_one_key_are_both_kept_a_tick_apart() -> None:
    bars = Bars((Note(38, 0.98, 0.1, 40), Note(38, 1.02, 0.1, 110)), 4.0)
    first, second = apply_groove(bars, GrooveSettings(), 0, True).notes
    assert (first.start, first.velocity, second.velocity) == (1.0, 40, 110)
    assert first.end <= second.start == pytest.approx(1.0 + MIN_NOTE_BEATS)


def test_humanize_is_the_same_for_a_seed_and_leaves_other_notes_alone() -> None:
    bars = line((0, 1), (4, 1), (8, 1), (12, 1))
    knobs = GrooveSettings(humanize=1.0)
    out = apply_groove(bars, knobs, 3, True)
    assert apply_groove(bars, knobs, 3, True) == out != apply_groove(bars, knobs, 4, True)
    fewer = apply_groove(Bars(bars.notes[:2] + bars.notes[3:], 4.0), knobs, 3, True)
    assert set(fewer.notes) < set(out.notes)


def test_transposition_folds_by_octaves_and_spares_drums() -> None:
    bars = Bars(
        (Note(2, 0.0, 0.5, 90), Note(120, 1.0, 0.5, 90), Note(60, 2.0, 0.5, 90), Note(36, 3.0, 0.1, 90, 2)), 4.0
    )
    up = apply_groove(bars, GrooveSettings(transpose=12), 0, False)
    assert [note.pitch for note in up.notes] == [14, 120, 72, 36]
    down = apply_groove(bars, GrooveSettings(transpose=-15), 0, False)
    assert [note.pitch for note in down.notes] == [11, 105, 45, 36]
    assert apply_groove(bars, GrooveSettings(transpose=7), 0, True).notes == bars.notes


@pytest.mark.parametrize(("factor", "velocity"), [(0.0, 1), (0.5, 50), (1.0, 100), (1.27, 127), (2.0, 127)])
def test_velocity_is_a_factor_and_never_a_note_off(factor: float, velocity: int) -> None:
    knobs = GrooveSettings(velocity=factor)
    assert apply_groove(Bars((Note(60, 0.0, 1.0, 100),), 4.0), knobs, 0, False).notes[0].velocity == velocity
    quiet = GrooveSettings(velocity=0.0, humanize=1.0)
    loop = line(*((step, 1) for step in range(16)))
    assert {note.velocity for note in apply_groove(loop, quiet, 0, False).notes} == {1}


def test_empty_bars_stay_empty() -> None:
    assert apply_groove(Bars((), 8.0), GrooveSettings(humanize=1.0, swing=70), 0, False) == Bars((), 8.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"grid": "1/5"},
        {"swing": 49.9},
        {"swing": 75.1},
        {"quantize": 1.1},
        {"humanize": -0.1},
        {"velocity": float("nan")},
    ],
)
def test_settings_refuse_what_is_outside(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} .*: expected"):
        GrooveSettings(**wrong)  # type: ignore[arg-type]


def test_played_notes_are_placed_now_or_ahead() -> None:
    swung = GrooveSettings(swing=66)
    assert place_played(2.3, swung) == pytest.approx(2.33)
    assert place_played(2.3, swung, earliest_beats=2.4) == 2.5
    assert place_played(2.3, GrooveSettings(quantize=0.0), earliest_beats=2.4) == 2.4
    assert place_played(2.3, swung, latency_beats=0.25) == 2.0


@given(BARS, KNOBS)
@example(Bars(tuple(Note(60, at, 0.1, 90) for at in (0.0, 0.125, 0.75)), 1.0), GrooveSettings(grid="1/4", humanize=1.0))
def test_order_is_kept_round_the_loop(bars: Bars, knobs: GrooveSettings) -> None:
    """One line of notes that do not meet comes out in its order, but for what quantising led over the end."""
    onsets = sorted({note.start for note in bars.notes})
    plain = Bars(tuple(Note(i + 30, onset, 1e-3, 90) for i, onset in enumerate(onsets)), bars.length)
    out = [note.pitch for note in apply_groove(plain, replace(knobs, transpose=0), 1, False).notes]
    if not out:
        return
    turn = out.index(min(out))
    assert out[turn:] + out[:turn] == sorted(out)


def test_the_gate_shortens_lines_and_leaves_drums_alone() -> None:
    legato = Bars(tuple(Note(60 + k, k * 1.0, 1.0, 90) for k in range(4)), 4.0)
    assert [n.duration for n in apply_groove(legato, GrooveSettings(gate=0.45), 1, False).notes] == [0.5] * 4
    assert apply_groove(legato, GrooveSettings(gate=0.45), 1, True) == legato
    assert apply_groove(legato, GrooveSettings(gate=float(np.float32(0.9))), 1, False) == legato, "0.9 as OSC sends it"


def test_a_long_gate_reaches_to_the_next_note_of_the_line_and_no_further() -> None:
    loose = Bars((Note(60, 0.0, 0.95, 90), Note(62, 1.0, 0.5, 90)), 2.0)
    ends = [n.end for n in apply_groove(loose, GrooveSettings(gate=1.1), 1, False).notes]
    assert ends == [1.0, 1.0 + 0.5 * (1.1 / 0.9)]


@given(BARS, KNOBS)
def test_what_is_transposed_stays_in_a_scale_that_binds(bars: Bars, knobs: GrooveSettings) -> None:
    scale = scale_of(2, "dorian")
    out = apply_groove(bars, replace(knobs, transpose=knobs.transpose or 1, scale=scale), 1, False)
    assert all(note.part == 2 or note.pitch % 12 in scale for note in out.notes)
