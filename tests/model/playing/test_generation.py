"""New bars: their length, key and register; different for every seed, and the same for the same."""

import numpy as np
import pytest
from small_songs import beat_of, tune

from bridge.model.nets import registry
from bridge.model.nets.config import CONFIGS
from bridge.model.playing import generation
from bridge.model.playing.encoding import encode_bars
from bridge.model.playing.framing import Frame, to_bars, to_windows, transposed
from bridge.model.playing.steering import Steering
from bridge.music.grids import DRUM_CLASS_OF_PITCH
from bridge.music.notes import Bars, Note, bars_fault, in_order


def seed_of(model, bars=2):
    return beat_of(4, bars) if model.config.part == "drums" else tune(4, bars)


@pytest.mark.parametrize("bars", [1, 2, 3, 5, 16])
def test_bars_are_as_long_as_asked_and_sound(shipped, bars):
    for made in (
        generation.sample_bars(shipped, bars, 3, 0.8),
        generation.continue_bars(shipped, seed_of(shipped), bars, 3, 0.8),
    ):
        assert made.length == 4.0 * bars
        assert made.notes
        assert bars_fault(made) is None
        if shipped.config.part != "drums":
            assert all(note.end <= made.length for note in made.notes)
            assert all(a.end <= b.start for a, b in zip(made.notes, made.notes[1:], strict=False))


def test_what_is_played_a_little_early_or_late_is_read_on_its_step_between_windows_too():
    """A stroke before the third bar was read at the beginning of the first as well, and a note that rang a little into
    the third in the place of the one that begins there.
    """
    kicks = [Note(36, float(beat), 0.1, 90) for beat in range(16)]
    crash = Note(49, 7.97, 0.1, 110)
    drums, line = CONFIGS["drums-2bar"], CONFIGS["melody-2bar"]
    windows = to_windows(Bars(in_order([*kicks, crash]), 16.0), Frame(), drums)
    hits = np.concatenate([window.tokens for window in windows])
    assert np.flatnonzero(hits >> DRUM_CLASS_OF_PITCH[49] & 1).tolist() == [32]
    falling = tuple(Note(80 - beat, beat + 0.06, 1.0 if beat < 15 else 0.9, 90) for beat in range(16))
    on_time = tuple(Note(80 - beat, float(beat), 1.0, 90) for beat in range(16))
    late, exact = (to_windows(Bars(notes, 16.0), Frame(), line) for notes in (falling, on_time))
    assert [w.tokens.tolist() for w in late] == [w.tokens.tolist() for w in exact]


def test_drums_that_are_early_at_the_beginning_of_a_window_stay_so():
    """But for the first one's: the loop begins there."""
    config = CONFIGS["drums-2bar"]
    notes = [Note(36, 4.0 * bar - 0.025 * (bar > 0), 0.1, 90) for bar in range(6)]
    made = to_bars(to_windows(Bars(tuple(notes), 24.0), Frame(), config), Frame(), config, 24.0)
    assert [round(note.start, 6) for note in made.notes] == [round(note.start, 6) for note in notes]


@pytest.mark.parametrize("name", ["drums-2bar", "trio-16bar"])
def test_of_a_window_that_is_cut_no_drum_is_played_that_is_early_for_what_is_cut_off(name):
    """At the loop's end it would be a second stroke just before its first."""
    config = CONFIGS[name]
    part = config.parts.index("drums") if len(config.parts) > 1 else 0
    length = 4.0 * config.bars
    notes = (Note(36, 0.0, 0.125, 90, part), Note(42, 3.8, 0.125, 90, part), Note(36, 3.98, 0.125, 90, part))
    loop = Bars((*notes, Note(38, 7.75, 0.125, 90, part)), length)
    windows = to_windows(loop, Frame(), config)
    assert [note.pitch for note in to_bars(windows, Frame(), config, length).notes] == [36, 42, 36, 38]
    assert [note.pitch for note in to_bars(windows, Frame(), config, 4.0).notes] == [36, 42]


def test_the_same_seed_gives_the_same_bars_and_others_do_not(shipped):
    source = seed_of(shipped)
    made = [generation.continue_bars(shipped, source, 2, seed, 0.6) for seed in range(12)]
    assert made == [generation.continue_bars(shipped, source, 2, seed, 0.6) for seed in range(12)]
    assert len({bars.notes for bars in made}) == 12
    assert source.notes not in {bars.notes for bars in made}
    samples = [generation.sample_bars(shipped, 2, seed, 0.6) for seed in range(12)]
    assert len({bars.notes for bars in samples}) == 12


def test_what_follows_keeps_key_and_register(melody):
    scale = (60, 62, 64, 65, 67, 69, 71, 72, 74, 76)
    source = Bars(tuple(Note(scale[i * 7 % 10], i / 2, 0.5, 90) for i in range(16)), 8.0)
    made = [note for seed in range(12) for note in generation.continue_bars(melody, source, 2, seed, 0.6).notes]
    inside = np.mean([note.pitch % 12 in {p % 12 for p in scale} for note in made])
    assert inside > 0.85
    assert min(note.pitch for note in made) >= 60 - 12
    assert max(note.pitch for note in made) <= 76 + 12


def test_a_low_line_comes_back_low(melody):
    low = Bars(tuple(Note(36 + i % 5, i / 2, 0.5, 90) for i in range(16)), 8.0)
    made = generation.continue_bars(melody, low, 2, 1, 0.6)
    assert max(note.pitch for note in made.notes) < 60


def test_what_goes_on_from_a_bass_in_range_stays_in_it_in_whichever_octave_it_is_read():
    """In C, where it is read, its F would lie below the range: it is read an octave higher, and could come out as far
    below as bars an octave lower would.
    """
    bass = registry.load_compiled("bass-2bar", "cpu")
    line = (29, 29, 36, 29, 34, 33, 31, 29, 29, 29, 36, 29, 34, 36, 31, 28)
    loop = Bars(tuple(Note(pitch, i / 2, 0.5, 90) for i, pitch in enumerate(line)), 8.0)
    for lower, lowest in ((0, bass.config.lowest), (5, 28 - 5)):
        source = transposed(loop, -lower)
        made = [note for seed in range(40) for note in generation.continue_bars(bass, source, 2, seed, 1.0).notes]
        assert min(note.pitch for note in made) >= lowest


def test_accents_are_the_seed_s(melody):
    source = Bars(tuple(Note(60 + i % 5, i / 2, 0.5, 120 if i % 2 == 0 else 30) for i in range(16)), 8.0)
    made = [n for seed in range(6) for n in generation.continue_bars(melody, source, 2, seed, 0.6).notes]
    assert {n.velocity for n in made if n.start % 1 == 0} == {120}
    assert {n.velocity for n in made if n.start % 1 == 0.5} == {30}


def test_drums_have_dynamics_and_a_groove(drums):
    hits = [n for seed in range(8) for n in generation.sample_bars(drums, 2, seed, 0.7).notes]
    assert len({n.velocity for n in hits}) >= 4
    assert len({round((n.start * 4) % 1, 3) for n in hits}) >= 3


def test_a_hard_key_leaves_nothing_outside_it(melody):
    classes = frozenset({0, 3, 5, 7, 10})
    steering = Steering(pitch_classes=classes, binding="hard")
    for made in (
        generation.sample_bars(melody, 4, 5, 1.2, steering),
        generation.continue_bars(melody, tune(9, 2), 4, 5, 1.2, steering),
        generation.vary_bars(melody, tune(9, 2), 0.8, 5, 1.2, steering),
    ):
        assert {note.pitch % 12 for note in made.notes} <= classes


def onsets(bars):
    return {(note.start, note.pitch) for note in bars.notes}


def test_vary_goes_from_the_same_to_far(shipped):
    present = generation.sample_bars(shipped, 2, 21, 0.6)
    assert generation.vary_bars(shipped, present, 0.0, 1, 0.6) == present

    def kept(amount):
        made = [generation.vary_bars(shipped, present, amount, seed, 0.6) for seed in range(6)]
        assert all(bars.length == present.length for bars in made)
        return np.mean([len(onsets(bars) & onsets(present)) / len(present.notes) for bars in made])

    near, middle, far = kept(0.1), kept(0.5), kept(1.0)
    assert near > middle > far - 0.05
    assert near > far + 0.2


@pytest.mark.parametrize("name", ["melody-2bar", "bass-2bar", "drums-2bar", "melody-16bar"])
@pytest.mark.parametrize("amount", [0.3, 0.6])
def test_vary_leaves_no_loop_silent(name, amount):
    """However few notes it has, and however short it is: nearer, something is struck."""
    model = registry.load_compiled(name, "cpu")
    pitch = {"drums-2bar": 36, "bass-2bar": 40}.get(name, 64)
    loop = Bars((Note(pitch, 1.0, 1.0, 90),), 4.0)
    seeds = (1, 20, 22, 24, 31, 35, 36)
    assert all(generation.vary_bars(model, loop, amount, seed, 0.6).notes for seed in seeds)


def test_empty_and_odd_loops_are_no_trouble(shipped):
    silent = Bars((), 8.0)
    assert generation.vary_bars(shipped, silent, 0.5, 1, 0.6) == silent
    assert generation.continue_bars(shipped, silent, 2, 1, 0.6).length == 8.0
    odd = Bars((Note(60 if shipped.config.part != "drums" else 36, 0.1, 0.3, 77),), 3.3)
    assert generation.vary_bars(shipped, odd, 0.5, 1, 0.6).length == 3.3
    assert generation.reconstruct_bars(shipped, odd, 1, 0.6).length == 3.3


def test_reconstruction_is_near(shipped):
    kept, all_of_them = 0, 0
    for seed in range(12):
        source = generation.sample_bars(shipped, 2, seed, 0.4)
        again = generation.reconstruct_bars(shipped, source, seed, 0.2)
        kept += len(onsets_on_grid(source) & onsets_on_grid(again))
        all_of_them += len(source.notes)
    assert kept > 0.4 * all_of_them


def onsets_on_grid(bars):
    return {(round(note.start * 4), note.pitch) for note in bars.notes}


def test_the_cache_of_encoded_bars_changes_nothing(shipped):
    source = seed_of(shipped)
    first = encode_bars(shipped, source)
    for seed in range(70):
        encode_bars(shipped, tune(100 + seed, 1) if shipped.config.part != "drums" else beat_of(seed, 1))
    again = encode_bars(shipped, source)
    assert again is not first
    assert np.array_equal(first.means, again.means)


def test_notes_moved_out_of_the_piano_come_back_by_octaves():
    loop = Bars((Note(100, 0.0, 1.0, 90, 0), Note(24, 1.0, 1.0, 90, 0), Note(60, 2.0, 1.0, 90, 0)), 4.0)
    assert [note.pitch for note in transposed(loop, 14).notes] == [102, 38, 74]
    assert [note.pitch for note in transposed(loop, -19).notes] == [81, 29, 41]
