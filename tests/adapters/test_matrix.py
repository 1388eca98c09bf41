"""Properties every method has on every kind of layer it adapts. Parameters are random, never the no-op start."""

import copy
from pathlib import Path

import pytest
import torch
from adapter_matrix import CONFIGS, MATRIX, Layers, make, sample_input
from torch import Tensor, nn

from portraitist.adapters import (
    Adapter,
    Attachment,
    add,
    attached,
    find_layers,
    list_methods,
    load_adapter,
    save_adapter,
)
from portraitist.errors import BadConfig


@pytest.fixture
def model() -> Layers:
    torch.manual_seed(0)
    return Layers()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def dense(model: Layers, layer: str, adapter: Adapter, scale: float) -> nn.Module:
    """Return the layer with the change added into its weights, built without the attaching code."""
    changed = copy.deepcopy(model.get_submodule(layer))
    formulas = adapter.layers[f"m.{layer}"]
    formulas.bind(changed.weight.detach().clone(), getattr(changed, "bias", None))
    params = formulas.combined([adapter.values[f"m.{layer}"]], [scale])
    changed.weight.data += formulas.delta_weight(params).detach()
    bias = params.get("bias")
    if bias is not None:
        changed.bias.data += bias.detach()
    return changed


def test_every_method_has_a_configuration_here() -> None:
    assert {method.name for method in list_methods()} == CONFIGS.keys()


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_a_new_adapter_changes_nothing(model: Layers, generator: torch.Generator, method: str, layer: str) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 2, generator)
    before = module(x)
    adapter = Adapter.create(method, CONFIGS[method], find_layers({"m": model}, [f"m.{layer}"]), generator)
    with attached({"m": model}, adapter):
        torch.testing.assert_close(module(x), before, rtol=0, atol=0)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
@pytest.mark.parametrize("scale", [1.0, 0.6, -1.5])
def test_forward_equals_the_dense_definition(
    model: Layers, generator: torch.Generator, method: str, layer: str, scale: float
) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 2, generator)
    adapter = make(model, method, layer, generator)
    before, expected = module(x), dense(model, layer, adapter, scale)(x)
    with attached({"m": model}, adapter, scale=scale):
        torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(module(input=x), expected, rtol=1e-4, atol=1e-5)
    assert (expected - before).abs().max() > 1e-2


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_merging_equals_attaching_and_unmerging_restores(
    model: Layers, generator: torch.Generator, method: str, layer: str
) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 2, generator)
    weights = copy.deepcopy(model.state_dict())
    attachment = Attachment({"m": model}).attach(make(model, method, layer, generator), scale=0.6)
    unmerged = module(x)
    attachment.merge()
    torch.testing.assert_close(module(x), unmerged, rtol=1e-4, atol=1e-5)
    attachment.unmerge()
    torch.testing.assert_close(module(x), unmerged, rtol=0, atol=0)
    attachment.detach()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_detaching_leaves_no_trace(model: Layers, generator: torch.Generator, method: str, layer: str) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 2, generator)
    before, keys, attributes = module(x), set(model.state_dict()), set(vars(module))
    attachment = Attachment({"m": model}).attach(make(model, method, layer, generator))
    assert set(model.state_dict()) == keys
    attachment.detach()
    assert set(vars(module)) == attributes
    assert torch.equal(module(x), before)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_two_adapters_add_with_their_scales(model: Layers, generator: torch.Generator, method: str, layer: str) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 2, generator)
    first, second = make(model, method, layer, generator), make(model, method, layer, generator)
    before = module(x)
    effects = []
    for adapter, scale in ((first, 0.5), (second, -0.8)):
        with attached({"m": model}, adapter, scale=scale):
            effects.append(module(x) - before)
    both = before + effects[0] + effects[1]
    if first.layers[f"m.{layer}"].joined(second.layers[f"m.{layer}"]) is not None:
        with attached({"m": model}, add([first, second], [0.5, -0.8])):
            both = module(x)
    attachment = Attachment({"m": model}).attach(first, "first", 0.5).attach(second, "second", -0.8)
    torch.testing.assert_close(module(x), both, rtol=1e-4, atol=1e-4)
    attachment.enable(False, "first")
    torch.testing.assert_close(module(x), before + effects[1], rtol=1e-4, atol=1e-4)
    attachment.set_scale(0.0, "second")
    torch.testing.assert_close(module(x), before, rtol=0, atol=0)
    attachment.detach()


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_an_adapter_acts_only_where_it_may(model: Layers, generator: torch.Generator, method: str, layer: str) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 2, generator)
    first, second = make(model, method, layer, generator), make(model, method, layer, generator)
    before = module(x)
    with attached({"m": model}, first):
        alone = module(x)
    attachment = Attachment({"m": model}).attach(first, "first").attach(second, "second")
    both = module(x)
    half = torch.linspace(0, 1, before.shape[-1]).round()
    attachment.confine(lambda spec, y: half, "second")
    torch.testing.assert_close(module(x), torch.where(half == 1, both, alone), rtol=1e-4, atol=1e-4)
    attachment.confine(lambda spec, y: 0.0, "second")
    assert torch.equal(module(x), alone)
    with pytest.raises(BadConfig, match="in some places only"):
        attachment.merge()
    attachment.confine(None, "second")
    torch.testing.assert_close(module(x), both)
    attachment.merge()
    torch.testing.assert_close(module(x), both, rtol=1e-3, atol=1e-4)
    attachment.detach()
    assert torch.equal(module(x), before)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_one_adapter_may_be_on_several_bases(
    model: Layers, generator: torch.Generator, method: str, layer: str
) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 2, generator)
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    adapter = make(model, method, layer, generator)
    with attached({"m": model}, adapter):
        expected = module(x)
        with attached({"m": other}, adapter):
            torch.testing.assert_close(module(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_gradients_are_exact(model: Layers, generator: torch.Generator, method: str, layer: str) -> None:
    model.double()
    adapter = make(model, method, layer, generator)
    name, module = f"m.{layer}", model.get_submodule(layer)
    x = sample_input(layer, 2, generator)
    x = x.double() if x.is_floating_point() else x
    keys = list(adapter.values[name])

    def forward(*values: Tensor) -> Tensor:
        adapter.values[name] = dict(zip(keys, values, strict=True))
        with attached({"m": model}, adapter, scale=0.6):
            return module(x)

    values = [adapter.values[name][key].detach().double().requires_grad_() for key in keys]
    assert torch.autograd.gradcheck(forward, values)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_files_keep_everything(
    model: Layers, generator: torch.Generator, tmp_path: Path, method: str, layer: str
) -> None:
    adapter = make(model, method, layer, generator)
    adapter.provenance.facts |= {"trigger": "sks cat", "numbers": [1, 2.5]}
    save_adapter(adapter, tmp_path / "a.safetensors")
    loaded = load_adapter(tmp_path / "a.safetensors")
    assert (loaded.space, loaded.provenance) == (adapter.space, adapter.provenance)
    for name, value in adapter.named_parameters().items():
        assert torch.equal(loaded.named_parameters()[name], value)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_half_precision_bases_take_float32_parameters(
    model: Layers, generator: torch.Generator, method: str, layer: str
) -> None:
    adapter, x = make(model, method, layer, generator), sample_input(layer, 2, generator)
    expected = dense(model, layer, adapter, 1.0)(x)
    model.to(torch.bfloat16)
    module = model.get_submodule(layer)
    with attached({"m": model}, adapter):
        y = module(x.to(torch.bfloat16) if x.is_floating_point() else x)
    assert y.dtype is torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_autocast_runs_and_gives_float32_gradients(
    model: Layers, generator: torch.Generator, method: str, layer: str
) -> None:
    adapter = make(model, method, layer, generator)
    with attached({"m": model}, adapter), torch.autocast("cpu", torch.bfloat16):
        model.get_submodule(layer)(sample_input(layer, 2, generator)).float().square().sum().backward()
    assert all(p.grad is not None and p.grad.dtype is torch.float32 for p in adapter.named_parameters().values())


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_compiles_without_graph_breaks(model: Layers, generator: torch.Generator, method: str, layer: str) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 2, generator)
    with attached({"m": model}, make(model, method, layer, generator)):
        expected = module(x)
        torch.compiler.reset()
        compiled = torch.compile(lambda value: module(value), fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(x), expected, rtol=1e-5, atol=1e-5)
