"""From a study to its runs: arms and references, what each run is to do, and the order that gives an answer early."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product, zip_longest
from typing import Any, TypeVar

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.photos import list_photos
from portraitist.studies.grid.study import PHOTOS, Grid, Study, SubjectEntry
from portraitist.studies.runs.scoring import Scorer
from portraitist.training.recipes import load_recipe

T = TypeVar("T")
# Where something lies decides nothing: photos and encoders are known by their digests.
_PLACES = ("photos", "scorer", "encoders")
# What an arm's scores lie between; nothing is trained for them. The first are DreamBooth's "real images" (its table 1).
PHOTOS_THEMSELVES, UNTRAINED_BASE = "photos", "base"
REFERENCES = {PHOTOS_THEMSELVES: "real photos", UNTRAINED_BASE: "untrained base"}


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: a method with the values a grid gives it.

    Attributes:
        grid: Name of the grid.
        method: Name of the method.
        values: The grid's settings with the values of this arm, in the grid's order.
    """

    grid: str
    method: str
    values: tuple[tuple[str, Any], ...] = ()

    @property
    def label(self) -> str:
        """Return words for tables: ``krona, learning rate 0.001``."""
        return ", ".join([self.method, *(f"{setting_words(name)} {value_words(value)}" for name, value in self.values)])

    def value(self, setting: str) -> Any:
        """Return the arm's value of a setting."""
        return dict(self.values)[setting]


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides one run; plain values, so that it can be hashed and sent to another process.

    Attributes:
        base: Name of the base.
        fingerprint: Its fingerprint.
        scorer: Who scores.
        encoders: Encoders by role, above the scorer's own.
        metrics: Metrics instead of the scorer's own.
        scorer_digest: A hash of the scorer's identity: what other encoders scored is another run.
        subject: The subject's name.
        photos: Folder of its photos.
        photos_digest: A hash of the files in it.
        photo_count: Use the first so many photos; None takes all.
        class_noun: What the subject is.
        token: The rare word.
        recipe: The resolved recipe, its seed included; of a reference only its name as the method, and a seed.
        prompts: Prompts with ``{}``.
        class_prompts: Prompts with ``{}`` for the class noun.
        pictures: Pictures of each prompt.
        sampling: Settings of sampling.
        checkpoints: How often pictures are scored during training.
    """

    base: str
    fingerprint: str
    scorer: str
    encoders: dict[str, str]
    metrics: tuple[str, ...]
    scorer_digest: str
    subject: str
    photos: str
    photos_digest: str
    photo_count: int | None
    class_noun: str
    token: str
    recipe: dict[str, Any]
    prompts: tuple[str, ...]
    class_prompts: tuple[str, ...]
    pictures: int
    sampling: dict[str, Any]
    checkpoints: int

    @property
    def key(self) -> str:
        """Return a short name that two runs share only if they are the same run, wherever the photos lie."""
        return digest({name: value for name, value in asdict(self).items() if name not in _PLACES})

    @property
    def method(self) -> str:
        """Return the name of the method, or of a reference."""
        return str(self.recipe["method"])

    @property
    def seed(self) -> int:
        """Return the seed of training."""
        return int(self.recipe["seed"])


@dataclass(frozen=True)
class Cell:
    """An arm on a subject with a seed, and the run that fills it; arms that agree share runs."""

    arm: Arm
    subject: str
    seed: int
    spec: RunSpec


def plan(study: Study, base: Base, scorer: Scorer) -> list[Cell]:
    """Return all cells of a study, in the order in which they are to be run.

    Breadth first: all arms on the first subject, methods and grids in turn and values from coarse to fine; then the
    next subject, of another class where there is one.

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
        "scorer_digest": digest(scorer.identity()),
        "sampling": {name: getattr(sampling, name) for name in ("steps", "guidance", "scheduler")},
    }
    read = {subject.name: _read_photos(subject) for subject in subjects}
    cells: list[Cell] = []
    for seed, subject in product(study.seeds, subjects):
        photos = read[subject.name]
        columns = [
            [_cell(study, base, shared, grid, arm, subject, photos, seed) for arm in _running_order(grid)]
            for grid in study.grids
            if subject in subjects[: grid.subjects] and seed in study.seeds[: grid.seeds]
        ]
        cells += interleave(columns)
        if study.references and seed == study.seeds[0]:
            grids = [grid for grid in study.grids if subject in subjects[: grid.subjects]]
            cells += [_reference(study, shared, arm, subject, photos) for grid in grids for arm in references_of(grid)]
    return cells


def unique_specs(cells: Sequence[Cell]) -> list[RunSpec]:
    """Return the runs of some cells, each once, in order."""
    return list({cell.spec.key: cell.spec for cell in cells}.values())


def digest(content: Mapping[str, Any]) -> str:
    """Return sixteen hexadecimal digits of JSON-able content."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()


def arms_of(grid: Grid) -> list[Arm]:
    """Return a grid's arms in the order of the study file."""
    combinations = product(*grid.settings.values())
    values = [tuple(zip(grid.settings, combination, strict=True)) for combination in combinations]
    return [Arm(grid.name, method, value) for method in grid.methods for value in values]


def references_of(grid: Grid) -> list[Arm]:
    """Return what a grid's arms are compared with."""
    return [Arm(grid.name, name) for name in REFERENCES]


def interleave(columns: Sequence[Sequence[T]]) -> list[T]:
    """Return one item of each column in turn."""
    missing = object()
    return [item for row in zip_longest(*columns, fillvalue=missing) for item in row if item is not missing]  # type: ignore[misc]


def coarse_to_fine(values: Sequence[T]) -> list[T]:
    """Order values so that the ends come first, then the middle, then the middles of what is left."""
    order = [0, len(values) - 1] if len(values) > 1 else [0] if values else []
    gaps = [(0, len(values) - 1)]
    for low, high in gaps:  # grows while it is walked
        middle = (low + high) // 2
        if middle not in (low, high):
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return [values[index] for index in order]


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


def setting_words(name: str) -> str:
    """Return a setting's name in words: ``method_config.out_factor`` is ``out factor``."""
    return name.rpartition(".")[2].replace("_", " ")


def value_words(value: Any) -> str:
    """Return a setting's value in words: no more digits of a number than it needs."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _running_order(grid: Grid) -> list[Arm]:
    """Return a grid's arms in the order of running: methods in turn, values from coarse to fine."""
    by_method = [
        coarse_to_fine([arm for arm in arms_of(grid) if arm.method == method]) for method in dict.fromkeys(grid.methods)
    ]
    return interleave(by_method)


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
    arm: Arm,
    subject: SubjectEntry,
    photos: _Photos,
    seed: int,
) -> Cell:
    settings = {**study.fixed, **grid.fixed, **dict(arm.values)}
    photo_count = settings.pop(PHOTOS, None)
    if photo_count is not None and (not isinstance(photo_count, int) or photo_count < 1):
        raise BadConfig(f"grid {grid.name!r}: {PHOTOS} is a number of photos, not {photo_count!r}")
    if photo_count is not None and photo_count > photos.count:
        raise BadConfig(
            f"grid {grid.name!r} asks for {photo_count} photos, and {subject.name} has {photos.count}; ask for fewer"
        )
    if "seed" in settings:
        raise BadConfig(f"grid {grid.name!r}: seeds belong into the study's `seeds`, not among its settings")
    overrides = {**nest(settings), "seed": seed}
    recipe = load_recipe(arm.method, base.name, base.family.name, overrides=overrides)
    spec = _spec(study, shared, subject, photos, recipe.model_dump(mode="json"), photo_count, study.checkpoints)
    return Cell(arm, subject.name, seed, spec)


def _reference(study: Study, shared: Mapping[str, Any], arm: Arm, subject: SubjectEntry, photos: _Photos) -> Cell:
    seed = study.seeds[0]
    return Cell(arm, subject.name, seed, _spec(study, shared, subject, photos, {"method": arm.method, "seed": seed}))


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
        prompts=study.prompts,
        class_prompts=study.class_prompts,
        pictures=study.pictures,
        checkpoints=checkpoints,
    )
