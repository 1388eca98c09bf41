"""People: heads, hair and mouths of the style ``big-ears``; everything else drawn by this project."""

from portraitist.toyland.world.hands.dicebear import component
from portraitist.toyland.world.hands.layers import Layer
from portraitist.toyland.world.hands.strokes import INK, SHADE, WHITE, box, ellipse, line, mirrored, shape
from portraitist.toyland.world.hands.worn import above_hats, hats, held, neckwear

HAND = "big-ears"
# Where the style puts its components, moved so that shoulders fit below the head.
_HEAD = "translate(159.5 192) scale(.71856)"
_HAIR = "translate(45 26.7) scale(.71048)"
_FRINGE = "translate(159.6 179) scale(.52237)"

# Hair by what a caption says of it; a person has one of its drawings.
HAIR_STYLES: dict[str, tuple[str, ...]] = {
    "long {} hair": ("long07", "long18", "long20"),
    "long wavy {} hair": ("long02", "long03", "long15", "long11"),
    "curly {} hair": ("long13", "short18"),
    "{} space buns": ("long05",),
    "a {} bun": ("long06",),
    "{} bunches": ("long16",),
    "a {} ponytail": ("long17",),
    "a {} bob": ("long01", "long09", "long19", "short09"),
    "short {} hair": ("short05", "short13", "short20"),
    "wavy {} hair": ("short02", "short07"),
    "spiky {} hair": ("short03", "short19", "short10"),
    "messy {} hair": ("short01", "short06"),
    "a {} quiff": ("short16", "short11"),
    "a {} flat top": ("short17", "short15"),
}
# Styles that nobody sees under a hat that covers the head.
UNDER_HATS = (
    "{} space buns", "a {} bun", "wavy {} hair", "spiky {} hair", "messy {} hair", "a {} quiff", "a {} flat top",
)  # fmt: skip
BALD = "bald"
FRINGES = ("variant02", "variant04", "variant05", "variant08", "variant11")
# Drawings that leave the forehead to a fringe.
WITH_FRINGE = ("long07", "long18", "long20", "long13", "long05", "long06", "long09", "long19", "long16", "long17")

HEADS = {"long": "variant06", "oval": "variant02", "round": "variant07", "square": "variant04", "narrow": "variant09"}
HEADS |= {"broad": "variant01", "heart-shaped": "variant03"}

_NOSES = {
    "small": line("M243 334Q256 348 269 334", 7, SHADE, 0.4),
    "button": ellipse(256, 334, 19, 15, SHADE, 0.22) + ellipse(256, 328, 17, 13, "@skin"),
    "wide": ellipse(256, 336, 33, 17, SHADE, 0.24) + ellipse(256, 329, 28, 14, "@skin")
    + ellipse(243, 341, 5, 4, SHADE, 0.5) + ellipse(269, 341, 5, 4, SHADE, 0.5),
    "long": shape("M250 278L234 340Q256 360 278 340L262 278Z", SHADE, 0.2)
    + shape("M252 278L240 336Q256 350 272 336L260 278Z", "@skin"),
    "pointed": shape("M252 284L284 342Q262 352 246 344Z", SHADE, 0.26),
    "round": ellipse(256, 330, 29, 26, SHADE, 0.24) + ellipse(256, 326, 27, 23, "@skin")
    + ellipse(247, 317, 8, 6, WHITE, 0.35),
    "hooked": line("M250 280Q264 304 272 330Q262 346 244 340", 8, SHADE, 0.42),
}  # fmt: skip

_EARS = {
    "round": ellipse(166, 310, 25, 27, "@skin") + ellipse(169, 312, 13, 15, SHADE, 0.2),
    "small": ellipse(170, 312, 17, 19, "@skin") + ellipse(172, 313, 8, 10, SHADE, 0.2),
    "big": ellipse(158, 306, 34, 38, "@skin") + ellipse(162, 310, 19, 22, SHADE, 0.2),
    "pointed": shape("M182 340C150 336 136 296 126 246C160 256 182 272 186 290Z", "@skin")
    + shape("M174 322C156 316 148 292 142 268C160 274 174 286 176 298Z", SHADE, 0.2),
}

EARS, NOSES = tuple(_EARS), tuple(_NOSES)

# Half width and half height of the white, how far the outer corner hangs, width of the iris.
_EYE_SHAPES = {
    "round": (26, 26, 0, 16),
    "narrow": (28, 16, 0, 13),
    "almond": (30, 21, -7, 15),
    "drooping": (28, 21, 7, 15),
    "small": (18, 19, 0, 12),
}
GLANCES = {"ahead": 0, "left": -9, "right": 9}
EYE_SHAPES = tuple(_EYE_SHAPES)


def _open_eye(x: float, outward: int, look: float, kind: str, scale: float = 1.0) -> str:
    rx, ry, hang, iris = _EYE_SHAPES[kind]
    ry = round(ry * scale)
    inner, outer = x - outward * rx, x + outward * rx
    y = 300
    outline = (
        f"M{inner} {y}C{inner + outward * 6} {y - 1.35 * ry} {outer - outward * 8} {y - 1.35 * ry} {outer} {y + hang}"
        f"C{outer - outward * 8} {y + 1.3 * ry} {inner + outward * 6} {y + 1.3 * ry} {inner} {y}Z"
    )
    lid = (
        f"M{inner} {y}C{inner + outward * 6} {y - 1.35 * ry} {outer - outward * 8} {y - 1.35 * ry}"
        f" {outer + outward * 4} {y + hang - 1}"
    )
    pupil = iris * 0.55
    return (
        shape(outline, WHITE)
        + ellipse(x + look, y, iris, min(iris, ry - 1), "@iris")
        + ellipse(x + look, y, pupil, min(pupil, ry - 4))
        + ellipse(x + look - 4, y - 5, 4.4, fill=WHITE)
        + line(lid, 7)
    )


def _eyes() -> dict[str, str]:
    drawn = {}
    for kind in _EYE_SHAPES:
        for glance, look in GLANCES.items():
            drawn[f"{kind} {glance}"] = _open_eye(220, -1, look, kind) + _open_eye(292, 1, look, kind)
        drawn[f"{kind} wide"] = _open_eye(220, -1, 0, kind, 1.3) + _open_eye(292, 1, 0, kind, 1.3)
    drawn["closed"] = mirrored(line("M196 300Q220 322 244 300", 8))
    drawn["happy"] = mirrored(line("M196 308Q220 278 244 308", 8))
    drawn["wink"] = line("M196 304Q220 322 244 304", 8) + _open_eye(292, 1, 0, "almond")
    return drawn


_BROW_WIDTH = {"thin": 7, "medium": 12, "bushy": 20}
BROWS = tuple(_BROW_WIDTH)
_BROW_COURSES = {
    "calm": "M190 262Q218 244 246 260",
    "raised": "M190 250Q218 226 246 246",
    "angry": "M190 250Q222 250 246 272",
    "sad": "M190 270Q214 254 246 248",
}


def _brows() -> dict[str, str]:
    return {
        f"{brow} {mood}": mirrored(line(course, width, "@brow"))
        for brow, width in _BROW_WIDTH.items()
        for mood, course in _BROW_COURSES.items()
    }


_LIP = "#8c3b3f"
_MOUTHS = {
    "smile": line("M222 376Q256 406 290 376", 9, _LIP),
    "grin": shape("M214 370Q256 378 298 370Q292 414 256 414Q220 414 214 370Z", WHITE)
    + line("M214 370Q256 378 298 370Q292 414 256 414Q220 414 214 370Z", 6, _LIP),
    "laugh": shape("M212 368Q256 376 300 368Q298 424 256 424Q214 424 212 368Z", "#7a2530")
    + shape("M216 372Q256 380 296 372L292 388Q256 394 220 388Z", WHITE)
    + ellipse(256, 416, 24, 14, "#e2737a"),
    "calm": line("M230 388H282", 9, _LIP),
    "sad": line("M224 400Q256 372 288 400", 9, _LIP),
    "surprised": ellipse(256, 392, 19, 24, "#7a2530") + ellipse(256, 406, 12, 9, "#e2737a"),
    "smirk": line("M230 390Q268 396 290 372", 9, _LIP),
    "tongue": line("M222 374Q256 402 290 374", 9, _LIP) + shape("M244 390H280V408Q262 432 244 408Z", "#e2737a"),
}

MOUTHS = tuple(_MOUTHS)

_TACHE = "M256 362C236 348 204 356 196 378C222 384 244 384 256 374C268 384 290 384 316 378C308 356 276 348 256 362Z"
_BEARDS = {
    "stubble": shape(
        "M164 326C186 356 204 352 256 352C308 352 326 356 348 326C346 402 308 440 256 440C204 440 166 402 164 326Z",
        "@hair",
        0.34,
    ),
    "beard": shape(
        "M160 306C178 350 200 346 222 354C246 360 266 360 290 354C312 346 334 350 352 306C356 400 330 452 256 454"
        "C182 452 156 400 160 306Z",
        "@hair",
    ),
    "long beard": shape(
        "M160 306C178 350 200 346 222 354C246 360 266 360 290 354C312 346 334 350 352 306C356 400 350 470 256 512"
        "C162 470 156 400 160 306Z",
        "@hair",
    )
    + shape("M256 512C226 480 214 452 210 428Q256 470 302 428C298 452 286 480 256 512Z", SHADE, 0.14),
    "goatee": shape("M226 406Q256 396 286 406Q292 452 256 462Q220 452 226 406Z", "@hair") + shape(_TACHE, "@hair"),
    "moustache": shape(_TACHE, "@hair"),
    "curled moustache": shape(
        "M256 366C236 350 208 366 184 366C164 366 160 346 172 338C152 336 146 362 160 378C184 396 238 390 256 376"
        "C274 390 328 396 352 378C366 362 360 336 340 338C352 346 348 366 328 366C304 366 276 350 256 366Z",
        "@hair",
    ),
}
BEARDS = tuple(_BEARDS)
# Where a full beard leaves the mouth free.
_BEARD_OPENING = {name: ellipse(256, 392, 52, 30, "@skin") for name in ("beard", "long beard")}

_FRECKLES = "".join(
    ellipse(x, y, 4.8, 4.4, "@freckle", 0.8)
    for x, y in ((192, 342), (206, 352), (220, 342), (200, 330), (214, 330), (292, 342), (306, 352), (320, 342),
    (298, 330), (312, 330), (184, 352), (328, 352))
)  # fmt: skip
_CHEEKS = {
    "freckles": _FRECKLES,
    "rosy cheeks": mirrored(ellipse(196, 350, 25, 17, "#f0505a", 0.36)),
    "a mole": ellipse(306, 366, 7, fill="@freckle"),
}
CHEEKS = tuple(_CHEEKS)


def _frames(left: str, colour: str) -> str:
    """Return two lenses, a bridge and the temples."""
    return mirrored(left + line("M180 292L162 288", 8, colour)) + line("M244 290Q256 282 268 290", 8, colour)


def _lens(outline: str, glass: str, opacity: float, width: float, colour: str) -> str:
    return shape(outline, glass, opacity) + line(outline, width, colour)


_ROUND_LENS = "M180 302A33 33 0 1 1 246 302A33 33 0 1 1 180 302Z"
_SQUARE_LENS = "M180 276H244V322Q244 330 236 330H190Q180 330 180 320Z"
_CAT_LENS = "M172 268Q214 280 246 282Q248 328 214 330Q182 328 172 268Z"
_GLASSES = {
    "round glasses": _frames(_lens(_ROUND_LENS, WHITE, 0.16, 8, INK), INK),
    "square glasses": _frames(_lens(_SQUARE_LENS, WHITE, 0.16, 9, "#3a2f2a"), "#3a2f2a"),
    "golden glasses": _frames(_lens(_ROUND_LENS, WHITE, 0.16, 7, "#d9a62e"), "#d9a62e"),
    "red glasses": _frames(_lens(_CAT_LENS, WHITE, 0.16, 9, "#c8323c"), "#c8323c"),
}
GLASSES = tuple(_GLASSES)
_SUNGLASSES = {"sunglasses": _frames(_lens(_SQUARE_LENS, "#16161e", 0.94, 7, "#16161e"), "#16161e")}

_TORSO = "M34 520C36 470 92 454 196 446L316 446C420 454 476 470 478 520Z"
_NECK = "M216 400V452Q256 492 296 452V400Z"
_BARE = "M60 520C62 476 112 456 196 448L316 448C400 456 450 476 452 520Z"
_SLEEVES = line("M118 520Q116 496 122 484M394 520Q396 496 390 484", 5, SHADE, 0.22)
_CLOTHES = {
    "t-shirt": shape(_TORSO, "@cloth") + _SLEEVES,
    "striped shirt": shape(_TORSO, "@cloth")
    + line("M48 480Q256 510 464 480", 13, WHITE, 0.9)
    + line("M100 458Q256 490 412 458", 13, WHITE, 0.9)
    + line("M36 506Q256 536 476 506", 13, WHITE, 0.9),
    "hoodie": shape("M150 470C150 410 200 408 256 408C312 408 362 410 362 470Z", "@cloth")
    + shape("M150 470C150 410 200 408 256 408C312 408 362 410 362 470Z", SHADE, 0.3)
    + shape(_TORSO, "@cloth")
    + _SLEEVES,
    "shirt": shape(_TORSO, "@cloth") + line("M256 486V520", 5, SHADE, 0.3) + ellipse(256, 502, 5, 5, WHITE),
    "jumper": shape(_TORSO, "@cloth") + _SLEEVES,
    "jacket": shape(_TORSO, "@cloth") + shape("M206 446L244 520H268L306 446Z", "#f4f1ea"),
    "dungarees": shape(_TORSO, "#f4f1ea")
    + line("M168 450L182 500M344 450L330 500", 24, "@cloth")
    + box(170, 486, 172, 50, 8, "@cloth")
    + ellipse(184, 498, 7, 7, "#f7c63c")
    + ellipse(328, 498, 7, 7, "#f7c63c"),
    "vest": shape(_BARE, "@skin") + shape("M150 520C150 490 168 470 176 450L206 446C214 480 298 480 306 446L336 450"
    "C344 470 362 490 362 520Z", "@cloth"),
}  # fmt: skip
CLOTHES = tuple(_CLOTHES)
_COLLARS = {
    "t-shirt": line("M208 446Q256 494 304 446", 10, SHADE, 0.22),
    "striped shirt": line("M208 446Q256 494 304 446", 10, "@cloth"),
    "hoodie": line("M206 446Q256 500 306 446", 20, "@cloth")
    + line("M206 446Q256 500 306 446", 6, SHADE, 0.25)
    + line("M234 476V510M278 476V510", 6, WHITE),
    "shirt": shape("M214 434L256 484L226 502L192 448Z", "@cloth")
    + shape("M298 434L256 484L286 502L320 448Z", "@cloth")
    + shape("M214 434L256 484L226 502L192 448ZM298 434L256 484L286 502L320 448Z", WHITE, 0.45),
    "jumper": line("M208 444Q256 490 304 444", 24, "@cloth") + line("M208 444Q256 490 304 444", 24, SHADE, 0.16),
    "jacket": shape("M206 440L256 520H214L176 452ZM306 440L256 520H298L336 452Z", "@cloth")
    + shape("M206 440L256 520H214L176 452ZM306 440L256 520H298L336 452Z", SHADE, 0.24),
}
_SHADOW_OF_CHIN = shape("M218 424Q256 456 294 424V440Q256 474 218 440Z", SHADE, 0.2)


def _hair() -> dict[str, str]:
    return {
        drawing: component(HAND, "hair", drawing, _HAIR) for drawings in HAIR_STYLES.values() for drawing in drawings
    }


def draw_layers() -> tuple[Layer, ...]:
    """Draw every part of a person, from the back to the front."""
    heads = {name: component(HAND, "head", variant, _HEAD) for name, variant in HEADS.items()}
    fringes = {name: component(HAND, "frontHair", name, _FRINGE) for name in FRINGES}
    return (
        Layer("hair", _hair()),
        Layer("hat", above_hats(257, 228, 196), erases=True),
        Layer("clothes", _CLOTHES),
        Layer("neck", {"bare": shape(_NECK, "@skin") + _SHADOW_OF_CHIN}),
        Layer("clothes", _COLLARS),
        Layer("neckwear", neckwear(256, 452, 118)),
        Layer("ears", {name: mirrored(ear) for name, ear in _EARS.items()}),
        Layer("head", heads),
        Layer("cheeks", _CHEEKS),
        Layer("beard", _BEARDS),
        Layer("beard", _BEARD_OPENING),
        Layer("mouth", _MOUTHS),
        Layer("nose", _NOSES),
        Layer("eyes", _eyes()),
        Layer("brows", _brows()),
        Layer("fringe", fringes),
        Layer("glasses", _GLASSES),
        Layer("sunglasses", _SUNGLASSES),
        Layer("hat", hats(257, 228, 196)),
        Layer("held", held(412, 470, "@skin")),
    )
