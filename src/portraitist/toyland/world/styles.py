"""Styles laid over finished pictures, batches ``[n, 3, h, w]`` from 0 to 1; each changes form, not only colour."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

_LUMA = (0.299, 0.587, 0.114)
_PAPER = (0.985, 0.97, 0.935)
_INKS = ((24, 34, 74), (214, 68, 52), (250, 176, 84), (254, 242, 210))
_THRESHOLDS = (0.24, 0.48, 0.74)
_OUTLINES = 2.5
_BLOCKS = 32
_STROKE = 11  # pixels, along a row, from one stroke of a pencil to the next


def _photo(pictures: Tensor) -> Tensor:
    return pictures


def _pencil_sketch(pictures: Tensor) -> Tensor:
    """Outline by dividing the greys by their own blurred negative (colour dodge); shade and hatch what is dark."""
    grey = _grey(pictures)
    outlines = (grey / (1 - _blur(1 - grey, 2.4)).clamp(min=0.05)).clamp(0, 1)
    shaded = 1 - (0.85 - grey).clamp(min=0) * (0.2 + 0.22 * _hatching(pictures.shape[-1], pictures.device))
    return (outlines.square() * shaded) * _paper(pictures)


def _pixel_art(pictures: Tensor) -> Tensor:
    """Reduce to 32 x 32 blocks in few colours."""
    blocks = F.adaptive_avg_pool2d(pictures, _BLOCKS)
    grey = _grey(blocks)
    vivid = (grey + 1.35 * (blocks - grey)).clamp(0, 1)
    return F.interpolate((vivid * 5).round() / 5, size=pictures.shape[-2:], mode="nearest")


def _watercolour(pictures: Tensor) -> Tensor:
    """Wash colours together (Kuwahara's filter), darken the washes' edges, and leave the paper bare at the border."""
    washed = _kuwahara(pictures, 4)
    edges = (_blur(washed, 1.2) - _blur(washed, 4.0)).mean(1, keepdim=True)
    paper = _paper(pictures)
    light = paper * (1 - (1 - washed) * 0.86 + 0.5 * edges.clamp(-0.2, 0.2))
    return light.lerp(paper.expand_as(light), _border(pictures.shape[-1], pictures.device)).clamp(0, 1)


def _poster(pictures: Tensor) -> Tensor:
    """Print in four inks inside a border of the lightest; outlines between any colours are cut as into wood."""
    smooth = _blur(pictures, 0.8)
    contrast = smooth - _blur(pictures, 2.6)
    edges = contrast.amin(1, keepdim=True).clamp(max=0) + contrast.amax(1, keepdim=True).clamp(min=0)
    grey = _grey(smooth)
    low, high = grey.amin((2, 3), keepdim=True), grey.amax((2, 3), keepdim=True)
    grey = (grey - low) / (high - low).clamp(min=0.1) + _OUTLINES * edges
    inks = torch.tensor(_INKS, device=pictures.device) / 255
    chosen = torch.bucketize(grey[:, 0].contiguous(), torch.tensor(_THRESHOLDS, device=pictures.device))
    printed = inks[chosen].permute(0, 3, 1, 2)
    width = round(pictures.shape[-1] / 16)
    inner = printed[..., width:-width, width:-width]
    framed = inks[-1].view(1, 3, 1, 1).expand_as(printed).clone()
    framed[..., width:-width, width:-width] = inner
    return framed


STYLES: dict[str, Callable[[Tensor], Tensor]] = {
    "photo": _photo,
    "pencil sketch": _pencil_sketch,
    "pixel art": _pixel_art,
    "watercolour": _watercolour,
    "poster": _poster,
}


def _grey(pictures: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, device=pictures.device, dtype=pictures.dtype).view(1, 3, 1, 1)
    return (pictures * weights).sum(1, keepdim=True)


def _paper(pictures: Tensor) -> Tensor:
    return torch.tensor(_PAPER, device=pictures.device, dtype=pictures.dtype).view(1, 3, 1, 1)


def _blur(pictures: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian, first rows, then columns; borders are mirrored."""
    reach = max(1, round(3 * sigma))
    x = torch.arange(-reach, reach + 1, device=pictures.device, dtype=pictures.dtype)
    kernel = torch.exp(-0.5 * (x / sigma).square())
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    n, c, h, w = pictures.shape
    flat = F.pad(pictures, (reach,) * 4, mode="reflect").reshape(n * c, 1, h + 2 * reach, w + 2 * reach)
    return F.conv2d(F.conv2d(flat, kernel[..., None]), kernel[:, :, None]).view(n, c, h, w)


def _kuwahara(pictures: Tensor, side: int) -> Tensor:
    """Give every pixel the mean of the calmest of the four squares that it is a corner of."""
    reach = side - 1
    padded = F.pad(pictures, (reach,) * 4, mode="reflect")
    means = F.avg_pool2d(padded, side, 1)
    unrest = (F.avg_pool2d(padded.square(), side, 1) - means.square()).sum(1, keepdim=True)
    h, w = pictures.shape[-2:]
    corners = [(y, x) for y in (0, reach) for x in (0, reach)]
    squares = torch.stack([means[..., y : y + h, x : x + w] for y, x in corners])
    calmest = torch.stack([unrest[..., y : y + h, x : x + w] for y, x in corners]).argmin(0, keepdim=True)
    return squares.gather(0, calmest.expand(1, *pictures.shape))[0]


@cache
def _hatching(size: int, device: torch.device) -> Tensor:
    """Return diagonal strokes of a pencil, ``[1, 1, size, size]`` from 0 to 1."""
    y, x = torch.meshgrid(torch.arange(size, device=device), torch.arange(size, device=device), indexing="ij")
    return (0.5 + 0.5 * torch.sin((x + y) * (2 * torch.pi / _STROKE)))[None, None]


@cache
def _border(size: int, device: torch.device) -> Tensor:
    """Return how bare the paper is: 1 at the edge, 0 within, along a ragged line; ``[1, 1, size, size]``."""
    angles = torch.linspace(0, 2 * torch.pi, size, device=device)
    ragged = 2.2 * torch.sin(3 * angles) + 1.7 * torch.sin(7 * angles + 1) + 1.1 * torch.sin(13 * angles + 2)
    place = torch.arange(size, device=device, dtype=torch.float32)
    distance = torch.minimum(place, size - 1 - place)
    rows = distance[:, None] + 0.7 * ragged[None]
    columns = distance[None] + 0.7 * ragged.flip(0)[:, None]
    return (1 - (torch.minimum(rows, columns) - 4) / 4).clamp(0, 1)[None, None]
