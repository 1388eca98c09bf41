"""The words for the artwork: which parts a subject is made of, what they are called, and which files draw them.

The artwork is the layered drawings of the package ``robohash``. A kind's *identity* parts make a subject
recognisable and never change between two of its pictures; its *variable* parts change from picture to picture.
"""

from collections.abc import Mapping

KINDS = ("robot", "cat", "monster", "person")

# Licences as the artwork package states them.
ARTWORK_LICENCES = {
    "robot": "Robot artwork (set1) by Zikri Kader, from RoboHash, CC-BY-3.0 or CC-BY-4.0",
    "monster": "Monster artwork (set2) by Hrvoje Novakovic, from RoboHash, CC-BY-3.0",
    "cat": "Cat artwork (set4) by David Revoy, from RoboHash, CC-BY-4.0",
    "person": "Avatar artwork (set5) by Pablo Stanley (avataaars.com), from RoboHash, "
    "free for personal and commercial use",
}

# --- Robots -----------------------------------------------------------------------------------------------------------

ROBOT_COLOURS = ("blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow")
_ROBOT_DESIGNS = tuple(f"{number:02d}" for number in range(1, 11))
ROBOT_ACCESSORIES = {
    "none": "",
    "01": "",
    "03": "an antenna",
    "05": "a signal light",
    "06": "a moustache",
    "07": "a siren on its head",
    "08": "a television aerial",
    "09": "loose wires on its head",
    "10": "a spike on its head",
}
ROBOT_HEADS = {
    "02": "a round head",
    "05": "a cylindrical head",
    "07": "a heart-shaped head",
    "08": "a hooked head",
    "09": "a pointed head",
    "10": "a boxy head",
}
ROBOT_EYES = {
    "02": "round eyes",
    "03": "a red eye",
    "07": "yellow eyes",
    "09": "glowing eyes",
    "10": "a blue visor",
}

# --- Cats -------------------------------------------------------------------------------------------------------------

CAT_BODIES = {
    "0": "maroon",
    "1": "lime green",
    "2": "black",
    "3": "lilac",
    "4": "red",
    "5": "golden",
    "6": "pink",
    "7": "brown",
    "8": "blue",
    "9": "yellow",
    "10": "golden",
    "11": "grey",
    "12": "golden",
    "13": "cream",
    "14": "orange",
}
CAT_FURS = {
    "0": "striped",
    "1": "tabby",
    "2": "",
    "3": "swirly",
    "4": "dark-patched",
    "5": "light-patched",
    "7": "white-pawed",
    "8": "dappled",
    "9": "spotted",
}
CAT_EYES = {
    **{str(number): "" for number in (0, 1, 3, 5, 7, 8, 9, 10, 11, 13, 14)},
    "2": "tiny eyes",
    "4": "a monocle",
    "6": "closed eyes",
    "12": "glasses",
}
CAT_ACCESSORIES = {
    "none": "",
    "0": "a red scarf",
    "1": "a black collar",
    "2": "a red collar",
    "3": "a red headband",
    "4": "a pink bow",
    "5": "a black hat",
    "6": "headphones",
    "7": "a blue scarf",
    "8": "a black collar",
    "11": "a black bandana",
    "12": "a blue bow",
    "13": "a red hat",
    "14": "headphones",
}

# --- Monsters ---------------------------------------------------------------------------------------------------------

MONSTER_FACE_COLOURS = {
    "3": "green",
    "2": "teal",
    "4": "blue",
    "5": "purple",
    "9": "yellow",
    "7": "orange",
    "10": "lime green",
    "6": "pink",
    "8": "golden",
    "1": "violet",
}
MONSTER_BODY_COLOURS = {
    "3": "blue",
    "2": "green",
    "4": "purple",
    "5": "pink",
    "9": "lime green",
    "7": "golden",
    "10": "violet",
    "6": "orange",
    "8": "yellow",
    "1": "teal",
}
MONSTER_HEADS = {
    "16": "leaves on its head",
    "12": "eyes on stalks",
    "13": "",
    "11": "antennae",
    "3": "big horns",
    "15": "",
    "2": "a horn",
    "4": "small horns",
    "5": "a helmet",
    "14": "",
    "9": "antennae",
    "7": "a propeller hat",
    "10": "a third eye",
    "6": "a metal head",
    "8": "a siren on its head",
    "1": "small horns",
}
_MONSTER_NUMBERS = tuple(str(number) for number in range(1, 11))

# --- People -----------------------------------------------------------------------------------------------------------

SKINS = ("Black", "Brown", "DarkBrown", "Light", "Pale", "Tanned")
HAIR_COLOURS = {
    "Auburn": "auburn",
    "Black": "black",
    "BlondeGolden": "blond",
    "Brown": "brown",
    "PastelPink": "pink",
    "Red": "red",
    "SilverGray": "white",
}
CLOTH_COLOURS = {
    "Black": "black",
    "Blue01": "light blue",
    "Blue02": "blue",
    "Blue03": "dark blue",
    "Gray02": "grey",
    "PastelGreen": "pale green",
    "PastelOrange": "peach",
    "PastelRed": "pale pink",
    "PastelYellow": "pale yellow",
    "Pink": "pink",
    "Red": "red",
    "White": "white",
}
HAIR_STYLES = {
    "Blank": "a bald head",
    "LongHairBigHair": "big {} hair",
    "LongHairBob": "bobbed {} hair",
    "LongHairBun": "a {} bun",
    "LongHairCurly": "curly {} hair",
    "LongHairCurvy": "long curly {} hair",
    "LongHairDreads": "long {} dreadlocks",
    "LongHairFro": "a {} afro",
    "LongHairFroBand": "a {} afro and a headband",
    "LongHairMiaWallace": "bobbed {} hair",
    "LongHairNotTooLong": "shoulder-length {} hair",
    "LongHairStraight": "long {} hair",
    "LongHairStraight2": "long {} hair",
    "LongHairStraightStrand": "shoulder-length {} hair",
    "ShortHairDreads01": "short {} hair",
    "ShortHairDreads02": "wild {} hair",
    "ShortHairFrizzle": "a {} quiff",
    "ShortHairShaggyMullet": "a {} mullet",
    "ShortHairShortCurly": "short curly {} hair",
    "ShortHairShortFlat": "short {} hair",
    "ShortHairShortRound": "short {} hair",
    "ShortHairShortWaved": "short wavy {} hair",
    "ShortHairSides": "thinning {} hair",
    "ShortHairTheCaesar": "very short {} hair",
    "Turban": "a {} turban",
    "Hijab": "a {} hijab",
}
COVERED_HAIR = ("Turban", "Hijab")
FACIAL_HAIR = {
    "none": "",
    "BeardLight": "a short beard",
    "BeardMedium": "a beard",
    "BeardMagestic": "a big beard",
    "MoustacheFancy": "a fancy moustache",
    "MoustacheMagnum": "a moustache",
}
# The artwork has no pink and no white beards.
_BEARD_COLOURS = {"PastelPink": "Brown", "SilverGray": "Platinum"}
GLASSES = {
    "Blank": "",
    "Round": "glasses",
    "Prescription01": "glasses",
    "Prescription02": "glasses",
    "Kurt": "white sunglasses",
    "Sunglasses": "sunglasses",
    "Wayfarers": "sunglasses",
}
CLOTHES = {
    **{
        f"{shape}-{colour}": f"a {colour_word} {word}"
        for shape, word in (
            ("Hoodie", "hoodie"),
            ("ShirtCrewNeck", "t-shirt"),
            ("CollarSweater", "sweater"),
        )
        for colour, colour_word in CLOTH_COLOURS.items()
    },
    "BlazerShirt": "a dark jacket",
}
MOUTHS = {
    "Default": "",
    "Smile": "smiling",
    "Twinkle": "smiling",
    "Tongue": "",
    "Serious": "",
    "Sad": "sad",
    "Concerned": "sad",
    "ScreamOpen": "",
    "Grimace": "",
}

# --- All kinds --------------------------------------------------------------------------------------------------------

IDENTITY_PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "robot": {
        "colour": ROBOT_COLOURS,
        "body": _ROBOT_DESIGNS,
        "face": _ROBOT_DESIGNS,
        "eyes": _ROBOT_DESIGNS,
    },
    "cat": {"body": tuple(CAT_BODIES), "fur": tuple(CAT_FURS), "eyes": tuple(CAT_EYES)},
    "monster": {
        "face": tuple(MONSTER_HEADS),
        "face_colour": tuple(MONSTER_FACE_COLOURS),
        "body": _MONSTER_NUMBERS,
        "body_colour": tuple(MONSTER_BODY_COLOURS),
        "eyes": _MONSTER_NUMBERS,
        "nose": _MONSTER_NUMBERS,
    },
    "person": {
        "skin": SKINS,
        "hair": tuple(HAIR_STYLES),
        "hair_colour": tuple(HAIR_COLOURS),
        "cover_colour": ("none", *CLOTH_COLOURS),
        "facial_hair": tuple(FACIAL_HAIR),
    },
}
VARIABLE_PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "robot": {"mouth": _ROBOT_DESIGNS, "accessory": tuple(ROBOT_ACCESSORIES)},
    "cat": {"mouth": tuple(str(number) for number in range(10)), "accessory": tuple(CAT_ACCESSORIES)},
    "monster": {"mouth": _MONSTER_NUMBERS},
    "person": {
        "eyes": ("Default", "Happy", "Side", "Squint", "Surprised", "Wink", "Close"),
        "brows": ("Default", "DefaultNatural", "FlatNatural", "RaisedExcitedNatural", "UpDownNatural"),
        "mouth": tuple(MOUTHS),
        "clothes": tuple(CLOTHES),
        "glasses": tuple(GLASSES),
    },
}
# How often the first (plain) option of a variable part is drawn; the others share the rest evenly.
PLAIN_SHARE = {("cat", "accessory"): 0.35, ("person", "glasses"): 0.6, ("robot", "accessory"): 0.25}


def layer_patterns(kind: str, parts: Mapping[str, str]) -> list[str]:
    """Name the files that draw a subject, from back to front.

    Args:
        kind: One of :data:`KINDS`.
        parts: Identity parts and variable parts together.

    Returns:
        Glob patterns relative to the artwork's folder; each matches exactly one file.
    """
    return _PAINTERS[kind](parts)


def _robot_layers(parts: Mapping[str, str]) -> list[str]:
    folder = f"set1/{parts['colour']}"
    layers = [f"{folder}/003#01Body/*_body-{parts['body']}.png", f"{folder}/004#02Face/*_face-{parts['face']}.png"]
    if parts["accessory"] != "none":
        layers.append(f"{folder}/002#Accessory/*_accessory-{parts['accessory']}.png")
    layers.append(f"{folder}/001#Eyes/*_eyes-{parts['eyes']}.png")
    layers.append(f"{folder}/000#Mouth/*_mouth-{parts['mouth']}.png")
    return layers


def _cat_layers(parts: Mapping[str, str]) -> list[str]:
    layers = [
        f"set4/000#00body/*#body{parts['body']}.png",
        f"set4/001#01fur/*#fur{parts['fur']}.png",
        f"set4/002#02eyes/*#eyes{parts['eyes']}.png",
        f"set4/003#03mouth/*#mouth{parts['mouth']}.png",
    ]
    if parts["accessory"] != "none":
        layers.append(f"set4/004#04accessories/*#accessory{parts['accessory']}.png")
    return layers


def _monster_layers(parts: Mapping[str, str]) -> list[str]:
    return [
        f"set2/004#01FaceColors/*#final{parts['face_colour']}.png",
        f"set2/003#02BodyColors/*#final{parts['body_colour']}.png",
        f"set2/006#03Faces/*#final{parts['face']}.png",
        f"set2/000#04Body/*#final{parts['body']}.png",
        f"set2/002#Eyes/*#final{parts['eyes']}.png",
        f"set2/001#Mouth/*#final{parts['mouth']}.png",
        f"set2/005#Nose/*#final{parts['nose']}.png",
    ]


def _person_layers(parts: Mapping[str, str]) -> list[str]:
    layers = [
        f"set5/000#Body/{parts['skin']}.png",
        f"set5/004#Cloth/{parts['clothes']}.png",
        f"set5/001#Eye/{parts['eyes']}.png",
        f"set5/002#Eyebrow/{parts['brows']}.png",
        f"set5/003#Mouth/{parts['mouth']}.png",
    ]
    if parts["facial_hair"] != "none":
        beard_colour = _BEARD_COLOURS.get(parts["hair_colour"], parts["hair_colour"])
        layers.append(f"set5/005#FacialHair/{parts['facial_hair']}-{beard_colour}.png")
    hair = parts["hair"]
    if hair in COVERED_HAIR:
        layers.append(f"set5/006#Top/{hair}-{parts['cover_colour']}.png")
    elif hair != "Blank":
        layers.append(f"set5/006#Top/{hair}-{parts['hair_colour']}.png")
    if parts["glasses"] != "Blank":
        layers.append(f"set5/007#Accessories/{parts['glasses']}.png")
    return layers


_PAINTERS = {"robot": _robot_layers, "cat": _cat_layers, "monster": _monster_layers, "person": _person_layers}
