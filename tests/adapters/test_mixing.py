"""Style mixing and similarities of adapters."""

import pytest
import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, Space, attached, find_layers
from portraitist.adapters.algebra import bind
from portraitist.adapters.mixing import layer_similarities, mean_similarities, style_mix
from portraitist.errors import BadConfig, BaseMismatch

CONFIGS = {
    "svdiff": {},
    "lora": {"rank": 2},
    "full": {},
    "lidb": {"a": 6, "b": 5},
    "krona": {"out_factor": 2, "in_factor": 4},
}
SHAPE = ("net.0",)


def network() -> dict[str, nn.Module]:
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Linear(12, 8, bias=False), nn.Tanh(), nn.Linear(8, 12, bias=False))
    for parameter in module.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return {"net": module.requires_grad_(False)}


def random_adapter(components: dict[str, nn.Module], method: str, seed: int, **config: object) -> Adapter:
    specs = find_layers(components, ("linear:net.*",))
    generator = torch.Generator().manual_seed(seed)
    adapter = Adapter.create(method, config or CONFIGS[method], specs, generator)
    for tensor in adapter.named_parameters().values():
        tensor.requires_grad_(False).copy_(torch.randn(tensor.shape, generator=generator) / 5)
    return bind(adapter, components)


def changes(components: dict[str, nn.Module], adapter: Adapter) -> list[Tensor]:
    """Return the change of each layer's output, on the same input for both."""
    module = components["net"]
    found = []
    for index, width in ((0, 12), (2, 8)):
        x = torch.randn(3, width, generator=torch.Generator().manual_seed(9))
        frozen = module[index](x)  # type: ignore[index]
        with attached(components, adapter):
            found.append(module[index](x) - frozen)  # type: ignore[index]
    return found


@pytest.mark.parametrize("second", [*CONFIGS])
@pytest.mark.parametrize("first", ["svdiff", "lora"])
def test_geometry_comes_from_one_and_the_rest_from_the_other(first: str, second: str) -> None:
    components = network()
    geometry, appearance = random_adapter(components, first, 1), random_adapter(components, second, 2)
    mixed = style_mix(geometry, appearance, SHAPE)
    assert (mixed.method is geometry.method) or first != second
    found = changes(components, bind(mixed, components))
    torch.testing.assert_close(found[0], changes(components, geometry)[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], changes(components, appearance)[1], rtol=1e-4, atol=1e-5)


def test_adapters_of_unlike_ranks_are_mixed_exactly() -> None:
    components = network()
    geometry, appearance = (random_adapter(components, "lora", rank, rank=rank) for rank in (1, 3))
    found = changes(components, style_mix(geometry, appearance, SHAPE))
    torch.testing.assert_close(found[1], changes(components, appearance)[1], rtol=1e-4, atol=1e-5)


def test_a_mix_names_both_triggers_and_refuses_unlike_bases() -> None:
    components = network()
    geometry, appearance = (random_adapter(components, "svdiff", seed) for seed in (1, 2))
    geometry.provenance.facts = {"trigger": "sks cat", "base": {"fingerprint": "a"}}
    appearance.provenance.facts = {"trigger": "olo robot", "base": {"fingerprint": "a"}}
    assert style_mix(geometry, appearance, SHAPE).provenance.facts["trigger"] == "sks cat, olo robot"
    # What the first has in another component goes, and a trigger that is read there with it.
    layers = {**geometry.layers, "text_encoder.0": geometry.layers["net.2"]}
    geometry.space = Space(geometry.method, geometry.config, layers)
    geometry.values = {**geometry.values, "text_encoder.0": geometry.values["net.2"]}
    assert style_mix(geometry, appearance, SHAPE).provenance.facts["trigger"] == "olo robot"
    appearance.provenance.facts["base"] = {"fingerprint": "b"}
    with pytest.raises(BaseMismatch, match="different bases"):
        style_mix(geometry, appearance, SHAPE)
    style_mix(geometry, appearance, SHAPE, force=True)


@pytest.mark.parametrize(
    ("layers", "message"), [(("net.7",), "changes no layer net.7"), (("net.*",), "nothing of it would be left")]
)
def test_refuses_a_split_that_leaves_one_side_empty(layers: tuple[str, ...], message: str) -> None:
    components = network()
    geometry, appearance = (random_adapter(components, "svdiff", seed) for seed in (1, 2))
    with pytest.raises(BadConfig, match=message):
        style_mix(geometry, appearance, layers)


def test_similarity_is_that_of_shifts_or_of_dense_changes() -> None:
    components = network()
    shifts = random_adapter(components, "svdiff", 1)
    lora = random_adapter(components, "lora", 1)
    other = random_adapter(components, "lora", 2)
    assert layer_similarities(shifts, shifts) == pytest.approx({"net.0": 1, "net.2": 1})
    # The same change by other factors.
    same = {name: {"down": t["down"] / 2, "up": t["up"] * 2} for name, t in lora.values.items()}
    turned = Adapter(lora.space, same)
    assert layer_similarities(lora, turned) == pytest.approx({"net.0": 1, "net.2": 1})
    weights = [a.layers["net.0"].delta_weight(a.values["net.0"]).flatten() for a in (lora, other)]
    wanted = float(torch.dot(*weights) / weights[0].norm() / weights[1].norm())
    assert layer_similarities(lora, other)["net.0"] == pytest.approx(wanted, abs=1e-5)
    matrix = mean_similarities({"a": lora, "b": other, "c": turned})
    assert torch.equal(matrix, matrix.T)
    assert float(matrix[0, 2]) == pytest.approx(1)
