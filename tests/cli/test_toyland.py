"""``portraitist toyland``."""

import json
from collections.abc import Callable
from pathlib import Path

import yaml
from click.testing import Result
from PIL import Image

from portraitist.bases.examples import list_examples
from portraitist.toyland.first.config import load_config

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
    run("train", "mine/robot-050089", "--class", "robot", "--base", tiny_base_folder, "--steps", 1)


def test_new_subjects_are_drawn_and_never_over_others(run: Run, fail: Fail) -> None:
    output = run("toyland", "subjects", "-o", "drawn", "--photos", 2, "--seed", 4).stdout
    entries = json.loads(Path("drawn/subjects.json").read_text())
    assert {entry["class"] for entry in entries} == {"robot", "cat", "monster", "person"}
    for entry in entries:
        assert f"drawn/{entry['name']}" in output
        assert len(list(Path("drawn", entry["name"]).glob("*.png"))) == 2
    assert "is not empty" in fail("toyland", "subjects", "-o", "drawn")
    assert "there are train, validation, test" in fail("toyland", "subjects", "-o", "other", "--split", "all")


def small_settings() -> Path:
    """Write a configuration in which every stage takes a moment."""
    settings = load_config().model_dump(mode="json")
    settings["world"].update(pictures=24, validation_pictures=8, captions_per_picture=2)
    settings["autoencoder"].update(channels=[8, 8, 16], latent_channels=4, norm_groups=4, steps=4, batch_size=4)
    settings["text_encoder"].update(vocabulary=800, width=32, layers=1, heads=2, embedding=16, steps=2, batch_size=8)
    settings["denoiser"].update(channels=[32, 32, 64], head_width=32, steps=2, batch_size=4)
    settings["examiner"].update(steps=2, batch_size=8)
    path = Path("small.yaml")
    path.write_text(yaml.safe_dump(settings))
    return path


def test_toyland_is_made_examined_and_personalised(run: Run, photos: Path) -> None:
    common = ("--folder", "run", "--config", small_settings(), "--device", "cpu")
    stages = ("pictures", "autoencoder", "text-encoder", "denoiser")
    train = ("toyland", "train", *common, "--threads", 1, *(part for name in stages for part in ("--stage", name)))
    run(*train)
    weights = Path("run/pipeline/unet/diffusion_pytorch_model.safetensors")
    made = weights.stat().st_mtime_ns
    output = run("toyland", "exam", *common, "-n", 10).stdout
    assert "| one subject, of the kind asked for |" in output
    assert Path("run/exam/report.json").exists()
    assert weights.stat().st_mtime_ns == made, "the exam must not train"
    run("train", photos, "--class", "cat", "--base", "run/pipeline", "--steps", 1, "-o", "cat.safetensors")


def test_one_stage_can_be_run(run: Run) -> None:
    settings = small_settings()
    for _ in range(2):
        run("toyland", "train", "--config", settings, "--folder", "run", "--stage", "pictures", "--workers", 2)
    assert Path("run/train/images.npy").exists()
    assert Path("run/validation/texts.jsonl").exists()
    assert not Path("run/vae").exists()


def test_bad_settings_are_refused(fail: Fail) -> None:
    assert "no stage 'pictires'" in fail("toyland", "train", "--stage", "pictires")
    assert "no or bf16" in fail("toyland", "train", "--precision", "fp8")
    assert "cannot read the toyland configuration" in fail("toyland", "train", "--config", "missing.yaml")
    Path("bad.yaml").write_text("world: {}")
    assert "bad.yaml: world.pictures" in fail("toyland", "train", "--config", "bad.yaml")
    assert not Path("toyland-run").exists()


def test_an_exam_needs_a_finished_model(fail: Fail) -> None:
    assert "toyland-run holds no finished toyland; train it with" in fail("toyland", "exam")
