"""Portraits: pictures of single subjects, for learning and measuring who is who; painted when they are asked for."""

from collections.abc import Sequence

import torch
from torch import Tensor

from portraitist.randomness import numpy_generator
from portraitist.toyland.world.identities import KINDS, Identity, sample_identity
from portraitist.toyland.world.painting import Painter, plan
from portraitist.toyland.world.pictures import PictureSpec, sample_picture

_AT_ONCE = 128


def choose_identities(count: int, split: str, seed: int, kinds: Sequence[str] = KINDS) -> list[Identity]:
    """Choose different identities of a split, as many of each kind, kinds taking turns."""
    chosen: dict[Identity, None] = {}
    rng = numpy_generator(seed, f"identities {split}")
    while len(chosen) < count:
        chosen.setdefault(sample_identity(rng, split, kinds[len(chosen) % len(kinds)]))
    return list(chosen)


def sample_portraits(
    identities: Sequence[Identity], each: int, seed: int, style: str | None = None
) -> list[PictureSpec]:
    """Draw specifications of portraits, each in its own scene, pose and clothes.

    Args:
        identities: Who is to be seen.
        each: Pictures of each.
        seed: Seed of everything drawn.
        style: Style of all of them; None draws one for each, mostly photos.

    Returns:
        The first identity's portraits, the second's, and so on.
    """
    specs = []
    for identity in identities:
        rng = numpy_generator(seed, f"portraits of {identity.name}")
        specs += [sample_picture(rng, None, identities=(identity,), style=style) for _ in range(each)]
    return specs


def paint_portraits(
    painter: Painter, identities: Sequence[Identity], each: int, seed: int, style: str | None = None
) -> Tensor:
    """Paint portraits, uint8 ``[identities, each, 3, h, w]`` on the painter's device; see `sample_portraits`."""
    pictures = paint_batches(painter, sample_portraits(identities, each, seed, style))
    return pictures.view(len(identities), each, *pictures.shape[1:])


def paint_batches(painter: Painter, specs: Sequence[PictureSpec]) -> Tensor:
    """Paint any number of pictures, uint8 ``[n, 3, h, w]``, a few at a time."""
    starts = range(0, len(specs), _AT_ONCE)
    return torch.cat([painter.paint(plan(specs[start : start + _AT_ONCE])) for start in starts])
