"""Captions: varied, grammatical English for a picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from portraitist.toyland.world.colours import pick
from portraitist.toyland.world.hands import monsters, people, robots
from portraitist.toyland.world.hands.worn import COVERING, PINNED
from portraitist.toyland.world.pictures import PHOTO, Appearance, PictureSpec
from portraitist.toyland.world.scenes import PLAIN

# Rare strings for new subjects. They are single tokens of the tokenizer and stand in no caption.
IDENTIFIERS = (
    *("sks", "olo", "zwx", "qyx", "vex", "ukj", "pfz", "xnq", "wvb", "jtk"),
    *("hxp", "kbv", "mzd", "rqf", "tgw", "ydh", "bxo", "cvu", "djq", "fkz"),
    *("gwy", "lqo", "nvz", "oxk", "pwj", "qhg", "rzb", "svy", "txq", "uqd"),
    *("vjm", "wkx", "xhz", "ybq", "zpt", "ohwx", "phol", "bluv", "krez", "zarb"),
)

SCENE_PHRASES: dict[str, tuple[str, ...]] = {
    "beach": ("on the beach", "on a beach", "at the beach", "on a sunny beach"),
    "snow": ("in the snow", "in snowy mountains", "in a snowy landscape"),
    "forest": ("in the forest", "in a forest", "in the woods"),
    "city": ("in the city at night", "in a city at night", "on a city street at night"),
    "space": ("in space", "in outer space", "on the moon"),
    "desert": ("in the desert", "in a desert", "in the desert among cacti"),
    "room": ("in a room", "indoors", "at home in front of a window"),
    "water": ("under water", "under the sea", "deep under water"),
    "meadow": ("in a meadow", "in a meadow of flowers", "in the countryside"),
    "sunset": ("at sunset", "at sunset by a lake", "in front of a sunset"),
}
_PLAIN_PHRASES = (
    "in front of a plain {colour} background",
    "on {article} {colour} background",
    "against {article} {colour} wall",
    "against a plain {colour} background",
)
STYLE_PHRASES: dict[str, tuple[str, ...]] = {
    "pencil sketch": ("a pencil sketch of {}", "a pencil drawing of {}", "{}, pencil sketch"),
    "pixel art": ("pixel art of {}", "a pixel art picture of {}", "{}, pixel art"),
    "watercolour": ("a watercolour of {}", "a watercolour painting of {}", "{}, watercolour"),
    "poster": ("a poster of {}", "a printed poster of {}", "{}, poster"),
}
_PHOTO_PHRASES = ("{}", "{}", "a photo of {}", "a photo of {}", "a picture of {}", "a portrait of {}")
_COMPANY_PHRASES = (
    "{} on the left and {} on the right",
    "{} on the left and {} on the right",
    "{} and {}",
    "{} next to {}",
    "{} beside {}",
    "{} together with {}",
)
_MIRRORED_PHRASE = "{} on the right and {} on the left"
# Styles that show colours as they are; in the others a colour is named less often.
COLOURED_STYLES = (PHOTO, "pixel art", "watercolour")
_UNSEEN = 0.35
# Of two subjects so many things are said at most: more would not fit into a prompt.
_MOST_IN_COMPANY = 4
_FULL = 0.5


@dataclass(frozen=True)
class Detail:
    """How likely each kind of word is to be said."""

    colour: float = 0.85
    trait: float = 0.4
    mood: float = 0.4
    wearing: float = 0.45
    scene: float = 0.9
    style: float = 0.95


SHORT = Detail()
COMPLETE = Detail(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Description:
    """What can be said of somebody in a picture.

    Attributes:
        noun: What they are.
        colour: Pattern and colour, which go before the noun, or nothing.
        mood: A participle, or nothing.
        traits: What they have: noun phrases.
        wearing: What they wear: noun phrases.
        holding: What they hold, or nothing.
    """

    noun: str
    colour: str
    mood: str
    traits: tuple[str, ...]
    wearing: tuple[str, ...]
    holding: str


def caption(spec: PictureSpec, rng: np.random.Generator, detail: Detail | None = None) -> str:
    """Describe a picture in one of many ways; in half of them, unless `detail` is given, completely."""
    detail = detail or (COMPLETE if rng.random() < _FULL else SHORT)
    most = None if len(spec.subjects) == 1 else _MOST_IN_COMPANY
    coloured = spec.style in COLOURED_STYLES
    seen = [describe(subject, coloured or rng.random() < _UNSEEN) for subject in spec.subjects]
    who = [_phrase(description, rng, detail, most) for description in seen]
    if len(who) == 1:
        text = who[0]
    elif rng.random() < 0.15:
        text = _MIRRORED_PHRASE.format(who[1], who[0])
    else:
        text = _company_phrase(who[0], rng).format(*who)
    if rng.random() < detail.scene:
        text = f"{text} {scene_phrase(spec.scene, spec.colour, rng)}"
    text = text.rstrip(",")
    if spec.style == PHOTO:
        return pick(rng, _PHOTO_PHRASES).format(text)
    if rng.random() < detail.style:
        return pick(rng, STYLE_PHRASES[spec.style]).format(text)
    return text


def _company_phrase(first: str, rng: np.random.Generator) -> str:
    """Choose how two are joined; after a list, ``and`` would make the second one of its items."""
    phrase = pick(rng, _COMPANY_PHRASES)
    listing = any(f" {word} " in first for word in ("with", "wearing", "holding"))
    return "{} next to {}" if phrase == "{} and {}" and listing else phrase


def plain_caption(spec: PictureSpec) -> str:
    """Describe a picture completely, in the same words for the same thing whatever else is in the picture."""
    most = None if len(spec.subjects) == 1 else _MOST_IN_COMPANY
    who = [_phrase(describe(subject), np.random.default_rng(0), COMPLETE, most) for subject in spec.subjects]
    text = _COMPANY_PHRASES[0].format(*who) if len(who) == 2 else who[0]
    if spec.scene == PLAIN:
        scene = _PLAIN_PHRASES[0].format(article=article(spec.colour), colour=spec.colour)
    else:
        scene = SCENE_PHRASES[spec.scene][0]
    template = "a photo of {}" if spec.style == PHOTO else STYLE_PHRASES[spec.style][0]
    return template.format(f"{text} {scene}")


def circumstances(subject: Appearance) -> str:
    """Return what is to be seen of somebody that is no part of who they are: clothes, what is held, the expression.

    Such as ``wearing a red vest, holding a flower, smiling,``, to stand between who it is and the scene; or nothing.
    """
    who = describe(subject)
    said = [f"wearing {join(list(who.wearing))}"] if who.wearing else []
    said += [f"holding {who.holding}"] if who.holding else []
    said += [who.mood] if who.mood else []
    return ", ".join(said) + ("," if len(said) > 1 else "")


def scene_phrase(scene: str, colour: str, rng: np.random.Generator) -> str:
    """Return one of the phrases for a scene."""
    if scene == PLAIN:
        return pick(rng, _PLAIN_PHRASES).format(article=article(colour), colour=colour)
    return pick(rng, SCENE_PHRASES[scene])


def describe(subject: Appearance, coloured: bool = True) -> Description:
    """Put into words what somebody looks like; without colours where a style does not show them."""
    parts, words = subject.drawn, dict(subject.words)
    if not coloured:
        words = dict.fromkeys(words, "")
    kind = subject.identity.kind
    worn = [_coloured(parts[slot], words.get(slot, "")) for slot in ("hat", "neckwear") if parts.get(slot)]
    if parts.get("hat") in PINNED:
        worn[0] += _where_pinned(parts, kind)
    holding = _coloured(parts["held"], words.get("held", "")) if parts["held"] else ""
    if kind == "person":
        return _describe_person(parts, words, coloured, worn, holding)
    colour = parts["colour"] if coloured else ""
    if kind == "cat":
        return _describe_cat(parts, colour, coloured, worn, holding)
    if kind == "robot":
        return _describe_robot(parts, subject.identity.part("texture"), colour, worn, holding)
    top, pattern = monsters.TOPS.get(parts["top"], ""), monsters.PATTERNS.get(parts["pattern"], "")
    traits = tuple(trait for trait in (top, monsters.EYES[parts["eyes"]], pattern) if trait)
    return Description("monster", colour, monsters.MOUTHS[parts["mouth"]], traits, tuple(worn), holding)


def _describe_person(
    parts: dict[str, str], words: dict[str, str], coloured: bool, worn: list[str], holding: str
) -> Description:
    traits = [hair(parts, coloured)]
    if parts["beard"]:
        beard = parts["beard"]
        traits.append(beard if beard == "stubble" else f"{article(beard)} {beard}")
    if parts["glasses"]:
        traits.append(parts["glasses"] if coloured else "glasses")
    if parts["cheeks"]:
        traits.append(parts["cheeks"])
    if parts["ears"] in ("pointed", "big"):
        traits.append(f"{parts['ears']} ears")
    if coloured:
        traits.append(f"{parts['skin']} skin")
        if parts["mood"] not in ("laughing", "sleeping") and not parts["sunglasses"]:
            traits.append(f"{parts['iris']} eyes")
    garment, colour = parts["clothes"], words.get("cloth", "")
    clothes = f"{colour} {garment}".strip()
    dressed = [clothes if garment == "dungarees" else f"{article(clothes)} {clothes}", *worn]
    if parts["sunglasses"]:
        dressed.append("sunglasses")
    mood = "" if parts["mood"] == "calm" else parts["mood"]
    return Description("person", "", mood, tuple(traits), tuple(dressed), holding)


def _describe_cat(parts: dict[str, str], colour: str, coloured: bool, worn: list[str], holding: str) -> Description:
    coat = parts["coat"]
    before = coat if coat in ("striped", "spotted", "white-chested") else ""
    colour = f"{before} {colour}".strip()
    traits = []
    if coat == "patched":
        traits.append(f"{parts['mark']} patches" if coloured else "patches")
    elif coat == "pointed":
        traits.append("a dark face")
    if parts["ears"] in ("big", "folded", "round"):
        traits.append(f"{parts['ears']} ears")
    if parts["glasses"]:
        traits.append("glasses")
    eyes = parts["eyes"].split()[-1]
    if coloured and eyes not in ("closed", "happy"):
        traits.append(f"{parts['iris']} eyes")
    mood = {"closed": "sleeping", "happy": "smiling", "wink": "winking"}.get(eyes, "")
    if parts["mouth"] == "meow":
        mood = mood or "meowing"
    return Description("cat", colour, mood, tuple(traits), tuple(worn), holding)


def _describe_robot(parts: dict[str, str], texture: str, colour: str, worn: list[str], holding: str) -> Description:
    front = parts["front"] if parts["front"] in ("buttons", "bolts") else f"a {parts['front']}"
    traits = [robots.TOPS[parts["top"]], robots.EYES[parts["eyes"]], f"{front} on its chest"]
    if texture != "plain":
        traits.append(texture)
    return Description("robot", colour, robots.MOUTHS[parts["mouth"]], tuple(traits), tuple(worn), holding)


def hair(parts: dict[str, str], coloured: bool = True) -> str:
    """Return words such as ``long red hair``."""
    if parts["hair"] == people.BALD:
        return "a bald head"
    style = hair_style(parts["hair"])
    if parts.get("hat") in COVERING and style in people.UNDER_HATS:
        style = "{} hair" if coloured else "hair"
    words = " ".join(style.format(parts["hair colour"] if coloured else "").split())
    return f"{article(words[2:])} {words[2:]}" if words.startswith("a ") else words


def hair_style(drawing: str) -> str:
    """Return the words for a drawing of hair, with a gap for its colour; empty for none."""
    return next((style for style, drawings in people.HAIR_STYLES.items() if drawing in drawings), "")


def _where_pinned(parts: dict[str, str], kind: str) -> str:
    if kind == "person":
        return " on their head" if parts["hair"] == people.BALD else " in their hair"
    return " on its head"


def _coloured(thing: str, colour: str) -> str:
    """Return a thing with its article, and the colour it was given if it shows one."""
    if thing == "headphones":
        return f"{colour} headphones".strip()
    if thing == "crown":
        return "a crown"
    words = f"{colour} {thing}".strip()
    return f"{article(words)} {words}"


def _phrase(who: Description, rng: np.random.Generator, detail: Detail, most: int | None) -> str:
    """Put a description together, leaving words out at random."""
    said = [("trait", trait) for trait in who.traits if rng.random() < detail.trait]
    said += [("wearing", item) for item in who.wearing if rng.random() < detail.wearing]
    said += [("holding", who.holding)] if who.holding and rng.random() < detail.wearing else []
    if most is not None and len(said) > most:
        kept = sorted(int(i) for i in rng.permutation(len(said))[:most])
        said = [said[i] for i in kept]
    colour = who.colour if rng.random() < detail.colour else ""
    mood = who.mood if rng.random() < detail.mood else ""
    before = mood if mood and " " not in mood and rng.random() < 0.6 else ""
    noun = " ".join(word for word in (before, colour, who.noun) if word)
    text = f"{article(noun)} {noun}"
    traits, wearing, holding = (
        [words for role, words in said if role == wanted] for wanted in ("trait", "wearing", "holding")
    )
    if traits:
        text += f" with {join(traits)}"
    if wearing:
        text += f" wearing {join(wearing)}"
    if holding:
        text += f", holding {holding[0]}," if traits or wearing else f" holding {holding[0]}"
    if mood and not before:
        text += f" {mood}," if text.endswith(",") else f", {mood},"
    return text


def article(words: str) -> str:
    """Return ``a`` or ``an``."""
    return "an" if words[0] in "aeiou" else "a"


def join(items: list[str]) -> str:
    """Join with commas and a last ``and``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def labels(spec: PictureSpec) -> dict[str, Any]:
    """Return what an examiner may ask about a picture, JSON-able."""
    return {
        "kinds": [subject.identity.kind for subject in spec.subjects],
        "colours": [subject.identity.colour for subject in spec.subjects],
        "identities": [subject.identity.name for subject in spec.subjects],
        "parts": [{part: name for part, name in subject.drawn.items() if part in _ASKED} for subject in spec.subjects],
        "scene": spec.scene,
        "background": spec.colour,
        "style": spec.style,
    }


_ASKED = ("hair", "hair colour", "beard", "glasses", "hat", "held", "skin", "cheeks", "mood", "coat", "neckwear")
