"""The judges' training pictures: painted as they are asked for, so that no two steps see the same ones."""

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.randomness import numpy_generator, torch_generator
from portraitist.toyland.judges.config import DisturbedConfig
from portraitist.toyland.world.pictures import PictureSpec, sample_picture

# Weights of a binomial blur, one pixel wide.
_BINOMIAL = (0.25, 0.5, 0.25)


def sample_batch(size: int, seed: int, step: int, count: int | None = None) -> list[PictureSpec]:
    """Draw the pictures of a step from training identities; ``count`` is the number of subjects in each."""
    rng = numpy_generator(seed, "pictures", step)
    return [sample_picture(rng, "train", count=count) for _ in range(size)]


def as_seen(pictures: Tensor, side: int) -> Tensor:
    """Return uint8 pictures ``[n, 3, h, w]`` in [-1, 1], ``side`` pixels wide: means of pixels where that divides."""
    pixels = pictures.float().div(127.5).sub(1)
    width = pixels.shape[-1]
    if width == side:
        return pixels.contiguous(memory_format=torch.channels_last)
    if width % side == 0:
        return F.avg_pool2d(pixels, width // side).contiguous(memory_format=torch.channels_last)
    return F.interpolate(pixels, (side, side), mode="bicubic", antialias=True)


def disturb(pixels: Tensor, config: DisturbedConfig, step: int) -> Tensor:
    """Move, blur and disturb pictures ``[n, 3, h, w]``, each in its own way; half of them stay sharp."""
    rng, count, side, reach = numpy_generator(config.seed, "moves", step), len(pixels), pixels.shape[-1], config.shift
    padded = F.pad(pixels, (reach,) * 4, mode="replicate")
    corners = rng.integers(0, 2 * reach + 1, (count, 2)).tolist()
    moved = torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(padded, corners, strict=True)])
    wide = (slice(None), None, None, None)
    amounts = torch.from_numpy(rng.uniform(0, config.blur, count) * (rng.random(count) < 0.5)).float()
    strengths = torch.from_numpy(rng.uniform(0, config.noise, count)).float().to(pixels.device)
    moved = moved.lerp(blur(moved), amounts.to(pixels.device)[wide])
    noise = torch.randn(pixels.shape, generator=torch_generator(config.seed, "noise", step)).to(pixels.device)
    return (moved + strengths[wide] * noise).contiguous(memory_format=torch.channels_last)


def blur(pixels: Tensor) -> Tensor:
    """Blur pictures ``[n, c, h, w]`` twice with a binomial kernel three pixels wide."""
    channels = pixels.shape[1]
    line = torch.tensor(_BINOMIAL, dtype=pixels.dtype, device=pixels.device)
    kernel = torch.outer(line, line).expand(channels, 1, 3, 3)
    for _ in range(2):
        pixels = F.conv2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)
    return pixels
