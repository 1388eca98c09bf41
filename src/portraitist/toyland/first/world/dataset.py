"""Drawing a data set to disk: pictures as memory-mapped arrays, captions and labels as JSON lines."""

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from portraitist.errors import BadConfig
from portraitist.files import require_writable, write_aside
from portraitist.progress import track
from portraitist.randomness import numpy_generator
from portraitist.toyland.first.world.captions import COMPLETE, caption, labels
from portraitist.toyland.first.world.pictures import render, sample_picture

SHARD = 2000


@dataclass(frozen=True)
class Dataset:
    """Pictures with their descriptions.

    Attributes:
        images: uint8 ``[n, 64, 64, 3]``, memory-mapped.
        captions: Captions of each picture; the first says everything, the others leave words out.
        labels: What `portraitist.toyland.first.world.captions.labels` says of each picture.
    """

    images: np.ndarray
    captions: list[list[str]]
    labels: list[dict[str, Any]]


def write_dataset(
    folder: Path, count: int, split: str, seed: int, captions: int = 4, size: int = 64, workers: int = 1
) -> None:
    """Draw a data set; shards that exist are kept, so that an interrupted run goes on.

    Args:
        folder: Where it goes; what is in it is written down in its ``settings.json``.
        count: Number of pictures.
        split: Split of the identities in it.
        seed: Seed of everything drawn.
        captions: Captions of each picture.
        size: Side of the pictures in pixels.
        workers: Processes to draw with.

    Raises:
        BadConfig: If the folder holds pictures drawn with other settings.
    """
    settings: dict[str, int | str] = {"count": count, "split": split, "seed": seed, "captions": captions, "size": size}
    require_writable(folder, 0 if (folder / "images.npy").exists() else 2 * count * size * size * 3)
    _keep_settings(folder / "settings.json", settings)
    if (folder / "images.npy").exists():
        return
    starts = range(0, count, SHARD)
    draw = partial(_write_shard, folder, count, split, seed, captions, size)
    with track(len(starts), f"drawing {split} pictures") as progress:
        for _ in _in_processes(draw, starts, workers):
            progress.advance()
    _join_shards(folder, starts, (count, size, size, 3))


def _keep_settings(path: Path, settings: dict[str, int | str]) -> None:
    """Write down what is drawn; refuse a folder that holds something else."""
    if path.exists() and json.loads(path.read_text()) != settings:
        raise BadConfig(f"{path.parent} holds pictures drawn with other settings ({path.name}); choose another folder")
    with write_aside(path) as temporary:
        temporary.write_text(json.dumps(settings, indent=2) + "\n")


def _join_shards(folder: Path, starts: range, shape: tuple[int, ...]) -> None:
    """Copy the shards one by one into the final files, then remove them."""
    with write_aside(folder / "texts.jsonl") as temporary, temporary.open("w") as file:
        for start in starts:
            file.write(_shard(folder, start, "jsonl").read_text())
    with write_aside(folder / "images.npy") as temporary:
        images = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        for start in starts:
            shard = np.load(_shard(folder, start, "npy"))
            images[start : start + len(shard)] = shard
        images.flush()
    for start in starts:
        _shard(folder, start, "npy").unlink()
        _shard(folder, start, "jsonl").unlink()


def _in_processes(function: Any, starts: Iterable[int], workers: int) -> Iterable[None]:
    if workers <= 1:
        yield from map(function, starts)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(function, starts)


def _shard(folder: Path, start: int, suffix: str) -> Path:
    return folder / f"shard-{start:07d}.{suffix}"


def _write_shard(folder: Path, count: int, split: str, seed: int, captions: int, size: int, start: int) -> None:
    if _shard(folder, start, "npy").exists():
        return
    images, lines = [], []
    for index in range(start, min(start + SHARD, count)):
        rng = numpy_generator(seed, split, index)
        spec = sample_picture(rng, split)
        texts = [caption(spec, rng, COMPLETE), *(caption(spec, rng) for _ in range(captions - 1))]
        images.append(np.asarray(render(spec, size)))
        lines.append(json.dumps({"captions": texts, "labels": labels(spec)}))
    with write_aside(_shard(folder, start, "jsonl")) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    with write_aside(_shard(folder, start, "npy")) as temporary, temporary.open("wb") as file:
        np.save(file, np.stack(images))


def load_dataset(folder: Path) -> Dataset:
    """Open a data set that `write_dataset` drew."""
    rows = [json.loads(line) for line in (folder / "texts.jsonl").read_text().splitlines()]
    return Dataset(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        captions=[row["captions"] for row in rows],
        labels=[row["labels"] for row in rows],
    )
