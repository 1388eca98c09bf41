"""``portraitist edit``: one picture, another prompt; and what cannot work, refused before the work."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

Run = Callable[..., Result]
Fail = Callable[..., str]

PROMPTS = ("--source", "a red robot on the beach", "--target", "a red robot in the snow")
QUICK = ("--steps", 1, "--set", "layers=UNet-CA", "--sampling-steps", 2, "--refinements", 1)


def test_an_edit_is_learnt_written_and_tried_again_with_other_words(
    run: Run, fail: Fail, picture: Path, tiny_base_folder: Path
) -> None:
    arguments = (picture, *PROMPTS, "--base", tiny_base_folder)
    result = run("edit", *arguments, *QUICK, "-n", 2, "--strength", 0.5, "-o", "first")
    assert "describes the picture no better than no prompt" in result.stderr  # the base is untrained
    names = {path.name for path in Path("first").iterdir()}
    assert names == {
        "adapter.safetensors",
        "edit.json",
        "reconstruction.png",
        "result-0.png",
        "result-1.png",
        "sheet.png",
    }
    facts = json.loads(Path("first/edit.json").read_text())
    assert facts["config"]["strength"] == 0.5
    assert facts["recipe"]["steps"] == 1
    assert "already holds an edit" in fail("edit", *arguments, "-o", "first")

    again = ("--adapter", "first/adapter.safetensors", "--no-check", "--sampling-steps", 2, "--no-inversion")
    output = run("edit", picture, *PROMPTS, *again, "-o", "second").stdout
    assert "inversion" not in output
    with Image.open("second/result-0.png") as edited:
        assert json.loads(edited.info["portraitist"])["prompt"] == "a red robot in the snow"


def test_a_picture_is_edited_without_learning_it(run: Run, picture: Path, tiny_base_folder: Path) -> None:
    run(
        *("edit", picture, *PROMPTS, "--base", tiny_base_folder, "--method", "none", "--no-check"),
        *("--no-inversion", "--strength", 0.6, "--sampling-steps", 4, "-o", "plain"),
    )
    assert not Path("plain/adapter.safetensors").exists()
    assert json.loads(Path("plain/edit.json").read_text())["recipe"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", " ", "--target", "a cat"), "the source prompt is empty"),
        (("--source", "a cat", "--target", ""), "the target prompt is empty"),
        ((*PROMPTS, "--strength", 2), "strength must be between 0 and 1"),
        ((*PROMPTS, "--no-inversion", "--strength", 0), "changes nothing"),
        ((*PROMPTS, "--method", "textual-inversion"), "teaches a word"),
        ((*PROMPTS, "--method", "magic"), "unknown method 'magic'"),
        ((*PROMPTS, "--adapter", "a.safetensors", "--steps", 3), "has already learnt the picture"),
        ((*PROMPTS, "--sampling-steps", 2000), "takes 1 to 999 steps"),
        ((*PROMPTS, "--sampling-steps", 1000), "takes 1 to 999 steps"),
        ((*PROMPTS, "--method", "none", "--steps", 3), "--method none learns nothing"),
        ((*PROMPTS, "--method", "none", "--set", "learning_rate=1"), "--method none learns nothing"),
        ((*PROMPTS, "--fit", "stretch"), "crop or pad"),
    ],
)
def test_what_cannot_work_is_refused_before_the_work(
    fail: Fail, picture: Path, tiny_base_folder: Path, arguments: tuple[object, ...], message: str
) -> None:
    assert message in fail("edit", picture, "--base", tiny_base_folder, *arguments, "-o", "out")
    assert not Path("out/adapter.safetensors").exists()


def test_a_picture_that_is_missing_is_named(fail: Fail, tiny_base_folder: Path) -> None:
    assert "nowhere.png does not exist" in fail("edit", "nowhere.png", *PROMPTS, "--base", tiny_base_folder)
