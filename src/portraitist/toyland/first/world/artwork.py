"""The layered artwork of the PyPI package ``robohash``: which parts exist, and their pixels.

Robots by Zikri Kader and cats by David Revoy (CC-BY 4.0), monsters by Hrvoje Novakovic (CC-BY 3.0), people by Pablo
Stanley (avataaars.com, free for personal and commercial use). Only the making of pictures needs the package.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from portraitist.errors import MissingExtra

CANVAS = 128

# Folders of each kind, from the back layer to the front one.
LAYERS = {
    "robot": ("003#01Body", "004#02Face", "002#Accessory", "001#Eyes", "000#Mouth"),
    "monster": (
        "004#01FaceColors",
        "003#02BodyColors",
        "006#03Faces",
        "000#04Body",
        "002#Eyes",
        "001#Mouth",
        "005#Nose",
    ),
    "cat": ("000#00body", "001#01fur", "002#02eyes", "003#03mouth", "004#04accessories"),
    "person": (
        "000#Body",
        "004#Cloth",
        "003#Mouth",
        "001#Eye",
        "002#Eyebrow",
        "005#FacialHair",
        "006#Top",
        "007#Accessories",
    ),
}
_SETS = {"robot": "set1", "monster": "set2", "cat": "set4", "person": "set5"}


@cache
def root() -> Path:
    """Return the folder of the artwork.

    Raises:
        MissingExtra: If the package is not installed.
    """
    spec = find_spec("robohash")
    if spec is None or spec.origin is None:
        raise MissingExtra("toyland", "robohash")
    return Path(spec.origin).parent / "sets"


def part_name(layer: str) -> str:
    """Return the plain name of a layer folder: ``003#01Body`` is ``body``."""
    return layer.split("#")[1].lstrip("0123456789").lower()


@cache
def choices(kind: str, part: str, colour: str = "blue") -> tuple[str, ...]:
    """Return the names of the files of a part, sorted; robots have a set for each colour."""
    names = [path.name.split("#")[-1].removesuffix(".png") for path in _folder(kind, part, colour).glob("*.png")]
    return tuple(sorted(name.removeprefix(f"{colour}_") for name in names))


@cache
def layer(kind: str, part: str, name: str, colour: str = "blue") -> Image.Image:
    """Return a part as RGBA at ``CANVAS`` pixels."""
    wanted = f"{colour}_{name}.png" if kind == "robot" else f"{name}.png"
    path = next(path for path in _folder(kind, part, colour).glob("*.png") if path.name.split("#")[-1] == wanted)
    with Image.open(path) as picture:
        return picture.convert("RGBA").resize((CANVAS, CANVAS), Image.Resampling.BOX, reducing_gap=None)


@cache
def mean_colour(kind: str, part: str, name: str) -> tuple[float, float, float]:
    """Return the mean colour of a part's opaque pixels."""
    pixels = np.asarray(layer(kind, part, name), dtype=np.float32)
    opaque = pixels[..., 3] > 200
    red, green, blue = pixels[opaque][:, :3].mean(0) if opaque.any() else (0.0, 0.0, 0.0)
    return float(red), float(green), float(blue)


def _folder(kind: str, part: str, colour: str) -> Path:
    folder = next(name for name in LAYERS[kind] if part_name(name) == part)
    base = root() / _SETS[kind]
    return base / colour / folder if kind == "robot" else base / folder
