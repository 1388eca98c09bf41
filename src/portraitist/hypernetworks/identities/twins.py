"""Twins: photos that look like an earlier one of the set, however many there are."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from portraitist.preparation.duplicates import BITS, Look
from portraitist.preparation.preparing import Criteria

# Hashes of a photo: its pHash, its dHash, and those of its mirror image.
_HASHES = 4
_AT_ONCE = 2048


def looks(pictures: Sequence[Image.Image]) -> Tensor:
    """Return the perceptual hashes of pictures, packed: uint8 ``[n, 4, 8]``.

    Raises:
        MissingExtra: If imagehash is not installed.
    """
    rows = []
    for picture in pictures:
        look = Look.of(picture)
        rows.append([np.packbits(each.hash) for each in (*look.hashes, *look.mirrored)])
    return torch.from_numpy(np.array(rows, np.uint8)).view(-1, _HASHES, BITS // 8)


def find_twins(hashes: Tensor, criteria: Criteria | None = None) -> list[int | None]:
    """Return for each photo the earlier one that looks most like it, None where none looks like it.

    The same as `Look.distances` of all pairs, as products of signs: of 64 bits, ``(64 - s . t) / 2`` differ.

    Args:
        hashes: What `looks` returned of all photos.
        criteria: How few bits may differ; as photos are prepared when not given.
    """
    criteria = criteria or Criteria()
    signs = torch.from_numpy(np.unpackbits(hashes.numpy(), axis=-1)).float() * 2 - 1
    own, mirrored = signs[:, :2], signs[:, 2:]
    twins: list[int | None] = []
    for start in range(0, len(hashes), _AT_ONCE):
        end = min(start + _AT_ONCE, len(hashes))
        rows = slice(start, end)
        sides = torch.stack([_differing(a[rows], b[:end]) for a, b in ((own, own), (own, mirrored), (mirrored, own))])
        nearer = sides.sum(1).argmin(0)
        phash, dhash = sides.gather(0, nearer[None, None].expand(1, 2, -1, -1))[0]
        alike = (phash <= criteria.phash) | (dhash <= criteria.dhash)
        alike &= torch.arange(end) < torch.arange(start, end)[:, None]
        apart = torch.where(alike, phash + dhash, torch.inf)
        twins += [int(near) if found else None for near, found in zip(apart.argmin(1), alike.any(1), strict=True)]
    return twins


def _differing(rows: Tensor, others: Tensor) -> Tensor:
    """Return how many bits of both hashes differ, ``[2, rows, others]``."""
    return (BITS - torch.einsum("rhb,ohb->hro", rows, others)) / 2
