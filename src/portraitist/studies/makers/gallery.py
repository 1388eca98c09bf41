"""Training identities as a hypernetwork sees them, with an adapter of each: what a photo is to be held against."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from portraitist.cache import cached, content_key
from portraitist.files import cache_folder
from portraitist.hypernetworks.difflora.comparing import nearest_known
from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.networks.contract import PhotoToAdapter, Wish
from portraitist.hypernetworks.predicting import Seer
from portraitist.hypernetworks.settings import SightSettings
from portraitist.hypernetworks.sight import LATENTS
from portraitist.hypernetworks.weights.vectors import WeightVectors
from portraitist.progress import track

_AT_ONCE = 16
_TRAIN = "train"
_CACHE = "galleries"
_DIRECTIONS, _NUMBERS = "directions", "numbers"


@dataclass(frozen=True)
class Gallery:
    """One photo of each training identity, and an adapter of them.

    Attributes:
        identities: The set.
        network: The hypernetwork.
        photos: Numbers of the photos.
        class_nouns: What each shows.
        directions: What is seen of each, of length one, ``[n, d]``.
        numbers: The adapters that the network was trained on; where it was trained on pictures, its predictions.
    """

    identities: IdentitySet
    network: PhotoToAdapter
    photos: tuple[int, ...]
    class_nouns: tuple[str, ...]
    directions: Tensor
    numbers: WeightVectors

    @classmethod
    def of(cls, seer: Seer, identities: IdentitySet, key: str) -> "Gallery":
        """Look at everybody whom a network may have been trained on; what is seen and predicted is kept in the cache.

        Args:
            seer: The hypernetwork.
            identities: A set; of its identities those for training, or all where none are.
            key: A hash of the network and the set.
        """
        network, trained_on = seer.hypernetwork.predictor, seer.hypernetwork.description.kinds
        members = identities.part(_TRAIN) if any(entry.split == _TRAIN for entry in identities) else identities
        if isinstance(network, WeightGenerator):
            members = members.good().with_targets().first(sum(trained_on.values()))
        photos = tuple(entry.different[0] for entry in members)
        found = cached(_CACHE, content_key(key), lambda: _look(seer, identities, photos))
        if isinstance(network, WeightGenerator):
            numbers = network.targets(members, cache_folder() / _CACHE)
        else:
            numbers = WeightVectors(found[_NUMBERS].float())
        nouns = tuple(entry.class_noun for entry in members)
        return cls(identities, network, photos, nouns, found[_DIRECTIONS].float(), numbers)

    def nearest(self, features: Mapping[str, Tensor], settings: SightSettings, class_noun: str) -> int:
        """Return who of the training identities looks most like a photo to the network.

        Args:
            features: What is seen of that photo, ``[1, tokens, width]`` by source.
            settings: What is seen.
            class_noun: What it shows; only such identities are considered, where there are any.
        """
        rows = self._rows(class_noun)
        likeness = self.directions[rows] @ direction(features, settings)[0]
        return rows[int(likeness.argmax())]

    def another(self, rng: np.random.Generator, class_noun: str) -> int:
        """Return any training identity of a class."""
        return int(rng.choice(self._rows(class_noun)))

    def picture(self, row: int) -> Image.Image:
        """Return the photo of a training identity."""
        return self.identities.picture(self.photos[row])

    def mean(self, class_noun: str) -> Tensor:
        """Return the mean adapter of a class, ``[P]``."""
        return self.numbers.only(self._rows(class_noun)).mean()

    def likeness(self, numbers: Tensor, class_noun: str) -> float:
        """Return a prediction's cosine to the most similar adapter of the class, all less their mean."""
        known = self.numbers.only(self._rows(class_noun))
        return float(nearest_known(self.network, numbers.float().cpu()[None], known, known.mean()).cosines[0])

    def _rows(self, class_noun: str) -> list[int]:
        own = [row for row, noun in enumerate(self.class_nouns) if noun == class_noun]
        return own or list(range(len(self.class_nouns)))


def direction(features: Mapping[str, Tensor], settings: SightSettings) -> Tensor:
    """Return the embeddings of all encoders, each of one length, as one of length one, ``[n, d]``; or the latents."""
    sources = settings.encoders or (LATENTS,)
    each = [F.normalize(features[name].float().flatten(1), dim=-1) for name in sources]
    return torch.cat(each, 1) / len(each) ** 0.5


@torch.no_grad()
def _look(seer: Seer, identities: IdentitySet, photos: tuple[int, ...]) -> dict[str, Tensor]:
    directions, numbers = [], []
    predictor, settings = seer.hypernetwork.predictor, seer.hypernetwork.description.recipe.sight
    taught = isinstance(predictor, WeightGenerator)  # by adapters, beside which predictions are of no interest
    with track(len(photos), "looking at training identities") as progress:
        for start in range(0, len(photos), _AT_ONCE):
            chosen = photos[start : start + _AT_ONCE]
            features = seer.sight.see([identities.picture(photo) for photo in chosen])
            directions.append(direction(features, settings))
            if not taught:
                alone = {name: values.unsqueeze(1).to(seer.base.device) for name, values in features.items()}
                numbers.append(predictor.predict(alone, Wish()).float().cpu())
            progress.advance(len(chosen))
    return {_DIRECTIONS: torch.cat(directions), **({} if taught else {_NUMBERS: torch.cat(numbers)})}
