"""What attaching does to modules beyond their outputs: tied weights, failures, and states that forbid changes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, Attachment, attached, find_layers
from portraitist.adapters.methods.svdiff import SpectralLayer
from portraitist.adapters.spectrum import Spectrum
from portraitist.errors import BadConfig


class Tied(nn.Module):
    """Two layers with one weight, and biases of their own; the first is not used, as the ``shared`` of T5 encoders."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(6, 6)
        self.used = nn.Linear(6, 6)
        self.used.weight = self.shared.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def draw(components: dict[str, nn.Module], method: str, patterns: list[str], **config: object) -> Adapter:
    generator = torch.Generator().manual_seed(1)
    adapter = Adapter.create(method, config, find_layers(components, patterns), generator)
    for parameter in adapter.named_parameters().values():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return adapter


@pytest.fixture
def components() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"m": nn.ModuleDict({"a": nn.Linear(6, 6), "b": nn.Linear(6, 6)})}


@pytest.mark.parametrize(("method", "config"), [("lora", {"rank": 2}), ("svdiff", {}), ("full", {})])
def test_tied_weights_are_adapted_once_and_restored(method: str, config: dict[str, object]) -> None:
    torch.manual_seed(0)
    model, x = Tied(), torch.randn(2, 6)
    components: dict[str, nn.Module] = {"m": model}
    frozen = {name: value.clone() for name, value in model.state_dict().items()}
    adapter = draw(components, method, ["m.*"], **config)
    assert list(adapter.layers) == ["m.shared"]
    before = model(x)
    attachment = Attachment(components).attach(adapter)
    unmerged = model(x)
    assert (unmerged - before).abs().max() > 1e-2
    attachment.merge()
    torch.testing.assert_close(model(x), unmerged, rtol=1e-4, atol=1e-5)
    attachment.detach()
    assert all(torch.equal(value, frozen[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(x), before)


def test_an_adapter_of_both_names_of_a_tied_weight_merges_as_it_acts() -> None:
    model, x = Tied(), torch.randn(2, 6)
    components: dict[str, nn.Module] = {"m": model}
    attachment = Attachment(components)
    attachment.attach(draw(components, "lora", ["m.shared"], rank=2), "first")
    attachment.attach(draw(components, "lora", ["m.used"], rank=2), "second", 0.5)
    before, unmerged = model.shared.weight.clone(), model(x)
    attachment.merge()
    torch.testing.assert_close(model(x), unmerged, rtol=1e-4, atol=1e-5)
    attachment.detach()
    assert torch.equal(model.shared.weight, before)


def test_every_change_of_a_merge_is_that_of_the_frozen_weight(components: dict[str, nn.Module]) -> None:
    components["m"]["a"] = nn.Linear(6, 24)
    attachment, x = Attachment(components), torch.randn(2, 6)
    attachment.attach(draw(components, "lora", ["m.a"], rank=2), "first", 3.0)
    attachment.attach(draw(components, "svdiff", ["m.a"]), "second", 3.0)
    unmerged = components["m"]["a"](x)
    attachment.merge()
    torch.testing.assert_close(components["m"]["a"](x), unmerged, rtol=1e-4, atol=1e-5)
    attachment.detach()


def test_an_attachment_that_fails_leaves_no_trace(
    components: dict[str, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, x = draw(components, "svdiff", ["m.*"]), torch.randn(2, 6)
    before, way_opens = components["m"]["a"](x), SpectralLayer._open

    def fail(layer: SpectralLayer, weight: Tensor, bias: Tensor | None, found: Spectrum) -> None:
        if layer.spec.name == "m.b":
            raise OSError("no space left")
        way_opens(layer, weight, bias, found)

    monkeypatch.setattr(SpectralLayer, "_open", fail)
    attachment = Attachment(components)
    with pytest.raises(OSError, match="no space"):
        attachment.attach(adapter)
    assert torch.equal(components["m"]["a"](x), before)
    assert "forward" not in vars(components["m"]["a"])
    assert attachment.names == []


CHANGES: dict[str, Callable[[Attachment], object]] = {
    "set_scale": lambda attachment: attachment.set_scale(0.0),
    "enable": lambda attachment: attachment.enable(False),
    "disabled": lambda attachment: attachment.disabled().__enter__(),
    "serve": lambda attachment: attachment.serve(None),
    "confine": lambda attachment: attachment.confine(None),
    "attach": lambda attachment: attachment.attach(draw(dict(attachment.components), "lora", ["m.*"]), "other"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_merged_cannot_be_changed(components: dict[str, nn.Module], change: str) -> None:
    x = torch.randn(2, 6)
    with attached(components, draw(components, "lora", ["m.*"])) as attachment:
        attachment.merge()
        merged = components["m"]["a"](x)
        with pytest.raises(BadConfig, match="unmerge before"):
            CHANGES[change](attachment)
        assert torch.equal(components["m"]["a"](x), merged)
        attachment.unmerge()
        CHANGES[change](attachment)
