"""Vector artwork with colours left open: fragments of SVG, and the tiles they become.

A fragment is SVG within a square of `UNITS` x `UNITS`, in which ``@skin`` stands where a colour goes that is known only
when a picture is painted. What such a drawing shows depends on its open colours linearly: its coverage is
always the same, and its premultiplied colour is `fixed + sum of weight[slot] * colour[slot]`. So it is drawn once for
every slot, and from then on painted in any colours by tensors (`portraitist.toyland.world.painting`).
"""

import io
import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

from portraitist.errors import MissingExtra

UNITS = 512
_SLOT = re.compile(r"@([a-z]+)")


@dataclass(frozen=True)
class Tile:
    """A drawn fragment, cut to the rectangle that holds all of it.

    Attributes:
        top: First row of the rectangle.
        left: First column of the rectangle.
        fixed: Premultiplied colour where every open colour is black, and coverage: float ``[h, w, 4]`` from 0 to 1.
        weights: How much of each open colour is seen, by slot: float ``[h, w]``.
    """

    top: int
    left: int
    fixed: np.ndarray
    weights: dict[str, np.ndarray]


def slots(fragment: str) -> tuple[str, ...]:
    """Return the names of the colours that a fragment leaves open, sorted."""
    return tuple(sorted(set(_SLOT.findall(fragment))))


def draw_tile(fragment: str, size: int) -> Tile:
    """Draw a fragment on a square of ``size`` pixels.

    Raises:
        MissingExtra: If the package that draws SVG is not installed.
    """
    black = _rasterise(_SLOT.sub("#000000", fragment), size)
    weights = {}
    for slot in slots(fragment):
        lit = _SLOT.sub("#000000", fragment.replace(f'"@{slot}"', '"#ffffff"'))
        weights[slot] = (_rasterise(lit, size) - black)[..., :3].mean(-1)
    rows, columns = np.flatnonzero(black[..., 3].any(1)), np.flatnonzero(black[..., 3].any(0))
    if not len(rows):
        return Tile(0, 0, np.zeros((0, 0, 4), np.float32), {slot: np.zeros((0, 0), np.float32) for slot in weights})
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Tile(int(rows[0]), int(columns[0]), black[window], {slot: w[window] for slot, w in weights.items()})


def draw_picture(fragment: str, size: int) -> Image.Image:
    """Draw a fragment without open colours as RGBA."""
    return Image.open(io.BytesIO(_png(fragment, size))).convert("RGBA")


def _rasterise(fragment: str, size: int) -> np.ndarray:
    """Return premultiplied RGBA, float32 ``[size, size, 4]`` from 0 to 1."""
    pixels = np.asarray(draw_picture(fragment, size), np.float32) / 255
    return np.concatenate([pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], -1)


def _png(fragment: str, size: int) -> bytes:
    try:
        import resvg_py
    except ImportError as error:
        raise MissingExtra("toyland", "resvg-py") from error
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {UNITS} {UNITS}" fill="none">{fragment}</svg>'
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size))
