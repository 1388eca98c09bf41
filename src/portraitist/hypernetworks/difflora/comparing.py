"""What drawn LoRAs are held against: the mean one, the nearest known ones, each other.

Networks that draw weights tend to repeat or to average what they were trained on (arXiv 2506.07998): every figure of
theirs belongs beside these.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.networks.contract import PhotoToAdapter
from portraitist.hypernetworks.networks.memory import Features
from portraitist.hypernetworks.weights.vectors import WeightVectors


@dataclass(frozen=True)
class Nearest:
    """Of each of n LoRAs the most similar known one.

    Attributes:
        places: Which, ``[n]``.
        cosines: How similar their changes are, less the mean LoRA's, ``[n]``: 1 is a replica.
    """

    places: Tensor
    cosines: Tensor


def nearest_known(network: PhotoToAdapter, numbers: Tensor, known: WeightVectors, centre: Tensor) -> Nearest:
    """Find the known adapter whose change is most similar to that of each of some ``[n, P]``: memorisation.

    Args:
        network: Says how similar its adapters are.
        numbers: Of those that are asked about.
        known: Of those that it was trained on.
        centre: The mean of these, ``[P]``, which is taken off all.
    """
    parts = [network.likeness(numbers, rows.to(numbers), centre) for _, rows in known.parts()]
    found = torch.cat(parts, 1).max(1)
    return Nearest(found.indices, found.values)


def mean_loras(network: WeightGenerator, count: int) -> Tensor:
    """Return the mean LoRA for each of n persons, ``[n, P]``."""
    return network.standard.mean.expand(count, -1)


@torch.no_grad()
def nearest_by_photo(network: WeightGenerator, features: Features, known: Features, loras: Tensor) -> Tensor:
    """Return for each of n persons the LoRA of the known person whose photos look most like theirs, ``[n, P]``.

    Args:
        network: Standardises features.
        features: Of n persons' photos.
        known: Of N known persons' photos.
        loras: Of these, ``[N, P]``.
    """
    mixer = network.generator.features
    likeness = _directions(mixer.whitened(features)) @ _directions(mixer.whitened(known)).T
    return loras[likeness.argmax(1)]


def variety(network: PhotoToAdapter, numbers: Tensor) -> float:
    """Return how different adapters of one person are that several seeds drew, ``[seeds, P]``: 0 all the same.

    One less the mean cosine of their changes, pair by pair; the mean adapter is not taken off.
    """
    found, count = network.likeness(numbers, numbers), len(numbers)
    return float(1 - (found.sum() - found.diagonal().sum()) / (count * (count - 1)))


def _directions(features: Tensor) -> Tensor:
    return F.normalize(features.flatten(1), dim=-1)
