"""The exam: prompts from the caption grammar, pictures of them, and how often the examiner reads what was asked."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.files import write_aside
from portraitist.generation import SamplingConfig, generate
from portraitist.markdown import table
from portraitist.randomness import derive_seed
from portraitist.toyland.judges.examiner import Examiner
from portraitist.toyland.judges.questions import PARTS, Answers, draw_questions

EXAM_SEED, GUIDANCE_SEED = 2024, 77
GUIDANCES = (1.5, 2.0, 3.0, 4.0, 5.0, 7.5)
STEPS = 25
# What the base model must reach to be worth shipping.
PASS_MARKS = {"kind": 0.98, "scene": 0.98, "colour": 0.97, "composition": 0.95, "style": 0.98}
PASS_MARKS |= dict.fromkeys(PARTS, 0.9)
_NORMAL_95 = 1.959964


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

    @property
    def in_words(self) -> str:
        """Return the accuracy as a percentage; a dash when nothing was asked."""
        return f"{self.accuracy:.1%}" if self.asked else "-"


# A measure says of an asked and a read picture: right, wrong, or (None) not asked.
Criterion = Callable[[Answers, Answers], bool | None]


def kinds(answers: Answers) -> tuple[str, ...]:
    """Return the kinds of the subjects, left to right."""
    places = ("centre",) if answers["number"] == "one" else ("left", "right")
    return tuple(answers[f"{place} kind"] for place in places)


def _kind(asked: Answers, read: Answers) -> bool | None:
    return kinds(read) == kinds(asked) if asked["number"] == "one" else None


def _composition(asked: Answers, read: Answers) -> bool | None:
    return kinds(read) == kinds(asked) if asked["number"] == "two" else None


def _company(asked: Answers, read: Answers) -> bool | None:
    return sorted(kinds(read)) == sorted(kinds(asked)) if asked["number"] == "two" else None


def _pair_colour(asked: Answers, read: Answers) -> bool | None:
    """Ask for every named colour at its side."""
    named = [place for place in ("left", "right") if f"{place} colour" in asked]
    return all(_agree(asked, read, place, f"{place} colour") for place in named) if named else None


def _of_one(question: str) -> Criterion:
    """Return the measure of a question about somebody who is alone; it is wrong of another kind."""
    return lambda asked, read: _agree(asked, read, "centre", question) if question in asked else None


def _agree(asked: Answers, read: Answers, place: str, question: str) -> bool:
    alike = all(read[head] == asked[head] for head in ("number", f"{place} kind"))
    return alike and read[question] == asked[question]


CRITERIA: dict[str, tuple[str, Criterion]] = {
    "kind": ("one subject, of the kind asked for", _kind),
    "scene": ("scene", lambda asked, read: read["scene"] == asked["scene"]),
    "colour": ("colour of a single robot", _of_one("centre colour")),
    "composition": ("two subjects, each kind on its side", _composition),
    "company": ("two subjects, either side", _company),
    "pair colour": ("robot's colour, in company", _pair_colour),
    "number": ("number of subjects", lambda asked, read: read["number"] == asked["number"]),
    "style": ("style", lambda asked, read: read["style"] == asked["style"]),
    "hair": ("a single person's hair style", _of_one("hair")),
    "hair colour": ("their hair's colour", _of_one("hair colour")),
    "beard": ("a beard or none", _of_one("beard")),
    "glasses": ("glasses or none", _of_one("glasses")),
    "hat": ("which hat, or none", _of_one("hat")),
    "held": ("what they hold, or nothing", _of_one("held")),
}
_CONFUSED = {"kind": "centre kind", "colour": "centre colour"} | {
    head: head for head in ("scene", "style", "hair", "hat", "held")
}


def grade(asked: Sequence[Answers], read: Sequence[Answers]) -> dict[str, Score]:
    """Count right answers by measure."""
    scores = {}
    for name, (_, measure) in CRITERIA.items():
        verdicts = [measure(a, r) for a, r in zip(asked, read, strict=True)]
        counted = [verdict for verdict in verdicts if verdict is not None]
        scores[name] = Score(sum(counted), len(counted))
    return scores


Confusion = dict[str, dict[str, int]]


def confuse(asked: Sequence[Answers], read: Sequence[Answers]) -> dict[str, Confusion]:
    """Count what was read for what was asked; of single subjects also that two were read instead."""
    tables: dict[str, Confusion] = {name: {} for name in _CONFUSED}
    for a, r in zip(asked, read, strict=True):
        for name, head in _CONFUSED.items():
            if head in a:
                alone = name in ("scene", "style") or r["number"] == "one"
                counts = tables[name].setdefault(a[head], {})
                seen = r[head] if alone else "two subjects"
                counts[seen] = counts.get(seen, 0) + 1
    return tables


@dataclass(frozen=True)
class ExamReport:
    """Result of an exam.

    Attributes:
        settings: The base's fingerprint, how pictures were sampled, from which seed, and the examiner's revision.
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

    def save(self, folder: Path) -> None:
        """Write the report as ``report.json`` and ``report.md``."""
        with write_aside(folder / "report.json") as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=2) + "\n")
        with write_aside(folder / "report.md") as temporary:
            temporary.write_text(self.markdown())

    def markdown(self) -> str:
        """Return the scores as a table, then the confusions, for the model card."""
        heads = ["question", "right", "95 % interval", "pass mark", "asked"]
        heads += [f"examiner on {name}" for name in self.examiner]
        rows = []
        for name, (question, _) in CRITERIA.items():
            score = self.scores[name]
            low, high = score.interval
            mark = f"{PASS_MARKS[name]:.0%}" if name in PASS_MARKS else ""
            span = f"{low:.1%} to {high:.1%}" if score.asked else "-"
            row = [question, score.in_words, span, mark, str(score.asked)]
            rows.append(row + [scores[name].in_words for scores in self.examiner.values()])
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


def examine(
    base: Base,
    examiner: Examiner,
    count: int = 2000,
    config: SamplingConfig | None = None,
    seed: int = EXAM_SEED,
    drawn: Mapping[str, tuple[Tensor, Sequence[Answers]]] | None = None,
) -> ExamReport:
    """Examine a base.

    Args:
        base: The text-to-image model.
        examiner: Who reads the pictures.
        count: Number of questions.
        config: How pictures are sampled; as usual for the base in 25 steps when not given.
        seed: Seed of questions and of every picture's starting noise.
        drawn: Drawn pictures, by what they are called, with the truth about them: what the examiner makes of them is
            the most that a generated picture can reach.
    """
    config = (config or SamplingConfig(steps=STEPS, batch_size=32)).for_base(base)
    questions = draw_questions(count, seed)
    seeds = [derive_seed(seed, "exam noise", index) for index in range(count)]
    prompts, asked = [question.prompt for question in questions], [question.answers for question in questions]
    readings = examiner.read(generate_tensor(base, prompts, seeds, config))
    own = {name: grade(truths, examiner.read(pictures)) for name, (pictures, truths) in (drawn or {}).items()}
    settings = {
        "base": base.fingerprint,
        "examiner": examiner.revision,
        "questions": count,
        "seed": seed,
        "steps": config.steps,
        "guidance": config.guidance,
        "scheduler": config.scheduler,
    }
    return ExamReport(settings, grade(asked, readings), confuse(asked, readings), own)


def generate_tensor(base: Base, prompts: Sequence[str], seeds: Sequence[int], config: SamplingConfig) -> Tensor:
    """Sample one picture for each prompt, uint8 ``[n, 3, h, w]``."""
    pictures = generate(base, prompts, seeds=seeds, config=config)
    images = np.stack([np.asarray(picture.image.convert("RGB")) for picture in pictures])
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def choose_guidance(
    base: Base,
    examiner: Examiner,
    candidates: Sequence[float] = GUIDANCES,
    count: int = 200,
    steps: int = STEPS,
    seed: int = GUIDANCE_SEED,
) -> tuple[float, dict[float, ExamReport]]:
    """Return the guidance with the best mean accuracy over the measures with a pass mark, and every report.

    All candidates get the same questions and noise, from another seed than the exam's. Of equals the weakest wins: it
    leaves the pictures the most varied.

    Raises:
        BadConfig: If there is nothing to choose from, or the questions would be the exam's own.
    """
    if not candidates:
        raise BadConfig("no guidance to choose from; give at least one candidate")
    if seed == EXAM_SEED:
        raise BadConfig("the guidance must not be chosen on the exam's own questions; give another seed")
    reports = {
        guidance: examine(base, examiner, count, SamplingConfig(steps, guidance, batch_size=32), seed)
        for guidance in sorted(candidates)
    }
    return max(reports, key=lambda guidance: reports[guidance].mean), reports
