"""Morphing: stored notes at the ends, a pure function in between, and calm under the hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from bridge.model.playing.decoding import between_beats
from bridge.model.playing.encoding import slerp
from bridge.model.playing.framing import transposed
from bridge.model.playing.generation import sample_bars
from bridge.model.playing.morphing import common_length, interpolated, morph_at, prepare_morph
from bridge.model.playing.steering import Steering
from bridge.music.notes import Bars, Note, repeated_to


def corners_of(model, count, first=30):
    return [sample_bars(model, 2, first + k, 0.6) for k in range(count)]


def off_grid(bars):
    """The same loop with notes that no grid would give back."""
    return Bars(tuple(Note(n.pitch, n.start + 0.013, n.duration * 0.77, 61, n.part) for n in bars.notes), bars.length)


def test_the_ends_are_the_stored_notes(shipped):
    a, b = (off_grid(corner) for corner in corners_of(shipped, 2))
    morph = prepare_morph(shipped, (a, b), 1, 0.6)
    assert morph_at(shipped, morph, 0.0) == a
    assert morph_at(shipped, morph, 1.0) == b


def test_the_pad_s_corners_are_the_stored_notes(shipped):
    corners = [off_grid(corner) for corner in corners_of(shipped, 4)]
    morph = prepare_morph(shipped, corners, 1, 0.6)
    for place, corner in zip(((0, 0), (1, 0), (0, 1), (1, 1)), corners, strict=True):
        assert morph_at(shipped, morph, *place) == corner


def loop_of_few(shipped, number):
    """Two notes, elsewhere in each loop."""
    pitches = (36, 38) if shipped.config.part == "drums" else (60 + number, 64 + 2 * number)
    places = (1.0 * number, 4.5 + 0.5 * number)
    return Bars(tuple(Note(p, start, 0.5, 90) for p, start in zip(pitches, places, strict=True)), 8.0)


@pytest.mark.parametrize("count", [2, 4])
def test_nowhere_between_loops_of_a_few_notes_is_silence(shipped, count):
    morph = prepare_morph(shipped, [loop_of_few(shipped, number) for number in range(count)], 1, 0.6)
    places = np.linspace(0.0, 1.0, 9).tolist()
    made = {(x, y): morph_at(shipped, morph, x, y) for x in places for y in (places if count == 4 else [0.0])}
    assert not [place for place, bars in made.items() if not bars.notes]
    assert made == {place: morph_at(shipped, morph, *place) for place in made}


def test_where_the_knob_stands_is_all_that_matters(shipped):
    corners = corners_of(shipped, 2)
    morph = prepare_morph(shipped, corners, 1, 0.6)
    there = [morph_at(shipped, morph, x) for x in (0.1, 0.35, 0.5, 0.8)]
    back = [morph_at(shipped, morph, x) for x in (0.8, 0.5, 0.35, 0.1)]
    assert there == back[::-1]
    fresh = prepare_morph(shipped, corners, 1, 0.6)
    assert there == [morph_at(shipped, fresh, x) for x in (0.1, 0.35, 0.5, 0.8)]
    other_seed = prepare_morph(shipped, corners, 2, 0.6)
    assert there != [morph_at(shipped, other_seed, x) for x in (0.1, 0.35, 0.5, 0.8)]


def cells(bars):
    """The loop as what sounds or is struck at every step, for comparing."""
    found = {}
    for note in bars.notes:
        found.setdefault(round(note.start * 4), set()).add(note.pitch)
    return [frozenset(found.get(step, ())) for step in range(32)]


def test_a_small_turn_changes_something_and_little(shipped):
    """Of turns of 2 % hardly one changes nothing, none changes more than a tenth, and on average a twentieth."""
    changes = []
    pairs = 6 if shipped.config.part == "drums" else 20  # some lines are sparse, and have not fifty things to change
    for first in range(0, 2 * pairs, 2):
        morph = prepare_morph(shipped, corners_of(shipped, 2, 50 + first), first, 0.6)
        loops = [cells(morph_at(shipped, morph, float(x))) for x in np.linspace(0.0, 1.0, 51)]
        changes += [np.mean([p != q for p, q in zip(a, b, strict=True)]) for a, b in pairwise(loops)]
    assert np.mean(changes) < 0.05
    assert np.max(changes) <= 0.125
    assert np.mean(np.array(changes) == 0.0) <= 0.15


def test_near_an_end_it_is_nearly_the_end_and_the_middle_is_neither(shipped):
    a, b = corners_of(shipped, 2)
    morph = prepare_morph(shipped, (a, b), 1, 0.6)

    def alike(x, loop):
        return np.mean([p == q for p, q in zip(cells(morph_at(shipped, morph, x)), cells(loop), strict=True)])

    assert alike(0.01, a) > 0.85
    assert alike(0.99, b) > 0.85
    assert alike(0.25, a) > alike(0.75, a) - 0.05
    assert cells(morph_at(shipped, morph, 0.5)) not in (cells(a), cells(b))


def test_near_the_pad_s_corner_it_is_nearly_the_corner(melody):
    corners = corners_of(melody, 4)
    pad = prepare_morph(melody, corners, 1, 0.6)
    for (x, y), corner in zip(((0.01, 0.01), (0.99, 0.01), (0.01, 0.99), (0.99, 0.99)), corners, strict=True):
        there = cells(morph_at(melody, pad, x, y))
        assert np.mean([p == q for p, q in zip(there, cells(corner), strict=True)]) > 0.85


def test_loops_of_different_lengths_meet_at_a_common_one(shipped):
    assert common_length([Bars((), 4.0), Bars((), 8.0)]) == 8.0
    assert common_length([Bars((), 8.0), Bars((), 12.0)]) == 24.0
    assert common_length([Bars((), 60.0), Bars((), 56.0)]) == 60.0
    assert common_length([Bars((), 3.5), Bars((), 8.0)]) == 8.0
    a, b = sample_bars(shipped, 1, 1, 0.6), sample_bars(shipped, 4, 2, 0.6)
    morph = prepare_morph(shipped, (a, b), 1, 0.6)
    assert morph_at(shipped, morph, 0.4).length == 16.0
    assert morph_at(shipped, morph, 0.0) == repeated_to(a, 16.0)
    assert morph_at(shipped, morph, 1.0) == b


def test_beats_in_between_do_not_change_the_result(shipped):
    corners = corners_of(shipped, 2)
    plain = prepare_morph(shipped, corners, 1, 0.6)
    pauses = []
    with between_beats(lambda: pauses.append(1)):
        paused = prepare_morph(shipped, corners, 1, 0.6)
    assert morph_at(shipped, paused, 0.3) == morph_at(shipped, plain, 0.3)
    reads_the_middle = shipped.config.part == "drums"
    assert len(pauses) == (7 + 2 + 7 if reads_the_middle else 7), "two also around the reading of what is played there"


def test_a_hard_key_holds_between_the_corners(melody):
    """Stored notes sound as they are at the ends; on the way even theirs are brought into the key."""
    c_major = frozenset({0, 2, 4, 5, 7, 9, 11})
    corners = [transposed(corner, 1) for corner in corners_of(melody, 2)]
    morph = prepare_morph(melody, corners, 1, 0.6, Steering(pitch_classes=c_major, binding="hard"))
    assert morph_at(melody, morph, 0.0) == corners[0]
    for x in np.linspace(0.01, 0.99, 21):
        assert {n.pitch % 12 for n in morph_at(melody, morph, float(x)).notes} <= c_major


def test_three_corners_or_empty_ones_are_refused(shipped):
    a, b = corners_of(shipped, 2)
    for wrong in ((a,), (a, b, a), (a, Bars((), 8.0))):
        with pytest.raises(ValueError, match="expected 2 or 4 corners"):
            prepare_morph(shipped, wrong, 1, 0.6)


def test_interpolation_moves_away_from_a_and_to_b(shipped):
    """On average: the ends are decoded like the rest, and one of them may come out differently."""
    away, arrived = [], []
    for pair in range(4):
        a, b = corners_of(shipped, 2, 30 + 2 * pair)
        loops = interpolated(shipped, a, b, 7, 1, 0.6)
        assert len(loops) == 7
        away.append([np.mean([p != q for p, q in zip(cells(loop), cells(a), strict=True)]) for loop in loops])
        arrived.append(np.mean([p == q for p, q in zip(cells(loops[-1]), cells(b), strict=True)]))
    mean = np.mean(away, 0)
    assert mean[0] <= min(mean) + 0.1
    assert mean[-1] >= max(mean) - 0.1
    assert np.mean(arrived) > 0.6


def notes_of(loop):
    return {(note.pitch, round(4 * note.start)) for note in loop.notes}


def test_interpolation_begins_and_ends_with_the_loops_it_goes_between(shipped):
    """Decoded, but at their own points: they came out at others, two and a half spreads away."""
    shares = []
    for pair in range(6):
        corners = corners_of(shipped, 2, 50 + 2 * pair)
        for corner, end in zip(corners, interpolated(shipped, *corners, 2, 1, 0.6), strict=True):
            found, wanted = notes_of(end), notes_of(corner)
            shares.append(2 * len(found & wanted) / (len(found) + len(wanted)))
    assert np.mean(shares) > 0.93


def test_the_ends_of_an_interpolation_are_in_their_own_octaves(melody):
    """However far they are apart: more than the model's range of three octaves and a half."""
    corners = [transposed(corner, away) for corner, away in zip(corners_of(melody, 2), (-24, 24), strict=True)]
    for corner, end in zip(corners, interpolated(melody, *corners, 3, 1, 0.6)[::2], strict=True):
        assert np.mean([n.pitch for n in end.notes]) == pytest.approx(np.mean([n.pitch for n in corner.notes]), abs=2.0)


def test_slerp_keeps_ends_and_lengths():
    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    assert torch.allclose(slerp(a, b, 0.0), a, atol=1e-6)
    assert torch.allclose(slerp(a, b, 1.0), b, atol=1e-6)
    assert slerp(a, b, 0.5).norm().item() == pytest.approx(4.0)
    assert torch.allclose(slerp(a, 2 * a, 0.5), 1.5 * a)
    assert torch.isfinite(slerp(a, -a, 0.5)).all()
    assert torch.isfinite(slerp(a, 0 * a, 0.5)).all()
