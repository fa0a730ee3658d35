"""Small models with random weights, for what must hold whatever the weights are; and the shipped ones."""

import numpy as np
import pytest
import torch
from small_models import SMALL_DRUMS, SMALL_LINE, small_model

from bridge.model.nets import registry
from bridge.model.nets.compiled import CompiledModel

torch.set_num_threads(1)  # two threads on two busy cores wait for each other, for seconds


@pytest.fixture(scope="session", params=[SMALL_LINE, SMALL_DRUMS], ids=["line", "drums"])
def small(request):
    """(model, flow, compiled in float32) with random weights."""
    model, flow, maps = small_model(request.param)
    return model, flow, CompiledModel(model, flow, torch.device("cpu"), maps=maps, int8=False)


@pytest.fixture(scope="session")
def melody():
    return registry.load_compiled("melody-2bar", "cpu")


@pytest.fixture(scope="session")
def drums():
    return registry.load_compiled("drums-2bar", "cpu")


@pytest.fixture(scope="session")
def trio():
    return registry.load_compiled("trio-16bar", "cpu")


@pytest.fixture(scope="session", params=["melody-2bar", "drums-2bar"])
def shipped(request):
    """A shipped model, compiled."""
    return registry.load_compiled(request.param, "cpu")


@pytest.fixture
def rng():
    return np.random.default_rng(11)
