"""Pairs of toyland's identities, and photos of each."""

from dataclasses import dataclass

from PIL import Image

from portraitist.randomness import numpy_generator
from portraitist.toyland.world.identities import KINDS, Identity, sample_identity
from portraitist.toyland.world.painting import render_all
from portraitist.toyland.world.pictures import PHOTO, sample_picture
from portraitist.toyland.world.scenes import PLACES as _DRAWN_PLACES

# What has a background of its own.
PLACES = tuple(_DRAWN_PLACES)


@dataclass(frozen=True)
class Pair:
    """Two identities."""

    first: Identity
    second: Identity

    @property
    def same_class(self) -> bool:
        """Say whether both are of one kind."""
        return self.first.kind == self.second.kind

    @property
    def name(self) -> str:
        """Return both names."""
        return f"{self.first.name}+{self.second.name}"


def draw_pairs(count: int, seed: int = 0, split: str = "test") -> list[Pair]:
    """Draw pairs of a split's identities, of one kind and of two in turn; two of one kind differ in colour."""
    pairs = []
    for index in range(count):
        rng = numpy_generator(seed, "pairs", index)
        first = sample_identity(rng, split, KINDS[index // 2 % len(KINDS)])
        others = [kind for kind in KINDS if kind != first.kind]
        kind = first.kind if index % 2 == 0 else others[rng.integers(len(others))]
        second = sample_identity(rng, split, kind)
        while second.kind == first.kind and second.colour == first.colour:
            second = sample_identity(rng, split, kind)
        pairs.append(Pair(first, second))
    return pairs


def photos_of(identity: Identity, count: int, size: int, seed: int = 0) -> list[Image.Image]:
    """Render photos of somebody alone, each in another scene."""
    rng = numpy_generator(seed, f"photos of {identity.name}")
    scenes = [str(scene) for scene in rng.permutation(PLACES)]
    specs = [
        sample_picture(rng, identities=(identity,), scene=scenes[index % len(scenes)], style=PHOTO)
        for index in range(count)
    ]
    return render_all(specs, size)
