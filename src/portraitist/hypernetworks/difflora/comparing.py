"""What drawn LoRAs are held against: the mean one, the nearest known ones, those between two persons, each other.

Networks that draw weights tend to repeat or to average what they were trained on (arXiv 2506.07998): every figure of
theirs belongs beside these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.networks.contract import Wish
from portraitist.hypernetworks.networks.memory import Features
from portraitist.hypernetworks.weights.changes import cosines
from portraitist.hypernetworks.weights.vectors import LoraVectors


@dataclass(frozen=True)
class Nearest:
    """Of each of n LoRAs the most similar known one.

    Attributes:
        places: Which, ``[n]``.
        cosines: How similar their changes are, less the mean LoRA's, ``[n]``: 1 is a replica.
    """

    places: Tensor
    cosines: Tensor


def nearest_known(network: WeightGenerator, vectors: Tensor, known: LoraVectors) -> Nearest:
    """Find the known LoRA whose change is most similar to that of each of some ``[n, P]``: memorisation."""
    centre, layout = network.standard.mean, network.layout
    found = torch.cat([cosines(layout, vectors, rows.to(vectors), centre) for _, rows in known.parts()], 1).max(1)
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
    likeness = _directions(mixer.standardised(features)) @ _directions(mixer.standardised(known)).T
    return loras[likeness.argmax(1)]


@torch.no_grad()
def between(
    network: WeightGenerator,
    first: Features,
    second: Features,
    shares: Sequence[float],
    wish: Wish | None = None,
    where: Literal["features", "latents"] = "features",
) -> Tensor:
    """Draw LoRAs on the way from one person to another, ``[shares, P]``, all from one noise.

    Args:
        network: Draws them.
        first: Features of the one's photos, ``[1, ...]``.
        second: Features of the other's.
        shares: Of the other, 0 to 1.
        wish: How they are drawn.
        where: Mixed are what the photos say, or the latents that are drawn of them.
    """
    wish = wish or Wish()
    generator, noise = network.generator, network.noise(1, wish.seed)
    ways = torch.tensor(list(shares)).unsqueeze(1).to(noise)
    one, other = (generator.features(each) for each in (first, second))
    if where == "features":
        photos = one + ways * (other - one)
        latents = generator.steered(photos, noise.expand(len(ways), -1), wish.sampling_steps, wish.guidance)
    else:
        one, other = (generator.steered(end, noise, wish.sampling_steps, wish.guidance) for end in (one, other))
        latents = one + ways * (other - one)
    return network.decode(latents)


def variety(network: WeightGenerator, vectors: Tensor) -> float:
    """Return how different LoRAs of one person are that several seeds drew, ``[seeds, P]``: 0 all the same.

    One less the mean cosine of their changes, pair by pair; the mean LoRA is not taken off.
    """
    found, count = cosines(network.layout, vectors, vectors), len(vectors)
    return float(1 - (found.sum() - found.diagonal().sum()) / (count * (count - 1)))


def _directions(features: Tensor) -> Tensor:
    return F.normalize(features.flatten(1), dim=-1)
