"""Second stage: the variational autoencoder between pictures and latents."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from portraitist.toyland.config import AutoencoderConfig
from portraitist.toyland.pictures import Pictures, as_floats
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.loop.processes import Processes
from portraitist.training.networks.draws import Draws
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.parameters import parameter_groups

EDGES = ("conv_in", "conv_out", "quant_conv", "post_quant_conv")


def build_autoencoder(config: AutoencoderConfig, resolution: int) -> AutoencoderKL:
    """Build an untrained autoencoder."""
    depth = len(config.channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        block_out_channels=tuple(config.channels),
        layers_per_block=config.layers,
        latent_channels=config.latent_channels,
        norm_num_groups=config.norm_groups,
        sample_size=resolution,
        mid_block_add_attention=False,
    )


class AutoencoderTask:
    """Reconstruct pictures, most of the time in crops, which hold the same detail in a fraction of the time.

    Half of the steps decode latents that were made smaller to pictures that were made as much smaller (EQ-VAE, arXiv
    2502.09509): what is easy to scale is easy to denoise.
    """

    def __init__(
        self, model: AutoencoderKL, pictures: Pictures, config: AutoencoderConfig, resolution: int, machine: Machine
    ) -> None:
        self.model, self.memory_format = model.train(), machine.memory_format
        self.pictures, self.config, self.resolution = pictures, config, resolution
        self.device, self.processes = machine.device, Processes.current()
        for half in (model.encoder, model.decoder):
            machine.prepare(half)

    def groups(self) -> Sequence[ParameterGroup]:
        """Return all weights of the autoencoder."""
        return parameter_groups(self.model, self.config.learning_rate, self.config.weight_decay, EDGES)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings and the number of pictures."""
        settings = self.config.model_dump(mode="json", exclude={"steps"})
        return {"stage": "autoencoder", "pictures": len(self.pictures), **settings}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Reconstruct one batch of crops or whole pictures."""
        config = self.config
        draws = Draws(config.seed, step, self.processes)
        rng = draws.numpy("views")
        pixels = self._pixels(draws, rng)
        posterior = self.model.encode(pixels).latent_dist
        generator = draws.torch("posterior", self.device)
        noise = torch.randn(posterior.mean.shape, generator=generator, device=self.device)
        latents = posterior.mean + posterior.std * noise
        if rng.random() < config.scaled and pixels.shape[-1] == config.crop:
            latents, pixels = scaled(latents, pixels, float(rng.choice(config.scales)))
        difference = self.model.decode(latents).sample.float() - pixels
        squared, divergence = difference.square().mean(), posterior.kl().mean() / posterior.mean[0].numel()
        loss = (
            difference.abs().mean()
            + config.squared_weight * squared
            + config.pyramid_weight * pyramid_error(difference, config.pyramid_levels)
            + config.divergence_weight * divergence
        )
        return {"loss": loss, "mse": squared, "kl": divergence}

    def _pixels(self, draws: Draws, rng: np.random.Generator) -> Tensor:
        config = self.config
        whole = rng.random() < config.whole
        size = self.resolution if whole else config.crop
        count = max(1, draws.share(config.batch_size) * config.crop**2 // size**2)
        chosen = draws.items(len(self.pictures), config.batch_size)[:count]
        corners = rng.integers(0, self.resolution - size + 1, (count, 2))
        pixels = as_floats(self.pictures.crops(chosen, corners, size)).contiguous(memory_format=self.memory_format)
        return pixels.flip(3) if rng.random() < 0.5 else pixels  # turned as a whole: as many views, one operation


def scaled(latents: Tensor, pixels: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Make latents and pictures smaller by the same factor."""
    size = max(1, round(scale * latents.shape[-1]))
    side = size * (pixels.shape[-1] // latents.shape[-1])
    smaller = F.interpolate(latents.float(), size=(size, size), mode="bilinear", antialias=True)
    return smaller, F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)


def pyramid_error(difference: Tensor, levels: int) -> Tensor:
    """Return the mean absolute value of a difference on the bands of a Laplacian pyramid, summed over them."""
    total = difference.new_zeros(())
    for _ in range(levels):
        if difference.shape[-2] % 2 or difference.shape[-1] % 2:
            break
        smaller = F.avg_pool2d(difference, 2)
        total = total + (difference - F.interpolate(smaller, scale_factor=2, mode="nearest")).abs().mean()
        difference = smaller
    return total + difference.abs().mean()


@torch.no_grad()
def reconstruction_error(
    model: AutoencoderKL, pictures: Pictures, batch_size: int = 8, most: int | None = None
) -> float:
    """Return the mean squared error on [-1, 1] of whole pictures, or the first ones, through the posterior's mean."""
    total = 0.0
    count = min(len(pictures), most or len(pictures))
    for start in range(0, count, batch_size):
        chosen = np.arange(start, min(start + batch_size, count))
        pixels = as_floats(pictures.whole(chosen))
        restored = model.decode(model.encode(pixels).latent_dist.mean).sample
        total += F.mse_loss(restored, pixels).item() * len(chosen)
    return total / count
