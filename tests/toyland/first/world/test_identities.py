"""Identities: stable names, disjoint splits, and drawing what was asked for."""

from collections import Counter

import numpy as np
import pytest

from portraitist.errors import BadConfig
from portraitist.toyland.first.world.identities import (
    KINDS,
    ROBOT_COLOURS,
    SPLITS,
    Identity,
    hair_colour,
    sample_identity,
)


def test_a_name_depends_on_the_parts_alone() -> None:
    cat = Identity("cat", (("body", "body3"), ("eyes", "eyes2"), ("fur", "fur1")))
    assert cat == Identity("cat", (("body", "body3"), ("eyes", "eyes2"), ("fur", "fur1")))
    assert cat.name == "cat-" + cat.name[4:]
    assert len(cat.name) == len("cat-000000")
    assert cat.name != Identity("cat", (("body", "body3"), ("eyes", "eyes2"), ("fur", "fur2"))).name


def test_names_and_splits_do_not_move_between_versions() -> None:
    """The shipped model has never seen the test identities: who they are must not change."""
    robots = [
        Identity("robot", (("body", f"body-{n:02d}"), ("colour", "red"), ("eyes", "eyes-01"), ("face", "face-02")))
        for n in range(1, 11)
    ]
    assert [robot.name for robot in robots[:2]] == ["robot-f81b45", "robot-98f309"]
    assert [robot.split for robot in robots] == [
        "train",
        "train",
        "train",
        "train",
        "train",
        "train",
        "validation",
        "train",
        "train",
        "train",
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_drawn_identities_belong_to_the_split(split: str) -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_identity(rng, split) for _ in range(200)]
    assert {identity.split for identity in drawn} == {split}
    assert {identity.kind for identity in drawn} == set(KINDS)


def test_splits_hold_eight_one_and_one_tenth() -> None:
    rng = np.random.default_rng(1)
    counts = Counter(sample_identity(rng, None, "monster").split for _ in range(3000))
    assert counts["train"] / 3000 == pytest.approx(0.8, abs=0.03)
    assert counts["validation"] / 3000 == pytest.approx(0.1, abs=0.02)
    assert counts["test"] / 3000 == pytest.approx(0.1, abs=0.02)


def test_a_kind_and_a_colour_can_be_asked_for() -> None:
    rng = np.random.default_rng(2)
    for colour in ROBOT_COLOURS:
        robot = sample_identity(rng, "test", "robot", colour)
        assert (robot.kind, robot.colour, robot.split) == ("robot", colour, "test")


def test_impossible_wishes_are_refused() -> None:
    rng = np.random.default_rng(3)
    with pytest.raises(BadConfig, match="no split of identities is named 'exam'"):
        sample_identity(rng, "exam")


def test_the_same_stream_draws_the_same_identities() -> None:
    first, second = (
        [sample_identity(rng) for _ in range(20)] for rng in (np.random.default_rng(4), np.random.default_rng(4))
    )
    assert first == second


@pytest.mark.parametrize(
    ("top", "word"),
    [
        ("ShortHairShortFlat-Red", "red"),
        ("LongHairBob-Black", "black"),
        ("LongHairBob-PastelPink", "pink"),
        ("Hijab-PastelGreen", "green"),
        ("Turban-Gray02", "grey"),
    ],
)
def test_hair_is_called_what_it_looks_like(top: str, word: str) -> None:
    assert hair_colour(top) == word


def test_traits_tell_what_can_be_seen() -> None:
    cat = Identity("cat", (("body", "body6"), ("eyes", "eyes12"), ("fur", "fur1")))
    assert cat.colour == "pink"
    assert cat.traits == ("striped", "glasses")
