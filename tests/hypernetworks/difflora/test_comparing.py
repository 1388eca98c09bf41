"""What drawn LoRAs are held against, on a tiny network."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from portraitist.hypernetworks.difflora.comparing import mean_loras, nearest_by_photo, nearest_known, variety
from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.networks.contract import Wish
from portraitist.hypernetworks.saved import load_hypernetwork
from portraitist.hypernetworks.weights.vectors import WeightVectors


@pytest.fixture(scope="module")
def network(difflora_folder: Path) -> WeightGenerator:
    """Return the tiny network, made to listen to noise and photos."""
    loaded = load_hypernetwork(str(difflora_folder)).predictor
    assert isinstance(loaded, WeightGenerator)
    generator = torch.Generator().manual_seed(0)
    for parameter in loaded.generator.parameters():
        parameter.data.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return loaded


def photos(network: WeightGenerator, count: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mixer = network.generator.features
    widths = {name: each.centre.shape[0] for name, each in zip(mixer.sources, mixer.projections, strict=True)}  # type: ignore[union-attr]
    return {name: torch.randn(count, 1, 1, width, generator=generator) for name, width in widths.items()}


def test_a_replica_is_found_out(network: WeightGenerator) -> None:
    known = network.predict(photos(network, 5, 0), Wish())
    found = nearest_known(network, known[[3, 1]], WeightVectors(known), known.mean(0))
    assert found.places.tolist() == [3, 1]
    torch.testing.assert_close(found.cosines, torch.ones(2), atol=1e-4, rtol=0)


def test_the_nearest_photo_brings_its_lora(network: WeightGenerator) -> None:
    known = photos(network, 5, 0)
    asked = {name: values[[4, 0]] + 0.01 for name, values in known.items()}
    loras = torch.arange(5.0).unsqueeze(1)
    assert nearest_by_photo(network, asked, known, loras).flatten().tolist() == [4.0, 0.0]
    assert mean_loras(network, 2).shape == (2, network.numbers)


def test_the_ends_between_two_are_the_two(network: WeightGenerator) -> None:
    first, second = photos(network, 1, 1), photos(network, 1, 2)
    drawn = torch.cat([network.between(first, second, share, Wish()) for share in (0.0, 0.5, 1.0)])
    torch.testing.assert_close(drawn[:1], network.predict(first, Wish()), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(drawn[2:], network.predict(second, Wish()), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(drawn[0], drawn[1])


def test_variety_is_none_where_all_are_the_same(network: WeightGenerator) -> None:
    drawn = torch.cat([network.predict(photos(network, 1, 1), Wish(seed=seed)) for seed in range(3)])
    assert variety(network, drawn) > 1e-5
    assert abs(variety(network, drawn[:1].expand(3, -1))) < 1e-6
