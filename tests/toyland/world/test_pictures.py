"""Specifications of pictures: as asked, the same every time, and nobody in anybody's way."""

import numpy as np
import pytest

from portraitist.toyland.world.hands import worn
from portraitist.toyland.world.identities import KINDS, sample_identity
from portraitist.toyland.world.pictures import RESOLUTION, PictureSpec, sample_picture
from portraitist.toyland.world.scenes import SCENES
from portraitist.toyland.world.styles import STYLES

_FIGURE = 512


@pytest.fixture(scope="module")
def specs() -> list[PictureSpec]:
    rng = np.random.default_rng(1)
    return [sample_picture(rng) for _ in range(3000)]


def test_the_same_stream_draws_the_same_specification() -> None:
    first, again = (sample_picture(np.random.default_rng(2)) for _ in range(2))
    assert first == again
    assert hash(first) == hash(again)


def test_everything_occurs(specs: list[PictureSpec]) -> None:
    assert {spec.scene for spec in specs} == set(SCENES)
    assert {spec.style for spec in specs} == set(STYLES)
    assert {len(spec.subjects) for spec in specs} == {1, 2}
    kinds = [subject.identity.kind for spec in specs for subject in spec.subjects]
    assert abs(kinds.count("person") / len(kinds) - 0.45) < 0.06
    assert abs(np.mean([spec.style == "photo" for spec in specs]) - 0.76) < 0.03


def test_two_can_be_told_apart_by_kind_or_colour(specs: list[PictureSpec]) -> None:
    for spec in specs:
        if len(spec.subjects) == 2:
            left, right = (subject.identity for subject in spec.subjects)
            assert (left.kind, left.colour) != (right.kind, right.colour)
            assert spec.subjects[0].x < 0.35 < 0.65 < spec.subjects[1].x


def test_no_wall_is_of_a_subjects_own_colour(specs: list[PictureSpec]) -> None:
    for spec in specs:
        assert bool(spec.colour) == (spec.scene == "plain")
        assert spec.colour not in {subject.identity.colour for subject in spec.subjects}


def test_what_is_held_is_within_the_picture_and_before_nobody(specs: list[PictureSpec]) -> None:
    held = [spec for spec in specs if any(subject.drawn["held"] for subject in spec.subjects)]
    assert len(held) > 200
    for spec in held:
        hands = [subject for subject in spec.subjects if subject.drawn["held"]]
        assert len(hands) == 1
        (hand,) = hands
        side = (-1 if hand.mirrored else 1) * 412 / _FIGURE - (-0.5 if hand.mirrored else 0.5)
        assert -0.02 < hand.x + side * hand.height < 1.02
        if len(spec.subjects) == 2:
            assert hand.mirrored == (hand is spec.subjects[1])


def test_who_lays_something_down_has_no_colour_for_it() -> None:
    rng = np.random.default_rng(3)
    while not (subject := sample_picture(rng, count=1).subjects[0]).drawn["held"]:
        pass
    empty = subject.without("held")
    assert empty.drawn["held"] == ""
    assert "held" not in empty.palette
    assert "held" not in dict(empty.words)
    assert empty.identity == subject.identity


def test_whatever_is_given_is_kept() -> None:
    rng = np.random.default_rng(4)
    cat, robot = sample_identity(rng, "test", "cat"), sample_identity(rng, "test", "robot", "red")
    spec = sample_picture(rng, identities=(cat, robot), scene="plain", colour="green", style="poster")
    assert tuple(subject.identity for subject in spec.subjects) == (cat, robot)
    assert (spec.scene, spec.colour, spec.style) == ("plain", "green", "poster")
    assert sample_picture(rng, count=2, split="validation").subjects[1].identity.split == "validation"
    moved = spec.at("beach")
    assert (moved.scene, moved.colour, moved.subjects) == ("beach", "", spec.subjects)


@pytest.mark.parametrize("kind", KINDS)
def test_a_covering_hat_leaves_no_fringe(kind: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        parts = sample_picture(rng, identities=(sample_identity(rng, None, kind),)).subjects[0].drawn
        if parts.get("hat") in worn.COVERING:
            assert not parts.get("fringe")
        assert not (parts.get("glasses") and parts.get("sunglasses"))


def test_pictures_are_128_pixels_wide() -> None:
    assert RESOLUTION == 128
