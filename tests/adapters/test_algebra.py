"""Sums, strengths and conversions against the dense weights they stand for."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, find_layers
from portraitist.adapters.algebra import add, bind, interpolate, keep_largest, scale, to_lora
from portraitist.errors import BadConfig, BaseMismatch

CONFIGS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 3, "alpha": 2.0},
    "krona": {"out_factor": 2, "in_factor": 4},
    "lidb": {"a": 6, "b": 5, "rank": 1},
    "svdiff": {},
    "full": {"bias": False},
}
CONVOLUTIONS = ("lora", "svdiff", "full")


@pytest.fixture
def components() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"m": nn.ModuleDict({"wide": nn.Linear(12, 20), "tall": nn.Linear(20, 12), "conv": nn.Conv2d(4, 8, 3)})}


def make(components: dict[str, nn.Module], method: str, seed: int, layers: str = "*", **config: Any) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    patterns = [f"m.{layers}"] if method in CONVOLUTIONS else [f"linear:m.{layers}"]
    adapter = Adapter.create(method, {**CONFIGS[method], **config}, find_layers(components, patterns), generator)
    for tensors in adapter.values.values():
        for key, value in tensors.items():
            tensors[key] = nn.Parameter(0.3 * torch.randn(value.shape, generator=generator))
    return bind(adapter, components)


def dense(adapter: Adapter, components: dict[str, nn.Module]) -> dict[str, Tensor]:
    bind(adapter, components)
    return {name: adapter.layers[name].delta_weight(params).detach() for name, params in adapter.values.items()}


@pytest.mark.parametrize("method", CONFIGS)
def test_lora_without_a_rank_is_exact(components: dict[str, nn.Module], method: str) -> None:
    adapter = make(components, method, 1)
    conversion = to_lora(adapter)
    assert conversion.exact
    for name, expected in dense(adapter, components).items():
        actual = conversion.adapter.layers[name].delta_weight(conversion.adapter.values[name])
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_exact_ranks_are_the_smallest(components: dict[str, nn.Module]) -> None:
    ranks = {m: to_lora(make(components, m, 1)).adapter.config.rank for m in ("lora", "lidb", "krona")}  # type: ignore[attr-defined]
    # A 2 x 4 and B 10 x 3 or 6 x 5: rank 2 times 3 or 5
    assert ranks == {"lora": 3, "lidb": 1, "krona": 10}


@pytest.mark.parametrize("method", CONFIGS)
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_lora_of_a_rank_is_the_best_there_is(components: dict[str, nn.Module], method: str, rank: int) -> None:
    adapter = make(components, method, 1)
    conversion = to_lora(adapter, rank)
    for name, change in dense(adapter, components).items():
        matrix = change.flatten(1)
        u, sigma, vt = torch.linalg.svd(matrix, full_matrices=False)
        least = torch.linalg.norm(matrix - u[:, :rank] * sigma[:rank] @ vt[:rank])
        lora = conversion.adapter.layers[name].delta_weight(conversion.adapter.values[name]).flatten(1)
        torch.testing.assert_close(torch.linalg.norm(matrix - lora), least, rtol=1e-3, atol=1e-5)
        kept = float(sigma[:rank].square().sum() / sigma.square().sum())
        assert conversion.energy[name] == pytest.approx(kept, rel=1e-4)


def test_what_lora_cannot_hold_is_named() -> None:
    components = {"m": nn.ModuleDict({"linear": nn.Linear(4, 4), "norm": nn.LayerNorm(4)})}
    adapter = Adapter.create("full", {}, find_layers(components, ["m.*"]), torch.Generator())
    assert to_lora(adapter).dropped == ("m.linear (bias)", "m.norm")
    with pytest.raises(BadConfig, match="no LoRA form"):
        add([adapter, make(components, "lora", 1, layers="linear")])


def test_convolutions_that_lora_does_not_adapt_are_named() -> None:
    layers = {"conv": nn.Conv2d(4, 4, 1), "grouped": nn.Conv2d(4, 4, 1, groups=2), "up": nn.ConvTranspose2d(4, 4, 2)}
    adapter = make({"m": nn.ModuleDict(layers)}, "svdiff", 1)
    conversion = to_lora(adapter)
    assert (set(conversion.adapter.layers), set(conversion.dropped)) == ({"m.conv"}, {"m.grouped", "m.up"})


@pytest.mark.parametrize("method", CONFIGS)
@pytest.mark.parametrize("strength", [0.5, -1.0])
def test_scale(components: dict[str, nn.Module], method: str, strength: float) -> None:
    adapter = make(components, method, 1)
    scaled = dense(scale(adapter, strength), components)
    for name, change in dense(adapter, components).items():
        if method == "svdiff":  # inside the ReLU, so not linear
            layer = adapter.layers[name]
            expected = layer.delta_weight({"delta": strength * adapter.values[name]["delta"]})
            torch.testing.assert_close(scaled[name], expected)
        else:
            torch.testing.assert_close(scaled[name], strength * change, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["lora", "krona", "lidb", "full"])
def test_sums_are_exact(components: dict[str, nn.Module], method: str) -> None:
    first, second = make(components, method, 1), make(components, method, 2)
    total = add([first, second], [0.5, -2.0])
    one, two = dense(first, components), dense(second, components)
    for name, change in dense(total, components).items():
        torch.testing.assert_close(change, 0.5 * one[name] - 2.0 * two[name], rtol=1e-4, atol=1e-5)
    assert total.method.name == ("lora" if method == "krona" else method)


def test_one_kronecker_adapter_at_another_strength_stays_one(components: dict[str, nn.Module]) -> None:
    adapter = make(components, "krona", 1)
    rescaled = add([adapter], [0.5])
    assert (rescaled.method.name, rescaled.config) == ("krona", adapter.config)
    before = dense(adapter, components)
    for name, change in dense(rescaled, components).items():
        torch.testing.assert_close(change, 0.5 * before[name])


def test_fewer_shifts_are_added_as_zeros(components: dict[str, nn.Module]) -> None:
    first, second = make(components, "svdiff", 1, rank=3), make(components, "svdiff", 2, "wide", rank=5)
    total = add([first, second], [1.0, 2.0])
    assert total.config.rank == 5  # type: ignore[attr-defined]
    short, long = first.values["m.wide"]["delta"].detach(), second.values["m.wide"]["delta"].detach()
    torch.testing.assert_close(total.values["m.wide"]["delta"], nn.functional.pad(short, (0, 2)) + 2 * long)
    assert add([first, make(components, "svdiff", 2)]).config.rank is None  # type: ignore[attr-defined]


def test_a_sum_is_for_the_first_base_that_is_known(components: dict[str, nn.Module]) -> None:
    first, second = make(components, "lora", 1), make(components, "lora", 2)
    second.provenance.facts["base"] = {"name": "known", "fingerprint": "aa"}
    assert add([first, second]).provenance.facts["base"]["name"] == "known"


def test_shifts_add_inside_the_relu(components: dict[str, nn.Module]) -> None:
    first, second = make(components, "svdiff", 1), make(components, "svdiff", 2)
    total = add([first, second])
    for name, params in total.values.items():
        expected = first.values[name]["delta"] + second.values[name]["delta"]
        torch.testing.assert_close(params["delta"], expected.detach())


def test_different_methods_add_as_lora(components: dict[str, nn.Module]) -> None:
    first, second = make(components, "lidb", 1), make(components, "krona", 2, layers="wide")
    total = add([first, second], [1.0, 0.7])
    one, two, both = (dense(adapter, components) for adapter in (first, second, total))
    torch.testing.assert_close(both["m.tall"], one["m.tall"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both["m.wide"], one["m.wide"] + 0.7 * two["m.wide"], rtol=1e-4, atol=1e-5)


def test_loras_of_different_scaling_add(components: dict[str, nn.Module]) -> None:
    first, second = make(components, "lora", 1, alpha=9.0), make(components, "lora", 2, rank=2, alpha=None)
    one, two, both = (dense(adapter, components) for adapter in (first, second, add([first, second])))
    for name in one:
        torch.testing.assert_close(both[name], one[name] + two[name], rtol=1e-4, atol=1e-5)


def test_lidb_of_other_subspaces_adds_as_lora(components: dict[str, nn.Module]) -> None:
    first, second = make(components, "lidb", 1), make(components, "lidb", 2, basis_seed=5)
    total = add([first, second])
    assert total.method.name == "lora"
    one, two, both = (dense(adapter, components) for adapter in (first, second, total))
    for name in one:
        torch.testing.assert_close(both[name], one[name] + two[name], rtol=1e-4, atol=1e-5)


def test_interpolation_ends_at_its_ends(components: dict[str, nn.Module]) -> None:
    first, second = make(components, "svdiff", 1), make(components, "svdiff", 2)
    for alpha, expected in ((1.0, first), (0.0, second)):
        for name, params in interpolate(first, second, alpha).values.items():
            torch.testing.assert_close(params["delta"], expected.values[name]["delta"].detach())


def test_the_largest_shifts_are_kept(components: dict[str, nn.Module]) -> None:
    adapter = make(components, "svdiff", 1)
    cut = keep_largest(adapter, 3)
    for name, params in cut.values.items():
        full = adapter.values[name]["delta"].detach()
        assert int((params["delta"] != 0).sum()) == 3
        assert params["delta"].abs().max() == full.abs().max()


def test_adapters_of_different_bases_are_not_added(components: dict[str, nn.Module]) -> None:
    first, second = make(components, "lora", 1), make(components, "lora", 2)
    first.provenance.facts["base"], second.provenance.facts["base"] = {"fingerprint": "aa"}, {"fingerprint": "bb"}
    with pytest.raises(BaseMismatch, match=r"different bases, .*\(fingerprint aa\) and .*\(fingerprint bb\)"):
        add([first, second])


def test_copies_of_one_base_in_two_precisions_are_one_base(components: dict[str, nn.Module]) -> None:
    first, second = make(components, "lora", 1), make(components, "lora", 2)
    first.provenance.facts["base"] = {"fingerprint": "1-2-3", "dtype": "float32"}
    second.provenance.facts["base"] = {"fingerprint": "1-2-9", "dtype": "bfloat16"}
    assert add([first, second]).provenance.facts["base"] == first.provenance.facts["base"]


def test_nothing_is_changed_in_place(components: dict[str, nn.Module]) -> None:
    adapter = make(components, "svdiff", 1)
    before = copy.deepcopy(adapter.values)
    add([scale(adapter, 2.0), keep_largest(adapter, 1)])
    for name, params in adapter.values.items():
        assert torch.equal(params["delta"], before[name]["delta"])
