"""The encoders in the package reach on newly drawn test identities what their model card says."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from portraitist.evaluation.encoders import EmbedsTexts, embed_captions, embed_images, load_encoder
from portraitist.toyland.first.config import load_config
from portraitist.toyland.first.encoder_stages import differing
from portraitist.toyland.first.world.dataset import load_dataset, write_dataset
from portraitist.toyland.first.world.portraits import load_portraits, write_portraits

PORTRAITS = load_config().portraits


def top1(asked: torch.Tensor, known: torch.Tensor) -> float:
    return float(((asked @ known.T).argmax(1) == torch.arange(len(known))).float().mean())


@pytest.mark.parametrize(("name", "least", "most"), [("identity", 0.90, 0.92), ("dino", 0.08, 0.10)])
def test_a_second_photo_finds_the_first_among_200(
    portraits: list[list[Image.Image]], name: str, least: float, most: float
) -> None:
    encoder = load_encoder(f"toyland-{name}")
    known, asked = (embed_images(encoder, [pair[which] for pair in portraits]) for which in (0, 1))
    assert len(known) == 200
    assert least <= top1(asked, known) <= most


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> list[list[Image.Image]]:
    folder = tmp_path_factory.mktemp("portraits")
    write_portraits(folder, PORTRAITS.test_identities, 2, "test", PORTRAITS.seed, "photo")
    return [[Image.fromarray(picture) for picture in pair] for pair in load_portraits(folder)[0]]


def test_a_picture_finds_its_caption_among_100(tmp_path: Path) -> None:
    write_dataset(tmp_path, PORTRAITS.test_pictures, "test", PORTRAITS.seed, load_config().world.captions_per_picture)
    data = load_dataset(tmp_path)
    encoder = load_encoder("toyland-clip")
    assert isinstance(encoder, EmbedsTexts)
    chosen = differing([captions[0] for captions in data.captions], 100)
    pictures = embed_images(encoder, [Image.fromarray(data.images[index]) for index in chosen])
    captions = embed_captions(encoder, [data.captions[index][0] for index in chosen])
    groups = [
        top1(pictures[start : start + 100], captions[start : start + 100]) for start in range(0, len(chosen) - 99, 100)
    ]
    assert len(groups) >= 9
    assert 0.94 <= sum(groups) / len(groups) <= 0.96
