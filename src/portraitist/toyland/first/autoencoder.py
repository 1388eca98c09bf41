"""First stage: the variational autoencoder between pictures and latents."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from portraitist.randomness import epoch_order, numpy_generator, torch_generator
from portraitist.toyland.first.config import AutoencoderConfig
from portraitist.training.loop.loop import ParameterGroup


def build_autoencoder(config: AutoencoderConfig) -> AutoencoderKL:
    """Build an untrained autoencoder that halves the resolution ``len(channels) - 1`` times."""
    depth = len(config.channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        block_out_channels=tuple(config.channels),
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        norm_num_groups=config.norm_groups,
        sample_size=config.resolution,
        mid_block_add_attention=False,
    )


def to_tensor(images: np.ndarray) -> Tensor:
    """Turn uint8 pictures ``[n, h, w, 3]`` into a float tensor ``[n, 3, h, w]`` in [-1, 1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


class AutoencoderTask:
    """Reconstruct pictures: L1 + squared error + a small Kullback-Leibler term.

    Most steps see random crops, which hold the same detail in a fraction of the time; the last ones see whole
    pictures, because group statistics and borders differ between the two.
    """

    def __init__(self, model: AutoencoderKL, images: np.ndarray, config: AutoencoderConfig) -> None:
        self.model = model.to(memory_format=torch.channels_last).train()
        self.images = images
        self.config = config
        self.device = next(model.parameters()).device

    def groups(self) -> Sequence[ParameterGroup]:
        """Return all weights of the autoencoder."""
        return [ParameterGroup(dict(self.model.named_parameters()), self.config.learning_rate)]

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings and the number of pictures."""
        return {"stage": "autoencoder", "pictures": len(self.images), **self.config.model_dump(mode="json")}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Reconstruct one batch of crops or whole pictures."""
        pixels = self._pixels(step).to(self.device, memory_format=torch.channels_last)
        posterior = self.model.encode(pixels).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=torch_generator(self.config.seed, "posterior", step))
        latents = posterior.mean + posterior.std * noise.to(self.device)
        reconstruction = self.model.decode(latents).sample
        squared = F.mse_loss(reconstruction, pixels)
        absolute = F.l1_loss(reconstruction, pixels)
        divergence = posterior.kl().mean() / latents[0].numel()
        loss = squared + self.config.absolute_weight * absolute + self.config.divergence_weight * divergence
        return {"loss": loss, "mse": squared, "kl": divergence}

    def _pixels(self, step: int) -> Tensor:
        config = self.config
        whole = step >= config.whole_from * config.steps
        size = config.resolution if whole else config.crop
        count = max(1, config.batch_size * config.crop**2 // size**2) if whole else config.batch_size
        chosen = epoch_order(len(self.images), config.seed, "pictures", step * config.batch_size, count)
        rng = numpy_generator(config.seed, "crops", step)
        corners = rng.integers(0, config.resolution - size + 1, (count, 2))
        crops = [self.images[i][y : y + size, x : x + size] for i, (y, x) in zip(chosen, corners, strict=True)]
        mirrored = [crop[:, ::-1] if flip else crop for crop, flip in zip(crops, rng.random(count) < 0.5, strict=True)]
        return to_tensor(np.stack(mirrored))


@torch.no_grad()
def reconstruction_error(model: AutoencoderKL, images: np.ndarray, batch_size: int = 64) -> float:
    """Return the mean squared error on [-1, 1] of whole pictures through the posterior's mean."""
    device = next(model.parameters()).device
    total = 0.0
    for start in range(0, len(images), batch_size):
        pixels = to_tensor(images[start : start + batch_size]).to(device)
        reconstruction = model.decode(model.encode(pixels).latent_dist.mean).sample
        total += F.mse_loss(reconstruction, pixels, reduction="sum").item()
    return total / images.size


@torch.no_grad()
def encode_pictures(model: AutoencoderKL, images: np.ndarray, batch_size: int = 64) -> tuple[Tensor, Tensor]:
    """Encode pictures to posterior means and standard deviations, both ``[n, c, h, w]`` in float16."""
    device = next(model.parameters()).device
    means, deviations = [], []
    for start in range(0, len(images), batch_size):
        posterior = model.encode(to_tensor(images[start : start + batch_size]).to(device)).latent_dist
        means.append(posterior.mean.half().cpu())
        deviations.append(posterior.std.half().cpu())
    return torch.cat(means).contiguous(), torch.cat(deviations).contiguous()
