"""What is kept is kept exactly, and a key that binds hard is never left, whatever a model decodes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SMALL_LINE, small_model

from bridge.engine.bending import kept_exactly
from bridge.model.nets.compiled import CompiledModel
from bridge.model.playing.candidates import chosen
from bridge.model.playing.decoding import WindowDecode
from bridge.model.playing.drawing import prior_point
from bridge.model.playing.framing import Frame, to_windows
from bridge.model.playing.generation import continue_bars, sample_bars, vary_bars
from bridge.model.playing.keeping import Hold
from bridge.model.playing.steering import Steering, steered_bias
from bridge.music.grids import LOWEST_PITCH, struck_apart
from bridge.music.groove import apply_groove
from bridge.music.groove_settings import GRIDS, GrooveSettings
from bridge.music.harmony import MODES, scale_of
from bridge.music.locking import Lock
from bridge.music.notes import Bars, Note, bars_fault, in_order

SCALES = st.builds(scale_of, st.integers(0, 11), st.sampled_from(sorted(MODES)))
SMALL = CompiledModel(*small_model(SMALL_LINE)[:2], torch.device("cpu"), maps=small_model(SMALL_LINE)[2], int8=False)
KINDS = st.sampled_from(["melody", "bass", "drums"])


def loops(kind: str = "melody", length: float = 8.0) -> st.SearchStrategy[Bars]:
    """A line on the grid (or drums off it): what a model gives back."""
    steps = round(length * 4)
    pitches = st.sampled_from([36, 38, 42, 46, 49]) if kind == "drums" else st.integers(48, 88)
    onsets = st.lists(st.tuples(st.integers(0, steps - 1), pitches, st.integers(1, 8)), max_size=24)

    def line(rows: list[tuple[int, int, int]]) -> Bars:
        unique = sorted({row[0]: row for row in rows}.values())
        ends = [*(row[0] for row in unique[1:]), steps][: len(unique)]
        notes = [
            Note(pitch, step / 4, 0.125 if kind == "drums" else min(long, end - step) / 4, 90)
            for (step, pitch, long), end in zip(unique, ends, strict=True)
        ]
        return Bars(in_order(notes), length)

    return onsets.map(line)


@given(loops(), SCALES, st.sampled_from(["melody", "bass"]))
def test_hard_leaves_no_note_outside(made: Bars, scale: frozenset[int], kind: str) -> None:
    out = kept_exactly(made, Steering(scale, "hard"), kind, verbatim=False)
    assert all(note.pitch % 12 in scale for note in out.notes)
    assert [note.start for note in out.notes] == [note.start for note in made.notes]


def test_a_key_binds_as_far_as_the_bars_before_kept_to_it() -> None:
    """Ten notes of C major, then nine of ten, then eight: how dear what lies outside is to what follows eight such
    bars, and to what is made of them or follows fewer.
    """
    scale, outside = [60, 62, 64, 65, 67, 69, 71, 72, 74, 76], [61, 63]
    frame, bent, made_of, after_few = Frame(), [], [], []
    for strange in range(3):
        pitches = scale[: 10 - strange] + outside[:strange]
        bars = Bars(in_order([Note(p, 0.5 * i, 0.5, 90) for i, p in enumerate(pitches)]), 8.0)
        windows = to_windows(bars, frame, SMALL_LINE)
        for found, many, heard in ((bent, 4, 4), (made_of, 4, 0), (after_few, 4, 3)):
            bias = steered_bias(Steering(), windows * many, SMALL_LINE, frame, heard=heard)
            found.append(bias[0, 66 - LOWEST_PITCH].item())
    assert bent[0] == made_of[0] < -0.5
    assert 0.0 < bent[1] < bent[2]
    assert made_of[1:] == after_few[1:] == [0.0, 0.0]


def test_bars_that_left_the_key_lead_what_comes_next_no_further_out_of_it() -> None:
    """After eight bars of C major, and as many made since of the notes between: as after the eight alone."""
    heard, made = (
        to_windows(
            Bars(in_order([Note(p, float(i), 1.0, 90) for i, p in enumerate(pitches)]), 8.0), Frame(), SMALL_LINE
        )
        for pitches in ((60, 62, 64, 65, 67, 69, 71, 72), (61, 63, 66, 68, 70, 61, 63, 70))
    )
    after = [steered_bias(Steering(), [*heard * 4, *made * count], SMALL_LINE, Frame(), heard=4) for count in (0, 1, 4)]
    key = [[bias[0, pitch - LOWEST_PITCH].item() for pitch in range(60, 73)] for bias in after]
    assert key[0] == key[1] == key[2]
    assert key[0][6] < -0.5


@given(loops())
def test_without_a_key_hard_finds_one_of_the_mode(made: Bars) -> None:
    out = kept_exactly(made, Steering(None, "hard", mode="pentatonic_minor"), "melody", verbatim=False)
    assert any(all(note.pitch % 12 in scale_of(tonic, "pentatonic_minor") for note in out.notes) for tonic in range(12))


@given(st.data(), KINDS)
def test_a_held_rhythm_is_the_rhythm(data: st.DataObject, kind: str) -> None:
    made, held = data.draw(loops(kind)), data.draw(loops(kind))
    out = kept_exactly(made, Steering(binding="off", hold=Hold("rhythm", held)), kind, verbatim=False)
    if made.notes and held.notes:
        assert [(n.start, n.duration) for n in out.notes] == [(n.start, n.duration) for n in held.notes]


@given(st.data(), KINDS)
def test_held_pitches_come_in_their_order_and_all_of_them(data: st.DataObject, kind: str) -> None:
    made, held = data.draw(loops(kind)), data.draw(loops(kind))
    out = kept_exactly(made, Steering(binding="off", hold=Hold("pitch", held)), kind, verbatim=False)
    if made.notes and held.notes:
        assert [n.pitch for n in out.notes] == [n.pitch for n in held.notes]
        assert all(a.end <= b.start + 1e-9 for a, b in zip(out.notes, out.notes[1:], strict=False)) or kind == "drums"


@given(st.data(), KINDS, st.sets(st.integers(0, 1), min_size=1), SCALES)
def test_locked_bars_stay_note_for_note(data: st.DataObject, kind: str, bars: set[int], scale: frozenset[int]) -> None:
    made, present = data.draw(loops(kind)), data.draw(loops(kind))
    spans = tuple((bar * 4.0, bar * 4.0 + 4.0) for bar in sorted(bars))
    steering = Steering(scale, "hard", lock=Lock(present, spans))
    out = kept_exactly(made, steering, kind, verbatim=False)

    def inside(loop: Bars) -> list[Note]:
        return [note for note in loop.notes if int(note.start // 4) in bars]

    assert inside(out) == inside(present)
    if kind != "drums":
        assert all(a.end <= b.start + 1e-9 for a, b in zip(out.notes, out.notes[1:], strict=False)), "still one line"


def played_a_little_off(bars: Bars, offsets: list[float]) -> Bars:
    """Every note so far from its step, round the loop: no further than the step is its own."""
    notes = []
    for note, offset in zip(bars.notes, itertools.cycle(offsets)):
        start = (note.start + offset) % bars.length
        notes.append(replace(note, start=start, duration=min(note.duration, bars.length - start)))
    return Bars(in_order(struck_apart(notes)), bars.length)


OFFSETS = st.lists(st.floats(-0.12, 0.12), min_size=1, max_size=8)
GRID = st.sampled_from(sorted(GRIDS))


@given(st.data(), KINDS, st.sampled_from([4.0, 8.0, 16.0]), st.sampled_from([0.0, 0.5, 0.9, 1.0]), GRID)
def test_a_locked_bar_is_heard_as_it_was_with_any_groove(
    data: st.DataObject, kind: str, length: float, quantize: float, grid: str
) -> None:
    """What is struck just before a line belongs on it, on the loop's first one too, and so does what a grid brings
    there.
    """
    offsets = OFFSETS if kind == "drums" else st.lists(st.floats(-0.12, 0.12), min_size=1, max_size=1)
    present, made = (played_a_little_off(data.draw(loops(kind, long)), data.draw(offsets)) for long in (8.0, length))
    spans = tuple((bar * 4.0, bar * 4.0 + 4.0) for bar in data.draw(st.sets(st.integers(0, 1), min_size=1)))
    groove = GrooveSettings(quantize=quantize, grid=grid)
    as_played = replace(groove, quantize=0.0)
    out = kept_exactly(
        made, Steering(binding="off", lock=Lock(present, spans, (groove,) * len(spans))), kind, verbatim=False
    )

    def heard(loop: Bars, span: tuple[float, float]) -> list[tuple[int, int, float]]:
        bars = apply_groove(loop, groove, 1, kind == "drums")
        inside = [note for note in bars.notes if as_played.is_inside(note.start, [span], bars.length)]
        ahead = [bars.length if as_played.leads_round(note.start, bars.length) else 0.0 for note in inside]
        return sorted((n.pitch, n.velocity, round(n.start - by, 6)) for n, by in zip(inside, ahead, strict=True))

    for span in spans:
        if span[1] <= length:
            assert heard(out, span) == heard(present, span)


def test_a_new_hit_before_the_line_after_a_locked_bar_is_the_next_bar_s() -> None:
    locked = Bars((Note(36, 0.0, 0.125, 90), Note(36, 3.98, 0.125, 80)), 8.0)
    made = Bars((Note(38, 3.98, 0.125, 70), Note(38, 7.98, 0.125, 60)), 8.0)
    out = kept_exactly(made, Steering(lock=Lock(locked, ((0.0, 4.0),))), "drums", verbatim=False)
    assert [(n.pitch, n.start) for n in out.notes] == [(36, 0.0), (38, 3.98)]


@pytest.mark.parametrize("kind", ["drums", "melody"])
def test_what_is_locked_stays_inside_a_shorter_loop(kind: str) -> None:
    """Bars of 13/16 on a grid of quarters, which bring a note from behind the line into the bar before it."""
    locked = Bars((Note(48, 1.0, 3.0, 90), Note(50, 3.3, 0.5, 80), Note(52, 6.4, 0.1, 70)), 6.5)
    lock = Lock(locked, ((0.0, 3.25),), (GrooveSettings(grid="1/4"),))
    out = kept_exactly(Bars((), 3.25), Steering(binding="off", lock=lock), kind, verbatim=False)
    assert [note.pitch for note in out.notes] == [48, 50]
    assert bars_fault(out) is None
    assert max(note.end for note in out.notes) <= 3.25


def test_a_line_ends_where_a_locked_note_leads_into_its_bar() -> None:
    locked = Bars((Note(60, 3.95, 1.0, 90), Note(62, 5.0, 3.5, 90)), 16.0)
    made = Bars((Note(70, 3.0, 1.5, 80), Note(71, 8.0, 1.0, 80)), 16.0)
    out = kept_exactly(made, Steering(binding="off", lock=Lock(locked, ((4.0, 8.0),))), "melody", verbatim=False)
    assert [(n.pitch, n.start, n.end) for n in out.notes] == [
        (70, 3.0, 3.95), (60, 3.95, 4.95), (62, 5.0, 8.5), (71, 8.5, 9.0),
    ]  # fmt: skip


def test_locked_notes_outside_a_hard_key_are_decoded_as_they_are() -> None:
    """What comes after them has to go on from them, not from what the key would make of them."""
    locked = Bars((Note(61, 0.0, 1.0, 90), Note(66, 1.0, 3.0, 90), Note(60, 4.0, 4.0, 90)), 8.0)
    steering = Steering(scale_of(0, "major"), "hard", lock=Lock(locked, ((0.0, 4.0),)))
    frame = Frame()
    bias = steered_bias(steering, (), SMALL_LINE, frame)
    tokens = to_windows(locked, frame, SMALL_LINE)[0].tokens[:16]
    noisy = bias[:16] + torch.randn(16, SMALL_LINE.classes)
    assert noisy.argmax(1).tolist() == tokens.tolist()
    assert bias[20, 61 - LOWEST_PITCH] < -1e6


@pytest.mark.parametrize("what", ["rhythm", "pitch"])
def test_a_part_with_nothing_new_keeps_what_is_held_of_it(what: str) -> None:
    held = Bars((Note(36, 0.0, 0.25, 90, 2), Note(60, 1.0, 1.0, 90, 0), Note(38, 1.0, 0.25, 90, 2)), 8.0)
    made = Bars((Note(72, 0.5, 0.5, 80, 0),), 8.0)
    out = kept_exactly(made, Steering(binding="off", hold=Hold(what, held)), "trio", verbatim=False)
    assert [note for note in out.notes if note.part == 2] == [note for note in held.notes if note.part == 2]
    assert len([note for note in out.notes if note.part == 0]) == 1


@pytest.mark.parametrize("what", ["rhythm", "pitch"])
@pytest.mark.parametrize("kind", ["melody", "drums"])
def test_what_is_held_of_the_very_same_bars_is_left_as_it_is(what: str, kind: str) -> None:
    """Chords of two velocities, hits beside the grid: `vary 0` gives them back."""
    notes = [Note(38, 0.9, 0.125, 120), Note(42, 1.03, 0.125, 60), Note(60, 2.0, 0.7, 90), Note(67, 2.0, 1.2, 40)]
    held = Bars(in_order(notes), 4.0)
    assert kept_exactly(held, Steering(hold=Hold(what, held)), kind, verbatim=False) == held


def test_a_loop_of_another_length_goes_on_with_what_is_held() -> None:
    held = Bars((Note(60, 0.0, 1.5, 90), Note(64, 1.5, 2.5, 90)), 4.0)
    made = Bars(tuple(Note(70 + k, k * 1.0, 1.0, 90) for k in range(8)), 8.0)
    rhythm = kept_exactly(made, Steering(binding="off", hold=Hold("rhythm", held)), "melody", verbatim=False)
    assert [(n.start, n.duration) for n in rhythm.notes] == [(0.0, 1.5), (1.5, 2.5), (4.0, 1.5), (5.5, 2.5)]
    pitch = kept_exactly(made, Steering(binding="off", hold=Hold("pitch", held)), "melody", verbatim=False)
    assert [n.pitch for n in pitch.notes] == [60, 64, 60, 64]


@pytest.mark.parametrize("kind", ["melody", "drums", "trio"])
def test_fewer_bars_than_a_part_rests_for_have_what_it_plays_after_that(kind: str) -> None:
    held = Bars(tuple(Note(pitch, 4.0 + k, 1.0, 90) for k, pitch in enumerate((40, 43, 45, 47))), 8.0)
    made = Bars((Note(36, 1.0, 0.5, 80), Note(38, 2.5, 0.5, 80)), 4.0)
    out = kept_exactly(made, Steering(binding="off", hold=Hold("pitch", held)), kind, verbatim=False)
    assert [(n.pitch, n.start) for n in out.notes] == [(40, 1.0), (43, 2.5)]


def test_stored_notes_are_bound_to_nothing_but_what_is_locked() -> None:
    stored = Bars((Note(61, 0.0, 1.0, 90), Note(66, 4.0, 1.0, 90)), 8.0)
    steering = Steering(scale_of(0, "major"), "hard", hold=Hold("rhythm", Bars((Note(60, 2.0, 1.0, 90),), 8.0)))
    assert kept_exactly(stored, steering, "melody", verbatim=True) == stored


@settings(max_examples=12)
@given(st.integers(0, 2**31), SCALES, st.sampled_from(["sample", "next", "vary"]))
def test_any_model_under_a_hard_key_stays_inside_before_anything_is_put_right(
    seed: int, scale: frozenset[int], op: str
) -> None:
    """The masks alone do it: random weights, hot noise."""
    steering = Steering(scale, "hard", surprise=1.0)
    present = Bars(tuple(Note(60 + k, k * 1.0, 1.0, 90) for k in range(8)), 8.0)
    made = {
        "sample": lambda: sample_bars(SMALL, 2, seed, 2.0, steering),
        "next": lambda: continue_bars(SMALL, present, 2, seed, 2.0, steering),
        "vary": lambda: vary_bars(SMALL, present, 1.0, seed, 2.0, steering),
    }[op]()
    assert made.notes
    assert all(note.pitch % 12 in scale for note in made.notes)


def test_surprise_takes_the_likelier_or_the_less_likely_and_gives_the_same_again(melody) -> None:
    def nats(surprise: float) -> float:
        total = 0.0
        for seed in range(8):
            points = [prior_point(melody, 10 * seed + k) for k in range(4)]
            rows = [WindowDecode(melody, z[None], [seed * 7 + k], 0.8).run()[0] for k, z in enumerate(points)]
            row = rows[chosen(rows, surprise, melody.config, 32)]
            total += row.surprise_nats / max(1, int((row.window.tokens < 88).sum()))
        return total

    assert nats(0.0) < nats(0.5) < nats(1.0)
    bold = Steering(surprise=1.0)
    assert sample_bars(melody, 2, 3, 0.6, bold) == sample_bars(melody, 2, 3, 0.6, bold)
    assert any(
        sample_bars(melody, 2, seed, 0.6, bold) != sample_bars(melody, 2, seed, 0.6, Steering(surprise=0.0))
        for seed in range(3)
    )


@pytest.mark.parametrize("what", ["rhythm", "pitch"])
def test_a_model_asked_to_hold_writes_the_rest_anew(melody, what: str) -> None:
    present = sample_bars(melody, 2, 1, 0.6)
    steering = Steering(hold=Hold(what, present), surprise=0.35)
    changed = 0
    for seed in range(8):
        made = kept_exactly(continue_bars(melody, present, 2, seed, 0.8, steering), steering, "melody", verbatim=False)
        rhythm = [(n.start, n.duration) for n in made.notes] == [(n.start, n.duration) for n in present.notes]
        pitches = [n.pitch for n in made.notes] == [n.pitch for n in present.notes]
        assert rhythm if what == "rhythm" else pitches
        changed += not (rhythm and pitches)
    assert changed >= 3
