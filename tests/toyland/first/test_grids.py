"""Grids: layout, and drawing them while a run goes on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from portraitist.generation import SamplingConfig, generate
from portraitist.toyland.first.exam import as_base
from portraitist.toyland.first.grids import GridWriter, sample_grid
from portraitist.training.loop.loop import Loop, LoopConfig, ParameterGroup

QUICK = SamplingConfig(steps=2, guidance=1.0)
PROMPTS = ("a photo of a cat in the snow", "a photo of a red robot on the beach")


def test_a_grid_shows_every_prompts_picture(pipeline: StableDiffusionPipeline) -> None:
    grid = sample_grid(pipeline, [*PROMPTS, PROMPTS[0]], columns=2, tile=64, config=QUICK)
    assert grid.width >= 2 * 64
    assert grid.height >= 2 * 64
    pictures = generate(as_base(pipeline), PROMPTS, seeds=[0, 1], config=QUICK)
    for place, picture in enumerate(pictures):
        x, y = 8 + place * (64 + 8), 8
        assert grid.crop((x, y, x + 64, y + 64)).tobytes() == picture.image.tobytes()


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
