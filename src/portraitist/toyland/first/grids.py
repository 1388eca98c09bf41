"""Grids of sampled pictures with their prompts underneath: how far the denoiser has come."""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from portraitist.files import write_aside
from portraitist.generation import SamplingConfig, generate
from portraitist.generation.sheets import caption_sheet
from portraitist.toyland.first.exam import as_base
from portraitist.training.loop.loop import Loop

PROMPTS = (
    "a photo of a red robot on the beach",
    "a photo of a blue robot in the snow",
    "a photo of a ginger cat in the forest",
    "a photo of a grey cat in the city at night",
    "a photo of a green monster in space",
    "a photo of a purple monster in the desert",
    "a photo of a person with long red hair in a room with a wooden floor",
    "a photo of a person with a beard wearing sunglasses under water",
    "a photo of a yellow robot on a blue background",
    "a photo of a black cat wearing a red scarf against a yellow wall",
    "a photo of a red robot on the left and a cat on the right in the snow",
    "a photo of a person on the left and a blue monster on the right on the beach",
    "a pencil sketch of a cat in the forest",
    "pixel art of a pink robot in space",
    "a sepia photo of a person in the desert",
    "a poster of a monster in the city at night",
)


def sample_grid(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str] = PROMPTS,
    *,
    seed: int = 0,
    columns: int = 4,
    tile: int = 128,
    config: SamplingConfig | None = None,
) -> Image.Image:
    """Sample one picture a prompt and lay them out with the prompts underneath.

    Args:
        pipeline: The text-to-image model.
        prompts: What to sample.
        seed: Seed of the first picture's noise; the next ones count on.
        columns: Pictures in a row.
        tile: Side of a picture on the grid, in pixels.
        config: How to sample.
    """
    seeds = range(seed, seed + len(prompts))
    config = config or SamplingConfig(batch_size=16)
    pictures = generate(as_base(pipeline), prompts, seeds=seeds, config=config, show_progress=False)
    captioned = [(picture.image, picture.prompt) for picture in pictures]
    return caption_sheet(captioned, columns=min(columns, len(captioned)), tile=tile)


class GridWriter:
    """A callback of the loop: every so many steps, a grid sampled with the averaged weights goes into a folder."""

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        loop: Loop,
        folder: Path,
        every: int,
        prompts: Sequence[str] = PROMPTS,
        config: SamplingConfig | None = None,
    ) -> None:
        """Set up the callback.

        Args:
            pipeline: A pipeline around the network that the loop trains.
            loop: The loop that calls.
            folder: Where ``step-0001000.png`` and so on go.
            every: Steps between two grids.
            prompts: What to sample.
            config: How to sample.
        """
        self.pipeline, self.loop, self.folder, self.every = pipeline, loop, folder, every
        self.prompts, self.config = prompts, config

    def __call__(self, completed: int) -> None:
        """Write a grid if it is time; training goes on as if nothing had happened."""
        if completed % self.every and completed != self.loop.config.steps:
            return
        unet = self.pipeline.unet
        with torch.no_grad(), self.loop.averaged():
            unet.eval()
            grid = sample_grid(self.pipeline, self.prompts, config=self.config)
            unet.train()
        with write_aside(self.folder / f"step-{completed:07d}.png") as temporary:
            grid.save(temporary, format="PNG")
