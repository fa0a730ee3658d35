"""Where stored notes sound as they are."""

import pytest

from bridge.music.corners import are_stored


@pytest.mark.parametrize(
    ("op", "x", "y", "stored"),
    [
        ("morph", 0.0, 0.5, True),  # the pad's other knob is not the morph's
        ("morph", 1.0, 0.0, True),
        ("morph", 0.999, 0.0, False),
        ("xy", 0.0, 1.0, True),
        ("xy", 1.0, 0.5, False),
        ("xy", 0.5, 1.0, False),
        ("next", 0.0, 0.0, False),
        ("towards", 1.0, 0.0, False),
    ],
)
def test_only_a_morph_or_a_pad_at_a_corner_is_what_was_stored(op, x, y, stored):
    assert are_stored(op, x, y) is stored
