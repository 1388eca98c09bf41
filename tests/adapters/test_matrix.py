"""Properties every method has on every kind of layer it adapts. Parameters are random, never the no-op start."""

import copy
from pathlib import Path

import pytest
import torch
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
    stack,
    unstack,
)
from portraitist.adapters.layer import Kind
from portraitist.errors import BadConfig

CONFIGS = {
    "lora": {"rank": 3, "alpha": 2.0},
    "krona": {"out_factor": 2, "in_factor": 4, "scale": 0.7},
    "lidb": {"a": 6, "b": 5, "rank": 2},
    "svdiff": {"leak": 0.1},
    "textual-inversion": {"token_ids": (2, 7, 5)},
    "full": {},
}


class Layers(nn.Module):
    """One layer of each adaptable kind, each reached by its own input."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 8)
        self.wide_linear = nn.Linear(12, 20)
        self.conv1x1 = nn.Conv2d(4, 6, 1)
        self.conv3x3 = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(4, 6, 3, groups=2)
        self.transposed = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1)
        self.group_norm = nn.GroupNorm(2, 4)
        self.layer_norm = nn.LayerNorm(12)
        self.embedding = nn.Embedding(10, 6)
        self.short_embedding = nn.Embedding(10, 12)


def sample_input(name: str, batch: int, generator: torch.Generator) -> Tensor:
    if name in ("linear", "wide_linear", "layer_norm"):
        return torch.randn(batch, 5, 12, generator=generator)
    if name in ("embedding", "short_embedding"):
        return torch.stack([torch.randperm(10, generator=generator) for _ in range(batch)])
    return torch.randn(batch, 4, 7, 7, generator=generator)


KINDS = {
    "linear": Kind.LINEAR,
    "wide_linear": Kind.LINEAR,
    "conv1x1": Kind.CONV,
    "conv3x3": Kind.CONV,
    "grouped": Kind.CONV,
    "transposed": Kind.TRANSPOSED,
    "group_norm": Kind.NORM,
    "layer_norm": Kind.NORM,
    "embedding": Kind.EMBEDDING,
    "short_embedding": Kind.EMBEDDING,
}
# Methods that adapt convolutions with groups; the others say that they do not.
GROUPED = ("svdiff", "full")
MATRIX = [
    pytest.param(method.name, layer, id=f"{method.name}-{layer}")
    for method in list_methods()
    for layer, kind in KINDS.items()
    if kind in method.layers and (layer != "grouped" or method.name in GROUPED)
]


@pytest.fixture
def model() -> Layers:
    torch.manual_seed(0)
    return Layers()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def make(model: nn.Module, method: str, layer: str, generator: torch.Generator, bank: int = 0) -> Adapter:
    """Return an adapter with random parameters, perhaps with a bank axis."""
    adapter = Adapter.create(method, CONFIGS[method], find_layers({"m": model}, [f"m.{layer}"]), generator)
    for tensors in adapter.values.values():
        for key, value in tensors.items():
            shape = (bank, *value.shape) if bank else value.shape
            tensors[key] = nn.Parameter(0.3 * torch.randn(shape, generator=generator))
    return adapter


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
    with pytest.raises(BadConfig, match="at some places only"):
        attachment.merge()
    attachment.confine(None, "second")
    torch.testing.assert_close(module(x), both)
    attachment.merge()
    torch.testing.assert_close(module(x), both, rtol=1e-3, atol=1e-4)
    attachment.detach()
    assert torch.equal(module(x), before)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_a_bank_equals_separate_adapters(model: Layers, generator: torch.Generator, method: str, layer: str) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 6, generator)
    bank = make(model, method, layer, generator, bank=3)
    with attached({"m": model}, bank, scale=0.6):
        together = module(x)
    for index in range(3):
        alone = copy.copy(bank)
        alone.values = {
            name: {key: value[index] for key, value in tensors.items()} for name, tensors in bank.values.items()
        }
        with attached({"m": model}, alone, scale=0.6):
            expected = module(x)[2 * index : 2 * index + 2]
        torch.testing.assert_close(together[2 * index : 2 * index + 2], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_a_bank_learns_what_separate_adapters_learn(
    model: Layers, generator: torch.Generator, method: str, layer: str
) -> None:
    module, x, name = model.get_submodule(layer), sample_input(layer, 6, generator), f"m.{layer}"
    bank = make(model, method, layer, generator, bank=3)
    with attached({"m": model}, bank):
        y = module(x)
    weights = torch.randn(y.shape, generator=generator)
    (y * weights).sum().backward()
    for index in range(3):
        alone = copy.copy(bank)
        leaves = {key: nn.Parameter(value[index].detach().clone()) for key, value in bank.values[name].items()}
        alone.values = {name: leaves}
        with attached({"m": model}, alone):
            (module(x) * weights)[2 * index : 2 * index + 2].sum().backward()
        for key, leaf in leaves.items():
            torch.testing.assert_close(bank.values[name][key].grad[index], leaf.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_a_single_adapter_beside_a_bank_acts_on_every_sample(
    model: Layers, generator: torch.Generator, method: str, layer: str
) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 4, generator)
    bank, single = (
        stack([make(model, method, layer, generator) for _ in range(2)]),
        make(model, method, layer, generator),
    )
    attachment = Attachment({"m": model}).attach(bank, "bank", 4.0).attach(single, "single", 4.0)
    together = module(x)
    attachment.detach()
    for index, one in enumerate(unstack(bank)):
        attachment = Attachment({"m": model}).attach(one, "one", 4.0).attach(single, "single", 4.0)
        expected = module(x)[2 * index : 2 * index + 2]
        attachment.detach()
        torch.testing.assert_close(together[2 * index : 2 * index + 2], expected, rtol=1e-4, atol=1e-4)


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
def test_every_sample_may_name_its_adapter(model: Layers, generator: torch.Generator, method: str, layer: str) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 8, generator)
    adapters = [make(model, method, layer, generator) for _ in range(3)]
    samples = [2, None, 2, 0]
    attachment = Attachment({"m": model}).attach(stack(adapters), scale=0.6)
    attachment.serve(samples)
    together = module(x)
    attachment.detach()
    for index, number in enumerate([*samples, *samples]):
        sample = x[index : index + 1]
        if number is None:
            torch.testing.assert_close(together[index : index + 1], module(sample), rtol=1e-5, atol=1e-5)
            continue
        with attached({"m": model}, adapters[number], scale=0.6):
            torch.testing.assert_close(together[index : index + 1], module(sample), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
def test_every_sample_may_have_its_strength(model: Layers, generator: torch.Generator, method: str, layer: str) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 4, generator)
    adapters = [make(model, method, layer, generator) for _ in range(2)]
    samples, scales = [1, 0, None, 1], [0.5, -1.5, 7.0, 2.0]
    attachment = Attachment({"m": model}).attach(stack(adapters))
    attachment.serve(samples, scales=scales)
    attachment.set_scale(0.6)
    together = module(x)
    attachment.detach()
    for index, (number, scale) in enumerate(zip(samples, scales, strict=True)):
        sample = x[index : index + 1]
        if number is None:
            torch.testing.assert_close(together[index : index + 1], module(sample), rtol=1e-5, atol=1e-5)
            continue
        with attached({"m": model}, adapters[number], scale=0.6 * scale):
            torch.testing.assert_close(together[index : index + 1], module(sample), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("method", "layer"), MATRIX)
@pytest.mark.parametrize("size", [0, 2])
def test_gradients_reach_whatever_made_the_values_that_are_fed(
    model: Layers, generator: torch.Generator, method: str, layer: str, size: int
) -> None:
    module, x = model.get_submodule(layer), sample_input(layer, 4, generator)
    fed = make(model, method, layer, generator, bank=size)
    flat = fed.space.flatten(fed.values).detach().requires_grad_()
    blank = Adapter.create(method, CONFIGS[method], list(fed.space.specs.values()), generator)
    attachment = Attachment({"m": model}).attach(blank)
    frozen = module(x)
    attachment.feed("default", flat)
    y = module(x)
    y.square().sum().backward()
    attachment.feed("default", None)
    torch.testing.assert_close(module(x), frozen, rtol=0, atol=0)
    attachment.detach()
    with attached({"m": model}, fed):
        expected = module(x)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)
    expected.square().sum().backward()
    grads = {name: {key: value.grad for key, value in tensors.items()} for name, tensors in fed.values.items()}
    torch.testing.assert_close(flat.grad, fed.space.flatten(grads), rtol=1e-5, atol=1e-6)
    assert flat.grad is not None
    assert flat.grad.abs().max() > 0


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


def test_a_bank_is_not_merged(model: Layers, generator: torch.Generator) -> None:
    weight = model.linear.weight.clone()
    attachment = Attachment({"m": model}).attach(make(model, "lora", "linear", generator, bank=2))
    with pytest.raises(BadConfig, match="bank"):
        attachment.merge()
    assert torch.equal(model.linear.weight, weight)


def test_a_batch_that_is_no_equal_groups_is_refused(model: Layers, generator: torch.Generator) -> None:
    with (
        attached({"m": model}, make(model, "lora", "linear", generator, bank=2)),
        pytest.raises(ValueError, match="2 equal groups, got 3"),
    ):
        model.linear(sample_input("linear", 3, generator))
