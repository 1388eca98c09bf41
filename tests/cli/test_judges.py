"""``portraitist toyland judges, examine, frechet, beside``, as small as they can be."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import Result
from drawn_world import shared_painter
from PIL import Image

from portraitist.toyland.judges import distance, workshop
from portraitist.toyland.judges.config import load_judges_config
from portraitist.toyland.judges.examiner import Examiner

Run = Callable[..., Result]
Fail = Callable[..., str]


def draw_flat(seed: int, indices: range) -> list[tuple[Image.Image, str]]:
    return [(Image.new("RGB", (32, 32), (9 * index % 256, 40, 90)), "a photo of a cat") for index in indices]


@pytest.fixture(autouse=True)
def tiny_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distance, "RESOLUTION", 32)
    monkeypatch.setattr(distance, "draw_world", draw_flat)


def test_a_judge_is_trained(run: Run, fail: Fail, tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = load_judges_config().model_dump(mode="json")
    values["dino"] |= {"channels": [8, 16], "side": 32, "embedding": 16, "projection": 16, "steps": 2, "batch_size": 4}
    values["tests"] |= {"identities": 4}
    Path("small.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setattr(workshop, "Painter", lambda device: shared_painter())
    common = (tiny_base_folder, "--config", "small.yaml", "--folder", "run")
    output = run("toyland", "judges", *common, "--stage", "dino", "--threads", 1).stdout
    assert "test_person_top1_among_4" in output
    assert Path("run/judges/toyland-dino/model.safetensors").exists()
    assert "no judge 'judge'; there are: examiner, clip, identity, dino" in fail(
        "toyland", "judges", *common, "--stage", "judge"
    )
    again = ("--stage", "dino", "--set", "dino.seed=3", "--folder", "other", "--minutes", 0.01)
    output = run("toyland", "judges", *common, *again).stdout
    assert int(re.findall(r"dino +steps (\d+)", output)[0]) > 0
    assert "judges.yaml: there is no setting 'dino.seeds'; did you mean dino.seed?" in fail(
        "toyland", "judges", tiny_base_folder, "--set", "dino.seeds=3"
    )
    assert "precision must be one of auto, no, bf16" in fail("toyland", "judges", *common, "--precision", "fp8")


def test_a_base_is_examined(run: Run, fail: Fail, tiny_base_folder: Path) -> None:
    torch.manual_seed(0)
    Examiner((8, 16, 16), 32).save(Path("examiner"))
    options = ("--examiner", "examiner", "-n", 4, "--steps", 1, "-o", "exam")
    output = run("toyland", "examine", tiny_base_folder, *options, "--guidance", 2).stdout
    assert "what they hold, or nothing" in output
    assert Path("exam/report.json").exists()
    assert "guidance" in run("toyland", "examine", tiny_base_folder, *options).stdout
    missing = fail("toyland", "examine", tiny_base_folder, "--examiner", "none")
    assert "portraitist toyland judges --stage examiner" in missing


def test_a_distance_is_measured(run: Run, tiny_base_folder: Path) -> None:
    options = ("-n", 5, "--steps", 1, "--encoder", "toyland-identity", "--folder", "features")
    output = run("toyland", "frechet", tiny_base_folder, *options).stdout
    assert "5 pictures, steps 1, guidance" in output
    assert "two halves of the drawn ones" in output
    assert len(list(Path("features").iterdir())) == 1


def test_generated_pictures_lie_beside_drawn_ones(run: Run, tiny_base_folder: Path) -> None:
    run("toyland", "beside", tiny_base_folder, "-n", 4, "--columns", 2, "--steps", 1, "-o", "sheet.webp")
    with Image.open("sheet.webp") as sheet:
        assert sheet.format == "WEBP"
        assert sheet.width > sheet.height
