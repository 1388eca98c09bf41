"""Pictures as an autoencoder gives them back: what the best denoiser could at most paint."""

import torch
from diffusers import AutoencoderKL
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
