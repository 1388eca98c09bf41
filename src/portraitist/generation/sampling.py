"""Sampling pictures from a base, with any adapters on it."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from portraitist.adapters import Adapter, Attachment
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.exchange.compatibility import check_base
from portraitist.files import write_aside
from portraitist.generation.config import SamplingConfig
from portraitist.generation.notes import parameters_line, png_notes
from portraitist.generation.prompts import require_text
from portraitist.generation.regions import Region, of_each, regional
from portraitist.progress import track
from portraitist.randomness import derive_seed
from portraitist.units import first_few

# The range of each channel of a picture that could not be computed.
_BLACK = ((0, 0), (0, 0), (0, 0))


@dataclass(frozen=True)
class Picture:
    """A generated picture with everything needed to make it again.

    With a plain seed its starting noise is what any program draws from that seed on the CPU by torch.
    """

    image: Image.Image
    prompt: str
    seed: int
    base: str
    adapters: Mapping[str, float]
    config: SamplingConfig
    regions: tuple[Region, ...] = ()
    plain_seed: bool = False

    def save(self, path: Path) -> None:
        """Write a PNG that carries prompt, seed, base, adapters and settings; it appears complete or not at all."""
        with write_aside(path) as temporary:
            self.write_png(temporary)

    def write_png(self, path: Path) -> None:
        """Write that PNG in place."""
        settings = {key: value for key, value in asdict(self.config).items() if key != "batch_size"}
        facts: dict[str, Any] = {"seed": self.seed, "base": self.base, "adapters": dict(self.adapters), **settings}
        if self.regions:
            facts["regions"] = [asdict(region) for region in self.regions]
        if self.plain_seed:
            facts["plain_seed"] = True
        notes = png_notes(self.prompt, facts, parameters_line(self.prompt, facts, self.image.size))
        self.image.save(path, format="PNG", pnginfo=notes)


def generate(
    base: Base,
    prompts: Sequence[str],
    adapters: Mapping[str, tuple[Adapter, float]] | Adapter | None = None,
    *,
    seeds: Sequence[int] | None = None,
    config: SamplingConfig | None = None,
    regions: Sequence[Region] | Sequence[Sequence[Region]] = (),
    force: bool = False,
    merged: bool = False,
    plain_seeds: bool = False,
    show_progress: bool = True,
    callback: Callable[[int], None] | None = None,
) -> list[Picture]:
    """Sample one picture for each prompt.

    Args:
        base: The base model.
        prompts: One prompt a picture.
        adapters: An adapter, or adapters with their scales by name, attached for the while.
        seeds: One seed a picture; 0, 1, 2, ... when not given. The same seed gives the same starting noise, whatever
            else is in the batch.
        config: How to sample.
        regions: Parts of the pictures with prompts, and perhaps adapters, of their own; the same in all pictures, or a
            list for each.
        force: Use adapters that were made for another base.
        merged: Sample with the adapters in the weights, as `merge_for_sampling` does; not for regions.
        plain_seeds: Seed torch with the seeds as they are, as other programs do, not with this package's own streams.
        show_progress: Whether to show a bar.
        callback: Called with the number of pictures that are done, after each batch; what it raises ends the sampling.

    Returns:
        The pictures in the order of the prompts.

    Raises:
        BaseMismatch: If an adapter was made for another base.
        BadConfig: If there are not as many seeds, or lists of regions, as prompts, the base's family cannot be sampled
            so, or a region does not fit.
    """
    for prompt in prompts:
        require_text(prompt)
    config = (config or SamplingConfig()).for_base(base)
    seeds = list(range(len(prompts))) if seeds is None else list(seeds)
    if len(seeds) != len(prompts):
        raise BadConfig(f"{len(prompts)} prompts need {len(prompts)} seeds, not {len(seeds)}")
    own = of_each(regions)
    if own is not None and len(own) != len(prompts):
        raise BadConfig(f"{len(prompts)} prompts need as many lists of regions, not {len(own)}")
    everywhere = [] if own is not None else [one for one in regions if isinstance(one, Region)]
    chosen = {"adapter": (adapters, 1.0)} if isinstance(adapters, Adapter) else dict(adapters or {})
    for adapter, _ in chosen.values():
        check_base(adapter, base, force)
    attachment = Attachment(base.components)
    streams = seeds if plain_seeds else [derive_seed(seed, "sampling") for seed in seeds]
    images: list[Image.Image] = []
    try:
        for name, (adapter, scale) in chosen.items():
            attachment.attach(adapter, name, scale)
        if merged:
            merge_for_sampling(base, attachment)
        guided = float(config.guidance or 1) > 1
        with track(len(prompts), "sampling", hidden=not show_progress) as progress:
            for start in range(0, len(prompts), config.batch_size):
                rows = slice(start, start + config.batch_size)
                with regional(base, attachment, everywhere if own is None else own[rows], guided):
                    images += _sample(base, prompts[rows], streams[rows], config)
                progress.advance(len(prompts[rows]))
                if callback is not None:
                    callback(len(images))
    finally:
        attachment.detach()
    if black := [str(seed) for seed, image in zip(seeds, images, strict=True) if image.getextrema() == _BLACK]:
        warnings.warn(
            f"pictures are black all over (seed {first_few(black)}): numbers became too large on the way; use the"
            " adapters at smaller scales, or a base in float32",
            stacklevel=2,
        )
    scales = {name: scale for name, (_, scale) in chosen.items()}
    return [
        Picture(image, prompt, seed, base.name, scales, config, tuple(there), plain_seeds)
        for image, prompt, seed, there in zip(images, prompts, seeds, own or [everywhere] * len(prompts), strict=True)
    ]


def merge_for_sampling(base: Base, attachment: Attachment) -> None:
    """Add attached adapters into the weights until they are detached, where that only changes rounding in float32.

    Weights in half precision, or in fewer bits, would be rounded; there the adapters are computed beside them.
    """
    if base.family.dtype == torch.float32 and not base.bits:
        attachment.merge()


def _sample(base: Base, prompts: Sequence[str], seeds: Sequence[int], config: SamplingConfig) -> list[Image.Image]:
    family, pipeline = base.family, base.pipeline
    own = pipeline.scheduler
    pipeline.scheduler = family.sampler(str(config.scheduler))
    # Noise is drawn on the CPU, so that a seed means the same picture on every device.
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    try:
        with torch.no_grad():
            return pipeline(
                **family.sampling_arguments(prompts, config.negative_prompt),
                height=family.resolution,
                width=family.resolution,
                num_inference_steps=config.steps,
                guidance_scale=config.guidance,
                generator=generators,
            ).images
    finally:
        pipeline.scheduler = own
