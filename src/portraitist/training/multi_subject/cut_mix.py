"""Collages of two subjects side by side, with prompts that agree (Cut-Mix of SVDiff, arXiv 2303.11305, section 3.3).

The paper mixes with probability 0.6, draws two subjects without replacement, and mixes prior images in the same way.
How a picture is brought into its half is our choice, and an option.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from portraitist.errors import BadConfig
from portraitist.training.recipes import CollageFit

# Of the samples; the paper found that mixing always does harm.
USUAL_PROBABILITY = 0.6

# "a photo of a sks cat on the left and a olo robot on the right", "a photo of a sks cat and a olo robot".
Wording = Literal["sides", "list"]
WORDINGS: tuple[Wording, ...] = get_args(Wording)


@dataclass(frozen=True)
class Sample:
    """Who is in a training sample: one subject, or two from left to right.

    Attributes:
        subjects: Positions in the list of subjects.
        photos: Which photo of each.
        prior: Which class image goes with it.
        wording: How a prompt names two.
    """

    subjects: tuple[int, ...]
    photos: tuple[int, ...]
    prior: int
    wording: Wording

    @property
    def is_mixed(self) -> bool:
        """Say whether two subjects are in it."""
        return len(self.subjects) == 2


def draw_sample(rng: np.random.Generator, photos: Sequence[int], priors: int, probability: float) -> Sample:
    """Sample a sample: a collage of two subjects in random order, or one subject alone.

    Args:
        rng: Source of randomness.
        photos: How many photos each subject has.
        priors: How many class images each class has.
        probability: Of a collage.
    """
    mixed = rng.random() < probability
    subjects = tuple(int(number) for number in rng.choice(len(photos), 2 if mixed else 1, replace=False))
    pictures = tuple(int(rng.integers(photos[subject])) for subject in subjects)
    return Sample(subjects, pictures, int(rng.integers(priors)), WORDINGS[rng.integers(len(WORDINGS))])


def prior_pair(index: int, count: int) -> tuple[int, int]:
    """Return which images of the left and the right class make prior collage `index`; never one image twice."""
    return index, (index + count // 2) % count


def collage(left: Image.Image, right: Image.Image, fit: CollageFit = "crop") -> Image.Image:
    """Put two pictures of one size side by side onto a canvas of that size.

    Args:
        left: The left picture.
        right: The right picture.
        fit: ``crop`` takes the middle of each, ``shrink`` all of it, smaller, its upper edge drawn out to the top.

    Raises:
        BadConfig: If their sizes differ, or the width is odd.
    """
    if left.size != right.size:
        raise BadConfig(f"a collage needs two pictures of the same size, not {_size(left)} and {_size(right)}")
    width, height = left.size
    if width % 2:
        raise BadConfig(f"a picture of {_size(left)} cannot be halved; its width must be even")
    canvas = Image.new("RGB", left.size)
    for picture, x in ((left, 0), (right, width // 2)):
        canvas.paste(_into_half(picture.convert("RGB"), (width // 2, height), fit), (x, 0))
    return canvas


def _into_half(picture: Image.Image, half: tuple[int, int], fit: CollageFit) -> Image.Image:
    if fit == "crop":
        return ImageOps.fit(picture, half, Image.Resampling.LANCZOS)
    small = ImageOps.contain(picture, half, Image.Resampling.LANCZOS)
    missing = half[1] - small.height
    padded = np.pad(np.asarray(small), ((missing, 0), (0, half[0] - small.width), (0, 0)), mode="edge")
    return Image.fromarray(padded)


def _size(picture: Image.Image) -> str:
    return f"{picture.width} x {picture.height}"


def side_masks(height: int, width: int) -> Tensor:
    """Return the masks of a collage's left and right half, ``[2, height, width]``, 1 inside."""
    left = torch.zeros(height, width)
    left[:, : width // 2] = 1
    return torch.stack([left, 1 - left])


def resize_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return masks ``[n, h, w]`` at another size, each value the share of the mask in its cell."""
    return F.interpolate(masks[None].float(), size=size, mode="area")[0]


def pair_prompt(template: str, left: str, right: str, wording: Wording) -> str:
    """Fill ``{}`` in a template with two names, from left to right.

    An article before ``{}`` is repeated: ``a photo of a {}`` becomes ``a photo of a sks cat and a olo robot``.

    Args:
        template: Prompt for one subject.
        left: Who is on the left, e.g. ``sks cat``.
        right: Who is on the right.
        wording: Whether sides are named.
    """
    found = re.search(r"\b(an?|the)\s+\{\}", template, re.IGNORECASE)
    article = f"{found[1].lower()} " if found else ""
    if wording == "sides":
        return template.replace("{}", f"{left} on the left and {article}{right} on the right")
    return template.replace("{}", f"{left} and {article}{right}")
