"""The metrics of the field, as pure formulas on embeddings, and their registry."""

from portraitist.evaluation.metrics.frechet import frechet_distance
from portraitist.evaluation.metrics.metric import ROLES, Embeddings, Metric, MetricInputs, Scores
from portraitist.evaluation.metrics.perceptual import diversity, perceptual_distance
from portraitist.evaluation.metrics.registry import (
    FID,
    METRICS,
    check_roles,
    finds_faces,
    get_metrics,
    higher_is_better,
    needed_roles,
)
from portraitist.evaluation.metrics.similarity import paired_cosine, pairwise_cosine, with_misses

__all__ = [
    "FID",
    "METRICS",
    "ROLES",
    "Embeddings",
    "Metric",
    "MetricInputs",
    "Scores",
    "check_roles",
    "diversity",
    "finds_faces",
    "frechet_distance",
    "get_metrics",
    "higher_is_better",
    "needed_roles",
    "paired_cosine",
    "pairwise_cosine",
    "perceptual_distance",
    "with_misses",
]
