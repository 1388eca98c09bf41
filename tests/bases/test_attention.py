"""Cross-attention modules and the sizes of their maps."""

import pytest

from portraitist.bases.attention import map_size
from portraitist.errors import BadConfig


@pytest.mark.parametrize(
    ("pixels", "latents", "size"), [(4096, (64, 64), (64, 64)), (64, (64, 64), (8, 8)), (15 * 12, (60, 45), (15, 12))]
)
def test_the_size_of_a_map_follows_from_its_pixels(
    pixels: int, latents: tuple[int, int], size: tuple[int, int]
) -> None:
    assert map_size(pixels, latents) == size


def test_a_map_that_is_no_halving_is_refused() -> None:
    with pytest.raises(BadConfig, match="77 pixels is no halving"):
        map_size(77, (64, 64))
