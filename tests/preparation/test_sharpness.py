"""The measure of sharpness: what lowers it, and what must not."""

from itertools import pairwise

import numpy as np
import pytest
from drawn_photos import draw_photo
from PIL import Image, ImageEnhance, ImageFilter

from portraitist.preparation.sharpness import sharpness, shrink


def moved(picture: Image.Image, direction: tuple[int, int]) -> Image.Image:
    """Smear a picture over nine pixels in a direction."""
    pixels = np.asarray(picture).astype(float)
    smeared = np.mean([np.roll(pixels, (step * direction[1], step * direction[0]), (0, 1)) for step in range(9)], 0)
    return Image.fromarray(smeared.astype(np.uint8))


@pytest.mark.parametrize("seed", range(3))
def test_more_blur_is_less_sharp(seed: int) -> None:
    photo = draw_photo(seed)
    values = [sharpness(photo.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 0.7, 1.5, 3)]
    assert all(earlier > 2 * later for earlier, later in pairwise(values))


@pytest.mark.parametrize("direction", [(1, 0), (0, 1), (1, 1), (-1, 1)])
def test_a_moved_camera_shows_in_every_direction(direction: tuple[int, int]) -> None:
    photo = draw_photo(1)
    assert sharpness(moved(photo, direction)) < sharpness(photo) / 5


def test_light_and_a_soft_background_do_not_count() -> None:
    photo = draw_photo(2)
    assert sharpness(ImageEnhance.Brightness(photo).enhance(0.4)) == pytest.approx(sharpness(photo), rel=0.15)
    soft = photo.filter(ImageFilter.GaussianBlur(6))
    soft.paste(photo.crop((80, 64, 240, 192)), (80, 64))
    assert sharpness(soft) > sharpness(photo) / 3
    assert sharpness(soft) > 50 * sharpness(photo.filter(ImageFilter.GaussianBlur(6)))


def test_nothing_to_see_is_not_sharp() -> None:
    assert sharpness(Image.new("RGB", (300, 200), "red")) == 0
    assert sharpness(Image.new("RGB", (4, 4), "red")) == 0


def test_it_is_measured_at_one_size() -> None:
    """A larger file of the same soft picture is not softer."""
    photo = draw_photo(3, (640, 512))
    assert sharpness(photo.resize((1280, 1024), Image.Resampling.LANCZOS)) == pytest.approx(sharpness(photo), rel=0.5)


def test_shrinking_keeps_shape_and_never_enlarges() -> None:
    assert shrink(Image.new("RGB", (4000, 3000)), 300).size == (400, 300)
    assert shrink(Image.new("RGB", (3000, 10)), 300).size == (3000, 10)
