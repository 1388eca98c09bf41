"""Who lives in toyland: identities as fixed choices of parts, split by hash into train, validation and test."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from portraitist.errors import BadConfig
from portraitist.toyland.first.world import artwork

KINDS = ("robot", "cat", "monster", "person")
SPLITS = ("train", "validation", "test")
ROBOT_COLOURS = ("blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow")

CAT_COLOURS = {
    "body0": "maroon",
    "body1": "green",
    "body2": "black",
    "body3": "purple",
    "body4": "red",
    "body5": "golden",
    "body6": "pink",
    "body7": "brown",
    "body8": "blue",
    "body9": "yellow",
    "body10": "golden",
    "body11": "grey",
    "body12": "ginger",
    "body13": "white",
    "body14": "orange",
}
CAT_FURS = {
    "fur0": "striped",
    "fur1": "striped",
    "fur2": "",
    "fur3": "marbled",
    "fur4": "patched",
    "fur5": "patched",
    "fur6": "spotted",
    "fur7": "spotted",
    "fur8": "spotted",
    "fur9": "spotted",
}
MONSTER_COLOURS = {
    "final1": "violet",
    "final2": "teal",
    "final3": "green",
    "final4": "blue",
    "final5": "purple",
    "final6": "pink",
    "final7": "orange",
    "final8": "brown",
    "final9": "yellow",
    "final10": "lime",
}
_HORNED = {"final1", "final2", "final3", "final4", "final9"}
HAIR_COLOURS = {
    "black": (38, 28, 27),
    "brown": (100, 62, 50),
    "auburn": (165, 86, 40),
    "blonde": (205, 165, 100),
    "red": (200, 51, 9),
    "pink": (245, 151, 151),
    "white": (234, 224, 210),
    "blue": (37, 55, 72),
}
CLOTH_COLOURS = {
    "black": (38, 46, 51),
    "grey": (146, 149, 152),
    "white": (250, 250, 250),
    "red": (255, 92, 92),
    "pink": (255, 72, 142),
    "orange": (255, 222, 181),
    "yellow": (255, 255, 177),
    "green": (167, 255, 196),
    "light blue": (101, 201, 255),
    "blue": (82, 153, 228),
    "dark blue": (37, 85, 124),
}
# Parts that a portrait of a person may have; the rest of the set would be odd or cover the face.
_HAIR_STYLES = {
    "LongHairStraight": "long {} hair",
    "LongHairStraight2": "long {} hair",
    "LongHairBigHair": "long {} hair",
    "LongHairCurly": "curly {} hair",
    "LongHairCurvy": "long {} hair",
    "LongHairBob": "a {} bob",
    "LongHairBun": "a {} bun",
    "LongHairFro": "a big {} afro",
    "LongHairDreads": "{} dreadlocks",
    "ShortHairShortFlat": "short {} hair",
    "ShortHairShortRound": "short {} hair",
    "ShortHairShortWaved": "short {} hair",
    "ShortHairShortCurly": "short curly {} hair",
    "ShortHairShaggyMullet": "a {} mullet",
    "Hijab": "a {} hijab",
    "Turban": "a {} turban",
}
SKINS = ("Black", "Brown", "DarkBrown", "Light", "Pale", "Tanned")
NOTHING = ""


@dataclass(frozen=True)
class Identity:
    """Somebody: a kind, and the parts that make them recognisable as sorted (part, name) pairs."""

    kind: str
    parts: tuple[tuple[str, str], ...]

    @cached_property
    def _digest(self) -> str:
        return hashlib.blake2b(repr((self.kind, self.parts)).encode(), digest_size=8).hexdigest()

    @property
    def name(self) -> str:
        """Return a short stable name, e.g. ``cat-3f9a1c``."""
        return f"{self.kind}-{self._digest[:6]}"

    @property
    def split(self) -> str:
        """Return the split that the parts' hash falls into: 80 % train, 10 % validation, 10 % test."""
        tenth = int(self._digest[8:], 16) % 10
        return "test" if tenth == 0 else "validation" if tenth == 1 else "train"

    def part(self, name: str) -> str:
        """Return the choice for a part."""
        return dict(self.parts)[name]

    @property
    def colour(self) -> str:
        """Return the colour word of a robot, cat or monster; of a person, their hair's."""
        if self.kind == "robot":
            return self.part("colour")
        if self.kind == "cat":
            return CAT_COLOURS[self.part("body")]
        if self.kind == "monster":
            return MONSTER_COLOURS[self.part("facecolors")]
        return hair_colour(self.part("top"))

    @property
    def traits(self) -> tuple[str, ...]:
        """Return further words: a cat's fur, a monster's horns, a person's hair and beard."""
        if self.kind == "cat":
            fur = CAT_FURS[self.part("fur")]
            wearing = {"eyes4": ("a monocle",), "eyes12": ("glasses",)}.get(self.part("eyes"), ())
            return (*((fur,) if fur else ()), *wearing)
        if self.kind == "monster":
            return ("horns",) if self.part("faces") in _HORNED else ()
        if self.kind == "person":
            beard = self.part("facialhair")
            grown = ("a moustache",) if beard.startswith("Moustache") else ("a beard",) if beard else ()
            return (describe_hair(self.part("top")), *grown)
        return ()


def hair_colour(top: str) -> str:
    """Return the nearest colour word of a hair style, hijab or turban."""
    palette = CLOTH_COLOURS if top.startswith(("Hijab", "Turban")) else HAIR_COLOURS
    return nearest_colour(artwork.mean_colour("person", "top", top), palette)


def describe_hair(top: str) -> str:
    """Return words such as ``long red hair``."""
    if top == "Blank":
        return "a bald head"
    return _HAIR_STYLES[top.split("-")[0]].format(hair_colour(top))


def nearest_colour(colour: tuple[float, float, float], palette: dict[str, tuple[int, int, int]]) -> str:
    """Return the word of the palette whose colour is nearest."""
    return min(palette, key=lambda word: sum((a - b) ** 2 for a, b in zip(palette[word], colour, strict=True)))


def check_split(name: str) -> None:
    """Check that there is a split of this name.

    Raises:
        BadConfig: If there is none.
    """
    if name not in SPLITS:
        raise BadConfig(f"no split of identities is named {name!r}; there are {', '.join(SPLITS)}")


def sample_identity(
    rng: np.random.Generator, split: str | None = "train", kind: str | None = None, colour: str | None = None
) -> Identity:
    """Draw an identity of a split, perhaps of a given kind and colour.

    Args:
        rng: Source of randomness.
        split: ``train``, ``validation``, ``test``; None takes any.
        kind: One of `KINDS`; None draws one.
        colour: A colour word the identity must have.

    Raises:
        BadConfig: If there is no such split.
    """
    if split is not None:
        check_split(split)
    for _ in range(100_000):
        drawn = _draw(rng, kind or KINDS[rng.integers(len(KINDS))])
        if (split is None or drawn.split == split) and (colour is None or drawn.colour == colour):
            return drawn
    raise ValueError(f"no {kind or 'identity'} of colour {colour!r} in split {split!r}")


def _draw(rng: np.random.Generator, kind: str) -> Identity:
    def pick(part: str, colour: str = "blue") -> str:
        return str(rng.choice(artwork.choices(kind, part, colour)))

    if kind == "robot":
        colour = str(rng.choice(ROBOT_COLOURS))
        parts = {"colour": colour, **{part: pick(part, colour) for part in ("body", "face", "eyes")}}
    elif kind == "cat":
        parts = {part: pick(part) for part in ("body", "fur", "eyes")}
    elif kind == "monster":
        face = pick("facecolors")
        body = _matching_body(face) if rng.random() < 0.6 else pick("bodycolors")
        parts = {"facecolors": face, "bodycolors": body, **{p: pick(p) for p in ("faces", "body", "eyes", "nose")}}
    else:
        tops = [top for top in artwork.choices(kind, "top") if top.split("-")[0] in _HAIR_STYLES]
        top = "Blank" if rng.random() < 0.05 else str(rng.choice(tops))
        beards = [name for name in artwork.choices(kind, "facialhair") if name.startswith(("Beard", "Moustache"))]
        bearded = rng.random() < 0.3 and not top.startswith(("Hijab", "Long"))
        parts = {
            "body": str(rng.choice(SKINS)),
            "top": top,
            "facialhair": str(rng.choice(beards)) if bearded else NOTHING,
        }
    return Identity(kind, tuple(sorted(parts.items())))


def _matching_body(face: str) -> str:
    """Return the monster body whose colour is nearest to a face's; the files' numbers do not correspond."""
    colour = artwork.mean_colour("monster", "facecolors", face)
    bodies = artwork.choices("monster", "bodycolors")
    palette = {body: tuple(round(c) for c in artwork.mean_colour("monster", "bodycolors", body)) for body in bodies}
    return nearest_colour(colour, palette)  # type: ignore[arg-type]
