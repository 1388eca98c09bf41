"""Scoring: a subject's material and encoders to numbers, in memory; whole evaluations and studies build on it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import (
    EmbedsTexts,
    EncoderFacts,
    MeasuresDistance,
    facts,
    load_encoder,
    raw_embeddings,
)
from portraitist.evaluation.faces import FaceDetector, load_detector
from portraitist.evaluation.metrics import (
    FID,
    Embeddings,
    MetricInputs,
    Scores,
    check_roles,
    finds_faces,
    frechet_distance,
    get_metrics,
    needed_roles,
)
from portraitist.evaluation.reward import load_reward

# In place of a detector: faces are not looked for, whole pictures are compared.
NO_DETECTOR = "none"


def _load_detector(name: str, device: str) -> FaceDetector:
    if not Path(name).expanduser().exists():
        raise BadConfig(
            f"there is no face detector at {name}; give YuNet with --encoder detector=FILE (its"
            f" face_detection_yunet_2023mar.onnx), or --encoder detector={NO_DETECTOR} to compare whole pictures"
        )
    return load_detector(name, device)


# Tools that are no encoders of pictures alone.
_LOADERS: dict[str, Callable[[str, str], Any]] = {"detector": _load_detector, "reward": load_reward}


def load_tools(encoders: Mapping[str, str], metrics: Sequence[str], device: str = "cpu") -> dict[str, Any]:
    """Load what some metrics need.

    Args:
        encoders: Name, hub id or path by role; ``none`` as detector compares whole pictures.
        metrics: Names of the metrics.
        device: Where to put the networks.

    Returns:
        Encoders by role, with the detector of faces if one is given and needed, and the reward model.

    Raises:
        BadConfig: If a role is filled by nothing, or by something that cannot do it, or there is no such role.
    """
    check_roles(encoders)
    roles = needed_roles(metrics)
    for role in roles:
        if role not in encoders:
            raise BadConfig(f"no encoder was chosen for the role {role!r}; give one with --encoder {role}=NAME")
    if finds_faces(metrics) and encoders.get("detector", NO_DETECTOR) != NO_DETECTOR:
        roles.insert(0, "detector")
    tools = {role: _LOADERS.get(role, load_encoder)(encoders[role], device) for role in roles}
    if "perceptual" in tools and not isinstance(tools["perceptual"], MeasuresDistance):
        raise BadConfig(
            f"{encoders['perceptual']} has no perceptual distance; give toyland-dino or the weights of LPIPS"
        )
    if "clip_t" in metrics and not isinstance(tools["clip"], EmbedsTexts):
        raise BadConfig(
            f"{encoders['clip']} does not read text, which CLIP-T needs; give a CLIP with --encoder clip=NAME"
        )
    return tools


def tool_facts(tools: Mapping[str, Any]) -> dict[str, EncoderFacts]:
    """Return every tool's identity by role."""
    return {role: facts(tool) for role, tool in tools.items()}


def score_subject(material: MetricInputs, tools: Mapping[str, Any], metrics: Sequence[str]) -> dict[str, Scores]:
    """Measure one subject.

    Args:
        material: Its photos and pictures.
        tools: What `load_tools` gave, or any encoders by role.
        metrics: Names of the metrics.

    Returns:
        Scores by metric; those that the material does not allow say why.
    """
    made = Embeddings(material, tools)
    return {metric.name: metric.measure(made) for metric in get_metrics(metrics)}


def score_set(materials: Sequence[MetricInputs], tools: Mapping[str, Any], metrics: Sequence[str]) -> dict[str, float]:
    """Measure all pictures together against all photos: FID, if it is wanted."""
    if FID not in metrics:
        return {}
    encoder = tools["inception"]
    pictures = raw_embeddings(encoder, [image for material in materials for image in material.pictures])
    photos = raw_embeddings(encoder, [image for material in materials for image in material.photos])
    return {FID: frechet_distance(pictures, photos)}


def flatten(scores: Mapping[str, Scores]) -> dict[str, float]:
    """Return all numbers by name, further numbers of a metric among them."""
    numbers: dict[str, float] = {}
    for name, found in scores.items():
        if found.value is not None:
            numbers[name] = found.value
        numbers.update(found.extras)
    return numbers


def prompt_deviation(scores: Mapping[str, Scores], groups: Sequence[Any]) -> dict[str, float]:
    """Return the standard deviation (n - 1) over prompts of the prompts' means, by metric."""
    deviations = {}
    for name, found in scores.items():
        if len(found.per_picture) != len(groups):
            continue
        values: dict[Any, list[float]] = {}
        for group, value in zip(groups, found.per_picture, strict=True):
            values.setdefault(group, []).append(value)
        if len(values) > 1:
            deviations[name] = float(np.std([np.mean(group) for group in values.values()], ddof=1))
    return deviations
