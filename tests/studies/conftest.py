"""A study whose rows are made up, so that every part of a report has something to say and the truth is known."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from portraitist.bases import Base, load_base
from portraitist.bases.examples import list_examples
from portraitist.randomness import numpy_generator
from portraitist.studies.grid.planning import plan
from portraitist.studies.grid.specs import RunSpec
from portraitist.studies.grid.study import Study, parse_study
from portraitist.studies.grid.variants import Variant
from portraitist.studies.runs.engine import Prepared, study_facts
from portraitist.studies.runs.outcome import CurvePoint, RunOutcome
from portraitist.studies.runs.running import picture_name
from portraitist.studies.runs.scoring import Evidence, MetricInfo, RunScores
from portraitist.studies.runs.table import RunTable

STUDY: dict[str, Any] = {
    "title": "Three methods on eight subjects",
    "hypothesis": "Full weights and LoRA are within noise of each other, and svdiff is smaller than both.",
    "base": "tiny",
    "scorer": "colours",
    "subjects": [example.name for example in list_examples()][:8],
    "prompts": {
        "places": ["a photo of a {} on the beach", "a photo of a {} in space"],
        "styles": ["a poster of a {} in the forest"],
    },
    "class_prompts": ["a photo of a {}"],
    "checkpoints": 3,
    "sampling": {"steps": 2},
    "fixed": {"prior": "none"},
    "grids": [
        {"name": "Methods", "question": "Which is best?", "methods": ["full", "lora", "svdiff"]},
        {
            "name": "Learning rates",
            "methods": ["lora", "svdiff"],
            "subjects": 6,
            "settings": {"learning_rate": [1e-4, 1e-3, 1e-2, 1e-1]},
        },
        {"name": "Layers", "methods": ["svdiff"], "settings": {"layers": ["UNet", "UNet-CA", "Up-Blocks"]}},
    ],
}
# What the made-up runs are like: mean subject and prompt fidelity, drift, numbers, bytes, seconds.
TRUTH: dict[str, tuple[Any, ...]] = {
    "full": (0.80, 0.30, 0.66, 13_000_000, 52_000_000, 120.0),
    "lora": (0.80, 0.31, 0.60, 200_000, 812_000, 90.0),
    "svdiff": (0.70, 0.34, 0.52, 28_680, 180_000, 95.0),
    "photos": (0.90, 0.0, 0.0, None, None, None),
    "base": (0.40, 0.36, 0.50, None, None, None),
}


class MadeUpScorer:
    """Metrics of every aspect; it is never asked to score."""

    def identity(self) -> Mapping[str, Any]:
        return {"scorer": "made up", "encoder": "none"}

    def metrics(self) -> Sequence[MetricInfo]:
        return (
            MetricInfo("dino", "DINO", "subject", meaning="Likeness to the photos."),
            MetricInfo("clip_t", "CLIP-T", "prompt", meaning="Likeness to the prompt."),
            MetricInfo("pres", "PRES", "drift", higher_is_better=False, meaning="Likeness of the class."),
        )

    def score(self, evidence: Evidence) -> RunScores:
        raise AssertionError("the runs of this study are made up")

    def features(self, images: Sequence[Image.Image]) -> None:
        """Judge no sets."""


@pytest.fixture(scope="session")
def tiny_base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


def made_up_outcome(spec: RunSpec, variant: Variant) -> RunOutcome:
    """Return a run drawn around the truth; LoRA falls off over the learning rates, svdiff does not."""
    draws = numpy_generator(spec.seed, " ".join([spec.subject, ", ".join([variant.method, *variant.words])]))
    shared = numpy_generator(spec.seed, spec.subject).normal(0, 0.03)  # a subject is hard for all methods alike
    subject, prompt, drift, parameters, size, seconds = TRUTH[spec.method]
    settings = dict(variant.values)
    if "learning_rate" in settings and variant.method == "lora":
        subject -= 0.08 * abs(np.log10(settings["learning_rate"]) + 3)
    if "layers" in settings:
        subject -= 0.05 * ["UNet", "Up-Blocks", "UNet-CA"].index(settings["layers"])
    noise = draws.normal(0, 0.01, 3)
    scores = {"dino": subject + shared + noise[0], "clip_t": prompt + noise[1], "pres": drift + shared + noise[2]}
    # Posters are as much less like the subject than the mean of all as each place is more.
    by_prompt = {"dino": [float(scores["dino"] + change) for change in (0.1, 0.1, -0.2)]}
    by_prompt["clip_t"] = [float(scores["clip_t"])] * 3
    if seconds is None:
        wanted = scores if variant.method == "base" else {"dino": scores["dino"]}
        return RunOutcome(
            spec,
            "done",
            scores={name: float(value) for name, value in wanted.items()},
            prompt_scores=by_prompt if variant.method == "base" else {},
            total_seconds=1.0,
        )
    shares = [(1 / 3, 0.85), (2 / 3, 0.97), (1.0, 1.0)]
    curve = tuple(CurvePoint(round(share * 90), share * seconds, {"dino": scores["dino"] * v}) for share, v in shares)
    colour = tuple(int(value) for value in draws.integers(40, 220, 3))
    names = [picture_name("subject", index, 0) for index in range(len(spec.prompts))]
    return RunOutcome(
        spec,
        "done",
        scores={name: float(value) for name, value in scores.items()},
        prompt_scores=by_prompt,
        curve=curve,
        parameters=parameters,
        file_bytes=size,
        training_seconds=seconds,
        total_seconds=seconds * 1.5,
        pictures={name: _png(colour, index) for index, name in enumerate(names)},
    )


def _png(colour: tuple[int, ...], index: int) -> bytes:
    image = Image.new("RGB", (64, 64), colour)
    image.paste((255, 255, 255), (4 + 12 * index, 20, 24 + 12 * index, 44))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def make_up(folder: Path, base: Base, content: Mapping[str, Any] = STUDY) -> Prepared:
    """Plan a study and record made-up runs for all of it but one, which failed."""
    study = small_study(content)
    scorer = MadeUpScorer()
    prepared = Prepared(study, tuple(plan(study, base, scorer.identity())), scorer, RunTable(folder))
    prepared.table.write_facts(study_facts(study, base, scorer, {}))
    for cell in prepared.cells:
        prepared.table.record(made_up_outcome(cell.spec, cell.variant))
    broken = next(cell for cell in reversed(prepared.cells) if cell.variant.label == "svdiff (layers Up-Blocks)")
    prepared.table.record(RunOutcome(broken.spec, "failed", "the <loss> is not finite at step 3"))
    return prepared


def small_study(content: Mapping[str, Any] = STUDY, **changes: Any) -> Study:
    return parse_study({**content, **changes}, Path.cwd(), "the test")


@pytest.fixture(scope="session")
def made_up(tiny_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return make_up(tmp_path_factory.mktemp("made-up"), tiny_base)
