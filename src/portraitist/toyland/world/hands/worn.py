"""What anybody may wear or hold: hats, things around the neck, things in a hand. Drawn by this project.

A hat is drawn about the middle of its lower edge, for a head 200 units wide; what goes around the neck about the middle
of the neck, for a neck 100 units wide; what is held about the hand. ``@hat``, ``@neckwear`` and ``@held`` are their
colours.
"""

from collections.abc import Iterable

from portraitist.toyland.world.hands.strokes import SHADE, WHITE, box, ellipse, line, placed, shape

_STRAW, _GOLD, _LEAF, _STEM = "#eccb7c", "#f7c63c", "#4aa35a", "#3f8a4c"


def _flower(x: float, y: float, radius: float, petals: str) -> str:
    ring = ((1.0, 0.0), (0.31, 0.95), (-0.81, 0.59), (-0.81, -0.59), (0.31, -0.95))
    drawn = "".join(ellipse(x + radius * a, y + radius * b, radius * 0.78, fill=petals) for a, b in ring)
    return drawn + ellipse(x, y, radius * 0.62, fill="#fbd75e")


HATS: dict[str, str] = {
    "party hat": shape("M-66 6L0 -130L66 6Q0 26 -66 6Z", "@hat")
    + line("M-46 -38Q0 -20 46 -38M-24 -82Q0 -72 24 -82", 13, WHITE)
    + ellipse(0, -130, 19, fill="#fff3c4"),
    "crown": shape("M-82 8V-78L-41 -36L0 -96L41 -36L82 -78V8Q0 26 -82 8Z", _GOLD)
    + shape("M-82 8V-14Q0 6 82 -14V8Q0 26 -82 8Z", "#e0a021")
    + ellipse(0, -36, 13, fill="#d8434e")
    + ellipse(-50, -26, 9, fill="#3d8bd6")
    + ellipse(50, -26, 9, fill="#3d8bd6"),
    "top hat": box(-66, -138, 132, 138, 10, "@hat")
    + box(-66, -44, 132, 32, 0, SHADE, 0.35)
    + box(-118, -16, 236, 34, 17, "@hat"),
    "beanie": shape("M-108 6C-112 -150 112 -150 108 6Z", "@hat")
    + ellipse(0, -118, 25, fill=WHITE)
    + box(-116, -32, 232, 54, 25, "@hat")
    + box(-116, -32, 232, 54, 25, WHITE, 0.35),
    "cap": shape("M-106 10C-114 -130 100 -136 106 6Z", "@hat")
    + shape("M-10 2C60 -20 170 -10 178 22C120 20 50 30 -14 30Z", "@hat")
    + shape("M-10 2C60 -20 170 -10 178 22C120 20 50 30 -14 30Z", SHADE, 0.28)
    + ellipse(-2, -98, 10, fill=SHADE, opacity=0.3),
    "sun hat": ellipse(0, 4, 184, 33, _STRAW)
    + shape("M-96 2C-96 -124 96 -124 96 2Q0 28 -96 2Z", "#f3d78f")
    + shape("M-96 2C-97 -16 -95 -26 -93 -36Q0 -12 93 -36C95 -26 97 -16 96 2Q0 28 -96 2Z", "@hat"),
    "headphones": line("M-112 74C-124 -140 124 -140 112 74", 19, "@hat")
    + box(-136, 40, 46, 84, 20, "#34343f")
    + box(90, 40, 46, 84, 20, "#34343f")
    + box(-128, 52, 18, 60, 9, "@hat")
    + box(110, 52, 18, 60, 9, "@hat"),
    "flower": _flower(76, -22, 29, "@hat"),
    "bow": shape("M0 -40C-22 -92 -84 -92 -80 -40C-84 12 -22 12 0 -40C22 12 84 12 80 -40C84 -92 22 -92 0 -40Z", "@hat")
    + ellipse(0, -40, 20, 22, SHADE, 0.28),
}
# Hats that would sit in the hair if it were not taken away above them: what they erase.
_ABOVE = shape("M-330 -420H330V70Q190 60 116 -2H-116Q-190 60 -330 70Z", SHADE)
COVERING = ("top hat", "beanie", "cap", "sun hat")
# What sits on a head without being a hat.
PINNED = ("flower", "bow")

NECKWEAR: dict[str, str] = {
    "scarf": shape("M28 10L66 18L74 118L34 118Z", "@neckwear")
    + shape("M28 10L66 18L74 118L34 118Z", SHADE, 0.2)
    + line("M37 98H71M35 78H69", 8, WHITE, 0.8)
    + shape("M-76 -14Q0 26 76 -14Q92 12 78 34Q0 70 -78 34Q-92 12 -76 -14Z", "@neckwear"),
    "bow tie": shape("M0 16L-66 -22V56ZM0 16L66 -22V56Z", "@neckwear")
    + box(-17, -4, 34, 40, 12, "@neckwear")
    + box(-17, -4, 34, 40, 12, SHADE, 0.28),
    "collar": shape("M-74 -8Q0 34 74 -8V18Q0 62 -74 18Z", "@neckwear") + ellipse(0, 46, 20, fill=_GOLD),
    "bandana": shape("M-78 -16Q0 20 78 -16Q60 64 0 104Q-60 64 -78 -16Z", "@neckwear")
    + ellipse(0, 36, 9, fill=WHITE)
    + ellipse(-34, 22, 8, fill=WHITE)
    + ellipse(34, 22, 8, fill=WHITE),
}

HELD: dict[str, str] = {
    "balloon": line("M0 0C-16 -60 18 -100 0 -154", 5, "#6c6878")
    + shape("M0 -150L-13 -134H13Z", "@held")
    + ellipse(0, -216, 60, 70, "@held")
    + ellipse(-22, -244, 14, 20, WHITE, 0.55),
    "flower": line("M0 10V-112", 9, _STEM)
    + shape("M0 -30C22 -72 54 -70 58 -66C54 -36 28 -22 0 -30Z", _LEAF)
    + _flower(0, -134, 31, "@held"),
    "ice cream": shape("M-34 -62L0 26L34 -62Z", "#dfa35c")
    + line("M-16 -58L10 -4M16 -58L-10 -4", 5, "#b9783a")
    + ellipse(0, -88, 46, 44, "@held")
    + ellipse(-16, -106, 11, 9, WHITE, 0.5),
    "cup": box(-38, -62, 76, 84, 14, "@held")
    + line("M38 -44C78 -48 78 8 38 2", 13, "@held")
    + ellipse(0, -60, 38, 12, "#5d3a26")
    + line("M-14 -88C-24 -104 -2 -112 -12 -130M14 -88C4 -104 26 -112 16 -130", 8, WHITE, 0.75),
    "book": box(-58, -104, 116, 116, 10, "@held")
    + box(-58, -104, 24, 116, 8, SHADE, 0.3)
    + box(-16, -80, 56, 24, 5, WHITE, 0.85),
    "flag": line("M0 24V-196", 10, "#8a6a4a")
    + shape("M5 -192C40 -214 76 -170 118 -188V-104C76 -86 40 -130 5 -108Z", "@held"),
}


def hats(x: float, y: float, width: float, names: Iterable[str] = tuple(HATS)) -> dict[str, str]:
    """Return hats for a head of that width, the middle of their lower edge at a place."""
    return {name: placed(HATS[name], x, y, width / 200) for name in names}


def above_hats(x: float, y: float, width: float) -> dict[str, str]:
    """Return what covering hats take away of what is drawn behind them, at the same place."""
    return {name: placed(_ABOVE, x, y, width / 200) for name in COVERING}


def neckwear(x: float, y: float, width: float) -> dict[str, str]:
    """Return what goes around a neck of that width."""
    return {name: placed(worn, x, y, width / 100) for name, worn in NECKWEAR.items()}


def arms(course: str, width: float, colour: str) -> dict[str, str]:
    """Return the arm that reaches for whatever is held, along a course that ends at the hand."""
    return dict.fromkeys(HELD, line(course, width, colour))


def held(x: float, y: float, hand: str, scale: float = 1.0) -> dict[str, str]:
    """Return what is held, with the hand that holds it; ``hand`` is its colour."""
    return {
        name: placed(thing, x, y, scale) + ellipse(x, y + 4, 31, 28, hand) + ellipse(x, y + 14, 31, 18, SHADE, 0.1)
        for name, thing in HELD.items()
    }
