"""Perceptual distances (LPIPS, arXiv 1801.03924), and diversity as their mean over pairs: DIV, Face Div."""

from collections.abc import Hashable, Sequence
from itertools import combinations

import torch
from PIL import Image
from torch import Tensor

from portraitist.evaluation.encoders import Encoder, MeasuresDistance

_EPSILON = 1e-10


def perceptual_distance(one: Sequence[Tensor], other: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Return the distances ``[n]`` of pictures by their feature maps.

    Every position's features are scaled to length one; the squared differences are weighted by channel, averaged over
    positions and added up over layers (equation 1 of the paper).

    Args:
        one: Maps ``[n, c_l, h_l, w_l]`` by layer.
        other: Maps of the pictures to compare with.
        weights: Weight of each channel by layer, ``[c_l]``.
    """
    total = torch.zeros(len(one[0]), dtype=one[0].dtype, device=one[0].device)
    for a, b, weight in zip(one, other, weights, strict=True):
        difference = (_unit(a) - _unit(b)).square()
        total += (difference * weight[:, None, None]).sum(1).mean((1, 2))
    return total


def _unit(maps: Tensor) -> Tensor:
    return maps / (maps.square().sum(1, keepdim=True).sqrt() + _EPSILON)


@torch.no_grad()
def pair_distances(encoder: Encoder, images: Sequence[Image.Image]) -> list[float]:
    """Return the distance of every pair of pictures, in the order of `itertools.combinations`."""
    assert isinstance(encoder, MeasuresDistance)
    if len(images) < 2:
        return []
    weights = encoder.channel_weights()
    maps = [encoder.feature_maps(encoder.preprocessing([image]).to(encoder.device)) for image in images]
    return [float(perceptual_distance(a, b, weights)) for a, b in combinations(maps, 2)]


def diversity(encoder: Encoder, images: Sequence[Image.Image], groups: Sequence[Hashable]) -> list[float]:
    """Return the distances of all pairs of pictures of one group.

    DIV takes pictures of the same subject and prompt as a group (DreamBooth, arXiv 2208.12242, section 4.3); Face Div
    takes all cropped faces (PhotoMaker, arXiv 2312.04461).

    Args:
        encoder: One with a perceptual distance.
        images: The pictures.
        groups: Which group each picture belongs to.
    """
    members: dict[Hashable, list[Image.Image]] = {}
    for image, group in zip(images, groups, strict=True):
        members.setdefault(group, []).append(image)
    return [distance for chosen in members.values() for distance in pair_distances(encoder, chosen)]
