"""The exam: what is right, wrong and not asked; reports; the guidance."""

import json
from pathlib import Path

import pytest
import torch

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.generation import SamplingConfig
from portraitist.toyland.judges.exam import (
    CRITERIA,
    EXAM_SEED,
    PASS_MARKS,
    Score,
    choose_guidance,
    confuse,
    examine,
    grade,
)
from portraitist.toyland.judges.examiner import Examiner
from portraitist.toyland.judges.questions import HEADS, Answers

READ = {head: answers[0] for head, answers in HEADS.items()}
ONE = {"number": "one", "scene": "beach", "style": "photo", "centre kind": "person", "hat": "crown", "beard": "none"}
TWO = {
    "number": "two",
    "scene": "snow",
    "style": "photo",
    "left kind": "cat",
    "right kind": "robot",
    "right colour": "red",
}


def verdicts(asked: Answers, **read: str) -> dict[str, bool]:
    """Return what is asked, and whether a reading is right; names have low lines for blanks."""
    reading = {**READ, **asked, **{name.replace("_", " "): answer for name, answer in read.items()}}
    return {name: bool(score.right) for name, score in grade([asked], [reading]).items() if score.asked}


def test_what_is_asked_and_read_alike_is_right() -> None:
    assert verdicts(ONE) == dict.fromkeys(("kind", "scene", "number", "style", "hat", "beard"), True)
    assert verdicts(TWO) == dict.fromkeys(("scene", "composition", "company", "pair colour", "number", "style"), True)


def test_a_part_of_somebody_else_is_wrong() -> None:
    wrong = verdicts(ONE, centre_kind="cat")
    assert not wrong["kind"]
    assert not wrong["hat"]
    assert wrong["scene"]
    assert not verdicts(ONE, hat="beanie")["hat"]
    assert not verdicts(ONE, number="two")["beard"]


def test_sides_are_told_apart() -> None:
    turned = verdicts(TWO, left_kind="robot", right_kind="cat", left_colour="red")
    assert not turned["composition"]
    assert turned["company"]
    assert not turned["pair colour"]
    assert not verdicts(TWO, right_colour="blue")["pair colour"]
    uncoloured = {question: answer for question, answer in TWO.items() if "colour" not in question}
    assert "pair colour" not in verdicts(uncoloured)


def test_every_mark_is_of_a_measure() -> None:
    assert set(PASS_MARKS) <= set(CRITERIA)
    assert min(PASS_MARKS.values()) >= 0.9


def test_scores_have_intervals() -> None:
    low, high = Score(90, 100).interval
    assert (round(low, 4), round(high, 4)) == (0.8256, 0.9448)
    assert Score(0, 0).interval == (0.0, 1.0)
    assert [each.in_words for each in (Score(9, 10), Score(0, 0))] == ["90.0%", "-"]


def test_confusions_are_counted() -> None:
    two_instead = {**READ, **ONE, "number": "two"}
    counted = confuse([ONE, ONE, TWO], [{**READ, **ONE}, two_instead, {**READ, **TWO}])
    assert counted["kind"] == {"person": {"person": 1, "two subjects": 1}}
    assert counted["hat"] == {"crown": {"crown": 1, "two subjects": 1}}
    assert counted["scene"] == {"beach": {"beach": 2}, "snow": {"snow": 1}}


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    torch.manual_seed(0)
    return Examiner((8, 16, 16), 32).eval()


def test_a_base_is_examined(base: Base, examiner: Examiner, tmp_path: Path) -> None:
    drawn = {"drawings": (torch.zeros(2, 3, 128, 128, dtype=torch.uint8), [ONE, TWO])}
    report = examine(base, examiner, 6, SamplingConfig(1, 2.0, batch_size=4), drawn=drawn)
    assert not report.passed
    assert report.scores["scene"].asked == 6
    report.save(tmp_path)
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["settings"]["guidance"] == 2.0
    assert saved["examiner"]["drawings"]["scene"]["asked"] == 2
    page = (tmp_path / "report.md").read_text()
    assert "which hat, or none" in page
    assert "examiner on drawings" in page


def test_the_guidance_is_chosen_on_other_questions(base: Base, examiner: Examiner) -> None:
    chosen, reports = choose_guidance(base, examiner, (3.0, 1.5), count=3, steps=1)
    assert chosen in reports
    assert list(reports) == [1.5, 3.0]
    with pytest.raises(BadConfig, match="the exam's own questions"):
        choose_guidance(base, examiner, count=2, seed=EXAM_SEED)
    with pytest.raises(BadConfig, match="no guidance"):
        choose_guidance(base, examiner, ())
