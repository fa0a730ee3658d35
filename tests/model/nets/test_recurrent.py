"""LSTMs as the compiled modules run them, against torch's own."""

import pytest
import torch
from torch import nn

from bridge.model.nets.recurrent import reader, runner
from bridge.model.nets.scripting import int8_works, scripted

needs_int8 = pytest.mark.skipif(not int8_works(torch.device("cpu")), reason="needs an x86 processor with VNNI")
FORMS = [False, pytest.param(True, marks=needs_int8)]


def lstm(*, both_ways):
    torch.manual_seed(7)
    made = nn.LSTM(24, 64, batch_first=True, bidirectional=both_ways)
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.15)  # so that it remembers and forgets
    return made


def compiled(module):
    return scripted(module, ["forward"])


@pytest.mark.parametrize("int8", FORMS)
@pytest.mark.parametrize("rows", [1, 5])
@torch.inference_mode()
def test_a_reader_reads_both_ways(int8, rows):
    own = lstm(both_ways=True)
    inputs = torch.randn(rows, 32, 24, generator=torch.Generator().manual_seed(rows))
    last = own(inputs)[1][0]
    expected = torch.cat([last[0], last[1]], dim=1)
    found = compiled(reader(own, int8=int8))(inputs)
    assert (found - expected).abs().max() < (0.02 if int8 else 1e-6)
    assert expected.std() > 0.1


@pytest.mark.parametrize("int8", FORMS)
@torch.inference_mode()
def test_a_runner_begins_where_it_is_told(int8):
    own = lstm(both_ways=False)
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(2, 16, 24, generator=generator)
    h, c = torch.rand(2, 64, generator=generator) - 0.5, torch.randn(2, 64, generator=generator)
    expected = own(inputs, (h[None], c[None]))[0]
    found = compiled(runner(own, int8=int8))(inputs, h, c)
    assert (found - expected).abs().max() < (0.02 if int8 else 1e-6)
    assert (found - own(inputs)[0])[:, 0].abs().max() > 0.1, "h and c count"
