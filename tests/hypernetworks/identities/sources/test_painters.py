"""Variations drawn with an IP-Adapter: of the photo, by a copy of the base, and refused where files do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_photos import save_photos
from PIL import Image
from safetensors.torch import save_file
from tiny_models import save_tiny
from transformers import CLIPTokenizer, CLIPVisionConfig, CLIPVisionModelWithProjection

from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig
from portraitist.hypernetworks.identities.sources.painters import ImageToImage, IpAdapter, choose_painter

_EMBEDDING, _TOKENS = 12, 4  # diffusers takes four tokens for granted


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def base(
    request: pytest.FixtureRequest, clip_tokenizer: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Base:
    return load_base(save_tiny(request.param, clip_tokenizer, tmp_path_factory.mktemp("bases") / request.param))


@pytest.fixture(scope="module")
def adapter(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an IP-Adapter with random weights, beside its image encoder."""
    folder = tmp_path_factory.mktemp("ip-adapter")
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8
    )
    config.projection_dim = _EMBEDDING
    torch.manual_seed(0)
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "image_encoder")
    unet = base.components["unet"]
    width = int(unet.config.cross_attention_dim)  # type: ignore[union-attr]
    tensors = {
        "image_proj.proj.weight": torch.randn(_TOKENS * width, _EMBEDDING),
        "image_proj.proj.bias": torch.zeros(_TOKENS * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    cross = [name for name in unet.attn_processors if "attn2" in name]  # type: ignore[union-attr, operator]
    for number, name in enumerate(cross):
        layer = unet.get_submodule(name.removesuffix(".processor"))
        for factor in ("k", "v"):
            out = layer.get_submodule(f"to_{factor}").weight.shape[0]  # type: ignore[union-attr]
            tensors[f"ip_adapter.{2 * number + 1}.to_{factor}_ip.weight"] = torch.randn(out, width)
    save_file(tensors, folder / "adapter.safetensors")
    return folder / "adapter.safetensors"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, base: Base) -> list[Image.Image]:
    folder = tmp_path_factory.mktemp("photos")
    save_photos(folder / "rex", 2)
    side = base.family.resolution
    return [Image.open(path).convert("RGB").resize((side, side)) for path in sorted((folder / "rex").glob("*.*"))]


def test_the_photo_decides_what_is_drawn_and_the_base_stays_as_it_was(
    base: Base, adapter: Path, photos: list[Image.Image]
) -> None:
    before = base.components["unet"].state_dict()
    painter = choose_painter(base, 0.2, str(adapter))
    assert isinstance(painter, IpAdapter)
    assert painter.name.startswith("adapter.safetensors ")
    first, again, other = (
        np.array(painter.draw(photo, "a photo of a dog", 1)) for photo in (photos[0], photos[0], photos[1])
    )
    assert first.shape[:2] == (base.family.resolution,) * 2
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    unseen = IpAdapter(base, str(adapter), 1.0)
    alike = [np.array(unseen.draw(photo, "a photo of a dog", 1)) for photo in photos]
    assert np.array_equal(*alike), "at full strength the photo says nothing"
    after = base.components["unet"].state_dict()
    assert before.keys() == after.keys()


def test_without_an_adapter_the_base_draws_from_pixels(base: Base) -> None:
    painter = choose_painter(base, 0.5, None)
    assert isinstance(painter, ImageToImage)
    assert painter.name == ""


def test_a_base_without_a_unet_takes_none(adapter: Path, clip_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    flux = load_base(save_tiny("flux", clip_tokenizer, tmp_path / "flux"))
    with pytest.raises(BadConfig, match="cannot use an IP-Adapter"):
        IpAdapter(flux, str(adapter), 0.5)


def test_files_that_do_not_fit_are_refused(base: Base, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="is not an IP-Adapter; give its"):
        IpAdapter(base, str(tmp_path / "adapter.bin"), 0.5)
    with pytest.raises(BadConfig, match="needs its image encoder in"):
        IpAdapter(base, f"{adapter}@{tmp_path / 'nowhere'}", 0.5)
    other = tmp_path / "other.safetensors"
    save_file({"something.else": torch.zeros(1)}, other)
    with pytest.raises(BadConfig, match="is not an IP-Adapter for"):
        IpAdapter(base, f"{other}@{adapter.parent / 'image_encoder'}", 0.5)
