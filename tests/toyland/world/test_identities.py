"""Identities: many, split by their parts, half of them people, untouched by what varies."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from portraitist.errors import BadConfig
from portraitist.toyland.world.colours import CAT, CAT_IRIS, HAIR, IRIS, MONSTER, ROBOT, SKIN
from portraitist.toyland.world.hands import cats, monsters, people, robots
from portraitist.toyland.world.identities import KINDS, SPLITS, Identity, sample_identity
from portraitist.toyland.world.pictures import sample_picture


def combinations() -> dict[str, int]:
    """Count identities that differ in a part, not only in the shade of a colour."""
    drawings = [drawing for drawings in people.HAIR_STYLES.values() for drawing in drawings]
    hair = 1 + sum(1 + len(people.FRINGES) * (drawing in people.WITH_FRINGE) for drawing in drawings)
    # A coat of patches has any other colour; a white cat has no white chest.
    coats = len(CAT) * (len(cats.COATS) - 1 + len(CAT) - 1) - 1
    return {
        "person": prod(
            (hair, len(HAIR), len(SKIN), len(IRIS), len(people.HEADS), len(people.EARS), len(people.NOSES),
             len(people.EYE_SHAPES), len(people.BROWS), len(people.BEARDS) + 1, len(people.GLASSES) + 1,
             len(people.CHEEKS) + 1)
        ),
        "cat": prod(
            (coats, len(CAT_IRIS), len(cats.HEADS), len(cats.EARS), len(cats.EYE_SHAPES), len(cats.NOSES), 2, 2)
        ),
        "robot": prod(
            (len(ROBOT), len(robots.HEADS), len(robots.TEXTURES), len(robots.SIDES), len(robots.TOPS),
             len(robots.EYES), len(robots.FRONTS))
        ),
        "monster": prod(
            (len(MONSTER), len(MONSTER) - 1, len(monsters.BODIES), len(monsters.TOPS) + 1, len(monsters.PATTERNS) + 1,
             len(monsters.CHEEKS) + 1, len(monsters.EYES))
        ),
    }  # fmt: skip


def test_there_are_more_identities_than_anybody_can_learn_by_heart() -> None:
    assert combinations() == {
        "person": 5_940_211_200,
        "cat": 109_440,
        "robot": 806_400,
        "monster": 1_209_600,
    }
    assert min(combinations().values()) >= 100_000


def test_half_of_the_subjects_are_people() -> None:
    rng = np.random.default_rng(1)
    kinds = [sample_identity(rng, None).kind for _ in range(4000)]
    assert abs(kinds.count("person") / len(kinds) - 0.5) < 0.025
    assert all(kinds.count(kind) > 500 for kind in KINDS)


def test_splits_are_drawn_by_parts_in_the_shares_promised() -> None:
    rng = np.random.default_rng(2)
    drawn = [sample_identity(rng, None) for _ in range(4000)]
    shares = [np.mean([who.split == split for who in drawn]) for split in SPLITS]
    np.testing.assert_allclose(shares, (0.8, 0.1, 0.1), atol=0.025)
    for split in SPLITS:
        assert sample_identity(rng, split).split == split


@pytest.mark.parametrize("kind", KINDS)
def test_a_shade_moves_nobody_into_another_split(kind: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        who = sample_identity(rng, None, kind)
        shaded = replace(who, colours=tuple((slot, (1, 2, 3)) for slot, _ in who.colours))
        assert shaded.split == who.split
        assert shaded.name != who.name


def test_names_follow_from_who_somebody_is() -> None:
    first, again = (sample_identity(np.random.default_rng(4), None, "cat") for _ in range(2))
    assert first == again
    assert first.name == again.name
    assert first.name.startswith("cat-")
    assert len(first.name) == len("cat-") + 6


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_varies_changes_an_identity(kind: str) -> None:
    rng = np.random.default_rng(5)
    who = sample_identity(rng, None, kind)
    specs = [sample_picture(rng, identities=(who,)) for _ in range(60)]
    fixed = {part: name for part, name in who.parts if part not in {"head", "body", "fringe"}}
    for spec in specs:
        (subject,) = spec.subjects
        assert subject.identity == who
        assert fixed.items() <= subject.drawn.items()
        assert dict(who.colours).items() <= subject.palette.items()
        # Where a drawing is of two parts, the identity's own comes first; a hat may hide a fringe.
        for part in {"head", "body"} & dict(who.parts).keys():
            assert subject.drawn[part].startswith(who.part(part))
        assert subject.drawn.get("fringe", "") in ("", dict(who.parts).get("fringe", ""))
    assert len({spec.subjects[0].parts for spec in specs}) > 10


def test_a_colour_can_be_asked_for() -> None:
    rng = np.random.default_rng(6)
    assert sample_identity(rng, "test", "robot", "red").colour == "red"
    person = sample_identity(rng, None, "person", "ginger")
    assert person.colour == person.part("hair colour") == "ginger"


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(BadConfig, match="there are train, validation, test"):
        sample_identity(np.random.default_rng(7), "trian")


def test_identities_can_be_looked_up() -> None:
    one = Identity("cat", (("colour", "grey"),), (("fur", (1, 2, 3)),))
    assert one.part("colour") == one.colour == "grey"
