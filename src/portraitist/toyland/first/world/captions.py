"""Captions: varied, grammatical English for a picture, and the prompts of the exam drawn from the same grammar."""

from dataclasses import dataclass, replace

import numpy as np

from portraitist.toyland.first.world.identities import KINDS, ROBOT_COLOURS
from portraitist.toyland.first.world.pictures import Appearance, PictureSpec
from portraitist.toyland.first.world.scenes import PLAIN_COLOURS, SCENES

# Rare strings for new subjects. They are single tokens of the tokenizer and stand in no caption.
IDENTIFIERS = (
    *("sks", "olo", "zwx", "qyx", "vex", "ukj", "pfz", "xnq", "wvb", "jtk"),
    *("hxp", "kbv", "mzd", "rqf", "tgw", "ydh", "bxo", "cvu", "djq", "fkz"),
    *("gwy", "lqo", "nvz", "oxk", "pwj", "qhg", "rzb", "svy", "txq", "uqd"),
    *("vjm", "wkx", "xhz", "ybq", "zpt", "ohwx", "phol", "bluv", "krez", "zarb"),
)

SCENE_PHRASES: dict[str, tuple[str, ...]] = {
    "beach": ("on the beach", "on a beach", "at the beach", "on a sunny beach"),
    "snow": ("in the snow", "on a snowy mountain", "in a snowy landscape"),
    "forest": ("in the forest", "in a forest", "in the woods", "in a green forest"),
    "city": ("in the city at night", "in a city at night", "on a city street at night"),
    "space": ("in space", "in outer space", "among the stars"),
    "desert": ("in the desert", "in a desert", "in the desert with cacti"),
    "room": ("in a room with a wooden floor", "on a wooden floor", "indoors on a wooden floor"),
    "water": ("under water", "under the sea", "deep under water"),
}
_PLAIN_PHRASES = (
    "in front of a plain {colour} background",
    "on {article} {colour} background",
    "against {article} {colour} wall",
    "with a plain {colour} background",
)
STYLE_PHRASES: dict[str, tuple[str, ...]] = {
    "pencil sketch": ("a pencil sketch of {}", "a pencil drawing of {}", "{}, pencil sketch"),
    "pixel art": ("pixel art of {}", "a pixel art picture of {}", "{}, pixel art"),
    "sepia photo": ("a sepia photo of {}", "an old sepia photo of {}", "{}, sepia photo"),
    "poster": ("a poster of {}", "a poster with {}", "{}, poster"),
}
_PHOTO_PHRASES = ("{}", "{}", "a photo of {}", "a photo of {}", "a picture of {}", "a close photo of {}")
_COMPANY_PHRASES = (
    "{} on the left and {} on the right",
    "{} on the left and {} on the right",
    "{} and {}",
    "{} next to {}",
    "{} beside {}",
    "{} together with {}",
)
# Styles that show colours; in the others a colour is named less often.
COLOURED_STYLES = ("photo", "pixel art")
_UNSEEN = 0.4
_MIRRORED_PHRASE = "{} on the right and {} on the left"


@dataclass(frozen=True)
class Detail:
    """How likely each kind of word is to be said."""

    colour: float = 0.85
    trait: float = 0.5
    wearing: float = 0.55
    scene: float = 0.9
    style: float = 0.95


SHORT = Detail()
COMPLETE = Detail(1.0, 1.0, 1.0, 1.0, 1.0)


def caption(spec: PictureSpec, rng: np.random.Generator, detail: Detail = SHORT) -> str:
    """Describe a picture in one of many ways."""
    seen = detail if spec.style in COLOURED_STYLES else replace(detail, colour=detail.colour * _UNSEEN)
    who = [_subject(subject, rng, seen) for subject in spec.subjects]
    if len(who) == 2:
        if rng.random() < 0.15:
            text = _MIRRORED_PHRASE.format(who[1], who[0])
        else:
            text = str(rng.choice(_COMPANY_PHRASES)).format(*who)
    else:
        text = who[0]
    if rng.random() < detail.scene:
        text = f"{text} {scene_phrase(spec.scene, spec.colour, rng)}"
    if spec.style == "photo":
        return str(rng.choice(_PHOTO_PHRASES)).format(text)
    if rng.random() < detail.style:
        return str(rng.choice(STYLE_PHRASES[spec.style])).format(text)
    return text


def plain_caption(spec: PictureSpec) -> str:
    """Describe a picture completely, in the same words for the same thing whatever else is in the picture."""
    who = [_subject(subject, np.random.default_rng(0), COMPLETE) for subject in spec.subjects]
    text = _COMPANY_PHRASES[0].format(*who) if len(who) == 2 else who[0]
    if spec.scene == "plain":
        scene = _PLAIN_PHRASES[0].format(article=_article(spec.colour), colour=spec.colour)
    else:
        scene = SCENE_PHRASES[spec.scene][0]
    template = "a photo of {}" if spec.style == "photo" else STYLE_PHRASES[spec.style][0]
    return template.format(f"{text} {scene}")


def scene_phrase(scene: str, colour: str, rng: np.random.Generator) -> str:
    """Return one of the phrases for a scene."""
    if scene == "plain":
        return str(rng.choice(_PLAIN_PHRASES)).format(article=_article(colour), colour=colour)
    return str(rng.choice(SCENE_PHRASES[scene]))


def _subject(subject: Appearance, rng: np.random.Generator, detail: Detail) -> str:
    identity = subject.identity
    words: list[str] = []
    traits = [trait for trait in identity.traits if rng.random() < detail.trait]
    adjectives = [trait for trait in traits if trait in ("striped", "spotted", "marbled", "patched")]
    possessions = [trait for trait in traits if trait not in adjectives]
    words.extend(adjectives)
    if identity.kind != "person" and rng.random() < detail.colour:
        words.append(identity.colour)
    noun = " ".join([*words, identity.kind])
    worn = [_corrected(item) for item in subject.wearing if rng.random() < detail.wearing]
    text = f"{_article(noun)} {noun}"
    if possessions:
        text = f"{text} with {_join([_corrected(item) for item in possessions])}"
    if worn:
        text = f"{text} wearing {_join(worn)}" if possessions or rng.random() < 0.6 else f"{text} with {_join(worn)}"
    return text


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _corrected(item: str) -> str:
    """Give a trait whose adjective was filled in the right article."""
    return f"{_article(item[2:])} {item[2:]}" if item.startswith("a ") else item


def _join(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def labels(spec: PictureSpec) -> dict[str, str | list[str]]:
    """Return what an examiner may ask about a picture."""
    return {
        "kinds": [subject.identity.kind for subject in spec.subjects],
        "colours": [subject.identity.colour for subject in spec.subjects],
        "identities": [subject.identity.name for subject in spec.subjects],
        "scene": spec.scene,
        "background": spec.colour,
        "style": spec.style,
    }


@dataclass(frozen=True)
class ExamQuestion:
    """A prompt and what a picture of it must show.

    Attributes:
        prompt: The prompt.
        kinds: Kinds of the subjects, left to right.
        colours: Colour word of each subject, empty where the prompt names none.
        scene: The scene.
        style: The style.
    """

    prompt: str
    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    scene: str
    style: str


def exam_question(rng: np.random.Generator) -> ExamQuestion:
    """Draw a prompt from the grammar, with a scene always, and a robot's colour wherever the style shows colours."""
    style = "photo" if rng.random() < 0.75 else str(rng.choice(list(STYLE_PHRASES)))
    two = rng.random() < 0.3
    kinds = [str(kind) for kind in rng.choice(KINDS, 2 if two else 1, replace=False)]
    coloured = [kind == "robot" and style in COLOURED_STYLES for kind in kinds]
    colours = [str(rng.choice(ROBOT_COLOURS)) if named else "" for named in coloured]
    who = [f"{_article(noun)} {noun}" for noun in (f"{c} {k}".strip() for c, k in zip(colours, kinds, strict=True))]
    text = f"{who[0]} on the left and {who[1]} on the right" if two else who[0]
    scene = str(rng.choice(SCENES))
    text = f"{text} {scene_phrase(scene, str(rng.choice(list(PLAIN_COLOURS))), rng)}"
    template = "a photo of {}" if style == "photo" else STYLE_PHRASES[style][0]
    return ExamQuestion(template.format(text), tuple(kinds), tuple(colours), scene, style)
