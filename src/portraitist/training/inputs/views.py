"""Views: what is made of each photo for training; the whole, crops, mirror images, in squares or in its shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps

from portraitist.bases.families import Framing
from portraitist.photos import decode_photo
from portraitist.randomness import numpy_generator
from portraitist.training.inputs.companions import read_caption, read_mask
from portraitist.training.recipes import Recipe
from portraitist.training.subjects import Subject

# Sides of buckets are multiples of this, which every autoencoder and denoiser here divides (diffusers uses 64).
_BUCKET_STEP = 64
_MOST_ELONGATED = 2.0
_SMALLEST_AREA, _AS_NEAR = 0.75, 1.05
# What a mask shows at least half as bright as white is the subject.
_SUBJECT = 128


@dataclass(frozen=True)
class View:
    """One picture to train on.

    Attributes:
        picture: RGB pixels at their final size.
        framing: How it was cut.
        prompt: What it is called.
        mask: Where the subject is (white), of the same size; None where nothing is said.
        right: Pixels of the scaled photo right of the cut, where its mirror image begins; None where both sides are
            cut alike.
    """

    picture: Image.Image
    framing: Framing
    prompt: str
    mask: Image.Image | None = None
    right: int | None = None


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
        views += _views_of(subject, recipe, index, photo_prompt(subject, recipe, index, prompt))
    if recipe.mirror:
        views += [_mirrored(view) for view in views]
    return views


def photo_prompt(subject: Subject, recipe: Recipe, index: int, prompt: str) -> str:
    """Return what a photo is called: its caption if the recipe reads captions and it has one, else the prompt."""
    return read_caption(subject, subject.paths[index], prompt) if recipe.photos.captions else prompt


def _views_of(subject: Subject, recipe: Recipe, index: int, prompt: str) -> list[View]:
    settings, path, square = recipe.photos, subject.paths[index], subject.photos[index]
    mask = read_mask(path) if settings.masks else None
    if mask is None and not settings.crops and not settings.buckets:
        framing = subject.framings[index] if subject.framings else Framing.whole(square.height, square.width)
        return [View(square, framing, prompt)]
    photo, side = decode_photo(path), square.width
    size = bucket_size(photo.size, side) if settings.buckets else (side, side)
    within = _extent(mask) if mask is not None else None
    boxes = [_middle_box(photo.size, size, within)] if subject.fit == "crop" or settings.buckets else []
    rng = numpy_generator(recipe.seed, "crops", index)
    boxes += [_random_box(photo.size, size, settings.smallest_crop, rng, within) for _ in range(settings.crops)]
    views = [_cut(photo, mask, box, size, prompt) for box in boxes]
    if subject.fit == "pad" and not settings.buckets:
        padded = None if mask is None else ImageOps.pad(mask, square.size, Image.Resampling.LANCZOS, color=0)
        views.insert(0, View(square, Framing.whole(square.height, square.width), prompt, padded))
    return views


def bucket_size(photo: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the size (width, height) in which a photo of some size is trained: its shape, the base's area.

    Sides are multiples of 64 (of an eighth of the base's side where that is smaller), and no more than two to one. Of
    the sizes with three quarters of the area or more, it is the one nearest in shape; of those that are as near as
    `_AS_NEAR`, the largest.
    """
    step = min(_BUCKET_STEP, max(1, side // 8))
    aspect = min(max(photo[0] / photo[1], 1 / _MOST_ELONGATED), _MOST_ELONGATED)
    sides = range(step, int(side * _MOST_ELONGATED) + 1, step)
    sizes = [(w, h) for w in sides for h in sides if _SMALLEST_AREA * side * side <= w * h <= side * side]
    longest = [size for size in sizes if max(size) <= _MOST_ELONGATED * min(size)]

    def far(size: tuple[int, int]) -> tuple[float, int]:
        return max(abs(math.log(size[0] / size[1] / aspect)), math.log(_AS_NEAR)), -size[0] * size[1]

    return min(longest, key=far)


def crop_views(pictures: Sequence[Image.Image], smallest: float, seed: int, prompts: Sequence[str]) -> list[View]:
    """Return a crop of each picture at its own size, for validation where no photo can be spared."""
    rng = numpy_generator(seed, "validation crops")
    return [
        _cut(picture, None, _random_box(picture.size, picture.size, smallest, rng), picture.size, prompt)
        for picture, prompt in zip(pictures, prompts, strict=True)
    ]


def _cut(
    photo: Image.Image, mask: Image.Image | None, box: tuple[float, ...], size: tuple[int, int], prompt: str
) -> View:
    """Cut a box (left, top, right, bottom) out of a photo and its mask, at a size."""
    scale = size[0] / (box[2] - box[0])
    framing = Framing((photo.height, photo.width), (round(box[1] * scale), round(box[0] * scale)), (size[1], size[0]))
    pieces = [
        picture.resize(size, Image.Resampling.LANCZOS, box=tuple(box))  # type: ignore[arg-type]
        for picture in (photo, *([mask] if mask is not None else []))
    ]
    right = round((photo.width - box[2]) * scale)
    return View(pieces[0], framing, prompt, pieces[1] if mask is not None else None, right)


def _centred_box(photo: tuple[int, int], size: tuple[int, int]) -> tuple[float, ...]:
    """Return the largest box of a size's shape in the middle of a photo."""
    scale = min(photo[0] / size[0], photo[1] / size[1])
    width, height = size[0] * scale, size[1] * scale
    left, top = (photo[0] - width) / 2, (photo[1] - height) / 2
    return left, top, left + width, top + height


def _extent(mask: Image.Image) -> tuple[int, int, int, int]:
    """Return the box (left, top, right, bottom) around the subject."""
    found = mask.point([255 * (value >= _SUBJECT) for value in range(256)]).getbbox() or mask.getbbox()
    return found or (0, 0, *mask.size)


def _places(length: float, whole: float, first: float, last: float) -> tuple[float, float]:
    """Return between which places a cut of a length may begin to show all from first to last, or nothing else."""
    least, most = sorted((last - length, first))
    return max(0.0, least), min(whole - length, most)


def _middle_box(
    photo: tuple[int, int], size: tuple[int, int], within: tuple[int, int, int, int] | None
) -> tuple[float, ...]:
    """Return the largest box of a size's shape, as near to the middle of a photo as the subject allows."""
    left, top, right, bottom = _centred_box(photo, size)
    if within is None:
        return left, top, right, bottom
    width, height = right - left, bottom - top
    (least_x, most_x), (least_y, most_y) = (
        _places(width, photo[0], within[0], within[2]),
        _places(height, photo[1], within[1], within[3]),
    )
    x, y = min(max(left, least_x), most_x), min(max(top, least_y), most_y)
    return x, y, x + width, y + height


def _random_box(
    photo: tuple[int, int],
    size: tuple[int, int],
    smallest: float,
    rng: np.random.Generator,
    within: tuple[int, int, int, int] | None = None,
) -> tuple[float, ...]:
    """Return a box of a size's shape in a photo, on the subject, its side a random share of the largest one's."""
    left, top, right, bottom = _centred_box(photo, size)
    share = rng.uniform(smallest, 1)
    width, height = (right - left) * share, (bottom - top) * share
    across, down = (0.0, photo[0] - width), (0.0, photo[1] - height)
    if within is not None:
        across = _places(width, photo[0], within[0], within[2])
        down = _places(height, photo[1], within[1], within[3])
    x, y = rng.uniform(*across), rng.uniform(*down)
    return x, y, x + width, y + height


def _mirrored(view: View) -> View:
    mask = None if view.mask is None else ImageOps.mirror(view.mask)
    framing, left = view.framing, view.framing.crop[1]
    if view.right is not None:
        framing = replace(framing, crop=(framing.crop[0], view.right))
    return replace(view, picture=ImageOps.mirror(view.picture), mask=mask, framing=framing, right=left)
