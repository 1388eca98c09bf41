"""Two processes are started on one place at the same moment, and the first stays at work until the second has ended."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from painted_set import paint_set
from PIL import Image
from small_hypernetworks import small_recipe
from stand_in_world import stand_in_world, tiny_sections
from typer.testing import CliRunner

from portraitist import locks
from portraitist.adapters import save_adapter
from portraitist.bases import Base
from portraitist.bases.examples import get_example
from portraitist.cli.main import app
from portraitist.errors import PortraitistError
from portraitist.evaluation.encoders import PictureNetwork, save_small
from portraitist.hypernetworks.making import PredictorWorkshop
from portraitist.toyland.config import load_config
from portraitist.toyland.judges import distance
from portraitist.toyland.judges.config import load_judges_config
from portraitist.toyland.judges.examiner import Examiner
from portraitist.toyland.judges.workshop import JudgesWorkshop
from portraitist.toyland.making import Workshop
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.reports import add_facts, read_report

from .mutating import drawn

STUDY = """
title: one run
hypothesis: One run ends, and the other is refused.
scorer: colours
subjects: [cat-1b7ecd]
prompts: ["a photo of a {}"]
sampling: {steps: 1}
fixed: {steps: 1, batch_size: 1, prior: none}
grids: [{name: one, methods: [lora]}]
"""


def two_at_once(work: Callable[[], str]) -> list[str]:
    """Do something in two processes at once; return what each said in the end, who came first the last.

    Whoever gets a lock keeps it until the other has ended.
    """
    gate, opener = os.pipe()
    lives = [os.pipe(), os.pipe()]  # nothing is read from one until its process has ended
    talks = [os.pipe(), os.pipe()]
    for own in (0, 1):
        if os.fork() == 0:
            os.close(opener)
            os.close(lives[1 - own][1])
            note = locks._note

            def stay(path: Path, what: str, other: int = lives[1 - own][0]) -> None:
                note(path, what)  # noqa: B023 - the process ends in this turn
                os.read(other, 1)

            locks._note = stay
            os.read(gate, 1)
            try:
                said = work()
            except PortraitistError as error:
                said = str(error)
            except BaseException as error:
                said = f"traceback: {error!r}"
            os.write(talks[own][1], said.encode() or b"done")
            os._exit(0)
    for descriptor in (opener, *(writing for _, writing in [*lives, *talks])):
        os.close(descriptor)
    os.wait(), os.wait()
    said = [os.read(reading, 65536).decode() for reading, _ in talks]
    for descriptor in (gate, *(reading for reading, _ in [*lives, *talks])):
        os.close(descriptor)
    return sorted(said, key=lambda words: words == "done")


def command(*arguments: object) -> str:
    """Run a command; return its line of error, if it ends with one."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if result.exit_code == 0:
        return ""
    last = result.stderr.rstrip().rpartition("\n")[2]
    return last if last.startswith("error: ") and result.exit_code == 1 else f"traceback: {result.output}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def require_one_refused(said: list[str], place: str, work: str) -> None:
    refused, done = said
    assert done == "done", said
    assert f"{place} is in use by {work} (process " in refused, said
    assert "; wait until that has ended, or choose another" in refused, said
    assert "\n" not in refused


def test_a_study(place: Path, tiny_base_folder: Path) -> None:
    (place / "one.yaml").write_text(STUDY)
    said = two_at_once(lambda: command("study", "one.yaml", "--base", tiny_base_folder, "--workers", 1, "-o", "out"))
    require_one_refused(said, "out", "a study")
    assert Path("out/report.html").exists()
    assert not list(place.rglob(".*"))


def test_a_stage_of_toyland(place: Path) -> None:
    workshop = Workshop(place, load_config(changes=tiny_sections()), stand_in_world(), Machine())
    said = two_at_once(lambda: workshop.make(("pictures",)) or "")
    require_one_refused(said, str(place / "pictures"), "the stage pictures")
    assert not list(place.rglob(".*"))


def test_a_judge_of_toyland(place: Path, base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JudgesWorkshop, "train_identity", lambda shop: add_facts(place, "identity", {"steps": 3}))
    workshop = JudgesWorkshop(place, load_judges_config(), base, Machine())
    said = two_at_once(lambda: workshop.make(("identity",)) or "")
    require_one_refused(said, str(place / "identity"), "the stage identity")
    assert read_report(place) == {"identity": {"steps": 3}}


def test_a_set_of_identities(place: Path, tiny_base_folder: Path) -> None:
    flags = ("--count", 2, "--photos", 2, "--base", tiny_base_folder)
    said = two_at_once(lambda: command("identities", "toyland:cats", "-o", "set", *flags))
    require_one_refused(said, "set", "the making of a set")
    assert Path("set/index.parquet").exists()


def test_a_hypernetwork(place: Path, base: Base) -> None:
    painted = paint_set(place / "set", base)
    workshop = PredictorWorkshop(place / "net", "portraitist", small_recipe(), painted, base, Machine())
    said = two_at_once(lambda: "" if workshop.train() else "nothing")
    require_one_refused(said, str(place / "net"), "the training of a hypernetwork")
    assert {path.name for path in (place / "net").iterdir()} >= {"config.json", "model.safetensors"}


def test_a_training(place: Path, tiny_base_folder: Path) -> None:
    flags = ("--class", "cat", "--base", tiny_base_folder, "--steps", 1, "--set", "prior=none", "-o", "a.safetensors")
    said = two_at_once(lambda: command("train", CAT, *flags))
    require_one_refused(said, "a.safetensors", "a training")
    assert [path.name for path in place.iterdir()] == ["a.safetensors"]


def test_a_conversion(place: Path, tiny: object) -> None:
    save_adapter(drawn(tiny, "lora"), place / "a.safetensors")  # type: ignore[arg-type]
    for to, name in (("kohya", "b.safetensors"), ("peft", "peft")):
        said = two_at_once(lambda: command("convert", "a.safetensors", "-o", name, "--to", to))  # noqa: B023
        require_one_refused(said, name, "the writing of an adapter")
    said = two_at_once(lambda: command("merge", "a.safetensors", "a.safetensors", "-o", "c.safetensors"))
    require_one_refused(said, "c.safetensors", "the writing of an adapter")
    assert sorted(path.name for path in place.iterdir()) == ["a.safetensors", "b.safetensors", "c.safetensors", "peft"]


EVALUATION = """
{name: mine, title: Mine, source: me, subjects_expected: 1, images_per_prompt: 1, class_noun: cat, steps: 1,
folder_prompts: [places], prompts: {places: ["a photo of a {}"]}, metrics: [dino], encoders: {dino: dino}}
"""
CAT = get_example("cat-1b7ecd").folder
PROMPTS = ("--source", "a cat", "--target", "a dog", "--method", "none", "--no-check", "--no-inversion")


@pytest.mark.parametrize(
    ("output", "work", "arguments"),
    [
        ("out.png", "a strip", ("strip", "a.safetensors", "b.safetensors", "a cat", "-n", 2, "--steps", 1)),
        ("out.png", "a comparison", ("similarity", "a.safetensors", "b.safetensors")),
        ("out", "the writing of a model", ("merge", "a.safetensors", "--into-base")),
        ("out", "an edit", ("edit", CAT / "00.png", *PROMPTS, "--sampling-steps", 2)),
        ("out", "the preparing of photos", ("prepare", CAT, "--size", 32, "--least-likeness", 0)),
        ("out", "an evaluation", ("evaluate", "a.safetensors", "--photos", CAT, "--protocol", "mine.yaml")),
        ("out", "an exam", ("toyland", "examine", "BASE", "--examiner", "examiner", "-n", 2, "--steps", 1)),
        ("out.webp", "a sheet", ("toyland", "beside", "BASE", "-n", 2, "--steps", 1)),
        ("out", "a measurement", ("toyland", "frechet", "BASE", "-n", 4, "--steps", 1, "--encoder", "dino")),
    ],
)
def test_other_commands(
    place: Path,
    tiny: object,
    tiny_base_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    work: str,
    arguments: tuple[object, ...],
) -> None:
    monkeypatch.setattr(distance, "RESOLUTION", 32)
    monkeypatch.setattr(distance, "render_all", lambda specs: [Image.new("RGB", (32, 32))] * len(specs))
    for name in ("a", "b"):
        save_adapter(drawn(tiny, "lora"), place / f"{name}.safetensors")  # type: ignore[arg-type]
    (place / "mine.yaml").write_text(EVALUATION)
    save_small(place / "dino", PictureNetwork((8, 16), 16), 32, {})
    Examiner((8, 16, 16), 32).save(place / "examiner")
    given = [tiny_base_folder if argument == "BASE" else argument for argument in arguments]
    base = ("--base", tiny_base_folder) if arguments[0] in ("strip", "edit", "merge", "evaluate") else ()
    option = "--folder" if "frechet" in arguments else "-o"
    require_one_refused(two_at_once(lambda: command(*given, *base, option, output)), output, work)
    assert Path(output).exists()
    assert not list(place.rglob(".*"))


def test_a_prediction(place: Path, base: Base, tiny_base_folder: Path) -> None:
    painted = paint_set(place / "set", base)
    PredictorWorkshop(place / "net", "portraitist", small_recipe(), painted, base, Machine()).train()
    flags = ("--class", "cat", "--hypernetwork", "net", "--base", tiny_base_folder, "-o", "a.safetensors")
    said = two_at_once(lambda: command("instant", CAT / "00.png", *flags))
    require_one_refused(said, "a.safetensors", "a prediction")
    assert sorted(path.name for path in place.iterdir()) == ["a.safetensors", "net", "set"]


def test_pictures_go_beside_each_other(place: Path, tiny: object, tiny_base_folder: Path) -> None:
    save_adapter(drawn(tiny, "lora"), place / "a.safetensors")  # type: ignore[arg-type]
    flags = ("--adapter", "a.safetensors", "--base", tiny_base_folder, "--steps", 1, "-n", 2, "-o", "out")
    assert two_at_once(lambda: command("generate", "a sks cat", *flags)) == ["done", "done"]
    assert len(list(Path("out").iterdir())) == 2 * (2 + 1)
