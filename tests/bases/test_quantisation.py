"""A base in fewer bits: smaller, nearly the same, and known to be the same model."""

from pathlib import Path

import pytest
import torch
from torch import nn

from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig


@pytest.fixture(scope="module")
def full(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


def linear_bytes(base: Base) -> int:
    """Return the size of all linear weights of the denoiser."""
    layers = [module for module in base.family.denoiser.modules() if isinstance(module, nn.Linear)]
    return sum(layer.weight.data.nbytes for layer in layers)


@pytest.mark.parametrize(("bits", "share", "error"), [(8, 1 / 4, 0.01), (4, 1 / 8, 0.15)])
def test_a_base_in_fewer_bits_predicts_nearly_the_same(
    tiny_base_folder: Path, full: Base, bits: int, share: float, error: float
) -> None:
    base = load_base(tiny_base_folder, bits=bits)
    assert linear_bytes(base) == pytest.approx(share * linear_bytes(full), rel=0.01)
    assert base.fingerprint == full.fingerprint
    assert base.precision == full.precision == "float32"
    generator = torch.Generator().manual_seed(0)
    size = full.pipeline.unet.config.sample_size
    latents = torch.randn(1, 4, size, size, generator=generator)
    conditions = full.family.encode_prompts(["a photo of a cat"])
    with torch.no_grad():
        wanted, found = (each.family.predict(latents, torch.tensor([500]), conditions) for each in (full, base))
    assert 0 < (found - wanted).norm() / wanted.norm() < error


def test_only_bits_there_is_a_format_for(tiny_base_folder: Path) -> None:
    with pytest.raises(BadConfig, match="8 or 4 bits, not in 3"):
        load_base(tiny_base_folder, bits=3)
