"""``portraitist generate``: the same pictures for the same seed, metadata, refusals."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import load_file, save_file

from portraitist.adapters import load_adapter, save_adapter
from portraitist.bases import load_base

Run = Callable[..., Result]
Fail = Callable[..., str]

PROMPT = "a sks cat on the beach"
QUICK = ("--steps", 2)


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_pictures_carry_what_made_them(run: Run, trained: Path, tiny_base_folder: Path) -> None:
    settings = ("--seed", 7, "--guidance", 2.5, "--negative", "a dog", "--scheduler", "ddim")
    run("generate", PROMPT, "--adapter", f"{trained}:0.5", "-n", 2, *QUICK, *settings, "-o", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "a-sks-cat-on-the-beach-7.png",
        "a-sks-cat-on-the-beach-8.png",
        "sheet.png",
    ]
    with Image.open("out/a-sks-cat-on-the-beach-8.png") as image:
        assert image.size == (32, 32)
        assert "prompt" not in image.text, "that is ComfyUI's"  # type: ignore[attr-defined]
        assert image.text["parameters"] == (  # type: ignore[attr-defined]
            f"{PROMPT}\nNegative prompt: a dog\nSteps: 2, Sampler: DDIM, CFG scale: 2.5, Seed: 8, Size: 32x32,"
            f" Model: {tiny_base_folder.name}, Version: portraitist"
        )
        facts = json.loads(image.text["portraitist"])  # type: ignore[attr-defined]
    assert facts == {
        "prompt": PROMPT,
        "seed": 8,
        "base": str(tiny_base_folder),
        "adapters": {"cat.safetensors": 0.5},
        "steps": 2,
        "guidance": 2.5,
        "negative_prompt": "a dog",
        "scheduler": "ddim",
    }


def test_the_same_seed_gives_the_same_picture(run: Run, trained: Path) -> None:
    run("generate", PROMPT, "--adapter", trained, "-n", 2, *QUICK, "-o", "first")
    run("generate", "a cat", PROMPT, "--adapter", trained, "-n", 1, "--seed", 1, *QUICK, "-o", "second")
    name = "a-sks-cat-on-the-beach-{}.png"
    assert np.abs(pixels(f"first/{name.format(1)}") - pixels(f"second/{name.format(1)}")).max() <= 1
    assert np.abs(pixels(f"first/{name.format(0)}") - pixels(f"first/{name.format(1)}")).max() > 8


def test_an_adapter_changes_the_picture_as_far_as_its_scale(run: Run, trained: Path, tiny_base_folder: Path) -> None:
    one = (PROMPT, "-n", 1, *QUICK, "--base", tiny_base_folder)
    run("generate", *one, "-o", "base")
    run("generate", *one, "--adapter", f"{trained}:0", "-o", "none")
    run("generate", *one, "--adapter", trained, "-o", "full")
    picture = "a-sks-cat-on-the-beach-0.png"
    np.testing.assert_array_equal(pixels(f"base/{picture}"), pixels(f"none/{picture}"))
    assert np.abs(pixels(f"base/{picture}") - pixels(f"full/{picture}")).max() > 2


def test_adapters_of_other_formats_make_the_same_picture(run: Run, trained: Path) -> None:
    run("generate", PROMPT, "--adapter", trained, "-n", 1, *QUICK, "-o", "own")
    for to in ("kohya", "peft"):
        path = Path("folder" if to == "peft" else "file.safetensors")
        run("convert", trained, "-o", path, "--to", to)
        run("generate", PROMPT, "--adapter", path, "-n", 1, *QUICK, "-o", to)
        picture = "a-sks-cat-on-the-beach-0.png"
        assert np.abs(pixels(f"own/{picture}") - pixels(f"{to}/{picture}")).max() <= 1


def test_a_foreign_adapter_is_compared_with_the_base_by_its_layers(
    run: Run, fail: Fail, trained: Path, tiny_base_folder: Path
) -> None:
    run("convert", trained, "-o", "named.safetensors", "--to", "kohya")
    tensors = load_file("named.safetensors")
    save_file(tensors, "bare.safetensors")
    one = ("generate", PROMPT, "-n", 1, *QUICK, "--adapter")
    assert "bare.safetensors does not say which base it was made for; name it with --base" in fail(
        *one, "bare.safetensors"
    )
    run(*one, "bare.safetensors", "--base", tiny_base_folder)
    save_file({key.replace("mid_block", "up_blocks_7"): value for key, value in tensors.items()}, "far.safetensors")
    assert "changes unet.up_blocks.7.attentions" in fail(*one, "far.safetensors", "--base", tiny_base_folder)
    first = next(key for key in tensors if "attn1_to_q.lora_down" in key)
    save_file({**tensors, first: torch.zeros(4, 5)}, "narrow.safetensors")
    for force in ((), ("--force",)):  # layers must fit all the same
        line = fail(*one, "narrow.safetensors", "--base", tiny_base_folder, *force)
        assert re.search(r"changes a weight of shape \(\d+, 5\) at unet\..*attn1\.to_q, which has", line)


def test_two_adapters_add_up(run: Run, trained: Path) -> None:
    shutil.copy(trained, "second.safetensors")
    run("generate", PROMPT, "--adapter", f"{trained}:0.5", "--adapter", "second.safetensors:0.5", "-n", 1, *QUICK)
    run("generate", PROMPT, "--adapter", trained, "-n", 1, *QUICK, "-o", "one")
    name = "a-sks-cat-on-the-beach-0.png"
    assert np.abs(pixels(f"pictures/{name}") - pixels(f"one/{name}")).max() <= 2


def test_nothing_is_overwritten(run: Run, trained: Path) -> None:
    for _ in range(2):
        run("generate", PROMPT, "--adapter", trained, "-n", 1, *QUICK)
    assert sorted(path.name for path in Path("pictures").iterdir()) == [
        "a-sks-cat-on-the-beach-0-2.png",
        "a-sks-cat-on-the-beach-0.png",
        "sheet-2.png",
        "sheet.png",
    ]


def test_the_sheet_has_a_row_for_each_prompt(run: Run, trained: Path) -> None:
    run("generate", PROMPT, "a sks cat in space", "--adapter", trained, "-n", 3, *QUICK)
    run("generate", PROMPT, "--adapter", trained, "-n", 3, *QUICK, "-o", "single")
    with Image.open("pictures/sheet.png") as two, Image.open("single/sheet.png") as one:
        assert two.width == one.width
        assert two.height > 1.8 * one.height


def test_a_prompt_without_the_subject_is_warned_of(run: Run, trained: Path) -> None:
    result = run("generate", "a cat", PROMPT, "A SKS, cat", "sksy", "--adapter", trained, "-n", 1, *QUICK)
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning")]
    assert len(warnings) == 2
    assert "'a cat' does not contain 'sks'; write 'sks cat'" in warnings[0]
    assert "'sksy'" in warnings[1]


def test_an_adapter_of_another_base_is_refused(
    run: Run, fail: Fail, trained: Path, tiny_base_folder: Path, other_base_folder: Path
) -> None:
    one = ("generate", PROMPT, "--adapter", trained, "-n", 1, *QUICK)
    error = fail(*one, "--base", other_base_folder)
    assert f"made for {tiny_base_folder} (fingerprint " in error
    assert f"not for {other_base_folder} (fingerprint " in error
    assert "--force" in error
    run(*one, "--base", other_base_folder, "--force")
    assert Path("pictures/sheet.png").exists()


def test_adapters_of_two_bases_need_a_choice(fail: Fail, trained: Path) -> None:
    adapter = load_adapter(trained)
    adapter.provenance.facts["base"] = {"name": "elsewhere", "fingerprint": "0"}
    save_adapter(adapter, "other.safetensors")
    error = fail("generate", PROMPT, "--adapter", trained, "--adapter", "other.safetensors")
    assert "and elsewhere; choose one with --base" in error


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--adapter", "missing.safetensors"), "missing.safetensors does not exist"),
        (("--adapter", "."), "is a folder without an adapter"),
        (("--adapter", "empty.safetensors"), "is empty or cut short"),
        (("--adapter", "model.ckpt"), "is a pickle"),
        (("--adapter", "cut.safetensors"), "cut short"),
        (("--adapter", "cat.safetensors", "--adapter", "cat.safetensors"), "given twice"),
        (("--adapter", "cat.safetensors", "--base", "nowhere"), "neither a folder here"),
        (("--adapter", "cat.safetensors", "--guidance", "0.5"), "guidance at least 1"),
        (("--adapter", "cat.safetensors", "--steps", "0"), "steps and batch size must be at least 1"),
        (("--adapter", "cat.safetensors", "--scheduler", "magic"), "choose one of dpm, ddim, euler"),
        (("--adapter", "cat.safetensors", "-o", "cat.safetensors"), "cannot write into cat.safetensors"),
        (("--adapter", "cat.safetensors", "--device", "abacus"), "there is no device"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    fail: Fail, trained: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    content = trained.read_bytes()
    Path("cat.safetensors").write_bytes(content)
    Path("cut.safetensors").write_bytes(content[: len(content) // 2])
    Path("empty.safetensors").touch()
    Path("model.ckpt").write_bytes(b"PK\x03\x04" + bytes(64))
    assert complaint in fail("generate", PROMPT, *arguments)


def test_values_that_are_not_finite_are_refused(fail: Fail, trained: Path) -> None:
    adapter = load_adapter(trained)
    next(iter(adapter.named_parameters().values())).data[0, 0] = torch.nan
    save_adapter(adapter, "broken.safetensors")
    assert "not finite" in fail("generate", PROMPT, "--adapter", "broken.safetensors")


def test_a_prompt_without_quotes_is_asked_about(fail: Fail) -> None:
    error = fail("generate", "a", "sks", "cat", "in", "space")
    assert "5 prompts of one word each" in error
    assert "portraitist generate 'a sks cat in space'" in error


def test_what_other_programs_read_in_prompts_is_said(run: Run, tiny_base_folder: Path) -> None:
    said = run("generate", "a (cat:1.3) <lora:x:0.8>", "--base", tiny_base_folder, *QUICK, "-n", 1).stderr
    assert "(cat:1.3) in the prompt is read as text" in said
    assert "--adapter x.safetensors:0.8" in said


def test_a_plain_seed_is_that_of_other_programs(run: Run, tiny_base_folder: Path) -> None:
    for flag in ((), ("--plain-seed",)):
        run(
            "generate",
            "a cat",
            "--base",
            tiny_base_folder,
            *QUICK,
            "-n",
            1,
            "--seed",
            42,
            *flag,
            "-o",
            f"out{len(flag)}",
        )
    pictures = [Image.open(f"out{number}/a-cat-42.png") for number in (0, 1)]
    assert pictures[0].tobytes() != pictures[1].tobytes()
    base = load_base(tiny_base_folder)
    arguments = {"num_inference_steps": 2, "guidance_scale": base.guidance, "height": 32, "width": 32}
    base.pipeline.scheduler = base.family.sampler("dpm")
    (plain,) = base.pipeline("a cat", generator=torch.Generator().manual_seed(42), **arguments).images
    difference = np.abs(np.asarray(plain, dtype=int) - np.asarray(pictures[1], dtype=int))
    assert difference.max() <= 1
