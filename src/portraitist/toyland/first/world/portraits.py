"""Portraits: several pictures of each of many identities, for learning and measuring who is who."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from portraitist.files import require_writable, write_aside
from portraitist.progress import track
from portraitist.randomness import numpy_generator
from portraitist.toyland.first.world.identities import KINDS, Identity, sample_identity
from portraitist.toyland.first.world.pictures import render, sample_picture

_IMAGES, _NAMES = "images.npy", "names.txt"


def choose_identities(count: int, split: str, seed: int) -> list[Identity]:
    """Choose different identities of a split, as many of each kind, kinds taking turns."""
    chosen: dict[Identity, None] = {}
    rng = numpy_generator(seed, f"identities {split}")
    while len(chosen) < count:
        kind = KINDS[len(chosen) % len(KINDS)]
        chosen.setdefault(sample_identity(rng, split, kind))
    return list(chosen)


def write_portraits(
    folder: Path,
    count: int,
    each: int,
    split: str,
    seed: int,
    style: str | None = None,
    size: int = 64,
    workers: int = 1,
) -> None:
    """Draw portraits, each in its own scene, pose and clothes; a finished folder is left alone.

    Args:
        folder: Where they go.
        count: Number of identities.
        each: Pictures of each.
        split: Split of the identities.
        seed: Seed of everything drawn.
        style: Style of all of them; None draws one for each, mostly photos.
        size: Side of the pictures in pixels.
        workers: Processes to draw with.
    """
    if (folder / _IMAGES).exists():
        return
    require_writable(folder, count * each * size * size * 3)
    identities = choose_identities(count, split, seed)
    draw = partial(_draw, each=each, seed=seed, style=style, size=size)
    with write_aside(folder / _IMAGES) as temporary:
        images = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, each, size, size, 3))
        with track(count, f"drawing {split} portraits") as progress, ProcessPoolExecutor(workers) as pool:
            drawn = pool.map(draw, identities, chunksize=8) if workers > 1 else map(draw, identities)
            for row, pictures in enumerate(drawn):
                images[row] = pictures
                progress.advance()
        images.flush()
    with write_aside(folder / _NAMES) as temporary:
        temporary.write_text("\n".join(identity.name for identity in identities) + "\n")


def _draw(identity: Identity, each: int, seed: int, style: str | None, size: int) -> np.ndarray:
    rng = numpy_generator(seed, f"portraits of {identity.name}")
    specs = [sample_picture(rng, identities=(identity,), style=style) for _ in range(each)]
    return np.stack([np.asarray(render(spec, size)) for spec in specs])


def load_portraits(folder: Path) -> tuple[np.ndarray, list[str]]:
    """Open what `write_portraits` drew.

    Returns:
        Pictures, uint8 ``[identities, each, h, w, 3]``, memory-mapped, and the identities' names.
    """
    return np.load(folder / _IMAGES, mmap_mode="r"), (folder / _NAMES).read_text().split()
