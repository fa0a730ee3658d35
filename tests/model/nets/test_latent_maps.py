"""The latent maps find the linear world that made their points, and the knobs that stand on them turn the music."""

import numpy as np
import pytest
import torch

from bridge.model.nets.config import CONFIGS
from bridge.model.nets.latent_maps import attribute_directions, fit_maps
from bridge.model.playing.attributes import measure
from bridge.model.playing.generation import sample_bars
from bridge.model.playing.shaping import shape_of, shaped
from bridge.model.reporting.held_out import tokens_of_loops
from bridge.music.grids import LOWEST_PITCH, NO_EVENT

MELODY, DRUMS = CONFIGS["melody-2bar"], CONFIGS["drums-2bar"]


def world(count, seed):
    """Points of a skewed Gaussian, and two attributes linear in them."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.tensor([[1.0, 0.8, 0.0, 0], [0, 0.6, 0.2, 0], [0, 0, 1.5, 0], [0, 0, 0, 0.1]])
    points = torch.randn(count, 4, generator=generator) @ mixing
    measured = torch.stack([points[:, 0] + 0.5 * points[:, 1], points[:, 1] - points[:, 2]], 1)

    return points, measured


def test_a_direction_raises_its_attribute_alone():
    points, measured = world(5000, 1)
    directions = attribute_directions(points, measured)
    change = torch.stack(
        [directions[:, 0] + 0.5 * directions[:, 1], directions[:, 1] - directions[:, 2]], 1
    ) / measured.std(0)
    assert torch.allclose(change, torch.eye(2), atol=0.05)


def test_ways_are_ordered_and_as_long_as_their_deviation():
    points, measured = world(5000, 2)
    ways = fit_maps(points, measured, 4).ways
    lengths = ways.norm(dim=1)
    assert (lengths.diff() <= 1e-6).all()
    along = (points - points.mean(0)) @ (ways[0] / lengths[0])
    assert along.std().item() == pytest.approx(lengths[0].item(), rel=0.02)


def test_unknown_attributes_are_refused():
    points, measured = world(100, 5)
    maps = fit_maps(points, measured, 4)
    assert torch.equal(maps.offset(("a", "b"), {}), torch.zeros(4))
    assert torch.allclose(maps.offset(("a", "b"), {"b": 1.0}), 1.5 * maps.attributes[1])
    with pytest.raises(KeyError):
        maps.offset(("a", "b"), {"c": 1.0})


def line(**struck):
    row = np.full(32, NO_EVENT)
    for place, pitch in struck.items():
        row[int(place[1:])] = pitch - LOWEST_PITCH
    return row


def test_attributes_of_lines_measure_what_they_say():
    plain = line(s0=60, s4=62, s8=64, s12=65)
    late = line(s0=60, s6=62, s10=64, s14=65)
    odd = line(s0=60, s4=61, s8=62, s12=73)
    density, syncopation, interval, diatonic, register = measure(np.stack([plain, late, odd]), MELODY).T
    assert density.tolist() == [4 / 32] * 3
    assert syncopation.tolist() == [0.0, 0.75, 0.0]
    assert interval == pytest.approx([5 / 3, 5 / 3, (1 + 1 + 11) / 3])
    assert diatonic[0] == 1.0
    assert diatonic[2] < 1.0
    assert register == pytest.approx([62.75, 62.75, 64.0])


def test_attributes_of_drums_measure_what_they_say():
    beat = np.zeros(32, dtype=np.int64)
    beat[::4] = 1
    fill = beat.copy()
    fill[24:] |= 1 << 5
    pushed = np.roll(beat, 2)
    density, syncopation, filled = measure(np.stack([beat, fill, pushed]), DRUMS).T
    assert density.tolist() == [8 / 32, 16 / 32, 8 / 32]
    assert syncopation.tolist() == [0.0, 0.0, 1.0]
    assert filled.tolist() == [0.0, 8 / 12, 0.0]


@pytest.mark.parametrize(("name", "least"), [("density", 0.8), ("register", 0.7), ("interval", 0.6)])
def test_melody_knobs_turn_the_music_both_ways(melody, name, least):
    assert share_turned(melody, name) >= least


@pytest.mark.parametrize("name", ["density", "fill"])
def test_drum_knobs_turn_the_music_both_ways(drums, name):
    assert share_turned(drums, name) >= 0.7


def share_turned(model, name):
    """How often a loop whose knob is fully up has more of the attribute than with the knob fully down."""
    config, loops = model.config, 24
    found = []
    for amount in (-1.0, 1.0):
        shape = shape_of({name: amount}, {})
        turned = [shaped(model, sample_bars(model, 2, seed, 0.6), shape, 0.6) for seed in range(loops)]
        tokens = tokens_of_loops(turned, config)[config.part]
        found.append(measure(tokens, config)[:, config.attributes.index(name)])
    return np.mean(found[1] > found[0])
