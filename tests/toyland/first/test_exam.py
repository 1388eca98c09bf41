"""The exam: counting, intervals, sampling, choosing the guidance, the report."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline

from portraitist.errors import BadConfig
from portraitist.toyland.first import exam
from portraitist.toyland.first.config import ToylandConfig
from portraitist.toyland.first.exam import (
    EXAM_SEED,
    MEASURES,
    PASS_MARKS,
    ExamReport,
    Score,
    choose_guidance,
    confuse,
    draw_questions,
    examine,
    grade,
)
from portraitist.toyland.first.examiner import Examiner, Reading
from portraitist.toyland.first.world.captions import ExamQuestion
from portraitist.toyland.first.world.dataset import load_dataset, write_dataset

ROBOT = ExamQuestion("a photo of a red robot in the snow", ("robot",), ("red",), "snow", "photo")
CAT = ExamQuestion("a poster of a cat on the beach", ("cat",), ("",), "beach", "poster")
BOTH = ExamQuestion("...", ("cat", "robot"), ("", "blue"), "space", "photo")


@pytest.fixture
def examiner(config: ToylandConfig) -> Examiner:
    return Examiner(config.examiner.channels, 64).eval()


def read(question: ExamQuestion, **other: Any) -> Reading:
    return Reading(
        **{**{k: getattr(question, k) for k in ("kinds", "colours", "scene", "style")}, **other},
    )


def counts(asked: Sequence[ExamQuestion], answers: Sequence[Reading]) -> dict[str, tuple[int, int]]:
    return {name: (score.right, score.asked) for name, score in grade(asked, answers).items()}


def test_everything_right_is_everything_asked() -> None:
    asked = [ROBOT, CAT, BOTH]
    assert counts(asked, [read(q) for q in asked]) == {
        "kind": (2, 2),
        "scene": (3, 3),
        "colour": (1, 1),
        "composition": (1, 1),
        "company": (1, 1),
        "pair colour": (1, 1),
        "number": (3, 3),
        "style": (3, 3),
    }


@pytest.mark.parametrize(
    ("question", "other", "wrong"),
    [
        (ROBOT, {"scene": "beach"}, {"scene"}),
        (ROBOT, {"style": "poster"}, {"style"}),
        (ROBOT, {"colours": ("blue",)}, {"colour"}),
        (ROBOT, {"kinds": ("cat",), "colours": ("",)}, {"kind", "colour"}),
        (ROBOT, {"kinds": ("robot", "robot"), "colours": ("red", "red")}, {"kind", "colour", "number"}),
        (CAT, {"kinds": ("person",)}, {"kind"}),
        (BOTH, {"kinds": ("robot", "cat"), "colours": ("blue", "")}, {"composition", "pair colour"}),
        (BOTH, {"kinds": ("cat", "person"), "colours": ("", "")}, {"composition", "company", "pair colour"}),
        (BOTH, {"colours": ("", "red")}, {"pair colour"}),
        (BOTH, {"kinds": ("cat",), "colours": ("",)}, {"composition", "company", "pair colour", "number"}),
    ],
)
def test_a_mistake_counts_where_it_was_made(question: ExamQuestion, other: dict[str, Any], wrong: set[str]) -> None:
    scores = grade([question], [read(question, **other)])
    assert {name for name, score in scores.items() if score.right < score.asked} == wrong


def test_a_colour_nobody_named_is_not_asked() -> None:
    sketch = ExamQuestion("...", ("robot", "cat"), ("", ""), "snow", "pencil sketch")
    scores = grade([sketch], [read(sketch, colours=("green", ""))])
    assert (scores["pair colour"].asked, scores["colour"].asked) == (0, 0)


@pytest.mark.parametrize(
    ("right", "asked", "low", "high"),
    [(95, 100, 0.8883, 0.9785), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1940, 2000, 0.9616, 0.9766)],
)
def test_intervals_are_wilsons(right: int, asked: int, low: float, high: float) -> None:
    assert Score(right, asked).interval == pytest.approx((low, high), abs=1e-4)


def test_nothing_asked_says_nothing() -> None:
    assert math.isnan(Score(0, 0).accuracy)
    assert Score(0, 0).interval == (0.0, 1.0)


def test_confusions_name_what_was_read() -> None:
    answers = [
        read(ROBOT, kinds=("cat",), colours=("",)),
        read(ROBOT, kinds=("cat", "cat"), colours=("", "")),
        read(CAT),
    ]
    tables = confuse([ROBOT, ROBOT, CAT], answers)
    assert tables["kind"] == {"robot": {"cat": 1, "two subjects": 1}, "cat": {"cat": 1}}
    assert tables["colour"] == {"red": {"no robot": 1, "two subjects": 1}}
    assert tables["scene"] == {"snow": {"snow": 2}, "beach": {"beach": 1}}


def test_questions_are_repeatable_and_cover_the_grammar() -> None:
    questions = draw_questions(400, EXAM_SEED)
    assert draw_questions(5, EXAM_SEED) == questions[:5]
    assert draw_questions(5, EXAM_SEED + 1) != questions[:5]
    blank = [Reading(("cat",), ("",), "", "")] * len(questions)
    assert all(score.asked > 10 for score in grade(questions, blank).values())


def test_an_exam_is_repeatable_whatever_the_batch(pipeline: StableDiffusionPipeline, examiner: Examiner) -> None:
    first = examine(pipeline, examiner, 5, steps=2, batch_size=2)
    assert examine(pipeline, examiner, 5, steps=2, batch_size=2) == first
    assert examine(pipeline, examiner, 5, steps=2, batch_size=5).scores == first.scores
    assert first.settings["questions"] == 5
    assert first.scores["scene"].asked == 5
    assert first.settings["base"] == exam.as_base(pipeline).fingerprint


def test_pictures_are_sampled_from_the_prompts(
    pipeline: StableDiffusionPipeline, examiner: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = draw_questions(30, 1)
    seen: list[np.ndarray] = []

    def know_all(images: np.ndarray) -> list[Reading]:
        seen.append(images)
        return [read(question) for question in questions]

    monkeypatch.setattr(examiner, "read", know_all)
    report = examine(pipeline, examiner, 30, steps=1, seed=1, guidance=1.0)
    assert report.passed
    assert seen[0].shape == (30, 64, 64, 3)
    assert len({image.tobytes() for image in seen[0]}) == 30


def test_the_examiner_is_examined_too(
    pipeline: StableDiffusionPipeline, examiner: Examiner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path, 6, "validation", seed=1)
    data = load_dataset(tmp_path)
    truth = [Reading.from_labels(labels) for labels in data.labels]
    # Knows drawn pictures, and nothing else.
    drawn = {image.tobytes(): answer for image, answer in zip(data.images, truth, strict=True)}
    unknown = Reading(("cat",), ("",), "", "")
    monkeypatch.setattr(examiner, "read", lambda images: [drawn.get(image.tobytes(), unknown) for image in images])
    report = examine(pipeline, examiner, 2, steps=1, validation=data)
    assert report.examiner["renders"]["scene"] == Score(6, 6)
    assert report.examiner["reconstructions"]["scene"] == Score(0, 6)


def report_with(accuracy: float) -> ExamReport:
    scores = {name: Score(round(100 * accuracy), 100) for name in MEASURES}
    return ExamReport({"questions": 100}, scores, {"kind": {"cat": {"cat": 9, "robot": 1}}}, {"renders": scores})


def test_the_best_guidance_is_chosen_and_of_equals_the_weakest(
    pipeline: StableDiffusionPipeline, examiner: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = {1.5: 0.5, 3.0: 0.9, 5.0: 0.9, 7.5: 0.8}
    seeds = []

    def known(
        pipeline: Any, examiner: Any, count: int, steps: int, guidance: float, seed: int, batch: int
    ) -> ExamReport:
        seeds.append(seed)
        return report_with(accuracies[guidance])

    monkeypatch.setattr(exam, "examine", known)
    best, reports = choose_guidance(pipeline, examiner, (7.5, 5.0, 3.0, 1.5), count=10)
    assert best == 3.0
    assert reports[5.0].mean == pytest.approx(0.9)
    assert len(set(seeds)) == 1
    assert EXAM_SEED not in seeds


def test_guidance_is_not_chosen_on_the_exam(pipeline: StableDiffusionPipeline, examiner: Examiner) -> None:
    with pytest.raises(BadConfig, match="another seed"):
        choose_guidance(pipeline, examiner, seed=EXAM_SEED)
    with pytest.raises(BadConfig, match="at least one"):
        choose_guidance(pipeline, examiner, ())


def test_every_mark_must_be_reached() -> None:
    assert report_with(0.98).passed
    good = report_with(0.98)
    for name, mark in PASS_MARKS.items():
        scores = {**good.scores, name: Score(math.ceil(1000 * mark) - 1, 1000)}
        assert not ExamReport(good.settings, scores, {}, {}).passed


def test_the_report_is_json_and_a_table(tmp_path: Path) -> None:
    report = report_with(0.93)
    report.save(tmp_path / "exam" / "report.json")
    stored = json.loads((tmp_path / "exam" / "report.json").read_text())
    assert stored["scores"]["kind"]["right"] == 93
    assert stored["scores"]["kind"]["interval"] == pytest.approx(Score(93, 100).interval)
    assert stored["passed"] is False
    lines = report.markdown().splitlines()
    assert lines[0] == "| question | right | 95 % interval | pass mark | asked | examiner on renders |"
    assert "| scene | 93.0% | 86.3% to 96.6% | 95% | 100 | 93.0% |" in lines
    assert "| cat | 9 | 1 |" in lines
    widths = {line.count("|") for line in lines[: len(MEASURES) + 2]}
    assert widths == {7}
