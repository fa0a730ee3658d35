"""Noise belongs to (seed, what for, step, class), and to nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.nets import noise

seeds = st.integers(0, 2**63 - 1)


@given(seeds, st.integers(0, 30), st.integers(1, 8), st.integers(1, 90))
def test_a_step_has_the_same_noise_in_any_chunk(seed, first, steps, classes):
    whole = noise.gumbel(seed, noise.TOKENS, 0, 40, classes)
    assert np.array_equal(noise.gumbel(seed, noise.TOKENS, first, steps, classes), whole[first : first + steps])


@given(seeds)
def test_a_class_has_the_same_noise_among_fewer(seed):
    assert np.array_equal(noise.gumbel(seed, 0, 3, 2, 90)[:, :40], noise.gumbel(seed, 0, 3, 2, 40))


@given(seeds, seeds)
def test_seeds_and_streams_have_noise_of_their_own(a, b):
    if a != b:
        assert not np.array_equal(noise.gumbel(a, 0, 0, 4, 9), noise.gumbel(b, 0, 0, 4, 9))
        assert noise.derived(a, 1) != noise.derived(b, 1)
    assert not np.array_equal(noise.gumbel(a, 0, 0, 4, 9), noise.gumbel(a, 1, 0, 4, 9))
    assert len({noise.derived(a, i, j) for i in range(8) for j in range(8)}) == 64


def test_known_values_stay_for_ever():
    """Written down once: scenes saved by an earlier version must sound the same in a later one."""
    assert noise.derived(1, 2, 3) == 5105329782645850821
    assert np.allclose(noise.gumbel(7, noise.TOKENS, 5, 1, 3), [[3.0923705, 0.9532043, 0.7774013]], atol=1e-6)


def test_distributions_are_what_they_say():
    gumbel = np.concatenate([noise.gumbel(s, 0, 0, 32, 512).ravel() for s in range(8)])
    assert abs(gumbel.mean() - 0.5772) < 0.01
    assert abs(gumbel.std() - np.pi / np.sqrt(6)) < 0.01
    normal = noise.normal(3, noise.LATENT, 100_000)
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.01
    assert abs(np.corrcoef(normal[:-1], normal[1:])[0, 1]) < 0.02
    uniform = np.array([noise.uniform(s, noise.MIXTURE) for s in range(2000)])
    assert abs(uniform.mean() - 0.5) < 0.02
    assert uniform.min() > 0
    assert uniform.max() < 1
