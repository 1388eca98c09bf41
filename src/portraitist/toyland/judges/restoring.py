"""Pictures as an autoencoder gives them back: what the best denoiser could at most paint."""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor


@torch.no_grad()
def restore(autoencoder: AutoencoderKL, pictures: Tensor, batch_size: int = 32) -> Tensor:
    """Return uint8 pictures ``[n, 3, h, w]`` as the autoencoder gives them back, on their own device."""
    weight, parts = next(autoencoder.parameters()), []
    for part in pictures.split(batch_size):
        pixels = part.to(weight.device, weight.dtype).div(127.5).sub(1)
        restored = autoencoder.decode(autoencoder.encode(pixels).latent_dist.mean).sample.float()
        parts.append(restored.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).to(pictures.device))
    return torch.cat(parts) if parts else pictures


def restore_images(autoencoder: AutoencoderKL, images: Sequence[Image.Image]) -> list[Image.Image]:
    """Return pictures of one size as the autoencoder gives them back."""
    restored = restore(autoencoder, to_pictures(images))
    return [Image.fromarray(pixels) for pixels in restored.permute(0, 2, 3, 1).numpy()]


def to_pictures(images: Sequence[Image.Image]) -> Tensor:
    """Return pictures of one size as one tensor, uint8 ``[n, 3, h, w]``."""
    return torch.from_numpy(np.stack([np.asarray(image.convert("RGB")) for image in images])).permute(0, 3, 1, 2)
