"""The examiner: its questions, its augmentation, its learning, its file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from portraitist.errors import BadFile
from portraitist.randomness import numpy_generator
from portraitist.toyland.first.config import ToylandConfig
from portraitist.toyland.first.exam import grade
from portraitist.toyland.first.examiner import (
    CONFIG,
    HEADS,
    UNASKED,
    WEIGHTS,
    Examiner,
    ExaminerTask,
    Reading,
    blur,
    mirror_targets,
    to_targets,
)
from portraitist.toyland.first.world.captions import labels
from portraitist.toyland.first.world.pictures import render, sample_picture
from portraitist.training.loop.loop import Loop, LoopConfig

ONE = Reading(("robot",), ("red",), "snow", "photo")
TWO = Reading(("cat", "robot"), ("", "blue"), "plain", "pixel art")


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, list[Reading]]:
    """Sixteen pictures and the truth about them."""
    specs = [sample_picture(numpy_generator(5, "pictures", index)) for index in range(16)]
    images = np.stack([np.asarray(render(spec)) for spec in specs])
    return images, [Reading.from_labels(labels(spec)) for spec in specs]


@pytest.fixture
def examiner(config: ToylandConfig) -> Examiner:
    torch.manual_seed(0)
    return Examiner(config.examiner.channels, 64)


def perfect_logits(targets: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        head: torch.nn.functional.one_hot(answers.clamp(min=0), len(HEADS[head])).float()
        for head, answers in targets.items()
    }


def test_truth_comes_from_labels() -> None:
    facts = {"kinds": ["robot", "cat"], "colours": ["red", "ginger"], "scene": "beach", "style": "photo"}
    assert Reading.from_labels(facts) == Reading(("robot", "cat"), ("red", ""), "beach", "photo")
    grey = Reading.from_labels({**facts, "style": "pencil sketch"})
    assert grey.colours == ("", "")


def test_questions_without_an_answer_are_not_asked() -> None:
    targets = to_targets([ONE, TWO])
    assert targets["number"].tolist() == [0, 1]
    assert targets["centre kind"].tolist() == [HEADS["centre kind"].index("robot"), UNASKED]
    assert targets["left kind"].tolist() == [UNASKED, HEADS["left kind"].index("cat")]
    assert targets["left colour"].tolist() == [UNASKED, UNASKED]
    assert targets["right colour"].tolist() == [UNASKED, HEADS["right colour"].index("blue")]


def test_a_network_that_answers_rightly_reads_the_truth(
    examiner: Examiner, drawn: tuple[np.ndarray, list[Reading]], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = drawn
    monkeypatch.setattr(examiner, "forward", lambda pixels: perfect_logits(to_targets([ONE, TWO, ONE][: len(pixels)])))
    assert examiner.read(images[:2]) == [ONE, TWO]
    assert examiner.read(images[:3], batch_size=2) == [ONE, TWO, ONE]


def test_mirroring_exchanges_left_and_right() -> None:
    mirrored = mirror_targets(to_targets([TWO, TWO, ONE]), torch.tensor([True, False, True]))
    other = Reading(("robot", "cat"), ("blue", ""), "plain", "pixel art")
    expected = to_targets([other, TWO, ONE])
    for head in HEADS:
        torch.testing.assert_close(mirrored[head], expected[head])


def test_blur_keeps_flat_pictures_and_brightness() -> None:
    flat = torch.full((1, 3, 8, 8), 0.3)
    torch.testing.assert_close(blur(flat), flat)
    dot = torch.zeros(1, 1, 9, 9)
    dot[..., 4, 4] = 1.0
    blurred = blur(dot)
    assert blurred.sum().item() == pytest.approx(1.0)
    assert blurred[0, 0, 4, 4].item() == pytest.approx((6 / 16) ** 2)


def test_it_learns_pictures_by_heart(config: ToylandConfig, drawn: tuple[np.ndarray, list[Reading]]) -> None:
    images, truth = drawn
    changes = {"blur": 0.2, "shift": 1, "batch_size": 16, "learning_rate": 5e-3, "weight_decay": 0.0}
    torch.manual_seed(0)
    model = Examiner((16, 24, 32, 32), 64)
    task = ExaminerTask(model, images, truth, config.examiner.model_copy(update=changes))
    Loop(task, LoopConfig(steps=80, schedule="cosine")).run()
    model.eval()
    assert all(score.right == score.asked for score in grade(truth, model.read(images)).values())
    mirrored = [Reading(t.kinds[::-1], t.colours[::-1], t.scene, t.style) for t in truth]
    scores = grade(mirrored, model.read(images[:, :, ::-1]))
    assert sum(score.right for score in scores.values()) >= sum(score.asked for score in scores.values()) - 3


def test_a_step_depends_on_nothing_but_its_number(
    config: ToylandConfig, examiner: Examiner, drawn: tuple[np.ndarray, list[Reading]]
) -> None:
    task = ExaminerTask(examiner, *drawn, config.examiner)
    first = task.step(3, 0)["loss"].item()
    assert task.step(4, 0)["loss"].item() != first
    assert task.step(3, 0)["loss"].item() == first


def test_reconstructions_take_the_place_of_the_first_pictures(
    config: ToylandConfig, examiner: Examiner, drawn: tuple[np.ndarray, list[Reading]]
) -> None:
    images, truth = drawn
    settings = config.examiner.model_copy(update={"batch_size": 16})
    plain = ExaminerTask(examiner, images, truth, settings)
    same = ExaminerTask(examiner, images, truth, settings, images[:6])
    black = ExaminerTask(examiner, images, truth, settings, np.zeros_like(images[:6]))
    assert same.step(0, 0)["loss"].item() == plain.step(0, 0)["loss"].item()
    assert black.step(0, 0)["loss"].item() != plain.step(0, 0)["loss"].item()


def test_a_saved_examiner_reads_the_same(
    tmp_path: Path, examiner: Examiner, drawn: tuple[np.ndarray, list[Reading]]
) -> None:
    examiner.save(tmp_path)
    loaded = Examiner.load(tmp_path)
    assert not loaded.training
    assert loaded.read(drawn[0]) == examiner.eval().read(drawn[0])


def test_a_folder_without_an_examiner_is_named(tmp_path: Path, examiner: Examiner) -> None:
    with pytest.raises(BadFile, match=str(tmp_path)):
        Examiner.load(tmp_path)
    examiner.save(tmp_path)
    text = (tmp_path / CONFIG).read_text()
    (tmp_path / CONFIG).write_text(text.replace('"snow"', '"ice"'))
    with pytest.raises(BadFile, match="other questions"):
        Examiner.load(tmp_path)
    (tmp_path / CONFIG).write_text(text)
    (tmp_path / WEIGHTS).write_bytes(b"\0" * 40)
    with pytest.raises(BadFile, match="no examiner can be read"):
        Examiner.load(tmp_path)


def test_the_package_has_one_that_reads_what_was_drawn() -> None:
    specs = [sample_picture(numpy_generator(8, "pictures", index), "test") for index in range(60)]
    images = np.stack([np.asarray(render(spec)) for spec in specs])
    truth = [Reading.from_labels(labels(spec)) for spec in specs]
    examiner = Examiner.load()
    read = examiner.read(images)
    assert np.mean([a.scene == b.scene and a.kinds == b.kinds for a, b in zip(read, truth, strict=True)]) >= 0.95
    doubled = images[:8].repeat(2, axis=1).repeat(2, axis=2)
    assert examiner.read(doubled) == read[:8], "pictures of another size are resized"
    assert len(examiner.revision) == 16
