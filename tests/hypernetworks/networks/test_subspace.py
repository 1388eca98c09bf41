import pytest
import torch

from portraitist.adapters import Adapter, Attachment, LayerSpec, to_lora
from portraitist.adapters.spec import Kind
from portraitist.errors import BadConfig
from portraitist.hypernetworks.networks.subspace import SharedChanges, SubspaceConfig, SubspaceLinear

LAYERS = {"part": torch.nn.ModuleDict({"wide": torch.nn.Linear(6, 10), "narrow": torch.nn.Linear(10, 4)})}
SPECS = [LayerSpec("part.wide", Kind.LINEAR, (10, 6)), LayerSpec("part.narrow", Kind.LINEAR, (4, 10))]


def shared(changes: int = 3) -> SharedChanges:
    torch.manual_seed(0)
    return SharedChanges(SPECS, {"changes": changes})


def coefficients(count: int, people: int) -> torch.Tensor:
    return torch.randn(people, count, generator=torch.Generator().manual_seed(1))


def test_a_bank_does_what_dense_changes_do() -> None:
    space = shared().space
    bank = space.unflatten(coefficients(space.count, 2))
    x = torch.randn(4, 5, 6)
    frozen = LAYERS["part"]["wide"](x)
    attachment = Attachment(LAYERS).attach(Adapter(space, bank))
    found = LAYERS["part"]["wide"](x)
    attachment.detach()
    dense = space.layers["part.wide"].delta_weight(bank["part.wide"])
    expected = frozen + torch.einsum("ngti,noi->ngto", x.unflatten(0, (2, 2)), dense).flatten(0, 1)
    torch.testing.assert_close(found, expected)


def test_a_single_one_does_what_its_place_in_a_bank_does() -> None:
    space = shared().space
    flat = coefficients(space.count, 2)
    x, layer = torch.randn(2, 5, 6), space.layers["part.wide"]
    way = layer.way(x, space.unflatten(flat)["part.wide"], True)
    both = layer.act(way, x, x, space.unflatten(flat)["part.wide"])
    alone = layer.act(way, x[1:], x[1:], space.unflatten(flat[1])["part.wide"])
    torch.testing.assert_close(both[1:], alone)


def test_the_lora_is_exact() -> None:
    space = shared().space
    adapter = Adapter(space, space.unflatten(coefficients(space.count, 1)[0]))
    conversion = to_lora(adapter)
    assert conversion.exact
    for name, layer in space.layers.items():
        same = conversion.adapter.layers[name].delta_weight(conversion.adapter.values[name])
        torch.testing.assert_close(same, layer.delta_weight(adapter.values[name]))


def test_a_smaller_rank_keeps_the_most() -> None:
    space = shared().space
    adapter = Adapter(space, space.unflatten(coefficients(space.count, 1)[0]))
    conversion = to_lora(adapter, 1)
    for name, layer in space.layers.items():
        singular = torch.linalg.svdvals(layer.delta_weight(adapter.values[name])).square()
        assert conversion.energy[name] == pytest.approx(float(singular[0] / singular.sum()), rel=1e-4)


def test_changes_and_coefficients_have_gradients_where_coefficients_are_small() -> None:
    changes = shared()
    flat = (1e-3 * coefficients(changes.space.count, 2)).requires_grad_()
    values, x = changes.space.unflatten(flat), torch.randn(2, 5, 6)
    layer = changes.space.layers["part.wide"]
    layer.act(layer.way(x, values["part.wide"], True), x, x, values["part.wide"]).sum().backward()
    assert flat.grad is not None
    assert float(flat.grad.abs().sum()) > 0
    assert all(float(each[0].grad.abs().sum()) > 0 for each in (changes.ups, changes.downs))  # type: ignore[union-attr]


def test_coefficients_mean_nothing_without_the_changes() -> None:
    layer = SubspaceLinear(SPECS[0], SubspaceConfig(3))
    with pytest.raises(BadConfig, match="not handed over"):
        layer.delta_weight({"c": torch.zeros(3)})


def test_there_must_be_changes() -> None:
    with pytest.raises(BadConfig, match="at least 1"):
        SubspaceConfig(0)
