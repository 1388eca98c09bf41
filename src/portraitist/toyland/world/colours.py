"""Named colours, each a continuous range: a name is drawn first, then a shade that still deserves the name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Shade:
    """The range of a named colour: every mixture of a darker and a lighter shade, a little to each side.

    Attributes:
        dark: One end, red, green and blue from 0 to 255.
        light: The other end.
        spread: How far each channel may stray, a uniform number up to it.
    """

    dark: Colour
    light: Colour
    spread: int = 6

    def draw(self, rng: np.random.Generator) -> Colour:
        """Draw a shade."""
        mixture = rng.random()
        stray = rng.random(3) * (2 * self.spread) - self.spread
        red, green, blue = (
            min(255, max(0, round(low + (high - low) * mixture + off)))
            for low, high, off in zip(self.dark, self.light, stray, strict=True)
        )
        return red, green, blue


HAIR: dict[str, Shade] = {
    "black": Shade((22, 19, 24), (52, 44, 44)),
    "brown": Shade((78, 48, 32), (124, 80, 50)),
    "auburn": Shade((126, 52, 28), (160, 72, 40)),
    "ginger": Shade((196, 90, 26), (224, 124, 50)),
    "blonde": Shade((214, 168, 84), (244, 212, 132)),
    "grey": Shade((134, 134, 140), (178, 178, 182)),
    "white": Shade((226, 226, 228), (250, 248, 244)),
    "pink": Shade((232, 104, 158), (250, 150, 190)),
    "purple": Shade((104, 62, 158), (142, 92, 196)),
    "blue": Shade((44, 92, 180), (74, 138, 222)),
    "green": Shade((46, 138, 82), (84, 178, 112)),
}
NATURAL_HAIR = ("black", "brown", "auburn", "ginger", "blonde", "grey", "white")

# Along one line from dark to light, as skins are; the words are those of the captions.
SKIN: dict[str, Shade] = {
    "dark": Shade((78, 48, 36), (118, 74, 52), 5),
    "brown": Shade((140, 90, 62), (178, 120, 82), 5),
    "tan": Shade((198, 142, 100), (220, 164, 122), 5),
    "light": Shade((232, 180, 142), (248, 208, 176), 5),
}

IRIS: dict[str, Shade] = {
    "brown": Shade((84, 50, 28), (124, 78, 42)),
    "blue": Shade((46, 116, 196), (92, 160, 226)),
    "green": Shade((48, 138, 78), (98, 172, 96)),
    "grey": Shade((104, 118, 132), (144, 156, 166)),
}
CAT_IRIS: dict[str, Shade] = {
    "yellow": Shade((240, 196, 50), (252, 220, 96)),
    "green": Shade((98, 190, 80), (150, 218, 110)),
    "blue": Shade((66, 156, 226), (120, 196, 242)),
    "orange": Shade((236, 132, 40), (248, 160, 66)),
}

# Clothes, hats, things held, and backgrounds.
CLOTH: dict[str, Shade] = {
    "red": Shade((196, 36, 40), (226, 66, 60)),
    "orange": Shade((232, 116, 28), (248, 148, 60)),
    "yellow": Shade((242, 196, 44), (252, 218, 92)),
    "green": Shade((40, 132, 66), (76, 172, 92)),
    "blue": Shade((36, 88, 184), (66, 130, 220)),
    "purple": Shade((110, 58, 162), (146, 92, 198)),
    "pink": Shade((236, 116, 164), (250, 160, 196)),
    "brown": Shade((108, 70, 44), (140, 96, 62)),
    "grey": Shade((110, 114, 122), (152, 156, 162)),
    "white": Shade((236, 236, 234), (252, 252, 250), 3),
    "black": Shade((26, 28, 36), (48, 50, 60), 4),
}

ROBOT: dict[str, Shade] = {
    "blue": Shade((24, 104, 206), (66, 148, 238)),
    "brown": Shade((126, 82, 50), (158, 108, 68)),
    "green": Shade((44, 150, 74), (88, 188, 100)),
    "grey": Shade((118, 124, 132), (156, 162, 168)),
    "orange": Shade((234, 120, 24), (250, 150, 58)),
    "pink": Shade((236, 104, 166), (250, 150, 196)),
    "purple": Shade((124, 72, 188), (162, 112, 218)),
    "red": Shade((206, 40, 44), (232, 76, 68)),
    "white": Shade((232, 236, 240), (250, 250, 252), 3),
    "yellow": Shade((242, 194, 36), (252, 218, 84)),
}
MONSTER: dict[str, Shade] = {
    "blue": Shade((84, 150, 236), (136, 190, 248)),
    "green": Shade((92, 188, 100), (150, 220, 130)),
    "orange": Shade((246, 144, 64), (252, 184, 110)),
    "pink": Shade((240, 130, 176), (250, 172, 206)),
    "purple": Shade((150, 104, 220), (188, 152, 244)),
    "red": Shade((222, 72, 72), (244, 118, 106)),
    "teal": Shade((38, 166, 164), (92, 204, 194)),
    "yellow": Shade((244, 206, 70), (252, 228, 124)),
}
CAT: dict[str, Shade] = {
    "black": Shade((34, 32, 40), (62, 58, 68), 4),
    "brown": Shade((116, 76, 50), (152, 106, 74)),
    "cream": Shade((238, 214, 170), (248, 230, 198), 4),
    "ginger": Shade((226, 126, 44), (244, 160, 80)),
    "grey": Shade((126, 132, 142), (166, 170, 178)),
    "white": Shade((236, 234, 232), (252, 250, 248), 3),
    "blue": Shade((82, 122, 176), (124, 160, 206)),
    "pink": Shade((236, 138, 172), (248, 176, 200)),
}


def pick(rng: np.random.Generator, names: Sequence[str]) -> str:
    """Draw one of several names."""
    return names[int(rng.random() * len(names))]


def nearest(colour: Colour, palette: Mapping[str, Shade]) -> str:
    """Return the name of the palette whose range is nearest to a colour."""
    return min(palette, key=lambda name: _distance(colour, palette[name]))


def _distance(colour: Colour, shade: Shade) -> float:
    point, start, end = (np.array(c, dtype=float) for c in (colour, shade.dark, shade.light))
    way = end - start
    share = float(np.clip((point - start) @ way / (way @ way), 0, 1))
    return float(np.linalg.norm(point - start - share * way))


def darker(colour: Colour, share: float) -> Colour:
    """Return a colour with so much of its light."""
    red, green, blue = (round(c * share) for c in colour)
    return red, green, blue
