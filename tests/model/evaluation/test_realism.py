"""The measures of realism against what can be counted by hand, and against slower ways of saying the same."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.evaluation.realism import fit_ngram, longest_shared_runs, symbols
from bridge.music.grids import NO_EVENT, NOTE_OFF


def line(*events, steps=16):
    """Tokens (1, steps) of (step, MIDI pitch or None for a note-off)."""
    tokens = np.full((1, steps), NO_EVENT, dtype=np.int64)
    for step, pitch in events:
        tokens[0, step] = NOTE_OFF if pitch is None else pitch - 21
    return tokens


def tunes(seed, count, steps=16):
    rng = np.random.default_rng(seed)
    return rng.choice([NO_EVENT, NO_EVENT, NOTE_OFF, 39, 41, 43, 44, 46], (count, steps))


@pytest.mark.parametrize("drums", [False, True])
def test_the_chances_after_any_four_symbols_sum_to_one(drums):
    rng = np.random.default_rng(2)
    tokens = rng.integers(0, 6, (60, 12)) if drums else tunes(1, 60, 12)
    model = fit_ngram(tokens, drums=True) if drums else fit_ngram(tokens, drums=False)
    start = tokens[7:8, :5]
    if drums:  # every symbol that can come next, after a context seen often, once, and never
        for begin in (start, np.array([[5, 5, 5, 5, 5]]), np.array([[300, 301, 302, 303, 304]])):
            following = np.concatenate([np.repeat(begin, 512, 0), np.arange(512)[:, None]], axis=1)
            assert np.exp(-model.step_costs(following)[:, -1]).sum() == pytest.approx(1.0)
    else:
        begin = line((0, 60), (1, 64), (3, 62), steps=5)
        pitches = [*range(62 - 24, 62 + 25)]
        rows = [np.concatenate([begin, [[token]]], axis=1) for token in [*(p - 21 for p in pitches), 88, 89]]
        total = np.exp(-model.step_costs(np.concatenate(rows))[:, -1]).sum()
        assert 0.95 < total < 1.0  # "the first note" keeps its own small chance, though it cannot come again


def test_what_was_learnt_is_cheaper_than_noise_and_key_costs_nothing():
    rng = np.random.default_rng(0)
    songs = np.tile(tunes(3, 8), (20, 1))
    model = fit_ngram(songs, drums=False)
    noise = rng.integers(0, 90, (50, 16))
    assert np.median(model.costs(songs)) < 0.3 * np.median(model.costs(noise))
    up = np.where(songs < 88, songs + 5, songs)
    np.testing.assert_array_equal(symbols(up, drums=False), symbols(songs, drums=False))
    np.testing.assert_allclose(model.costs(up), model.costs(songs))


def test_symbols_are_intervals_from_the_note_before():
    read = symbols(line((2, 60), (4, 62), (5, None), (6, 59)), drums=False)[0]
    assert read[[2, 4, 5, 6]].tolist() == [2, 29, 1, 24]
    assert (np.delete(read, [2, 4, 5, 6]) == 0).all()


def by_search(ours, theirs):
    """Longest common run of two lists."""
    best = 0
    for i in range(len(ours)):
        for j in range(len(theirs)):
            length = 0
            while i + length < len(ours) and j + length < len(theirs) and ours[i + length] == theirs[j + length]:
                length += 1
            best = max(best, length)
    return best


def pairs(row):
    """(interval to the next note, steps held) of a row, one note at a time."""
    steps = np.flatnonzero(row < 88).tolist()
    found = []
    for one, other in pairwise(steps):
        off = [s for s in range(one + 1, other) if row[s] == NOTE_OFF]
        found.append((int(row[other] - row[one]), (off[0] if off else other) - one))
    return found


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_shared_runs_are_those_a_slow_search_finds(seed):
    ours, corpus = tunes(seed, 6), tunes(seed + 1, 9)
    corpus[0, 4:12] = ours[0, 2:10]
    found = longest_shared_runs(ours, corpus, drums=False)
    slow = [max(by_search(pairs(row), pairs(other)) for other in corpus) for row in ours]
    assert found.tolist() == slow


def test_a_copy_a_fifth_higher_is_a_copy():
    song = line((0, 60), (2, 62), (3, 64), (6, 65), (8, 67), (12, 64))
    higher = np.where(song < 88, song + 7, song)
    assert longest_shared_runs(higher, song, drums=False).tolist() == [5]
    assert longest_shared_runs(line((0, 60)), song, drums=False).tolist() == [0]
    beat = np.array([[1, 0, 4, 0, 2, 0, 4, 4]])
    assert longest_shared_runs(beat, beat, drums=True).tolist() == [4]
