"""Properties every method has in banks, served and fed. Parameters are random, never the no-op start."""

import copy

import pytest
import torch
from adapter_matrix import CONFIGS, MATRIX, Layers, make, sample_input
from torch import nn

from portraitist.adapters import (
    Adapter,
    Attachment,
    attached,
    stack,
    unstack,
)
from portraitist.errors import BadConfig


@pytest.fixture
def model() -> Layers:
    torch.manual_seed(0)
    return Layers()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


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
