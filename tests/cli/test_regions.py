"""``portraitist generate --region``: two subjects, each with its words and its adapter on its side."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run

LAYERS = ("unet.*.to_q", "unet.*.to_k")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_each_adapter_gets_its_side(run: Run, write_adapter: Callable[..., Path]) -> None:
    left, right = (
        f"left=a sks cat@{write_adapter('sks', 'svdiff', LAYERS)}",
        f"right=a olo cat@{write_adapter('olo', 'svdiff', LAYERS)}:0.5",
    )
    quick = ("-n", 1, "--steps", 2)
    run(
        "generate",
        "two cats",
        "--region",
        left,
        "--region",
        right,
        "--base-ratio",
        0.3,
        "--region-start",
        0.1,
        *quick,
        "-o",
        "regions",
    )
    run(
        "generate",
        "two cats",
        "--adapter",
        "sks.safetensors",
        "--adapter",
        "olo.safetensors:0.5",
        *quick,
        "-o",
        "added",
    )
    first, second = Path("regions/two-cats-0.png"), Path("added/two-cats-0.png")
    with Image.open(first) as image:
        facts = json.loads(image.text["portraitist"])  # type: ignore[attr-defined]
    assert facts["adapters"] == {"sks.safetensors": 1.0, "olo.safetensors": 0.5}
    assert facts["regions"] == [
        {"place": "left", "prompt": "a sks cat", "adapter": "sks.safetensors", "base_ratio": 0.3, "start": 0.1},
        {"place": "right", "prompt": "a olo cat", "adapter": "olo.safetensors", "base_ratio": 0.3, "start": 0.1},
    ]
    assert (pixels(first) != pixels(second)).any()


def test_adapters_added_at_generation_are_the_merged_file(run: Run, write_adapter: Callable[..., Path]) -> None:
    files = [write_adapter(name, "svdiff", ("unet.*",)) for name in ("sks", "olo")]
    quick = ("-n", 1, "--steps", 2)
    run("generate", "two cats", "--adapter", files[0], "--adapter", files[1], *quick, "-o", "together")
    run("merge", *files, "-o", "both.safetensors")
    run("generate", "two cats", "--adapter", "both.safetensors", *quick, "-o", "merged")
    together, merged = (pixels(Path(folder) / "two-cats-0.png").astype(int) for folder in ("together", "merged"))
    assert abs(together - merged).max() <= 1


@pytest.mark.parametrize(
    ("region", "complaint"),
    [
        ("left", "a region is written PLACE=PROMPT"),
        ("middle=a cat", "there is no region 'middle'"),
        ("left=a cat@nowhere.safetensors", "nowhere.safetensors"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    fail: Callable[..., str], tiny_base_folder: Path, region: str, complaint: str
) -> None:
    assert complaint in fail("generate", "a cat", "--region", region, "--base", tiny_base_folder, "--steps", 1)
