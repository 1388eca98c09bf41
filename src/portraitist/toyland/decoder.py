"""Third stage: the decoder refined against a discriminator, so that outlines are crisp; latents stay as they are.

The discriminator sees patches of pictures beside their latents, and is not asked whether a picture is good but where
it should move: the decoder's target is its own picture, moved by a step of one size to where the discriminator sees
what it sees in the real one (after Seraena, https://github.com/madebyollin/seraena).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.toyland.autoencoder import EDGES
from portraitist.toyland.config import DecoderConfig
from portraitist.toyland.pictures import Pictures, as_floats
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.loop.processes import Processes
from portraitist.training.networks.draws import Draws
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.parameters import parameter_groups

_NORM_GROUPS = 8


class PatchDiscriminator(nn.Module):
    """Score patches of pictures ``[n, 3, h, w]`` beside their latents at every level: ``[n, levels, h / 8, w / 8]``."""

    def __init__(self, channels: Sequence[int], latent_channels: int) -> None:
        super().__init__()
        widths = (3 + latent_channels, *channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
                if level
                else nn.Conv2d(inputs, outputs, 3, padding=1),
                nn.GroupNorm(_NORM_GROUPS, outputs),
                nn.SiLU(),
            )
            for level, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.scores = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in channels)

    def forward(self, pixels: Tensor, latents: Tensor) -> Tensor:
        """Return scores; a high one means made up."""
        size = (pixels.shape[-2] // 8, pixels.shape[-1] // 8)
        hidden = torch.cat([pixels, F.interpolate(latents, pixels.shape[-2:])], dim=1)
        scores = []
        for block, score in zip(self.blocks, self.scores, strict=True):
            hidden = block(hidden)
            scores.append(F.adaptive_avg_pool2d(score(hidden), size))
        return torch.cat(scores, dim=1).float()


class DecoderTask:
    """Train the decoder on whole pictures and the discriminator beside it, both in one step."""

    def __init__(self, model: AutoencoderKL, pictures: Pictures, config: DecoderConfig, machine: Machine) -> None:
        self.model = model.train().requires_grad_(False)
        self.decoder = nn.ModuleDict({"decoder": model.decoder, "post_quant_conv": model.post_quant_conv})
        self.decoder.requires_grad_(True)
        self.pictures, self.config, self.device = pictures, config, machine.device
        self.processes, self.memory_format = Processes.current(), machine.memory_format
        discriminator = PatchDiscriminator(config.discriminator_channels, model.config.latent_channels)
        self.discriminator = discriminator.to(machine.device)
        for network in (model.encoder, model.decoder, self.discriminator):
            machine.prepare(network)

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the weights of decoder and discriminator."""
        both = nn.ModuleDict({"model": self.decoder, "discriminator": self.discriminator})
        return parameter_groups(both, self.config.learning_rate, self.config.weight_decay, EDGES)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings and the number of pictures."""
        settings = self.config.model_dump(mode="json", exclude={"steps"})
        return {"stage": "decoder", "pictures": len(self.pictures), **settings}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Refine on one batch."""
        config = self.config
        draws = Draws(config.seed, step, self.processes)
        rng = draws.numpy("views")
        pixels = as_floats(self.pictures.whole(draws.items(len(self.pictures), config.batch_size)))
        pixels = pixels.contiguous(memory_format=self.memory_format)
        pixels = pixels.flip(3) if rng.random() < 0.5 else pixels
        with torch.no_grad():
            posterior = self.model.encode(pixels).latent_dist
            generator = draws.torch("posterior", self.device)
            noise = torch.randn(posterior.mean.shape, generator=generator, device=self.device)
            latents = posterior.mean + posterior.std * noise
        restored = self.model.decode(latents).sample.float()
        judging = self._judge(pixels, restored.detach(), latents, rng)
        target = restored.detach() + self._correction(pixels, restored.detach(), latents)
        absolute, squared = F.l1_loss(restored, pixels), F.mse_loss(restored, pixels)
        adversarial = F.mse_loss(restored, target)
        decoding = absolute + config.squared_weight * squared + config.adversarial_weight * adversarial
        return {"loss": decoding + judging, "mse": squared, "decoder": decoding, "discriminator": judging}

    def _judge(self, real: Tensor, made: Tensor, latents: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the discriminator's error on a batch in which a half is real and a half made up."""
        is_made = torch.from_numpy(rng.permutation(len(real)) < (len(real) + 1) // 2).to(real.device)[
            :, None, None, None
        ]
        scores = self.discriminator(torch.where(is_made, made, real), latents)
        return F.mse_loss(scores, (2 * is_made.float() - 1).expand_as(scores))

    def _correction(self, real: Tensor, made: Tensor, latents: Tensor) -> Tensor:
        """Return where the discriminator would move made-up pictures to see in them what it sees in real ones."""
        moved = made.clone().requires_grad_(True)
        with torch.no_grad():
            wanted = self.discriminator(real, latents)
        distance = F.mse_loss(self.discriminator(moved, latents), wanted, reduction="sum")
        (slope,) = torch.autograd.grad(distance, moved)
        return -slope / slope.std().clamp(min=1e-12)
