"""Interpolation strips: the same noise, from one adapter to another in equal steps (SVDiff, section 4.3)."""

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from portraitist.adapters import Adapter, interpolate
from portraitist.adapters.algebra import bind
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.exchange.compatibility import check_base
from portraitist.generation.config import SamplingConfig
from portraitist.generation.sampling import Picture, generate
from portraitist.generation.sheets import caption_sheet
from portraitist.progress import track

DEFAULT_COUNT = 7


def interpolation_strip(
    base: Base,
    first: Adapter,
    second: Adapter,
    prompts: Sequence[str],
    *,
    count: int = DEFAULT_COUNT,
    seed: int = 0,
    config: SamplingConfig | None = None,
    force: bool = False,
) -> list[list[Picture]]:
    """Sample every prompt on the way from one adapter to another.

    Subjects that are to turn into each other are trained with the same words, such as ``sks thing`` (section 4.3).

    Args:
        base: The base model.
        first: What the strip begins with.
        second: What it ends with.
        prompts: One row each.
        count: Pictures in a row, both ends included.
        seed: Seed of the noise, the same for all.
        config: How to sample; with DDIM when not given, as in the paper.
        force: Use adapters that were made for another base.

    Returns:
        Pictures by prompt and place on the way.

    Raises:
        BadConfig: If there are fewer than two places, or the adapters cannot be added.
        BaseMismatch: If one was made for another base.
    """
    if count < 2 or not prompts:
        raise BadConfig("a strip needs a prompt and at least two pictures, its two ends")
    for adapter in (first, second):
        check_base(adapter, base, force)
        bind(adapter, base.components)
    config = config or replace(SamplingConfig(), scheduler="ddim")
    columns = []
    with track(count * len(prompts), "sampling the strip") as progress:
        for share in shares(count):
            between = interpolate(first, second, 1 - share).to(base.device)
            seeds = [seed] * len(prompts)
            columns.append(
                generate(base, prompts, between, seeds=seeds, config=config, force=force, show_progress=False)
            )
            progress.advance(len(prompts))
    return [list(row) for row in zip(*columns, strict=True)]


def shares(count: int) -> list[float]:
    """Return the second adapter's share at every place: 0, ..., 1."""
    return [index / (count - 1) for index in range(count)]


def draw_strip(rows: Sequence[Sequence[Picture]], tile: int = 160) -> Image.Image:
    """Lay the pictures out, with the second adapter's share under each."""
    count = len(rows[0])
    tiles = [
        (picture.image, f"{share:.2f} {picture.prompt if index == 0 else ''}")
        for row in rows
        for index, (picture, share) in enumerate(zip(row, shares(count), strict=True))
    ]
    return caption_sheet(tiles, columns=count, tile=tile)
