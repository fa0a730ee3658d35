"""The measure of attribute knobs, on knobs whose doings are known."""

import numpy as np
import pytest

from bridge.model.nets.config import CONFIGS
from bridge.model.playing.attributes import least_diatonic_share
from bridge.model.reporting.attribute_matrix import AMOUNTS, attribute_matrices
from bridge.music.grids import NO_EVENT, decode_drums, decode_line, drum_grid_of, note_arrays
from bridge.music.notes import Bars, Note, in_order

LINE, DRUMS = CONFIGS["melody-2bar"], CONFIGS["drums-2bar"]


def walk(seed):
    rng = np.random.default_rng(seed)
    tokens = np.full(32, NO_EVENT)
    steps = rng.permutation(32)[: rng.integers(8, 16)]
    tokens[steps] = 40 + rng.integers(-8, 9, len(steps))
    return tokens


LOOPS = [decode_line(walk(seed), lambda _: 80) for seed in range(40)]


def moved(bars, semitones):
    notes = tuple(Note(n.pitch + semitones, n.start, n.duration, n.velocity, n.part) for n in bars.notes)
    return Bars(notes, bars.length)


def thinned(bars, share):
    return Bars(bars.notes[: max(2, round(share * len(bars.notes)))], bars.length)


def turned(index, name, amount):
    """Register moves by up to an octave; density takes notes away; the others are dead."""
    bars = LOOPS[index]
    if name == "register":
        return moved(bars, round(12 * amount))
    return thinned(bars, 0.65 + 0.35 * amount) if name == "density" else bars


def test_a_perfect_a_poor_and_a_dead_knob_are_told_apart():
    held_out = np.stack([walk(seed) for seed in range(100, 300)])
    found = attribute_matrices(turned, len(LOOPS), {LINE.part: held_out}, LINE)[LINE.part]
    register, density, dead = (found["knobs"][name] for name in ("register", "density", "interval"))
    assert register["spearman"] == pytest.approx(1.0)
    assert (register["up"], register["down"], register["both"]) == (1.0, 1.0, 1.0)
    assert register["kept"] == 0.0  # half way up, each note is another
    assert found["side_effect"]["register"] < 1e-6
    assert density["spearman"] > 0.95
    assert density["kept"] == pytest.approx((0.475 / 0.65 + 1.0) / 2, abs=0.03)
    assert dead["spearman"] == 0.0
    assert dead["both"] == 0.0
    matrix = np.array(found["matrix"])
    assert matrix[4, 4] == pytest.approx(24 / np.std([np.mean(w[w < 88]) for w in held_out]), abs=0.01)
    assert np.abs(np.delete(matrix[4], 4)).max() == 0.0
    assert (matrix[1] == 0).all()
    assert len(register["curve"]) == len(AMOUNTS)


def test_a_loop_at_the_end_of_the_range_is_not_counted_against_the_knob():
    in_c = [decode_line(np.where(walk(s) < 88, 39, NO_EVENT), lambda _: 80) for s in range(10)]
    held_out = np.stack([walk(seed) for seed in range(100, 300)])
    found = attribute_matrices(lambda i, *_: in_c[i], 10, {LINE.part: held_out}, LINE)[LINE.part]
    assert found["knobs"]["diatonic"]["up"] is None
    assert found["knobs"]["diatonic"]["down"] == 0.0
    assert found["knobs"]["interval"]["down"] is None


def test_few_notes_cannot_all_be_outside_of_every_scale():
    shares = [least_diatonic_share(notes) for notes in (1, 2, 3, 4, 5, 6, 7)]
    assert shares == pytest.approx([1.0, 1.0, 2 / 3, 3 / 4, 3 / 5, 2 / 3, 0.0])
    cluster = [decode_line(np.array([39, 40, 41, 42] + [NO_EVENT] * 28), lambda _: 80)] * 5
    held_out = np.stack([walk(seed) for seed in range(100, 300)])
    found = attribute_matrices(lambda i, *_: cluster[i], 5, {LINE.part: held_out}, LINE)[LINE.part]
    assert found["knobs"]["diatonic"]["down"] is None
    assert found["knobs"]["diatonic"]["up"] == 0.0


def test_drums_are_measured_too():
    rng = np.random.default_rng(1)
    beats = rng.choice([0, 0, 1, 2, 4, 6], (20, 32))

    def denser(index, name, amount):
        hits = beats[index].copy()
        if name == "density":
            free = np.flatnonzero(hits & 4 == 0)
            hits[free[: round((amount + 1) * 6)]] |= 4
        notes = [
            Note(36 + 2 * (d == 1) + 6 * (d == 2), s / 4, 0.1, 90)
            for s in range(32)
            for d in range(3)
            if hits[s] >> d & 1
        ]
        return decode_drums(drum_grid_of(note_arrays(notes), 32))

    held_out = rng.choice([0, 1, 2, 4, 6, 16, 128], (200, 32))
    found = attribute_matrices(denser, 20, {DRUMS.part: held_out}, DRUMS)[DRUMS.part]
    assert found["knobs"]["density"]["both"] == 1.0
    assert found["knobs"]["density"]["spearman"] > 0.99
    assert 0.7 < found["knobs"]["density"]["kept"] <= 1.0


def test_a_trio_s_knobs_are_measured_part_by_part():
    """Density thins the bass and leaves the melody and the drums; the drums know nothing of intervals."""
    config, rng = CONFIGS["trio-16bar"], np.random.default_rng(2)
    lines = [np.concatenate([walk(seed) for seed in range(8)]) for _ in range(6)]
    hits = np.tile([1, 0, 4, 0, 2, 0, 4, 0], 32)

    def trio(index, name, amount):
        line = decode_line(lines[index], lambda _: 80)
        bass = moved(thinned(line, 0.65 + 0.35 * amount) if name == "density" else line, -24)
        drums = decode_drums(drum_grid_of(note_arrays([Note(36, s / 4, 0.1, 90) for s in np.flatnonzero(hits)]), 256))
        parts = enumerate((line, bass, drums))
        return Bars(in_order([note.in_part(part) for part, bars in parts for note in bars.notes]), 64.0)

    songs = np.where(rng.random((50, 256)) < rng.random((50, 1)), rng.integers(30, 60, (50, 256)), NO_EVENT)
    held_out = {"melody": songs, "bass": songs, "drums": rng.choice([0, 1, 2, 4, 6, 16, 128], (50, 256))}
    found = attribute_matrices(trio, len(lines), held_out, config)
    assert [list(found[part]["knobs"]) for part in found] == [
        ["density", "syncopation", "interval", "diatonic", "register"],
        ["density", "syncopation", "interval", "diatonic", "register"],
        ["density", "syncopation", "fill"],
    ]
    density = {part: own["knobs"]["density"] for part, own in found.items()}
    assert [density[part]["both"] for part in ("melody", "bass")] == [0.0, 1.0]
    assert (density["melody"]["kept"], density["drums"]["kept"]) == (1.0, 1.0)
    assert density["bass"]["kept"] == pytest.approx((0.475 / 0.65 + 1.0) / 2, abs=0.03)
