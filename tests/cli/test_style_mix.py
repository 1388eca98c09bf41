"""``portraitist merge --mode style-mix``, ``strip`` and ``similarity``."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from PIL import Image

from portraitist.adapters import load_adapter

Run = Callable[..., Result]
Fail = Callable[..., str]
Write = Callable[..., Path]

LAYERS = ("unet.*attn2*",)


@pytest.fixture
def files(write_adapter: Write) -> list[Path]:
    return [write_adapter(name, "svdiff", LAYERS) for name in ("first", "second")]


def test_a_mix_takes_geometry_from_the_first_and_the_rest_from_the_second(run: Run, files: list[Path]) -> None:
    run("merge", *files, "--mode", "style-mix", "--geometry", "unet.mid_block.*", "-o", "mix.safetensors")
    mixed, first, second = (load_adapter(path) for path in ("mix.safetensors", *files))
    assert mixed.layers.keys() == second.layers.keys()
    for name, tensors in mixed.values.items():
        origin = first if name.startswith("unet.mid_block.") else second
        torch.testing.assert_close(tensors["delta"], origin.values[name]["delta"])
    assert [part["file"] for part in mixed.provenance.facts["merged"]] == [path.name for path in files]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # The untrained base of the tests has fewer levels than Stable Diffusion, whose split is taken for its family.
        (("--mode", "style-mix"), "changes no layer unet.down_blocks.2.attentions.1.*"),
        (("--mode", "style-mix", "--weights", "1,2"), "and no weights"),
        (("--mode", "style-mix", "--into-base"), "write the style-mix to a file first"),
        (("--geometry", "unet.mid_block.*"), "--geometry is for --mode style-mix"),
        (("--mode", "blend"), "choose add, interpolate or style-mix"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(
    fail: Fail, files: list[Path], arguments: tuple[object, ...], message: str
) -> None:
    assert message in fail("merge", *files, *arguments, "-o", "mix.safetensors")


def test_a_strip_and_a_heat_map_are_drawn(run: Run, fail: Fail, files: list[Path]) -> None:
    run("strip", *files, "a cat", "-n", 2, "--steps", 1)
    output = run("similarity", *files).stdout
    assert "first, second" in output
    for name in ("strip.png", "similarity.png"):
        with Image.open(name) as picture:
            assert picture.width > 100
    assert "exists already" in fail("strip", *files, "a cat")
    assert "exists already" in fail("similarity", *files)
    assert "at least two adapters" in fail("similarity", files[0], "-o", "other.png")
