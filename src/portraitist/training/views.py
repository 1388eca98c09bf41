"""Views: what is made of each photo for training; the whole, crops, mirror images, in squares or in its shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps

from portraitist.bases.families import Framing
from portraitist.photos import decode_photo
from portraitist.randomness import numpy_generator
from portraitist.training.companions import read_caption, read_mask
from portraitist.training.recipes import Recipe
from portraitist.training.subjects import Subject

# Sides of buckets are multiples of this, which every autoencoder and denoiser here divides (diffusers uses 64).
_BUCKET_STEP = 64
_MOST_ELONGATED = 2.0


@dataclass(frozen=True)
class View:
    """One picture to train on.

    Attributes:
        picture: RGB pixels at their final size.
        framing: How it was cut.
        prompt: What it is called.
        mask: Where the subject is (white), of the same size; None where nothing is said.
    """

    picture: Image.Image
    framing: Framing
    prompt: str
    mask: Image.Image | None = None


def make_views(subject: Subject, recipe: Recipe, photos: Sequence[int], prompt: str) -> list[View]:
    """Return the views of some of a subject's photos.

    Args:
        subject: The subject.
        recipe: Says how many crops, whether mirrored, in buckets, with captions, with masks.
        photos: Positions of the photos.
        prompt: The prompt of those without a caption of their own.

    Raises:
        BadPhoto: If a mask does not fit its photo, or a photo is gone.
    """
    views: list[View] = []
    for index in photos:
        text = read_caption(subject, subject.paths[index], prompt) if recipe.photos.captions else prompt
        views += _views_of(subject, recipe, index, text)
    if recipe.mirror:
        views += [_mirrored(view) for view in views]
    return views


def _views_of(subject: Subject, recipe: Recipe, index: int, prompt: str) -> list[View]:
    settings, path, square = recipe.photos, subject.paths[index], subject.photos[index]
    mask = read_mask(path) if settings.masks else None
    if mask is None and not settings.crops and not settings.buckets:
        framing = subject.framings[index] if subject.framings else Framing.whole(square.height, square.width)
        return [View(square, framing, prompt)]
    photo, side = decode_photo(path), square.width
    size = bucket_size(photo.size, side) if settings.buckets else (side, side)
    boxes = [_centred_box(photo.size, size)] if subject.fit == "crop" or settings.buckets else []
    rng = numpy_generator(recipe.seed, "crops", index)
    boxes += [_random_box(photo.size, size, settings.smallest_crop, rng) for _ in range(settings.crops)]
    views = [_cut(photo, mask, box, size, prompt) for box in boxes]
    if subject.fit == "pad" and not settings.buckets:
        padded = None if mask is None else ImageOps.pad(mask, square.size, Image.Resampling.LANCZOS, color=0)
        views.insert(0, View(square, Framing.whole(square.height, square.width), prompt, padded))
    return views


def bucket_size(photo: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the size (width, height) in which a photo of some size is trained: its shape, the base's area.

    Sides are multiples of 64 (of an eighth of the base's side where that is smaller), and no more than two to one.
    """
    step = min(_BUCKET_STEP, max(1, side // 8))
    aspect = min(max(photo[0] / photo[1], 1 / _MOST_ELONGATED), _MOST_ELONGATED)
    width = max(step, round(side * math.sqrt(aspect) / step) * step)
    height = max(step, int(side * side / width / step) * step)
    return width, height


def crop_views(pictures: Sequence[Image.Image], smallest: float, seed: int, prompt: str) -> list[View]:
    """Return a crop of each picture at its own size, for validation where no photo can be spared."""
    rng = numpy_generator(seed, "validation crops")
    return [
        _cut(picture, None, _random_box(picture.size, picture.size, smallest, rng), picture.size, prompt)
        for picture in pictures
    ]


def _cut(
    photo: Image.Image, mask: Image.Image | None, box: tuple[float, ...], size: tuple[int, int], prompt: str
) -> View:
    """Cut a box (left, top, right, bottom) out of a photo and its mask, at a size."""
    scale = size[0] / (box[2] - box[0])
    framing = Framing((photo.height, photo.width), (round(box[1] * scale), round(box[0] * scale)), (size[1], size[0]))
    pieces = [
        each.resize(size, Image.Resampling.LANCZOS, box=tuple(box))  # type: ignore[arg-type]
        for each in (photo, *([mask] if mask is not None else []))
    ]
    return View(pieces[0], framing, prompt, pieces[1] if mask is not None else None)


def _centred_box(photo: tuple[int, int], size: tuple[int, int]) -> tuple[float, ...]:
    """Return the largest box of a size's shape in the middle of a photo."""
    scale = min(photo[0] / size[0], photo[1] / size[1])
    width, height = size[0] * scale, size[1] * scale
    left, top = (photo[0] - width) / 2, (photo[1] - height) / 2
    return left, top, left + width, top + height


def _random_box(
    photo: tuple[int, int], size: tuple[int, int], smallest: float, rng: np.random.Generator
) -> tuple[float, ...]:
    """Return a box of a size's shape somewhere in a photo, its side a random share of the largest one's."""
    left, top, right, bottom = _centred_box(photo, size)
    share = rng.uniform(smallest, 1)
    width, height = (right - left) * share, (bottom - top) * share
    x, y = rng.uniform(0, photo[0] - width), rng.uniform(0, photo[1] - height)
    return x, y, x + width, y + height


def _mirrored(view: View) -> View:
    mask = None if view.mask is None else ImageOps.mirror(view.mask)
    return replace(view, picture=ImageOps.mirror(view.picture), mask=mask)
