"""Grids: layout, and drawing them while a run goes on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from portraitist.generation import SamplingConfig
from portraitist.toyland.grids import GridWriter, captioned_grid, sample_grid
from portraitist.training.loop import Loop, LoopConfig, ParameterGroup

QUICK = SamplingConfig(steps=2, guidance=1.0)
PROMPTS = ("a photo of a cat in the snow", "a photo of a red robot on the beach")
PAPER = 255


def test_pictures_stand_in_rows_with_captions_under_them() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    images = [Image.new("RGB", (64, 64), colour) for colour in colours]
    grid = np.asarray(captioned_grid(images, ["one", "two words", "three"], columns=2, tile=128))
    places = []
    for colour in colours:
        rows, columns = np.nonzero((grid == colour).all(-1))
        places.append((rows.min(), columns.min(), rows.max() - rows.min() + 1, columns.max() - columns.min() + 1))
    assert all(place[2:] == (128, 128) for place in places)
    assert places[0][0] == places[1][0] < places[2][0]
    assert places[0][1] == places[2][1] < places[1][1]
    top, left = places[0][0] + 128, places[0][1]
    assert (grid[top : places[2][0], left : left + 128] < PAPER).any()


def test_long_captions_stay_in_their_cell() -> None:
    images = [Image.new("RGB", (64, 64), (9, 9, 9))] * 2
    caption = "a photo of a person with long red hair and a beard wearing sunglasses and a blue hoodie, and so on " * 2
    grid = np.asarray(captioned_grid(images, [caption, ""], columns=2, tile=128))
    below_second = grid[8 + 128 :, 8 + 128 + 8 :]
    assert (below_second == PAPER).all()
    assert (grid[-8:] == PAPER).all()


def test_a_grid_is_repeatable(pipeline: StableDiffusionPipeline) -> None:
    first = sample_grid(pipeline, PROMPTS, seed=3, config=QUICK)
    assert first.tobytes() == sample_grid(pipeline, PROMPTS, seed=3, config=QUICK).tobytes()
    assert first.tobytes() != sample_grid(pipeline, PROMPTS, seed=4, config=QUICK).tobytes()


class Drift:
    """Push the UNet's weights towards zero."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet.train()

    def groups(self) -> Sequence[ParameterGroup]:
        return [ParameterGroup(dict(self.unet.named_parameters()), 1e-2)]

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        return {"loss": torch.stack([p.square().mean() for p in self.unet.parameters()]).sum()}

    def after_step(self) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {}


def test_grids_show_the_averaged_weights_and_leave_training_alone(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    unet = pipeline.unet
    loop = Loop(Drift(unet), LoopConfig(steps=5, average_decay=0.9))
    modes = []
    grids: dict[int, bytes] = {}
    writer = GridWriter(pipeline, loop, tmp_path / "grids", 2, PROMPTS, QUICK)

    def watch(completed: int) -> None:
        before = [p.detach().clone() for p in unet.parameters()]
        writer(completed)
        modes.append(unet.training)
        assert all(torch.equal(a, b) for a, b in zip(before, unet.parameters(), strict=True))
        with loop.averaged():
            grids[completed] = sample_grid(pipeline, PROMPTS, config=QUICK).tobytes()

    loop.callbacks = (watch,)
    loop.run()
    paths = sorted((tmp_path / "grids").iterdir())
    assert [path.name for path in paths] == ["step-0000002.png", "step-0000004.png", "step-0000005.png"]
    for path, completed in zip(paths, (2, 4, 5), strict=True):
        with Image.open(path) as picture:
            assert picture.tobytes() == grids[completed]
    assert grids[2] != sample_grid(pipeline, PROMPTS, config=QUICK).tobytes()
    assert all(modes)
