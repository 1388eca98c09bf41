"""Cats, drawn by this project."""

from portraitist.toyland.world.hands import worn
from portraitist.toyland.world.hands.layers import Layer
from portraitist.toyland.world.hands.strokes import SHADE, WHITE, ellipse, line, mirrored, shape

_HEADS = {
    "round": ellipse(256, 262, 158, 132, "@fur"),
    "wide": shape(
        "M256 136C362 136 398 196 406 250L446 290L404 310C388 372 330 396 256 396C182 396 124 372 108 310L66 290"
        "L106 250C114 196 150 136 256 136Z",
        "@fur",
    ),
    "narrow": shape("M256 128C346 128 392 190 388 252C384 330 320 402 256 402C192 402 128 330 124 252"
    "C120 190 166 128 256 128Z", "@fur"),
}  # fmt: skip
HEADS = tuple(_HEADS)
_INNER_EAR = "#f3a9ae"
_EARS = {
    "pointed": shape("M112 226L118 66Q122 52 136 60L246 150Z", "@fur") + shape("M138 198L142 104L206 152Z", _INNER_EAR),
    "big": shape("M100 232L76 40Q80 24 98 32L258 146Z", "@fur") + shape("M126 202L108 80L212 150Z", _INNER_EAR),
    "round": shape("M108 226C84 142 108 74 158 82C204 90 236 130 246 156Z", "@fur")
    + shape("M136 200C122 150 134 114 160 116C186 120 204 140 212 156Z", _INNER_EAR),
    "folded": shape("M108 220L106 108Q112 92 130 98L240 150Z", "@fur")
    + shape("M106 110Q112 92 130 98L240 150Q176 128 118 176Z", SHADE, 0.2),
}
EARS = tuple(_EARS)

_BODY = shape("M124 520C120 436 176 372 256 372C336 372 392 436 388 520Z", "@fur") + line(
    "M382 500C452 500 474 440 450 400", 36, "@fur"
)
_PAWS = mirrored(line("M218 520V484", 5, SHADE, 0.22))

# What a coat adds in its second colour, on the body and on the head; a name's last word is the caption's.
_BODY_MARKS = {
    "striped": line("M140 440Q164 446 178 438M132 476Q160 484 180 474M372 440Q348 446 334 438M380 476Q352 484 332 474",
    15, "@mark") + line("M436 496L450 476M448 464L470 452M452 426L472 424", 13, "@mark"),
    "spotted": "".join(ellipse(x, y, 15, 12, "@mark") for x, y in ((160, 452), (188, 490), (340, 446), (330, 492),
    (366, 482), (148, 496))),
    "patched": shape("M124 520C122 470 140 424 176 398C220 420 214 480 196 520Z", "@mark"),
    "white-chested": shape("M200 382C208 470 222 512 256 520C290 512 304 470 312 382Q256 420 200 382Z", WHITE),
    "pointed": line("M382 500C452 500 474 440 450 400", 36, "@mark"),
}  # fmt: skip
_HEAD_MARKS = {
    "striped": line("M256 144V196M214 148L222 190M298 148L290 190", 17, "@mark")
    + mirrored(line("M116 262L158 270M122 302L162 300", 14, "@mark")),
    "spotted": "".join(ellipse(x, y, 15, 12, "@mark") for x, y in ((216, 170), (258, 156), (302, 176), (136, 250),
    (150, 310), (374, 250), (362, 312))),
    "patched": shape("M304 142C378 158 404 214 396 268C372 316 316 318 286 280C268 234 276 172 304 142Z", "@mark"),
    "white-chested": shape("M256 176C272 240 306 274 330 316C332 372 300 396 256 396C212 396 180 372 182 316"
    "C206 274 240 240 256 176Z", WHITE),
    "pointed": ellipse(256, 318, 86, 74, "@mark", 0.9),
}  # fmt: skip
_EAR_MARKS = {
    "pointed": mirrored(shape("M114 200L118 74Q122 60 136 68L216 134Z", "@mark", 0.9)),
}
COATS = ("plain", *_BODY_MARKS)

_MUZZLE = mirrored(ellipse(230, 332, 34, 27, WHITE, 0.72))
_NOSES = {
    "pink": shape("M238 302Q256 296 274 302Q270 320 256 326Q242 320 238 302Z", "#ee8290"),
    "dark": shape("M238 302Q256 296 274 302Q270 320 256 326Q242 320 238 302Z", "#3a2e36"),
}
NOSES = tuple(_NOSES)
_WHISKERS = mirrored(line("M196 326L112 312M194 340L108 344M198 354L120 374", 4.5, "#f6f2ee"))
_DARK_WHISKERS = mirrored(line("M196 326L112 312M194 340L108 344M198 354L120 374", 4.5, "#4b434e"))

# Half width and half height of an eye, half width of the pupil.
_EYE_SHAPES = {"round": (38, 38, 21), "slit": (37, 37, 9), "almond": (42, 28, 13)}
EYE_SHAPES = tuple(_EYE_SHAPES)
GLANCES = {"ahead": 0, "left": -12, "right": 12}


def _open_eye(x: float, outward: int, look: float, kind: str) -> str:
    rx, ry, pupil = _EYE_SHAPES[kind]
    if kind == "almond":
        inner, outer = x - outward * rx, x + outward * rx
        outline = f"M{inner} 266C{x} {262 - 1.5 * ry} {outer} {246 - ry / 2} {outer} 246C{outer} {262 + ry} {x} "
        outline += f"{262 + 1.5 * ry} {inner} 266Z"
        drawn = shape(outline, "@iris") + line(outline, 8)
    else:
        drawn = ellipse(x, 256, rx + 4, ry + 4) + ellipse(x, 256, rx - 3, ry - 3, "@iris")
    height = min(ry - 4, 30)
    return drawn + ellipse(x + look, 257, pupil, height) + ellipse(x + look - 7, 244, 8, 8, WHITE)


def _eyes() -> dict[str, str]:
    drawn = {
        f"{kind} {glance}": _open_eye(186, -1, look, kind) + _open_eye(326, 1, look, kind)
        for kind in _EYE_SHAPES
        for glance, look in GLANCES.items()
    }
    drawn["closed"] = mirrored(line("M150 254Q186 288 222 254", 10, "@lid"))
    drawn["happy"] = mirrored(line("M150 268Q186 226 222 268", 10, "@lid"))
    drawn["wink"] = line("M150 262Q186 288 222 262", 10, "@lid") + _open_eye(326, 1, 0, "round")
    return drawn


_MOUTHS = {
    "calm": line("M256 326V338M226 338Q240 354 256 338Q272 354 286 338", 7),
    "smile": line("M256 326V340M212 334Q232 366 256 340Q280 366 300 334", 7),
    "meow": line("M256 326V338M230 336Q244 350 256 338Q268 350 282 336", 7)
    + shape("M236 346Q256 336 276 346Q280 388 256 388Q232 388 236 346Z", "#7a2530")
    + ellipse(256, 376, 14, 9, "#e2737a"),
    "tongue": line("M256 326V338M226 338Q240 354 256 338Q272 354 286 338", 7)
    + shape("M244 346H268V364Q256 382 244 364Z", "#e2737a"),
}


_GLASSES = (
    mirrored(ellipse(186, 256, 54, 52, WHITE, 0.14))
    + mirrored(line("M132 256A54 52 0 1 1 240 256A54 52 0 1 1 132 256Z", 10))
    + line("M240 250Q256 240 272 250", 10)
)

MOUTHS = tuple(_MOUTHS)
_TOO_SMALL = ("beanie", "cap", "headphones")  # made for heads without ears on top
HATS = tuple(name for name in worn.HATS if name not in _TOO_SMALL)


def draw_layers() -> tuple[Layer, ...]:
    """Draw every part of a cat, from the back to the front."""
    return (
        Layer("held", worn.arms("M330 500Q384 516 420 478", 40, "@fur")),
        Layer("body", {"body": _BODY}),
        Layer("coat", _BODY_MARKS),
        Layer("paws", {"paws": _PAWS}),
        Layer("neckwear", worn.neckwear(256, 400, 160)),
        Layer("ears", {name: mirrored(ear) for name, ear in _EARS.items()}),
        Layer("coat", _EAR_MARKS),
        Layer("head", _HEADS),
        Layer("coat", _HEAD_MARKS),
        Layer("muzzle", {"white": _MUZZLE}),
        Layer("whiskers", {"white": _WHISKERS, "dark": _DARK_WHISKERS}),
        Layer("mouth", _MOUTHS),
        Layer("nose", _NOSES),
        Layer("eyes", _eyes()),
        Layer("glasses", {"glasses": _GLASSES}),
        Layer("hat", worn.hats(256, 156, 200, HATS)),
        Layer("held", worn.held(420, 474, "@fur")),
    )
