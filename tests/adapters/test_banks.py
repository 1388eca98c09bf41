"""Stacking adapters into banks, taking them apart, and naming one for each sample."""

import pytest
import torch
from torch import nn

from portraitist.adapters import Adapter, Attachment, find_layers, stack, unstack
from portraitist.errors import BadConfig


@pytest.fixture
def components() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"m": nn.ModuleDict({"x": nn.Linear(6, 4), "y": nn.Linear(6, 4)})}


def lora(components: dict[str, nn.Module], seed: int, pattern: str = "m.*", **config: object) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    adapter = Adapter.create("lora", config, find_layers(components, [pattern]), generator)
    for parameter in adapter.named_parameters().values():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return adapter


def test_unstacking_gives_back_what_was_stacked(components: dict[str, nn.Module]) -> None:
    adapters = [lora(components, seed) for seed in range(3)]
    for before, after in zip(adapters, unstack(stack(adapters)), strict=True):
        for name, value in before.named_parameters().items():
            assert torch.equal(after.named_parameters()[name], value)


def test_adapters_that_do_not_fit_make_no_bank(components: dict[str, nn.Module]) -> None:
    with pytest.raises(BadConfig, match="at least one"):
        stack([])
    with pytest.raises(BadConfig, match=r"adapter 2 is lora .*rank=2"):
        stack([lora(components, 0), lora(components, 1, rank=2)])
    with pytest.raises(BadConfig, match=r"differ in layer m\.y"):
        stack([lora(components, 0), lora(components, 1, "m.x")])


def test_samples_that_name_no_adapter_are_refused(components: dict[str, nn.Module]) -> None:
    attachment = Attachment(components).attach(stack([lora(components, 0), lora(components, 1)]))
    with pytest.raises(BadConfig, match="bank of 2"):
        attachment.serve([0, 2])
    with pytest.raises(BadConfig, match="bank of 2"):
        attachment.serve([])
    attachment.serve([0, 1, 1])
    with pytest.raises(ValueError, match="named for 3 samples, but the batch has 4"):
        components["m"]["x"](torch.randn(4, 6))
    attachment.attach(lora(components, 2), "single")
    with pytest.raises(BadConfig, match="'single' is a single adapter"):
        attachment.serve([0], "single")


def test_serving_ends(components: dict[str, nn.Module]) -> None:
    bank, x = stack([lora(components, 0), lora(components, 1)]), torch.randn(2, 6)
    attachment, layer = Attachment(components).attach(bank), components["m"]["x"]
    in_order = layer(x)
    attachment.serve([1, 0])
    torch.testing.assert_close(layer(x.flip(0)), in_order.flip(0))
    attachment.serve(None)
    assert torch.equal(layer(x), in_order)
