"""``portraitist toyland``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from PIL import Image
from stand_in_world import stand_in_world, tiny_sections

from portraitist.bases.examples import list_examples
from portraitist.toyland.config import load_config

Run = Callable[..., Result]
Fail = Callable[..., str]


def test_pictures_are_laid_out_with_captions(run: Run) -> None:
    run("toyland", "pictures", "-n", 5, "--columns", 3, "-o", "new/sheet.png")
    run("toyland", "pictures", "-n", 5, "--columns", 3, "-o", "again.png")
    run("toyland", "pictures", "-n", 5, "--columns", 3, "--seed", 1, "-o", "other.png")
    with Image.open("new/sheet.png") as sheet:
        assert sheet.width > 3 * 192
        assert sheet.height > 2 * 192
    assert Path("new/sheet.png").read_bytes() == Path("again.png").read_bytes()
    assert Path("new/sheet.png").read_bytes() != Path("other.png").read_bytes()


def test_examples_are_copied_and_can_be_trained_on(run: Run, fail: Fail, tiny_base_folder: Path) -> None:
    output = run("toyland", "examples", "-o", "mine").stdout
    for example in list_examples():
        assert len(list(Path("mine", example.name).glob("*.png"))) == len(example.photos) >= 4
        assert f"mine/{example.name}" in output
    assert Path("mine/subjects.json").exists()
    assert "exists already" in fail("toyland", "examples", "-o", "mine")
    robot = next(example.name for example in list_examples() if example.class_noun == "robot")
    run("train", Path("mine", robot), "--class", "robot", "--base", tiny_base_folder, "--steps", 1)


def test_new_subjects_are_drawn_and_never_over_others(run: Run, fail: Fail) -> None:
    output = run("toyland", "subjects", "-o", "drawn", "--photos", 2, "--seed", 4).stdout
    entries = json.loads(Path("drawn/subjects.json").read_text())
    assert {entry["class"] for entry in entries} == {"robot", "cat", "monster", "person"}
    for entry in entries:
        assert f"drawn/{entry['name']}" in output
        assert len(list(Path("drawn", entry["name"]).glob("*.png"))) == 2
    assert "exists already; choose another place with -o" in fail("toyland", "subjects", "-o", "drawn")
    assert "there are train, validation, test" in fail("toyland", "subjects", "-o", "other", "--split", "all")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    """Write a configuration in which every stage takes a moment, of a world that is drawn in one."""
    monkeypatch.setattr("portraitist.toyland.worlds.toyland_world", stand_in_world)
    path = Path("small.yaml")
    path.write_text(yaml.safe_dump(load_config(changes=tiny_sections()).model_dump(mode="json")))
    return path


def test_toyland_is_made_returned_and_personalised(run: Run, photos: Path, settings: Path) -> None:
    common = ("--folder", "run", "--config", settings)
    output = run("toyland", "train", *common, "--device", "cpu", "--threads", 1, "--return", "out").stdout
    assert "validation_top1_among_100" in output
    assert Path("out/packet-00.safetensors").exists()
    output = run("toyland", "export", *common, "-o", "now").stdout
    assert output.split()[:2] == ["step", "4"]
    run("train", photos, "--class", "ring", "--base", "now", "--steps", 1, "-o", "cat.safetensors")
    train = ("toyland", "train", "--folder", "taken", "--config", settings, "--device", "cpu", "--from", "out")
    run(*train, "--stage", "pipeline")
    assert Path("taken/pipeline/model_index.json").exists()


def test_one_stage_can_be_run_for_some_time(run: Run, settings: Path) -> None:
    common = ("toyland", "train", "--config", settings, "--folder", "run", "--device", "cpu", "--workers", 2)
    run(*common, "--stage", "pictures")
    assert Path("run/pictures/train/images.npy").exists()
    assert Path("run/pictures/validation/texts.jsonl").exists()
    run(*common, "--stage", "autoencoder", "--minutes", 0.005, "--set", "autoencoder.learning_rate=0.02")
    assert Path("run/autoencoder/vae/config.json").exists()
    assert not Path("run/text-encoder").exists()


def test_speed_is_measured_before_time_is_spent(run: Run, fail: Fail, settings: Path) -> None:
    for stage in ("autoencoder", "denoiser"):
        common = ("toyland", "speed", "--config", settings, "--device", "cpu", "--stage", stage)
        lines = run(*common, "--batch-sizes", "2,4").stdout.splitlines()
        assert [line.split()[0] for line in lines] == ["2", "4", "batch_size"]
        assert lines[-1].split()[1] in ("2", "4")
    assert "--batch-sizes takes numbers" in fail("toyland", "speed", "--batch-sizes", "few")
    assert "what can be measured is autoencoder or denoiser" in fail("toyland", "speed", "--stage", "exam")


def test_bad_settings_are_refused(fail: Fail) -> None:
    assert "no stage 'pictires'" in fail("toyland", "train", "--stage", "pictires")
    assert "precision must be one of auto, no, bf16" in fail("toyland", "train", "--precision", "fp8")
    assert "cannot read the toyland configuration" in fail("toyland", "train", "--config", "missing.yaml")
    assert "there is no setting 'denoiser.batches'" in fail("toyland", "train", "--set", "denoiser.batches=3")
    assert "holds no weights" in fail("toyland", "train", "--from", "nowhere", "--stage", "pipeline")
    Path("bad.yaml").write_text("pictures: {}")
    assert "bad.yaml: pictures.train" in fail("toyland", "train", "--config", "bad.yaml")
    assert not Path("toyland-run").exists()
