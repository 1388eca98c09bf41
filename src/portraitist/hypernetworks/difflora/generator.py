"""Photos to latents of LoRAs: mixed features steer a transformer, a process makes latents with it."""

import torch
from torch import Tensor, nn

from portraitist.hypernetworks.difflora.features import MixedFeatures
from portraitist.hypernetworks.difflora.processes import PROCESSES
from portraitist.hypernetworks.difflora.settings import DiffloraRecipe
from portraitist.hypernetworks.difflora.transformer import LatentTransformer
from portraitist.hypernetworks.networks.memory import Features, Shapes

_SMALLEST = 1e-6


class LatentGenerator(nn.Module):
    """Makes latents ``[n, size]`` of features; inside, latents have mean 0 and variance 1.

    Args:
        recipe: All settings.
        shapes: What the features of a photo are.
        size: Numbers of a latent.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, recipe: DiffloraRecipe, shapes: Shapes, size: int) -> None:
        super().__init__()
        self.settings = recipe.generator
        self.features = MixedFeatures(recipe.sight.encoders, shapes, self.settings.width, recipe.features.mixing)
        self.transformer = LatentTransformer(self.settings, size)
        self.process = PROCESSES[self.settings.process](self.settings)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    @torch.no_grad()
    def fit(self, latents: Tensor) -> None:
        """Take each number's mean, and one deviation for all, from the latents of many LoRAs ``[N, size]``.

        With one for all, numbers that matter little stay small: principal components keep their order.
        """
        self.mean.copy_(latents.mean(0))
        self.deviation.fill_((latents - self.mean).square().mean().sqrt().clamp(min=_SMALLEST))

    def errors(self, latents: Tensor, features: Features, unknown: Tensor, generator: torch.Generator) -> Tensor:
        """Return each sample's error in training, ``[n]``.

        Args:
            latents: Of LoRAs ``[n, size]``.
            features: Of photos of whom they are.
            unknown: Whose photos are taken away, ``[n]``.
            generator: Source of noise and timesteps.
        """
        photos = self.features(features, unknown)
        standard = (latents - self.mean) / self.deviation
        return self.process.errors(lambda x, time: self.transformer(x, time, photos), standard, generator)

    @torch.no_grad()
    def make(self, features: Features, noise: Tensor, steps: int | None = None, guidance: float = 1.0) -> Tensor:
        """Make latents ``[n, size]``.

        Args:
            features: Of n persons' photos.
            noise: ``[n, size]``, normal.
            steps: Of sampling; as many as is usual when None.
            guidance: How far each step is led away from that of nobody in particular; 1 not at all.
        """
        return self.steered(self.features(features), noise, steps, guidance)

    @torch.no_grad()
    def steered(self, photos: Tensor, noise: Tensor, steps: int | None = None, guidance: float = 1.0) -> Tensor:
        """Make latents for mixed features ``[n, width]``, also such as lie between those of two persons."""

        def network(latents: Tensor, timesteps: Tensor) -> Tensor:
            own = self.transformer(latents, timesteps, photos)
            if guidance == 1.0:
                return own
            nobody = self.transformer(latents, timesteps, self.features.nobody.expand_as(photos))
            return nobody + guidance * (own - nobody)

        made = self.process.make(network, noise, steps or self.settings.sampling_steps)
        return made * self.deviation + self.mean
