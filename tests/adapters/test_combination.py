"""Several methods as one: who gets which layer, files, sums, and what cannot be combined."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from portraitist.adapters import (
    Adapter,
    Space,
    add,
    attached,
    find_layers,
    get_method,
    load_adapter,
    save_adapter,
    to_lora,
)
from portraitist.errors import BadConfig

NAME = "textual-inversion+krona"
CONFIG: dict[str, Any] = {"textual-inversion": {"token_ids": [3]}, "krona": {"out_factor": 2, "in_factor": 4}}


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 8)
        self.norm = nn.LayerNorm(8)
        self.matrix = nn.Linear(8, 6)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.matrix(self.norm(self.words(ids)))
        return out


@pytest.fixture
def components() -> dict[str, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {"m": Model()}


def draw(components: dict[str, nn.Module], method: str, patterns: list[str], config: dict[str, Any]) -> Adapter:
    adapter = Adapter.create(method, config, find_layers(components, patterns), torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    for value in adapter.named_parameters().values():
        value.data = torch.randn(value.shape, generator=generator)
        value.requires_grad_(False)
    return adapter


def test_it_does_what_the_methods_do_one_by_one(components: dict[str, nn.Module], tmp_path: Path) -> None:
    both = draw(components, NAME, ["m.words", "m.matrix"], CONFIG)
    save_adapter(both, tmp_path / "both.safetensors")
    loaded = load_adapter(tmp_path / "both.safetensors")
    assert (loaded.method.name, loaded.config) == (both.method.name, both.config)
    ids = torch.tensor([[1, 3, 5]])
    with attached(components, loaded):
        together = components["m"](ids)
    parts = [
        Adapter(Space(get_method(name), config, {layer: both.layers[layer]}), {layer: both.values[layer]})
        for name, config, layer in zip(CONFIG, both.config.parts, ("m.words", "m.matrix"), strict=True)  # type: ignore[attr-defined]
    ]
    with attached(components, parts[0]):
        alone = components["m"](ids)
        with attached(components, parts[1]):
            torch.testing.assert_close(together, components["m"](ids))
    assert (together - alone).abs().max() > 0.1


def test_a_layer_belongs_to_the_first_that_adapts_it(components: dict[str, nn.Module]) -> None:
    adapter = draw(components, "lora+svdiff", ["m.*"], {"lora": {"rank": 2}})
    assert {name: set(params) for name, params in adapter.values.items()} == {
        "m.words": {"delta"},
        "m.norm": {"delta"},
        "m.matrix": {"down", "up"},
    }
    assert Space.of("lora+svdiff", {"lora": {"rank": 2}}, find_layers(components, ["m.*"])).count == adapter.count()


def test_the_part_with_a_lora_form_becomes_one(components: dict[str, nn.Module]) -> None:
    conversion = to_lora(draw(components, NAME, ["m.words", "m.matrix"], CONFIG))
    assert conversion.dropped == ("m.words",)
    assert list(conversion.adapter.layers) == ["m.matrix"]


def test_sums_are_of_each_method(components: dict[str, nn.Module]) -> None:
    one = draw(components, "lora+full", ["m.norm", "m.matrix"], {"lora": {"rank": 2}})
    two = draw(components, "lora+full", ["m.norm", "m.matrix"], {"lora": {"rank": 1}})
    total = add([one, two])
    assert total.method.name == "lora+full"
    assert total.values["m.matrix"]["down"].shape == (3, 8)
    torch.testing.assert_close(total.values["m.norm"]["weight"], 2 * one.values["m.norm"]["weight"])


@pytest.mark.parametrize(
    ("method", "config", "complaint"),
    [
        ("krona+lora", {}, r"krona\+lora: the methods before lora adapt all that it could"),
        ("lora+lora", {}, "the methods before lora adapt all"),
        ("lora+", {}, "unknown method ''"),
        ("lora+magic", {}, "unknown method 'magic'"),
        ("lora+full", {"krona": {}}, "has settings for lora and full, not for 'krona'"),
        ("lora+full", {"lora": 4}, "the settings of lora are `name: value` lines, not 4"),
        ("lora+full", {"lora": {"rnk": 4}}, "lora has no setting 'rnk'; did you mean rank"),
    ],
)
def test_what_cannot_be_combined(
    components: dict[str, nn.Module], method: str, config: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadConfig, match=complaint):
        draw(components, method, ["m.*"], config)


def test_kinds_that_none_adapts(components: dict[str, nn.Module]) -> None:
    with pytest.raises(BadConfig, match=r"m\.norm is a norm layer; textual-inversion\+krona adapts embedding, linear"):
        draw(components, NAME, ["m.norm"], CONFIG)
