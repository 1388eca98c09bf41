"""The artwork: every part a picture can ask for exists and has pixels."""

import importlib.util

import numpy as np
import pytest

from portraitist.errors import MissingExtra
from portraitist.toyland.first.world import artwork
from portraitist.toyland.first.world.identities import CAT_COLOURS, CAT_FURS, KINDS, MONSTER_COLOURS, ROBOT_COLOURS
from portraitist.toyland.first.world.pictures import CAT_ACCESSORIES


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_a_kind_has_files(kind: str) -> None:
    for folder in artwork.LAYERS[kind]:
        assert artwork.choices(kind, artwork.part_name(folder))


@pytest.mark.parametrize("part", ["body", "face", "eyes", "mouth", "accessory"])
def test_a_robot_part_can_be_loaded_in_every_colour(part: str) -> None:
    for colour in ROBOT_COLOURS:
        names = artwork.choices("robot", part, colour)
        assert len(names) == 10
        for name in names:
            assert np.asarray(artwork.layer("robot", part, name, colour))[..., 3].any()


def test_named_words_are_exactly_the_parts_that_exist() -> None:
    assert set(CAT_COLOURS) == set(artwork.choices("cat", "body"))
    assert set(CAT_FURS) == set(artwork.choices("cat", "fur"))
    assert set(MONSTER_COLOURS) == set(artwork.choices("monster", "facecolors"))
    assert set(CAT_ACCESSORIES) <= set(artwork.choices("cat", "accessories"))


def test_part_names_are_plain() -> None:
    assert artwork.part_name("003#01Body") == "body"
    assert artwork.part_name("000#Mouth") == "mouth"


def test_missing_artwork_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    artwork.root.cache_clear()
    monkeypatch.setattr(artwork, "find_spec", lambda name: None)
    try:
        with pytest.raises(MissingExtra, match=r"portraitist\[toyland\]"):
            artwork.root()
    finally:
        artwork.root.cache_clear()
    assert importlib.util.find_spec("robohash") is not None
