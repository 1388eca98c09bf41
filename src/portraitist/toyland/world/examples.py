"""Photo folders of identities that the base model has never seen: the examples, and as many others as one likes."""

import json
from pathlib import Path

from portraitist.errors import BadConfig
from portraitist.files import require_writable, write_aside
from portraitist.randomness import numpy_generator
from portraitist.toyland.world.hands import dicebear, monsters, people, robots
from portraitist.toyland.world.identities import KINDS, Identity, sample_identity
from portraitist.toyland.world.painting import render
from portraitist.toyland.world.pictures import PHOTO, sample_picture
from portraitist.toyland.world.scenes import SCENES

_OWN = "drawn by the portraitist project, Apache-2.0"
# By what a viewer tells two of a kind apart, beside their colour.
_TELLING = {"person": "hair", "cat": "coat", "robot": "eyes", "monster": "body"}
_BYTES_PER_PHOTO = 32_768
_PATIENCE = 300  # identities in a row that are too like those chosen


def licences() -> dict[str, str]:
    """Return by kind who drew the artwork and what they ask for, as the artwork package states it.

    Raises:
        MissingExtra: If the artwork package is not installed.
    """
    return {
        "person": f"{_credit(people.HAND)}; other parts, clothes and scenes {_OWN}",
        "cat": f"Cats and scenes {_OWN}",
        "robot": f"{_credit(robots.HAND)}; bodies and scenes {_OWN}",
        "monster": f"{_credit(monsters.HAND)}; what they wear and hold, and scenes, {_OWN}",
    }


def _credit(style: str) -> str:
    """Return a credit such as ``Remix of "Bottts" by Pablo Stanley (https://...), CC0 1.0``."""
    meta = dicebear.load_style(style)["meta"]
    source, creator, licence = meta["source"], meta["creator"], meta["license"]
    remix = "Remix of " if licence["text"].startswith("Remix of") else ""
    terms = licence["name"][0].lower() + licence["name"][1:] if licence["name"].startswith("Free") else licence["name"]
    return f'{remix}"{source["name"]}" by {creator["name"]} ({source["url"]}), {terms}'


def choose_subjects(seed: int, each: int = 3, split: str = "test") -> list[Identity]:
    """Choose different identities of a split, `each` of every kind.

    Two of a kind differ in colour and in a telling part, as long as there are colours and parts that none has.
    """
    chosen: list[Identity] = []
    for kind in KINDS:
        rng = numpy_generator(seed, f"example {kind}")
        alike: set[str] = set()
        found: dict[Identity, None] = {}
        refused = 0
        while len(found) < each:
            identity = sample_identity(rng, split, kind)
            marks = {f"colour {identity.colour}", f"part {identity.part(_TELLING[kind])}"}
            if marks & alike:
                refused += 1
                if refused == _PATIENCE:  # everything that tells a kind apart is taken: it may be taken once more
                    alike, refused = set(), 0
            elif identity not in found:
                found[identity] = None
                alike |= marks
                refused = 0
        chosen.extend(found)
    return chosen


def write_examples(folder: Path, seed: int, each: int = 3, photos: int = 5, split: str = "test") -> list[Identity]:
    """Write a folder of photos for each chosen subject, and ``subjects.json`` about all of them.

    Args:
        folder: Where the folders go; each is named after its identity.
        seed: Seed of the choice and of the photos.
        each: Subjects of each kind.
        photos: Photos of each subject; no two in the same scene.
        split: Which identities to choose from: ``train``, ``validation`` or ``test``.

    Returns:
        The identities, in the order of ``subjects.json``.

    Raises:
        BadConfig: If there are fewer scenes than photos.
    """
    if photos > len(SCENES):
        raise BadConfig(f"{photos} photos of a subject need as many scenes; there are {len(SCENES)}")
    credits = licences()
    identities = choose_subjects(seed, each, split)
    require_writable(folder, len(identities) * photos * _BYTES_PER_PHOTO)
    entries = []
    for identity in identities:
        rng = numpy_generator(seed, f"photos of {identity.name}")
        scenes = [str(scene) for scene in rng.permutation(SCENES)[:photos]]
        for index, scene in enumerate(scenes):
            spec = sample_picture(rng, split, identities=(identity,), scene=scene, style=PHOTO)
            with write_aside(folder / identity.name / f"{index:02d}.png") as temporary:
                render(spec).save(temporary, format="PNG", optimize=True)
        entries.append(
            {
                "name": identity.name,
                "class": identity.kind,
                "parts": dict(identity.parts),
                "scenes": scenes,
                "licence": credits[identity.kind],
            }
        )
    with write_aside(folder / "subjects.json") as temporary:
        temporary.write_text(json.dumps(entries, indent=2) + "\n")
    return identities
