"""Monsters: the style ``critters``, with hats and hands drawn by this project."""

from portraitist.toyland.world.hands.dicebear import component
from portraitist.toyland.world.hands.layers import Layer
from portraitist.toyland.world.hands.worn import arms, held, neckwear

HAND = "critters"
_SCALE = 5.12


def _at(x: float, y: float) -> str:
    """Return the place of a component, as the style has it on its canvas of 100 units, on the larger one."""
    return f"translate({x * _SCALE:.2f} {y * _SCALE:.2f}) scale({_SCALE})"


BODIES = ("dome", "block", "tower", "squat", "blob", "peak", "bell", "wedge", "wedgeInv", "steps")
TOPS = {
    "horns": "horns", "hornsSmall": "little horns", "spike": "a spike", "antenna": "an antenna",
    "antennae": "two antennae", "earsRound": "round ears", "earsPointy": "pointed ears", "spikes": "spikes",
    "fin": "a fin", "sprout": "a sprout", "bobble": "a bobble",
}  # fmt: skip
PATTERNS = {"belly": "a pale belly", "dots": "dots", "bars": "bars", "stripes": "stripes", "ring": "a ring"}
CHEEKS = ("blush", "freckles")
EYES = {
    "round": "", "dots": "", "bigPupils": "big eyes", "mono": "one eye", "uneven": "uneven eyes",
    "trio": "three eyes", "threeRow": "three eyes", "four": "four eyes", "sleepy": "sleepy eyes", "angry": "angry eyes",
}  # fmt: skip
MOUTHS = {
    "smile": "smiling", "tinySmile": "smiling", "grin": "laughing", "laugh": "laughing", "teeth": "showing its teeth",
    "ooh": "surprised", "line": "", "wavy": "", "zigzag": "", "frown": "sad", "open": "surprised", "tooth": "",
    "tongue": "sticking out its tongue",
}  # fmt: skip


def draw_layers() -> tuple[Layer, ...]:
    """Draw every part of a monster, from the back to the front."""

    def drawn(part: str, variants: tuple[str, ...], x: float, y: float) -> dict[str, str]:
        return {name: component(HAND, part, name, _at(x, y)) for name in variants}

    # A body knows where its top goes, so the two are drawn together.
    bodies = {f"{body} {top}": component(HAND, "body", body, _at(0, 0), top=top) for body in BODIES for top in TOPS}
    bodies |= {f"{body} ": component(HAND, "body", body, _at(0, 0)) for body in BODIES}
    return (
        Layer("held", arms("M256 500Q372 524 432 474", 36, "@body")),
        Layer("body", bodies),
        Layer("pattern", drawn("pattern", tuple(PATTERNS), 34, 75)),
        Layer("cheeks", drawn("cheeks", CHEEKS, 28, 53)),
        Layer("eyes", drawn("eyes", tuple(EYES), 27, 36)),
        Layer("mouth", drawn("mouth", tuple(MOUTHS), 36, 60)),
        Layer("neckwear", neckwear(256, 396, 150)),
        Layer("held", held(432, 470, "@body")),
    )
