"""Identities that are drawn: different ones, of their split alone, each in several scenes."""

import numpy as np
import pytest

from portraitist.errors import BadConfig
from portraitist.hypernetworks.identities.sources.drawn import DrawnSource, choose_kinds
from portraitist.hypernetworks.identities.sources.source import Words
from portraitist.toyland.world.identities import sample_identity

WORDS = Words("a photo of a {}", "sks")
CAT = sample_identity(np.random.default_rng(0), "test", "cat")


def source(
    count: int = 8, split: str = "train", photos: int = 3, words: str = "all", side: int = 64, alike: int = 0
) -> DrawnSource:
    return DrawnSource(choose_kinds([words]), count, split, photos, side, WORDS, seed=1, alike=alike)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_everybody_is_different_and_of_the_split(split: str) -> None:
    chosen = source(60, split).chosen
    assert {who.split for who in chosen} == {split}
    assert len({who.name for who in chosen}) == 60
    assert len({who.parts for who in chosen if who.kind == "cat"}) == 15


def test_a_longer_source_begins_with_a_shorter_one() -> None:
    assert source(20).chosen[:8] == source(8).chosen


def test_photos_have_scenes_captions_and_labels_of_their_own() -> None:
    drawn = source().identity(0)
    assert drawn.kind == drawn.class_noun == "person"
    assert drawn.prompt == "a photo of a sks person"
    assert len({photo.prompt for photo in drawn.photos}) == 3
    assert len({photo.labels["scene"] for photo in drawn.photos}) == 3
    for photo in drawn.photos:
        assert photo.pixels.shape == (64, 64, 3)
        assert photo.prompt.startswith("a photo of a sks person ")
        assert photo.caption.startswith("a photo of a ")
        assert " person with " in photo.caption
        assert " wearing " in photo.prompt, "clothes are no part of who somebody is"
        assert photo.labels["identities"] == [drawn.key]
    assert {"hair", "hair colour", "nose", "glasses"} < dict(drawn.provenance)["parts"].keys()


def test_an_identity_is_the_same_whenever_it_is_asked_for_and_however_many_photos() -> None:
    once, again = source().identity(2), source(count=5, photos=12).identity(2)
    assert once.key == again.key
    for one, other in zip(once.photos, again.photos, strict=False):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert (one.prompt, one.caption) == (other.prompt, other.caption)
    assert len(again.photos) == 12


def test_the_first_photos_can_differ_by_who_is_on_them_alone() -> None:
    first, second = (source(words="people", photos=4, alike=2).identity(number) for number in (0, 1))
    assert first.key != second.key
    prompts = [[photo.prompt for photo in each.photos] for each in (first, second)]
    assert prompts[0][:2] == prompts[1][:2]
    assert prompts[0][2:] != prompts[1][2:]
    alone = source(words="people", photos=4).identity(0)
    assert [photo.prompt for photo in alone.photos[2:]] == prompts[0][2:], "the others are as they always are"
    for one, other in zip(first.photos[:2], second.photos[:2], strict=True):
        same = (one.pixels == other.pixels).all(-1)
        assert 0.1 < same.mean() < 0.9, "the same place, another person"


def test_kinds_are_named_as_people_say_them() -> None:
    assert choose_kinds(["cats", "person"]) == ("person", "cat")
    assert {who.kind for who in source(words="people").chosen} == {"person"}
    assert source(words="people").name == "toyland:people"
    assert source().name == "toyland:all"
    with pytest.raises(BadConfig, match="toyland has no kind 'dogs'; it has people, cats, robots, monsters, or all"):
        choose_kinds(["dogs"])


def test_more_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portraitist.hypernetworks.identities.sources.drawn.sample_identity", lambda *_: CAT)
    with pytest.raises(BadConfig, match=r"only about 1 different cats in the split test, too few for --count 2"):
        _ = source(2, "test", words="cats").chosen
