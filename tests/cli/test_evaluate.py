"""``portraitist evaluate``: from an adapter to a report, comparisons, refusals."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from PIL import Image

from portraitist.evaluation.encoders import PictureNetwork, save_small

Run = Callable[..., Result]
Fail = Callable[..., str]

PROTOCOL = """
name: mine
title: Mine
source: me
subjects_expected: 1
images_per_prompt: 2
class_noun: cat
folder_prompts: [places]
prompts: {places: ["a photo of a {} on the beach", "a {} in the snow"]}
steps: 1
metrics: [dino, div]
encoders: {dino: dino, perceptual: dino}
"""


@pytest.fixture
def prepared(tmp_path: Path, trained: Path) -> Path:
    """Write a protocol, an encoder and an adapter into the folder that commands run in."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_small(tmp_path / "dino", PictureNetwork((8, 16), 16), 32, {})
    (tmp_path / "mine.yaml").write_text(PROTOCOL)
    shutil.copy(trained, tmp_path / "cat.safetensors")
    return tmp_path


def test_an_adapter_becomes_a_report(run: Run, prepared: Path, photos: Path) -> None:
    arguments = ("evaluate", "cat.safetensors", "--photos", photos, "--protocol", "mine.yaml")
    first = run(*arguments, "-o", "first")
    assert "dino" in first.stdout
    assert "report" in first.stdout
    result = json.loads(Path("first/result.json").read_text())
    assert result["encoders"]["dino"]["preprocessing"].startswith("shorter side 32")
    assert set(result["subjects"][0]["scores"]) == {"dino", "div"}
    assert Path("first/report.md").read_text().startswith("# cat\n")
    with Image.open("first/sheet.png") as sheet:
        assert sheet.width > 400
    assert len(list(Path("first/pictures").glob("*/*.png"))) == 4
    pictures = Path("first/pictures") / photos.name
    given = ("evaluate", pictures, "--photos", photos, "--protocol", "mine.yaml", "--class", "cat")
    again = run(*given, "-o", "again", "--compare", "first/result.json")
    assert "| DINO | +0.000 | +0.000 to +0.000 | 50% | 1 |" in again.stdout
    assert "| DINO | +0.000" in Path("again/report.md").read_text()
    third = run(*arguments, "-o", "third", "--compare", "first/result.json")
    assert "cat minus first/result.json" in third.stdout


def test_what_cannot_be_compared_is_named_before_work(run: Run, fail: Fail, prepared: Path, photos: Path) -> None:
    arguments = ("evaluate", "cat.safetensors", "--photos", photos, "--protocol", "mine.yaml")
    run(*arguments, "-o", "first")
    (prepared / "mine.yaml").write_text(PROTOCOL.replace("beach", "moon"))
    assert "other prompts" in fail(*arguments, "-o", "second", "--compare", "first/result.json")
    assert not Path("second/pictures").exists()


def test_what_is_not_measured_is_named_with_its_reason(run: Run, prepared: Path, photos: Path) -> None:
    (prepared / "pictures").mkdir()
    shutil.copy(photos / "00.png", prepared / "pictures")
    given = (
        "evaluate",
        "pictures",
        "--photos",
        photos,
        "--protocol",
        "mine.yaml",
        "--metric",
        "pres",
        "--metric",
        "div",
    )
    output = run(*given, "-o", "first").stdout
    assert "not measured: PRES (no class pictures)" in output
    assert "not measured: DIV (no prompt has two pictures)" in output
    assert "PRES (no class pictures)" in Path("first/report.md").read_text()


def test_other_encoders_are_not_compared(run: Run, fail: Fail, prepared: Path, photos: Path) -> None:
    (prepared / "pictures").mkdir()
    shutil.copy(photos / "00.png", prepared / "pictures")
    given = ("evaluate", "pictures", "--photos", photos, "--protocol", "mine.yaml", "--metric", "dino")
    run(*given, "-o", "first")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        save_small(prepared / "other", PictureNetwork((8, 16), 16), 32, {})
    line = fail(*given, "-o", "second", "--encoder", "dino=other", "--compare", "first/result.json")
    assert "dino (weights" in line
    assert "other (weights" in line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--protocol", "dreambensch"), "did you mean dreambench"),
        (("--encoder", "eyes=x"), "roles dino, clip"),
        (("--metric", "clipt"), "did you mean clip_t"),
        (("--protocol", "mine.yaml", "--encoder", "dino=facebook/dino-vits16"), "hf download facebook/dino-vits16"),
        (("--compare", "nowhere.json"), "nowhere.json"),
    ],
)
def test_mistakes_are_named_before_work(
    fail: Fail, prepared: Path, photos: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in fail("evaluate", "cat.safetensors", "--photos", photos, *arguments)
    assert not Path("evaluation/pictures").exists()


@pytest.mark.parametrize("empty", ["photos", "pictures"])
def test_folders_without_pictures_are_named_before_work(fail: Fail, prepared: Path, photos: Path, empty: str) -> None:
    Path(empty).mkdir()
    Path(empty, "notes.txt").write_text("none here")
    Path(empty, "broken.png").write_bytes(b"none either")
    what, given = ("cat.safetensors", empty) if empty == "photos" else (empty, photos)
    assert f"no pictures in {empty}" in fail("evaluate", what, "--photos", given)
