"""Near-duplicates: what people do to a photo leaves it near, another photo is far."""

import io
from itertools import combinations

import pytest
from drawn_photos import draw_photo
from PIL import Image, ImageEnhance, ImageOps

from portraitist.preparation.duplicates import Look


def saved_again(photo: Image.Image) -> Image.Image:
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=25)
    return Image.open(content).convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        saved_again,
        ImageOps.mirror,
        lambda photo: photo.resize((160, 128)),
        lambda photo: ImageEnhance.Brightness(photo).enhance(0.8),
        lambda photo: photo.crop((4, 4, 316, 252)),
    ],
    ids=["saved again", "mirrored", "smaller", "darker", "cropped"],
)
def test_a_changed_copy_is_near(change: object) -> None:
    photo = draw_photo(0)
    assert min(Look.of(photo).distances(Look.of(change(photo)))) <= 6  # type: ignore[operator]


def test_other_photos_are_far() -> None:
    looks = [Look.of(draw_photo(seed)) for seed in range(6)]
    for one, other in combinations(looks, 2):
        assert one.distances(other)[0] > 12
        assert one.distances(other)[1] > 6
        assert one.distances(other) == other.distances(one)
