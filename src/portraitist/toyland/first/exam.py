"""The exam: prompts from the caption grammar, pictures of them, and how often the examiner reads what was asked."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import StableDiffusionPipeline

from portraitist.bases import Base
from portraitist.bases.families import StableDiffusion
from portraitist.errors import BadConfig
from portraitist.files import write_aside
from portraitist.generation import SamplingConfig, generate
from portraitist.markdown import table
from portraitist.randomness import derive_seed, numpy_generator
from portraitist.toyland.first.examiner import Examiner, Reading, reconstruct
from portraitist.toyland.first.world.captions import ExamQuestion, exam_question
from portraitist.toyland.first.world.dataset import Dataset

EXAM_SEED, GUIDANCE_SEED = 2024, 77
GUIDANCES = (1.5, 2.0, 3.0, 4.0, 5.0, 7.5)
# What the base model must reach to be worth shipping.
PASS_MARKS = {"kind": 0.97, "scene": 0.95, "colour": 0.92, "composition": 0.80}
_NORMAL_95 = 1.959964


# What a picture must show: as a prompt asks, or the truth about a drawn picture.
Answer = ExamQuestion | Reading


@dataclass(frozen=True)
class Score:
    """How many of the questions asked were right."""

    right: int
    asked: int

    @property
    def accuracy(self) -> float:
        """Return the share of right answers; nan when nothing was asked."""
        return self.right / self.asked if self.asked else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Return Wilson's 95 % interval (E. B. Wilson, Journal of the American Statistical Association 22, 1927)."""
        if not self.asked:
            return 0.0, 1.0
        n, p, z = self.asked, self.accuracy, _NORMAL_95
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - reach), min(1.0, centre + reach)


# A measure says of an asked and a read picture: right, wrong, or (None) not asked.
Measure = Callable[[Answer, Reading], bool | None]


def _kind(asked: Answer, read: Reading) -> bool | None:
    return read.kinds == asked.kinds if len(asked.kinds) == 1 else None


def _composition(asked: Answer, read: Reading) -> bool | None:
    return read.kinds == asked.kinds if len(asked.kinds) == 2 else None


def _company(asked: Answer, read: Reading) -> bool | None:
    return sorted(read.kinds) == sorted(asked.kinds) if len(asked.kinds) == 2 else None


def _colour(asked: Answer, read: Reading) -> bool | None:
    return read.colours == asked.colours if len(asked.kinds) == 1 and asked.colours[0] else None


def _pair_colour(asked: Answer, read: Reading) -> bool | None:
    """Ask for every named colour at its side."""
    if len(asked.kinds) == 1 or not any(asked.colours):
        return None
    if len(read.kinds) == 1:
        return False
    return all(a == r for a, r in zip(asked.colours, read.colours, strict=True) if a)


MEASURES: dict[str, tuple[str, Measure]] = {
    "kind": ("one subject, of the kind asked for", _kind),
    "scene": ("scene", lambda asked, read: read.scene == asked.scene),
    "colour": ("colour of a single robot", _colour),
    "composition": ("two subjects, each kind on its side", _composition),
    "company": ("two subjects, either side", _company),
    "pair colour": ("robot's colour, in company", _pair_colour),
    "number": ("number of subjects", lambda asked, read: len(read.kinds) == len(asked.kinds)),
    "style": ("style", lambda asked, read: read.style == asked.style),
}


def grade(asked: Sequence[Answer], read: Sequence[Reading]) -> dict[str, Score]:
    """Count right answers by measure."""
    scores = {}
    for name, (_, measure) in MEASURES.items():
        verdicts = [measure(a, r) for a, r in zip(asked, read, strict=True)]
        counted = [verdict for verdict in verdicts if verdict is not None]
        scores[name] = Score(sum(counted), len(counted))
    return scores


Confusion = dict[str, dict[str, int]]


def confuse(asked: Sequence[Answer], read: Sequence[Reading]) -> dict[str, Confusion]:
    """Count what was read for what was asked: kinds and robot colours of single subjects, scenes, styles."""
    tables: dict[str, Confusion] = {"kind": {}, "colour": {}, "scene": {}, "style": {}}
    for a, r in zip(asked, read, strict=True):
        cells = {"scene": (a.scene, r.scene), "style": (a.style, r.style)}
        if len(a.kinds) == 1:
            cells["kind"] = (a.kinds[0], r.kinds[0] if len(r.kinds) == 1 else "two subjects")
            if a.colours[0]:
                cells["colour"] = (a.colours[0], r.colours[0] or "no robot" if len(r.kinds) == 1 else "two subjects")
        for name, (row, column) in cells.items():
            counts = tables[name].setdefault(row, {})
            counts[column] = counts.get(column, 0) + 1
    return tables


@dataclass(frozen=True)
class ExamReport:
    """Result of an exam.

    Attributes:
        settings: The base's fingerprint, how pictures were sampled, and from which seed.
        scores: Right answers by measure.
        confusions: What was read for what was asked.
        examiner: The examiner's own scores on drawn pictures, by the kind of picture.
    """

    settings: Mapping[str, Any]
    scores: Mapping[str, Score]
    confusions: Mapping[str, Confusion]
    examiner: Mapping[str, Mapping[str, Score]]

    @property
    def mean(self) -> float:
        """Return the mean accuracy over the measures with a pass mark."""
        return float(np.nanmean([self.scores[name].accuracy for name in PASS_MARKS]))

    @property
    def passed(self) -> bool:
        """Say whether every pass mark was reached."""
        return all(self.scores[name].accuracy >= mark for name, mark in PASS_MARKS.items())

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return {
            "settings": dict(self.settings),
            "passed": self.passed,
            "scores": _scores_to_json(self.scores),
            "confusions": dict(self.confusions),
            "examiner": {name: _scores_to_json(scores) for name, scores in self.examiner.items()},
        }

    def save(self, path: Path) -> None:
        """Write the report as JSON."""
        with write_aside(path) as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=2) + "\n")

    def markdown(self) -> str:
        """Return the scores as a table, then the confusions, for the model card."""
        heads = ["question", "right", "95 % interval", "pass mark", "asked"]
        heads += [f"examiner on {name}" for name in self.examiner]
        rows = []
        for name, (question, _) in MEASURES.items():
            score = self.scores[name]
            low, high = score.interval
            mark = f"{PASS_MARKS[name]:.0%}" if name in PASS_MARKS else ""
            row = [question, f"{score.accuracy:.1%}", f"{low:.1%} to {high:.1%}", mark, str(score.asked)]
            rows.append(row + [f"{scores[name].accuracy:.1%}" for scores in self.examiner.values()])
        parts = [table(heads, rows)]
        for name, confusion in self.confusions.items():
            columns = sorted(set(confusion) | {read for counts in confusion.values() for read in counts})
            cells = [[row, *(str(confusion[row].get(c, "")) for c in columns)] for row in sorted(confusion)]
            parts.append(table([f"{name}: asked, read", *columns], cells))
        return "\n\n".join(parts) + "\n"


def _scores_to_json(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {
        name: {**asdict(score), "accuracy": score.accuracy if score.asked else None, "interval": score.interval}
        for name, score in scores.items()
    }


def draw_questions(count: int, seed: int) -> list[ExamQuestion]:
    """Draw the questions of an exam; a shorter exam of the same seed asks the first of them."""
    return [exam_question(numpy_generator(seed, "exam question", index)) for index in range(count)]


def examine(
    pipeline: StableDiffusionPipeline,
    examiner: Examiner,
    count: int = 2000,
    steps: int = 25,
    guidance: float = 4.0,
    seed: int = EXAM_SEED,
    batch_size: int = 32,
    scheduler: str = "dpm",
    validation: Dataset | None = None,
) -> ExamReport:
    """Examine a pipeline.

    Args:
        pipeline: The text-to-image model, in float32 or on a device that computes in its precision.
        examiner: Who reads the pictures.
        count: Number of questions.
        steps: Denoiser evaluations for a picture.
        guidance: Weight of classifier-free guidance.
        seed: Seed of questions and of every picture's starting noise.
        batch_size: Pictures sampled at once; does not change them.
        scheduler: A name of the family's samplers.
        validation: Drawn pictures on which the examiner's own accuracy is measured, as they are and as the pipeline's
            autoencoder gives them back, which is the most a generated picture can reach.
    """
    sampling = SamplingConfig(steps=steps, guidance=guidance, scheduler=scheduler, batch_size=batch_size)
    questions = draw_questions(count, seed)
    readings = examiner.read(_sample(pipeline, questions, seed, sampling))
    settings = {
        "base": as_base(pipeline).fingerprint,
        "questions": count,
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "scheduler": scheduler,
    }
    own = _examine_examiner(pipeline, examiner, validation) if validation is not None else {}
    return ExamReport(settings, grade(questions, readings), confuse(questions, readings), own)


def _sample(
    pipeline: StableDiffusionPipeline, questions: Sequence[ExamQuestion], seed: int, sampling: SamplingConfig
) -> np.ndarray:
    """Sample one picture for each question, uint8 ``[n, h, w, 3]``."""
    seeds = [derive_seed(seed, "exam noise", index) for index in range(len(questions))]
    pictures = generate(as_base(pipeline), [q.prompt for q in questions], seeds=seeds, config=sampling)
    return np.stack([np.asarray(picture.image.convert("RGB")) for picture in pictures])


def as_base(pipeline: StableDiffusionPipeline) -> Base:
    """Return a pipeline that is still being made as a base pictures can be sampled from."""
    pipeline.set_progress_bar_config(disable=True)
    return Base("toyland", StableDiffusion(pipeline))


def _examine_examiner(
    pipeline: StableDiffusionPipeline, examiner: Examiner, validation: Dataset
) -> dict[str, dict[str, Score]]:
    truth = [Reading.from_labels(labels) for labels in validation.labels]
    pictures = {"renders": validation.images, "reconstructions": reconstruct(pipeline.vae, validation.images)}
    return {name: grade(truth, examiner.read(images)) for name, images in pictures.items()}


def choose_guidance(
    pipeline: StableDiffusionPipeline,
    examiner: Examiner,
    candidates: Sequence[float] = GUIDANCES,
    count: int = 200,
    steps: int = 25,
    seed: int = GUIDANCE_SEED,
    batch_size: int = 32,
) -> tuple[float, dict[float, ExamReport]]:
    """Return the guidance with the best mean accuracy over the measures with a pass mark, and every report.

    All candidates get the same questions and noise, from another seed than the exam's. Of equals the weakest wins: it
    leaves the pictures the most varied.
    """
    if not candidates:
        raise BadConfig("no guidance to choose from; give at least one candidate")
    if seed == EXAM_SEED:
        raise BadConfig("the guidance must not be chosen on the exam's own questions; give another seed")
    reports = {
        guidance: examine(pipeline, examiner, count, steps, guidance, seed, batch_size)
        for guidance in sorted(candidates)
    }
    return max(reports, key=lambda guidance: reports[guidance].mean), reports
