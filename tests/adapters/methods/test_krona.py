"""Factors, presets and initialisations of DiffuseKronA."""

import pytest
import torch
from torch import nn

from portraitist.adapters import Adapter, find_layers, get_method
from portraitist.errors import BadConfig


def make(**config: object) -> dict[str, torch.Tensor]:
    components = {"m": nn.ModuleDict({"x": nn.Linear(320, 640)})}
    generator = torch.Generator().manual_seed(0)
    return Adapter.create("krona", config, find_layers(components, ["m.x"]), generator).values["m.x"]


# Standard deviations of A [4, 64] and B [160, 5], and whether the model is unchanged at the start.
INITIALISATIONS = {
    "random-zero": (1 / 64, 0.0, True),
    "zero-random": (0.0, 1 / 5, True),
    "normal-normal": (1 / 64, 1 / 5, False),
    "kaiming-zero": ((1 / 3 / 64) ** 0.5, 0.0, True),
    "xavier-xavier": ((2 / 68) ** 0.5, (2 / 165) ** 0.5, False),
}


@pytest.mark.parametrize("init", INITIALISATIONS)
def test_initialisations_of_the_ablation(init: str) -> None:
    parameters = {key: value.detach() for key, value in make(init=init).items()}
    a, b, unchanged = INITIALISATIONS[init]
    assert (parameters["a"].shape, parameters["b"].shape) == ((4, 64), (160, 5))
    assert float(parameters["a"].std()) == pytest.approx(a, rel=0.15)
    assert float(parameters["b"].std()) == pytest.approx(b, rel=0.15)
    assert (float(torch.kron(parameters["a"], parameters["b"]).abs().max()) == 0) is unchanged


@pytest.mark.parametrize(
    ("preset", "factors"),
    [
        ("paper", (4, 64)),
        ("paper-2", (2, 64)),
        ("paper-8", (8, 64)),
        ("paper-16", (16, 64)),
        ("release-script", (64, 8)),
    ],
)
def test_presets(preset: str, factors: tuple[int, int]) -> None:
    krona = get_method("krona")
    config = krona.parse_config({"out_factor": 1, "in_factor": 1, "preset": preset})
    assert krona.plain_config(config) == krona.plain_config(
        krona.parse_config({"out_factor": factors[0], "in_factor": factors[1]})
    )


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"preset": "best"}, "unknown preset 'best'; choose one of paper, paper-2"),
        ({"scale": float("nan")}, "scale must be a finite number below 1,000,000, not nan"),
        ({"in_factor": 0}, r"at least 1, not \(4, 0\)"),
        ({"factors": [("*.to_q", 0, 4)]}, r"at least 1, not \(0, 4\) for \*\.to_q"),
        ({"factors": [("*.to_q", 4, -2)]}, r"at least 1, not \(4, -2\)"),
    ],
)
def test_impossible_settings(config: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint):
        get_method("krona").parse_config(config)
