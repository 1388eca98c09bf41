"""One run of a study: get the adapter, make the pictures, score them; or score what runs are compared with."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import mean

from PIL import Image
from safetensors.torch import save

from portraitist.adapters import Adapter, save_adapter
from portraitist.bases import Base
from portraitist.errors import BadConfig, PortraitistError, TrainingInterrupted
from portraitist.evaluation.protocol import fill
from portraitist.generation import SamplingConfig, generate
from portraitist.photos import encode_png
from portraitist.studies.grid.specs import RunSpec, digest
from portraitist.studies.grid.study import thin
from portraitist.studies.grid.variants import PHOTOS_THEMSELVES, UNTRAINED_BASE
from portraitist.studies.makers import find_maker
from portraitist.studies.runs.outcome import CurvePoint, RunOutcome, failure
from portraitist.studies.runs.processes import base_of_process
from portraitist.studies.runs.scoring import Evidence, Scorer, make_scorer
from portraitist.training.subjects import Subject

# Beside a run's pictures: features of these and of the photos that they are compared with.
FEATURES, OF_PICTURES, OF_PHOTOS = "features.safetensors", "pictures", "photos"
# Prompts of a point of a training curve, one picture each; more would cost more than the finished run does.
_CURVE_PROMPTS = 4


def execute(spec: RunSpec, device: str = "cpu") -> RunOutcome:
    """Make a run; whatever goes wrong in it becomes its outcome."""
    try:
        base, scorer = (
            base_of_process(spec.base, device),
            _scorer(spec.scorer, tuple(spec.encoders.items()), spec.metrics, device),
        )
        if base.fingerprint != spec.fingerprint:
            raise BadConfig(f"base {spec.base} has fingerprint {base.fingerprint} here, not {spec.fingerprint}")
        if digest(scorer.identity()) != spec.scorer_digest:
            raise BadConfig(f"scorer {spec.scorer} has other encoders here than where the study was planned")
        kinds = {PHOTOS_THEMSELVES: score_photos, UNTRAINED_BASE: score_base}
        return kinds.get(spec.method, run)(spec, base, scorer)
    except TrainingInterrupted:
        return RunOutcome(spec, "stopped")
    except PortraitistError as error:
        return failure(spec, str(error))
    except Exception as error:  # a study goes on without the run that broke, and shows why it did
        return failure(spec, error)


@lru_cache(maxsize=1)
def _scorer(name: str, encoders: tuple[tuple[str, str], ...], metrics: tuple[str, ...], device: str) -> Scorer:
    """Load the scorer of a process' runs, once."""
    return make_scorer(name, dict(encoders), metrics, device)


def run(spec: RunSpec, base: Base, scorer: Scorer) -> RunOutcome:
    """Get the adapter, make pictures of the subject and of its class, and score them."""
    started = time.monotonic()
    subject = read_subject(spec, base)
    judged = judged_photos(spec, base, subject)
    watch = _CurveRecorder(spec, base, subject, scorer, judged)
    made = find_maker(spec.method).make(base, subject, spec.recipe, [watch])
    prompts = [subject.prompt(prompt) for prompt in spec.prompts]
    found = _examine(spec, base, scorer, judged, prompts, made.adapter)
    return RunOutcome(
        spec,
        "done",
        scores={**found.scores, **made.measures},
        prompt_scores=found.prompt_scores,
        curve=watch.points(made.seconds),
        parameters=made.adapter.count(),
        file_bytes=_file_bytes(made.adapter),
        training_seconds=made.seconds,
        total_seconds=time.monotonic() - started,
        pictures=found.files,
    )


def score_base(spec: RunSpec, base: Base, scorer: Scorer) -> RunOutcome:
    """Score the base before it learns: pictures of the class, measured against the subject's photos."""
    started = time.monotonic()
    subject = read_subject(spec, base)
    prompts = [fill(prompt, subject.class_noun) for prompt in spec.prompts]
    judged = judged_photos(spec, base, subject)
    found = _examine(spec, base, scorer, judged, prompts, None)
    return RunOutcome(
        spec,
        "done",
        scores=found.scores,
        prompt_scores=found.prompt_scores,
        total_seconds=time.monotonic() - started,
        pictures=found.files,
    )


def score_photos(spec: RunSpec, base: Base, scorer: Scorer) -> RunOutcome:
    """Score every photo against the subject's others; only likeness to the subject means anything there.

    Where pictures are judged by photos that are not used, so are those that are.
    """
    started = time.monotonic()
    subject = read_subject(spec, base)
    judged = judged_photos(spec, base, subject)
    likeness = {metric.name for metric in scorer.metrics() if metric.aspect == "subject"}
    values: dict[str, list[float]] = {}
    for index, photo in enumerate(subject.photos):
        others = judged if spec.judged_by == "others" else [*judged[:index], *judged[index + 1 :]]
        if not others:
            continue
        evidence = Evidence(spec.subject, others, [f"a photo of a {spec.class_noun}"], [photo])
        for name, value in scorer.score(evidence).values.items():
            if name in likeness:
                values.setdefault(name, []).append(float(value))
    scores = {name: mean(each) for name, each in values.items()}
    return RunOutcome(spec, "done", scores=scores, total_seconds=time.monotonic() - started)


def read_subject(spec: RunSpec, base: Base) -> Subject:
    """Read the subject's photos, as many as the run is to use."""
    subject = Subject.from_folder(spec.photos, spec.class_noun, spec.token, base.family.resolution)
    if spec.photo_count is None:
        return subject
    if spec.photo_count > len(subject.photos):
        raise BadConfig(f"{spec.subject} has {len(subject.photos)} photos, but {spec.photo_count} are asked for")
    chosen = subject.paths[: spec.photo_count]
    return Subject.from_folder(chosen, spec.class_noun, spec.token, base.family.resolution)


def judged_photos(spec: RunSpec, base: Base, subject: Subject) -> Sequence[Image.Image]:
    """Return the photos that pictures are compared with: those that are used, or all others of the subject."""
    if spec.judged_by == "used":
        return subject.photos
    everything = Subject.from_folder(spec.photos, spec.class_noun, spec.token, base.family.resolution)
    return everything.photos[len(subject.photos) :]


class _CurveRecorder:
    """Scores a few pictures at evenly spread steps of training.

    The untrained adapter's are among them only if a maker calls for step 0: where training starts from something.
    """

    def __init__(
        self, spec: RunSpec, base: Base, subject: Subject, scorer: Scorer, judged: Sequence[Image.Image]
    ) -> None:
        self.spec, self.base, self.subject, self.scorer, self.judged = spec, base, subject, scorer, judged
        self.steps, count = int(spec.recipe.get("steps", 0)), spec.checkpoints
        self.due = {round(self.steps * index / count) for index in range(count + 1)} if count else set()
        self.scores: dict[int, dict[str, float]] = {}

    def __call__(self, completed: int) -> None:
        if completed not in self.due:
            return
        chosen = thin(self.spec.prompts, _CURVE_PROMPTS)
        # The adapter in training is attached already.
        pictures = _make(self.base, [self.subject.prompt(prompt) for prompt in chosen], self.spec, None, 1)
        evidence = _evidence(self.spec, self.judged, chosen, pictures)
        self.scores[completed] = {name: float(value) for name, value in self.scorer.score(evidence).values.items()}

    def points(self, training_seconds: float) -> tuple[CurvePoint, ...]:
        """Return the curve; steps of one run take equally long."""
        scored, each = sorted(self.scores.items()), training_seconds / max(1, self.steps)
        return tuple(CurvePoint(step, each * step, scores) for step, scores in scored)


@dataclass(frozen=True)
class _Examined:
    """What is known of an adapter's pictures: scores, those of each prompt, and the pictures as files."""

    scores: dict[str, float]
    prompt_scores: dict[str, list[float]]
    files: dict[str, bytes]


def _examine(
    spec: RunSpec,
    base: Base,
    scorer: Scorer,
    judged: Sequence[Image.Image],
    prompts: Sequence[str],
    adapter: Adapter | None,
) -> _Examined:
    """Make pictures of the subject and of its class, and score them."""
    class_prompts = [fill(prompt, spec.class_noun) for prompt in spec.class_prompts]
    pictures = _make(base, prompts, spec, adapter, spec.pictures)
    class_pictures = _make(base, class_prompts, spec, adapter, spec.pictures)
    evidence = _evidence(spec, judged, spec.prompts, pictures, class_pictures)
    scored = scorer.score(evidence)
    scores = {name: float(value) for name, value in scored.values.items()}
    whole = {name: values for name, values in scored.per_picture.items() if len(values) == len(pictures)}
    by_prompt = {name: _means(values, spec.pictures) for name, values in whole.items()}
    files = {**_named("subject", pictures, spec.pictures), **_named("class", class_pictures, spec.pictures)}
    if (features := scorer.features(pictures)) is not None:
        photos = scorer.features(judged)
        assert photos is not None
        files[FEATURES] = save({OF_PICTURES: features.half().contiguous(), OF_PHOTOS: photos.half().contiguous()})
    return _Examined(scores, by_prompt, files)


def _make(
    base: Base, prompts: Sequence[str], spec: RunSpec, adapter: Adapter | None, pictures: int
) -> list[Image.Image]:
    """Make every prompt's pictures, prompt by prompt, with seeds 0, 1, ..."""
    if not prompts:
        return []
    repeated = [prompt for prompt in prompts for _ in range(pictures)]
    seeds = list(range(pictures)) * len(prompts)
    config = SamplingConfig(**spec.sampling)
    made = generate(base, repeated, adapter, seeds=seeds, config=config, show_progress=False)
    return [picture.image for picture in made]


def _evidence(
    spec: RunSpec,
    judged: Sequence[Image.Image],
    prompts: Sequence[str],
    pictures: Sequence[Image.Image],
    class_pictures: Sequence[Image.Image] = (),
) -> Evidence:
    each = len(pictures) // len(prompts)
    texts = [fill(prompt, spec.class_noun) for prompt in prompts for _ in range(each)]
    return Evidence(spec.subject, judged, texts, pictures, class_pictures)


def _means(values: Sequence[float], each: int) -> list[float]:
    """Return the means of so many consecutive values each."""
    return [mean(values[start : start + each]) for start in range(0, len(values), each)]


def _file_bytes(adapter: Adapter) -> int:
    """Return the bytes of the adapter's file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "adapter.safetensors"
        save_adapter(adapter, file)
        return file.stat().st_size


def picture_name(kind: str, prompt: int, seed: int) -> str:
    """Return a picture's file name: ``subject-02-0.png``."""
    return f"{kind}-{prompt:02d}-{seed}.png"


def _named(kind: str, pictures: Sequence[Image.Image], each: int) -> dict[str, bytes]:
    return {picture_name(kind, index // each, index % each): encode_png(image) for index, image in enumerate(pictures)}
