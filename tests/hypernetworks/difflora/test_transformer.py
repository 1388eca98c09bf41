import pytest
import torch

from portraitist.errors import BadConfig
from portraitist.hypernetworks.difflora.settings import GeneratorSettings
from portraitist.hypernetworks.difflora.transformer import LatentTransformer

SMALL = GeneratorSettings(depth=2, width=16, heads=2, tokens=4)


def test_it_begins_with_nothing_and_is_steered_once_it_learnt() -> None:
    torch.manual_seed(0)
    network = LatentTransformer(SMALL, 10)
    latents, times, photos = torch.randn(3, 10), torch.tensor([0, 500, 999]), torch.randn(3, 16)
    assert float(network(latents, times, photos).detach().abs().max()) == 0.0
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.1)
    first = network(latents, times, photos)
    assert first.shape == (3, 10)
    assert not torch.allclose(first, network(latents, times.flip(0), photos))
    assert not torch.allclose(first, network(latents, times, photos.flip(0)))


def test_the_papers_size() -> None:
    with torch.device("meta"):
        network = LatentTransformer(GeneratorSettings(depth=16, width=1454, heads=2, tokens=64), 19_354)
    blocks = sum(value.numel() for value in network.blocks.parameters())
    assert blocks == 16 * (18 * 1454**2 + 15 * 1454)
    assert (network.piece, network.tokens) == (303, 64)


def test_heads_divide_the_width() -> None:
    with pytest.raises(BadConfig, match="does not divide"):
        LatentTransformer(GeneratorSettings(depth=1, width=1454, heads=16, tokens=4), 10)
