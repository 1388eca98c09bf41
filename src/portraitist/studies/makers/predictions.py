"""What a hypernetwork predicts for a subject of a study, from whose photo: settings, and how they are met."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portraitist.adapters import Adapter, Attachment
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.files import sha256
from portraitist.hypernetworks.description import WEIGHTS, read_description
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
_KNOWN_ONES = ("another", "mean", "nearest")


class PredictionSettings(BaseModel):
    """Whose adapter is predicted, and by which network.

    Attributes:
        method: The maker's name in the study file.
        seed: Of what is drawn.
        hypernetwork: Its name, or its folder.
        weights: Hash of its weights; found out.
        sees: The encoders it sees with, their weights and preprocessing; found out.
        seen: Whose photo it sees: the subject's own, that of another training identity or of the one that looks most
            like it; or the mean prediction of the class.
        identities: Folder of the set it was trained on.
        members: Hash of who is in that; found out.
        guidance: How far to lead away from the adapter of nobody in particular.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    seed: int
    hypernetwork: str = ""
    weights: str = ""
    sees: tuple[str, ...] = ()
    seen: Literal["own", "another", "mean", "nearest", "nothing"] = "own"
    identities: str | None = None
    members: str = ""
    guidance: float = Field(1.0, gt=0)

    def found(self, base: Base) -> dict[str, Any]:
        """Return all settings with what is to be found out about network and set.

        Raises:
            BadConfig: If there is no such network, none ships for the base, or the set that is needed is not given.
        """
        name = self.hypernetwork or shipped_for(base.fingerprint)
        if name is None:
            raise BadConfig(f"no hypernetwork ships for {base.name}; name one with `hypernetwork`")
        if self.seen in _KNOWN_ONES and self.identities is None:
            raise BadConfig(f"seen: {self.seen} needs `identities`, the set that the hypernetwork was trained on")
        facts = {
            "hypernetwork": name,
            "weights": _digest(locate(name) / WEIGHTS),
            "sees": tuple(str(encoder) for encoder in read_description(locate(name)).encoders),
        }
        if self.identities is not None:
            facts["members"] = _digest(Path(self.identities) / FILE)
        return {**self.model_dump(mode="json"), **facts}


def parse(kind: type[BaseModel], values: Mapping[str, Any]) -> Any:
    """Build a maker's settings from plain values.

    Raises:
        BadConfig: If a setting is unknown or of the wrong kind.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        wrong = "no setting has this name" if first["type"] == "extra_forbidden" else first["msg"]
        raise BadConfig(f"{values.get('method')}: {where}: {wrong}") from error


def predict(base: Base, subject: Subject, settings: PredictionSettings) -> Adapter:
    """Return the adapter that is asked for.

    Raises:
        BadConfig: If the network calls its subjects by another word.
    """
    seer = seer_of(settings.hypernetwork, settings.weights, base)
    if subject.token != (token := seer.hypernetwork.description.token):
        raise BadConfig(f"{settings.hypernetwork} calls its subjects {token!r}; set the study's token to that")
    noun = subject.class_noun
    if settings.seen == "mean":
        return seer.adapter(gallery_of(settings, base).mean(noun).to(base.device), noun, Wish()).adapter
    photos = subject.photos
    if settings.seen == "another":
        rng = numpy_generator(settings.seed, f"another than {subject.name}")
        photos = (gallery_of(settings, base).another(rng, noun),)
    if settings.seen == "nearest":
        features = seer.sight.see(subject.photos[:1])
        photos = (gallery_of(settings, base).nearest(features, seer.hypernetwork.description.recipe.sight, noun),)
    return seer.predict(photos, noun, settings.guidance, seed=settings.seed).adapter


def nearest_adapter(base: Base, subject: Subject, settings: PredictionSettings) -> dict[str, float]:
    """Return how similar the subject's prediction is to the most similar one of a training identity, where known."""
    if settings.identities is None or settings.seen != "own":
        return {}
    seer = seer_of(settings.hypernetwork, settings.weights, base)
    features = {name: values[None].to(base.device) for name, values in seer.sight.see(subject.photos).items()}
    numbers = seer.hypernetwork.predictor.predict(features, Wish(seed=settings.seed))[0]
    return {"nearest_adapter": gallery_of(settings, base).likeness(numbers, subject.class_noun)}


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
