import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import SMALL_LONG_LINE, SMALL_TRIO, small_hierarchy

from bridge.model.nets import registry
from bridge.model.nets.compiled_hierarchy import CompiledHierarchy
from bridge.model.nets.quantising import from_eight_bits, in_eight_bits


@given(st.integers(1, 9), st.integers(0, 2**31), st.floats(1e-3, 50.0))
def test_a_matrix_comes_back_to_within_half_a_step_of_its_row(rows, seed, size):
    matrix = size * torch.randn(rows, 1200 // rows + 1, generator=torch.Generator().manual_seed(seed))
    kept = in_eight_bits({"w": matrix})
    assert kept["w"].dtype == torch.int8
    back = from_eight_bits(kept)["w"]
    step = matrix.abs().amax(1, keepdim=True) / 127.0
    assert ((back - matrix).abs() <= 0.51 * step + 2e-3 * matrix.abs()).all()


def test_small_and_flat_tensors_stay_in_sixteen_bits():
    tensors = {"b": torch.linspace(-1, 1, 4096), "m": torch.ones(4, 4)}
    kept = in_eight_bits(tensors)
    assert {name: value.dtype for name, value in kept.items()} == {"b": torch.float16, "m": torch.float16}
    assert torch.equal(from_eight_bits(kept)["b"], tensors["b"].half().float())


@pytest.mark.parametrize("config", [SMALL_LONG_LINE, SMALL_TRIO], ids=lambda config: config.name)
def test_a_hierarchical_model_is_written_and_loaded(config, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "config_of", lambda name: config)
    model, flow, maps = small_hierarchy(config)
    card = registry.write_model(config.name, model.shipped(model.state_dict()), flow, maps, {}, tmp_path)
    assert card["parts"] == list(config.parts)
    loaded = registry.load_model(config.name, tmp_path)
    z = torch.randn(3, config.latent_size)
    with torch.inference_mode():
        assert torch.allclose(loaded.model.conductor(z), model.conductor(z), atol=0.1)
    assert isinstance(registry.load_compiled(config.name, "cpu", tmp_path), CompiledHierarchy)
