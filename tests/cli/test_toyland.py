"""``portraitist toyland``."""

from collections.abc import Callable
from pathlib import Path

from click.testing import Result
from PIL import Image

from portraitist.bases.examples import list_examples

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


def test_a_stage_is_run_and_passed_over_when_done(run: Run) -> None:
    config = Path("tiny.yaml")
    shipped = Path(__file__).parents[2] / "src" / "portraitist" / "toyland" / "toyland.yaml"
    text = shipped.read_text()
    for name, count in (("  pictures", 4), ("validation_pictures", 2)):
        line = next(line for line in text.splitlines() if line.startswith(name) or line.strip().startswith(name))
        text = text.replace(line, f"{line.split(':')[0]}: {count}")
    config.write_text(text)
    for _ in range(2):
        run("toyland", "train", "--config", config, "--folder", "run", "--stage", "pictures", "--threads", 1)
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
