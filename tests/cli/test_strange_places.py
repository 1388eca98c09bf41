"""Places, names and neighbours that nobody expects: done rightly, or refused before work in one line."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from portraitist.adapters import load_adapter
from portraitist.cli.main import app
from portraitist.training.dreambooth import DreamBoothTask

Run = Callable[..., Result]
Fail = Callable[..., str]
BIDIRECTIONAL, LINES = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068", "\n\r\u2028\u2029"


@pytest.fixture
def own(tmp_path: Path, photos: Path) -> Path:
    """Return a folder of two photos that may be spoilt."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for photo in sorted(photos.glob("*.png"))[:2]:
        shutil.copy(photo, folder)
    return folder


@pytest.fixture
def quick(tiny_base_folder: Path) -> tuple[object, ...]:
    return ("--class", "cat", "--base", tiny_base_folder, "--steps", 1, "--set", "prior=none")


def test_links_that_lead_in_circles_among_photos(run: Run, own: Path, quick: tuple[object, ...]) -> None:
    (own / "again").symlink_to(own)
    for one, other in (("a.png", "b.png"), ("b.png", "a.png"), ("00.txt", "00.txt")):
        (own / one).symlink_to(other)
    result = run("train", own, *quick, "-o", "a.safetensors")
    assert "2 photos" in result.stdout
    assert load_adapter(Path("a.safetensors")).provenance.training["steps"] == 1


def test_pictures_that_were_generated_into_the_folder_of_photos(run: Run, own: Path, quick: tuple[object, ...]) -> None:
    run("train", own, *quick, "-o", own / "a.safetensors")
    run(
        "generate",
        "a sks cat",
        "-n",
        1,
        "--steps",
        1,
        "--base",
        quick[3],
        "--adapter",
        own / "a.safetensors",
        "-o",
        own,
    )
    said = run("train", own, *quick, "-o", "b.safetensors").stderr
    assert "generated pictures are among the photos of mine (a-sks-cat-0.png)" in said
    assert "keep photos and pictures in folders of their own" in said


def test_photos_in_the_folder_of_the_run(run: Run, own: Path, quick: tuple[object, ...]) -> None:
    inside = Path("a.safetensors.run")
    shutil.copytree(own, inside / "photos")
    run("train", inside / "photos", *quick, "-o", "a.safetensors")
    assert len(list((inside / "photos").iterdir())) == 2


@pytest.mark.parametrize("place", ["/proc", "/proc/new", "/dev/null"])
def test_places_in_which_nothing_can_be_made(
    fail: Fail, trained: Path, own: Path, quick: tuple[object, ...], place: str
) -> None:
    for command in (
        ("train", own, *quick, "-o", f"{place}/a.safetensors"),
        ("convert", trained, "--to", "kohya", "-o", f"{place}/a.safetensors"),
        ("merge", trained, trained, "-o", f"{place}/a.safetensors"),
        ("generate", "a", "--base", quick[3], "--steps", 1, "-o", f"{place}/pictures"),
        ("toyland", "train", "--folder", f"{place}/toyland", "--stage", "pictures"),
    ):
        said = fail(*command)
        assert "cannot write" in said, (command, said)
        assert "in use" not in said


def test_a_run_folder_that_is_a_link_elsewhere(fail: Fail, own: Path, quick: tuple[object, ...]) -> None:
    Path("a.safetensors.run").symlink_to("/proc")
    assert "cannot write" in fail("train", own, *quick, "-o", "a.safetensors")


def test_an_output_that_is_a_link_to_nothing_or_to_itself(
    fail: Fail, own: Path, trained: Path, quick: tuple[object, ...]
) -> None:
    for target in ("nothing.safetensors", "a.safetensors"):
        Path("a.safetensors").symlink_to(target)
        assert "a.safetensors exists already" in fail("train", own, *quick, "-o", "a.safetensors")
        assert "a.safetensors exists already" in fail("convert", trained, "--to", "kohya", "-o", "a.safetensors")
        Path("a.safetensors").unlink()


def test_names_that_write_backwards_or_begin_lines(run: Run, fail: Fail, own: Path, quick: tuple[object, ...]) -> None:
    wild = f"a{BIDIRECTIONAL}b{LINES}c\x1b[31m"
    (own / f"{wild}.png").write_bytes(b"no picture")
    result = run("train", own, *quick, "-o", f"{wild}.safetensors")
    assert Path(f"{wild}.safetensors").exists()
    said = [result.stdout, result.stderr, fail("inspect", f"x{wild}.safetensors")]
    said.append(run("generate", f"a {wild}", "-n", 1, "--base", quick[3], "--steps", 1, "-o", f"out{wild}").stdout)
    for text in said:
        assert not set(text) & set(BIDIRECTIONAL + LINES[1:] + "\x1b")
        assert len([line for line in text.splitlines() if "[31m" in line]) >= 1
    written = [line for line in result.stdout.splitlines() if line.startswith("written")]
    assert len(written) == 1
    assert written[0].endswith(".safetensors"), "what is written is one line"


@pytest.mark.parametrize(
    "command",
    [
        ("inspect", "a\0b"),
        ("generate", "a", "--adapter", "a\0b"),
        ("generate", "a", "--base", "a\0b"),
        ("study", "a\0b"),
        ("hypernetwork", "inspect", "a\0b"),
        ("identities", "a\0b", "-o", "set"),
        ("train", "a\0b", "--class", "cat"),
    ],
)
def test_paths_with_a_nul(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command])
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output


def test_a_million_layers_that_a_file_says_it_had(run: Run, fail: Fail, trained: Path) -> None:
    run("convert", trained, "-o", "k.safetensors", "--to", "kohya")
    with safe_open("k.safetensors", "pt") as file:
        notes = file.metadata()
    notes["portraitist_layers"] = json.dumps([f"unet.layer.{number}" for number in range(10**6)])
    save_file(load_file("k.safetensors"), "many.safetensors", metadata=notes)
    assert "the list of its layers is unreadable (it names more than 65,536)" in fail("inspect", "many.safetensors")


def test_an_adapter_for_layers_of_the_same_names_and_other_shapes(
    fail: Fail, run: Run, trained: Path, tiny_base_folder: Path
) -> None:
    run("convert", trained, "-o", "k.safetensors", "--to", "kohya")
    tensors = load_file("k.safetensors")
    wider = {name: torch.cat([value, value], 1) for name, value in tensors.items() if "lora_down" in name}
    save_file({**tensors, **wider}, "other.safetensors")
    said = fail("generate", "a", "--adapter", "other.safetensors", "--base", tiny_base_folder, "--steps", 1)
    assert "other.safetensors" in said
    assert "shape" in said


def test_a_base_that_is_exchanged_while_it_is_trained_on(
    run: Run,
    fail: Fail,
    own: Path,
    tiny_base_folder: Path,
    other_base_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_base_folder, base)
    command = (
        "train",
        own,
        "--class",
        "cat",
        "--base",
        base,
        "--steps",
        3,
        "--set",
        "prior=none",
        "-o",
        "a.safetensors",
    )
    step = DreamBoothTask.step

    def exchange(task: DreamBoothTask, number: int, micro: int) -> object:
        if number == 1:
            shutil.rmtree(base)
            shutil.copytree(other_base_folder, base)
            os.kill(os.getpid(), signal.SIGINT)
        return step(task, number, micro)

    with monkeypatch.context() as patch:
        patch.setattr(DreamBoothTask, "step", exchange)
        assert CliRunner().invoke(app, [str(each) for each in command]).exit_code != 0
    assert Path("a.safetensors.run").exists()
    assert "a.safetensors.run" in fail(*command, "--resume")


def test_a_clock_that_is_in_the_past(
    run: Run, own: Path, quick: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)
    elsewhere = Path(".a.safetensors.part-00000000-1-1-x.safetensors")
    elsewhere.write_bytes(b"half")
    run("train", own, *quick, "-o", "a.safetensors")
    assert elsewhere.exists(), "somebody elsewhere may still write it"


def test_an_adapter_that_is_written_over_itself(run: Run, trained: Path) -> None:
    shutil.copy(trained, "a.safetensors")
    run("merge", "a.safetensors", "a.safetensors", "-o", "a.safetensors", "--overwrite")
    one, two = (load_adapter(path).named_parameters() for path in (trained, Path("a.safetensors")))
    assert one.keys() == two.keys()
    run("convert", "a.safetensors", "-o", "peft", "--to", "peft")
    run("convert", "peft", "-o", "peft", "--to", "peft", "--overwrite")
    assert sorted(path.name for path in Path().iterdir()) == ["a.safetensors", "peft"]
