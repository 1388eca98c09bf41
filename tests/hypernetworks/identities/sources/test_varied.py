"""Variations of photos by the base, filtered; why one was dropped is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_photos import save_photos
from PIL import Image, ImageFilter

from portraitist.bases import Base, load_base
from portraitist.evaluation.encoders import Encoder, load_encoder
from portraitist.hypernetworks.identities.settings import VariationSettings
from portraitist.hypernetworks.identities.sources.folders import FolderSource
from portraitist.hypernetworks.identities.sources.painters import ImageToImage
from portraitist.hypernetworks.identities.sources.source import Words
from portraitist.hypernetworks.identities.sources.varied import VariedSource

WORDS = Words("a photo of a {}", "sks")


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("toyland-dino", "cpu")


def varied(folder: Path, base: Base, encoder: Encoder, **settings: Any) -> VariedSource:
    known = FolderSource(folder, "dog", None, "all", 6, base.family.resolution, WORDS)
    return VariedSource(known, ImageToImage(base, 0.6), VariationSettings(**settings), encoder, WORDS, 0)


def test_the_base_varies_photos_and_the_same_ones_again(tmp_path: Path, base: Base, encoder: Encoder) -> None:
    save_photos(tmp_path / "rex", 2)
    source = varied(tmp_path, base, encoder, count=3, likeness=-1, sharpness=0)
    rex = source.identity(0)
    kept = rex.provenance["variations"]["kept"]
    assert len(rex.photos) == 2 + kept
    assert kept + len(rex.provenance["variations"]["dropped"]) == 3
    assert kept >= 1
    first = rex.photos[2]
    assert first.pixels.shape == rex.photos[0].pixels.shape
    assert first.prompt.startswith("a photo of a sks dog ")
    assert first.labels["variation of"] in (0, 1)
    again = source.identity(0)
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(rex.photos, again.photos, strict=True))
    assert (source.count, source.kinds) == (1, ("dog",))


def test_what_is_not_good_is_dropped_with_the_reason(
    tmp_path: Path, base: Base, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_photos(tmp_path / "rex", 1)
    source = varied(tmp_path, base, encoder, count=4, likeness=0.9)
    (photo,) = (Image.fromarray(each.pixels) for each in source.source.identity(0).photos)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*photo.size, 3), np.uint8))
    made = iter([photo, photo.filter(ImageFilter.GaussianBlur(9)), noise, photo.rotate(180)])
    monkeypatch.setattr(source.painter, "draw", lambda *_: next(made))
    dropped = {each["variation"]: each["why"] for each in source.identity(0).provenance["variations"]["dropped"]}
    assert dropped[0] == "nearly the same as photo-0.png"
    assert dropped[1].startswith("blurred")
    assert dropped[2].startswith("unlike the photo: likeness")
