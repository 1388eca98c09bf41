"""Photo folders of identities that the base model has never seen: the examples, and as many others as one likes."""

import json
from pathlib import Path

import numpy as np

from portraitist.files import require_writable, write_aside
from portraitist.randomness import numpy_generator
from portraitist.toyland.first.world.identities import KINDS, Identity, sample_identity
from portraitist.toyland.first.world.pictures import render, sample_picture
from portraitist.toyland.first.world.scenes import PLAIN_COLOURS, SCENES

# Who drew the artwork and what they ask for, as the artwork package states it.
ARTWORK_LICENCES = {
    "robot": "Robot artwork by Zikri Kader, from RoboHash (set1), CC-BY-3.0 or CC-BY-4.0",
    "cat": "Cat artwork by David Revoy, from RoboHash (set4), CC-BY-4.0",
    "monster": "Monster artwork by Hrvoje Novakovic, from RoboHash (set2), CC-BY-3.0",
    "person": "Avatar artwork by Pablo Stanley (avataaars.com), from RoboHash (set5), free for personal and "
    "commercial use",
}
# The shipped folders were written with this seed.
SEED = 3
_BYTES_PER_PHOTO = 16_384


def choose_subjects(seed: int, each: int = 3, split: str = "test") -> list[Identity]:
    """Choose identities of a split, `each` of every kind; two of a kind differ in colour and in a telling part."""
    chosen: list[Identity] = []
    for kind in KINDS:
        rng = numpy_generator(seed, f"example {kind}")
        alike: set[str] = set()
        found: list[Identity] = []
        while len(found) < each:
            identity = sample_identity(rng, split, kind)
            marks = _marks(identity)
            if not marks & alike:
                found.append(identity)
                alike |= marks
        chosen.extend(found)
    return chosen


def _marks(identity: Identity) -> set[str]:
    """Return what a viewer tells two of a kind apart by."""
    telling = {"robot": "face", "cat": "fur", "monster": "faces", "person": "body"}[identity.kind]
    return {f"colour {identity.colour}", f"{telling} {identity.part(telling)}"}


def write_examples(
    folder: Path, seed: int = SEED, each: int = 3, photos: int = 5, size: int = 64, split: str = "test"
) -> list[Identity]:
    """Write a folder of photos for each chosen subject, and ``subjects.json`` about all of them.

    Args:
        folder: Where the folders go; each is named after its identity.
        seed: Seed of the choice and of the photos.
        each: Subjects of each kind.
        photos: Photos of each subject; no two in the same scene.
        size: Side of a photo in pixels.
        split: Which identities to choose from: ``train``, ``validation`` or ``test``.

    Returns:
        The identities, in the order of ``subjects.json``.
    """
    identities = choose_subjects(seed, each, split)
    require_writable(folder, len(identities) * photos * _BYTES_PER_PHOTO)
    entries = []
    for identity in identities:
        rng = numpy_generator(seed, f"photos of {identity.name}")
        places = _places(rng, identity, photos)
        entries.append(_describe(identity, [scene for scene, _ in places]))
        for index, (scene, colour) in enumerate(places):
            spec = sample_picture(rng, identities=(identity,), scene=scene, colour=colour, style="photo")
            with write_aside(folder / identity.name / f"{index:02d}.png") as temporary:
                render(spec, size).save(temporary, optimize=True)
    with write_aside(folder / "subjects.json") as temporary:
        temporary.write_text(json.dumps(entries, indent=2) + "\n")
    return identities


def _places(rng: np.random.Generator, identity: Identity, count: int) -> list[tuple[str, str | None]]:
    """Draw different scenes; a plain one never in the subject's own colour, which would swallow it."""
    if count > len(SCENES):
        raise ValueError(f"{count} photos need as many scenes; there are {len(SCENES)}")
    backdrops = [colour for colour in PLAIN_COLOURS if colour != identity.colour]
    scenes = [str(scene) for scene in rng.permutation(SCENES)[:count]]
    return [(scene, str(rng.choice(backdrops)) if scene == "plain" else None) for scene in scenes]


def _describe(identity: Identity, scenes: list[str]) -> dict[str, str | list[str] | dict[str, str]]:
    return {
        "name": identity.name,
        "class": identity.kind,
        "parts": dict(identity.parts),
        "scenes": scenes,
        "licence": ARTWORK_LICENCES[identity.kind],
    }
