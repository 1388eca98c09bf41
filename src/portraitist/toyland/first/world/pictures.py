"""A picture: who is in it, how they look today, where, in which style; and its pixels."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from portraitist.toyland.first.world import artwork
from portraitist.toyland.first.world.identities import (
    CLOTH_COLOURS,
    KINDS,
    NOTHING,
    Identity,
    nearest_colour,
    sample_identity,
)
from portraitist.toyland.first.world.scenes import PLAIN_COLOURS, SCENES, paint
from portraitist.toyland.first.world.styles import STYLES

CAT_ACCESSORIES = {
    "accessory0": "a red scarf",
    "accessory1": "a collar",
    "accessory2": "a collar",
    "accessory3": "a red headband",
    "accessory4": "a pink bow",
    "accessory5": "a black hat",
    "accessory6": "headphones",
    "accessory7": "a blue scarf",
    "accessory8": "a collar",
    "accessory10": "a necklace",
    "accessory11": "a grey bandana",
    "accessory12": "a blue bow",
    "accessory13": "a red hat",
    "accessory14": "headphones",
}
_EXPRESSIONS = {
    "eye": ("Close", "Default", "Happy", "Side", "Squint", "Surprised", "Wink"),
    "eyebrow": ("Default", "DefaultNatural", "FlatNatural", "RaisedExcitedNatural", "SadConcernedNatural"),
    "mouth": ("Default", "Disbelief", "Sad", "ScreamOpen", "Serious", "Smile", "Tongue", "Twinkle"),
}
_CLOTHES = {
    "Hoodie": "hoodie",
    "GraphicShirt": "t-shirt",
    "ShirtCrewNeck": "t-shirt",
    "ShirtScoopNeck": "shirt",
    "CollarSweater": "sweater",
    "Overall": "overalls",
}
_GLASSES = {"Prescription02": "glasses", "Round": "glasses", "Sunglasses": "sunglasses", "Wayfarers": "sunglasses"}


@dataclass(frozen=True)
class Appearance:
    """An identity as it looks in one picture.

    Attributes:
        identity: Who.
        parts: What varies, as sorted (part, name) pairs: mouth, expression, clothes, accessory.
        height: Height of the artwork's canvas relative to the picture's.
        x, y: Centre of the canvas relative to the picture's size.
        tilt: Degrees, counter-clockwise.
        mirrored: Whether left and right are exchanged.
    """

    identity: Identity
    parts: tuple[tuple[str, str], ...]
    height: float
    x: float
    y: float
    tilt: float
    mirrored: bool

    @property
    def wearing(self) -> tuple[str, ...]:
        """Return words for accessories, glasses and clothes, accessories first."""
        parts = dict(self.parts)
        if self.identity.kind == "cat":
            word = CAT_ACCESSORIES.get(parts["accessories"])
            return (word,) if word else ()
        if self.identity.kind == "person":
            glasses = _GLASSES.get(parts["accessories"].split("-")[0])
            cloth = parts["cloth"]
            colour = nearest_colour(artwork.mean_colour("person", "cloth", cloth), CLOTH_COLOURS)
            garment = _CLOTHES[cloth.split("-")[0]]
            clothes = f"{colour} {garment}" if garment == "overalls" else f"a {colour} {garment}"
            return (*((glasses,) if glasses else ()), clothes)
        return ()


@dataclass(frozen=True)
class PictureSpec:
    """Everything about one picture.

    Attributes:
        subjects: One subject, or two from left to right.
        scene: One of `SCENES`.
        colour: Colour of a plain background, empty otherwise.
        style: One of `STYLES`.
        seed: Seed of the scene's details.
    """

    subjects: tuple[Appearance, ...]
    scene: str
    colour: str
    style: str
    seed: int

    def at(self, scene: str, colour: str = "") -> "PictureSpec":
        """Return the same picture in another scene."""
        return replace(self, scene=scene, colour=colour)


def sample_appearance(rng: np.random.Generator, identity: Identity, place: str = "centre") -> Appearance:
    """Draw how an identity looks today; `place` is ``centre``, ``left`` or ``right``."""
    if place == "centre":
        height, x = rng.uniform(0.78, 1.0), rng.uniform(0.43, 0.57)
        height *= 0.9 if identity.kind == "cat" else 1.0
    else:
        height, x = rng.uniform(0.52, 0.64), (0.26 if place == "left" else 0.74) + rng.uniform(-0.03, 0.03)
    grounded = identity.kind != "cat"
    y = 1.0 - height / 2 if grounded else 0.97 - height / 2 - rng.uniform(0, 0.06)
    return Appearance(
        identity=identity,
        parts=tuple(sorted(_varying_parts(rng, identity).items())),
        height=height,
        x=x,
        y=y + (0.02 if grounded else 0.0),
        tilt=float(rng.uniform(-7, 7)),
        mirrored=bool(rng.random() < 0.5),
    )


def _varying_parts(rng: np.random.Generator, identity: Identity) -> dict[str, str]:
    if identity.kind == "robot":
        return {
            part: str(rng.choice(artwork.choices("robot", part, identity.colour))) for part in ("accessory", "mouth")
        }
    if identity.kind == "monster":
        return {"mouth": str(rng.choice(artwork.choices("monster", "mouth")))}
    if identity.kind == "cat":
        worn = str(rng.choice(list(CAT_ACCESSORIES))) if rng.random() < 0.6 else NOTHING
        return {"mouth": str(rng.choice(artwork.choices("cat", "mouth"))), "accessories": worn}
    glasses = [name for name in artwork.choices("person", "accessories") if name.split("-")[0] in _GLASSES]
    cloths = [name for name in artwork.choices("person", "cloth") if name.split("-")[0] in _CLOTHES]
    # Printed shirts outnumber everything else in the set.
    family = str(rng.choice(list(_CLOTHES)))
    cloths = [name for name in cloths if name.split("-")[0] == family]
    return {
        **{part: str(rng.choice(names)) for part, names in _EXPRESSIONS.items()},
        "cloth": str(rng.choice(cloths)),
        "accessories": str(rng.choice(glasses)) if rng.random() < 0.35 else NOTHING,
    }


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
        identities = _sample_company(rng, split, count or (2 if rng.random() < 0.3 else 1))
    places = ("centre",) if len(identities) == 1 else ("left", "right")
    scene = scene or str(rng.choice(SCENES, p=[0.105] * (len(SCENES) - 1) + [0.16]))
    if scene == "plain":
        colour = colour or str(rng.choice(list(PLAIN_COLOURS)))
    rare = [name for name in STYLES if name != "photo"]
    style = style or ("photo" if rng.random() < 0.72 else str(rng.choice(rare)))
    subjects = tuple(sample_appearance(rng, who, place) for who, place in zip(identities, places, strict=True))
    return PictureSpec(subjects, scene, colour or "", style, int(rng.integers(2**31)))


def _sample_company(rng: np.random.Generator, split: str | None, count: int) -> tuple[Identity, ...]:
    """Draw one identity, or two that a caption can tell apart: by kind or by colour."""
    first = sample_identity(rng, split)
    if count == 1:
        return (first,)
    others = [kind for kind in KINDS if kind != first.kind]
    same_kind = rng.random() < 0.25
    while True:
        second = sample_identity(rng, split, first.kind if same_kind else others[rng.integers(len(others))])
        if second.kind != first.kind or second.colour != first.colour:
            return first, second


def render(spec: PictureSpec, size: int = 64) -> Image.Image:
    """Paint a picture at ``size`` pixels; the same spec always gives the same pixels."""
    canvas = artwork.CANVAS
    picture = paint(spec.scene, spec.colour, np.random.default_rng(spec.seed), canvas)
    for subject in spec.subjects:
        cut_out = _cut_out(subject, canvas)
        corner = (round(subject.x * canvas - cut_out.width / 2), round(subject.y * canvas - cut_out.height / 2))
        picture.paste(cut_out, corner, cut_out)
    return STYLES[spec.style](picture.resize((size, size), Image.Resampling.BOX if size * 2 == canvas else 3))


def _cut_out(subject: Appearance, canvas: int) -> Image.Image:
    """Stack an identity's layers, then mirror, scale and tilt."""
    chosen = {**dict(subject.identity.parts), **dict(subject.parts)}
    kind = subject.identity.kind
    colour = subject.identity.colour if kind == "robot" else "blue"
    stack: Image.Image | None = None
    for folder in artwork.LAYERS[kind]:
        part = artwork.part_name(folder)
        name = chosen.get(part, NOTHING)
        if name == NOTHING or name == "Blank":
            continue
        image = artwork.layer(kind, part, name, colour)
        stack = image.copy() if stack is None else Image.alpha_composite(stack, image)
    assert stack is not None
    if subject.mirrored:
        stack = stack.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = round(subject.height * canvas)
    stack = stack.resize((side, side), Image.Resampling.BILINEAR)
    return stack.rotate(subject.tilt, Image.Resampling.BILINEAR, center=(side / 2, side))
