"""Shards: the tensors of a few dozen identities in one file, rows of which are read without the others."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from portraitist.errors import BadFile
from portraitist.evaluation.encoders import EncoderFacts
from portraitist.files import write_aside

# The folders of a set, and the tensors in the files of each.
PHOTOS, LATENTS, FEATURES, TARGETS = "photos", "latents", "features", "targets"
PIXELS, LOOKS, MEAN, DEVIATION, EMBEDDINGS = "pixels", "looks", "mean", "deviation", "embeddings"
# Beside them: what is known of the identities of a shard of photos, and how long a shard took.
WHO, SECONDS = "identities", "seconds"

# A row of a shard: the shard's number, and the row in it.
Place = tuple[int, int]


def features_stage(encoder: EncoderFacts) -> str:
    """Return the folder of an encoder's features: ``features/toyland-identity-<revision>``."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", encoder.name).strip("-")[-60:]
    return f"{FEATURES}/{readable}-{encoder.revision}"


def shard_path(folder: Path, stage: str, number: int) -> Path:
    """Return the file of a shard, or of a bank of targets."""
    return folder / stage / f"{number:05d}.safetensors"


def write_shard(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> None:
    """Write a shard; the file appears complete or not at all."""
    with write_aside(path) as temporary:
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, metadata=dict(facts or {}))


def read_fact(path: Path, name: str) -> Any:
    """Read something in JSON that is written beside a shard's tensors.

    Raises:
        BadFile: If the shard is missing or damaged.
    """
    try:
        return json.loads(_open(path).metadata()[name])
    except (TypeError, KeyError, ValueError) as error:
        raise BadFile(f"{path} does not say its {name}; delete it and make the set again") from error


class Shards:
    """The shards of a set, memory-mapped; each is opened when a row of it is first asked for.

    Args:
        folder: The set's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: dict[Path, Any] = {}

    def read(self, stage: str, name: str, places: Sequence[Place]) -> Tensor:
        """Return rows of a stage's tensor in the order asked for, ``[n, ...]``.

        Raises:
            BadFile: If a shard is missing or damaged, or has no such row.
        """
        if not places:
            raise ValueError("no rows are asked for")
        return torch.cat([self._rows(stage, name, shard, rows) for shard, rows in _together(places)])

    def read_whole(self, stage: str, name: str, shard: int) -> Tensor:
        """Return a tensor of a shard.

        Raises:
            BadFile: If the shard is missing or damaged.
        """
        return self._file(shard_path(self.folder, stage, shard)).get_tensor(name)

    def _file(self, path: Path) -> Any:
        if path not in self._opened:
            self._opened[path] = _open(path)
        return self._opened[path]

    def _rows(self, stage: str, name: str, shard: int, rows: Sequence[int]) -> Tensor:
        path = shard_path(self.folder, stage, shard)
        try:
            whole = self._file(path).get_slice(name)
            if not all(0 <= row < whole.get_shape()[0] for row in rows):
                raise BadFile(f"{path} has {whole.get_shape()[0]} rows, not those that the index names; make it again")
            if list(rows) == list(range(rows[0], rows[0] + len(rows))):
                return whole[rows[0] : rows[0] + len(rows)]
            return torch.cat([whole[row : row + 1] for row in rows])
        except SafetensorError as error:
            raise BadFile(f"{path} is damaged or cut short ({error}); delete it and make the set again") from error


def _together(places: Sequence[Place]) -> Iterator[tuple[int, list[int]]]:
    """Yield neighbouring places of one shard at once, in their order."""
    for shard, group in groupby(places, key=lambda place: place[0]):
        yield shard, [row for _, row in group]


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise BadFile(f"{path} is missing or damaged ({error}); delete it and make the set again") from error
