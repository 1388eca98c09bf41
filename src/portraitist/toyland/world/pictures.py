"""A picture: who is in it, how they look today, where, and in which style."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from portraitist.toyland.world.colours import CLOTH, Colour, pick
from portraitist.toyland.world.hands import cats, monsters, people, robots, worn
from portraitist.toyland.world.hands.layers import NOTHING
from portraitist.toyland.world.identities import KINDS, Colours, Identity, Parts, sample_identity
from portraitist.toyland.world.scenes import PLACES, PLAIN, PLAIN_COLOURS
from portraitist.toyland.world.styles import STYLES

RESOLUTION = 128
PHOTO = "photo"
_OTHER_STYLES = tuple(style for style in STYLES if style != PHOTO)
_PHOTOS = 0.76
_PAIRS = 0.25
_PLAIN_BACKDROPS = 0.14
CENTRE, LEFT, RIGHT = "centre", "left", "right"


@dataclass(frozen=True)
class Appearance:
    """An identity as it looks in one picture.

    Attributes:
        identity: Who.
        parts: What varies, as sorted (part, name) pairs: expression, clothes, what is worn and held.
        colours: The colours of what varies, as sorted (slot, colour) pairs.
        words: The names of these colours, as sorted (slot, word) pairs.
        height: Height of the drawing's square, with the picture's as one.
        x, y: Centre of that square, from 0 to 1.
        tilt: Degrees, counter-clockwise.
        mirrored: Whether left and right are exchanged.
    """

    identity: Identity
    parts: tuple[tuple[str, str], ...]
    colours: tuple[tuple[str, Colour], ...]
    words: tuple[tuple[str, str], ...]
    height: float
    x: float
    y: float
    tilt: float
    mirrored: bool

    def without(self, part: str) -> "Appearance":
        """Return the same appearance without something that is worn or held."""
        parts = tuple((name, NOTHING if name == part else choice) for name, choice in self.parts)
        colours = tuple((slot, colour) for slot, colour in self.colours if slot != part)
        return replace(self, parts=parts, colours=colours, words=tuple((s, w) for s, w in self.words if s != part))

    @property
    def drawn(self) -> Parts:
        """Return every part that is drawn."""
        return {**dict(self.identity.parts), **dict(self.parts)}

    @property
    def palette(self) -> Colours:
        """Return every colour by slot."""
        return {**dict(self.identity.colours), **dict(self.colours)}


@dataclass(frozen=True)
class PictureSpec:
    """Everything about one picture.

    Attributes:
        subjects: One subject, or two from left to right.
        scene: One of `portraitist.toyland.world.scenes.SCENES`.
        colour: Colour word of a plain background, empty otherwise.
        style: One of `STYLES`.
        seed: Seed of the scene's details and of the light.
    """

    subjects: tuple[Appearance, ...]
    scene: str
    colour: str
    style: str
    seed: int

    def at(self, scene: str, colour: str = "") -> "PictureSpec":
        """Return the same picture in another scene."""
        return replace(self, scene=scene, colour=colour)


def sample_picture(
    rng: np.random.Generator,
    split: str | None = "train",
    *,
    identities: tuple[Identity, ...] | None = None,
    scene: str | None = None,
    colour: str | None = None,
    style: str | None = None,
    count: int | None = None,
) -> PictureSpec:
    """Draw a picture; anything given is kept.

    Args:
        rng: Source of randomness.
        split: Split of the identities.
        identities: Who is in it, left to right.
        scene: Where.
        colour: Colour of a plain background.
        style: Style; most pictures are photos.
        count: Number of subjects, 1 or 2.
    """
    if identities is None:
        identities = _sample_company(rng, split, count or (2 if rng.random() < _PAIRS else 1))
    places = (CENTRE,) if len(identities) == 1 else (LEFT, RIGHT)
    scene = scene or (PLAIN if rng.random() < _PLAIN_BACKDROPS else pick(rng, tuple(PLACES)))
    if scene == PLAIN:
        # A wall in somebody's own colour would swallow them.
        colour = colour or pick(rng, [name for name in PLAIN_COLOURS if name not in {who.colour for who in identities}])
    style = style or (PHOTO if rng.random() < _PHOTOS else pick(rng, _OTHER_STYLES))
    subjects = [sample_appearance(rng, who, place) for who, place in zip(identities, places, strict=True)]
    return PictureSpec(_with_room(subjects), scene, colour or "", style, int(rng.integers(2**31)))


def _sample_company(rng: np.random.Generator, split: str | None, count: int) -> tuple[Identity, ...]:
    """Draw one identity, or two that a caption can tell apart: by kind or by colour."""
    first = sample_identity(rng, split)
    if count == 1:
        return (first,)
    same_kind = rng.random() < 0.25
    others = [kind for kind in KINDS if kind != first.kind]
    while True:
        second = sample_identity(rng, split, first.kind if same_kind else pick(rng, others))
        if second.kind != first.kind or second.colour != first.colour:
            return first, second


def _with_room(subjects: Sequence[Appearance]) -> tuple[Appearance, ...]:
    """Let nobody hold anything beyond the picture's edge: of two, only one does, on the side of the other."""
    if len(subjects) == 1:
        (alone,) = subjects
        away = abs(alone.x - 0.5) * (1 if alone.mirrored else -1)
        return (replace(alone, x=0.5 + away),) if alone.drawn["held"] else (alone,)
    left, right = subjects
    if left.drawn["held"]:
        right = right.without("held")
    return replace(left, mirrored=left.mirrored and not left.drawn["held"]), replace(
        right, mirrored=right.mirrored or bool(right.drawn["held"])
    )


# How large the drawing of a kind is in a picture of one, and in a picture of two.
_HEIGHTS = {
    "person": ((0.98, 1.18), (0.68, 0.8)),
    "cat": ((0.88, 1.04), (0.58, 0.7)),
    "robot": ((0.9, 1.06), (0.6, 0.72)),
    "monster": ((0.84, 1.04), (0.56, 0.7)),
}
# A tilted drawing must still reach the lower edge.
_SUNK = 0.045


def sample_appearance(rng: np.random.Generator, identity: Identity, place: str = CENTRE) -> Appearance:
    """Draw how an identity looks today; ``place`` is ``centre``, ``left`` or ``right``."""
    low, high = _HEIGHTS[identity.kind][0 if place == CENTRE else 1]
    height = low + (high - low) * float(rng.random())
    x = {CENTRE: 0.5, LEFT: 0.27, RIGHT: 0.73}[place] + float(rng.uniform(-1, 1)) * (0.07 if place == CENTRE else 0.03)
    parts, colours = _VARY[identity.kind](rng, identity)
    return Appearance(
        identity=identity,
        parts=tuple(sorted((part, name) for part, name in parts.items())),
        colours=tuple(sorted((slot, CLOTH[word].draw(rng)) for slot, word in colours.items())),
        words=tuple(sorted(colours.items())),
        height=height,
        x=x,
        y=1 - height / 2 + _SUNK * height,
        tilt=float(rng.uniform(-5, 5)),
        mirrored=bool(rng.random() < 0.5),
    )


# A mood is mouth, brows and eyes together; eyes with a blank before the name keep the identity's shape.
PEOPLE_MOODS: dict[str, tuple[str, str, str]] = {
    "smiling": ("smile", "calm", ""),
    "grinning": ("grin", "raised", ""),
    "laughing": ("laugh", "raised", "happy"),
    "calm": ("calm", "calm", ""),
    "sad": ("sad", "sad", ""),
    "angry": ("sad", "angry", ""),
    "surprised": ("surprised", "raised", "wide"),
    "smirking": ("smirk", "calm", ""),
    "winking": ("smile", "calm", "wink"),
    "sleeping": ("calm", "calm", "closed"),
    "sticking out their tongue": ("tongue", "raised", ""),
}
_COMMON_MOODS = ("smiling", "smiling", "grinning", "calm")


_NECKWEAR = tuple(worn.NECKWEAR)
_OF_PEOPLE = tuple(name for name in worn.NECKWEAR if name != "collar")


def _dressed(
    rng: np.random.Generator,
    hats: tuple[str, ...],
    hat: float,
    neck: float,
    held: float,
    neckwear: tuple[str, ...] = _NECKWEAR,
) -> tuple[Parts, dict[str, str]]:
    """Draw a hat, something around the neck and something in the hand, each with the word of its colour."""
    parts: Parts = {}
    colours: dict[str, str] = {}
    slots = (("hat", hat, hats), ("neckwear", neck, neckwear), ("held", held, tuple(worn.HELD)))
    for slot, chance, names in slots:
        parts[slot] = pick(rng, names) if names and rng.random() < chance else NOTHING
        if parts[slot]:
            colours[slot] = pick(rng, PLAIN_COLOURS)
    return parts, colours


def _vary_person(rng: np.random.Generator, identity: Identity) -> tuple[Parts, dict[str, str]]:
    parts, colours = _dressed(rng, tuple(worn.HATS), 0.22, 0.12, 0.16, _OF_PEOPLE)
    mood = pick(rng, _COMMON_MOODS if rng.random() < 0.4 else tuple(PEOPLE_MOODS))
    mouth, brows, eyes = PEOPLE_MOODS[mood]
    shape = identity.part("eye shape")
    if not eyes:
        eyes = f"{shape} {pick(rng, tuple(people.GLANCES)) if rng.random() < 0.5 else 'ahead'}"
    elif eyes == "wide":
        eyes = f"{shape} wide"
    parts |= {
        "mood": mood,
        "mouth": mouth,
        "brows": f"{identity.part('brow')} {brows}",
        "eyes": eyes,
        "neck": "bare",
        "clothes": pick(rng, people.CLOTHES),
        "sunglasses": "sunglasses" if not identity.part("glasses") and rng.random() < 0.05 else NOTHING,
    }
    if parts["hat"] in worn.COVERING:
        parts["fringe"] = NOTHING
    return parts, {**colours, "cloth": pick(rng, PLAIN_COLOURS)}


def _vary_robot(rng: np.random.Generator, identity: Identity) -> tuple[Parts, dict[str, str]]:
    parts, colours = _dressed(rng, (), 0.0, 0.15, 0.14)
    parts |= {
        "mouth": pick(rng, tuple(robots.MOUTHS)),
        "torso": "torso",
        "head": f"{identity.part('head')} {identity.part('texture')}",
    }
    return parts, colours


def _vary_monster(rng: np.random.Generator, identity: Identity) -> tuple[Parts, dict[str, str]]:
    parts, colours = _dressed(rng, (), 0.0, 0.12, 0.2)
    parts |= {
        "mouth": pick(rng, tuple(monsters.MOUTHS)),
        "body": f"{identity.part('body')} {identity.part('top')}",
    }
    return parts, colours


def _vary_cat(rng: np.random.Generator, identity: Identity) -> tuple[Parts, dict[str, str]]:
    parts, colours = _dressed(rng, cats.HATS, 0.18, 0.32, 0.12)
    shape = identity.part("eye shape")
    place = rng.random()
    looks = ("closed", "happy", "wink")
    eyes = pick(rng, looks) if place < 0.24 else f"{shape} {pick(rng, tuple(cats.GLANCES))}"
    parts |= {"mouth": pick(rng, cats.MOUTHS), "eyes": eyes, "body": "body", "paws": "paws"}
    return parts, colours


_VARY: dict[str, Callable[[np.random.Generator, Identity], tuple[Parts, dict[str, str]]]] = {
    "person": _vary_person,
    "cat": _vary_cat,
    "robot": _vary_robot,
    "monster": _vary_monster,
}
