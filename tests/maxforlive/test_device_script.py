"""The script's pure parts, run where they will run: in the built device and in its old engine's dress."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maxforlive.device_rig import Device, Rig
from needs import need

LENGTH = 8.0
GRID = st.integers(0, 63).map(lambda step: step / 8)
ROWS = st.lists(
    st.tuples(st.integers(58, 62), GRID, st.sampled_from([0.05, 0.5, 1.0, 3.0, 8.0]), st.integers(1, 127), st.just(0)),
    max_size=40,
)


class Script:
    """Calls into the device's script."""

    def __init__(self, rig: Rig) -> None:
        self._device = Device(rig, 9)  # the discard port: nobody answers
        self._rig = rig

    def call(self, function: str, *arguments: Any) -> Any:
        code = f"JSON.stringify({function}({', '.join(json.dumps(argument) for argument in arguments)}))"
        answer = self._rig.do("script", device=self._device.index, code=code)
        return None if answer is None else json.loads(answer)


@pytest.fixture(scope="module")
def script() -> Generator[Script]:
    rig = Rig(need("node"))
    yield Script(rig)
    rig.end()


@pytest.mark.parametrize(
    ("name", "intervals", "mode"),
    [
        ("Major", [0, 2, 4, 5, 7, 9, 11], "major"),
        ("Minor Blues", [0, 3, 5, 6, 7, 10], "blues"),
        ("Minor Pentatonic", [0, 3, 5, 7, 10], "pentatonic_minor"),
        ("Kumoi", [0, 2, 3, 7, 9], "dorian"),
        ("Hirajoshi", [0, 2, 3, 7, 8], "minor"),
        ("Whole Tone", [0, 2, 4, 6, 8, 10], "chromatic"),
        ("", [], "chromatic"),
    ],
)
def test_live_s_scales_in_the_bridge_s_words(script: Script, name: str, intervals: list[int], mode: str) -> None:
    assert script.call("B.modeOf", name, intervals) == mode


@settings(max_examples=60)
@given(ROWS)
def test_a_key_is_closed_before_it_sounds_again_round_the_loop_too(script: Script, rows: list[tuple[Any, ...]]) -> None:
    result = script.call("B.notes.withoutOverlaps", rows, LENGTH)
    assert {(row[0], row[1]) for row in result} == {(row[0], row[1]) for row in rows}, "no onset is lost"
    assert len({(row[0], row[1]) for row in result}) == len(result)
    longest = {}
    for pitch, start, duration, _, _ in rows:
        longest[pitch, start] = max(duration, longest.get((pitch, start), 0.0))
    for pitch, start, duration, _, _ in result:
        others = [(other - start) % LENGTH or LENGTH for key, other, *_ in result if key == pitch]
        assert 0 < duration <= min(others) + 1e-9
        assert duration <= longest[pitch, start] + 1e-9


@settings(max_examples=40)
@given(ROWS, st.integers(1, 30))
def test_chunks_hold_every_note_once_in_order(script: Script, rows: list[tuple[Any, ...]], size: int) -> None:
    chunks = script.call("B.notes.chunks", rows, size)
    assert all(0 < len(chunk) <= 5 * size for chunk in chunks)
    assert [value for chunk in chunks for value in chunk] == [value for row in rows for value in row]
    assert len(chunks) == -(-len(rows) // size)


def test_notes_of_live_become_rows_that_the_bridge_takes(script: Script) -> None:
    found = [
        {"pitch": 60, "start_time": 4.0, "duration": 1.0, "velocity": 99.6, "mute": 0},
        {"pitch": 61, "start_time": 5.0, "duration": 1.0, "velocity": 80.0, "mute": 1},
        {"pitch": 62, "start_time": 7.5, "duration": 4.0, "velocity": 0.4, "mute": 0},
        {"pitch": 63, "start_time": 3.9, "duration": 1.0, "velocity": 80.0, "mute": 0},
        {"pitch": 64, "start_time": 8.0, "duration": 1.0, "velocity": 80.0, "mute": 0},
    ]
    assert script.call("B.notes.rows", found, 4, 8, 2) == [[60, 0, 1, 100, 2], [62, 3.5, 0.5, 1, 2]]


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ('{"notes": []}', 0),
        ({"notes": [1]}, 1),
        (['{"notes": [1, 2]}'], 2),
        ('{"notes": [{"pitch"', None),
        (None, None),
    ],
)
def test_every_form_that_live_gives_notes_in_is_read(script: Script, answer: Any, count: int | None) -> None:
    notes = script.call("B.notes.parse", answer)
    assert notes is None if count is None else len(notes) == count
