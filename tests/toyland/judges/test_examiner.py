"""The examiner: reads every question, learns, is saved and refused when it answers others."""

import json
from pathlib import Path

import pytest
import torch

from portraitist.errors import BadFile
from portraitist.toyland.judges.config import JudgesConfig
from portraitist.toyland.judges.examiner import Examiner, ExaminerTask
from portraitist.toyland.judges.questions import HEADS, truth
from portraitist.toyland.judges.stream import sample_batch
from portraitist.toyland.world.painting import Painter, plan
from portraitist.training.loop.loop import Loop, LoopConfig


def small(side: int = 32) -> Examiner:
    torch.manual_seed(0)
    return Examiner((8, 16, 16), side)


def test_every_question_is_answered() -> None:
    examiner = small().eval()
    pictures = torch.randint(0, 256, (3, 3, 128, 128), dtype=torch.uint8)
    read = examiner.read(pictures, batch_size=2)
    assert len(read) == 3
    for answers in read:
        assert set(answers) == set(HEADS)
        assert all(answers[head] in HEADS[head] for head in HEADS)
    assert read[2] == examiner.read(pictures[2:])[0]


def test_an_examiner_is_saved_and_read_again(tmp_path: Path) -> None:
    examiner = small().half().float()
    examiner.save(tmp_path)
    again = Examiner.load(tmp_path)
    assert again.revision not in ("untrained", "")
    pixels = torch.rand(2, 3, 32, 32)
    for head, logits in examiner.eval()(pixels).items():
        torch.testing.assert_close(again(pixels)[head], logits)


def test_an_examiner_of_other_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="portraitist toyland judges --stage examiner"):
        Examiner.load(tmp_path)
    small().save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["heads"]["scene"] = ["moon"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadFile, match="answers other questions"):
        Examiner.load(tmp_path)


def test_it_learns_what_it_is_shown(painter: Painter, config: JudgesConfig) -> None:
    specs = sample_batch(4, 1, 0)
    known = painter.paint(plan(specs)), [truth(spec) for spec in specs]
    settings = config.examiner.model_copy(update={"steps": 12, "reconstructed": 0.5})
    task = ExaminerTask(small(), painter, settings, known)
    loop = Loop(task, LoopConfig(steps=12))
    loop.run()
    losses = [line["loss"] for line in loop.history]
    assert task.step(0, 0)["loss"] < losses[0]
    assert task.identity()["stage"] == "examiner"


def test_a_step_depends_on_its_number_alone(painter: Painter, config: JudgesConfig) -> None:
    specs = sample_batch(4, 1, 0)
    known = painter.paint(plan(specs)), [truth(spec) for spec in specs]
    task = ExaminerTask(small(), painter, config.examiner, known)
    first, again, other = (float(task.step(step, 0)["loss"].detach()) for step in (3, 3, 4))
    assert first == again != other


def test_no_reconstructions_are_needed(painter: Painter, config: JudgesConfig) -> None:
    task = ExaminerTask(small(), painter, config.examiner, (torch.empty(0), []))
    assert 0 <= float(task.step(0, 0)["accuracy"]) <= 1
