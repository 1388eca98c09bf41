"""What a hypernetwork predicts for a subject of a study, from whose photo: settings, and how they are met."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from portraitist.adapters import Adapter, Attachment
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.files import sha256
from portraitist.hypernetworks.description import WEIGHTS, read_description
from portraitist.hypernetworks.difflora.comparing import variety
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.identities.index import FILE
from portraitist.hypernetworks.networks.contract import Wish
from portraitist.hypernetworks.predicting import Seer
from portraitist.hypernetworks.saved import load_hypernetwork, locate, shipped_for
from portraitist.randomness import numpy_generator
from portraitist.studies.makers.gallery import Gallery
from portraitist.training.loop.loop import Callback
from portraitist.training.subjects import Subject

_DIGITS = 16
# Those for whom the set is needed that the network was trained on.
_KNOWN_ONES = ("another", "nearest", "mean", "neighbour")
# Adapters that are drawn of one photo to tell how different they are.
_SEEDS = 4


class PredictionSettings(BaseModel):
    """Whose adapter is predicted, and by which network.

    Attributes:
        method: The maker's name in the study file.
        seed: Of what is drawn.
        hypernetwork: Its name, or its folder.
        weights: Hash of its weights; found out.
        sees: The encoders it sees with, their weights and preprocessing; found out.
        seen: Whose photo it sees: the subject's own, that of another training identity or of the one that looks most
            like it. Or none: the mean adapter of the class is taken, or the adapter of the ``neighbour``, who looks
            most like it; those that the network was trained on, or else its predictions.
        share: How far on the way from the own photo to that other one.
        identities: Folder of the set it was trained on.
        members: Hash of who is in that; found out.
        guidance: How far to lead away from the adapter of nobody in particular.
        sampling_steps: In how many steps it is drawn, by networks that draw; as many as is usual when None.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    seed: int
    hypernetwork: str = ""
    weights: str = ""
    sees: tuple[str, ...] = ()
    seen: Literal["own", "another", "nearest", "mean", "neighbour", "nothing"] = "own"
    share: float = Field(1.0, ge=0, le=1)
    identities: str | None = None
    members: str = ""
    guidance: float = Field(1.0, gt=0)
    sampling_steps: int | None = Field(None, gt=0)

    @property
    def wish(self) -> Wish:
        """Return how predictions are made."""
        return Wish(self.guidance, self.seed, self.sampling_steps)

    def found(self, base: Base) -> dict[str, Any]:
        """Return all settings with what is to be found out about network and set.

        Raises:
            BadConfig: If there is no such network, none ships for the base, the set that is needed is not given, or a
                share is of nothing.
        """
        name = self.hypernetwork or shipped_for(base.fingerprint)
        if name is None:
            raise BadConfig(f"no hypernetwork ships for {base.name}; name one with `hypernetwork`")
        if self.seen in _KNOWN_ONES and self.identities is None:
            raise BadConfig(f"seen: {self.seen} needs `identities`, the set that the hypernetwork was trained on")
        if self.share < 1 and self.seen not in ("another", "nearest"):
            raise BadConfig(
                f"share: {self.share:g} goes part of the way to another photo; seen: {self.seen} has no other"
            )
        facts = {
            "hypernetwork": name,
            "weights": _digest(locate(name) / WEIGHTS),
            "sees": tuple(str(encoder) for encoder in read_description(locate(name)).encoders),
        }
        if self.identities is not None:
            facts["members"] = _digest(Path(self.identities) / FILE)
        return {**self.model_dump(mode="json"), **facts}


def predict(base: Base, subject: Subject, settings: PredictionSettings) -> Adapter:
    """Return the adapter that is asked for.

    Raises:
        BadConfig: If the network calls its subjects by another word.
    """
    seer = seer_of(settings.hypernetwork, settings.weights, base)
    if subject.token != (token := seer.hypernetwork.description.token):
        raise BadConfig(f"{settings.hypernetwork} calls its subjects {token!r}; set the study's token to that")
    noun, sight = subject.class_noun, seer.hypernetwork.description.recipe.sight
    if settings.seen in ("own", "nothing"):
        return seer.predict(
            subject.photos, noun, settings.guidance, seed=settings.seed, sampling_steps=settings.sampling_steps
        ).adapter
    gallery, own = gallery_of(settings, base), seer.sight.see(subject.photos[:1])
    if settings.seen == "mean":
        numbers = gallery.mean(noun)
    elif settings.seen == "neighbour":
        numbers = gallery.numbers[[gallery.nearest(own, sight, noun)]][0]
    else:
        rng = numpy_generator(settings.seed, f"another than {subject.name}")
        chosen = gallery.another(rng, noun) if settings.seen == "another" else gallery.nearest(own, sight, noun)
        other = seer.sight.see([gallery.picture(chosen)])
        first, second = (_as_one_person(features, base) for features in (seer.sight.see(subject.photos), other))
        numbers = seer.hypernetwork.predictor.between(first, second, settings.share, settings.wish)[0]
    return seer.adapter(numbers.to(base.device), noun, settings.wish).adapter


def measured(base: Base, subject: Subject, settings: PredictionSettings) -> dict[str, float]:
    """Return how similar the subject's prediction is to the most similar known one, and how different seeds are.

    The first where the set is known that the network was trained on, the second where networks draw.
    """
    if settings.seen != "own":
        return {}
    seer = seer_of(settings.hypernetwork, settings.weights, base)
    predictor, found = seer.hypernetwork.predictor, {}
    features = _as_one_person(seer.sight.see(subject.photos), base)
    if settings.identities is not None:
        numbers = predictor.predict(features, settings.wish)[0]
        found["nearest_adapter"] = gallery_of(settings, base).likeness(numbers, subject.class_noun)
    if predictor.draws:
        seeds = range(settings.seed, settings.seed + _SEEDS)
        drawn = [predictor.predict(features, replace(settings.wish, seed=seed)) for seed in seeds]
        found["seed_variety"] = variety(predictor, torch.cat(drawn))
    return found


def _as_one_person(features: Mapping[str, Tensor], base: Base) -> dict[str, Tensor]:
    """Return the features of photos as those of one person, ``[1, photos, tokens, width]`` by source."""
    return {name: values.unsqueeze(0).to(base.device) for name, values in features.items()}


def look_before(base: Base, adapter: Adapter, callbacks: tuple[Callback, ...]) -> None:
    """Let callbacks see an adapter before its first step."""
    if not callbacks:
        return
    attachment = Attachment(base.components).attach(adapter.to(base.device))
    try:
        for callback in callbacks:
            callback(0)
    finally:
        attachment.detach()


@lru_cache(maxsize=2)
def seer_of(hypernetwork: str, weights: str, base: Base) -> Seer:
    """Load a hypernetwork, once in a process, for its runs."""
    return Seer(load_hypernetwork(hypernetwork, base.device), base)


def gallery_of(settings: PredictionSettings, base: Base) -> Gallery:
    """Open the gallery of a network and its set, once in a process."""
    assert settings.identities is not None
    return _gallery(settings.hypernetwork, settings.weights, settings.identities, settings.members, base)


@lru_cache(maxsize=2)
def _gallery(hypernetwork: str, weights: str, identities: str, members: str, base: Base) -> Gallery:
    seer = seer_of(hypernetwork, weights, base)
    return Gallery.of(seer, IdentitySet.open(identities), f"{weights} {members} {base.fingerprint}")


def _digest(path: Path) -> str:
    """Return a hash of a file.

    Raises:
        BadConfig: If it is not there.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise BadConfig(f"{path} cannot be read ({error.strerror}); is the folder complete?") from error
    return _digest_of(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=64)
def _digest_of(path: Path, changed: int, size: int) -> str:
    return sha256(path)[:_DIGITS]
