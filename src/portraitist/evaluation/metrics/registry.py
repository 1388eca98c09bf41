"""All metrics of a subject's pictures, by name; FID alone is of whole sets."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np
from torch import Tensor

from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import EmbedsTexts, embed_images
from portraitist.evaluation.metrics.metric import ROLES, Embeddings, Metric, Scores
from portraitist.evaluation.metrics.perceptual import diversity
from portraitist.evaluation.metrics.similarity import cosine_to_each, paired_cosine, pairwise_cosine, with_misses

FID = "fid"
_LOWER_IS_BETTER = {FID, "face_misses"}
_NO_PROMPTS = "the prompts of the pictures are not known"


def _mean(values: Tensor | Sequence[float]) -> Scores:
    numbers = tuple(float(value) for value in values)
    return Scores(float(np.mean(numbers)), numbers)


def _dino(made: Embeddings) -> Scores:
    return _mean(pairwise_cosine(made.of("dino", "pictures"), made.of("dino", "photos")))


def _feature_sim(made: Embeddings) -> Scores:
    return _mean(pairwise_cosine(made.of("features", "pictures"), made.of("features", "photos")))


def _clip_i(made: Embeddings) -> Scores:
    return _mean(pairwise_cosine(made.of("clip", "pictures"), made.of("clip", "photos")))


def _clip_t(made: Embeddings) -> Scores:
    if missing := _unread(made):
        return Scores(None, missing=missing)
    return _mean(paired_cosine(made.of("clip", "pictures"), made.of_prompts()))


def _r_precision(made: Embeddings) -> Scores:
    """Count the pictures that are nearer to their own prompt than to all others' (AttnGAN, arXiv 1711.10485)."""
    if missing := _unread(made):
        return Scores(None, missing=missing)
    prompts, own = made.different_prompts
    if len(prompts) < 2:
        return Scores(None, missing="all pictures have the same prompt")
    cosines = cosine_to_each(made.of("clip", "pictures"), prompts)
    return _mean((cosines.argmax(1) == own.to(cosines.device)).double())


def _unread(made: Embeddings) -> str:
    """Say why prompts cannot be compared with pictures; empty if they can."""
    if not made.material.prompts:
        return _NO_PROMPTS
    reads = isinstance(made.encoder("clip"), EmbedsTexts)
    return "" if reads else f"{made.encoder('clip').name} does not read text"


def _pres(made: Embeddings) -> Scores:
    if not made.material.class_pictures:
        return Scores(None, missing="no class pictures")
    return Scores(float(pairwise_cosine(made.of("dino", "class_pictures"), made.of("dino", "photos")).mean()))


def _div(made: Embeddings) -> Scores:
    distances = diversity(made.encoder("perceptual"), made.material.pictures, made.material.groups)
    return Scores(float(np.mean(distances))) if distances else Scores(None, missing="no prompt has two pictures")


def _face_sim(made: Embeddings) -> Scores:
    """Compare faces; pictures without one are left out and counted. No detector: whole pictures."""
    photos, pictures = ([face for face in made.faces[part] if face is not None] for part in ("photos", "pictures"))
    if not photos:
        return Scores(None, missing="no face found in the photos")
    count = len(made.material.pictures)
    if not pictures:
        extras = {"face_sim_misses_zero": 0.0, "face_misses": 1.0}
        return Scores(None, extras=extras, missing="no face found in the pictures")
    encoder = made.encoder("identity")
    values = pairwise_cosine(embed_images(encoder, pictures), embed_images(encoder, photos))
    mean, zeroed, misses = with_misses(values, count)
    if "detector" not in made.tools:
        return Scores(mean, tuple(values.tolist()))
    whole = tuple(values.tolist()) if len(values) == count else ()
    return Scores(mean, whole, {"face_sim_misses_zero": zeroed, "face_misses": misses})


def _face_div(made: Embeddings) -> Scores:
    faces = [face for face in made.faces["pictures"] if face is not None]
    distances = diversity(made.encoder("perceptual"), faces, [0] * len(faces))
    return Scores(float(np.mean(distances))) if distances else Scores(None, missing="fewer than two faces")


def _image_reward(made: Embeddings) -> Scores:
    material = made.material
    if not material.prompts:
        return Scores(None, missing=_NO_PROMPTS)
    return _mean(made.tools["reward"].score(material.prompts, material.pictures))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("dino", "DINO", "dino", True, "Likeness to the subject, by self-supervised features.", _dino),
        Metric("clip_i", "CLIP-I", "clip", True, "Likeness to the subject, by CLIP's picture embeddings.", _clip_i),
        Metric("clip_t", "CLIP-T", "clip", True, "How well pictures follow their prompts, by CLIP.", _clip_t),
        Metric(
            "r_precision", "R-Precision", "clip", True,
            "Share of pictures that are nearer to their own prompt than to the others', by CLIP.", _r_precision,
        ),
        Metric(
            "face_sim", "Face Sim", "identity", True, "Likeness of faces, by a recognition network.", _face_sim,
            optional=("detector",),
        ),
        Metric(
            "feature_sim", "Feature Sim", "features", True,
            "Likeness to the subject, by features of any network, such as one of ImageNet's.", _feature_sim,
        ),
        Metric("pres", "PRES", "dino", False, "Likeness of class pictures to the subject: language drift.", _pres),
        Metric("div", "DIV", "perceptual", True, "How much pictures of one prompt differ.", _div),
        # The recognition network says how faces are cut out for both.
        Metric(
            "face_div", "Face Div", "perceptual", True, "How much the generated faces differ.", _face_div,
            optional=("detector", "identity"),
        ),
        Metric(
            "image_reward", "ImageReward", "reward", True, "What people are likely to prefer, given the prompt.",
            _image_reward,
        ),
    )
}  # fmt: skip


def get_metrics(names: Sequence[str]) -> list[Metric]:
    """Return metrics by name; ``fid`` is passed over.

    Raises:
        BadConfig: If there is none of a name, naming those there are.
    """
    for name in names:
        if name not in METRICS and name != FID:
            near = get_close_matches(name, [*METRICS, FID], 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join([*METRICS, FID])}"
            raise BadConfig(f"there is no metric {name!r}; {hint}")
    return [METRICS[name] for name in names if name != FID]


def higher_is_better(name: str) -> bool:
    """Say which way is good of a metric, or of a further number that one of them gives."""
    return METRICS[name].higher_is_better if name in METRICS else name not in _LOWER_IS_BETTER


def needed_roles(names: Sequence[str]) -> list[str]:
    """Return the roles whose encoders some metrics need."""
    roles = [metric.role for metric in get_metrics(names)]
    return list(dict.fromkeys([*roles, *(["inception"] if FID in names else [])]))


def finds_faces(names: Iterable[str]) -> bool:
    """Say whether one of some metrics looks for faces, where it is given a detector."""
    return any("detector" in METRICS[name].optional for name in names if name in METRICS)


def check_roles(roles: Iterable[str]) -> None:
    """Refuse roles that no encoder can have.

    Raises:
        BadConfig: Naming those there are.
    """
    for role in roles:
        if role not in ROLES:
            near = get_close_matches(role, ROLES, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(ROLES)}"
            raise BadConfig(f"there is no encoder role {role!r}; {hint}")
