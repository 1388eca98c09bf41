"""Prior images: pictures of the class from the frozen base, generated once per base and class, and cached."""

import hashlib
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from portraitist.bases import Base
from portraitist.cache import content_key, warn_of_damage
from portraitist.errors import BadFile
from portraitist.files import cache_folder, file_name, write_aside
from portraitist.generation import SamplingConfig, generate
from portraitist.training.loop.processes import Processes
from portraitist.training.memory import decoding_singly, pictures_at_once
from portraitist.training.recipes import Recipe

_CHECKSUM = "checksum"


def prior_folder(base: Base, prompt: str, sampling: SamplingConfig) -> Path:
    """Return the cache folder for a base, a class prompt and sampling settings."""
    readable = file_name(prompt.lower(), "prior", 40)
    settings = f"{prompt} {sampling.steps} {sampling.guidance} {sampling.scheduler} {sampling.negative_prompt}"
    if base.family.is_resized:
        settings += f" {base.family.resolution}"
    digest = hashlib.blake2b(settings.encode(), digest_size=4).hexdigest()
    return cache_folder() / "priors" / base.fingerprint / f"{readable}-{digest}"


def prior_counts(recipe: Recipe, images: int | None = None) -> tuple[int, int]:
    """Return how many class images have the class prompt, and how many none.

    Args:
        recipe: Says how many there are, and which share of them has none.
        images: How many there are, where it is not the recipe that says.
    """
    total = recipe.prior_images if images is None else images
    unprompted = min(round(recipe.prior_unprompted * total), total - 1)
    return total - unprompted, unprompted


def prior_images(base: Base, prompt: str, count: int, recipe: Recipe) -> list[Image.Image]:
    """Return class images, generating those the cache lacks; several processes share them out.

    Args:
        base: The frozen base, without adapters.
        prompt: The class prompt, e.g. ``a photo of a cat``; empty for what the base draws without one.
        count: How many.
        recipe: Says how many fit into memory at once.
    """
    sampling = SamplingConfig(batch_size=pictures_at_once(base, recipe)).for_base(base)
    folder = prior_folder(base, prompt, sampling)
    paths = [folder / f"{seed:05d}.png" for seed in range(count)]
    known = {path: _recall(path) for path in paths}
    processes = Processes.current()
    processes.wait()  # all look before one writes, so that they share out the same ones
    missing = [seed for seed, path in enumerate(paths) if known[path] is None][processes.rank :: processes.count]
    for start in range(0, len(missing), sampling.batch_size):
        seeds = missing[start : start + sampling.batch_size]
        with decoding_singly(base):
            made = generate(base, [prompt] * len(seeds), seeds=seeds, config=sampling, show_progress=False)
        for picture in made:
            _keep(picture.image, paths[picture.seed])
    processes.wait()
    return [_read(path) if image is None else image for path, image in known.items()]


def _keep(image: Image.Image, path: Path) -> None:
    """Write a class image with a checksum of its pixels and of where it belongs."""
    info = PngInfo()
    info.add_text(_CHECKSUM, _checksum(image, path))
    with write_aside(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=info)


def _recall(path: Path) -> Image.Image | None:
    """Return a class image from the cache; None if it is not there, or not as it was written."""
    if not path.exists():
        return None
    try:
        with Image.open(path, formats=["PNG"]) as image:
            pixels, noted = image.convert("RGB"), image.info.get(_CHECKSUM)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pixels, noted = None, "unreadable"
    if pixels is not None and noted == _checksum(pixels, path):
        return pixels
    if noted is not None:
        warn_of_damage(path)
    return None


def _read(path: Path) -> Image.Image:
    """Return a class image that this run has made, or another of its processes."""
    image = _recall(path)
    if image is None:
        raise BadFile(f"{path} was written a moment ago and cannot be read; check the disk")
    return image


def _checksum(image: Image.Image, path: Path) -> str:
    return content_key(f"{path.parent.name}/{path.name}", image.convert("RGB"))
