"""From a study to its runs: what each run is to do, and the order that gives an answer early."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.photos import list_photos
from portraitist.studies.grid.drawing import require_spare_photos
from portraitist.studies.grid.sections import SubjectEntry
from portraitist.studies.grid.specs import RunSpec, digest
from portraitist.studies.grid.study import PHOTOS, Grid, Study
from portraitist.studies.grid.variants import Variant, interleave, references_of, running_order
from portraitist.studies.makers import find_maker


@dataclass(frozen=True)
class Cell:
    """A variant on a subject with a seed, and the run that fills it; variants that agree share runs."""

    variant: Variant
    subject: str
    seed: int
    spec: RunSpec


def plan(study: Study, base: Base, scorer: Mapping[str, Any]) -> list[Cell]:
    """Return all cells of a study, in the order in which they are to be run.

    Breadth first: all variants on the first subject, methods and grids in turn and values from coarse to fine; then the
    next subject, of another class where there is one.

    Args:
        study: The study.
        base: Its base, loaded.
        scorer: The identity of who scores.

    Raises:
        BadConfig: If a setting, method or subject of the study cannot work.
    """
    subjects = study.subject_entries()
    sampling = study.sampling.config().for_base(base)
    shared: dict[str, Any] = {
        "base": base.name,
        "fingerprint": base.fingerprint,
        "scorer": study.scorer,
        "encoders": study.encoders,
        "metrics": study.metrics,
        "scorer_digest": digest(scorer),
        "judged_by": study.judged_by,
        "sampling": {name: getattr(sampling, name) for name in ("steps", "guidance", "scheduler")},
    }
    read = {subject.name: _read_photos(subject) for subject in subjects}
    cells: list[Cell] = []
    for seed, subject in product(study.seeds, subjects):
        photos = read[subject.name]
        columns = [
            [_cell(study, base, shared, grid, variant, subject, photos, seed) for variant in running_order(grid)]
            for grid in study.grids
            if subject in subjects[: grid.subjects] and seed in study.seeds[: grid.seeds]
        ]
        cells += interleave(columns)
        if study.references and seed == study.seeds[0]:
            grids = [grid for grid in study.grids if subject in subjects[: grid.subjects]]
            cells += [
                _reference(study, shared, each, subject, photos) for grid in grids for each in references_of(grid)
            ]
    return cells


def unique_specs(cells: Sequence[Cell]) -> list[RunSpec]:
    """Return the runs of some cells, each once, in order."""
    return list({cell.spec.key: cell.spec for cell in cells}.values())


def nest(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into nested settings: ``{"method_config.rank": 8}`` to ``{"method_config": {"rank": 8}}``."""
    nested: dict[str, Any] = {}
    for name, value in settings.items():
        *path, last = name.split(".")
        place = nested
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise BadConfig(f"the study gives {step!r} both a value and parts")
        place[last] = value
    return nested


@dataclass(frozen=True)
class _Photos:
    """A subject's photo folder as it is found: a hash of its files, and how many photos there are."""

    digest: str
    count: int


def _read_photos(subject: SubjectEntry) -> _Photos:
    """Read a subject's files; captions and masks beside the photos count as well."""
    photos = list_photos(subject.photos) if subject.photos.is_dir() else []
    if not photos:
        raise BadConfig(f"the subject {subject.name} has no photos: {subject.photos} is not a folder with pictures")
    files = sorted(path for path in subject.photos.iterdir() if path.is_file() and not path.name.startswith("."))
    content = {path.name: hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() for path in files}
    return _Photos(digest(content), len(photos))


def _cell(
    study: Study,
    base: Base,
    shared: Mapping[str, Any],
    grid: Grid,
    variant: Variant,
    subject: SubjectEntry,
    photos: _Photos,
    seed: int,
) -> Cell:
    settings = {**study.fixed, **grid.fixed, **grid.settings_of(variant.method), **dict(variant.values)}
    photo_count = settings.pop(PHOTOS, None)
    if photo_count is not None and (not isinstance(photo_count, int) or photo_count < 1):
        raise BadConfig(f"grid {grid.name!r}: {PHOTOS} is a number of photos, not {photo_count!r}")
    if photo_count is not None and photo_count > photos.count:
        raise BadConfig(
            f"grid {grid.name!r} asks for {photo_count} photos, but {subject.name} has {photos.count}; ask for fewer"
        )
    if study.judged_by == "others":
        require_spare_photos(photos.count, photo_count)
    if "seed" in settings:
        raise BadConfig(f"grid {grid.name!r}: seeds belong in the study's `seeds`, not among its settings")
    method = grid.method_of(variant.method)
    recipe = find_maker(method).resolve(method, base, {**nest(settings), "seed": seed})
    spec = _spec(study, shared, subject, photos, recipe, photo_count, study.checkpoints)
    return Cell(variant, subject.name, seed, spec)


def _reference(
    study: Study, shared: Mapping[str, Any], reference: Variant, subject: SubjectEntry, photos: _Photos
) -> Cell:
    seed = study.seeds[0]
    # As many photos as are used elsewhere, where pictures are judged by the others.
    used = study.fixed.get(PHOTOS) if study.judged_by == "others" else None
    spec = _spec(study, shared, subject, photos, {"method": reference.method, "seed": seed}, used)
    return Cell(reference, subject.name, seed, spec)


def _spec(
    study: Study,
    shared: Mapping[str, Any],
    subject: SubjectEntry,
    photos: _Photos,
    recipe: dict[str, Any],
    photo_count: int | None = None,
    checkpoints: int = 0,
) -> RunSpec:
    return RunSpec(
        **shared,
        subject=subject.name,
        photos=str(subject.photos),
        photos_digest=photos.digest,
        photo_count=photo_count,
        class_noun=subject.class_noun,
        token=study.token,
        recipe=recipe,
        prompts=study.prompts_of(subject.class_noun),
        class_prompts=study.class_prompts,
        pictures=study.pictures,
        checkpoints=checkpoints,
    )
