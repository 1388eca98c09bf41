"""Who lives in toyland: identities as fixed choices of parts and colours, split by a hash of the parts."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from portraitist.errors import BadConfig
from portraitist.toyland.world.colours import (
    CAT,
    CAT_IRIS,
    HAIR,
    IRIS,
    MONSTER,
    NATURAL_HAIR,
    ROBOT,
    SKIN,
    Colour,
    Shade,
    darker,
    pick,
)
from portraitist.toyland.world.hands import cats, monsters, people, robots
from portraitist.toyland.world.hands.layers import NOTHING

KINDS = ("person", "cat", "robot", "monster")
SPLITS = ("train", "validation", "test")
ROBOT_COLOURS = tuple(ROBOT)
# Half of all subjects are people: nothing else is as telling about how well somebody is recognised.
_SHARES = (0.5, 0.2, 0.15, 0.15)
_BOUNDS = tuple(float(bound) for bound in np.cumsum(_SHARES))

Parts = dict[str, str]
Colours = dict[str, Colour]


@dataclass(frozen=True)
class Identity:
    """Somebody: a kind, and what makes them recognisable.

    Attributes:
        kind: One of `KINDS`.
        parts: Chosen drawings and the names of colours, as sorted (part, name) pairs.
        colours: The colours themselves, as sorted (slot, colour) pairs.
    """

    kind: str
    parts: tuple[tuple[str, str], ...]
    colours: tuple[tuple[str, Colour], ...]

    @cached_property
    def name(self) -> str:
        """Return a short stable name, e.g. ``cat-3f9a1c``."""
        return f"{self.kind}-{_digest(self.kind, self.parts, self.colours)[:6]}"

    @cached_property
    def split(self) -> str:
        """Return the split: 80 % train, 10 % validation, 10 % test.

        It follows from the parts alone, so two who differ in nothing but the shade of a colour are in the same split.
        """
        tenth = int(_digest(self.kind, self.parts)[8:], 16) % 10
        return "test" if tenth == 0 else "validation" if tenth == 1 else "train"

    def part(self, name: str) -> str:
        """Return the choice for a part."""
        return dict(self.parts)[name]

    @property
    def colour(self) -> str:
        """Return the colour word of a robot, cat or monster; of a person, their hair's."""
        return self.part("hair colour" if self.kind == "person" else "colour")


def _digest(*facts: object) -> str:
    return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()


def check_split(name: str) -> None:
    """Check that there is a split of this name.

    Raises:
        BadConfig: If there is none.
    """
    if name not in SPLITS:
        raise BadConfig(f"there is no split of identities named {name!r}; there are {', '.join(SPLITS)}")


def sample_identity(
    rng: np.random.Generator, split: str | None = "train", kind: str | None = None, colour: str | None = None
) -> Identity:
    """Draw an identity of a split, perhaps of a given kind and colour.

    Args:
        rng: Source of randomness.
        split: ``train``, ``validation``, ``test``; None takes any.
        kind: One of `KINDS`; None draws one, a person in half of the cases.
        colour: A colour word that the identity must have.

    Raises:
        BadConfig: If there is no such split.
        ValueError: If nobody is like that.
    """
    if split is not None:
        check_split(split)
    for _ in range(100_000):
        drawn = _draw(rng, kind or sample_kind(rng))
        if (split is None or drawn.split == split) and (colour is None or drawn.colour == colour):
            return drawn
    raise ValueError(f"no {kind or 'identity'} of colour {colour!r} in split {split!r}")


def sample_kind(rng: np.random.Generator) -> str:
    """Draw a kind, a person in half of the cases."""
    place = float(rng.random())
    return next((kind for kind, bound in zip(KINDS, _BOUNDS, strict=True) if place < bound), KINDS[-1])


def _draw(rng: np.random.Generator, kind: str) -> Identity:
    parts, colours = _DRAW[kind](rng)
    return Identity(kind, tuple(sorted(parts.items())), tuple(sorted(colours.items())))


def _sometimes(rng: np.random.Generator, chance: float, names: Sequence[str]) -> str:
    return pick(rng, names) if rng.random() < chance else NOTHING


def _shade(rng: np.random.Generator, palette: Mapping[str, Shade], without: str = NOTHING) -> tuple[str, Colour]:
    """Draw a colour word and a shade of it."""
    word = pick(rng, [name for name in palette if name != without])
    return word, palette[word].draw(rng)


def _person(rng: np.random.Generator) -> tuple[Parts, Colours]:
    style = pick(rng, tuple(people.HAIR_STYLES))
    drawing = people.BALD if rng.random() < 0.05 else pick(rng, people.HAIR_STYLES[style])
    fringed = drawing in people.WITH_FRINGE
    word = pick(rng, NATURAL_HAIR if rng.random() < 0.72 else tuple(HAIR))
    hair = HAIR[word].draw(rng)
    skin_word, skin = _shade(rng, SKIN)
    iris_word, iris = _shade(rng, IRIS)
    parts = {
        "hair": drawing,
        "hair colour": word,
        "skin": skin_word,
        "iris": iris_word,
        "fringe": _sometimes(rng, 0.5, people.FRINGES) if fringed else NOTHING,
        "head": pick(rng, tuple(people.HEADS)),
        "ears": pick(rng, people.EARS),
        "nose": pick(rng, people.NOSES),
        "eye shape": pick(rng, people.EYE_SHAPES),
        "brow": pick(rng, people.BROWS),
        "beard": _sometimes(rng, 0.3, people.BEARDS),
        "glasses": _sometimes(rng, 0.25, people.GLASSES),
        "cheeks": _sometimes(rng, 0.45, people.CHEEKS),
    }
    return parts, {"hair": hair, "brow": darker(hair, 0.72), "skin": skin, "freckle": darker(skin, 0.56), "iris": iris}


def _robot(rng: np.random.Generator) -> tuple[Parts, Colours]:
    word, base = _shade(rng, ROBOT)
    textures = tuple(robots.TEXTURES)
    parts = {
        "colour": word,
        "head": pick(rng, robots.HEADS),
        "texture": pick(rng, textures) if rng.random() < 0.4 else textures[0],
        "sides": pick(rng, robots.SIDES),
        "top": pick(rng, tuple(robots.TOPS)),
        "eyes": pick(rng, tuple(robots.EYES)),
        "front": pick(rng, robots.FRONTS),
    }
    return parts, {"base": base}


def _monster(rng: np.random.Generator) -> tuple[Parts, Colours]:
    word, body = _shade(rng, MONSTER)
    accent_word, accent = _shade(rng, MONSTER, without=word)
    parts = {
        "colour": word,
        "accent": accent_word,
        "body": pick(rng, monsters.BODIES),
        "top": _sometimes(rng, 0.9, tuple(monsters.TOPS)),
        "pattern": _sometimes(rng, 0.6, tuple(monsters.PATTERNS)),
        "cheeks": _sometimes(rng, 0.35, monsters.CHEEKS),
        "eyes": pick(rng, tuple(monsters.EYES)),
    }
    return parts, {"body": body, "accent": accent, "ink": (30, 41, 59)}


def _cat(rng: np.random.Generator) -> tuple[Parts, Colours]:
    word, fur = _shade(rng, CAT)
    iris_word, iris = _shade(rng, CAT_IRIS)
    coat = pick(rng, [coat for coat in cats.COATS if (coat, word) != ("white-chested", "white")])
    mark_word = NOTHING
    mark = darker(fur, 0.62) if sum(fur) > 300 else (122, 112, 118)
    if coat == "patched":
        mark_word, mark = _shade(rng, CAT, without=word)
    elif coat == "pointed":
        mark = darker(fur, 0.4) if sum(fur) > 300 else (24, 22, 28)
    parts = {
        "colour": word,
        "coat": coat,
        "mark": mark_word,
        "iris": iris_word,
        "head": pick(rng, cats.HEADS),
        "ears": pick(rng, cats.EARS),
        "eye shape": pick(rng, cats.EYE_SHAPES),
        "nose": pick(rng, cats.NOSES),
        "muzzle": _sometimes(rng, 0.6, ("white",)),
        "whiskers": "dark" if word in ("white", "cream", "pink") else "white",
        "glasses": _sometimes(rng, 0.1, ("glasses",)),
    }
    lid = (150, 144, 152) if word == "black" else (42, 36, 48)
    return parts, {"fur": fur, "mark": mark, "iris": iris, "lid": lid}


_DRAW: dict[str, Callable[[np.random.Generator], tuple[Parts, Colours]]] = {
    "person": _person,
    "cat": _cat,
    "robot": _robot,
    "monster": _monster,
}
