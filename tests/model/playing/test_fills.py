"""A fill changes one bar of a drum loop, and makes a fill of it."""

from __future__ import annotations

import pytest
import torch
from small_models import SMALL_DRUMS, SMALL_LINE, small_model

from bridge.model.nets.compiled import CompiledModel
from bridge.model.playing.fills import with_fill
from bridge.model.playing.generation import sample_bars
from bridge.music.notes import Bars, Note, in_order, step_of
from bridge.music.splice import with_bar

_FILLED = (38, 43, 47, 50)  # snare and toms


def compiled(config):
    model, flow, maps = small_model(config)
    return CompiledModel(model, flow, torch.device("cpu"), maps=maps, int8=False)


def of_bar(bars: Bars, bar: int) -> list[Note]:
    """Its notes by the step they are nearest to: what is pushed before a bar line goes with the bar after it."""
    return [note for note in bars.notes if round(note.start * 4) % 32 // 16 == bar]


@pytest.mark.parametrize("bar", [0, 1])
def test_the_other_bars_are_untouched_and_the_bar_is_fuller_of_snare_and_toms(drums, bar: int) -> None:
    more = 0
    for seed in range(8):
        loop = sample_bars(drums, 2, seed, 0.7)
        made = with_fill(drums, loop, bar * 4.0, 4.0, seed, 0.7)
        assert made.length == loop.length
        assert of_bar(made, 1 - bar) == of_bar(loop, 1 - bar)
        before, after = (sum(n.pitch in _FILLED for n in of_bar(bars, bar)) for bars in (loop, made))
        more += after > before
        assert made == with_fill(drums, loop, bar * 4.0, 4.0, seed, 0.7), "a function of the seed"
    assert more >= 7


@pytest.mark.parametrize(
    "hits", [[(0.0, 36)], [(0.0, 36), (0.0, 51), (2.0, 36)], [(0.5, 36), (1.5, 38), (2.5, 38)], []]
)
def test_a_bare_bar_has_a_fill_too(drums, hits: list[tuple[float, int]]) -> None:
    notes = [Note(pitch, bar * 4.0 + start, 0.125, 90) for bar in (0, 1) for start, pitch in hits]
    loop = Bars(tuple(notes), 8.0)
    for seed in range(12):
        made = with_fill(drums, loop, 4.0, 4.0, seed, 0.7)
        struck = [(round(note.start * 4) - 16, note.pitch) for note in of_bar(made, 1)]
        assert struck != [(round(start * 4), pitch) for start, pitch in hits], seed


def test_a_fill_is_made_after_what_belongs_to_the_bars_before_it_however_early_that_is_struck(drums) -> None:
    """Of four bars: the second with what leads into the third, and the third after what leads into the second."""
    loop = sample_bars(drums, 4, 1, 0.7)
    rest = [note for note in loop.notes if note.pitch != 49 and not 3.8 < note.start < 4.2]

    def filled(bar: int, *more: Note) -> list[Note]:
        before = Bars(in_order([*rest, *more]), 16.0)
        made = [with_fill(drums, before, bar * 4.0, 4.0, seed, 0.7) for seed in range(6)]
        return [note for bars in made for note in bars.notes if step_of(note.start) // 16 == bar]

    assert filled(1, Note(49, 7.98, 0.1, 120)) == filled(1), "what leads into the bar after it is not of its window"
    assert filled(2, Note(49, 3.999, 0.0005, 120)) == filled(2, Note(49, 4.0, 0.125, 120)) != filled(2)


def test_in_other_lengths_and_metres_the_rest_stays_too(drums) -> None:
    loop = Bars(tuple(Note(36 + 2 * (k % 2), k * 0.5, 0.125, 90) for k in range(18)), 9.0)
    made = with_fill(drums, loop, 3.0, 3.0, 1, 0.7)
    assert [n for n in made.notes if not 2.9 <= n.start < 5.9] == [n for n in loop.notes if not 2.9 <= n.start < 5.9]
    assert made != loop


def test_random_weights_keep_the_other_bar_as_well() -> None:
    model = compiled(SMALL_DRUMS)
    loop = sample_bars(model, 2, 3, 1.0)
    assert of_bar(with_fill(model, loop, 4.0, 4.0, 1, 1.0), 0) == of_bar(loop, 0)


def test_of_a_trio_one_bar_of_the_drums_is_played_otherwise_and_nothing_else(trio) -> None:
    def drums(bars: Bars, bar: int) -> list[Note]:
        return [n for n in bars.notes if n.part == 2 and round(n.start * 4) % 256 // 16 == bar]

    more = 0
    for seed in range(6):
        loop = sample_bars(trio, 16, seed, 0.6)
        for bar in (0, 7, 15):
            made = with_fill(trio, loop, 4.0 * bar, 4.0, seed, 0.6)
            assert made.length == loop.length
            assert [n for n in made.notes if n.part != 2] == [n for n in loop.notes if n.part != 2]
            for other in set(range(16)) - {bar}:
                assert drums(made, other) == drums(loop, other)
            assert drums(made, bar) != drums(loop, bar)
            before, after = (sum(n.pitch in _FILLED for n in drums(bars, bar)) for bars in (loop, made))
            more += after > before
            assert made == with_fill(trio, loop, 4.0 * bar, 4.0, seed, 0.6), "a function of the seed"
    assert more >= 14


@pytest.mark.parametrize("bar_beats", [2.0, 3.0, 5.0])
def test_of_a_trio_in_another_metre_and_length_the_rest_stays_too(trio, bar_beats: float) -> None:
    whole = sample_bars(trio, 16, 2, 0.6)
    loop = Bars(tuple(n for n in whole.notes if n.end <= 6 * bar_beats), 6 * bar_beats)
    made = with_fill(trio, loop, 4 * bar_beats, bar_beats, 1, 0.6)
    first, last = 4 * bar_beats - 0.125, 5 * bar_beats - 0.125

    def rest(bars: Bars) -> list[Note]:
        return [n for n in bars.notes if n.part != 2 or not first <= n.start < last]

    assert rest(made) == rest(loop)
    assert made != loop


def test_a_line_has_no_fills() -> None:
    with pytest.raises(ValueError, match="plays no drums"):
        with_fill(compiled(SMALL_LINE), Bars((), 8.0), 0.0, 4.0, 1, 0.7)


def test_a_spliced_bar_takes_what_is_pushed_before_its_line() -> None:
    loop = Bars((Note(36, 0.0, 0.1, 90), Note(36, 3.98, 0.1, 90)), 8.0)
    other = Bars((Note(38, 7.97, 0.1, 90), Note(38, 1.0, 0.1, 90)), 8.0)
    assert with_bar(loop, other, 4.0, 4.0).notes == (Note(36, 0.0, 0.1, 90),)
    assert with_bar(loop, other, 0.0, 4.0).notes == (
        Note(38, 1.0, 0.1, 90),
        Note(36, 3.98, 0.1, 90),
    )
