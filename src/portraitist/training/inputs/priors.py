"""Prior images: pictures of the class from the frozen base, generated once per base and class, and cached."""

import hashlib
import re
from pathlib import Path

from PIL import Image

from portraitist.bases import Base
from portraitist.files import cache_folder
from portraitist.generation import SamplingConfig, generate
from portraitist.training.loop.processes import Processes
from portraitist.training.memory import decoding_singly, pictures_at_once
from portraitist.training.recipes import Recipe


def prior_folder(base: Base, prompt: str, sampling: SamplingConfig) -> Path:
    """Return the cache folder for a base, a class prompt and sampling settings."""
    readable = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:40]
    settings = f"{prompt} {sampling.steps} {sampling.guidance} {sampling.scheduler} {sampling.negative_prompt}"
    if base.family.is_resized:
        settings += f" {base.family.resolution}"
    digest = hashlib.blake2b(settings.encode(), digest_size=4).hexdigest()
    return cache_folder() / "priors" / base.fingerprint / f"{readable}-{digest}"


def prior_images(base: Base, prompt: str, recipe: Recipe) -> list[Image.Image]:
    """Return class images, generating those the cache lacks; several processes share them out.

    Args:
        base: The frozen base, without adapters.
        prompt: The class prompt, e.g. ``a photo of a cat``.
        recipe: Says how many.
    """
    sampling = SamplingConfig(batch_size=pictures_at_once(base, recipe)).for_base(base)
    folder = prior_folder(base, prompt, sampling)
    paths = [folder / f"{seed:05d}.png" for seed in range(recipe.prior_images)]
    processes = Processes.current()
    missing = [seed for seed, path in enumerate(paths) if not path.exists()][processes.rank :: processes.count]
    for start in range(0, len(missing), sampling.batch_size):
        seeds = missing[start : start + sampling.batch_size]
        with decoding_singly(base):
            made = generate(base, [prompt] * len(seeds), seeds=seeds, config=sampling, show_progress=False)
        for picture in made:
            picture.save(paths[picture.seed])
    processes.wait()
    images = []
    for path in paths:
        with Image.open(path) as image:
            images.append(image.convert("RGB"))
    return images
