"""Backgrounds, painted anew for every picture: gradients, horizons and props with random palette and places."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

Painter = Callable[[np.random.Generator, int], Image.Image]
Colour = tuple[int, int, int]

PLAIN_COLOURS: dict[str, Colour] = {
    "red": (214, 48, 49),
    "orange": (243, 146, 55),
    "yellow": (250, 218, 72),
    "green": (72, 176, 88),
    "blue": (58, 110, 214),
    "purple": (136, 84, 190),
    "pink": (246, 152, 190),
    "grey": (142, 144, 148),
    "white": (246, 246, 244),
    "black": (26, 26, 30),
    "brown": (124, 82, 52),
}


def paint(scene: str, colour: str, rng: np.random.Generator, size: int) -> Image.Image:
    """Paint a scene.

    Args:
        scene: One of `SCENES`.
        colour: One of `PLAIN_COLOURS` for the scene ``plain``, ignored otherwise.
        rng: Source of everything that varies.
        size: Side in pixels.
    """
    if scene == "plain":
        return _plain(rng, size, PLAIN_COLOURS[colour])
    return _PAINTERS[scene](rng, size)


def _gradient(size: int, top: Colour, bottom: Colour) -> Image.Image:
    t = np.linspace(0, 1, size)[:, None]
    column = np.array(top) * (1 - t) + np.array(bottom) * t
    return Image.fromarray(np.repeat(column[:, None].astype(np.uint8), size, axis=1))


def _jitter(rng: np.random.Generator, colour: Colour, amount: int = 14) -> Colour:
    red, green, blue = (int(np.clip(c + rng.integers(-amount, amount + 1), 0, 255)) for c in colour)
    return red, green, blue


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _hills(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int, level: float, colour: Colour) -> None:
    x = np.linspace(0, 1, 24)
    phases = rng.uniform(0, 2 * np.pi, 2)
    y = level + 0.035 * np.sin(2 * np.pi * x + phases[0]) + 0.02 * np.sin(5 * np.pi * x + phases[1])
    outline = [(a * size, b * size) for a, b in zip(x, y, strict=True)]
    draw.polygon([(0, size), *outline, (size, size)], fill=colour)


def _plain(rng: np.random.Generator, size: int, colour: Colour) -> Image.Image:
    base = _jitter(rng, colour, 8)
    shade: Colour = tuple(int(c * 0.92) for c in base)  # type: ignore[assignment]
    return _gradient(size, base, shade)


def _beach(rng: np.random.Generator, size: int) -> Image.Image:
    horizon = rng.uniform(0.42, 0.55)
    picture = _gradient(size, _jitter(rng, (110, 190, 245)), _jitter(rng, (205, 235, 252)))
    draw = ImageDraw.Draw(picture)
    _disc(draw, rng.uniform(0.1, 0.9) * size, rng.uniform(0.06, 0.22) * size, 0.075 * size, (255, 236, 130))
    draw.rectangle((0, horizon * size, size, size), fill=_jitter(rng, (40, 140, 200)))
    for _ in range(5):
        x, y = rng.uniform(0, 1) * size, rng.uniform(horizon + 0.02, 0.7) * size
        draw.line((x, y, x + 0.12 * size, y), fill=(190, 226, 244), width=2)
    _hills(rng, draw, size, rng.uniform(0.68, 0.76), _jitter(rng, (240, 214, 150)))
    if rng.random() < 0.75:
        _palm(rng, draw, size, float(rng.choice([rng.uniform(0.03, 0.15), rng.uniform(0.85, 0.97)])))
    return picture


def _palm(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int, x: float) -> None:
    top = rng.uniform(0.2, 0.32)
    lean = 0.08 if x < 0.5 else -0.08
    draw.line((x * size, 0.86 * size, (x + lean) * size, top * size), fill=(130, 90, 50), width=max(2, size // 24))
    for angle in np.linspace(-0.3, np.pi + 0.3, 6):
        end = ((x + lean + 0.15 * np.cos(angle)) * size, (top - 0.1 * np.sin(angle) + 0.05) * size)
        draw.line(((x + lean) * size, top * size, *end), fill=_jitter(rng, (40, 140, 60)), width=max(3, size // 22))


def _snow(rng: np.random.Generator, size: int) -> Image.Image:
    picture = _gradient(size, _jitter(rng, (176, 200, 226)), _jitter(rng, (226, 236, 246)))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(1, 4)):
        x, top, half = rng.uniform(0, 1), rng.uniform(0.18, 0.36), rng.uniform(0.2, 0.35)
        peak = (x * size, top * size)
        draw.polygon([peak, ((x - half) * size, 0.7 * size), ((x + half) * size, 0.7 * size)], fill=(150, 168, 194))
        snow = 0.35
        left = ((x - half * snow) * size, (top + (0.7 - top) * snow) * size)
        right = ((x + half * snow) * size, (top + (0.7 - top) * snow) * size)
        draw.polygon([peak, left, right], fill=(250, 252, 255))
    for _ in range(rng.integers(0, 4)):
        _fir(draw, size, rng.uniform(0, 1), 0.72, rng.uniform(0.16, 0.28), _jitter(rng, (60, 104, 92)), True)
    _hills(rng, draw, size, rng.uniform(0.62, 0.7), (246, 249, 253))
    for x, y in rng.uniform(0, 1, (36, 2)):
        _disc(draw, x * size, y * size, rng.uniform(0.007, 0.014) * size, (255, 255, 255))
    return picture


def _fir(
    draw: ImageDraw.ImageDraw, size: int, x: float, foot: float, height: float, colour: Colour, snowy: bool = False
) -> None:
    for i in range(3):
        top = foot - height + i * height * 0.24
        half = height * (0.2 + 0.1 * i)
        triangle = [(x * size, top * size), ((x - half) * size, (top + 0.42 * height) * size)]
        draw.polygon([*triangle, ((x + half) * size, (top + 0.42 * height) * size)], fill=colour)
        if snowy:
            cap = [(x * size, top * size), ((x - half * 0.4) * size, (top + 0.17 * height) * size)]
            draw.polygon([*cap, ((x + half * 0.4) * size, (top + 0.17 * height) * size)], fill=(245, 250, 255))


def _forest(rng: np.random.Generator, size: int) -> Image.Image:
    picture = _gradient(size, _jitter(rng, (150, 200, 140)), _jitter(rng, (96, 150, 90)))
    draw = ImageDraw.Draw(picture)
    for depth, shade in ((0.6, (58, 122, 66)), (0.68, (36, 96, 50)), (0.78, (24, 72, 38))):
        for x in np.linspace(-0.05, 1.05, 7) + rng.uniform(-0.06, 0.06, 7):
            foot = depth + rng.uniform(-0.03, 0.05)
            draw.rectangle(
                ((x - 0.012) * size, (foot - 0.02) * size, (x + 0.012) * size, (foot + 0.06) * size), (84, 60, 40)
            )
            _fir(draw, size, float(x), foot, rng.uniform(0.38, 0.62), _jitter(rng, shade, 10))
    _hills(rng, draw, size, rng.uniform(0.76, 0.82), _jitter(rng, (70, 110, 48)))
    return picture


def _city(rng: np.random.Generator, size: int) -> Image.Image:
    picture = _gradient(size, _jitter(rng, (14, 16, 44), 8), _jitter(rng, (66, 48, 108)))
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.7:
        _disc(draw, rng.uniform(0.1, 0.9) * size, rng.uniform(0.08, 0.2) * size, 0.07 * size, (250, 244, 206))
    x = -rng.uniform(0, 0.1)
    while x < 1:
        width, top = rng.uniform(0.12, 0.22), rng.uniform(0.2, 0.6)
        draw.rectangle((x * size, top * size, (x + width) * size, size), fill=_jitter(rng, (34, 36, 62), 10))
        for row in np.arange(top + 0.04, 0.84, 0.07):
            for column in np.arange(x + 0.025, x + width - 0.03, 0.05):
                if rng.random() < 0.6:
                    box = (column * size, row * size, (column + 0.026) * size, (row + 0.036) * size)
                    draw.rectangle(box, fill=_jitter(rng, (252, 212, 96), 24))
        x += width + 0.012
    draw.rectangle((0, 0.85 * size, size, size), fill=_jitter(rng, (48, 48, 58), 8))
    for x in np.arange(rng.uniform(-0.1, 0.1), 1, 0.26):
        draw.rectangle((x * size, 0.92 * size, (x + 0.13) * size, 0.935 * size), fill=(222, 214, 150))
    return picture


def _space(rng: np.random.Generator, size: int) -> Image.Image:
    picture = _gradient(size, _jitter(rng, (8, 6, 26), 6), _jitter(rng, (30, 14, 58), 10))
    draw = ImageDraw.Draw(picture)
    for x, y in rng.uniform(0, 1, (46, 2)):
        _disc(draw, x * size, y * size, rng.uniform(0.005, 0.013) * size, _jitter(rng, (244, 244, 232), 10))
    for _ in range(rng.integers(1, 3)):
        x, y = float(rng.choice([rng.uniform(0.06, 0.22), rng.uniform(0.78, 0.94)])), rng.uniform(0.08, 0.45)
        radius = rng.uniform(0.07, 0.13)
        colour = _jitter(rng, ((216, 130, 84), (120, 170, 230), (190, 120, 210))[rng.integers(3)])
        _disc(draw, x * size, y * size, radius * size, colour)
        if rng.random() < 0.6:
            ring = (
                (x - 1.7 * radius) * size,
                (y - 0.3 * radius) * size,
                (x + 1.7 * radius) * size,
                (y + 0.3 * radius) * size,
            )
            draw.ellipse(ring, outline=(236, 214, 170), width=max(2, size // 48))
    if rng.random() < 0.5:
        _hills(rng, draw, size, 0.86, _jitter(rng, (120, 116, 128)))
        for x in rng.uniform(0, 1, 4):
            draw.ellipse((x * size, 0.93 * size, (x + 0.1) * size, 0.96 * size), fill=(88, 84, 98))
    return picture


def _desert(rng: np.random.Generator, size: int) -> Image.Image:
    picture = _gradient(size, _jitter(rng, (250, 182, 104)), _jitter(rng, (252, 226, 170)))
    draw = ImageDraw.Draw(picture)
    _disc(draw, rng.uniform(0.1, 0.9) * size, rng.uniform(0.1, 0.25) * size, 0.085 * size, (255, 246, 214))
    _hills(rng, draw, size, rng.uniform(0.52, 0.6), _jitter(rng, (222, 158, 92)))
    _hills(rng, draw, size, rng.uniform(0.66, 0.74), _jitter(rng, (206, 132, 66)))
    for _ in range(rng.integers(1, 4)):
        _cactus(
            draw, size, float(rng.choice([rng.uniform(0.02, 0.2), rng.uniform(0.8, 0.98)])), rng.uniform(0.66, 0.84)
        )
    return picture


def _cactus(draw: ImageDraw.ImageDraw, size: int, x: float, foot: float) -> None:
    colour, width = (52, 124, 70), max(4, size // 18)
    draw.line((x * size, foot * size, x * size, (foot - 0.3) * size), fill=colour, width=width)
    for side, level in ((-1, 0.14), (1, 0.18)):
        elbow = ((x + side * 0.075) * size, (foot - level) * size)
        draw.line((x * size, (foot - level) * size, *elbow), fill=colour, width=width - 1)
        draw.line((*elbow, elbow[0], elbow[1] - 0.09 * size), fill=colour, width=width - 1)


def _room(rng: np.random.Generator, size: int) -> Image.Image:
    walls: tuple[Colour, ...] = ((214, 226, 214), (236, 220, 200), (204, 216, 232), (232, 206, 210))
    wall = _jitter(rng, walls[rng.integers(len(walls))], 8)
    picture = _gradient(size, wall, wall)
    draw = ImageDraw.Draw(picture)
    floor = rng.uniform(0.62, 0.72)
    x, y = rng.uniform(0.06, 0.66), rng.uniform(0.06, 0.16)
    draw.rectangle(
        (x * size, y * size, (x + 0.28) * size, (y + 0.3) * size),
        fill=(176, 216, 246),
        outline=(250, 250, 250),
        width=3,
    )
    draw.line(((x + 0.14) * size, y * size, (x + 0.14) * size, (y + 0.3) * size), fill=(250, 250, 250), width=2)
    vanishing = rng.uniform(0.3, 0.7)
    edges = np.linspace(-0.9, 1.9, 15) + rng.uniform(-0.04, 0.04)
    for left, right in pairwise(edges):
        far = [(vanishing + (edge - vanishing) * 0.45) * size for edge in (left, right)]
        plank = [(far[0], floor * size), (far[1], floor * size), (right * size, size), (left * size, size)]
        draw.polygon(plank, fill=_jitter(rng, (178, 120, 68), 14))
        draw.line((*plank[0], *plank[3]), fill=(112, 70, 38), width=2)
    draw.rectangle((0, (floor - 0.03) * size, size, floor * size), fill=(248, 246, 240))
    return picture


def _under_water(rng: np.random.Generator, size: int) -> Image.Image:
    picture = _gradient(size, _jitter(rng, (70, 190, 215)), _jitter(rng, (10, 66, 130)))
    draw = ImageDraw.Draw(picture)
    _hills(rng, draw, size, rng.uniform(0.86, 0.92), _jitter(rng, (168, 160, 120)))
    for root in np.concatenate([rng.uniform(0.0, 0.2, 2), rng.uniform(0.8, 1.0, 2)]):
        height, phase = rng.uniform(0.2, 0.4), rng.uniform(0, 6)
        levels = np.linspace(0.95, 0.95 - height, 9)
        stem = [((root + 0.022 * np.sin(9 * level * 2 + phase)) * size, level * size) for level in levels]
        draw.line(stem, fill=_jitter(rng, (50, 150, 90)), width=max(3, size // 30))
    for _ in range(rng.integers(2, 5)):
        x, y, turn = rng.uniform(0.05, 0.95), rng.uniform(0.1, 0.8), rng.choice([-1, 1])
        colour = _jitter(rng, ((255, 150, 60), (252, 214, 80), (240, 120, 150))[rng.integers(3)])
        draw.ellipse(((x - 0.05) * size, (y - 0.026) * size, (x + 0.05) * size, (y + 0.026) * size), fill=colour)
        tail = x - turn * 0.045
        fin = tail - turn * 0.04
        draw.polygon(
            [(tail * size, y * size), (fin * size, (y - 0.03) * size), (fin * size, (y + 0.03) * size)], fill=colour
        )
    for x, y in rng.uniform(0, 1, (14, 2)):
        radius = rng.uniform(0.01, 0.024)
        box = ((x - radius) * size, (y - radius) * size, (x + radius) * size, (y + radius) * size)
        draw.ellipse(box, outline=(206, 240, 250), width=max(1, size // 100))
    return picture


_PAINTERS: dict[str, Painter] = {
    "beach": _beach,
    "snow": _snow,
    "forest": _forest,
    "city": _city,
    "space": _space,
    "desert": _desert,
    "room": _room,
    "water": _under_water,
}
SCENES = (*_PAINTERS, "plain")
