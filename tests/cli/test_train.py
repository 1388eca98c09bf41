"""``portraitist train``: what it writes, what it refuses, and going on after an interruption."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import load_file

from portraitist.adapters import load_adapter, read_header

Run = Callable[..., Result]
Fail = Callable[..., str]


@pytest.fixture
def quick(tiny_base_folder: Path) -> tuple[object, ...]:
    return ("--class", "cat", "--base", tiny_base_folder, "--steps", 1)


def test_flags_reach_the_file(run: Run, photos: Path, tiny_base_folder: Path) -> None:
    settings = ("--set", "method_config.rank=2", "--set", "mirror=true", "--seed", 5, "--learning-rate", "1e-3")
    names = ("--class", "cat", "--token", "olo", "--base", tiny_base_folder)
    result = run("train", photos, *names, "--steps", 2, *settings, "-o", "new/mine.safetensors")
    header = read_header(Path("new/mine.safetensors"))
    assert header["config"]["rank"] == 2
    assert header["trigger"] == "olo cat"
    recipe = header["recipe"]
    assert (recipe["steps"], recipe["seed"], recipe["learning_rate"], recipe["mirror"]) == (2, 5, 1e-3, True)
    assert "rank 2" in result.stdout
    command = next(line for line in result.stdout.splitlines() if "portraitist generate" in line)
    assert command.endswith("portraitist generate 'a photo of olo cat on the beach' --adapter new/mine.safetensors")
    run(*shlex.split(command[command.index("generate") :]), "-n", 1, "--steps", 1)
    assert [path.name for path in Path("new").iterdir()] == ["mine.safetensors"]


def test_flags_that_others_have_too_are_settings(run: Run, photos: Path, quick: tuple[object, ...]) -> None:
    several = ("--method", "textual-inversion+lora", "--rank", 3, "--lr", 1e-5, "--batch-size", 2)
    run("train", photos, *quick, *several, "-o", "a.safetensors")
    recipe = read_header(Path("a.safetensors"))["recipe"]
    assert recipe["method_config"]["lora"]["rank"] == 3
    assert (recipe["learning_rate"], recipe["batch_size"]) == (1e-5, 2)


def test_adapters_are_written_along_the_way(run: Run, picture: Path, tiny_base_folder: Path) -> None:
    saving = ("--steps", 7, "--save-every", 2, "--keep-last", 2, "--rank", 2, "--no-prior")
    run("train", picture, "--class", "cat", "--base", tiny_base_folder, *saving, "-o", "a.safetensors")
    run_folder = Path("a.safetensors.run")
    assert sorted(path.name for path in run_folder.iterdir()) == [
        "log.jsonl",
        "step-4.safetensors",
        "step-6.safetensors",
    ]
    assert "trained     6 steps" in run("inspect", run_folder / "step-6.safetensors").stdout
    early, late = (load_adapter(run_folder / f"step-{step}.safetensors").named_parameters() for step in (4, 6))
    assert any(not early[name].equal(late[name]) for name in early)


def test_the_log_is_kept_if_asked_for(run: Run, picture: Path, quick: tuple[object, ...]) -> None:
    run("train", picture, *quick, "--keep-run", "-o", "a.safetensors")
    assert [path.name for path in Path("a.safetensors.run").iterdir()] == ["log.jsonl"]


def test_the_step_that_was_kept_is_said_with_its_reason(run: Run, photos: Path, quick: tuple[object, ...]) -> None:
    spoiling = ("--steps", 8, "--lr", 0.3, "--set", "warmup_steps=0", "--set", "schedule=constant")
    watch = ("--set", "watch.every=2", "--set", "watch.time_share=1", "--no-prior", "--set", "watch.patience=2")
    said = run("train", photos, *quick, *spoiling, *watch, "-o", "a.safetensors").stdout
    training = read_header(Path("a.safetensors"))["training"]
    kept = f"step {training['kept_step']}, which had the smallest loss on pictures kept from training"
    loss = (
        f"on pictures kept from training: {training['validation_before']:#.3g} -> {training['validation_after']:#.3g}"
    )
    for shown in (said, run("inspect", "a.safetensors").stdout):
        assert kept in shown
        assert loss in shown


def test_what_holds_on_to_the_class_and_what_is_missing_is_said(
    run: Run, photos: Path, quick: tuple[object, ...]
) -> None:
    wanted = ("--set", "prior=base", "--set", "photos.captions=true", "--set", "photos.masks=true")
    result = run("train", photos, *quick, *wanted, "-o", "a.safetensors")
    assert "what the base predicts, without images, weight 1" in result.stdout
    assert "class images" not in result.stdout
    assert "photos.captions is set but" in result.output
    assert "photos.masks is set but" in result.output


def test_a_run_starts_from_an_adapter(run: Run, fail: Fail, photos: Path, quick: tuple[object, ...]) -> None:
    run("train", photos, *quick, "--set", "warmup_steps=0", "-o", "a.safetensors")
    still = ("--learning-rate", 1e-30, "--set", "weight_decay=0", "--start", "a.safetensors")
    run("train", photos, *quick, *still, "-o", "b.safetensors")
    first, second = load_file("a.safetensors"), load_file("b.safetensors")
    assert all(torch.equal(first[name], value) for name, value in second.items())
    assert "a.safetensors" in run("inspect", "b.safetensors").stdout
    error = fail("train", photos, *quick, "--method", "full", "--start", "a.safetensors", "-o", "c.safetensors")
    assert "a.safetensors is a lora adapter, but this run trains full" in error
    assert "does not exist; name the adapter file" in fail("train", photos, *quick, "--start", "no.safetensors")


def test_the_file_is_named_after_the_photos(run: Run, photos: Path, quick: tuple[object, ...]) -> None:
    run("train", photos, *quick)
    assert Path("cat-1b7ecd.safetensors").is_file()
    Path("folder").mkdir()
    run("train", photos, *quick, "-o", "folder")
    assert Path("folder/cat-1b7ecd.safetensors").is_file()


def test_a_recipe_file_chooses_the_method(run: Run, photos: Path, quick: tuple[object, ...]) -> None:
    Path("mine.yaml").write_text("method: full\nlayers: ['unet.conv_out']\nprior: none\nprompt: a drawing of {}\n")
    run("train", photos, *quick, "--recipe", "mine.yaml", "-o", "a.safetensors")
    header = read_header(Path("a.safetensors"))
    assert header["method"] == "full"
    assert header["recipe"]["prompt"] == "a drawing of {}"
    assert header["recipe"]["steps"] == 1


def test_two_methods_train_together_into_one_file(
    run: Run, photos: Path, quick: tuple[object, ...], tiny_base_folder: Path
) -> None:
    settings = ("--method", "textual-inversion+krona", "--set", "method_config.krona.in_factor=8")
    layers = ("--set", "layers=[token-embedding, unet.*attn1.to_q]")
    run("train", photos, *quick, *settings, *layers, "--no-prior", "-o", "both.safetensors")
    adapter = load_adapter("both.safetensors")
    assert adapter.method.name == "textual-inversion+krona"
    assert {key for params in adapter.values.values() for key in params} == {"offset", "a", "b"}
    assert adapter.components() == ["text_encoder", "unet"]
    for layer, params in adapter.values.items():
        assert params["b" if "b" in params else "offset"].abs().max() > 0, f"{layer} was not trained"
        assert params.get("a", torch.empty(0, 8)).shape[1] == 8
    assert "krona" in run("inspect", "both.safetensors").stdout


def test_prior_images_are_made_or_not(run: Run, photos: Path, quick: tuple[object, ...], own_cache: Path) -> None:
    run("train", photos, *quick, "--prior", "--set", "prior_images=2", "-o", "a.safetensors")
    assert read_header(Path("a.safetensors"))["recipe"]["prior"] == "generated"
    assert len(list(own_cache.rglob("a-photo-of-cat*/*.png"))) >= 2
    run("train", photos, *quick, "--no-prior", "--method", "full", "-o", "b.safetensors")
    assert read_header(Path("b.safetensors"))["recipe"]["prior"] == "none"


def test_photos_of_another_size_make_pictures_of_it(
    run: Run, fail: Fail, photos: Path, quick: tuple[object, ...], own_cache: Path
) -> None:
    prior = ("--set", "prior=generated", "--set", "prior_images=2")
    for name, size in (("own", ()), ("large", ("--resolution", 48))):
        run("train", photos, *quick, *prior, *size, "-o", f"{name}.safetensors")
        run("generate", "a sks cat", "--adapter", f"{name}.safetensors", "-n", 1, "--steps", 1, "-o", name)
    sizes = [Image.open(f"{name}/a-sks-cat-0.png").size for name in ("own", "large")]
    assert sizes == [(32, 32), (48, 48)], "those of the adapter's photos"
    class_images = [Image.open(path).size for path in sorted((own_cache / "priors").rglob("*.png"))]
    assert sorted(class_images) == [(32, 32)] * 2 + [(48, 48)] * 2
    run("generate", "a sks cat", "--adapter", "large.safetensors", "--resolution", 40, "-n", 1, "--steps", 1, "-o", "x")
    assert Image.open("x/a-sks-cat-0.png").size == (40, 40)
    error = fail("train", photos, *quick, "--resolution", 50, "-o", "no.safetensors")
    assert "multiple of 4 and at least 32, not 50" in error


def test_unusable_photos_are_named_and_the_rest_is_used(
    run: Run, picture: Path, quick: tuple[object, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(picture, folder / "good.png")
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    Image.new("RGB", (4, 4)).save(folder / "tiny.png")
    result = run("train", folder, *quick, "-o", "a.safetensors")
    assert "'sks cat', 1 photo\n" in result.stdout
    for name in ("empty.jpg", "text.png", "tiny.png"):
        assert any(line.startswith("warning: skipped") and name in line for line in result.stderr.splitlines())


def test_single_pictures_can_be_named(run: Run, picture: Path, photos: Path, quick: tuple[object, ...]) -> None:
    result = run("train", picture, photos / "00.png", *quick, "-o", "a.safetensors")
    assert "'sks cat', 2 photos" in result.stdout


def test_a_token_of_several_tokens_is_warned_of(run: Run, picture: Path, quick: tuple[object, ...]) -> None:
    result = run("train", picture, *quick, "--token", "xyzzyx", "-o", "a.safetensors")
    assert "warning: the token 'xyzzyx' is split into " in result.stderr
    assert "rare single tokens of this base: sks, olo" in result.stderr
    assert "warning" not in run("train", picture, *quick, "-o", "b.safetensors").stderr


def test_nothing_is_overwritten_unasked(run: Run, fail: Fail, picture: Path, quick: tuple[object, ...]) -> None:
    run("train", picture, *quick, "-o", "a.safetensors")
    before = Path("a.safetensors").read_bytes()
    assert "a.safetensors exists already" in fail("train", picture, *quick, "--seed", 3, "-o", "a.safetensors")
    assert Path("a.safetensors").read_bytes() == before
    run("train", picture, *quick, "--seed", 3, "-o", "a.safetensors", "--overwrite")
    assert Path("a.safetensors").read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--class", ""), "needs a class noun"),
        (("--class", "  "), "needs a class noun"),
        (("--class", "sks cat"), "'sks' is a word of the class"),
        (("--token", "two words"), "must be a single word"),
        (("--token", ""), "must be a single word"),
        (("--method", "lara"), "unknown method 'lara'; choose one of lora"),
        (("--set", "stepz=3"), "did you mean steps?"),
        (("--set", "rank=16"), "did you mean method_config.rank?"),
        (("--set", "lr=1e-4"), "did you mean learning_rate?"),
        (("--set", "optimizer=adamw8bit"), "did you mean optimizer.name=adamw8bit?"),
        (("--keep-last", "2"), "add --save-every"),
        (("--set", "method_config.rnk=3"), "did you mean rank?"),
        (("--set", "method_config.rank=many"), "rank: Input should be a valid integer"),
        (("--set", "method_config.rank=0"), "rank must be at least 1"),
        (("--set", "method_config=3"), "method_config must contain"),
        (("--set", "layers=nowhere"), "has no layer set named 'nowhere'"),
        (("--set", "layers=unet.nowhere.*"), "no adaptable layer matches"),
        (("--set", "prompt=a photo"), "must contain {} exactly once"),
        (("--set", "schedule=zigzag"), "schedule: Input should be 'constant'"),
        (("--set", "steps"), "name=value"),
        (("--steps", "0"), "steps: Input should be greater than 0"),
        (("--learning-rate", "-1"), "learning_rate: Input should be greater than 0"),
        (("--base", "nowhere/at-all"), "neither a folder here nor in the hub"),
        (("--base", "."), "has no readable model_index.json"),
        (("--base-bits", "3"), "8 or 4 bits, not in 3"),
        (("--base-bits", "4", "--method", "full"), "needs the weight, which this base holds in fewer bits"),
        (("--device", "abacus"), "there is no device 'abacus'"),
        (("--fit", "stretch"), "crop or pad"),
        (("--recipe", "missing.yaml"), "cannot read the recipe missing.yaml"),
        (("-o", "adapter.ckpt"), "ends in .safetensors"),
        (("-o", "one.png/a.safetensors"), "cannot write into one.png"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    fail: Fail, picture: Path, quick: tuple[object, ...], arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in fail("train", picture, *quick, *arguments)
    assert list(Path().glob("*.safetensors*")) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stepz: 3", "did you mean steps?"),
        ("- a list", "`name: value` lines"),
        ("a: [", "cannot read the recipe"),
        ("method: lara", "unknown method 'lara'"),
        ("method_config: 8", "method_config must contain"),
        ("1: 2", "there is no setting '1'"),
    ],
)
def test_a_bad_recipe_file_is_refused(
    fail: Fail, picture: Path, quick: tuple[object, ...], text: str, complaint: str
) -> None:
    Path("mine.yaml").write_text(text)
    assert complaint in fail("train", picture, *quick, "--recipe", "mine.yaml")


def test_a_recipe_file_of_another_method_is_refused(fail: Fail, picture: Path, quick: tuple[object, ...]) -> None:
    Path("mine.yaml").write_text("method: full")
    error = fail("train", picture, *quick, "--recipe", "mine.yaml", "--method", "lora")
    assert "mine.yaml is a recipe for full, not for lora" in error


def test_photos_that_cannot_be_used_are_refused(fail: Fail, quick: tuple[object, ...], tmp_path: Path) -> None:
    assert "nowhere does not exist" in fail("train", "nowhere", *quick)
    Path("folder").mkdir()
    assert "no pictures in folder" in fail("train", "folder", *quick)
    Path("folder/empty.png").touch()
    Path("folder/text.jpg").write_text("text")
    error = fail("train", "folder", *quick)
    assert "empty.png is empty" in error
    assert "text.jpg is not a picture" in error


def test_an_interrupted_run_is_continued_to_the_same_result(
    run: Run, fail: Fail, photos: Path, tiny_base_folder: Path
) -> None:
    settings = ("train", photos, "--class", "cat", "--base", tiny_base_folder, "--steps", 80)
    whole = (*settings, "-o", "whole.safetensors")
    run(*whole)
    broken = (*settings, "-o", "broken.safetensors")
    program = "from portraitist.cli.main import app; app()"
    command = [sys.executable, "-c", program, *(str(argument) for argument in broken)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    log = Path("broken.safetensors.run/log.jsonl")
    while not log.exists() and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: stopped after step" in errors
    assert "continue with --resume" in errors
    assert not Path("broken.safetensors").exists()

    assert "holds an interrupted run; continue it with --resume" in fail(*broken)
    assert "holds another run: task.recipe.seed was 0 and is 7 now" in fail(*broken, "--resume", "--seed", 7)
    run(*broken, "--resume")
    assert not log.parent.exists()
    first, second = load_file("whole.safetensors"), load_file("broken.safetensors")
    assert first.keys() == second.keys()
    assert all(bool((first[key] == second[key]).all()) for key in first)


def test_resuming_nothing_is_said(run: Run, picture: Path, quick: tuple[object, ...]) -> None:
    result = run("train", picture, *quick, "--resume", "-o", "a.safetensors")
    assert "warning: there is no interrupted run of a.safetensors; starting from scratch" in result.stderr


def test_the_metadata_is_plain_json(trained: Path) -> None:
    assert json.loads(json.dumps(read_header(trained)))["subject"] == {
        "name": "cat-1b7ecd",
        "class": "cat",
        "token": "sks",
    }


def test_damage_in_the_cache_is_one_line(
    run: Callable[..., Result], photos: Path, tiny_base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTRAITIST_CACHE", str(tmp_path / "cache"))
    command = ("train", photos, "--class", "cat", "--base", tiny_base_folder, "--steps", 1, "--set", "prior=none", "-o")
    run(*command, "a.safetensors")
    file, *_ = (tmp_path / "cache" / "latents").iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    said = run(*command, "b.safetensors").stderr
    assert f"warning: {file} was damaged; it is made again\n" in said
    assert "UserWarning" not in said
    assert "cache.py" not in said
