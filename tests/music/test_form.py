import numpy as np

from bridge.music.form import bars_alike, forms_of, returning
from bridge.music.grids import NO_EVENT, NOTE_OFF

REST = [NO_EVENT] * 16
ONE, TWO = (
    [token for step in range(4) for token in (first + step, NO_EVENT, NOTE_OFF, NO_EVENT)] for first in (40, 60)
)
RUN = [40 + step for step in range(16)]
NEARLY = [*RUN[:-1], 70]  # one note of sixteen is another
HALF = [*RUN[:8], *(90 - 21 for _ in range(8))]


def lines(*bars):
    return np.array([[token for bar in bars for token in bar]], dtype=np.uint8)


def test_bars_come_back_as_the_first_of_them():
    assert forms_of(lines(ONE, TWO, ONE, REST, TWO, ONE, REST), drums=False).tolist() == [[0, 1, 0, 3, 1, 0, 6]]


def test_a_bar_with_another_note_is_a_return_and_one_of_which_half_is_new_is_not():
    window = lines(RUN, NEARLY, HALF)
    assert forms_of(window, drums=False).tolist() == [[0, 0, 2]]
    alike = bars_alike(window, drums=False)[0]
    assert alike[0].tolist() == [1.0, 2 * 15 / 32, 0.5]
    assert (alike == alike.T).all()


def test_drums_come_back_by_what_is_struck():
    beat = [1, 0, 4, 0, 3, 0, 4, 0] * 2
    fill, still = [1, 0, 4, 0, 3, 0, 4, 0, 2, 2, 64, 64, 32, 32, 2, 2], [0] * 16
    windows = np.concatenate([lines(beat, beat, fill, beat), lines(fill, still, beat, still)])
    assert forms_of(windows, drums=True).tolist() == [[0, 0, 2, 0], [0, 1, 2, 3]]


def test_the_share_of_bars_that_return_counts_neither_the_first_nor_rests():
    assert returning(lines(ONE, TWO, ONE, REST, TWO), drums=False) == 2 / 3
    assert returning(np.concatenate([lines(ONE, ONE), lines(ONE, TWO)]), drums=False) == 0.5
    assert np.isnan(returning(lines(ONE, REST), drums=False))
