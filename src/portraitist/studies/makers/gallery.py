"""Training identities as a hypernetwork sees them, and what it predicts of each: what a photo is to be held against."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from portraitist.cache import cached, content_key
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.networks.contract import Wish
from portraitist.hypernetworks.predicting import Seer
from portraitist.hypernetworks.settings import SightSettings
from portraitist.hypernetworks.sight import LATENTS
from portraitist.progress import track

_AT_ONCE = 16
_TRAIN = "train"


@dataclass(frozen=True)
class Gallery:
    """One photo of each training identity, and the prediction from it.

    Attributes:
        identities: The set.
        photos: Numbers of the photos.
        class_nouns: What each shows.
        directions: What is seen of each, of length one, ``[n, d]``.
        numbers: The predictions ``[n, P]``.
    """

    identities: IdentitySet
    photos: tuple[int, ...]
    class_nouns: tuple[str, ...]
    directions: Tensor
    numbers: Tensor

    @classmethod
    def of(cls, seer: Seer, identities: IdentitySet, key: str) -> "Gallery":
        """Look at everybody whom a network may have been trained on; what is seen and predicted is kept in the cache.

        Args:
            seer: The hypernetwork.
            identities: A set; of its identities those for training, or all where none are.
            key: A hash of the network and the set.
        """
        members = [entry for entry in identities if entry.split == _TRAIN] or list(identities)
        photos = tuple(entry.different[0] for entry in members)
        found = cached("galleries", content_key(key), lambda: _look(seer, identities, photos))
        nouns = tuple(entry.class_noun for entry in members)
        return cls(identities, photos, nouns, found["directions"].float(), found["numbers"].float())

    def nearest(self, features: Mapping[str, Tensor], settings: SightSettings, class_noun: str) -> Image.Image:
        """Return the photo of the training identity that looks most like another photo to the network.

        Args:
            features: What is seen of that photo, ``[1, tokens, width]`` by source.
            settings: What is seen.
            class_noun: What it shows; only such identities are considered, where there are any.
        """
        rows = self._rows(class_noun)
        likeness = self.directions[rows] @ direction(features, settings)[0]
        return self._picture(rows[int(likeness.argmax())])

    def another(self, rng: np.random.Generator, class_noun: str) -> Image.Image:
        """Return the photo of any training identity of a class."""
        return self._picture(int(rng.choice(self._rows(class_noun))))

    def mean(self, class_noun: str) -> Tensor:
        """Return the mean prediction of a class, ``[P]``."""
        return self.numbers[self._rows(class_noun)].mean(0)

    def likeness(self, numbers: Tensor, class_noun: str) -> float:
        """Return a prediction's cosine to the most similar one of the class, all less their mean."""
        known, mean = self.numbers[self._rows(class_noun)], self.mean(class_noun)
        return float(F.cosine_similarity(known - mean, (numbers.float().cpu() - mean)[None]).max())

    def _rows(self, class_noun: str) -> list[int]:
        own = [row for row, noun in enumerate(self.class_nouns) if noun == class_noun]
        return own or list(range(len(self.class_nouns)))

    def _picture(self, row: int) -> Image.Image:
        return self.identities.picture(self.photos[row])


def direction(features: Mapping[str, Tensor], settings: SightSettings) -> Tensor:
    """Return the embeddings of all encoders, each of one length, as one of length one, ``[n, d]``; or the latents."""
    sources = settings.encoders or (LATENTS,)
    each = [F.normalize(features[name].float().flatten(1), dim=-1) for name in sources]
    return torch.cat(each, 1) / len(each) ** 0.5


@torch.no_grad()
def _look(seer: Seer, identities: IdentitySet, photos: tuple[int, ...]) -> dict[str, Tensor]:
    directions, numbers = [], []
    predictor, settings = seer.hypernetwork.predictor, seer.hypernetwork.description.recipe.sight
    with track(len(photos), "predicting training identities") as progress:
        for start in range(0, len(photos), _AT_ONCE):
            chosen = photos[start : start + _AT_ONCE]
            features = seer.sight.see([identities.picture(photo) for photo in chosen])
            directions.append(direction(features, settings))
            alone = {name: values.unsqueeze(1).to(seer.base.device) for name, values in features.items()}
            numbers.append(predictor.predict(alone, Wish()).float().cpu())
            progress.advance(len(chosen))
    return {"directions": torch.cat(directions), "numbers": torch.cat(numbers)}
