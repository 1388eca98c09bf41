"""What drawing identities must know of a world. Toyland has two: the first, of any size, and one of 128 x 128."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from portraitist.toyland.first.world import captions as first_captions
from portraitist.toyland.first.world import examples as first_examples
from portraitist.toyland.first.world import identities as first_identities
from portraitist.toyland.first.world import pictures as first_pictures
from portraitist.toyland.first.world import scenes as first_scenes
from portraitist.toyland.world import captions, examples, identities, painting, pictures, scenes


class Drawn(Protocol):
    """Somebody in a world."""

    @property
    def kind(self) -> str:
        """What kind of thing they are."""

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """What makes them recognisable."""

    @property
    def name(self) -> str:
        """A short stable name."""

    @property
    def split(self) -> str:
        """The split that follows from their parts."""

    @property
    def colour(self) -> str:
        """Their colour word."""


@dataclass(frozen=True)
class DrawnWorld:
    """A world of identities.

    Attributes:
        name: Its name, kept with every identity.
        kinds: Kinds of its subjects, which are their class nouns.
        scenes: Names of its scenes; the last is a plain colour.
        colours: Colours of a plain scene.
        sample_identity: Draws an identity of a split (None for any) and kind.
        sample_picture: Draws a picture of somebody in a scene, with a colour where it is plain.
        describe: Captions a picture completely.
        scene_phrase: Says where a picture is.
        labels: Returns JSON-able facts about a picture.
        paint: Paints pictures of a side, uint8 ``[n, side, side, 3]``.
        licences: Returns by kind who drew the artwork, and on which terms.
    """

    name: str
    kinds: tuple[str, ...]
    scenes: tuple[str, ...]
    colours: tuple[str, ...]
    sample_identity: Callable[[np.random.Generator, str | None, str], Drawn]
    sample_picture: Callable[[np.random.Generator, Any, str, str | None], Any]
    describe: Callable[[Any], str]
    scene_phrase: Callable[[str, str, np.random.Generator], str]
    labels: Callable[[Any], dict[str, Any]]
    paint: Callable[[Sequence[Any], int], np.ndarray]
    licences: Callable[[], dict[str, str]]


def world_of(resolution: int) -> DrawnWorld:
    """Return the world whose pictures a base of some resolution was made for."""
    return _second() if resolution == pictures.RESOLUTION else _first()


def _first() -> DrawnWorld:
    def sample(rng: np.random.Generator, who: Any, scene: str, colour: str | None) -> Any:
        return first_pictures.sample_picture(rng, identities=(who,), scene=scene, colour=colour, style="photo")

    def paint(specs: Sequence[Any], side: int) -> np.ndarray:
        return np.stack([np.asarray(first_pictures.render(spec, side)) for spec in specs])

    return DrawnWorld(
        "toyland of 64 pixels",
        first_identities.KINDS,
        first_scenes.SCENES,
        tuple(first_scenes.PLAIN_COLOURS),
        first_identities.sample_identity,
        sample,
        first_captions.plain_caption,
        first_captions.scene_phrase,
        first_captions.labels,
        paint,
        lambda: first_examples.ARTWORK_LICENCES,
    )


def _second() -> DrawnWorld:
    def sample(rng: np.random.Generator, who: Any, scene: str, colour: str | None) -> Any:
        return pictures.sample_picture(rng, identities=(who,), scene=scene, colour=colour, style=pictures.PHOTO)

    def paint(specs: Sequence[Any], side: int) -> np.ndarray:
        return np.stack([np.asarray(picture) for picture in painting.render_all(specs)])

    return DrawnWorld(
        "toyland of 128 pixels",
        identities.KINDS,
        scenes.SCENES,
        scenes.PLAIN_COLOURS,
        identities.sample_identity,
        sample,
        captions.plain_caption,
        captions.scene_phrase,
        captions.labels,
        paint,
        examples.licences,
    )


def split_of(kind: str, parts: dict[str, str]) -> str:
    """Return the split of somebody who is made of some parts, in either world: that from which more is kept away.

    Args:
        kind: What kind of thing they are.
        parts: As ``subjects.json`` beside example photos lists them.
    """
    chosen = tuple(sorted(parts.items()))
    found = {first_identities.Identity(kind, chosen).split, identities.Identity(kind, chosen, ()).split}
    return next(split for split in ("test", "validation", "train") if split in found)
