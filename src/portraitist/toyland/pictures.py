"""First stage: training pictures. Where they are, on disk or on the device, nobody who trains on them needs to know."""

import json
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from portraitist.errors import BadConfig
from portraitist.files import require_writable, write_aside
from portraitist.progress import track
from portraitist.randomness import numpy_generator
from portraitist.toyland.worlds import Described, Painter, World

_SHARD = 1000
_PAINTED_AT_ONCE = 50  # on a CPU, whose cache is small


class Pictures(Protocol):
    """Pictures to train on."""

    def __len__(self) -> int:
        """Return how many there are."""

    def whole(self, chosen: np.ndarray) -> Tensor:
        """Return pictures, uint8 ``[n, 3, side, side]`` in channels-last order on their device."""

    def crops(self, chosen: np.ndarray, corners: np.ndarray, size: int) -> Tensor:
        """Return a square of each, uint8 ``[n, 3, size, size]``; corners are ``[n, 2]``, from the top and the left."""


@dataclass(frozen=True)
class DrawnPictures:
    """Pictures in a memory-mapped file, ``[n, side, side, 3]``, brought to a device as they are asked for."""

    images: np.ndarray
    device: str = "cpu"

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.images)

    def whole(self, chosen: np.ndarray) -> Tensor:
        """Return pictures."""
        return self._carry(self.images[chosen])

    def crops(self, chosen: np.ndarray, corners: np.ndarray, size: int) -> Tensor:
        """Return a square of each."""
        places = zip(chosen, corners, strict=True)
        return self._carry(np.stack([self.images[i, y : y + size, x : x + size] for i, (y, x) in places]))

    def _carry(self, images: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class HeldPictures:
    """Pictures in a device's memory, ``[n, side, side, 3]``."""

    images: Tensor

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.images)

    def whole(self, chosen: np.ndarray) -> Tensor:
        """Return pictures."""
        return self.images[self._carry(chosen)].permute(0, 3, 1, 2)

    def crops(self, chosen: np.ndarray, corners: np.ndarray, size: int) -> Tensor:
        """Return a square of each, gathered in one operation."""
        inside = torch.arange(size, device=self.images.device)
        top, left = self._carry(corners[:, 0])[:, None] + inside, self._carry(corners[:, 1])[:, None] + inside
        return self.images[self._carry(chosen)[:, None, None], top[:, :, None], left[:, None, :]].permute(0, 3, 1, 2)

    def _carry(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(self.images.device, non_blocking=True)


@dataclass(frozen=True)
class Dataset:
    """Pictures with their captions (the first of each says everything) and labels."""

    pictures: Pictures
    captions: list[list[str]]
    labels: list[dict[str, Any]]


def as_floats(pictures: Tensor) -> Tensor:
    """Turn uint8 pictures into floats in [-1, 1]."""
    return pictures.float().div_(127.5).sub_(1.0)


@cache
def _painter(world: World, device: str) -> Painter:
    """Return a world's painter; drawing its artwork takes seconds, so a process keeps it."""
    return world.painter(device)


def describe(world: World, split: str, seed: int, captions: int, indices: range) -> Described:
    """Choose and describe the pictures of a split with the given indices; nothing is painted yet."""
    specs, texts, labels = [], [], []
    for index in indices:
        rng = numpy_generator(seed, split, index)
        spec = world.sample(rng, split)
        specs.append(spec)
        texts.append(
            [world.describe(spec, rng, True), *(world.describe(spec, rng, False) for _ in range(captions - 1))]
        )
        labels.append(world.labels(spec))
    return Described(texts, labels, world.plan(specs))


def hold_pictures(
    world: World, count: int, split: str, seed: int, captions: int, device: str, workers: int = 1
) -> Dataset:
    """Draw a data set into a device's memory: other processes choose and describe, the device paints."""
    painter = _painter(world, device)
    images = torch.empty((count, world.resolution, world.resolution, 3), dtype=torch.uint8, device=device)
    texts: list[list[str]] = []
    labels: list[dict[str, Any]] = []
    with track(count, f"painting {split} pictures") as progress:
        for described in _in_processes(partial(describe, world, split, seed, captions), _parts(count), workers):
            done = len(texts)
            painted = painter.paint(described.plan)
            images[done : done + len(painted)] = painted.permute(0, 2, 3, 1)
            texts += described.captions
            labels += described.labels
            progress.advance(len(painted))
    return Dataset(HeldPictures(images), texts, labels)


def write_pictures(
    world: World, folder: Path, count: int, split: str, seed: int, captions: int, workers: int = 1
) -> None:
    """Draw a data set to disk: ``images.npy``, memory-mapped, and ``texts.jsonl``. Parts that are done are kept.

    Raises:
        BadConfig: If the folder holds pictures drawn with other settings.
    """
    if (folder / "texts.jsonl").exists() and _is_kept(folder, count, split, seed, captions):
        return
    side = world.resolution
    require_writable(folder, 0 if (folder / "images.npy").exists() else count * side * side * 3)
    _keep_settings(folder, count, split, seed, captions)
    if not (folder / "images.npy").exists():
        with write_aside(folder / "images.npy") as temporary:
            np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, side, side, 3)).flush()
    parts = list(_parts(count))
    left = [part for part in parts if not _texts(folder, part).exists()]
    with track(len(parts), f"drawing {split} pictures", completed=len(parts) - len(left)) as progress:
        for _ in _in_processes(partial(_draw, world, folder, split, seed, captions), left, workers):
            progress.advance()
    with write_aside(folder / "texts.jsonl") as temporary, temporary.open("w") as file:
        for part in parts:
            file.write(_texts(folder, part).read_text())
    for part in parts:
        _texts(folder, part).unlink()


def open_pictures(folder: Path, device: str = "cpu") -> Dataset:
    """Open what `write_pictures` drew."""
    rows = [json.loads(line) for line in (folder / "texts.jsonl").read_text().splitlines()]
    images = np.load(folder / "images.npy", mmap_mode="r")
    return Dataset(DrawnPictures(images, device), [row["captions"] for row in rows], [row["labels"] for row in rows])


def _draw(world: World, folder: Path, split: str, seed: int, captions: int, part: range) -> None:
    torch.set_num_threads(1)
    images = np.load(folder / "images.npy", mmap_mode="r+")
    painter, lines = _painter(world, "cpu"), []
    for start in range(part.start, part.stop, _PAINTED_AT_ONCE):
        described = describe(world, split, seed, captions, range(start, min(start + _PAINTED_AT_ONCE, part.stop)))
        painted = painter.paint(described.plan).permute(0, 2, 3, 1).numpy()
        images[start : start + len(painted)] = painted
        rows = zip(described.captions, described.labels, strict=True)
        lines += [json.dumps({"captions": texts, "labels": labels}) for texts, labels in rows]
    images.flush()
    with write_aside(_texts(folder, part)) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def _settings(count: int, split: str, seed: int, captions: int) -> dict[str, int | str]:
    return {"count": count, "split": split, "seed": seed, "captions": captions}


def _is_kept(folder: Path, count: int, split: str, seed: int, captions: int) -> bool:
    """Say whether a folder holds just these pictures; refuse one that holds others."""
    path = folder / "settings.json"
    if not path.exists():
        return False
    if json.loads(path.read_text()) != _settings(count, split, seed, captions):
        raise BadConfig(f"{folder} holds pictures drawn with other settings ({path.name}); choose another folder")
    return True


def _keep_settings(folder: Path, count: int, split: str, seed: int, captions: int) -> None:
    if not _is_kept(folder, count, split, seed, captions):
        with write_aside(folder / "settings.json") as temporary:
            temporary.write_text(json.dumps(_settings(count, split, seed, captions), indent=2) + "\n")


def _parts(count: int) -> Iterator[range]:
    for start in range(0, count, _SHARD):
        yield range(start, min(start + _SHARD, count))


def _texts(folder: Path, part: range) -> Path:
    return folder / f"texts-{part.start:07d}.jsonl"


def _in_processes(function: Any, parts: Iterable[range], workers: int) -> Iterator[Any]:
    """Apply a function to every part, in order, a few ahead of what is asked for."""
    if workers <= 1:
        yield from map(function, parts)
        return
    # A process that is forked while a device is in use cannot start threads safely.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        rest = iter(parts)
        waiting = [pool.submit(function, part) for part in islice(rest, 2 * workers)]
        while waiting:
            result = waiting.pop(0).result()
            waiting += [pool.submit(function, part) for part in islice(rest, 1)]
            yield result
