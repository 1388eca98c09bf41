"""Robots: heads of the style ``bottts``, on bodies drawn by this project."""

from collections.abc import Iterable

from portraitist.toyland.world.hands.dicebear import component
from portraitist.toyland.world.hands.layers import Layer
from portraitist.toyland.world.hands.strokes import SHADE, WHITE, box, ellipse, line, shape
from portraitist.toyland.world.hands.worn import held, neckwear

HAND = "bottts"
_SCALE = 2.1


def _at(x: float, y: float) -> str:
    """Return the place of a component, as the style has it on its canvas of 180 units, on the larger one."""
    return f"translate({256 + (x - 90) * _SCALE:.1f} {16 + y * _SCALE:.1f}) scale({_SCALE})"


HEADS = ("round01", "round02", "square01", "square02", "square03", "square04")
SIDES = ("antenna01", "antenna02", "cables01", "cables02", "round", "square", "squareAssymetric")
TOPS = {
    "antenna": "an antenna", "antennaCrooked": "a crooked antenna", "bulb01": "a bulb", "glowingBulb01": "a bulb",
    "horns": "horns", "lights": "lights", "pyramid": "a spike", "radar": "a radar dish",
}  # fmt: skip
EYES = {
    "bulging": "round eyes", "eva": "blue eyes", "frame1": "a visor", "frame2": "a visor", "happy": "happy eyes",
    "hearts": "heart-shaped eyes", "robocop": "a narrow visor", "round": "little eyes", "roundFrame01": "a visor",
    "roundFrame02": "round eyes", "sensor": "one eye", "shade01": "a red visor",
}  # fmt: skip
MOUTHS = {
    "bite": "showing its teeth", "diagram": "", "grill01": "", "grill02": "", "grill03": "showing its teeth",
    "smile01": "smiling", "smile02": "laughing", "square01": "", "square02": "",
}  # fmt: skip
# The head's texture, as the style calls it; most robots are plain.
TEXTURES = {"plain": "", "camouflage": "camo01", "circuits": "circuits", "dots": "dots"}

_TORSO = (
    box(214, 346, 84, 60, 10, "#4a4f5a")
    + line("M222 372H290M222 386H290", 5, "#2f333c")
    + ellipse(118, 462, 44, 44, "@base")
    + ellipse(394, 462, 44, 44, "@base")
    + ellipse(118, 462, 44, 44, SHADE, 0.22)
    + ellipse(394, 462, 44, 44, SHADE, 0.22)
    + box(140, 396, 232, 150, 30, "@base")
    + shape("M140 426Q140 396 170 396H342Q372 396 372 426V420Q256 440 140 420Z", WHITE, 0.22)
)
_FRONTS = {
    "buttons": ellipse(216, 462, 15, fill="#ec5d57") + ellipse(256, 462, 15, fill="#fbd75e")
    + ellipse(296, 462, 15, fill="#5fbf77"),
    "gauge": ellipse(256, 466, 44, 44, "#f6f4ec") + line("M228 478A32 32 0 0 1 284 478", 7, "#4a4f5a")
    + line("M256 478L276 450", 7, "#e0483f"),
    "heart": shape("M256 502C196 462 220 424 256 446C292 424 316 462 256 502Z", "#f05a6e"),
    "grille": box(204, 438, 104, 62, 12, "#30343e") + line("M222 454H290M222 470H290M222 486H290", 6, "#8f98a6"),
    "bolts": "".join(ellipse(x, y, 10, 10, "#31353f", 0.75) for x in (166, 346) for y in (424, 500)),
}  # fmt: skip
FRONTS = tuple(_FRONTS)


def draw_layers() -> tuple[Layer, ...]:
    """Draw every part of a robot, from the back to the front."""

    def drawn(part: str, variants: Iterable[str], x: float, y: float) -> dict[str, str]:
        return {name: component(HAND, part, name, _at(x, y)) for name in variants}

    heads = {
        f"{head} {texture}": component(HAND, "head", head, _at(25, 44), **({"texture": variant} if variant else {}))
        for head in HEADS
        for texture, variant in TEXTURES.items()
    }
    return (
        Layer("torso", {"torso": _TORSO}),
        Layer("front", _FRONTS),
        Layer("neckwear", neckwear(256, 398, 120)),
        Layer("sides", drawn("sides", SIDES, 6, 66)),
        Layer("top", drawn("top", TOPS, 49, -0.6)),
        Layer("head", heads),
        Layer("mouth", drawn("mouth", MOUTHS, 56, 128)),
        Layer("eyes", drawn("eyes", EYES, 38, 76)),
        Layer("held", held(420, 474, "#4a4f5a")),
    )
