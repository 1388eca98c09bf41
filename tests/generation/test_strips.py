"""Interpolation strips: the ends are the adapters themselves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.adapters import Adapter, find_layers
from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig
from portraitist.generation import SamplingConfig, generate
from portraitist.generation.strips import draw_strip, interpolation_strip, shares

CONFIG = SamplingConfig(steps=2, scheduler="ddim")
PROMPTS = ["a cat on the beach", "a robot in the snow"]


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


def random_adapter(base: Base, seed: int) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    specs = find_layers(base.components, ("unet.*attn2*",))
    adapter = Adapter.create("svdiff", {}, specs, generator)
    for tensor in adapter.named_parameters().values():
        tensor.requires_grad_(False).copy_(torch.randn(tensor.shape, generator=generator))
    return adapter


def test_the_ends_of_a_strip_are_the_adapters_and_the_middle_is_another(base: Base) -> None:
    first, second = random_adapter(base, 1), random_adapter(base, 2)
    rows = interpolation_strip(base, first, second, PROMPTS, count=3, seed=4, config=CONFIG)
    assert [len(row) for row in rows] == [3, 3]
    for place, adapter in ((0, first), (2, second)):
        alone = generate(base, PROMPTS, adapter, seeds=[4, 4], config=CONFIG, show_progress=False)
        for row, picture in zip(rows, alone, strict=True):
            difference = np.asarray(row[place].image, int) - np.asarray(picture.image, int)
            assert np.abs(difference).max() <= 1
    assert not np.array_equal(rows[0][0].image, rows[0][1].image)
    assert not np.array_equal(rows[0][1].image, rows[0][2].image)
    assert draw_strip(rows, tile=40).width == 8 + 3 * 48


def test_places_are_equally_far_apart() -> None:
    assert shares(5) == [0, 0.25, 0.5, 0.75, 1]


def test_refuses_a_strip_without_ends(base: Base) -> None:
    with pytest.raises(BadConfig, match="at least two pictures"):
        interpolation_strip(base, random_adapter(base, 1), random_adapter(base, 2), PROMPTS, count=1)


def test_interpolates_with_the_papers_sampler_when_none_is_given(base: Base) -> None:
    rows = interpolation_strip(
        base, random_adapter(base, 1), random_adapter(base, 2), PROMPTS[:1], count=2, config=replace(CONFIG)
    )
    assert rows[0][0].config.scheduler == "ddim"
