"""What is measured of all pictures of a variant together: their Fréchet distance to the photos of all subjects."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from portraitist.evaluation.metrics import FID, frechet_distance
from portraitist.studies.runs.running import FEATURES, OF_PHOTOS, OF_PICTURES
from portraitist.studies.runs.table import RunRecord, RunTable


def set_scores(runs: Iterable[RunRecord], table: RunTable) -> dict[str, float]:
    """Return what runs come to together, by metric; nothing where the features of one of them are not there."""
    files = sorted((run.subject, str(table.picture_path(run.key, FEATURES))) for run in runs)
    if not files or not all(Path(path).exists() for _, path in files):
        return {}
    return {FID: _distance(tuple(files))}


@lru_cache(maxsize=256)
def _distance(files: tuple[tuple[str, str], ...]) -> float:
    """Return the distance of the pictures in some files to the photos there, each subject's once."""
    pictures: list[Tensor] = []
    photos: dict[str, Tensor] = {}
    for subject, path in files:
        features = load_file(path)
        pictures.append(features[OF_PICTURES])
        photos[subject] = features[OF_PHOTOS]
    return frechet_distance(torch.cat(pictures).float(), torch.cat(list(photos.values())).float())
