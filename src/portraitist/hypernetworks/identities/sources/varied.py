"""Identities of a folder with more photos of each: the base draws variations, and what is not good of them is dropped.

DiffLoRA collects faces, generates pictures of each, filters them, and trains on what is left (arXiv 2408.06740); it
generates with PhotoMaker and says little about the filter. Here the base varies the photos, by itself or with an
IP-Adapter (our choice); the filter is that of `portraitist.preparation`, with likeness to the photo that was varied.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from portraitist.bases.families import Framing
from portraitist.errors import BadPhoto
from portraitist.evaluation.encoders import Encoder, embed_images
from portraitist.hypernetworks.identities.settings import VariationSettings
from portraitist.hypernetworks.identities.sources.painters import VariationPainter
from portraitist.hypernetworks.identities.sources.source import Identity, Photo, Source, Words
from portraitist.preparation import Criteria, prepare
from portraitist.preparation.people import FaceFinder
from portraitist.randomness import derive_seed

# Places that faces, animals and things can all be in.
_SCENES = (
    "on the beach",
    "in the snow",
    "in a forest",
    "on a city street",
    "in a kitchen",
    "in front of a brick wall",
    "in a garden",
    "in a library",
    "on a mountain",
    "at night",
)


@dataclass(frozen=True)
class _Drawn:
    """A variation: its picture, the photo it was drawn from, and where it is set."""

    picture: Image.Image
    origin: int
    scene: str
    seed: int


class VariedSource:
    """A source whose identities have the photos of another one and variations of them.

    Args:
        source: The other one.
        painter: Draws the variations.
        settings: How many, and what they must be.
        encoder: Judges how like the photo a variation is.
        words: How a base is asked for identities.
        seed: Seed of everything drawn.
        finder: Looks for faces, of which a variation then shows exactly one, the photo's; None does not look.
    """

    def __init__(
        self,
        source: Source,
        painter: VariationPainter,
        settings: VariationSettings,
        encoder: Encoder,
        words: Words,
        seed: int,
        finder: FaceFinder | None = None,
    ) -> None:
        self.source, self.painter, self.settings, self.encoder = source, painter, settings, encoder
        self.words, self.seed, self.finder = words, seed, finder
        self.name, self.kinds, self.count = source.name, source.kinds, source.count

    def identity(self, index: int) -> Identity:
        """Return an identity with its photos and the good variations; why others were dropped is in its provenance."""
        known = self.source.identity(index)
        if not known.photos:
            return known
        photos = [Image.fromarray(photo.pixels) for photo in known.photos]
        drawn = [self._draw(known, photos, number) for number in range(self.settings.count)]
        whys = self._judge(photos, drawn)
        kept = [self._photo(known, each) for each, why in zip(drawn, whys, strict=True) if not why]
        dropped = [{"variation": number, "why": why} for number, why in enumerate(whys) if why]
        facts = {"variations": {"kept": len(kept), "dropped": dropped}}
        return replace(known, photos=(*known.photos, *kept), provenance={**known.provenance, **facts})

    def _draw(self, known: Identity, photos: Sequence[Image.Image], number: int) -> _Drawn:
        origin, scene = number % len(photos), _SCENES[number % len(_SCENES)]
        seed = derive_seed(self.seed, f"variations of {known.key}", number)
        photo = photos[origin]
        drawn = self.painter.draw(photo, f"a photo of a {known.class_noun} {scene}", seed)
        return _Drawn(drawn.resize(photo.size), origin, scene, seed)

    def _judge(self, photos: Sequence[Image.Image], drawn: Sequence[_Drawn]) -> list[str]:
        """Return why each variation is dropped, also for being nearly a photo again; empty for those that are kept."""
        side = photos[0].width
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            pictures = {f"photo-{number}": photo for number, photo in enumerate(photos)}
            pictures |= {f"variation-{number}": each.picture for number, each in enumerate(drawn)}
            paths = [folder / f"{name}.png" for name in pictures]
            for path, picture in zip(paths, pictures.values(), strict=True):
                picture.save(path)
            try:
                criteria = Criteria(size=side, sharpness=self.settings.sharpness)
                prepared = prepare(paths, criteria, self.finder, paths[0] if self.finder else None)
            except BadPhoto as error:
                return [str(error).replace(f"{folder}/", "")] * len(drawn)
        judged = prepared.decisions[len(photos) :]
        whys, faces = [decision.why for decision in judged], [decision.faces for decision in judged]
        return [
            why or _crowd(found) or self._stranger(photos[each.origin], each.picture)
            for why, found, each in zip(whys, faces, drawn, strict=True)
        ]

    def _stranger(self, photo: Image.Image, picture: Image.Image) -> str:
        first, second = embed_images(self.encoder, [photo, picture])
        likeness = float(first @ second)
        if likeness >= self.settings.likeness:
            return ""
        return f"unlike the photo: likeness {likeness:.2f}, at least {self.settings.likeness:g}"

    def _photo(self, known: Identity, drawn: _Drawn) -> Photo:
        prompt = self.words.placed(known.class_noun, drawn.scene)
        labels = {"variation of": drawn.origin, "seed": drawn.seed}
        framing = Framing.whole(*drawn.picture.size)
        return Photo(np.array(drawn.picture), prompt, prompt, framing, labels)


def _crowd(faces: int | None) -> str:
    """Say that a picture shows several faces."""
    return f"shows {faces} faces" if faces is not None and faces > 1 else ""
