"""Colours: every shade deserves its name."""

import numpy as np
import pytest

from portraitist.toyland.world import colours
from portraitist.toyland.world.colours import CAT, CLOTH, HAIR, IRIS, MONSTER, ROBOT, SKIN, Shade, darker, nearest, pick

PALETTES = {"hair": HAIR, "skin": SKIN, "iris": IRIS, "cloth": CLOTH, "robot": ROBOT, "monster": MONSTER, "cat": CAT}


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_a_shade_is_nearest_to_its_own_name(palette: dict[str, Shade]) -> None:
    rng = np.random.default_rng(1)
    for name, shade in palette.items():
        drawn = [shade.draw(rng) for _ in range(100)]
        assert all(0 <= channel <= 255 for colour in drawn for channel in colour)
        assert len(set(drawn)) > 50
        assert np.mean([nearest(colour, palette) == name for colour in drawn]) >= 0.98, name


def test_the_colours_of_natural_hair_are_colours_of_hair() -> None:
    assert set(colours.NATURAL_HAIR) <= set(HAIR)


def test_names_are_drawn_evenly() -> None:
    rng = np.random.default_rng(2)
    drawn = [pick(rng, ("a", "b", "c")) for _ in range(3000)]
    assert all(900 < drawn.count(name) < 1100 for name in "abc")


def test_darker_keeps_a_share_of_the_light() -> None:
    assert darker((100, 50, 200), 0.5) == (50, 25, 100)
