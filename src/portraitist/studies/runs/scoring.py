"""Who scores the pictures of a run; a score is a name and a number, and studies know nothing else of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from portraitist.errors import BadConfig, MissingExtra
from portraitist.evaluation import MetricInputs, flatten, load_protocol, load_tools, score_subject, tool_facts
from portraitist.evaluation.encoders import raw_embeddings
from portraitist.evaluation.metrics import FID, get_metrics

COLOURS = "colours"
# What a metric speaks about; the report's headline compares subject with prompt fidelity.
Aspect = Literal["subject", "prompt", "drift", "diversity", "quality", "adapter"]


@dataclass(frozen=True)
class MetricInfo:
    """What the report must know of a score.

    Attributes:
        name: Its name among the scores.
        label: Its name for readers.
        aspect: What it speaks about.
        higher_is_better: Which way is good.
        meaning: One sentence for readers.
    """

    name: str
    label: str
    aspect: Aspect
    higher_is_better: bool = True
    meaning: str = ""


# What makers measure of their adapters, beside what scorers see in pictures.
OF_ADAPTERS = (
    MetricInfo(
        "nearest_adapter",
        "Nearest adapter",
        "adapter",
        higher_is_better=False,
        meaning=(
            "Cosine between a prediction and the most similar one of a training identity, or its adapter where the"
            " network learnt from adapters, both minus the mean of their kind; 1 is a copy."
        ),
    ),
    MetricInfo(
        "seed_variety",
        "Variety of seeds",
        "adapter",
        meaning="One minus the cosine between adapters that four seeds draw from one photo; 0 means always the same.",
    ),
)


# What is measured of all pictures of a variant together, against the photos of all subjects.
OF_SETS = MetricInfo(
    FID,
    "Fréchet distance",
    "quality",
    higher_is_better=False,
    meaning=(
        "Between the features of all pictures and of all subjects' photos; to be compared only within a table, whose"
        " variants have the same number of pictures."
    ),
)


@dataclass(frozen=True)
class Evidence:
    """What a run made.

    Attributes:
        subject: The subject's name.
        photos: Its photos.
        prompts: One prompt a picture, as a text encoder is to read it: without the token.
        pictures: The pictures.
        class_pictures: Pictures of the class, made with the adapter on.
    """

    subject: str
    photos: Sequence[Image.Image]
    prompts: Sequence[str]
    pictures: Sequence[Image.Image]
    class_pictures: Sequence[Image.Image] = ()


@dataclass(frozen=True)
class RunScores:
    """What a scorer found in a run's pictures.

    Attributes:
        values: Scores by name; those that the evidence does not allow are left out.
        per_picture: Of scores that are means over pictures, the values that they are means of, in order.
    """

    values: Mapping[str, float]
    per_picture: Mapping[str, Sequence[float]] = field(default_factory=dict)


class Scorer(Protocol):
    """Scores pictures. Two results may be compared only if their scorers' identities are equal."""

    def identity(self) -> Mapping[str, Any]:
        """Return JSON-able facts: encoders, their revisions, their preprocessing."""

    def metrics(self) -> Sequence[MetricInfo]:
        """Return what `score` may return."""

    def score(self, evidence: Evidence) -> RunScores:
        """Return the scores that the evidence allows."""

    def features(self, images: Sequence[Image.Image]) -> Tensor | None:
        """Return features ``[n, d]`` by which the pictures of all runs together are judged; None if they are not."""


class ColourScorer:
    """Compare colours only: needs no weights, and shows whether a run moved towards its subject at all.

    Colour match is the histogram intersection of Swain and Ballard (Color Indexing, IJCV 1991) over 8 x 8 x 8 bins,
    averaged over all pairs of photo and picture. Spread is the mean absolute difference between pictures of one prompt.
    """

    bins = 8

    def identity(self) -> Mapping[str, Any]:
        """Return the scorer's name and its bins."""
        return {"scorer": COLOURS, "bins": self.bins}

    def metrics(self) -> Sequence[MetricInfo]:
        """Return colour match, its drift, and spread."""
        match = "How far the colours of the pictures are those of the photos."
        return (
            MetricInfo("colour_match", "Colour match", "subject", meaning=match),
            MetricInfo(
                "class_colour_match",
                "Class colour match",
                "drift",
                higher_is_better=False,
                meaning="The same for pictures of the class, which should not have become the subject.",
            ),
            MetricInfo("spread", "Spread", "diversity", meaning="How much pictures of one prompt differ."),
        )

    def score(self, evidence: Evidence) -> RunScores:
        """Return the scores that the evidence allows."""
        photos = [self._histogram(photo) for photo in evidence.photos]
        matches = self._matches(photos, evidence.pictures)
        scores = {"colour_match": float(np.mean(matches))}
        if evidence.class_pictures:
            scores["class_colour_match"] = float(np.mean(self._matches(photos, evidence.class_pictures)))
        spread = _spread(evidence.prompts, evidence.pictures)
        return RunScores(scores if spread is None else {**scores, "spread": spread}, {"colour_match": matches})

    def features(self, images: Sequence[Image.Image]) -> None:
        """Return nothing: pictures are judged run by run."""

    def _matches(self, photos: Sequence[np.ndarray], pictures: Sequence[Image.Image]) -> list[float]:
        """Return each picture's mean match with all photos."""
        histograms = [self._histogram(picture) for picture in pictures]
        return [float(np.mean([np.minimum(photo, each).sum() for photo in photos])) for each in histograms]

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


class EncoderScorer:
    """The papers' metrics by a protocol's encoders (`portraitist.evaluation`)."""

    def __init__(self, encoders: Mapping[str, str], metrics: Sequence[str], device: str) -> None:
        self.names = tuple(name for name in metrics if name != FID)  # which needs more pictures than a run makes
        self.judges_sets = FID in metrics and "inception" in encoders
        self.tools = load_tools(encoders, (*self.names, FID) if self.judges_sets else self.names, device)

    def identity(self) -> Mapping[str, Any]:
        """Return the metrics, and name, weights and preprocessing of every encoder."""
        return {"metrics": list(self.names), **{role: str(facts) for role, facts in tool_facts(self.tools).items()}}

    def metrics(self) -> Sequence[MetricInfo]:
        """Return the metrics, the first of an aspect being its headline."""
        metrics = get_metrics(self.names)
        found = [MetricInfo(m.name, m.label, _ASPECTS[m.name], m.higher_is_better, m.meaning) for m in metrics]
        return [*found, OF_SETS] if self.judges_sets else found

    def score(self, evidence: Evidence) -> RunScores:
        """Return the scores that the evidence allows."""
        material = MetricInputs(
            evidence.subject, evidence.photos, evidence.pictures, evidence.prompts, evidence.class_pictures
        )
        found = score_subject(material, self.tools, self.names)
        return RunScores(flatten(found), {name: each.per_picture for name, each in found.items() if each.per_picture})

    def features(self, images: Sequence[Image.Image]) -> Tensor | None:
        """Return what the encoder in the role `inception` says of pictures, where all runs' together are judged."""
        return raw_embeddings(self.tools["inception"], images) if self.judges_sets else None


_ASPECTS: dict[str, Aspect] = {
    "feature_sim": "subject",
    "dino": "subject",
    "clip_i": "subject",
    "face_sim": "subject",
    "clip_t": "prompt",
    "r_precision": "prompt",
    "pres": "drift",
    "div": "diversity",
    "face_div": "diversity",
    "image_reward": "quality",
}


def has_encoder(scorer: str, encoders: Mapping[str, str], metric: str) -> bool:
    """Say whether what a metric needs is on this machine."""
    try:
        make_scorer(scorer, encoders, (metric,))
    except (BadConfig, MissingExtra):
        return False
    return True


def make_scorer(
    name: str, encoders: Mapping[str, str] | None = None, metrics: Sequence[str] = (), device: str = "cpu"
) -> Scorer:
    """Return a scorer.

    Args:
        name: ``colours``, or a protocol of `portraitist.evaluation` (or its YAML file), whose metrics and encoders
            are used.
        encoders: Other encoders by role.
        metrics: Other metrics.
        device: Where to put the encoders.

    Raises:
        BadConfig: If there is none of this name, or an encoder is not on this machine.
    """
    if name == COLOURS:
        return ColourScorer()
    try:
        protocol = load_protocol(name)
    except BadConfig as error:
        raise BadConfig(f"scorer {name!r}: {error}; {COLOURS} needs no encoders") from error
    return EncoderScorer({**protocol.encoders, **(encoders or {})}, metrics or protocol.metrics, device)
