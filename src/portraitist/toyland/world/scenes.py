"""The places of toyland, drawn as vectors: every variant has its own light, shapes and distances.

A scene is drawn a little larger than a picture, so that a picture can show any part of it, either way round.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from portraitist.toyland.world.colours import CLOTH, Colour
from portraitist.toyland.world.hands.strokes import SHADE, WHITE, box, ellipse, line, shape

PLAIN_COLOURS = tuple(CLOTH)
PLAIN = "plain"


@dataclass(frozen=True)
class Scene:
    """A place.

    Attributes:
        draw: Draws a variant as a fragment.
        light: What the light there does to red, green and blue of whoever stands in it.
    """

    draw: Callable[[np.random.Generator], str]
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return round(low + (high - low) * float(rng.random()), 1)


def _one(rng: np.random.Generator, *colours: str) -> str:
    return colours[int(rng.integers(len(colours)))]


def _mix(first: str, second: str, share: float) -> str:
    """Return a colour on the way from one to another."""
    pairs = zip(_channels(first), _channels(second), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _sky(*stops: str, height: float = 512) -> str:
    """Return a vertical gradient."""
    marks = "".join(f'<stop offset="{i / (len(stops) - 1):.2f}" stop-color="{c}"/>' for i, c in enumerate(stops))
    gradient = f'<linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">{marks}</linearGradient>'
    return f'<defs>{gradient}</defs><rect width="512" height="{height}" fill="url(#sky)"/>'


def _glow(x: float, y: float, radius: float, colour: str, strength: float = 0.8) -> str:
    """Return light that fades outwards."""
    stops = f'<stop offset="0" stop-color="{colour}" stop-opacity="{strength}"/>'
    stops += f'<stop offset="1" stop-color="{colour}" stop-opacity="0"/>'
    return f'<defs><radialGradient id="glow">{stops}</radialGradient></defs>' + ellipse(
        x, y, radius, None, "url(#glow)"
    )


def _hills(rng: np.random.Generator, level: float, height: float, colour: str, waves: float = 1.2) -> str:
    """Return rolling ground from a level down to the lower edge."""
    phase, other = rng.random(2) * 2 * np.pi
    x = np.linspace(-10, 522, 22)
    y = level - height * (
        0.6 * np.sin(waves * 2 * np.pi * x / 512 + phase) + 0.4 * np.sin(waves * 11 * x / 512 + other)
    )
    points = "L".join(f"{a:.0f} {b:.0f}" for a, b in zip(x, y, strict=True))
    return shape(f"M-10 522L{points}L522 522Z", colour)


def _cloud(x: float, y: float, size: float, opacity: float = 0.9) -> str:
    puffs = ((0, 0, 1.0), (-0.9, 0.25, 0.7), (0.9, 0.2, 0.75), (0.35, -0.35, 0.8))
    return "".join(
        ellipse(round(x + size * dx), round(y + size * dy), round(size * r), round(size * r * 0.62), WHITE, opacity)
        for dx, dy, r in puffs
    )


def _clouds(rng: np.random.Generator, count: int, opacity: float = 0.85) -> str:
    return "".join(
        _cloud(_between(rng, 0, 512), _between(rng, 40, 170), _between(rng, 34, 60), opacity) for _ in range(count)
    )


def _beach(rng: np.random.Generator) -> str:
    horizon = _between(rng, 228, 276)
    sun = _between(rng, 40, 470)
    shore = _between(rng, 372, 410)
    drawn = (
        _sky("#4aaef0", "#bfe8fb", height=horizon + 10)
        + _glow(sun, 84, 150, "#fff3b8")
        + ellipse(sun, 84, 40, fill="#ffe883")
    )
    drawn += _clouds(rng, 2)
    drawn += box(0, horizon, 512, 300, 0, "#2b8fd0") + box(0, horizon, 512, 46, 0, "#1f78bd", 0.6)
    for _ in range(5):
        x, y = _between(rng, -20, 480), _between(rng, horizon + 24, shore - 40)
        drawn += line(f"M{x} {y}Q{x + 22} {y - 9} {x + 44} {y}", 6, "#a8dcf5", 0.85)
    phase = _between(rng, -30, 30)
    wave = f"M-10 {shore}C120 {shore - 30 + phase} 240 {shore + 34} 360 {shore}"
    wave += f"C420 {shore - 16} 480 {shore - 8} 522 {shore}"
    drawn += line(wave, 26, "#d9f3fb") + shape(wave + "V522H-10Z", "#f3d796") + line(wave, 10, "#e2bf7a", 0.7)
    side = rng.random()
    if side < 0.75:
        drawn += _palm(rng, _between(rng, 30, 100) if side < 0.38 else _between(rng, 410, 480))
    return drawn


def _palm(rng: np.random.Generator, x: float) -> str:
    lean = 46 if x < 256 else -46
    top = _between(rng, 110, 160)
    trunk = line(f"M{x} 470Q{x} 300 {x + lean} {top}", 24, "#a5713f") + line(
        f"M{x - 5} 470Q{x - 5} 300 {x + lean - 4} {top}", 8, "#c08d55"
    )
    leaves = ""
    for reach, drop in ((-118, 42), (-96, -34), (-30, -70), (46, -66), (104, -22), (112, 52)):
        leaves += line(
            f"M{x + lean} {top}Q{x + lean + reach * 0.6} {top + drop - 42} {x + lean + reach} {top + drop + 18}",
            22,
            _one(rng, "#2f9a55", "#3bab5f", "#258a4b"),
        )
    return (
        trunk
        + leaves
        + ellipse(x + lean - 8, top + 14, 12, fill="#7a4e2a")
        + ellipse(x + lean + 14, top + 12, 12, fill="#8a5a32")
    )


def _snow(rng: np.random.Generator) -> str:
    drawn = _sky("#8fbfe8", "#e4f1fb")
    base = _between(rng, 318, 350)
    for x, top, half in (
        (_between(rng, -20, 150), _between(rng, 96, 160), 220),
        (_between(rng, 300, 500), _between(rng, 70, 150), 260),
    ):
        left = f"L{x - half} {base + 30}"
        drawn += shape(f"M{x} {top}{left}H{x + half}Z", "#8ea9c9") + shape(
            f"M{x} {top}L{x} {base + 30}H{x + half}Z", "#7592b6"
        )
        cap = (base + 30 - top) * 0.36
        wide = half * 0.36
        drawn += shape(
            f"M{x} {top}L{x - wide} {top + cap}L{x - wide * 0.45} {top + cap * 0.78}L{x} {top + cap * 1.1}"
            f"L{x + wide * 0.5} {top + cap * 0.8}L{x + wide} {top + cap}Z",
            "#fbfdff",
        )
    drawn += _hills(rng, base, 14, "#d9e7f5")
    for _ in range(int(rng.integers(2, 5))):
        drawn += _fir(_between(rng, 10, 500), base + _between(rng, 20, 54), _between(rng, 110, 170), "#2f7a68", True)
    drawn += _hills(rng, base + 74, 12, "#f7fbff")
    for _ in range(22):
        drawn += ellipse(_between(rng, 0, 512), _between(rng, 0, 420), _between(rng, 4, 8), None, WHITE, 0.95)
    return drawn


def _fir(x: float, foot: float, height: float, colour: str, snowy: bool = False) -> str:
    drawn = box(x - 8, foot - 14, 16, 24, 0, "#6b4a32")
    for i, width in enumerate((0.34, 0.27, 0.19)):
        low, top = foot - height * 0.27 * i, foot - height * (0.46 + 0.27 * i)
        tier = f"M{x} {top}L{x - height * width} {low}Q{x} {low + 12} {x + height * width} {low}Z"
        drawn += shape(tier, colour) + shape(f"M{x} {top}L{x} {low + 6}L{x + height * width} {low}Z", SHADE, 0.14)
        if snowy:
            drawn += shape(
                f"M{x} {top}L{x - height * width * 0.5} {top + (low - top) * 0.5}H{x + height * width * 0.5}Z", WHITE
            )
    return drawn


def _forest(rng: np.random.Generator) -> str:
    drawn = _sky("#bfe6a8", "#e8f6c8", "#9fcf86")
    for depth, colour, level in ((0, "#8fc07c", 300), (1, "#5f9f5c", 340), (2, "#3c7f47", 392)):
        drawn += _hills(rng, level, 10, colour)
        for i in range(5 - depth):
            x = (i + _between(rng, -0.3, 0.3)) * 512 / (4 - depth)
            if depth < 2:
                drawn += _fir(round(x), level + 14, _between(rng, 190, 250) + 40 * depth, _mix(colour, "#1c5a38", 0.35))
            elif i != 1 or rng.random() < 0.4:
                drawn += _oak(rng, x, level + 30)
    drawn += _hills(rng, 430, 12, "#5a9a48")
    for _ in range(9):
        x, y = _between(rng, 0, 512), _between(rng, 446, 505)
        drawn += line(f"M{x - 8} {y - 18}L{x} {y}L{x + 9} {y - 20}", 6, "#3c7f3c")
    return drawn


def _oak(rng: np.random.Generator, x: float, foot: float) -> str:
    trunk = shape(
        f"M{x - 20} {foot}Q{x - 10} {foot - 140} {x - 16} {foot - 300}H{x + 18}Q{x + 10} {foot - 140} {x + 24} {foot}Z",
        "#6f4a2e",
    )
    leaves = ""
    for dx, dy, r in ((-70, -270, 66), (70, -264, 70), (0, -330, 84), (-10, -250, 60)):
        leaves += ellipse(x + dx, foot + dy, r, r * 0.86, _one(rng, "#2f7d43", "#3b8f4c", "#27703b"))
    return trunk + leaves


def _city(rng: np.random.Generator) -> str:
    drawn = _sky("#141a4a", "#3a2f7c", "#7a4a9a")
    moon = _between(rng, 60, 450)
    drawn += _glow(moon, 84, 120, "#fff4c8", 0.5) + ellipse(moon, 84, 34, fill="#fff3c9")
    for _ in range(12):
        drawn += ellipse(_between(rng, 0, 512), _between(rng, 0, 180), 3.6, fill="#f3efff")
    drawn += _skyline(rng, (150, 260), "#2c2b6b", None) + _skyline(rng, (200, 340), "#1c1d4c", "#ffd46b")
    drawn += box(0, 436, 512, 90, 0, "#33335a") + box(0, 428, 512, 14, 0, "#5a5a8a")
    start = _between(rng, -60, 0)
    return drawn + "".join(box(start + i * 128, 474, 66, 10, 4, "#e8dca0") for i in range(5))


def _skyline(rng: np.random.Generator, tops: tuple[float, float], colour: str, lit: str | None) -> str:
    drawn, x = "", _between(rng, -70, -10)
    while x < 512:
        width, top = int(rng.integers(70, 120)), _between(rng, *tops)
        drawn += box(x, top, width, 520 - top, 3, colour)
        if lit:
            for row in range(int(top) + 20, 410, 38):
                for column in range(int(x) + 14, int(x) + width - 20, 30):
                    if rng.random() < 0.55:
                        drawn += box(column, row, 15, 20, 2, lit)
        x += width + 8
    return drawn


def _space(rng: np.random.Generator) -> str:
    drawn = _sky("#0d0b2c", "#2b1656", "#4a1f6e")
    drawn += _glow(
        _between(rng, 60, 450), _between(rng, 120, 300), 240, _one(rng, "#7a4ad8", "#3a6ad8", "#c04aa8"), 0.5
    )
    for _ in range(26):
        drawn += ellipse(_between(rng, 0, 512), _between(rng, 0, 512), _between(rng, 2.6, 5.5), fill="#fdf9e8")
    x, y, radius = _between(rng, 60, 450), _between(rng, 80, 170), _between(rng, 46, 70)
    colour = _one(rng, "#f0a35c", "#62b7e8", "#e87fb0", "#9bd76a")
    drawn += ellipse(x, y, radius, fill=colour) + shape(
        f"M{x} {y - radius}A{radius} {radius} 0 0 1 {x} {y + radius}"
        f"A{radius * 1.5} {radius * 1.5} 0 0 0 {x} {y - radius}Z",
        SHADE,
        0.22,
    )
    if rng.random() < 0.6:
        ring = f'<ellipse cx="{x}" cy="{y}" rx="{radius * 1.7}" ry="{radius * 0.42}" stroke="#f6e3b4" stroke-width="11"'
        drawn += f'{ring} transform="rotate(-14 {x} {y})"/>'
        drawn += shape(f"M{x - radius} {y + 4}A{radius} {radius} 0 0 1 {x + radius} {y - 8}Z", colour)
    ground = _between(rng, 420, 452)
    drawn += shape(f"M-10 522V{ground + 26}Q256 {ground - 40} 522 {ground + 26}V522Z", "#8f8aa6")
    for _ in range(4):
        a, b = _between(rng, 20, 490), _between(rng, ground + 24, 500)
        drawn += ellipse(a, b, 34, 11, "#6d6887") + ellipse(a, b + 3, 28, 7, "#7d789a")
    return drawn


def _desert(rng: np.random.Generator) -> str:
    drawn = _sky("#f59a52", "#fbd08a", "#fdecc0")
    sun = _between(rng, 60, 450)
    drawn += _glow(sun, 120, 170, "#fff2c0") + ellipse(sun, 120, 46, fill="#fff4cf")
    for _ in range(2):
        x, half = _between(rng, 40, 470), _between(rng, 60, 110)
        top = _between(rng, 210, 250)
        drawn += shape(f"M{x - half} 330L{x - half + 20} {top}H{x + half - 26}L{x + half} 330Z", "#d08a5c")
        drawn += shape(f"M{x + half - 60} 330L{x + half - 52} {top}H{x + half - 26}L{x + half} 330Z", "#b97148")
    drawn += _hills(rng, 326, 16, "#eab068") + _hills(rng, 376, 18, "#dd9850") + _hills(rng, 436, 14, "#cf8540")
    for x in (_between(rng, 20, 120), _between(rng, 390, 490)):
        if rng.random() < 0.8:
            drawn += _cactus(x, _between(rng, 410, 460), _between(rng, 0.8, 1.15))
    return drawn


def _cactus(x: float, foot: float, size: float) -> str:
    arms = "M0 -70H-44V-118M0 -50H44V-128"
    drawn = line("M0 0V-150", 40, "#3d9058") + line(arms, 26, "#3d9058") + line("M-8 -6V-148", 7, "#6ab880")
    return f'<g transform="translate({x} {foot}) scale({size})">{drawn}</g>'


def _room(rng: np.random.Generator) -> str:
    wall = _one(rng, "#f2d9b8", "#cfe3d2", "#d3dff0", "#f0cfcf", "#e4d6ee")
    floor = _between(rng, 372, 404)
    drawn = box(0, 0, 512, 512, 0, wall) + "".join(box(i * 64, 0, 32, 512, 0, WHITE, 0.16) for i in range(8))
    left = rng.random() < 0.5
    x = _between(rng, 20, 60) if left else _between(rng, 290, 330)
    sky = _one(rng, "#9fd4f5", "#f7b98a", "#33407a")
    drawn += box(x - 12, 58, 184, 204, 8, "#fdfaf2") + box(x, 70, 160, 180, 4, sky) + _cloud(x + 80, 130, 30, 0.8)
    drawn += line(f"M{x + 80} 70V250M{x} 160H{x + 160}", 9, "#fdfaf2")
    curtain = _one(rng, "#d9534f", "#3f7fc4", "#4f9f6a", "#8a5ab0")
    drawn += shape(f"M{x - 34} 44H{x + 36}Q{x + 20} 200 {x - 30} 276Z", curtain) + shape(
        f"M{x + 194} 44H{x + 124}Q{x + 140} 200 {x + 190} 276Z", curtain
    )
    other = _between(rng, 330, 400) if left else _between(rng, 40, 100)
    drawn += box(other - 50, 96, 110, 90, 4, "#8a5a36") + box(
        other - 40, 106, 90, 70, 0, _one(rng, "#f3e3a4", "#bfe0e8", "#f5c6c6")
    )
    drawn += shape(f"M{other - 40} 176L{other - 8} 130L{other + 14} 156L{other + 28} 140L{other + 50} 176Z", "#5f9f6f")
    drawn += box(0, floor, 512, 150, 0, "#b97f4c") + box(0, floor - 14, 512, 20, 0, "#fbf6ec")
    for i in range(7):
        edge = -160 + i * 138
        drawn += line(f"M{256 + (edge - 256) * 0.62:.0f} {floor + 6}L{edge} 522", 5, "#8f5c33")
    return drawn


def _under_water(rng: np.random.Generator) -> str:
    drawn = _sky("#5fd3e0", "#2a93c4", "#155a9a")
    for x in (_between(rng, 20, 140), _between(rng, 200, 300), _between(rng, 340, 470)):
        drawn += shape(f"M{x - 20} 0H{x + 40}L{x + 100} 512H{x - 60}Z", WHITE, 0.1)
    drawn += _hills(rng, 452, 12, "#d8c48a")
    for x in (_between(rng, 10, 60), _between(rng, 70, 120), _between(rng, 400, 450), _between(rng, 460, 505)):
        h = _between(rng, 120, 210)
        drawn += line(
            f"M{x} 500C{x - 36} {500 - h * 0.35:.0f} {x + 36} {500 - h * 0.65:.0f} {x} {500 - h:.0f}",
            20,
            _one(rng, "#2f9a63", "#3bb070", "#258a58"),
        )
    x = _between(rng, 60, 450)
    drawn += line(
        f"M{x} 480V420M{x} 450L{x - 34} 410M{x} 444L{x + 32} 404", 17, _one(rng, "#f2788a", "#f59a5c", "#c878d8")
    )
    for _ in range(int(rng.integers(3, 6))):
        drawn += _fish(rng)
    for _ in range(9):
        a, b, r = _between(rng, 0, 512), _between(rng, 20, 420), _between(rng, 7, 14)
        drawn += f'<circle cx="{a}" cy="{b}" r="{r}" stroke="#d6f5fb" stroke-width="4" opacity="0.85"/>'
    return drawn


def _fish(rng: np.random.Generator) -> str:
    x, y, way = _between(rng, 30, 480), _between(rng, 70, 360), 1 if rng.random() < 0.5 else -1
    colour = _one(rng, "#ff9a4a", "#ffd75a", "#f47fa4", "#a8e07a")
    body = (
        ellipse(0, 0, 32, 19, colour)
        + shape("M-26 0L-52 -19V19Z", colour)
        + line("M-4 -16V16", 7, WHITE)
        + ellipse(17, -4, 4.5)
    )
    return f'<g transform="translate({x} {y}) scale({way} 1)">{body}</g>'


def _meadow(rng: np.random.Generator) -> str:
    drawn = _sky("#6fc0f2", "#d5effc") + _clouds(rng, 3)
    drawn += _hills(rng, 286, 22, "#a7d98a") + _hills(rng, 330, 20, "#86c96c")
    x = _between(rng, 60, 450)
    drawn += (
        box(x - 40, 262, 80, 58, 2, "#fbf3e2")
        + shape(f"M{x - 52} 266L{x} 216L{x + 52} 266Z", "#d9534f")
        + box(x - 10, 288, 20, 32, 2, "#8a5a36")
    )
    drawn += _hills(rng, 384, 16, "#66b552")
    for _ in range(16):
        a, b = _between(rng, 0, 512), _between(rng, 404, 504)
        drawn += line(f"M{a} {b + 18}V{b}", 5, "#3d8a3a")
        drawn += ellipse(a, b, 10, None, _one(rng, "#f25f5c", "#ffd23f", "#f78fb3", "#ffffff", "#a06cd5")) + ellipse(
            a, b, 4, fill="#fff3b0"
        )
    return drawn


def _sunset(rng: np.random.Generator) -> str:
    drawn = _sky("#4a2a7a", "#c2477f", "#f98a4e", "#fdc25e")
    sun, level = _between(rng, 110, 400), _between(rng, 286, 316)
    drawn += _glow(sun, level - 16, 230, "#ffe08a", 0.7) + ellipse(sun, level - 20, 66, fill="#ffdf7a")
    drawn += shape(
        f"M-10 522V{level}L90 {level - 90}L180 {level - 6}L290 {level - 120}L400 {level - 14}L460 {level - 70}"
        f"L522 {level}V522Z",
        "#6a2f6e",
    )
    drawn += box(0, level + 24, 512, 220, 0, "#a8446e") + box(sun - 50, level + 34, 100, 12, 6, "#ffd27a", 0.9)
    for i in range(4):
        drawn += box(sun - 40 + _between(rng, -24, 10), level + 58 + 24 * i, 80, 8, 4, "#ffc06a", 0.75)
    return drawn + _hills(rng, 452, 10, "#3a1c4a")


def draw_plain(colour: Colour) -> str:
    """Draw a backdrop of one colour, lit from above."""
    red, green, blue = colour
    tone = f"#{red:02x}{green:02x}{blue:02x}"
    return _sky(_mix(tone, "#ffffff", 0.14), tone, _mix(tone, "#000000", 0.12))


PLACES: dict[str, Scene] = {
    "beach": Scene(_beach),
    "snow": Scene(_snow, (0.97, 0.99, 1.0)),
    "forest": Scene(_forest, (0.97, 1.0, 0.95)),
    "city": Scene(_city, (0.82, 0.82, 0.98)),
    "space": Scene(_space, (0.92, 0.88, 1.0)),
    "desert": Scene(_desert, (1.0, 0.96, 0.9)),
    "room": Scene(_room),
    "water": Scene(_under_water, (0.8, 0.96, 1.0)),
    "meadow": Scene(_meadow),
    "sunset": Scene(_sunset, (1.0, 0.85, 0.78)),
}
SCENES = (*PLACES, PLAIN)
