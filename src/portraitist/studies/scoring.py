"""Who scores the pictures of a run; a score is a name and a number, and studies know nothing else of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from portraitist.bases import Base
from portraitist.errors import BadConfig

# What a measure speaks about; the report's headline compares subject with prompt fidelity.
Role = Literal["subject", "prompt", "drift", "diversity", "quality"]


@dataclass(frozen=True)
class Measure:
    """What the report must know of a score.

    Attributes:
        name: Its name among the scores.
        label: Its name for readers.
        role: What it speaks about.
        higher_is_better: Which way is good.
        meaning: One sentence for readers.
    """

    name: str
    label: str
    role: Role
    higher_is_better: bool = True
    meaning: str = ""


@dataclass(frozen=True)
class Evidence:
    """What a run made.

    Attributes:
        photos: The subject's photos.
        class_noun: What the subject is.
        token: The rare word that means it.
        prompts: One prompt a picture, with the token.
        pictures: The pictures.
        class_prompts: One prompt a picture of the class, without the token.
        class_pictures: Pictures of the class, made with the adapter on.
    """

    photos: Sequence[Image.Image]
    class_noun: str
    token: str
    prompts: Sequence[str]
    pictures: Sequence[Image.Image]
    class_prompts: Sequence[str] = ()
    class_pictures: Sequence[Image.Image] = ()


class Scorer(Protocol):
    """Scores pictures. Two results may be compared only if their scorers' identities are equal."""

    def identity(self) -> Mapping[str, Any]:
        """Return JSON-able facts: encoders, their revisions, their preprocessing."""

    def measures(self) -> Sequence[Measure]:
        """Return what `score` may return."""

    def score(self, evidence: Evidence) -> Mapping[str, float]:
        """Return scores by name; those that the evidence does not allow are left out."""


class ColourScorer:
    """Compare colours only: needs no weights, and shows whether a run moved towards its subject at all.

    Colour match is the histogram intersection of Swain and Ballard (Color Indexing, IJCV 1991) over 8 x 8 x 8 bins,
    averaged over all pairs of photo and picture. Spread is the mean absolute difference between pictures of one prompt.
    """

    bins = 8

    def identity(self) -> Mapping[str, Any]:
        """Return the scorer's name and its bins."""
        return {"scorer": "colours", "bins": self.bins}

    def measures(self) -> Sequence[Measure]:
        """Return colour match, its drift, and spread."""
        match = "How far the colours of the pictures are those of the photos."
        return (
            Measure("colour_match", "Colour match", "subject", meaning=match),
            Measure(
                "class_colour_match",
                "Class colour match",
                "drift",
                higher_is_better=False,
                meaning="The same for pictures of the class, which should not have become the subject.",
            ),
            Measure("spread", "Spread", "diversity", meaning="How much pictures of one prompt differ."),
        )

    def score(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the scores that the evidence allows."""
        photos = [self._histogram(photo) for photo in evidence.photos]
        scores = {"colour_match": self._match(photos, evidence.pictures)}
        if evidence.class_pictures:
            scores["class_colour_match"] = self._match(photos, evidence.class_pictures)
        spread = _spread(evidence.prompts, evidence.pictures)
        return scores if spread is None else {**scores, "spread": spread}

    def _match(self, photos: Sequence[np.ndarray], pictures: Sequence[Image.Image]) -> float:
        histograms = [self._histogram(picture) for picture in pictures]
        return float(np.mean([np.minimum(a, b).sum() for a in photos for b in histograms]))

    def _histogram(self, image: Image.Image) -> np.ndarray:
        """Return the share of pixels in every bin of colours."""
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        counts, _ = np.histogramdd(pixels, bins=(self.bins,) * 3, range=((0, 256),) * 3)
        return np.asarray(counts / len(pixels))


def _spread(prompts: Sequence[str], pictures: Sequence[Image.Image]) -> float | None:
    """Return the mean absolute difference of pairs of one prompt, on [0, 1]; None without pairs."""
    arrays = [np.asarray(picture.convert("RGB"), dtype=np.float64) / 255 for picture in pictures]
    pairs = [
        float(np.abs(arrays[i] - arrays[j]).mean())
        for i in range(len(prompts))
        for j in range(i)
        if prompts[i] == prompts[j]
    ]
    return float(np.mean(pairs)) if pairs else None


ScorerFactory = Callable[[Base], Scorer]
_SCORERS: dict[str, ScorerFactory] = {"colours": lambda base: ColourScorer()}


def list_scorers() -> list[str]:
    """Return the names a study may give as its scorer."""
    return sorted(_SCORERS)


def make_scorer(name: str, base: Base) -> Scorer:
    """Return a scorer by name.

    Raises:
        BadConfig: If there is none, naming those there are.
    """
    if name not in _SCORERS:
        near = get_close_matches(name, _SCORERS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(list_scorers())}"
        raise BadConfig(f"no scorer is named {name!r}; {hint}")
    return _SCORERS[name](base)
