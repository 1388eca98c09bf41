"""Uniform bars around photos."""

import pytest
from drawn_photos import draw_photo
from PIL import Image, ImageOps

from portraitist.preparation.borders import find_borders


def with_bars(seed: int, left: int, top: int, right: int, bottom: int, colour: str = "black") -> Image.Image:
    return ImageOps.expand(draw_photo(seed), (left, top, right, bottom), colour)


@pytest.mark.parametrize("bars", [(0, 40, 0, 40), (30, 0, 50, 0), (20, 20, 20, 20), (0, 0, 0, 60)])
@pytest.mark.parametrize("colour", ["black", "white"])
def test_bars_are_found_where_they_end(bars: tuple[int, int, int, int], colour: str) -> None:
    left, top, _, _ = bars
    found = find_borders(with_bars(1, *bars, colour))
    assert found is not None
    wanted = (left, top, left + 320, top + 256)
    assert all(abs(one - other) <= 1 for one, other in zip(found, wanted, strict=True)), found


def test_photos_without_bars_have_none() -> None:
    assert all(find_borders(draw_photo(seed)) is None for seed in range(5))


def test_a_plain_background_is_no_bar() -> None:
    """Something small before white, as in a shop's catalogue."""
    photo = Image.new("RGB", (320, 256), "white")
    photo.paste(draw_photo(2).resize((80, 120)), (120, 70))
    assert find_borders(photo) is None
    assert find_borders(Image.new("RGB", (320, 256), "black")) is None
