"""Identities that are drawn: different ones, of their split alone, each in several scenes."""

import numpy as np
import pytest

from portraitist.errors import BadConfig
from portraitist.hypernetworks.identities.sources.drawn import DrawnSource, choose_kinds
from portraitist.hypernetworks.identities.sources.source import Words
from portraitist.hypernetworks.identities.sources.worlds import world_of

WORDS = Words("a photo of a {}", "sks")


@pytest.fixture(params=[64, 128], ids=["first world", "second world"])
def side(request: pytest.FixtureRequest) -> int:
    return request.param


def source(side: int, count: int = 8, split: str = "train", photos: int = 3, words: str = "all") -> DrawnSource:
    world = world_of(side)
    return DrawnSource(world, choose_kinds([words], world), count, split, photos, side, WORDS, seed=1)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_everybody_is_different_and_of_the_split(side: int, split: str) -> None:
    chosen = source(side, 60, split).chosen
    assert {who.split for who in chosen} == {split}
    assert len({who.name for who in chosen}) == 60
    assert len({who.parts for who in chosen if who.kind == "cat"}) == 15


def test_a_longer_source_begins_with_a_shorter_one(side: int) -> None:
    assert source(side, 20).chosen[:8] == source(side, 8).chosen


def test_photos_have_scenes_captions_and_labels_of_their_own() -> None:
    drawn = source(64).identity(3)
    assert drawn.kind == drawn.class_noun == "person"
    assert drawn.prompt == "a photo of a sks person"
    assert len({photo.prompt for photo in drawn.photos}) == 3
    assert len({photo.labels["scene"] for photo in drawn.photos}) == 3
    for photo in drawn.photos:
        assert photo.pixels.shape == (64, 64, 3)
        assert photo.prompt.startswith("a photo of a sks person ")
        assert photo.caption.startswith("a photo of a person with ")
        assert photo.labels["identities"] == [drawn.key]
    assert dict(drawn.provenance)["parts"].keys() == {"body", "facialhair", "top"}


def test_an_identity_is_the_same_whenever_it_is_asked_for_and_however_many_photos() -> None:
    once, again = source(64).identity(2), source(64, count=5, photos=12).identity(2)
    assert once.key == again.key
    for one, other in zip(once.photos, again.photos, strict=False):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert (one.prompt, one.caption) == (other.prompt, other.caption)
    assert len(again.photos) == 12


def test_kinds_are_named_as_people_say_them() -> None:
    world = world_of(64)
    assert choose_kinds(["cats", "person"], world) == ("cat", "person")
    assert {who.kind for who in source(64, words="people").chosen} == {"person"}
    assert source(64, words="people").name == "toyland:people"
    assert source(64).name == "toyland:all"
    with pytest.raises(BadConfig, match="toyland has no kind 'dogs'; it has robots, cats, monsters, people, or all"):
        choose_kinds(["dogs"], world)


def test_more_than_there_are_is_refused() -> None:
    # One cat of the first world in ten is kept for tests: a few hundred.
    with pytest.raises(BadConfig, match=r"only about .* different cats in the split test, too few for --count 5000"):
        _ = source(64, 5000, "test", words="cats").chosen
